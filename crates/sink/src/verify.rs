//! Is everything that is committed there, whole and readable, and what lies beside it?

mod content;
mod file;
mod ranks;
mod split;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use trace::{
    Activity, COMMITS_DIR, Catalog, Ending, HistoryFaults, LayerLabel, PartialCapture,
    ReadCommitsError, RunDir, STAGING_DIR, Table, with_causes,
};

use crate::files::{RunFilesError, require_commits, walk};
use split::SplitLayers;

/// Why a run could not be verified at all. Damage to a part file is no error but a [`Problem`].
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The commits cannot be listed. Damage to one of them is no error but a [`Problem`] as well.
    #[error(transparent)]
    Commits(#[from] ReadCommitsError),
    /// The run's files cannot be told from others.
    #[error(transparent)]
    Files(#[from] RunFilesError),
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Commits in the run's history.
    pub num_commits: u64,
    /// Whole captures that they name.
    pub num_captures: u64,
    /// Captures of which some ranks have not committed their part: not part of the run yet, and no
    /// problem.
    pub partial: Vec<PartialCapture>,
    /// Files that were checked: all that are committed.
    pub num_files: u64,
    /// Rows that the commits promise.
    pub num_rows: u64,
    /// Bytes that the commits promise.
    pub num_bytes: u64,
    /// What is wrong, in the order of the commits; empty for a run that is whole.
    pub problems: Vec<Problem>,
    /// Files that no commit names, or that one retired: left by a crash, or about to be committed or
    /// removed. Not part of the run, and no problem, unless [`VerifyReport::lacks_commits`].
    pub uncommitted: Vec<UncommittedFile>,
    /// Whether a commit is missing or cannot be trusted: what seems uncommitted or partial may be its.
    pub lacks_commits: bool,
    /// Whether its sessions say that everything was recorded.
    pub ending: Ending,
    /// Whether a commit says what `run.json` was. Where none does, as in runs of format 1.4 and before, neither that
    /// nor which commit comes before which was checked.
    pub is_proven: bool,
    /// Whether a recorder writes the run, as far as can be told; asked only if something is uncommitted
    /// or partial.
    pub activity: Option<Activity>,
}

/// Something that is not as the commits say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, below the run's directory.
    pub path: String,
    /// What was checked.
    pub check: Check,
    /// What it should have been.
    pub expected: String,
    /// What it is.
    pub found: String,
}

/// What is checked of a committed file, in this order, and last of ranks together; after the first
/// failure the rest of the file is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The commits are whole and follow each other, and `run.json` is the one that they name.
    History,
    /// One commit names it, once, or the capture of a rank.
    Unique,
    /// It is there and can be read.
    Presence,
    /// It has the size that its commit says.
    Size,
    /// Its bytes have the checksum that its commit says, and its footer and columns those that they are
    /// read by.
    Checksum,
    /// It ends in a Parquet footer.
    Footer,
    /// The footer says a format version that this run may hold.
    Format,
    /// It has the columns of its table.
    Columns,
    /// Every page can be decoded, and there are as many rows as its commit says.
    Rows,
    /// Its path is that of its partition, and every row of the step, rank and layer that it says.
    Name,
    /// Its rows come in the order of its table.
    Order,
    /// Its rows are of units of its layer that are recorded, in order, each of its neuron and with as many weights as it
    /// has; and each of these units has its row, in this file or in another one of the layer and capture.
    Units,
    /// A capture has files of every layer that the run records.
    Layers,
    /// Where several ranks record a run, each held the weights that rank 0 did.
    Parameters,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Check::History => "history",
            Check::Unique => "unique",
            Check::Presence => "presence",
            Check::Size => "size",
            Check::Checksum => "checksum",
            Check::Footer => "footer",
            Check::Format => "format",
            Check::Columns => "columns",
            Check::Rows => "rows",
            Check::Name => "name",
            Check::Order => "order",
            Check::Units => "units",
            Check::Layers => "layers",
            Check::Parameters => "parameters",
        })
    }
}

/// A file that no commit names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncommittedFile {
    /// Path below the run's directory.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// How far [`verify`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Files checked.
    pub num_files_done: u64,
    /// Files to check.
    pub num_files: u64,
    /// Bytes of the files checked.
    pub bytes_done: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Checks every committed file of a run, and lists what is not committed.
