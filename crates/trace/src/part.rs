//! Where a part file lies, as a type that builds the path and reads it back.

use std::fmt;
use std::str::FromStr;

use crate::id::{Epoch, Generation, LayerLabel, Rank, Step};
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
    /// 0 for the first file of a table, partition and step; a further one appends `-1`, `-2`, ...
    pub sequence: u32,
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

fn parse(path: &str) -> Result<PartPath, String> {
    let mut segments = path.split('/');
    let mut next = |what: &str| segments.next().ok_or_else(|| format!("{what} is missing"));

    let table: Table = next("the table")?
        .parse()
        .map_err(|e: crate::table::ParseTableError| e.to_string())?;
    let epoch = Epoch(number(partition(next("epoch=")?, "epoch")?)?);
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
    let (generation, sequence) = match rest.split_once('-') {
        Some((generation, sequence)) => (generation, number(sequence)?),
        None => (rest, 0),
    };
    let part = PartPath {
        table,
        epoch,
        layer,
        step: Step(number(step)?),
        rank: Rank(number(rank)?),
        generation: Generation(number(generation)?),
        sequence,
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

#[cfg(test)]
mod tests;
