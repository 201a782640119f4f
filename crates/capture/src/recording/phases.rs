//! Of which samples activations are recorded.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::rows::{PHASE_EVAL, PHASE_TRAIN};

/// Of which samples activations are recorded: as text `eval`, `train`, or `eval,train`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// The held-out samples.
    pub eval: bool,
    /// A batch of training samples, or several.
    pub train: bool,
}

impl Phases {
    /// The held-out samples alone.
    pub const EVAL: Self = Self {
        eval: true,
        train: false,
    };
}

impl Default for Phases {
    fn default() -> Self {
        Self::EVAL
    }
}

/// Why a text names no phases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no phases: there are eval, train, and eval,train")]
pub struct ParsePhasesError(String);

impl FromStr for Phases {
    type Err = ParsePhasesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut phases = Self {
            eval: false,
            train: false,
        };
        for name in text.split(',') {
            let phase = match name {
                PHASE_EVAL => &mut phases.eval,
                PHASE_TRAIN => &mut phases.train,
                _ => return Err(ParsePhasesError(text.to_owned())),
            };
            if std::mem::replace(phase, true) {
                return Err(ParsePhasesError(text.to_owned()));
            }
        }
        Ok(phases)
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(self.eval, PHASE_EVAL), (self.train, PHASE_TRAIN)];
        let names: Vec<&str> = names.iter().filter(|n| n.0).map(|n| n.1).collect();
        f.write_str(&names.join(","))
    }
}

impl Serialize for Phases {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_named_once_each() {
        for text in ["eval", "train", "eval,train"] {
            let phases: Phases = text.parse().unwrap();
            assert_eq!(phases.to_string(), text);
        }
        assert_eq!("train,eval".parse(), "eval,train".parse::<Phases>());
        assert_eq!("eval".parse(), Ok(Phases::EVAL));
        for wrong in ["", "test", "eval,eval", "eval, train"] {
            assert!(wrong.parse::<Phases>().is_err(), "{wrong:?}");
        }
    }
}
