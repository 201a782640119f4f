//! A disk for tests, which can fail at any operation, and lose whatever was not synced.
//!
//! It writes through to a directory, so that whoever reads a run by the file system finds what a process
//! that goes on would find, and keeps a log of what was done to files and directories, by inode. Of that
//! log every beginning is a moment at which the power may fail: [`SimDisk::remains`] tells what is certain
//! to be there then and what may be lost, and [`Remains::tree`] makes one of the disks that may be left.
//!
//! What may be lost is more than any one file system with a journal loses, so that what survives here survives
//! on all of them. Each name that was given or taken away stands by itself, a rename's two included, until its
//! directory or the file system was synced. What was written to a file may be there, or none of it, a part,
//! or zeros in its place, until the file or the file system was synced, whatever became of its names. Bytes
//! that a sync could not write stay in doubt for good, whichever sync succeeds later, as pages do that Linux
//! then takes for clean; who had the file system open for syncs is told with the next. Names that could not
//! be synced may be yet: a file system that cannot write its journal takes no more of either. One without a
//! journal, as ext2, may take a directory for clean that it could not write: that is not simulated. What is below
//! a directory whose own name is lost is lost with it.

mod log;
mod remains;

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::local::LocalDisk;
use super::point::{Operation, Point, Subject};
use super::{Disk, DiskFile, FileSystem, Listed};

use log::{Inode, Log, Synced};
pub use remains::{Choices, DiskTree, Fate, Remains};

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It does not happen, nor does anything after it: to the disk, the process or the machine has died.
    Crash,
    /// It fails for good (EIO), and has not happened; of a write, a part has.
    Io,
    /// It happens, and is told as a failure (EIO).
    IoAfterwards,
    /// There is no room (ENOSPC), or not enough for all of a write.
    NoSpace,
    /// What has one name cannot have the other (EXDEV): a mount or a quota parts them. It has not happened.
    OtherFileSystem,
    /// It is interrupted by a signal (EINTR), and has not happened.
    Interrupted,
    /// Fewer bytes are written than were given.
    ShortWrite,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 7] = [
        Fault::Crash,
        Fault::Io,
        Fault::IoAfterwards,
        Fault::NoSpace,
        Fault::OtherFileSystem,
        Fault::Interrupted,
        Fault::ShortWrite,
    ];

    /// Whether it can come to pass at an operation: only a write can be short, and what changes nothing has
    /// no afterwards.
    pub fn can_happen_at(self, operation: Operation) -> bool {
        match self {
            Fault::ShortWrite => operation == Operation::Write,
            Fault::OtherFileSystem => matches!(
                operation,
                Operation::Rename | Operation::Exchange | Operation::Link
            ),
            Fault::IoAfterwards => !operation.is_look() && !operation.is_sync(),
            Fault::Crash | Fault::Io | Fault::NoSpace | Fault::Interrupted => true,
        }
    }

    fn error(self) -> io::Error {
        use rustix::io::Errno;
        match self {
            Fault::Crash => io::Error::other("the simulated disk is gone"),
            Fault::Io | Fault::IoAfterwards => Errno::IO.into(),
            Fault::NoSpace => Errno::NOSPC.into(),
            Fault::OtherFileSystem => Errno::XDEV.into(),
            Fault::Interrupted | Fault::ShortWrite => Errno::INTR.into(),
        }
    }
}

/// A disk for tests, below one directory. Clones are the same disk.
///
/// Operations are counted from 0, looks at the disk included.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct State {
    root: PathBuf,
    has_syncfs: bool,
    log: Log,
    operations: Vec<(Point, PathBuf)>,
    /// What goes wrong, and how many of the operations that are meant come before.
    plan: Option<(Target, usize, Fault)>,
    has_failed: bool,
    has_crashed: bool,
    /// How many syncs could not write bytes.
    num_failed_syncs: usize,
    ignored: HashSet<Point>,
    /// As those, one operation each.
    ignored_operations: HashSet<usize>,
    hooks: Vec<(Point, Action)>,
}

type Action = Box<dyn FnOnce() + Send>;

