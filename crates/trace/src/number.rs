//! Numbers that files of a run say, checked when they are read: what is absurd is refused, so that
//! nobody has to think of an overflow, or counts to it.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

/// The most processes that record one run.
pub const MAX_WORLD_SIZE: u32 = 1 << 16;

/// The largest number of a commit, or count of rows or bytes of one file: so many of them can be added
/// up. (2⁴⁸ bytes are 256 TiB.)
pub const MAX_COUNT: u64 = 1 << 48;

/// Reads a number of at most [`MAX_COUNT`].
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    check_count(number).ok_or_else(|| {
        D::Error::invalid_value(Unexpected::Unsigned(number), &"a count of at most 2^48")
    })
}

/// Reads a number of at most [`MAX_COUNT`], if there is one.
pub(crate) fn optional_count<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    count(deserializer).map(Some)
}

/// The number, if it is none that is absurd.
pub(crate) fn check_count(number: u64) -> Option<u64> {
    (number <= MAX_COUNT).then_some(number)
}

/// Reads how many processes record a run.
pub(crate) fn world_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    match is_world_size(number) {
        true => Ok(number),
        false => Err(D::Error::custom(format!(
            "world_size is {number}: a run is recorded by 1 to {MAX_WORLD_SIZE} processes"
        ))),
    }
}

/// Whether so many processes may record a run.
pub(crate) fn is_world_size(number: u32) -> bool {
    (1..=MAX_WORLD_SIZE).contains(&number)
}

/// Reads a number of samples that is not 0, if there is one.
pub(crate) fn batch_size<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    match Option::<u64>::deserialize(deserializer)? {
        Some(number) if number == 0 || number > MAX_COUNT => Err(D::Error::invalid_value(
            Unexpected::Unsigned(number),
            &"a batch of 1 to 2^48 samples",
        )),
        number => Ok(number),
    }
}
