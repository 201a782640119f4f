//! The small words of a trace as types: what is an epoch is never a step.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::checksum::Crc32c;

/// An epoch, counted from 0; [`Epoch::INITIAL`] stands for the untrained network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Epoch(pub i32);

impl Epoch {
    /// The epoch under which the untrained network is recorded.
    pub const INITIAL: Epoch = Epoch(-1);
}

/// The number of optimizer steps done so far; 0 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Step(pub i64);

/// The process of a distributed run that recorded something; 0 where there is one process.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "i32", into = "i32")]
pub struct Rank(pub i32);

/// How often the run had been resumed when something was recorded; 0 in the first session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

/// A number that is no epoch, step or rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{number} is no {what}: they begin at {first} and end below {end}")]
pub struct IdError {
    number: i64,
    what: &'static str,
    first: i64,
    end: i64,
}

/// What a file says: of each there is a next one, and those below `first` are none.
macro_rules! read_checked {
    ($($name:ident, $number:ty, $what:literal, $first:literal);*) => {$(
        impl TryFrom<$number> for $name {
            type Error = IdError;

            fn try_from(number: $number) -> Result<Self, IdError> {
                match ($first..<$number>::MAX).contains(&number) {
                    true => Ok(Self(number)),
                    false => Err(IdError {
                        number: number.into(),
                        what: $what,
                        first: $first,
                        end: <$number>::MAX.into(),
                    }),
                }
            }
        }

        impl From<$name> for $number {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )*};
}
read_checked!(Epoch, i32, "epoch", -1; Step, i64, "step", 0; Rank, i32, "rank", 0);

macro_rules! display_inner {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_inner!(Epoch, Step, Rank, Generation);

/// A random 64-bit name, as 16 lower-case hexadecimal digits: tells writers and runs apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce(String);

impl TryFrom<String> for Nonce {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Nonce> for String {
    fn from(nonce: Nonce) -> Self {
        nonce.0
    }
}

impl Nonce {
    /// Draws a nonce from the operating system.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn draw() -> std::io::Result<Self> {
        let mut bytes = [0u8; 8];
        getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
        Ok(Self(format!("{:016x}", u64::from_le_bytes(bytes))))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Nonce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if text.len() == 16 && text.bytes().all(is_digit) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is no nonce of 16 lower-case hexadecimal digits"
        ))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest a layer label may be once it is percent-encoded, in bytes: with `layer=` before
/// it, it has to fit into the 255 bytes that file systems give a name.
pub const MAX_ENCODED_LABEL_BYTES: usize = 200;

/// Everything outside `[A-Za-z0-9_.-]` is percent-encoded in a directory's name.
const ENCODED_IN_LABELS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-');

/// What some engine reads as a value in a directory's name, in upper and lower case, with spaces
/// around it or without: a boolean or a number (polars), a date (DuckDB, Spark), nothing at all.
const READ_AS_VALUES: [&str; 14] = [
    "true",
    "false",
    "null",
    "none",
    "na",
    "nan",
    "nat",
    "inf",
    "infinity",
    "epoch",
    "now",
    "today",
    "tomorrow",
    "yesterday",
];

/// A layer's name: the value of the partition column `layer`.
///
/// It starts with a letter and is no word for a value, because engines read a directory `layer=0`
/// as a number, `layer=2024-01-01` as a date and `layer=true` as a boolean; [`LayerLabel::try_new`]
/// puts `L_` before a name that they would read so, and cuts one that is too long for a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerLabel(String);

/// Why a text cannot be a layer label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayerLabelError {
    /// The text is empty.
    #[error("a layer label cannot be empty")]
    Empty,
    /// It starts with no letter, as every label of a trace does.
    #[error("layer label {label:?} does not start with a letter")]
    NoLetter {
        /// The label as given.
        label: String,
    },
    /// The encoded label would not fit into a directory's name.
    #[error(
        "layer label {label:?} has {bytes} bytes once percent-encoded, at most {MAX_ENCODED_LABEL_BYTES} are allowed"
    )]
    TooLong {
        /// The label as given.
        label: String,
        /// Its length once encoded.
        bytes: usize,
    },
    /// A directory's name does not decode to text.
    #[error("{encoded:?} is no percent-encoded layer label")]
    NotEncoded {
        /// The directory's name after `layer=`.
        encoded: String,
    },
}

