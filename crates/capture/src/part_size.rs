//! How much of a layer is to go into one part file, as people say it.

use bytesize::ByteSize;
use trace::MaxPartBytes;

/// The least that can be asked for of a part file, in bytes: 4 KiB. A file takes about as much beside its values, for its
/// footer and the blocks of the disk. What makes runs without being asked may go below it.
pub const SMALLEST_PART_BYTES: u64 = 4 << 10;

/// Why a size is not that of part files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartSizeError {
    /// It is none.
    #[error("{0}")]
    NoSize(String),
    /// It is below [`SMALLEST_PART_BYTES`].
    #[error(
        "a size of {0} B is too small: the smallest is 4KiB ({SMALLEST_PART_BYTES} B), below which part files \
         are little but footers"
    )]
    TooSmall(u64),
}

/// The size of part files that a text asks for, as `64MiB`.
///
/// # Errors
/// If it is no size, or too small.
pub fn parse_part_size(text: &str) -> Result<MaxPartBytes, PartSizeError> {
    match text.parse::<ByteSize>() {
        Ok(size) => checked_part_size(size.as_u64()),
        Err(error) => Err(PartSizeError::NoSize(error)),
    }
}

/// So many bytes as the size of part files.
///
/// # Errors
/// If they are too few.
pub fn checked_part_size(bytes: u64) -> Result<MaxPartBytes, PartSizeError> {
    match bytes < SMALLEST_PART_BYTES {
        true => Err(PartSizeError::TooSmall(bytes)),
        false => Ok(MaxPartBytes(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_of_which_a_layer_would_be_a_file_a_unit_is_refused() {
        for (text, bytes) in [("4KiB", 4096), ("4096", 4096), ("64MiB", 64 << 20)] {
            assert_eq!(parse_part_size(text), Ok(MaxPartBytes(bytes)));
        }
        for (text, bytes) in [("0", 0), ("1B", 1), ("4KB", 4000), ("4095", 4095)] {
            let error = parse_part_size(text).unwrap_err();
            assert_eq!(error, PartSizeError::TooSmall(bytes));
            assert_eq!(checked_part_size(bytes), Err(error));
        }
        let told = checked_part_size(0).unwrap_err().to_string();
        let says = "a size of 0 B is too small: the smallest is 4KiB (4096 B), below which part files are \
                    little but footers";
        assert_eq!(told, says);
        for text in ["", "much", "-1"] {
            let error = parse_part_size(text).unwrap_err();
            assert!(matches!(error, PartSizeError::NoSize(_)), "{error}");
        }
    }
}
