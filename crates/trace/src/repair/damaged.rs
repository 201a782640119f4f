//! Where repairs move what is damaged: a directory each, by number.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{DAMAGED_DIR, RepairError};
use crate::part_file::checksum;
use crate::regular;

/// Where the next repair moves what is damaged.
pub(super) fn next_damaged(root: &Path) -> Result<PathBuf, RepairError> {
    let last = numbered(root)?.last().copied().unwrap_or(0);
    Ok(root.join(DAMAGED_DIR).join((last + 1).to_string()))
}

/// The numbers of the repairs so far, in order.
fn numbered(root: &Path) -> Result<Vec<u32>, RepairError> {
    let dir = root.join(DAMAGED_DIR);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(RepairError::io("list", &dir))?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry.map_err(RepairError::io("list", &dir))?;
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        // One less than the last: there is always a next.
        numbers.extend(number.filter(|number: &u32| *number < u32::MAX));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Where repairs before moved what was damaged, in order.
pub(super) fn earlier(root: &Path) -> Result<Vec<PathBuf>, RepairError> {
    let numbers = numbered(root)?.into_iter();
    let dir = root.join(DAMAGED_DIR);
    Ok(numbers.map(|number| dir.join(number.to_string())).collect())
}

/// Whether two names are those of one file, or of two with the same bytes, as where a copy of the run was made.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    let (Ok(a), Ok(b)) = (fs::metadata(one), fs::metadata(other)) else {
        return false;
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if (a.dev(), a.ino()) == (b.dev(), b.ino()) {
            return true;
        }
    }
    if a.len() != b.len() {
        return false;
    }
    let (Ok(mut one), Ok(mut other)) = (regular::open(one), regular::open(other)) else {
        return false;
    };
    let bytes = a.len();
    let Ok(of_one) = checksum(&mut one, 0..bytes) else {
        return false;
    };
    checksum(&mut other, 0..bytes).is_ok_and(|of_other| of_other == of_one)
}
