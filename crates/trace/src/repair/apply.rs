//! Doing what a plan says, so that whoever is interrupted in it can begin again.
//!
//! First what is moved, and why, is written down, and the new history beside the old one. Then bad files are
//! moved: their captures could not be read before. Then the history is put in place, which has a copy of
//! `run.json`, and last that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::locks::{Locks, lock_existing};
use super::plan::Plan;
use super::switch::{OLD_COMMITS, UPGRADE_DIR, switch, write_log};
use super::{DAMAGED_DIR, MovedFile, RepairError};
use crate::disk::{Disk, Subject, retried};
use crate::durable;
use crate::run::{COMMITS_DIR, RUN_FILE};

/// What was done, in the directory of what was moved.
const REPORT_FILE: &str = "report.json";

/// Where the new history is written; the old one has this name for a moment as well.
const STAGED_COMMITS: &str = "commits.new";

/// As of the history, of `run.json`.
const STAGED_RUN_FILE: &str = "run.json.new";

#[derive(Serialize)]
struct Report<'a> {
    time: String,
    actions: &'a [String],
    lost: &'a [String],
    moved: &'a [MovedFile],
}

/// The directory of the commits; where a repair or an upgrade was interrupted that had moved it away, that
/// one.
pub(super) fn commits_dir(root: &Path) -> Result<PathBuf, RepairError> {
    let commits = root.join(COMMITS_DIR);
    if commits.exists() {
        return Ok(commits);
    }
    let of_upgrade = root.join(UPGRADE_DIR).join(OLD_COMMITS);
    if of_upgrade.is_dir() {
        return Ok(of_upgrade);
    }
    let last = numbered(root)?.last().copied().unwrap_or(0);
    let last = root.join(DAMAGED_DIR).join(last.to_string());
    let moved = last.join(COMMITS_DIR);
    // Once the new one is in place, it is not there any more.
    let is_interrupted = last.join(STAGED_COMMITS).is_dir() && moved.is_dir();
    Ok(if is_interrupted { moved } else { commits })
}

/// Where the next repair moves what is damaged.
pub(super) fn next_damaged(root: &Path) -> Result<PathBuf, RepairError> {
    let last = numbered(root)?.last().copied().unwrap_or(0);
    Ok(root.join(DAMAGED_DIR).join((last + 1).to_string()))
}

/// The numbers of the repairs so far, in order.
fn numbered(root: &Path) -> Result<Vec<u32>, RepairError> {
    let dir = root.join(DAMAGED_DIR);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(RepairError::io("list", &dir))?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry.map_err(RepairError::io("list", &dir))?;
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        // One less than the last: there is always a next.
        numbers.extend(number.filter(|number: &u32| *number < u32::MAX));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Does what the plan says.
pub(super) fn apply(
    disk: &dyn Disk,
    root: &Path,
    damaged: &Path,
    plan: Plan,
    mut locks: Locks,
) -> Result<(), RepairError> {
    durable::create_dir_all(disk, Subject::Damaged, damaged)
        .map_err(RepairError::io("write", damaged))?;
    write_report(disk, damaged, &plan)?;
    let staged = damaged.join(STAGED_COMMITS);
    if let Some(records) = &plan.records {
        write_log(disk, &staged, records)?;
    }
    move_aside(disk, root, damaged, &plan.moved)?;
    if plan.records.is_some() {
        let commits = root.join(COMMITS_DIR);
        let old = damaged.join(COMMITS_DIR);
        switch(disk, Subject::History, &staged, &commits, &old)?;
    }
    if let Some(json) = &plan.run_json {
        let staged = damaged.join(STAGED_RUN_FILE);
        let written = durable::write_new(disk, Subject::RunFile, &staged, json)
            .and_then(|mut file| retried(|| file.sync()));
        written.map_err(RepairError::io("write", &staged))?;
        // Who begins to record meanwhile finds the new file locked as the old one was.
        lock_existing(&staged, &mut locks)?;
        let path = root.join(RUN_FILE);
        let old = damaged.join(RUN_FILE);
        switch(disk, Subject::RunFile, &staged, &path, &old)?;
    }
    Ok(())
}

fn write_report(disk: &dyn Disk, damaged: &Path, plan: &Plan) -> Result<(), RepairError> {
    let report = Report {
        time: crate::time::now(),
        actions: &plan.actions,
        lost: &plan.lost,
        moved: &plan.moved,
    };
    let mut json = serde_json::to_vec_pretty(&report).expect("all keys are text");
    json.push(b'\n');
    let path = damaged.join(REPORT_FILE);
    let subject = Subject::Damaged;
    let written = durable::write_new(disk, subject, &path, &json)
        .and_then(|mut file| retried(|| file.sync()));
    written.map_err(RepairError::io("write", &path))?;
    durable::sync_directory(disk, subject, damaged).map_err(RepairError::io("sync", damaged))
}

/// Moves part files, each to its path below `damaged`.
fn move_aside(
    disk: &dyn Disk,
    root: &Path,
    damaged: &Path,
    files: &[MovedFile],
) -> Result<(), RepairError> {
    let subject = Subject::Damaged;
    let mut touched = Vec::new();
    for MovedFile { path, .. } in files {
        let (from, to) = (root.join(path), damaged.join(path));
        let above = durable::directory_above(&to);
        durable::create_missing_dirs(disk, subject, &above, &mut touched)
            .map_err(RepairError::io("make", &above))?;
        disk.rename_new(subject, &from, &to)
            .map_err(RepairError::io("move", &from))?;
        touched.push(above);
        touched.push(durable::directory_above(&from));
    }
    touched.sort_unstable();
    touched.dedup();
    for dir in touched {
        durable::sync_directory(disk, subject, &dir).map_err(RepairError::io("sync", &dir))?;
    }
    Ok(())
}
