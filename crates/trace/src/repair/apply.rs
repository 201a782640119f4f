//! Doing what a plan says, so that whoever is interrupted in it can begin again.
//!
//! First what is done, and why, is written down, and the new history beside the old one. Then whatever goes
//! has a second name in `damaged/`: until then nothing is gone from its place. Then the history is put in
//! place, which has a copy of `run.json`, and then that. Last the first names go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::locks::{Locks, lock_existing};
use super::named::Renamed;
use super::plan::Plan;
use super::switch::{switch, write_log};
use super::{DAMAGED_DIR, LINKED_DIR, MovedFile, RepairError};
use crate::disk::{Disk, Subject, retried};
use crate::durable;
use crate::place::{COMMITS_DIR, RUN_FILE};
use crate::walk::{Links, visit_files};

/// What a repair did, as JSON, in the directory that it moved files to.
pub const REPAIR_REPORT_FILE: &str = "report.json";

/// Where the new history is written; the old one has this name for a moment as well.
const STAGED_COMMITS: &str = "commits.new";

/// As of the history, of `run.json`.
const STAGED_RUN_FILE: &str = "run.json.new";

/// Why what is behind a link, or a mount, stays where it is.
const ELSEWHERE: &str = "is on another file system than the run, behind a link or a mount: copy the run as a whole \
                         (cp -rL), and repair the copy";

#[derive(Serialize)]
struct Report<'a> {
    time: String,
    actions: &'a [String],
    lost: &'a [String],
    moved: &'a [MovedFile],
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
    let commits = root.join(COMMITS_DIR);
    let staged = damaged.join(STAGED_COMMITS);
    if let Some(records) = &plan.records {
        write_log(disk, &staged, records)?;
    }
    let run_file = root.join(RUN_FILE);
    // Until the history is switched nothing has gone from its place.
    let unmoved = |error: RepairError| error.if_elsewhere(damaged);
    link_aside(disk, root, damaged, &kept(root, &plan)?).map_err(unmoved)?;
    give_back(disk, root, &plan.renamed).map_err(unmoved)?;
    if plan.records.is_some() {
        let had_commits = durable::is_taken(&commits);
        switch(disk, Subject::History, &staged, &commits).map_err(unmoved)?;
        if had_commits {
            remove_kept(disk, &staged, &damaged.join(COMMITS_DIR))?;
        }
    }
    if let Some(json) = &plan.run_json {
        let staged = damaged.join(STAGED_RUN_FILE);
        let written = durable::write_new(disk, Subject::RunFile, &staged, json)
            .and_then(|mut file| retried(|| file.sync()));
        written.map_err(RepairError::io("write", &staged))?;
        // Who begins to record meanwhile finds the new file locked as the old one was.
        lock_existing(&staged, &mut locks)?;
        switch(disk, Subject::RunFile, &staged, &run_file)?;
        if durable::is_taken(&staged) {
            let removed = disk.remove_file(Subject::RunFile, &staged);
            removed.map_err(RepairError::io("remove", &staged))?;
        }
    }
    remove_moved(disk, root, &plan.moved)
}

/// What is moved aside or replaced, by its path below the run's directory.
fn kept(root: &Path, plan: &Plan) -> Result<Vec<String>, RepairError> {
    let paths = plan.moved.iter().map(|moved| moved.path.clone());
    let mut kept: Vec<String> = paths.collect();
    if plan.records.is_some() {
        kept.extend(files_below(root, COMMITS_DIR)?);
    }
    if plan.run_json.is_some() && durable::is_taken(&root.join(RUN_FILE)) {
        kept.push(RUN_FILE.to_owned());
    }
    Ok(kept)
}

/// Refuses a run of which something cannot be moved aside, before anything is changed.
///
/// # Errors
/// What that is, and why not.
pub(super) fn check_movable(root: &Path, plan: &Plan) -> Result<(), RepairError> {
    let commits = root.join(COMMITS_DIR);
    if plan.records.is_some() && commits.is_symlink() {
        return Err(RepairError::immovable(&commits, LINKED_DIR));
    }
    let damaged = root.join(DAMAGED_DIR);
    if damaged.is_symlink() {
        let why = "is a link, and what is moved aside stays in the run: remove the link first";
        return Err(RepairError::immovable(&damaged, why));
    }
    let volume = Volume::of_directory(root).map_err(RepairError::io("read", root))?;
    let check = |directory: &Path| {
        let found = Volume::of_directory(directory);
        match found.map_err(RepairError::io("read", directory))? == volume {
            true => Ok(()),
            false => Err(RepairError::immovable(directory, ELSEWHERE)),
        }
    };
    if plan.records.is_some() && commits.is_dir() {
        check(&commits)?;
    }
    for path in kept(root, plan)? {
        let path = root.join(path);
        let metadata = fs::symlink_metadata(&path).map_err(RepairError::io("read", &path))?;
        if metadata.is_dir() {
            let why = "is a directory in the place of a file: move it out of the run first";
            return Err(RepairError::immovable(&path, why));
        }
        check(&durable::directory_above(&path))?;
        if mount_of(&path, Links::Keep) != volume.mount {
            return Err(RepairError::immovable(&path, ELSEWHERE));
        }
    }
    for Renamed { from, to } in &plan.renamed {
        check(&durable::directory_above(&root.join(from)))?;
        // What is missing above it is made there.
        let to = root.join(to);
        let above = to.ancestors().skip(1).find(|above| above.is_dir());
        check(above.unwrap_or(root))?;
    }
    Ok(())
}

