//! Which columns are compressed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a session's configuration says it.
const CONFIG_KEY: &str = "compress";

/// Which columns of a run's files are compressed, with zstd. Whoever reads them need not know.
///
/// Part files go by it column by column. A roll-up of commits has some columns that are always worth it: these are
/// compressed unless nothing is.
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

    /// What a session's configuration says; none where it says nothing, as one of an earlier version, or nothing
    /// that is known here.
    pub fn of_config(config: &serde_json::Value) -> Option<Self> {
        Self::deserialize(config.get(CONFIG_KEY)?).ok()
    }

    /// Has a session's configuration say it. One that is no object says nothing.
    pub fn say_in(self, config: &mut serde_json::Value) {
        if let Some(config) = config.as_object_mut() {
            config.insert(CONFIG_KEY.to_owned(), serde_json::json!(self));
        }
    }
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
