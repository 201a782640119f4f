//! Making files durable: what is renamed or linked into place survives a power failure.
//!
//! Two ways to the same promise. One `syncfs` flushes a whole file system, which is several times
//! cheaper than a sync a file and a directory when a publish has many small files. Elsewhere whoever
//! writes a file syncs it, through the descriptor that wrote it: an error of writing back is told once,
//! and to descriptors that were open then, so that one that is opened for the sync may never hear of it.
//! Directories are synced several at a time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fault;

/// How long one flush of the file system may take before the rest of the run goes back to a sync
/// a file: `syncfs` also writes what other programs left in the page cache.
pub const SLOW_BARRIER: Duration = Duration::from_secs(1);

/// Threads that sync directories at once where each is synced by itself.
const SYNC_THREADS: usize = 8;

/// How files and names become durable.
#[derive(Debug)]
pub struct Durability {
    /// Where `syncfs` is enough: the file system, through a descriptor that was opened before the first
    /// write, so that an error of any write since then is reported.
    file_system: Option<File>,
    by_file: SyncByFile,
}

/// Whether each file is synced by who writes it; shared with them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SyncByFile(Arc<AtomicBool>);

impl SyncByFile {
    /// Syncs a file that was written to its end through `file`, if that is how files become durable;
    /// returns whether it was.
    ///
    /// # Errors
    /// If anything could not be written. The file is then in doubt for good: a later sync that
    /// succeeds proves nothing about it.
    pub(crate) fn sync(&self, file: &File, path: &Path) -> io::Result<bool> {
        if !self.0.load(Ordering::Relaxed) {
            return Ok(false);
        }
        fault::check("sync", path)?;
        file.sync_all()?;
        Ok(true)
    }
}

impl Durability {
    /// The cheapest way that `directory`'s file system and the kernel promise to be enough.
    pub fn for_directory(directory: &Path) -> Self {
        let mut durability = Self {
            file_system: None,
            by_file: SyncByFile::default(),
        };
        durability.set(syncable_file_system(directory));
        durability
    }

    /// Syncs the file system, or file by file where there is none.
    pub(crate) fn set(&mut self, file_system: Option<File>) {
        self.by_file
            .0
            .store(file_system.is_none(), Ordering::Relaxed);
        self.file_system = file_system;
    }

    /// From now on files are synced one by one. Those that are being written are as durable as before.
    pub(crate) fn sync_by_file(&self) {
        self.by_file.0.store(true, Ordering::Relaxed);
    }

    /// What tells those who write files whether they sync them.
    pub(crate) fn by_file(&self) -> &SyncByFile {
        &self.by_file
    }

    /// Returns once the files that were written before are durable, of which `are_synced` says whether
    /// each was by who wrote it, and the entries of `directories`.
    ///
    /// # Errors
    /// If anything could not be written. The files are then in doubt for good: a later sync that
    /// succeeds proves nothing about them.
    pub fn barrier(&mut self, are_synced: bool, directories: &[PathBuf]) -> io::Result<()> {
        let by_file = self.by_file.0.load(Ordering::Relaxed);
        match &self.file_system {
            // Where syncing the file system has become slow, some files may still have no other way.
            Some(file_system) if !by_file || !are_synced => {
                let start = Instant::now();
                fault::check("sync file system", Path::new(""))?;
                sync_file_system(file_system)?;
                if !by_file && start.elapsed() > SLOW_BARRIER {
                    tracing::info!(
                        elapsed_ms = start.elapsed().as_millis() as u64,
                        "flushing the file system is slow here, syncing file by file from now on"
                    );
                    self.sync_by_file();
                }
                Ok(())
            }
            _ => sync_all(directories.iter()),
        }
    }
}

/// The file system of a directory, if one sync of it is enough.
#[cfg(target_os = "linux")]
fn syncable_file_system(directory: &Path) -> Option<File> {
    let file = File::open(directory).ok()?;
    let is_enough = kernel_reports_syncfs_errors()
        && rustix::fs::fstatfs(&file).is_ok_and(|s| is_local(s.f_type));
    is_enough.then_some(file)
}

