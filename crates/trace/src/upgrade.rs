//! Upgrading a run of an earlier format: its history says what it would say if it were written today.
//!
//! Part files stay as they are. The checksums of their columns, which their footers lack, go into the records
//! that name them. The new history is written beside the old one and takes its place at once; the old one is
//! removed when that is durable.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::catalog::is_derived;
use crate::caught::caught;
use crate::commit::{CaptureId, CommitRecord, FileEntry};
use crate::disk::{Disk, Listed, LocalDisk, Subject, retried};
use crate::durable;
use crate::history::{self, Log, Segment};
use crate::id::Rank;
use crate::lost_history::is_stray;
use crate::part::PartPath;
use crate::place::{COMMITS_DIR, RUN_FILE};
use crate::regular;
use crate::repair::{
    DAMAGED_DIR, LINKED_DIR, Refusal, RepairError, UPGRADE_DIR, lock_all, rechain, refuse_newer,
    sums, switch, write_log,
};
use crate::run::RunDir;
use crate::table::Table;

/// Where the new history is written.
const STAGED_COMMITS: &str = "commits.new";

/// The number of a file of metrics that tells what was lost, and proves no end; those of moments that were
/// told late are higher.
const LOST_SEQUENCE: u32 = 9;

/// What an upgrade did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpgradeReport {
    /// Records that the history has.
    pub num_records: u64,
    /// Records that now say more.
    pub num_changed: u64,
    /// Files whose columns have checksums now.
    pub num_files: u64,
    /// Ranks of which the history proves that they recorded everything: it says so now.
    pub finished: Vec<Rank>,
}

impl UpgradeReport {
    /// Whether there was anything to do.
    pub fn is_needed(&self) -> bool {
        self.num_changed > 0
    }
}

/// Upgrades the run at `path`, or says what would be done. Reads every byte of the files that lack checksums,
/// and holds the locks of all that write to the run.
///
/// # Errors
/// If somebody writes to the run, something in it is damaged, or the file system refuses.
pub fn upgrade(path: &Path, dry_run: bool) -> Result<UpgradeReport, RepairError> {
    upgrade_on(&(Arc::new(LocalDisk) as Arc<dyn Disk>), path, dry_run)
}

/// As [`upgrade`], on a disk of one's own.
///
/// # Errors
/// As [`upgrade`].
pub fn upgrade_on(
    disk: &Arc<dyn Disk>,
    path: &Path,
    dry_run: bool,
) -> Result<UpgradeReport, RepairError> {
    refuse_links(path)?;
    let _locks = lock_all(path, dry_run)?;
    if !dry_run {
        clear_interrupted(&**disk, path)?;
    }
    let run = RunDir::open_on(Arc::clone(disk), path)?;
    let file = path.join(RUN_FILE);
    let json = regular::read(&file).map_err(io_error("read", &file))?;
    refuse_newer(path, &json)?;
    let log = Log::of(&run);
    let old = history::visit_commits(&log, Vec::new, |records: &mut Vec<_>, record, _| {
        records.push(record)
    })?;
    let committed = old
        .iter()
        .rev()
        .find_map(|r| Some((r.number, r.run_crc32c?)));
    if let Some((number, committed)) = committed {
        history::check_run_file(&run, number, Some(committed))?;
    }
    let mut records = old.clone();
    let num_files = add_checksums(path, &mut records)?;
    // What a repair made of the history proves nothing of what had been in it.
    let finished = match durable::is_taken(&path.join(DAMAGED_DIR)) {
        true => Vec::new(),
        false => add_endings(&mut records),
    };
    let unknown = unknown_endings(&records);
    for (index, record) in records.iter_mut().enumerate() {
        if !unknown.contains(&index) {
            record.run_id = Some(run.info().run_id.clone());
        }
    }
    rechain(&mut records, &run.info().run_id, &json);
    let changed = records.iter().zip(&old).filter(|(new, old)| new != old);
    let report = UpgradeReport {
        num_records: records.len() as u64,
        num_changed: changed.count() as u64,
        num_files,
        finished,
    };
    if report.is_needed() {
        refuse_others(&**disk, &run.commits_dir())?;
    }
    if !dry_run && report.is_needed() {
        let dir = path.join(UPGRADE_DIR);
        let disk = &**disk;
        let staged = dir.join(STAGED_COMMITS);
        write_log(disk, &staged, &records)?;
        let commits = run.commits_dir();
        switch(disk, Subject::History, &staged, &commits)?;
        remove_log(disk, &dir)?;
    }
    Ok(report)
}

