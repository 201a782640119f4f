//! Making files durable: what is renamed or linked into place survives a power failure.
//!
//! Two ways to the same promise. One `syncfs` flushes a whole file system, which is several times
//! cheaper than a sync a file and a directory when a publish has many small files. Elsewhere whoever
//! writes a file syncs it, through the descriptor that wrote it: an error of writing back is told once,
//! and to descriptors that were open then, so that one that is opened for the sync may never hear of it.
//! Directories are synced several at a time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::disk::{Disk, DiskFile, FileSystem, Subject, retried};
use crate::room::with_room;

/// How long one flush of the file system may take before the rest of the run goes back to a sync
/// a file: `syncfs` also writes what other programs left in the page cache.
pub const SLOW_BARRIER: Duration = Duration::from_secs(1);

/// How files and names become durable.
#[derive(Debug)]
pub struct Durability {
    disk: Arc<dyn Disk>,
    /// Where `syncfs` is enough: the file system, opened before the first write, so that an error of any
    /// write since then is reported.
    file_system: Option<Box<dyn FileSystem>>,
    by_file: SyncByFile,
}

/// Whether each file is synced by who writes it; shared with them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SyncByFile(Arc<AtomicBool>);

impl SyncByFile {
    /// Whether it is.
    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Syncs a file that was written to its end through `file`, if that is how files become durable;
    /// returns whether it was.
    ///
    /// # Errors
    /// If anything could not be written. The file is then in doubt for good: a later sync that
    /// succeeds proves nothing about it.
    pub(crate) fn sync(&self, file: &mut dyn DiskFile) -> io::Result<bool> {
        if !self.is_on() {
            return Ok(false);
        }
        retried(|| file.sync())?;
        Ok(true)
    }
}

impl Durability {
    /// The cheapest way that `directory`'s file system and the kernel promise to be enough.
    pub fn for_directory(disk: Arc<dyn Disk>, directory: &Path) -> Self {
        let file_system = disk.file_system(directory);
        let by_file = SyncByFile::default();
        by_file.0.store(file_system.is_none(), Ordering::Relaxed);
        Self {
            disk,
            file_system,
            by_file,
        }
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
    /// each was by who wrote it, and the entries of `directories`. They are `subject`'s.
    ///
    /// # Errors
    /// If anything could not be written. The files are then in doubt for good: a later sync that
    /// succeeds proves nothing about them.
    pub fn barrier(
        &self,
        subject: Subject,
        are_synced: bool,
        directories: &[PathBuf],
    ) -> io::Result<()> {
        let by_file = self.by_file.is_on();
        match &self.file_system {
            // Where syncing the file system has become slow, some files may still have no other way.
            Some(file_system) if !by_file || !are_synced => {
                let start = Instant::now();
                retried(|| file_system.sync(subject))?;
                if !by_file && start.elapsed() > SLOW_BARRIER {
                    tracing::info!(
                        elapsed_ms = start.elapsed().as_millis() as u64,
                        "flushing the file system is slow here, syncing file by file from now on"
                    );
                    self.sync_by_file();
                }
                Ok(())
            }
            _ if directories.is_empty() => Ok(()),
            _ => retried(|| self.disk.sync_dirs(subject, directories)),
        }
    }
}

/// Creates `path` and the directories above it that are missing; each new entry is durable.
pub(crate) fn create_dir_all(disk: &dyn Disk, subject: Subject, path: &Path) -> io::Result<()> {
    let mut touched = Vec::new();
    create_missing_dirs(disk, subject, path, &mut touched)?;
    match touched.is_empty() {
        true => Ok(()),
        false => retried(|| disk.sync_dirs(subject, &touched)),
    }
}

/// Creates the missing directories down to `path`, noting in `touched` the directories whose
/// entries changed, so that a later barrier can cover them.
pub(crate) fn create_missing_dirs(
    disk: &dyn Disk,
    subject: Subject,
    path: &Path,
    touched: &mut Vec<PathBuf>,
) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = directory_above(path);
    create_missing_dirs(disk, subject, &parent, touched)?;
    match disk.create_dir(subject, path) {
        Ok(()) => {
            touched.push(parent);
            Ok(())
        }
        // What is there may not be a directory, or nobody may look: a file system that has failed says so then.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => Ok(()),
            Err(unseen) if unseen.kind() != io::ErrorKind::NotFound => Err(unseen),
            _ => Err(e),
        },
        Err(e) => Err(e),
    }
}