impl LayerLabel {
    /// Makes a label of any text: puts `L_` before one that does not start with a letter or that an
    /// engine would read as a value, and cuts one of more than [`MAX_ENCODED_LABEL_BYTES`] once it
    /// is encoded, putting `-` and its CRC-32C as 8 hexadecimal digits behind.
    ///
    /// # Errors
    /// If the text is empty.
    pub fn try_new(text: &str) -> Result<Self, LayerLabelError> {
        let first = text.chars().next().ok_or(LayerLabelError::Empty)?;
        let word = text.trim();
        let is_value = READ_AS_VALUES.iter().any(|v| word.eq_ignore_ascii_case(v));
        let label = match first.is_ascii_alphabetic() && !is_value {
            true => text.to_owned(),
            false => format!("L_{text}"),
        };
        Ok(Self(match encoded_bytes(&label) {
            0..=MAX_ENCODED_LABEL_BYTES => label,
            _ => cut(&label),
        }))
    }

    /// Reads a label that somebody else has made, as it is: earlier writers put `L_` before fewer
    /// words.
    ///
    /// # Errors
    /// If it is empty, too long, or does not start with a letter.
    fn read(label: String) -> Result<Self, LayerLabelError> {
        match label.chars().next() {
            None => return Err(LayerLabelError::Empty),
            Some(first) if first.is_ascii_alphabetic() => {}
            Some(_) => return Err(LayerLabelError::NoLetter { label }),
        }
        let bytes = encoded_bytes(&label);
        match bytes {
            0..=MAX_ENCODED_LABEL_BYTES => Ok(Self(label)),
            _ => Err(LayerLabelError::TooLong { label, bytes }),
        }
    }

    /// The label as users write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The label as it stands in a directory's name, after `layer=`.
    pub fn encoded(&self) -> String {
        utf8_percent_encode(&self.0, ENCODED_IN_LABELS).to_string()
    }

    /// Reads a label back from a directory's name.
    ///
    /// # Errors
    /// If it does not decode to UTF-8 or is no label.
    pub fn from_encoded(encoded: &str) -> Result<Self, LayerLabelError> {
        let not_encoded = || LayerLabelError::NotEncoded {
            encoded: encoded.to_owned(),
        };
        let text = percent_decode_str(encoded)
            .decode_utf8()
            .map_err(|_| not_encoded())?;
        let label = Self::read(text.into_owned())?;
        // Only what `encoded` writes is read back: one label, one directory.
        if label.encoded() == encoded {
            Ok(label)
        } else {
            Err(not_encoded())
        }
    }
}

/// How long a label is as a directory's name.
fn encoded_bytes(label: &str) -> usize {
    let encoded = utf8_percent_encode(label, ENCODED_IN_LABELS);
    encoded.map(str::len).sum()
}

/// As many characters of a label as leave room for what tells it from others that begin alike.
fn cut(label: &str) -> String {
    let suffix = format!("-{}", Crc32c::of(label.as_bytes()));
    let mut room = MAX_ENCODED_LABEL_BYTES - suffix.len();
    let kept = label.chars().take_while(|c| {
        let bytes = encoded_bytes(c.encode_utf8(&mut [0; 4]));
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    });
    kept.chain(suffix.chars()).collect()
}

impl TryFrom<String> for LayerLabel {
    type Error = LayerLabelError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::read(text)
    }
}

impl From<LayerLabel> for String {
    fn from(label: LayerLabel) -> Self {
        label.0
    }
}

impl fmt::Display for LayerLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
