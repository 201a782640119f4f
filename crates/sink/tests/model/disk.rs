//! A disk whose operations take time: other threads come in between. One of them can fail, or do nothing.

use std::io;
use std::path::{Path, PathBuf};

use shuttle::thread::yield_now;
use trace::{Disk, DiskFile, FileSystem, Listed, LocalDisk, Operation, Point, Subject};

/// What an operation does that does not do as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It fails, and nothing has happened.
    Fails,
    /// It fails after it has happened.
    FailsAfter,
    /// It says that it has happened, and nothing has.
    Lies,
}

/// The disk of this machine, which is not told to make anything durable.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ModelDisk {
    /// What goes wrong each time, and how; with what error.
    pub(crate) wrong: Option<(Point, Wrong, io::ErrorKind)>,
}

impl ModelDisk {
    fn operate(
        &self,
        operation: Operation,
        subject: Subject,
        work: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        yield_now();
        let result = match self.wrong {
            Some((point, wrong, kind)) if point == (Point { operation, subject }) => match wrong {
                Wrong::Fails => Err(kind.into()),
                Wrong::FailsAfter => work().and(Err(kind.into())),
                Wrong::Lies => Ok(()),
            },
            _ => work(),
        };
        yield_now();
        result
    }
}

impl Disk for ModelDisk {
    fn create_file(&self, subject: Subject, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        yield_now();
        LocalDisk.create_file(subject, path)
    }

    fn create_dir(&self, subject: Subject, path: &Path) -> io::Result<()> {
        LocalDisk.create_dir(subject, path)
    }

    fn rename_new(&self, subject: Subject, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(Operation::Rename, subject, || {
            LocalDisk.rename_new(subject, from, to)
        })
    }

    fn exchange(&self, subject: Subject, one: &Path, other: &Path) -> io::Result<bool> {
        LocalDisk.exchange(subject, one, other)
    }

    fn link_new(&self, subject: Subject, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(Operation::Link, subject, || {
            LocalDisk.link_new(subject, from, to)
        })
    }

    fn remove_file(&self, subject: Subject, path: &Path) -> io::Result<()> {
        self.operate(Operation::RemoveFile, subject, || {
            LocalDisk.remove_file(subject, path)
        })
    }

    fn remove_dir(&self, subject: Subject, path: &Path) -> io::Result<()> {
        LocalDisk.remove_dir(subject, path)
    }

    fn list(&self, subject: Subject, directory: &Path) -> io::Result<Vec<Listed>> {
        LocalDisk.list(subject, directory)
    }

    fn read(&self, subject: Subject, path: &Path) -> io::Result<Vec<u8>> {
        LocalDisk.read(subject, path)
    }

    fn sync_dirs(&self, _subject: Subject, _directories: &[PathBuf]) -> io::Result<()> {
        Ok(())
    }

    fn file_system(&self, _directory: &Path) -> Option<Box<dyn FileSystem>> {
        Some(Box::new(*self))
    }
}

impl FileSystem for ModelDisk {
    fn sync(&self, subject: Subject) -> io::Result<()> {
        self.operate(Operation::SyncFileSystem, subject, || Ok(()))
    }
}
