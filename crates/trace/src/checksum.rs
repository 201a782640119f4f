//! The checksum of files, records and names.

use serde::{Deserialize, Serialize};

/// A CRC-32C (Castagnoli), written as 8 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Crc32c(pub u32);

impl Crc32c {
    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(crc32c::crc32c(bytes))
    }

    /// The checksum of what this one covers followed by `bytes`; start from [`Crc32c::of`]`(&[])`.
    #[must_use]
    pub fn append(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    /// The checksum of what this one covers followed by `num_bytes` more, of which `after` is the
    /// checksum.
    #[must_use]
    pub fn combine(self, after: Self, num_bytes: usize) -> Self {
        Self(crc32c::crc32c_combine(self.0, after.0, num_bytes))
    }

    /// Reads 8 lower-case hexadecimal digits; none if that is not what there is.
    pub fn from_digits(digits: &[u8]) -> Option<Self> {
        let digits: &[u8; 8] = digits.try_into().ok()?;
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(u32::from(digit - b'0')),
            b'a'..=b'f' => Some(u32::from(digit - b'a') + 10),
            _ => None,
        };
        let add = |crc: u32, digit: &u8| Some(crc << 4 | value(*digit)?);
        digits.iter().try_fold(0, add).map(Self)
    }
}

impl std::fmt::Display for Crc32c {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl From<Crc32c> for String {
    fn from(crc: Crc32c) -> Self {
        crc.to_string()
    }
}

impl TryFrom<String> for Crc32c {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::from_digits(text.as_bytes())
            .ok_or_else(|| format!("{text:?} is no checksum of 8 lower-case hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests;
