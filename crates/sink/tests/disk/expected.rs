//! What has to be on a disk, by what the writers of a run were told, and whether it is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trace::{
    CaptureId, Catalog, Crc32c, Creation, Ending, Links, OpenRunError, RunDir, Table, visit_files,
};

/// A group that is published: what it adds to the run, and what it takes out.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub adds: Vec<String>,
    pub retires: Vec<String>,
    pub captures: Vec<CaptureId>,
    pub is_final: bool,
}

/// How sure a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is under way, or in doubt: it is there as a whole, or not at all.
    Open,
    /// It is there, and what it retires is gone.
    Committed,
    /// It is there, and what it retires may be, too.
    NotCleanedUp,
    /// It is not there.
    Refused,
}

/// What is expected of a run.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Its creation was acknowledged.
    pub is_created: bool,
    /// Committed files before the changes, and captures.
    pub before: Vec<String>,
    pub captures_before: Vec<CaptureId>,
    pub was_finished: bool,
    pub changes: Vec<(Change, Outcome)>,
    pub world_size: u32,
    /// What the files hold, by path.
    pub contents: Arc<HashMap<String, Arc<[u8]>>>,
}

/// What was found of a run that is as expected.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub committed: Vec<String>,
    pub captures: Vec<CaptureId>,
    /// Whether there is a run.
    pub is_run: bool,
    /// Whether it says that it is finished.
    pub is_finished: bool,
    /// Which of the changes are part of it.
    pub applied: Vec<usize>,
}

/// A file's path without what is drawn of its name: the nonce of derived tables' files.
pub fn without_nonce(path: &str) -> String {
    match path.rsplit_once("-g0-") {
        Some((before, nonce)) if nonce.len() == "0123456789abcdef.parquet".len() => {
            format!("{before}-g0-*.parquet")
        }
        _ => path.to_owned(),
    }
}

impl Expected {
    /// Holds a run's directory against this; an error says what is wrong.
    pub fn check(&self, path: &Path) -> Result<Found, String> {
        let run = match RunDir::open(path) {
            Ok(run) => run,
            Err(
                OpenRunError::NotFound { .. }
                | OpenRunError::NotARun { .. }
                | OpenRunError::Unborn { .. },
            ) if !self.is_created => {
                let is_unborn = !path.exists() || RunDir::is_unborn(path);
                return match is_unborn {
                    true => Ok(Found::default()),
                    false => Err("no run can be created where none is".to_owned()),
                };
            }
            Err(error) => return Err(format!("the run cannot be opened: {error}")),
        };
        match run.creation() {
            Ok(Creation::Complete) => {}
            other => return Err(format!("its creation is {other:?}")),
        }
        let catalog = Catalog::load_with_partial(&run)
            .map_err(|error| format!("its commits cannot be read: {error}"))?;
        let committed: Vec<String> = catalog
            .files()
            .map(|file| without_nonce(file.path))
            .collect();
        let names: BTreeSet<&str> = committed.iter().map(String::as_str).collect();
        if names.len() != committed.len() {
            return Err(format!("a file is committed twice: {committed:?}"));
        }
        let applied = self.applied(&names)?;
        let changes: Vec<&Change> = applied
            .iter()
            .map(|index| &self.changes[*index].0)
            .collect();
        self.check_captures(&catalog, &changes)?;
        for file in catalog.files() {
            let bytes = fs::read(path.join(file.path))
                .map_err(|error| format!("{} is committed: {error}", file.path))?;
            if bytes.len() as u64 != file.bytes || Crc32c::of(&bytes) != file.crc32c {
                return Err(format!("{} is not what was committed", file.path));
            }
        }
        self.check_glob(path)?;
        let is_final = match &changes[..] {
            [] => self.was_finished,
            changes => changes.iter().any(|change| change.is_final),
        };
        let is_finished = catalog.ending(self.world_size) == Ending::Finished;
        if is_finished && !is_final {
            return Err("it says that it is finished".to_owned());
        }
        Ok(Found {
            captures: catalog
                .captures()
                .iter()
                .map(|capture| capture.id)
                .collect(),
            committed,
            is_run: true,
            is_finished,
            applied,
        })
    }

