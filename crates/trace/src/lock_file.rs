//! Files that are there for nothing but to be locked.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// How often a file is opened anew that somebody puts another one in the place of, or removes.
pub(crate) const MAX_REPLACED: usize = 16;

/// Opens such a file, and makes it where it is missing. A link is not followed: it may lead out of the run, and what
/// is missing would be made there.
///
/// # Errors
/// If it is a link, or the file system refuses.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    opened(path, options.write(true).create(true).truncate(false))
}

/// As [`open`], where nothing is to be made; none where the file is missing. One that may only be read is opened so.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_existing(path: &Path) -> io::Result<Option<File>> {
    use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    match opened(path, OpenOptions::new().write(true)) {
        Err(error) if error.kind() == NotFound => Ok(None),
        Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => {
            opened(path, &mut OpenOptions::new()).map(Some)
        }
        opened => opened.map(Some),
    }
}

/// As [`open`], of a file that is missing; none where it is there.
///
/// # Errors
/// As [`open`].
pub(crate) fn make(path: &Path) -> io::Result<Option<File>> {
    match opened(path, OpenOptions::new().write(true).create_new(true)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        made => made.map(Some),
    }
}

fn opened(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Read as well: a pipe that is only written waits for a reader, and one that is only read for a writer.
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    options.open(path).map_err(|error| match path.is_symlink() {
        true => io::Error::other("it is a link, and no recorder makes one: remove it"),
        false => error,
    })
}

/// Whether a path is that of an open file still.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
pub(crate) fn is_at(_file: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_and_keeps_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".rank-0.lock");
        assert!(open_existing(&path).unwrap().is_none());
        assert!(!path.exists());
        let made = make(&path).unwrap().unwrap();
        assert!(make(&path).unwrap().is_none());
        assert!(is_at(&made, &path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&made, &path).unwrap());
        open(&path).unwrap();
        assert!(!is_at(&made, &path).unwrap());
        fs::write(&path, "abc").unwrap();
        open(&path).unwrap();
        assert!(open_existing(&path).unwrap().is_some());
        assert_eq!(fs::read(&path).unwrap(), b"abc");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed_wherever_it_leads() {
        let dir = tempfile::tempdir().unwrap();
        let (path, file) = (dir.path().join(".rank-0.lock"), dir.path().join("file"));
        std::os::unix::fs::symlink("file", &path).unwrap();
        for is_there in [false, true] {
            if is_there {
                fs::write(&file, "").unwrap();
            }
            let error = open(&path).unwrap_err().to_string();
            assert!(error.starts_with("it is a link"), "{error}");
            assert!(open_existing(&path).is_err());
            assert!(make(&path).is_err());
            assert_eq!(file.exists(), is_there);
        }
    }
}