/// Refuses a run in which a link is in the place of a directory that is written anew, or removed.
fn refuse_links(root: &Path) -> Result<(), RepairError> {
    let commits = root.join(COMMITS_DIR);
    if commits.is_symlink() {
        return Err(RepairError::immovable(&commits, LINKED_DIR));
    }
    let dir = root.join(UPGRADE_DIR);
    for dir in [dir.join(STAGED_COMMITS), dir] {
        if dir.is_symlink() {
            let why = "is a link, and no upgrade makes one: remove it first";
            return Err(RepairError::immovable(&dir, why));
        }
    }
    Ok(())
}

/// Removes what an interrupted upgrade left: the history that is not in place is not needed, once it is
/// certain which of the two that is.
fn clear_interrupted(disk: &dyn Disk, root: &Path) -> Result<(), RepairError> {
    let dir = root.join(UPGRADE_DIR);
    if !dir.exists() || !root.join(COMMITS_DIR).exists() {
        return Ok(());
    }
    for dir in [root, &dir] {
        let synced = durable::sync_directory(disk, Subject::History, dir);
        synced.map_err(io_error("sync", dir))?;
    }
    remove_log(disk, &dir)
}

/// Refuses a run in whose commits there is more than its history: the old one is removed in the end.
fn refuse_others(disk: &dyn Disk, commits: &Path) -> Result<(), RepairError> {
    let listed = retried(|| disk.list(Subject::Commits, commits));
    let mut listed = listed.map_err(io_error("list", commits))?;
    listed.retain(|entry| !is_of_history(entry));
    listed.sort_unstable();
    let Some(other) = listed.first() else {
        return Ok(());
    };
    let is_stray = other.name.to_str().is_some_and(is_stray);
    let why = match is_stray {
        true => "is called as no record is, so that nobody reads it: `sink repair` the run first",
        false => "is no part of the history: move it out of the run first",
    };
    Err(RepairError::immovable(&commits.join(&other.name), why))
}

fn is_of_history(entry: &Listed) -> bool {
    let name = entry.name.to_str();
    !entry.is_dir && name.is_some_and(|name| Segment::parse(name).is_some())
}

/// Removes a history that is not in place any more, or not yet: its files, and nothing else.
fn remove_log(disk: &dyn Disk, dir: &Path) -> Result<(), RepairError> {
    let staged = dir.join(STAGED_COMMITS);
    match retried(|| disk.list(Subject::History, &staged)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        listed => {
            let listed = listed.map_err(io_error("list", &staged))?;
            if let Some(other) = listed.iter().find(|entry| !is_of_history(entry)) {
                let why = "is no part of the history: move it out of the run first";
                return Err(RepairError::immovable(&staged.join(&other.name), why));
            }
            for entry in &listed {
                let path = staged.join(&entry.name);
                let removed = disk.remove_file(Subject::History, &path);
                removed.map_err(io_error("remove", &path))?;
            }
            let removed = disk.remove_dir(Subject::History, &staged);
            removed.map_err(io_error("remove", &staged))?;
        }
    }
    let removed = disk.remove_dir(Subject::History, dir);
    removed.map_err(io_error("remove", dir))
}

/// Works out the checksums of the columns of files that have none; gives how many there are.
fn add_checksums(root: &Path, records: &mut [CommitRecord]) -> Result<u64, RepairError> {
    let retired = records.iter().flat_map(|record| &record.retired);
    let retired: HashSet<String> = retired.map(|path| path.as_str().to_owned()).collect();
    let mut num_files = 0;
    let files = records.iter_mut().flat_map(|record| &mut record.files);
    for entry in files.filter(|entry| entry.footer().is_none()) {
        if !retired.contains(entry.path.as_str()) {
            num_files += u64::from(add_to(root, entry)?);
        }
    }
    Ok(num_files)
}