/// Writes `bytes` to `staged`, makes them durable, and gives them the name `path`, unless that is
/// taken. Whether the name survives a crash is open until its directory is synced.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if `path` exists: its bytes are as they were.
pub(crate) fn link_once(
    disk: &dyn Disk,
    subject: Subject,
    staged: &Path,
    path: &Path,
    bytes: &[u8],
) -> io::Result<()> {
    let result = write_new(disk, subject, staged, bytes)
        .and_then(|mut file| retried(|| file.sync()))
        .and_then(|()| disk.link_new(subject, staged, path));
    remove_if_there(disk, subject, staged);
    result
}

/// Creates a file that was not there.
pub(crate) fn write_new(
    disk: &dyn Disk,
    subject: Subject,
    path: &Path,
    bytes: &[u8],
) -> io::Result<Box<dyn DiskFile>> {
    let mut file = retried(|| disk.create_file(subject, path))?;
    let needed = bytes.len() as u64;
    file.write_all(bytes)
        .map_err(|error| with_room(error, path, Some(needed)))?;
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
pub(crate) fn sync_directory(
    disk: &dyn Disk,
    subject: Subject,
    directory: &Path,
) -> io::Result<()> {
    let directory = [directory.to_owned()];
    retried(|| disk.sync_dirs(subject, &directory))
}

/// Removes a file of ours that may be gone already; what cannot be removed does no harm.
pub(crate) fn remove_if_there(disk: &dyn Disk, subject: Subject, path: &Path) {
    if let Err(error) = disk.remove_file(subject, path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(path = %path.display(), %error, "could not remove a file");
    }
}

/// Removes a directory with what is in it. Nothing is removed where a link leads to: it may be anybody's.
///
/// # Errors
/// If it is a link, or anything in it cannot be removed.
pub(crate) fn remove_dir_all(disk: &dyn Disk, subject: Subject, path: &Path) -> io::Result<()> {
    if path.is_symlink() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is a link"));
    }
    for entry in retried(|| disk.list(subject, path))? {
        let path = path.join(entry.name);
        match entry.is_dir {
            true => remove_dir_all(disk, subject, &path)?,
            false => disk.remove_file(subject, &path)?,
        }
    }
    disk.remove_dir(subject, path)
}

/// Whether a name is taken, if only by a link that leads nowhere.
pub(crate) fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::LocalDisk;

    #[test]
    fn a_directory_goes_with_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("staged");
        std::fs::create_dir_all(path.join("below")).unwrap();
        std::fs::write(path.join("below/file"), "abc").unwrap();
        remove_dir_all(&LocalDisk, Subject::Staging, &path).unwrap();
        assert!(!is_taken(&path));
    }

    #[cfg(unix)]
    #[test]
    fn nothing_goes_where_a_link_leads_to() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        std::fs::create_dir(&precious).unwrap();
        std::fs::write(precious.join("file"), "abc").unwrap();
        let link = dir.path().join("link");
        symlink("precious", &link).unwrap();
        let error = remove_dir_all(&LocalDisk, Subject::Staging, &link).unwrap_err();
        assert_eq!(error.to_string(), "it is a link");
        // One in a directory goes itself.
        let path = dir.path().join("staged");
        std::fs::create_dir(&path).unwrap();
        symlink("../precious", path.join("link")).unwrap();
        symlink("nowhere", path.join("other")).unwrap();
        remove_dir_all(&LocalDisk, Subject::Staging, &path).unwrap();
        assert!(!is_taken(&path));
        assert_eq!(std::fs::read(precious.join("file")).unwrap(), b"abc");
        assert!(link.is_symlink());
    }
}
