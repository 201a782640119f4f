//! What a file of a run says of other files, as types that are checked when they are read: nothing that
//! they name lies outside the run.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::part::PartPath;

/// Name of the file that holds a run's identity.
pub const RUN_FILE: &str = "run.json";
/// Name of the directory that holds the commit records.
pub const COMMITS_DIR: &str = "commits";
/// Name of the directory that holds files being written.
pub const STAGING_DIR: &str = ".staging";

/// The longest a path below a run's directory may be, in bytes.
pub const MAX_PATH_BYTES: usize = 4096;

/// The longest a table's name may be, in bytes.
const MAX_TABLE_BYTES: usize = 64;

/// A text that names no file of a run's tables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is no path of a table's file below the run's directory: {problem}")]
pub struct RunPathError {
    /// The text.
    pub path: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The path of a table's file below the run's directory, with `/`: it leads nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunPath(String);

impl RunPath {
    /// The path as it stands in records.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the table's directory: what the path begins with.
    pub fn table(&self) -> &str {
        self.0.split_once('/').map_or("", |(table, _)| table)
    }
}

impl TryFrom<String> for RunPath {
    type Error = RunPathError;

    fn try_from(path: String) -> Result<Self, RunPathError> {
        match problem_of(&path) {
            None => Ok(Self(path)),
            Some(problem) => Err(RunPathError { path, problem }),
        }
    }
}

/// What keeps a text from being a path of a table's file.
fn problem_of(path: &str) -> Option<&'static str> {
    if path.len() > MAX_PATH_BYTES {
        return Some("it is longer than 4096 bytes");
    }
    if path.contains(|c: char| c.is_control() || c == '\\') {
        return Some("it has a character that no path of a run has");
    }
    let Some((table, _)) = path.split_once('/') else {
        return Some("it does not begin with a table's directory");
    };
    let is_step = |part: &str| part.is_empty() || part == "." || part == "..";
    if path.split('/').any(is_step) {
        return Some("it has an empty part, or leads upwards");
    }
    (!is_table(table)).then_some("it does not begin with a table's name")
}

impl From<&PartPath> for RunPath {
    fn from(path: &PartPath) -> Self {
        Self(path.to_string())
    }
}

impl From<RunPath> for String {
    fn from(path: RunPath) -> Self {
        path.0
    }
}

impl Deref for RunPath {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for RunPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table's name: that of a directory of the run, too. A later version of the format may have tables
/// that [`Table`](crate::Table) does not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableName(String);

/// A text that is no table's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no table's name: these are lower-case letters, digits and _, after a letter")]
pub struct TableNameError(pub String);

impl TryFrom<String> for TableName {
    type Error = TableNameError;

    fn try_from(name: String) -> Result<Self, TableNameError> {
        match is_table(&name) {
            true => Ok(Self(name)),
            false => Err(TableNameError(name)),
        }
    }
}

fn is_table(name: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    (1..=MAX_TABLE_BYTES).contains(&name.len())
        && name.as_bytes()[0].is_ascii_lowercase()
        && name.bytes().all(is_plain)
        && name != COMMITS_DIR
}

impl From<crate::Table> for TableName {
    fn from(table: crate::Table) -> Self {
        Self(table.name().to_owned())
    }
}

impl From<TableName> for String {
    fn from(name: TableName) -> Self {
        name.0
    }
}

impl Deref for TableName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
