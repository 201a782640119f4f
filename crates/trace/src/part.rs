//! A part file: where it lies, as a type that builds the path and reads it back, and its rows.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use arrow::array::RecordBatch;

use crate::id::{Epoch, Generation, IdError, LayerLabel, Nonce, Rank, Step};
use crate::table::Table;

/// The place of one part file in a run:
/// `weights/epoch=3/layer=L_hidden_1/step-96-r0-g0.parquet`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartPath {
    /// The table that the file belongs to.
    pub table: Table,
    /// The partition's epoch.
    pub epoch: Epoch,
    /// The partition's layer; present exactly where [`Table::has_layer`] says so.
    pub layer: Option<LayerLabel>,
    /// The step of the rows.
    pub step: Step,
    /// The process that wrote it.
    pub rank: Rank,
    /// How often the run had been resumed.
    pub generation: Generation,
    /// 0 for the first file of a table, partition and step; a further one appends `-1`, `-2`, ... Where a layer is
    /// split, the units of each are behind those of the file before.
    pub sequence: u32,
    /// The nonce of the commit that names it; present exactly where [`Table::is_derived`] says so:
    /// several processes may write such a table, for one step.
    pub nonce: Option<Nonce>,
}

/// The rows of one part file.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where the file goes.
    pub path: PartPath,
    /// Its rows: exactly the columns of [`Table::schema`], ascending by [`Table::sort_columns`].
    pub rows: RecordBatch,
}

impl Part {
    /// Memory that the rows keep alive, in bytes. A slice of a larger array counts as the whole of
    /// it.
    pub fn memory_bytes(&self) -> u64 {
        self.rows.get_array_memory_size() as u64
    }
}

/// A text that is no part file's path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path:?} is no part file's path (as weights/epoch=3/layer=L_output/step-96-r0-g0.parquet): {problem}"
)]
pub struct ParsePartPathError {
    /// The text.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for PartPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/epoch={}/", self.table, self.epoch)?;
        if let Some(layer) = &self.layer {
            write!(f, "layer={}/", layer.encoded())?;
        }
        write!(f, "step-{}-r{}-g{}", self.step, self.rank, self.generation)?;
        if self.sequence > 0 {
            write!(f, "-{}", self.sequence)?;
        }
        if let Some(nonce) = &self.nonce {
            write!(f, "-{nonce}")?;
        }
        f.write_str(".parquet")
    }
}

impl FromStr for PartPath {
    type Err = ParsePartPathError;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        parse(path).map_err(|problem| ParsePartPathError {
            path: path.to_owned(),
            problem,
        })
    }
}

/// The order of part files by their paths: by directory, and there by step, rank, generation and number among the files
/// of one step, as numbers. What is no part file's name comes first in its directory.
pub fn cmp_part_files(a: &str, b: &str) -> Ordering {
    let (dir_a, name_a) = a.rsplit_once('/').unwrap_or(("", a));
    let (dir_b, name_b) = b.rsplit_once('/').unwrap_or(("", b));
    let by_numbers = || file_numbers(name_a).cmp(&file_numbers(name_b));
    let by_name = || name_a.cmp(name_b);
    dir_a.cmp(dir_b).then_with(by_numbers).then_with(by_name)
}

/// Whether a file has units that are behind those of another, by their paths: both are of one layer of a table in which
/// each unit has one row a capture, and of one capture of one recorder.
pub fn is_later_part(table: Table, before: &str, after: &str) -> bool {
    let is_one_each = table.has_one_row_a_unit();
    let (Some((dir_before, before)), Some((dir_after, after))) =
        (before.rsplit_once('/'), after.rsplit_once('/'))
    else {
        return false;
    };
    let numbers = file_numbers(before).zip(file_numbers(after));
    is_one_each
        && dir_before == dir_after
        && numbers.is_some_and(|(before, after)| before[..3] == after[..3] && before[3] < after[3])
}

/// Step, rank, generation and sequence in the name of a part file; the sequence is 0 where a nonce stands in its place.
fn file_numbers(name: &str) -> Option<[i64; 4]> {
    let (step, rest) = name
        .strip_suffix(".parquet")?
        .strip_prefix("step-")?
        .split_once("-r")?;
    let (rank, rest) = rest.split_once("-g")?;
    let (generation, sequence) = match rest.split_once('-') {
        Some((generation, sequence)) => (generation, sequence.parse().unwrap_or(0)),
        None => (rest, 0),
    };
    let number = |text: &str| text.parse::<i64>().ok();
    Some([number(step)?, number(rank)?, number(generation)?, sequence])
}

fn parse(path: &str) -> Result<PartPath, String> {
    let mut segments = path.split('/');
    let mut next = |what: &str| segments.next().ok_or_else(|| format!("{what} is missing"));

    let table: Table = next("the table")?
        .parse()
        .map_err(|e: crate::table::ParseTableError| e.to_string())?;
    let epoch = id(number::<i32>(partition(next("epoch=")?, "epoch")?)?)?;
    let layer = if table.has_layer() {
        let encoded = partition(next("layer=")?, "layer")?;
        Some(LayerLabel::from_encoded(encoded).map_err(|e| e.to_string())?)
    } else {
        None
    };
    let file = next("the file's name")?;
    if let Some(extra) = segments.next() {
        return Err(format!("unexpected {extra:?}"));
    }

    let stem = file
        .strip_suffix(".parquet")
        .ok_or("the file's name does not end in .parquet")?;
    let (step, rest) = stem
        .strip_prefix("step-")
        .and_then(|rest| rest.split_once("-r"))
        .ok_or("the file's name does not start with step-N-r")?;
    let (rank, rest) = rest.split_once("-g").ok_or("the generation is missing")?;
    let (generation, sequence, nonce) = match rest.split_once('-') {
        Some((generation, nonce)) if table.is_derived() => (generation, 0, Some(nonce.parse()?)),
        None if table.is_derived() => return Err("the commit's nonce is missing".to_owned()),
        Some((generation, sequence)) => (generation, number(sequence)?, None),
        None => (rest, 0, None),
    };
    let part = PartPath {
        table,
        epoch,
        layer,
        step: id(number::<i64>(step)?)?,
        rank: id(number::<i32>(rank)?)?,
        generation: Generation(number(generation)?),
        sequence,
        nonce,
    };
    // A second spelling (`epoch=005`, `-0`) would be a second name for the same place.
    if part.to_string() == path {
        Ok(part)
    } else {
        Err(format!("it would be spelled {part}"))
    }
}

fn partition<'a>(segment: &'a str, column: &str) -> Result<&'a str, String> {
    segment
        .split_once('=')
        .filter(|(name, _)| *name == column)
        .map(|(_, value)| value)
        .ok_or_else(|| format!("{segment:?} should be {column}=..."))
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn id<N, T: TryFrom<N, Error = IdError>>(number: N) -> Result<T, String> {
    T::try_from(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