    /// The changes of which the committed files are what they give: all that are certain, and some that
    /// are open.
    fn applied(&self, committed: &BTreeSet<&str>) -> Result<Vec<usize>, String> {
        let open = self.changes.iter().filter(|c| c.1 == Outcome::Open).count();
        for subset in 0..1_u32 << open {
            let (mut files, mut applied, mut nth) = (BTreeSet::new(), Vec::new(), 0);
            files.extend(self.before.iter().map(String::as_str));
            for (index, (change, outcome)) in self.changes.iter().enumerate() {
                let is_applied = match outcome {
                    Outcome::Committed | Outcome::NotCleanedUp => true,
                    Outcome::Refused => false,
                    Outcome::Open => {
                        nth += 1;
                        (subset >> (nth - 1)) & 1 == 1
                    }
                };
                if is_applied {
                    files.extend(change.adds.iter().map(String::as_str));
                    for path in &change.retires {
                        files.remove(path.as_str());
                    }
                    applied.push(index);
                }
            }
            if files == *committed {
                return Ok(applied);
            }
        }
        Err(format!(
            "committed are {committed:?}, told was {:?}",
            self.changes
        ))
    }

    /// Where one process records, each capture is there once, and those of the changes are.
    fn check_captures(&self, catalog: &Catalog, applied: &[&Change]) -> Result<(), String> {
        let found: Vec<CaptureId> = catalog.captures().iter().map(|c| c.id).collect();
        let distinct: HashSet<CaptureId> = found.iter().copied().collect();
        if distinct.len() != found.len() {
            return Err(format!("a capture is there twice: {found:?}"));
        }
        if self.world_size > 1 {
            return Ok(());
        }
        let mut expected: HashSet<CaptureId> = self.captures_before.iter().copied().collect();
        for change in applied {
            if !change.retires.is_empty() && !is_derived(&change.retires[0]) {
                expected.retain(|id| !change.retires.iter().any(|path| is_of(path, *id)));
            }
            expected.extend(&change.captures);
        }
        match distinct == expected {
            true => Ok(()),
            false => Err(format!("captures are {found:?}, not {expected:?}")),
        }
    }

    /// Whoever reads the tables' directories sees whole files only, and nothing of what is retired.
    fn check_glob(&self, path: &Path) -> Result<(), String> {
        for below in files_in_tables(path) {
            let bytes = fs::read(path.join(&below)).map_err(|error| error.to_string())?;
            let is_whole = match self.contents.get(&below) {
                Some(contents) => **contents == *bytes,
                // Of a derived table only what Parquet begins and ends with is known.
                None => bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"),
            };
            if !is_whole {
                return Err(format!("{below} lies in its table and is not whole"));
            }
        }
        let gone = self.changes.iter().filter(|c| c.1 == Outcome::Committed);
        let globbed: HashSet<String> = files_in_tables(path)
            .iter()
            .map(|below| without_nonce(below))
            .collect();
        for retired in gone.flat_map(|(change, _)| &change.retires) {
            if globbed.contains(retired) {
                return Err(format!("{retired} is retired, and there again"));
            }
        }
        Ok(())
    }
}

fn is_derived(path: &str) -> bool {
    path.starts_with("structures/")
}

/// Whether a file's path says that it is of a capture.
fn is_of(path: &str, capture: CaptureId) -> bool {
    path.contains(&format!("/epoch={}/", capture.epoch.0))
        && path.contains(&format!("/step-{}-", capture.step.0))
}

/// The paths of all files in the tables of a run.
pub fn files_in_tables(run: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for table in Table::ALL {
        let mut push = |path: &Path, _| found.push(path.to_string_lossy().into_owned());
        let dir = PathBuf::from(table.name());
        visit_files(run, &dir, Links::Keep, &mut push).unwrap();
    }
    found.sort();
    found
}