/// Which operations are counted.
#[derive(Debug, Clone, Copy)]
enum Target {
    Any,
    At(Point),
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("SimDisk")
            .field("root", &state.root)
            .field("num_operations", &state.operations.len())
            .finish_non_exhaustive()
    }
}

impl SimDisk {
    /// A disk whose root is a directory that is there. What is in it is durable.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn over(root: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(State {
            root: root.to_owned(),
            has_syncfs: true,
            log: Log::over(root)?,
            operations: Vec::new(),
            plan: None,
            has_failed: false,
            has_crashed: false,
            num_failed_syncs: 0,
            ignored: HashSet::new(),
            ignored_operations: HashSet::new(),
            hooks: Vec::new(),
        }))))
    }

    /// The same disk without a sync of the whole file system: each file and directory is synced by itself.
    #[must_use]
    pub fn without_syncfs(self) -> Self {
        self.lock().has_syncfs = false;
        self
    }

    /// The disk, as runs are opened and created on it.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Lets an operation go wrong, the first from now on after `num_before` others. It takes the place of
    /// what was to go wrong before.
    pub fn fail_after(&self, num_before: usize, fault: Fault) {
        self.lock().plan = Some((Target::Any, num_before, fault));
    }

    /// Lets an operation at `point` go wrong, the first from now on after `num_before` others there. It
    /// takes the place of what was to go wrong before.
    pub fn fail_at(&self, point: Point, num_before: usize, fault: Fault) {
        self.lock().plan = Some((Target::At(point), num_before, fault));
    }

    /// Lets everything succeed from now on, with nothing done before it; whether anything went wrong since the
    /// last call. A crash stays one.
    pub fn stop_failing(&self) -> bool {
        let mut state = self.lock();
        state.plan = None;
        let has_failed = std::mem::take(&mut state.has_failed);
        let hooks = std::mem::take(&mut state.hooks);
        drop(state);
        // What they own may use the disk as it is dropped.
        drop(hooks);
        has_failed
    }

    /// Lets the syncs at `point` succeed, and do nothing.
    pub fn ignore(&self, point: Point) {
        self.lock().ignored.insert(point);
    }

    /// Lets one sync succeed, and do nothing: the operation before which there are `num_before` others, those so
    /// far included.
    pub fn ignore_operation(&self, num_before: usize) {
        self.lock().ignored_operations.insert(num_before);
    }

    /// Does something once, before the next operation at `point`.
    pub fn before(&self, point: Point, action: impl FnOnce() + Send + 'static) {
        self.lock().hooks.push((point, Box::new(action)));
    }

    /// What was done so far, and to which path: of what is synced together each, of a rename or link the new
    /// name.
    pub fn operations(&self) -> Vec<(Point, PathBuf)> {
        self.lock().operations.clone()
    }

    /// How many operations there were so far.
    pub fn num_operations(&self) -> usize {
        self.lock().operations.len()
    }

    /// What is left if the power fails once `num_operations` operations have ended, and before the next.
    pub fn remains(&self, num_operations: usize) -> Remains {
        let state = self.lock();
        Remains::of(state.log.until(num_operations), state.log.is_dir())
    }

    /// The disk as the next process finds it if one was killed once `num_operations` operations had ended:
    /// everything is there, below another directory that is there and empty, and what was not synced may be
    /// lost still.
    ///
    /// # Errors
    /// If it cannot be written there.
    pub fn after_kill(&self, num_operations: usize, root: &Path) -> io::Result<Self> {
        self.remains(num_operations).tree(&[]).write_to(root)?;
        let state = self.lock();
        Ok(Self(Arc::new(Mutex::new(State {
            root: root.to_owned(),
            has_syncfs: state.has_syncfs,
            log: state.log.moved(num_operations, root),
            operations: state.operations[..num_operations].to_vec(),
            plan: None,
            has_failed: false,
            has_crashed: false,
            num_failed_syncs: 0,
            ignored: state.ignored.clone(),
            ignored_operations: state.ignored_operations.clone(),
            hooks: Vec::new(),
        }))))
    }

    /// Whoever holds this for an action that panics is a test that fails already.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an operation at a point, unless it is to fail; `change` does it and says so to the log.
    fn run<T>(
        &self,
        operation: Operation,
        subject: Subject,
        path: &Path,
        change: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let point = Point::of(operation, subject);
        let (mut state, fault) = self.begin(point, path);
        match fault {
            Some(Fault::IoAfterwards) => {
                change(&mut state)?;
                Err(Fault::IoAfterwards.error())
            }
            Some(fault) => Err(fault.error()),
            None => change(&mut state),
        }
    }

    /// Notes an operation, and tells what is to go wrong at it.
    fn begin(&self, point: Point, path: &Path) -> (MutexGuard<'_, State>, Option<Fault>) {
        let mut state = self.lock();
        if let Some(at) = state
            .hooks
            .iter()
            .position(|(awaited, _)| *awaited == point)
        {
            let (_, action) = state.hooks.remove(at);
            drop(state);
            action();
            state = self.lock();
        }
        let fault = state.admit(point);
        if !state.has_crashed {
            state.operations.push((point, path.to_owned()));
        }
        (state, fault)
    }

    /// Runs a sync. One that fails leaves what it was to make durable in doubt for good, unless it was
    /// interrupted.
    fn sync(&self, point: Point, path: &Path, synced: Synced<'_>) -> io::Result<()> {
        let (mut state, fault) = self.begin(point, path);
        let time = state.operations.len();
        let is_ignored = state.ignored.contains(&point)
            || time
                .checked_sub(1)
                .is_some_and(|at| state.ignored_operations.contains(&at));
        match fault {
            None if is_ignored => Ok(()),
            None => state.log.sync(time, synced, true),
            Some(fault) => {
                if matches!(fault, Fault::Io | Fault::NoSpace) {
                    state.log.sync(time, synced, false)?;
                    let is_of_names = matches!(synced, Synced::Directory(_));
                    state.num_failed_syncs += usize::from(!is_of_names);
                }
                Err(fault.error())
            }
        }
    }
}