/// Where something is, so that a file has second names there, and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Volume {
    device: u64,
    /// One file system may be mounted in several places; none where the kernel does not tell.
    mount: Option<u64>,
}

impl Volume {
    /// That of a directory, where it leads to. Directories are compared, since files of a file system that is laid over
    /// others may have the devices of those.
    #[cfg(unix)]
    fn of_directory(directory: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        Ok(Self {
            device: fs::metadata(directory)?.dev(),
            mount: mount_of(directory, Links::Follow),
        })
    }

    #[cfg(not(unix))]
    fn of_directory(_directory: &Path) -> io::Result<Self> {
        Ok(Self {
            device: 0,
            mount: None,
        })
    }
}

/// By which mount something is reached; Linux says so from 5.8 on.
#[cfg(target_os = "linux")]
fn mount_of(path: &Path, links: Links) -> Option<u64> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let flags = match links {
        Links::Follow => AtFlags::empty(),
        Links::Keep => AtFlags::SYMLINK_NOFOLLOW,
    };
    let found = statx(CWD, path, flags, StatxFlags::MNT_ID).ok()?;
    let is_known = found.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    is_known.then_some(found.stx_mnt_id)
}

#[cfg(not(target_os = "linux"))]
fn mount_of(_path: &Path, _links: Links) -> Option<u64> {
    None
}

/// The files below a directory of the run, as paths below the run's.
fn files_below(root: &Path, dir: &str) -> Result<Vec<String>, RepairError> {
    let mut files = Vec::new();
    visit_files(root, Path::new(dir), Links::Keep, &mut |path, _| {
        files.extend(path.to_str().map(str::to_owned));
    })?;
    Ok(files)
}

/// Gives files a second name, each its path below `damaged`. All of them are durable when this returns.
fn link_aside(
    disk: &dyn Disk,
    root: &Path,
    damaged: &Path,
    paths: &[String],
) -> Result<(), RepairError> {
    let subject = Subject::Damaged;
    let mut touched = Vec::new();
    for path in paths {
        let (from, to) = (root.join(path), damaged.join(path));
        let above = durable::directory_above(&to);
        durable::create_missing_dirs(disk, subject, &above, &mut touched)
            .map_err(RepairError::io("make", &above))?;
        disk.link_new(subject, &from, &to)
            .map_err(RepairError::io("give a second name to", &from))?;
        touched.push(above);
    }
    sync_all(disk, touched)
}

/// Gives files the names back that records have for them; they keep the others until all is in place. All of them
/// are durable when this returns.
fn give_back(disk: &dyn Disk, root: &Path, renamed: &[Renamed]) -> Result<(), RepairError> {
    let subject = Subject::Damaged;
    let mut touched = Vec::new();
    for Renamed { from, to } in renamed {
        let (from, to) = (root.join(from), root.join(to));
        let above = durable::directory_above(&to);
        durable::create_missing_dirs(disk, subject, &above, &mut touched)
            .map_err(RepairError::io("make", &above))?;
        disk.link_new(subject, &from, &to)
            .map_err(RepairError::io("give its name again to", &from))?;
        touched.push(above);
    }
    sync_all(disk, touched)
}

/// Removes what was replaced, as far as it is kept; a directory in which there is more stays.
fn remove_kept(disk: &dyn Disk, replaced: &Path, kept: &Path) -> Result<(), RepairError> {
    let listed = retried(|| disk.list(Subject::History, replaced));
    for entry in listed.map_err(RepairError::io("list", replaced))? {
        let path = replaced.join(&entry.name);
        let kept = kept.join(&entry.name);
        if !entry.is_dir && (kept.exists() || kept.is_symlink()) {
            let removed = disk.remove_file(Subject::History, &path);
            removed.map_err(RepairError::io("remove", &path))?;
        }
    }
    match disk.remove_dir(Subject::History, replaced) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
            Err(RepairError::io("remove", replaced)(error))
        }
        _ => Ok(()),
    }
}

/// Removes the first names of files that were moved.
fn remove_moved(disk: &dyn Disk, root: &Path, files: &[MovedFile]) -> Result<(), RepairError> {
    let mut touched = Vec::new();
    for MovedFile { path, .. } in files {
        let path = root.join(path);
        let removed = disk.remove_file(Subject::Damaged, &path);
        removed.map_err(RepairError::io("remove", &path))?;
        touched.push(durable::directory_above(&path));
    }
    sync_all(disk, touched)
}

fn sync_all(disk: &dyn Disk, mut directories: Vec<PathBuf>) -> Result<(), RepairError> {
    directories.sort_unstable();
    directories.dedup();
    for dir in directories {
        durable::sync_directory(disk, Subject::Damaged, &dir)
            .map_err(RepairError::io("sync", &dir))?;
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
    let path = damaged.join(REPAIR_REPORT_FILE);
    let subject = Subject::Damaged;
    let written = durable::write_new(disk, subject, &path, &json)
        .and_then(|mut file| retried(|| file.sync()));
    written.map_err(RepairError::io("write", &path))?;
    durable::sync_directory(disk, subject, damaged).map_err(RepairError::io("sync", damaged))
}
