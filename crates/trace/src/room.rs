//! Room on a file system: how much is left, said where something did not fit.

use std::fmt;
use std::io;
use std::path::Path;

/// What is left on a file system for who is not its administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes.
    pub bytes: u64,
    /// Files and directories (inodes); none where the file system has no such limit.
    pub files: Option<u64>,
}

impl Room {
    /// What is left on the file system of `path`, or of the nearest directory above it that is there. A quota
    /// may leave less.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn at(path: &Path) -> io::Result<Self> {
        let mut above = path.ancestors().filter(|path| path.exists());
        room_of(above.next().unwrap_or(Path::new(".")))
    }
}

#[cfg(unix)]
fn room_of(path: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Room {
        bytes: found.f_bavail.saturating_mul(found.f_frsize),
        files: (found.f_files > 0).then_some(found.f_favail),
    })
}

#[cfg(not(unix))]
fn room_of(_path: &Path) -> io::Result<Room> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether an error says that there is no room: space, inodes or a quota have run out.
pub fn is_no_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Adds to an error about room what was needed, as far as that is known, and what is left on the file system
/// of `path`. Any other error is given back as it is.
pub fn with_room(error: io::Error, path: &Path, needed_bytes: Option<u64>) -> io::Error {
    let is_told = error.get_ref().is_some_and(|told| told.is::<NoRoom>());
    if is_told || !is_no_room(&error) {
        return error;
    }
    let told = NoRoom {
        cause: error.to_string(),
        needed_bytes,
        left: Room::at(path).ok(),
    };
    io::Error::new(error.kind(), told)
}

/// Why something did not fit, in the operating system's words and in numbers.
#[derive(Debug)]
struct NoRoom {
    cause: String,
    needed_bytes: Option<u64>,
    left: Option<Room>,
}

impl std::error::Error for NoRoom {}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        let mut separator = ": ";
        if let Some(needed) = self.needed_bytes {
            write!(f, "{separator}up to {needed} bytes are needed")?;
            separator = ", ";
        }
        if let Some(Room { bytes, files }) = self.left {
            write!(f, "{separator}{bytes} bytes")?;
            if let Some(files) = files {
                write!(f, " and {files} inodes")?;
            }
            f.write_str(" are free on its file system")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