impl State {
    fn admit(&mut self, point: Point) -> Option<Fault> {
        if self.has_crashed {
            return Some(Fault::Crash);
        }
        let (target, num_before, fault) = self.plan.as_mut()?;
        let is_meant = match target {
            Target::Any => true,
            Target::At(awaited) => *awaited == point,
        };
        if !is_meant {
            return None;
        }
        if *num_before > 0 {
            *num_before -= 1;
            return None;
        }
        let fault = *fault;
        self.plan = None;
        self.has_failed = true;
        self.has_crashed = fault == Fault::Crash;
        Some(fault)
    }

    /// When the operation in hand happens, as the log counts.
    fn time(&self) -> usize {
        self.operations.len()
    }
}

impl Disk for SimDisk {
    fn create_file(&self, subject: Subject, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.run(Operation::CreateFile, subject, path, |state| {
            let file = LocalDisk.create_file(subject, path)?;
            let time = state.time();
            let inode = state.log.create(time, path, false)?;
            Ok(Box::new(SimFile {
                disk: self.clone(),
                subject,
                path: path.to_owned(),
                inode,
                file,
            }) as Box<dyn DiskFile>)
        })
    }

    fn create_dir(&self, subject: Subject, path: &Path) -> io::Result<()> {
        self.run(Operation::CreateDir, subject, path, |state| {
            LocalDisk.create_dir(subject, path)?;
            let time = state.time();
            state.log.create(time, path, true).map(|_| ())
        })
    }

