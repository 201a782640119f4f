//! The disk of this machine.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Disk, DiskFile, FileSystem, Listed, Subject};
use crate::regular;

/// Threads that sync directories at once.
const SYNC_THREADS: usize = 8;

/// The disk of this machine, or whatever a path leads to.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn create_file(&self, _subject: Subject, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(LocalFile(File::create_new(path)?)))
    }

    fn create_dir(&self, _subject: Subject, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename_new(&self, _subject: Subject, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
                // A file system without the flag.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
                result => return Ok(result?),
            }
        }
        if to.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(from, to)
    }

    #[cfg(target_os = "linux")]
    fn exchange(&self, _subject: Subject, one: &Path, other: &Path) -> io::Result<bool> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn exchange(&self, _subject: Subject, _one: &Path, _other: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn link_new(&self, _subject: Subject, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, _subject: Subject, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, _subject: Subject, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, _subject: Subject, directory: &Path) -> io::Result<Vec<Listed>> {
        let listed = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok(Listed {
                // Of one that is gone by now nothing is known.
                is_dir: entry.file_type().is_ok_and(|kind| kind.is_dir()),
                name: entry.file_name(),
            })
        };
        fs::read_dir(directory)?.map(listed).collect()
    }

    fn read(&self, _subject: Subject, path: &Path) -> io::Result<Vec<u8>> {
        regular::read(path)
    }

    fn sync_dirs(&self, _subject: Subject, directories: &[PathBuf]) -> io::Result<()> {
        sync_at_once(directories)
    }

    #[cfg(target_os = "linux")]
    fn file_system(&self, directory: &Path) -> Option<Box<dyn FileSystem>> {
        let file = File::open(directory).ok()?;
        let is_enough = kernel_reports_syncfs_errors()
            && rustix::fs::fstatfs(&file).is_ok_and(|s| is_local(s.f_type));
        is_enough.then(|| -> Box<dyn FileSystem> { Box::new(LocalFileSystem(file)) })
    }

    #[cfg(not(target_os = "linux"))]
    fn file_system(&self, _directory: &Path) -> Option<Box<dyn FileSystem>> {
        None
    }
}

#[derive(Debug)]
struct LocalFile(File);

impl Write for LocalFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for LocalFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// A file system, by a descriptor of something in it.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct LocalFileSystem(File);

#[cfg(target_os = "linux")]
impl FileSystem for LocalFileSystem {
    fn sync(&self, _subject: Subject) -> io::Result<()> {
        Ok(rustix::io::retry_on_intr(|| rustix::fs::syncfs(&self.0))?)
    }
}

/// Syncs each directory by itself, on this thread and on up to [`SYNC_THREADS`] - 1
/// others that end with it.
fn sync_at_once(directories: &[PathBuf]) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let sync_some = || -> io::Result<()> {
        while let Some(path) = directories.get(next.fetch_add(1, Ordering::Relaxed)) {
            File::open(path)?.sync_all()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for index in 1..SYNC_THREADS.min(directories.len()) {
            let started = std::thread::Builder::new()
                .name(format!("trace-sync-{index}"))
                .spawn_scoped(scope, sync_some);
            match started {
                Ok(worker) => workers.push(worker),
                Err(error) => tracing::debug!(%error, "syncing with fewer threads"),
            }
        }
        let synced = sync_some();
        workers.into_iter().fold(synced, |synced, worker| {
            synced.and(worker.join().expect("syncing a directory does not panic"))
        })
    })
}

/// From Linux 5.8 on `syncfs` reports write errors of the whole file system.
#[cfg(target_os = "linux")]
fn kernel_reports_syncfs_errors() -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 8)
}

/// Whether `statfs` names a file system on a local disk or in memory. Network file systems and
/// stacked ones (overlayfs) do not promise that `syncfs` reaches the disk, or says if it does not.
#[cfg(target_os = "linux")]
fn is_local(f_type: i64) -> bool {
    const EXT: i64 = 0xEF53;
    const XFS: i64 = 0x5846_5342;
    const BTRFS: i64 = 0x9123_683E;
    const F2FS: i64 = 0xF2F5_2010;
    const TMPFS: i64 = 0x0102_1994;
    [EXT, XFS, BTRFS, F2FS, TMPFS].contains(&f_type)
}
