//! The data sets that are built in.

use std::fmt;
use std::str::FromStr;

use super::DatasetError;

/// The built-in data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatasetKind {
    /// The UCI optical digits: 8×8 pixels, 10 classes, 1,797 samples.
    Digits,
    /// The notebook's random samples: 20 inputs, one soft target.
    Notebook,
}

impl DatasetKind {
    /// Every kind, in the order in which help texts list them.
    pub const ALL: [Self; 2] = [Self::Digits, Self::Notebook];

    /// The kind's name on the command line and in `run.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::Notebook => "notebook",
        }
    }
}

impl fmt::Display for DatasetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DatasetKind {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| DatasetError::UnknownKind(text.to_owned()))
    }
}
