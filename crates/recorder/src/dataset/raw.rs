//! What a file of data says, before anything is made of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::decimal::is_lost_integer;
use super::{DatasetError, FileSpec, ImageShape, Place};

/// The rows of a file: what is learned from, and the columns that are to be predicted.
#[derive(Debug)]
pub(super) struct RawTable {
    pub(super) file: PathBuf,
    /// The file of the targets, where they have one of their own, which then has no columns.
    pub(super) target_file: Option<PathBuf>,
    /// The line that each row stands on, or its row in the file; none where nothing was left out and
    /// rows are counted from 0.
    pub(super) places: Option<Vec<Place>>,
    /// In the order of the file.
    pub(super) inputs: Vec<InputColumn>,
    /// What image the inputs of a row are, where the file says it.
    pub(super) image: Option<ImageShape>,
    /// Row-major, as many a row as [`RawTable::num_numbers`] says; NaN where there is none.
    pub(super) numbers: Numbers,
    pub(super) num_numbers: usize,
    /// In the order in which they were asked for; at least one.
    pub(super) targets: Vec<TextColumn>,
    /// What somebody may want to know of how the file was read.
    pub(super) notes: Vec<String>,
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct ReadFile {
    pub(super) table: RawTable,
    /// How it was read: another file that is read so is read as this one was.
    pub(super) resolved: FileSpec,
    /// Columns to be ignored that are not there, with what is to be said of it.
    pub(super) unknown: Vec<(String, DatasetError)>,
}

/// Numbers as the file has them: those that fit into 32 bits take no more.
#[derive(Debug)]
pub(super) enum Numbers {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Numbers {
    pub(super) fn get(&self, index: usize) -> f64 {
        match self {
            Self::Single(values) => f64::from(values[index]),
            Self::Double(values) => values[index],
        }
    }

    fn retain_rows(&mut self, width: usize, is_kept: &[bool]) {
        fn retain<T: Copy>(values: &mut Vec<T>, width: usize, is_kept: &[bool]) {
            let mut kept = 0;
            for (row, _) in is_kept.iter().enumerate().filter(|(_, kept)| **kept) {
                values.copy_within(row * width..(row + 1) * width, kept * width);
                kept += 1;
            }
            values.truncate(kept * width);
        }
        match self {
            Self::Single(values) => retain(values, width, is_kept),
            Self::Double(values) => retain(values, width, is_kept),
        }
    }
}

/// A column that is learned from.
#[derive(Debug)]
pub(super) struct InputColumn {
    /// Empty where it has none.
    pub(super) name: String,
    pub(super) kind: InputKind,
    pub(super) gaps: Gaps,
}

#[derive(Debug)]
pub(super) enum InputKind {
    /// The number of that index in a row's.
    Number(usize),
    /// Set apart, since most inputs are numbers, and some files have very many.
    Category(Box<TextColumn>),
}

/// Which rows of a column have no value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Gaps {
    pub(super) count: usize,
    /// The first of them, and what stands there.
    pub(super) first: Option<(usize, String)>,
}

impl Gaps {
    pub(super) fn push(&mut self, row: usize, text: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| (row, text.to_owned()));
    }
}

/// A column of texts: few values make many rows, so each is kept once.
#[derive(Debug)]
pub(super) struct TextColumn {
    pub(super) name: String,
    /// The values as texts, in the order in which they first appear.
    pub(super) values: Vec<String>,
    /// The value of each row, as an index; [`NO_VALUE`] where there is none.
    pub(super) codes: Vec<u32>,
    pub(super) gaps: Gaps,
    index: HashMap<String, u32>,
}

/// A sample has no more inputs: columns of a table, or values of an image.
pub(super) const MAX_INPUTS: usize = 1 << 20;

/// The code of a row without a value.
pub(super) const NO_VALUE: u32 = u32::MAX;