/// Works out the checksums of a file's columns; `false` if it has no columns.
fn add_to(root: &Path, entry: &mut FileEntry) -> Result<bool, RepairError> {
    let damaged = |problem: String| RepairError::Damaged {
        path: entry.path.as_str().to_owned(),
        problem,
    };
    let path = root.join(entry.path.as_str());
    // A file that makes its decoder panic is one that cannot be read.
    let sums = caught(|| sums(&path));
    let sums = sums.unwrap_or_else(|panicked| Err(panicked.to_string().into()));
    let sums = sums.map_err(|refusal| match refusal {
        Refusal::Unreadable(error) => io_error("read", &path)(error),
        Refusal::Bad(problem) => damaged(format!("is not what was committed: {problem}")),
        // They are what is worked out here.
        Refusal::Unchecked => damaged("has no checksums".to_owned()),
    })?;
    if sums.bytes != entry.bytes || sums.crc32c != entry.crc32c {
        return Err(damaged(format!(
            "is not what was committed: it has {} bytes with checksum {}, {} with {} were committed",
            sums.bytes, sums.crc32c, entry.bytes, entry.crc32c
        )));
    }
    let Some(footer) = sums.footer.filter(|_| !sums.columns.chunks().is_empty()) else {
        return Ok(false);
    };
    entry.footer_bytes = Some(footer.bytes);
    entry.footer_crc32c = Some(footer.crc32c);
    entry.column_crc32c = (!sums.has_checksums).then_some(sums.columns);
    Ok(true)
}

/// Says of ranks that they recorded everything, where the history proves it.
fn add_endings(records: &mut [CommitRecord]) -> Vec<Rank> {
    let newest = newest_of_ranks(records);
    let proven = newest.into_iter().filter(|(rank, index)| {
        let record = &records[*index];
        record.run_id.is_none() && !record.is_final && proves_end(records, *rank, record)
    });
    let proven: Vec<(Rank, usize)> = proven.collect();
    for (_, index) in &proven {
        records[*index].is_final = true;
    }
    proven.into_iter().map(|(rank, _)| rank).collect()
}

/// The newest record of each rank's recorder.
fn newest_of_ranks(records: &[CommitRecord]) -> BTreeMap<Rank, usize> {
    let recorded = records
        .iter()
        .enumerate()
        .filter(|(_, record)| !is_derived(record));
    recorded
        .map(|(index, record)| (record.rank, index))
        .collect()
}

/// Whether a rank's last record proves that everything was recorded: it has what a recorder writes when all
/// else is committed, a second file of metrics, of the last epoch that its session was to train, and that is
/// captured.
fn proves_end(records: &[CommitRecord], rank: Rank, last: &CommitRecord) -> bool {
    let of_rank = || records.iter().filter(|record| record.rank == rank);
    let config = of_rank().rev().find_map(|record| record.session.as_ref());
    let epochs = config.and_then(|config| config.pointer("/train/epochs"));
    let Some(epochs) = epochs.and_then(Value::as_i64) else {
        return false;
    };
    let is_captured = |id: CaptureId| of_rank().any(|record| record.captures.contains(&id));
    let mut parts = last
        .files
        .iter()
        .flat_map(|file| file.path.parse::<PartPath>());
    parts.any(|part| {
        let id = CaptureId {
            epoch: part.epoch,
            step: part.step,
        };
        part.table == Table::Metrics
            && (1..LOST_SEQUENCE).contains(&part.sequence)
            && epochs.checked_sub(1) == Some(part.epoch.0.into())
            && is_captured(id)
    })
}

/// The records of which nobody can tell whether they are the last of their ranks: they go on to say nothing
/// of their run, as readers know those of which nothing can be told.
fn unknown_endings(records: &[CommitRecord]) -> HashSet<usize> {
    let newest = newest_of_ranks(records).into_values();
    let is_unknown = |index: &usize| records[*index].run_id.is_none() && !records[*index].is_final;
    newest.filter(is_unknown).collect()
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RepairError {
    let path: PathBuf = path.to_owned();
    move |source| RepairError::Io {
        operation,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