///
/// Reads every byte three times, for the checksum of the file, for those of its columns and to decode it,
/// on several threads that each hold a few megabytes. `progress` is called after each file. A run that is being recorded is
/// verified as of the moment at which its commits were read.
///
/// # Errors
/// If the commits or a directory cannot be read, or there are files and no commits at all.
pub fn verify(
    run: &RunDir,
    progress: &(dyn Fn(VerifyProgress) + Sync),
) -> Result<VerifyReport, VerifyError> {
    let has_commits = require_commits(run)?;
    let (catalog, faults) = read_commits(run)?;
    let mut problems = check_files(run, &catalog, progress);
    if !has_commits {
        problems.push(Problem {
            path: COMMITS_DIR.to_owned(),
            check: Check::Presence,
            expected: "a directory of commits".to_owned(),
            found:
                "nothing, and no files: the run's creation was interrupted, and resuming goes on \
                    with it"
                    .to_owned(),
        });
    }
    if run.info().world_size > 1 {
        let damaged: HashSet<String> = problems.iter().map(|p| p.path.clone()).collect();
        problems.extend(ranks::check(run, &catalog, &damaged));
    }
    problems.extend(lacking(run, &catalog));
    let (doubled, committed) = committed_paths(&catalog);
    problems.extend(doubled);
    problems.extend(doubled_captures(&catalog));
    if !problems.is_empty() {
        // A recorder may have retired some of them since the commits were read.
        let retired = Catalog::retired(run)?;
        let is_retired = |path: &str| committed.contains(path) && retired.contains(path);
        problems.retain(|problem| !is_retired(&problem.path));
    }
    let strays = run.stray_commits().map_err(RunFilesError::from)?;
    let has_strays = !strays.is_empty();
    problems.splice(0..0, strays.into_iter().map(of_stray));
    problems.splice(0..0, faults.iter().map(|error| of_commits(run, error)));
    let uncommitted = uncommitted_files(run, &catalog, &committed)?;
    let partial = catalog.partial_captures().to_vec();
    let is_unfinished = !uncommitted.is_empty() || !partial.is_empty();
    let activity = match is_unfinished {
        true => run.activity().ok(),
        false => None,
    };
    Ok(VerifyReport {
        num_commits: catalog.commits().len() as u64,
        num_captures: catalog.captures().len() as u64,
        partial,
        num_files: catalog.num_files() as u64,
        num_rows: total(catalog.files().map(|file| file.rows)),
        num_bytes: total(catalog.files().map(|file| file.bytes)),
        problems,
        uncommitted,
        lacks_commits: has_strays || !faults.left_out.is_empty(),
        is_proven: catalog.is_proven() || catalog.commits().is_empty(),
        ending: catalog.ending(run.info().world_size),
        activity,
    })
}

/// The commits, as far as they can be trusted, and what is wrong with the others.
fn read_commits(run: &RunDir) -> Result<(Catalog, HistoryFaults), ReadCommitsError> {
    match Catalog::load_with_partial(run) {
        Ok(catalog) => Ok((catalog, HistoryFaults::default())),
        // What is wrong with one record says nothing of the others.
        Err(_) => Catalog::salvage(run),
    }
}

/// The problem of a file in the directory of commits that readers pass over.
fn of_stray(path: String) -> Problem {
    Problem {
        path,
        check: Check::History,
        expected: "the name of a record".to_owned(),
        found: "one that readers pass over, with what it may say".to_owned(),
    }
}

/// A problem for each capture that a rank has committed twice.
fn doubled_captures(catalog: &Catalog) -> impl Iterator<Item = Problem> {
    catalog.doubled_captures().into_iter().map(|doubled| Problem {
        path: COMMITS_DIR.to_owned(),
        check: Check::Unique,
        expected: format!(
            "one commit of the capture at epoch {}, step {} of rank {}",
            doubled.id.epoch, doubled.id.step, doubled.rank
        ),
        found: format!(
            "commits {} and {}: two recorders were at work at once, or one of the commits is none",
            doubled.first, doubled.again
        ),
    })
}

/// A problem for each table of which a capture lacks files.
fn lacking(run: &RunDir, catalog: &Catalog) -> impl Iterator<Item = Problem> {
    let lacking = catalog.lacking_captures(run.info()).into_iter();
    // Of a layer that is there in part, the check of its files says which units are missing.
    let lacking =
        lacking.filter(|lacking| !lacking.layers.is_empty() || lacking.partial.is_empty());
    lacking.map(|lacking| {
        let layers: Vec<&str> = lacking.layers.iter().map(LayerLabel::as_str).collect();
        let of_layers = match layers.is_empty() {
            true => String::new(),
            false => format!(" of {}", layers.join(", ")),
        };
        Problem {
            path: format!("{}/epoch={}", lacking.table, lacking.id.epoch),
            check: Check::Layers,
            expected: format!("a file{of_layers}, as other captures have"),
            found: format!(
                "none of the capture at step {} of rank {}",
                lacking.id.step, lacking.rank
            ),
        }
    })
}

