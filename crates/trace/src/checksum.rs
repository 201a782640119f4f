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
        u32::from_str_radix(&text, 16)
            .ok()
            .map(Crc32c)
            .filter(|crc| crc.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no checksum of 8 lower-case hexadecimal digits"))
    }
}
