//! Decimal numbers as they are written, compared exactly: floats take 2^53 and 2^53 + 1 for one.

use std::cmp::Ordering;

/// The value of a decimal numeral: ±0.d₁d₂d₃… × 10^exponent, with d₁ and the last digit not 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Decimal {
    is_negative: bool,
    /// Of 0, none, and an exponent of 0.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads what Rust reads as a float, infinities and NaN aside; none for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (is_negative, unsigned) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole.bytes().chain(fraction.bytes());
        let digits: Vec<u8> = digits.collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let leading = digits.iter().take_while(|&&digit| digit == b'0').count();
        let trailing = digits[leading..].iter().rev();
        let trailing = trailing.take_while(|&&digit| digit == b'0').count();
        let digits = digits[leading..digits.len() - trailing].to_vec();
        if digits.is_empty() {
            return Some(Self {
                is_negative: false,
                digits,
                exponent: 0,
            });
        }
        let position = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()?;
        Some(Self {
            is_negative,
            digits,
            exponent: exponent.checked_add(position)?,
        })
    }

    fn cmp_size(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                let by_exponent = self.exponent.cmp(&other.exponent);
                by_exponent.then_with(|| self.digits.cmp(&other.digits))
            }
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.cmp_size(other),
            (true, true) => other.cmp_size(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

/// Whether a numeral has a zero before its digits, as postal codes and numbers of items do: then it
/// is a text, and `01` is not `1`.
pub(super) fn is_code(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = unsigned.as_bytes();
    digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit()
}

/// Whether a numeral is of a whole number that a 64-bit float does not have.
pub(super) fn is_lost_integer(text: &str, value: f64) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    // Fewer digits are below 2^53.
    unsigned.len() > 15
        && unsigned.bytes().all(|byte| byte.is_ascii_digit())
        && Decimal::parse(text) != Decimal::parse(&format!("{value:.0}"))
}

/// Whether a numeral with digits behind the point can be told from its neighbours of as many digits
/// once it is a 64-bit float.
pub(super) fn is_distinct(text: &str, value: f64) -> bool {
    let places = text.split_once('.').map_or(0, |(_, places)| places.len());
    Decimal::parse(text) == Decimal::parse(&format!("{value:.places$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn one_value_written_differently_is_one() {
        for same in [
            ["1", "1.0"],
            ["100", "1e2"],
            ["1E+2", "100."],
            ["0.5", "+.5"],
            ["-0", "0.00"],
            ["12.50", "125e-1"],
            ["007", "7"],
        ] {
            assert_eq!(decimal(same[0]), decimal(same[1]), "{same:?}");
        }
        for other in [
            ["9007199254740992", "9007199254740993"],
            ["1", "-1"],
            ["0.1", "0.10000000000000001"],
        ] {
            assert_ne!(decimal(other[0]), decimal(other[1]), "{other:?}");
        }
        for none in [
            "", "-", ".", "e5", "1e", "0x10", "inf", "NaN", "1 2", "1,5", "--1",
        ] {
            assert_eq!(Decimal::parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn they_are_ordered_by_size() {
        let ascending = [
            "-1e3",
            "-999.5",
            "-2",
            "-1.5",
            "-0.01",
            "0",
            "1e-30",
            "0.09",
            "0.1",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "1e40",
        ];
        for pair in ascending.windows(2) {
            assert!(decimal(pair[0]) < decimal(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn integers_that_a_float_does_not_have_are_known() {
        let lost = |text: &str| is_lost_integer(text, text.parse().unwrap());
        // 2^53 is one, 2^53 + 1 is not, 2^53 + 2 is; 2^63 and 10^20 are, 2^63 + 1 is not.
        assert!(!lost("9007199254740992") && lost("9007199254740993"));
        assert!(!lost("-9007199254740994") && lost("-9007199254740993"));
        assert!(!lost("9223372036854775808") && lost("9223372036854775809"));
        assert!(!lost("100000000000000000000") && !lost("12"));
        // Digits behind the point are of a measurement.
        assert!(!lost("0.12345678901234567890"));
        let apart = |text: &str| is_distinct(text, text.parse().unwrap());
        assert!(apart("0.1000") && apart("73.75") && apart("-12345678901.25"));
        assert!(!apart("123456789012345678.25") && !apart("9007199254740993"));
    }

    #[test]
    fn zeros_before_digits_make_a_code() {
        assert!(is_code("01") && is_code("-007") && is_code("00"));
        assert!(
            !is_code("0") && !is_code("0.5") && !is_code("10") && !is_code("") && !is_code("a0")
        );
    }
}
