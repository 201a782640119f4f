//! Files of a run that may come from anywhere: where a name leads to a pipe or a device, nobody waits for a
//! writer, and nothing is read that has no end.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// The most that is read at once of `run.json`, a record or a roll-up, in bytes: such a file of more there is none.
pub(crate) const MAX_READ_BYTES: u64 = 256 << 20;

/// What is no file that could be read; told after the file's name.
#[derive(Debug, thiserror::Error)]
enum IrregularError {
    /// A pipe, a socket or a device.
    #[error("it is no regular file")]
    NoFile,
    /// More than is read at once.
    #[error("it has {num_bytes} bytes, and no file of its kind has more than {MAX_READ_BYTES}")]
    TooLarge {
        /// Bytes that it has.
        num_bytes: u64,
    },
}

/// Opens a file for reading. A pipe is opened as well, without a wait: what is read of it ends at once.
///
/// # Errors
/// If the file system refuses.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options.open(path)
}

/// As [`open`], of a regular file, or of one that a link leads to.
///
/// # Errors
/// If it is none ([`is_irregular`]), or the file system refuses.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Reads a regular file as a whole, or one that a link leads to.
///
/// # Errors
/// If it is none, or has more than [`MAX_READ_BYTES`] ([`is_irregular`]); or the file system refuses.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = open_file(path)?;
    let num_bytes = file.metadata()?.len();
    if num_bytes > MAX_READ_BYTES {
        return Err(too_large(num_bytes));
    }
    let mut bytes = Vec::new();
    // As much as there is, if there is so much memory.
    bytes.try_reserve_exact(usize::try_from(num_bytes).unwrap_or(usize::MAX))?;
    // It may grow meanwhile.
    file.take(MAX_READ_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        num_read if num_read > MAX_READ_BYTES => Err(too_large(num_read)),
        _ => Ok(bytes),
    }
}

/// Whether an error says that there is something else than a file that could be read: damage, and nothing that
/// would pass.
pub(crate) fn is_irregular(error: &io::Error) -> bool {
    let is_ours = error
        .get_ref()
        .is_some_and(|inner| inner.is::<IrregularError>());
    is_ours || error.kind() == io::ErrorKind::IsADirectory
}

fn check(metadata: &Metadata) -> io::Result<()> {
    match () {
        () if metadata.is_file() => Ok(()),
        () if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        () => Err(io::Error::other(IrregularError::NoFile)),
    }
}

fn too_large(num_bytes: u64) -> io::Error {
    io::Error::other(IrregularError::TooLarge { num_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(read(&path).unwrap(), b"abc");
        let kind = |path: &Path| read(path).unwrap_err().kind();
        assert_eq!(kind(dir.path()), io::ErrorKind::IsADirectory);
        assert_eq!(kind(&dir.path().join("none")), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let sparse = dir.path().join("sparse");
        let file = File::create(&sparse).unwrap();
        file.set_len(MAX_READ_BYTES + 1).unwrap();
        let error = read(&sparse).unwrap_err();
        assert!(is_irregular(&error), "{error}");
        assert!(error.to_string().contains("268435457 bytes"), "{error}");
    }

    /// Were they read as files are, this test would not end.
    #[cfg(target_os = "linux")]
    #[test]
    fn pipes_and_devices_are_no_files() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let endless = dir.path().join("endless");
        std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
        for path in [pipe, endless] {
            let error = read(&path).unwrap_err();
            assert!(is_irregular(&error));
            assert_eq!(error.to_string(), "it is no regular file");
            assert!(is_irregular(&open_file(&path).unwrap_err()));
            assert!(open(&path).is_ok());
        }
    }
}