/// A sum of what files say, which may be anything.
fn total(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// What is wrong with the commits, or `run.json`.
fn of_commits(run: &RunDir, error: &ReadCommitsError) -> Problem {
    let path = error.path();
    let below = path.strip_prefix(run.path()).unwrap_or(path);
    Problem {
        path: below.to_string_lossy().into_owned(),
        check: Check::History,
        expected: "what was written when it was committed".to_owned(),
        found: with_causes(error),
    }
}

/// Checks the files one by one, on as many threads as there are cores.
fn check_files(
    run: &RunDir,
    catalog: &Catalog,
    progress: &(dyn Fn(VerifyProgress) + Sync),
) -> Vec<Problem> {
    let num_files = catalog.num_files();
    let bytes = total(catalog.files().map(|file| file.bytes));
    let next = AtomicUsize::new(0);
    let (files_done, bytes_done) = (AtomicU64::new(0), AtomicU64::new(0));
    let problems = Mutex::new(Vec::new());
    let layers = Mutex::new(SplitLayers::of(run, catalog));
    let check_some = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= num_files {
                break;
            }
            let file = catalog.file(index);
            let held = "no thread panics while it holds this";
            match file::check_file(run, &file) {
                Ok(None) => {}
                Ok(Some(of_layer)) => layers.lock().expect(held).add(index, of_layer),
                Err(problem) => {
                    layers.lock().expect(held).leave_out(&problem.path);
                    problems.lock().expect(held).push((index, problem));
                }
            }
            progress(VerifyProgress {
                num_files_done: files_done.fetch_add(1, Ordering::Relaxed) + 1,
                num_files: num_files as u64,
                bytes_done: bytes_done
                    .fetch_add(file.bytes, Ordering::Relaxed)
                    .saturating_add(file.bytes),
                bytes,
            });
        }
    };
    let num_threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for index in 1..num_threads.min(num_files) {
            let started = std::thread::Builder::new()
                .name(format!("sink-verify-{index}"))
                .spawn_scoped(scope, check_some);
            if let Err(error) = started {
                tracing::debug!(%error, "verifying with fewer threads");
            }
        }
        check_some();
    });
    let mut problems = problems.into_inner().expect("no thread panicked");
    let layers = layers.into_inner().expect("no thread panicked");
    problems.extend(layers.problems());
    problems.sort_unstable_by_key(|(index, _)| *index);
    problems.into_iter().map(|(_, problem)| problem).collect()
}

/// The paths of all committed files, and a problem for each that is named twice.
fn committed_paths(catalog: &Catalog) -> (Vec<Problem>, HashSet<&str>) {
    let mut committed = HashSet::with_capacity(catalog.num_files());
    let mut doubled = Vec::new();
    for index in 0..catalog.num_files() {
        let file = catalog.file(index);
        if !committed.insert(file.path) {
            doubled.push(Problem {
                path: file.path.to_owned(),
                check: Check::Unique,
                expected: "one commit names it".to_owned(),
                found: format!("commit {} names it again", file.commit.number),
            });
        }
    }
    (doubled, committed)
}

/// The files below the tables' directories and the staging directory that no commit names.
fn uncommitted_files(
    run: &RunDir,
    catalog: &Catalog,
    committed: &HashSet<&str>,
) -> Result<Vec<UncommittedFile>, VerifyError> {
    let mut roots: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
    // A later version of the format may have more tables.
    roots.extend(catalog.files().map(|file| file.table));
    roots.push(STAGING_DIR);
    roots.sort_unstable();
    roots.dedup();

    let mut found = Vec::new();
    for root in roots {
        walk(run.path(), Path::new(root), &mut |path, bytes| {
            if !committed.contains(path.as_str()) {
                found.push(UncommittedFile { path, bytes });
            }
        })
        .map_err(RunFilesError::from)?;
    }
    if !found.is_empty() {
        // A recorder may have committed some of them since the commits were read.
        let (now, _) = read_commits(run)?;
        let committed: HashSet<&str> = (0..now.num_files()).map(|i| now.file(i).path).collect();
        found.retain(|file| !committed.contains(file.path.as_str()));
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[cfg(test)]
mod tests;
