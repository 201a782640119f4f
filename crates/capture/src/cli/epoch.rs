//! `--epoch`: which capture is meant.

use std::str::FromStr;

use trace::Epoch;

use crate::capture_files::CaptureChoice;

/// What every verb says of it.
pub const HELP: &str =
    "The epoch, from 0, or last; -1 is the untrained network, where it was recorded";

/// A number, or `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenEpoch {
    /// The last that was recorded.
    Last,
    /// That one.
    Number(Epoch),
}

impl FromStr for ChosenEpoch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("last", _) => Ok(Self::Last),
            (_, Ok(number)) => Ok(Self::Number(Epoch(number))),
            _ => Err("an epoch is a number, or last".to_owned()),
        }
    }
}

impl ChosenEpoch {
    /// The epoch's capture.
    pub fn choice(self) -> CaptureChoice {
        match self {
            Self::Last => CaptureChoice::default(),
            Self::Number(epoch) => CaptureChoice::epoch(epoch),
        }
    }
}
