//! Which columns are compressed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which of a part file's columns are compressed, with zstd. Whoever reads them need not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compress {
    /// Columns of which compression leaves at most [`MAX_COMPRESSION_RATIO`](super::MAX_COMPRESSION_RATIO):
    /// activations behind a ReLU and values of half precision, as a rule, not weights.
    #[default]
    Auto,
    /// Columns of which it leaves at most
    /// [`MAX_COMPRESSION_RATIO_FOR_SIZE`](super::MAX_COMPRESSION_RATIO_FOR_SIZE), as of weights.
    Size,
    /// None.
    None,
}

impl Compress {
    /// All of them, by their names.
    pub const ALL: [(&str, Self); 3] = [
        ("auto", Self::Auto),
        ("size", Self::Size),
        ("none", Self::None),
    ];
}

/// A word for no way to compress.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no way to compress: there are auto, size and none")]
pub struct ParseCompressError {
    /// The word.
    pub text: String,
}

impl FromStr for Compress {
    type Err = ParseCompressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|(name, _)| *name == text);
        found
            .map(|(_, this)| this)
            .ok_or_else(|| ParseCompressError {
                text: text.to_owned(),
            })
    }
}

impl fmt::Display for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.into_iter().find(|(_, this)| this == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}
