//! What a file of data says, before anything is made of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{DatasetError, ImageShape, Place};

/// How many columns an error lists.
const MAX_LISTED: usize = 20;

/// The rows of a file: numbers to learn from, and the columns that are to be predicted.
#[derive(Debug)]
pub(super) struct RawTable {
    pub(super) file: PathBuf,
    /// The file of the targets, where they have one of their own, which then has no columns.
    pub(super) target_file: Option<PathBuf>,
    /// The line that each row stands on; empty where rows are counted from 0.
    pub(super) lines: Vec<u64>,
    /// Names of the inputs; empty where they have none.
    pub(super) input_names: Vec<String>,
    pub(super) num_inputs: usize,
    /// What image the inputs of a row are, where the file says it.
    pub(super) image: Option<ImageShape>,
    /// Row-major `[num_rows, num_inputs]`.
    pub(super) inputs: Vec<f32>,
    /// In the order in which they were asked for; at least one.
    pub(super) targets: Vec<TargetColumn>,
}

/// A column that is to be predicted: few values make many rows, so each is kept once.
#[derive(Debug)]
pub(super) struct TargetColumn {
    pub(super) name: String,
    /// The values as texts, in the order in which they first appear.
    pub(super) values: Vec<String>,
    /// The value of each row, as an index.
    pub(super) codes: Vec<u32>,
    index: HashMap<String, u32>,
}

impl TargetColumn {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            values: Vec::new(),
            codes: Vec::new(),
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

    /// The first row that has a value.
    pub(super) fn first_row_of(&self, code: usize) -> usize {
        let code = code as u32;
        let row = self.codes.iter().position(|&c| c == code);
        row.expect("a value is there because a row has it")
    }
}

impl RawTable {
    pub(super) fn num_rows(&self) -> usize {
        self.targets[0].codes.len()
    }

    pub(super) fn place(&self, row: usize) -> Place {
        match self.lines.get(row) {
            Some(&line) => Place::Line(line),
            None => Place::Row(row as u64),
        }
    }

    /// The error that one value of a target column is.
    pub(super) fn refuse_target(
        &self,
        column: &TargetColumn,
        code: usize,
        problem: String,
    ) -> DatasetError {
        let place = self.place(column.first_row_of(code));
        self.refuse_at(Some(place), column, problem)
    }

    /// The error that a whole target column is.
    pub(super) fn refuse_column(&self, column: &TargetColumn, problem: String) -> DatasetError {
        self.refuse_at(None, column, problem)
    }

    fn refuse_at(
        &self,
        place: Option<Place>,
        column: &TargetColumn,
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

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The input of that number.
    Input(usize),
    /// The target of that number.
    Target(usize),
    /// Nothing.
    Ignored,
}

/// Tells for each of a file's columns what it is for; inputs are numbered as they come.
pub(super) fn roles(
    file: &Path,
    columns: &[String],
    targets: &[String],
    ignored: &[String],
) -> Result<Vec<Role>, DatasetError> {
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].contains(column) {
            return Err(refuse(file, format!("there are two columns {column:?}")));
        }
    }
    for wanted in targets.iter().chain(ignored) {
        if !columns.contains(wanted) {
            let names = || columns.iter().map(String::as_str);
            let listed: Vec<&str> = names().take(MAX_LISTED).collect();
            let more = match columns.len().saturating_sub(MAX_LISTED) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let problem = format!(
                "there is no column {wanted:?}{} (columns: {}{more})",
                trace::did_you_mean(trace::closest(wanted, names())),
                listed.join(", ")
            );
            return Err(refuse(file, problem));
        }
    }
    let mut num_inputs = 0;
    let roles = columns.iter().map(|column| {
        if let Some(target) = targets.iter().position(|name| name == column) {
            return Role::Target(target);
        }
        if ignored.contains(column) {
            return Role::Ignored;
        }
        num_inputs += 1;
        Role::Input(num_inputs - 1)
    });
    let roles: Vec<Role> = roles.collect();
    if num_inputs == 0 {
        return Err(refuse(file, "no column is left to learn from"));
    }
    Ok(roles)
}

/// A value that is there, as the number that it is; true and false count as 1 and 0.
pub(super) fn number(text: &str) -> Result<f32, String> {
    if text.eq_ignore_ascii_case("true") {
        return Ok(1.0);
    }
    if text.eq_ignore_ascii_case("false") {
        return Ok(0.0);
    }
    match text.parse::<f32>() {
        _ if text.is_empty() => Err("it is empty".to_owned()),
        Err(_) => Err(format!("{text:?} is no number")),
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(not_finite(text)),
    }
}

pub(super) fn not_finite(text: &str) -> String {
    format!("{text} is not finite, or too large for a 32-bit float")
}
