//! What parameters of the analyses may be: more than that would be more than any memory holds, or than
//! anybody waits for.

use std::str::FromStr;

/// A whole number of a range, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Within<const FROM: u32, const TO: u32>(u32);

/// How many permutations p-values are made of.
pub(crate) type Permutations = Within<0, 1_000_000>;

/// How many times samples are drawn anew.
pub(crate) type Bootstraps = Within<0, 100_000>;

/// The strongest neurons of a class among which stability looks.
pub(crate) type Size = Within<1, 10_000>;

/// Trees of a forest.
pub(crate) type Trees = Within<1, 10_000>;

/// How many rows of a capture are wanted.
pub(crate) type Top = Within<1, 1_000_000>;

impl<const FROM: u32, const TO: u32> Within<FROM, TO> {
    /// The number.
    pub(crate) fn get(self) -> u32 {
        self.0
    }

    /// The number, of as many things.
    pub(crate) fn count(self) -> usize {
        self.0 as usize
    }
}

impl<const FROM: u32, const TO: u32> FromStr for Within<FROM, TO> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<u32>() {
            Ok(number) if (FROM..=TO).contains(&number) => Ok(Self(number)),
            _ => Err(format!("expected a whole number from {FROM} to {TO}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_its_range_is_told_the_range() {
        for within in ["1", "50", "10000"] {
            let number: u32 = within.parse().unwrap();
            assert_eq!(within.parse::<Size>().map(Size::get), Ok(number));
        }
        for beyond in [
            "0",
            "10001",
            "-1",
            "2.5",
            "99999999999999999999",
            "many",
            "",
        ] {
            let told = beyond.parse::<Size>().unwrap_err();
            assert_eq!(told, "expected a whole number from 1 to 10000", "{beyond}");
        }
        assert_eq!("0".parse::<Permutations>().map(Permutations::count), Ok(0));
    }
}