    fn rename_new(&self, subject: Subject, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Operation::Rename, subject, to, |state| {
            LocalDisk.rename_new(subject, from, to)?;
            let time = state.time();
            state.log.link(time, from, to)?;
            state.log.remove(time, from)
        })
    }

    fn exchange(&self, subject: Subject, one: &Path, other: &Path) -> io::Result<bool> {
        self.run(Operation::Exchange, subject, other, |state| {
            let there = state.log.find_both(one, other)?;
            let is_done = LocalDisk.exchange(subject, one, other)?;
            if is_done {
                let time = state.time();
                state.log.exchange(time, one, other, there)?;
            }
            Ok(is_done)
        })
    }

    fn link_new(&self, subject: Subject, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Operation::Link, subject, to, |state| {
            LocalDisk.link_new(subject, from, to)?;
            let time = state.time();
            state.log.link(time, from, to)
        })
    }

    fn remove_file(&self, subject: Subject, path: &Path) -> io::Result<()> {
        self.run(Operation::RemoveFile, subject, path, |state| {
            LocalDisk.remove_file(subject, path)?;
            let time = state.time();
            state.log.remove(time, path)
        })
    }

    fn remove_dir(&self, subject: Subject, path: &Path) -> io::Result<()> {
        self.run(Operation::RemoveDir, subject, path, |state| {
            LocalDisk.remove_dir(subject, path)?;
            let time = state.time();
            state.log.remove(time, path)
        })
    }

    fn list(&self, subject: Subject, directory: &Path) -> io::Result<Vec<Listed>> {
        self.run(Operation::List, subject, directory, |_| {
            let mut listed = LocalDisk.list(subject, directory)?;
            listed.sort();
            Ok(listed)
        })
    }

    fn read(&self, subject: Subject, path: &Path) -> io::Result<Vec<u8>> {
        self.run(Operation::Read, subject, path, |_| {
            LocalDisk.read(subject, path)
        })
    }

    fn sync_dirs(&self, subject: Subject, directories: &[PathBuf]) -> io::Result<()> {
        let point = Point::of(Operation::SyncDirs, subject);
        for directory in directories {
            // As a descriptor is opened first: what is not there cannot be.
            if !self.lock().has_crashed {
                std::fs::metadata(directory)?;
            }
            self.sync(point, directory, Synced::Directory(directory))?;
        }
        Ok(())
    }

    fn file_system(&self, directory: &Path) -> Option<Box<dyn FileSystem>> {
        let state = self.lock();
        let (has_syncfs, num_failed) = (state.has_syncfs, state.num_failed_syncs);
        has_syncfs.then(|| -> Box<dyn FileSystem> {
            Box::new(SimFileSystem {
                disk: self.clone(),
                path: directory.to_owned(),
                num_told: AtomicUsize::new(num_failed),
            })
        })
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    subject: Subject,
    path: PathBuf,
    inode: Inode,
    file: Box<dyn DiskFile>,
}

impl Write for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let point = Point::of(Operation::Write, self.subject);
        let (mut state, fault) = self.disk.begin(point, &self.path);
        let bytes = match fault {
            None | Some(Fault::IoAfterwards) => bytes,
            // A part may be there when there is no more room, or the rest cannot be written.
            Some(Fault::ShortWrite | Fault::Io | Fault::NoSpace) => {
                &bytes[..bytes.len().div_ceil(2)]
            }
            Some(fault) => return Err(fault.error()),
        };
        self.file.write_all(bytes)?;
        let time = state.time();
        state.log.write(time, self.inode, bytes);
        match fault {
            Some(fault) if fault != Fault::ShortWrite => Err(fault.error()),
            _ => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for SimFile {
    fn sync(&mut self) -> io::Result<()> {
        let point = Point::of(Operation::SyncFile, self.subject);
        self.disk.sync(point, &self.path, Synced::File(self.inode))
    }
}

#[derive(Debug)]
struct SimFileSystem {
    disk: SimDisk,
    path: PathBuf,
    /// Of so many failed syncs it was told, or they came before it was opened.
    num_told: AtomicUsize,
}

impl FileSystem for SimFileSystem {
    fn sync(&self, subject: Subject) -> io::Result<()> {
        let point = Point::of(Operation::SyncFileSystem, subject);
        let synced = self.disk.sync(point, &self.path, Synced::Everything);
        let num_failed = self.disk.lock().num_failed_syncs;
        let num_told = self.num_told.swap(num_failed, Ordering::Relaxed);
        match num_failed > num_told {
            true => synced.and(Err(Fault::Io.error())),
            false => synced,
        }
    }
}

#[cfg(test)]
mod tests;
