//! What a parameter can be, as the braces after its type say, and whether a text is one of it.
//!
//! ```text
//! sign Utf8{positive,negative,any}      one of three words
//! percent Float64{0..100}               a number from 0 to 100
//! top Int32{1..,all}                    a number from 1 on, or the word
//! epoch Int32{<epoch>,first,last,all}   something that the run has, or one of three words
//! ```

use std::fmt;
use std::str::FromStr;

use super::known::RunSet;

/// The values that a parameter can have; any of its type where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ValidValues(Vec<Valid>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Valid {
    Word(String),
    Range(Range),
    Of(RunSet),
}

/// Whole numbers in a row, both ends included, without an end where it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    from: Option<i64>,
    to: Option<i64>,
}

impl ValidValues {
    /// Whether any value of the type is one.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// The words, in order.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|valid| match valid {
            Valid::Word(word) => Some(word.as_str()),
            _ => None,
        })
    }

    pub(super) fn has_word(&self, word: &str) -> bool {
        self.words().any(|known| known == word)
    }

    /// What of the run the values are, if they are that.
    pub(super) fn of_run(&self) -> Option<RunSet> {
        self.0.iter().find_map(|valid| match valid {
            Valid::Of(set) => Some(*set),
            _ => None,
        })
    }

    /// The range in which numbers are.
    pub(super) fn range(&self) -> Option<Range> {
        self.0.iter().find_map(|valid| match valid {
            Valid::Range(range) => Some(*range),
            _ => None,
        })
    }

    /// Every value, as an error names them: `1 to 100, all`.
    pub(super) fn describe(&self) -> String {
        let told = self.0.iter().map(|valid| match valid {
            Valid::Word(word) => word.clone(),
            Valid::Range(range) => range.describe(),
            Valid::Of(set) => set.one().to_owned(),
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

impl Range {
    pub(super) fn contains(self, value: f64) -> bool {
        let from = self.from.is_none_or(|from| value >= from as f64);
        let to = self.to.is_none_or(|to| value <= to as f64);
        // Not a number is in no range.
        value.is_finite() && from && to
    }

    pub(super) fn contains_whole(self, value: i64) -> bool {
        self.from.is_none_or(|from| value >= from) && self.to.is_none_or(|to| value <= to)
    }

    fn describe(self) -> String {
        match (self.from, self.to) {
            (Some(from), Some(to)) => format!("{from} to {to}"),
            (Some(from), None) => format!("{from} or more"),
            (None, Some(to)) => format!("{to} or less"),
            (None, None) => "any number".to_owned(),
        }
    }
}

impl FromStr for ValidValues {
    type Err = ();

    /// Reads what is between braces.
    fn from_str(text: &str) -> Result<Self, ()> {
        text.split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromStr for Valid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some(set) = text.strip_prefix('<') {
            let set = set.strip_suffix('>').ok_or(())?;
            return RunSet::from_name(set).map(Self::Of).ok_or(());
        }
        if let Some((from, to)) = text.split_once("..") {
            let end = |text: &str| match text {
                "" => Ok(None),
                number => number.parse().map(Some).map_err(|_| ()),
            };
            let (from, to) = (end(from)?, end(to)?);
            return Ok(Self::Range(Range { from, to }));
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match !text.is_empty() && text.chars().all(is_word) {
            true => Ok(Self::Word(text.to_owned())),
            false => Err(()),
        }
    }
}

/// As in a header: `{positive,negative,any}`; nothing where any value is one.
impl fmt::Display for ValidValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return Ok(());
        }
        f.write_str("{")?;
        for (place, valid) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{valid}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for Valid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Valid::Word(word) => f.write_str(word),
            Valid::Of(set) => write!(f, "<{}>", set.name()),
            Valid::Range(Range { from, to }) => {
                let end = |end: &Option<i64>| end.map_or_else(String::new, |n| n.to_string());
                write!(f, "{}..{}", end(from), end(to))
            }
        }
    }
}

#[cfg(test)]
mod tests;