impl TextColumn {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            values: Vec::new(),
            codes: Vec::new(),
            gaps: Gaps::default(),
            index: HashMap::new(),
        }
    }

    pub(super) fn push(&mut self, value: &str) {
        let code = self.index.get(value).copied().unwrap_or_else(|| {
            let code = self.values.len() as u32;
            self.values.push(value.to_owned());
            self.index.insert(value.to_owned(), code);
            code
        });
        self.codes.push(code);
    }

    /// A row without a value, in whose place `text` stands.
    pub(super) fn push_gap(&mut self, text: &str) {
        self.gaps.push(self.codes.len(), text);
        self.codes.push(NO_VALUE);
    }

    /// The first row that has a value.
    pub(super) fn first_row_of(&self, code: usize) -> usize {
        let code = code as u32;
        let row = self.codes.iter().position(|&c| c == code);
        row.expect("a value is there because a row has it")
    }

    /// The column of some of the rows, with the values that those have.
    fn retain_rows(&mut self, is_kept: &[bool]) {
        let mut kept = Self::new(std::mem::take(&mut self.name));
        for (&code, _) in self.codes.iter().zip(is_kept).filter(|(_, kept)| **kept) {
            match code {
                NO_VALUE => kept.push_gap(""),
                code => kept.push(&self.values[code as usize]),
            }
        }
        *self = kept;
    }
}

impl RawTable {
    pub(super) fn num_rows(&self) -> usize {
        self.targets[0].codes.len()
    }

    pub(super) fn place(&self, row: usize) -> Place {
        let places = self.places.as_ref();
        places.map_or(Place::Row(row as u64), |places| places[row])
    }

    /// The number of a row in a column of numbers.
    pub(super) fn number(&self, row: usize, index: usize) -> f64 {
        self.numbers.get(row * self.num_numbers + index)
    }

    /// Leaves out the other rows.
    pub(super) fn retain_rows(&mut self, is_kept: &[bool]) {
        let places = (0..self.num_rows()).map(|row| self.place(row));
        let places = places.zip(is_kept).filter(|(_, kept)| **kept);
        self.places = Some(places.map(|(place, _)| place).collect());
        self.numbers.retain_rows(self.num_numbers, is_kept);
        for column in &mut self.inputs {
            column.gaps = Gaps::default();
            if let InputKind::Category(column) = &mut column.kind {
                column.retain_rows(is_kept);
            }
        }
        for target in &mut self.targets {
            target.retain_rows(is_kept);
        }
    }

    /// The error that one value of a column is.
    pub(super) fn refuse_value(
        &self,
        column: &TextColumn,
        code: usize,
        problem: String,
    ) -> DatasetError {
        let place = self.place(column.first_row_of(code));
        self.refuse_at(Some(place), column, problem)
    }

    /// The error that a whole target column is.
    pub(super) fn refuse_column(&self, column: &TextColumn, problem: String) -> DatasetError {
        self.refuse_at(None, column, problem)
    }

    fn refuse_at(
        &self,
        place: Option<Place>,
        column: &TextColumn,
        problem: String,
    ) -> DatasetError {
        let (file, column) = match &self.target_file {
            Some(file) => (file, None),
            None => (&self.file, Some(column.name.clone())),
        };
        DatasetError::Refused {
            file: file.clone(),
            place,
            column,
            problem,
        }
    }
}

/// The error that a file is as a whole.
pub(super) fn refuse(file: &Path, problem: impl Into<String>) -> DatasetError {
    DatasetError::Refused {
        file: file.to_owned(),
        place: None,
        column: None,
        problem: problem.into(),
    }
}

/// A column as an option names it on a command line.
pub(super) fn as_argument(column: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_.-:/".contains(c);
    match !column.is_empty() && column.chars().all(is_plain) {
        true => column.to_owned(),
        false => format!("'{}'", column.replace('\'', "'\\''")),
    }
}

/// A value that is there, as the number that it is; true and false count as 1 and 0.
pub(super) fn number(text: &str) -> Result<f64, String> {
    if text.eq_ignore_ascii_case("true") {
        return Ok(1.0);
    }
    if text.eq_ignore_ascii_case("false") {
        return Ok(0.0);
    }
    match text.parse::<f64>() {
        _ if text.is_empty() => Err("it is empty".to_owned()),
        Err(_) => Err(format!("{text:?} is no number")),
        // Also in 32 bits, which the network computes in.
        Ok(number) if !(number as f32).is_finite() => Err(not_finite(text)),
        Ok(number) if is_lost_integer(text, number) => Err(lost(text)),
        Ok(number) => Ok(number),
    }
}

pub(super) fn not_finite(text: &str) -> String {
    format!("{text} is not finite, or too large for a 32-bit float")
}

/// Of a number that would become its neighbour.
pub(super) fn lost(text: &str) -> String {
    format!(
        "{text} has more digits than a 64-bit float holds, which would take it for its neighbours"
    )
}