#[cfg(not(target_os = "linux"))]
fn syncable_file_system(_directory: &Path) -> Option<File> {
    None
}

#[cfg(target_os = "linux")]
fn sync_file_system(file_system: &File) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| {
        rustix::fs::syncfs(file_system)
    })?)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_file_system: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Syncs each directory by itself, on this thread and on up to [`SYNC_THREADS`] - 1
/// others that end with it.
fn sync_all<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> io::Result<()> {
    let paths: Vec<&PathBuf> = paths.collect();
    for path in &paths {
        fault::check("sync", path)?;
    }
    let next = AtomicUsize::new(0);
    let sync_some = || -> io::Result<()> {
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            File::open(path)?.sync_all()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for index in 1..SYNC_THREADS.min(paths.len()) {
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

/// Creates `path` and the directories above it that are missing; each new entry is durable.
pub(crate) fn create_dir_all(path: &Path) -> io::Result<()> {
    let mut created = Vec::new();
    create_missing_dirs(path, &mut created)?;
    sync_all(created.iter())
}

/// Creates the missing directories down to `path`, noting in `touched` the directories whose
/// entries changed, so that a later barrier can cover them.
pub(crate) fn create_missing_dirs(path: &Path, touched: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = directory_above(path);
    create_missing_dirs(&parent, touched)?;
    fault::check("create directory", path)?;
    match fs::create_dir(path) {
        Ok(()) => {
            touched.push(parent);
            Ok(())
        }
        // What is there may not be a directory, or nobody may look: a file system that has failed says so then.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(path) {
            Ok(there) if there.is_dir() => Ok(()),
            Err(unseen) if unseen.kind() != io::ErrorKind::NotFound => Err(unseen),
            _ => Err(e),
        },
        Err(e) => Err(e),
    }
}

/// Writes `bytes` to `staged`, makes them durable, and gives them the name `path`, durably,
/// unless that name is taken.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if `path` exists: its bytes are as they were.
pub(crate) fn create_once(staged: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    link_once(staged, path, bytes)?;
    sync_directory(path.parent().expect("a file's path has a parent"))
}

/// As [`create_once`], but whether the name survives a crash is open until its directory is
/// synced; the bytes are durable.
pub(crate) fn link_once(staged: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let result = write_new(staged, bytes)
        .and_then(|file| {
            fault::check("sync", staged)?;
            file.sync_all()
        })
        .and_then(|()| link_new(staged, path));
    remove_if_there(staged);
    result
}

/// Gives a file a second name, unless that is taken (`ARCHITECTURE.md`, invariant 5).
pub(crate) fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    fault::check("link", to)?;
    fs::hard_link(from, to)
}

/// Creates a file that was not there.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    fault::check("create file", path)?;
    let mut file = File::create_new(path)?;
    fault::check("write file", path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// The directory that has the name of this one: `.` where a relative path has one component.
pub(crate) fn directory_above(path: &Path) -> PathBuf {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    fault::check("sync", directory)?;
    File::open(directory)?.sync_all()
}

/// Renames, unless `to` is taken: a published name is never given other bytes
/// (`ARCHITECTURE.md`, invariant 5).
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    fault::check("rename", to)?;
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

/// Removes a file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fault::check("remove file", path)?;
    fs::remove_file(path)
}

/// Removes a directory, if there is nothing in it.
pub(crate) fn remove_empty_dir(path: &Path) -> io::Result<()> {
    fault::check("remove directory", path)?;
    fs::remove_dir(path)
}

/// Removes a file of ours that may be gone already; what cannot be removed does no harm.
pub(crate) fn remove_if_there(path: &Path) {
    if fault::has_crashed() {
        return;
    }
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(path = %path.display(), %error, "could not remove a file");
    }
}
