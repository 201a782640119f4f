//! What a run needs of the disk that it lies on.
//!
//! Whatever changes a run goes through a [`Disk`], one call a system call, and each call says what it is
//! about ([`Subject`]): [`Point`] names the two together, so that tests can let each fail, or lose what
//! was not synced behind it ([`SimDisk`]). [`LocalDisk`] is the real one. Part files, of which a run has
//! most, are read through the file system itself; locks are a process's, and no part of a disk.

mod local;
mod point;
mod sim;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub use local::LocalDisk;
pub use point::{Operation, Point, Subject};
pub use sim::{Choices, DiskTree, Fate, Fault, Remains, SimDisk};

/// A disk, as far as runs need one.
///
/// An operation that fails with [`io::ErrorKind::Interrupted`] has not happened. Whoever calls tries it
/// again where POSIX lets it be interrupted: opening, reading, writing, syncing.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Creates a file and opens it for writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken; or the disk refuses.
    fn create_file(&self, subject: Subject, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Creates a directory in one that is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken; or the disk refuses.
    fn create_dir(&self, subject: Subject, path: &Path) -> io::Result<()>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if that is taken: it is then as it was; or the disk refuses.
    fn rename_new(&self, subject: Subject, from: &Path, to: &Path) -> io::Result<()>;

    /// Exchanges two names, of files or of directories, at once; `false` where that cannot be done.
    ///
    /// # Errors
    /// If one of them is not there, or the disk refuses.
    fn exchange(&self, subject: Subject, one: &Path, other: &Path) -> io::Result<bool>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if that is taken: it is then as it was; or the disk refuses.
    fn link_new(&self, subject: Subject, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name, and the file with its last one.
    ///
    /// # Errors
    /// If it is not there, or the disk refuses.
    fn remove_file(&self, subject: Subject, path: &Path) -> io::Result<()>;

    /// Removes a directory in which there is nothing.
    ///
    /// # Errors
    /// If it is not there or not empty, or the disk refuses.
    fn remove_dir(&self, subject: Subject, path: &Path) -> io::Result<()>;

    /// What there is in a directory, in any order.
    ///
    /// # Errors
    /// If it is not there, or the disk refuses.
    fn list(&self, subject: Subject, directory: &Path) -> io::Result<Vec<Listed>>;

    /// All bytes of a file.
    ///
    /// # Errors
    /// If it is not there, or the disk refuses.
    fn read(&self, subject: Subject, path: &Path) -> io::Result<Vec<u8>>;

    /// Returns once the names in each of the directories are durable.
    ///
    /// # Errors
    /// If one is not there, or anything could not be written: those names are then in doubt for good.
    fn sync_dirs(&self, subject: Subject, directories: &[PathBuf]) -> io::Result<()>;

    /// The file system of a directory, if one sync of it is known to make everything durable that was
    /// written to it.
    fn file_system(&self, directory: &Path) -> Option<Box<dyn FileSystem>>;
}

/// A file that is being written.
pub trait DiskFile: Write + fmt::Debug + Send + Sync {
    /// Returns once what was written is durable; its name may not be.
    ///
    /// # Errors
    /// If anything could not be written: the file is then in doubt for good.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file system whose files and names are made durable at once.
pub trait FileSystem: fmt::Debug + Send + Sync {
    /// Returns once everything is durable that was written since it was opened.
    ///
    /// # Errors
    /// If anything could not be written: that is then in doubt for good.
    fn sync(&self, subject: Subject) -> io::Result<()>;
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name there.
    pub name: OsString,
    /// Whether it is a directory; a link to one is none.
    pub is_dir: bool,
}

/// Tries an operation again as long as it was interrupted.
pub(crate) fn retried<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
