//! Which processes hold a lock.
//!
//! A lock of `flock` is held as long as anybody has the open file, and children have it that a process forks without
//! starting another program, as PyTorch forks loaders of data. Where a training is killed they may live on, and nobody
//! would know what holds the run.

use std::fmt;
use std::path::Path;

use crate::id::Rank;
use crate::place::RUN_FILE;

/// The most processes that are named.
const MAX_NAMED: usize = 4;

/// Processes that hold a lock, as messages name them behind what they hold: nothing where nobody tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders(Vec<Holder>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    process: u32,
    program: String,
}

impl Holders {
    /// Those that keep a recorder of a run out, as far as they may be looked at; `rank` is none in a run of one rank. What
    /// it locks is looked at in turn: other ranks hold the run's directory as well, and are in nobody's way.
    pub(crate) fn of_run(root: &Path, rank: Option<Rank>) -> Self {
        let own = rank.map(|rank| root.join(format!(".rank-{rank}.lock")));
        let files = own
            .into_iter()
            .chain([root.join(RUN_FILE), root.to_owned()]);
        let mut holders = files.map(|file| Self::of(&file));
        let first = holders.find(|holders| !holders.0.is_empty());
        first.unwrap_or_default()
    }

    /// Those that hold a lock on one file or directory.
    pub(crate) fn of(path: &Path) -> Self {
        Self(system::holders(&[path]))
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let named = self.0.iter().take(MAX_NAMED);
        let named = named.map(|Holder { process, program }| format!("{process} {program}"));
        write!(f, " ({}", named.collect::<Vec<_>>().join(", "))?;
        match self.0.len().saturating_sub(MAX_NAMED) {
            0 => f.write_str(")"),
            more => write!(f, " and {more} more)"),
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use super::Holder;

    /// The processes that hold a lock on one of the files, by what the kernel tells of their open ones.
    pub(super) fn holders(files: &[&Path]) -> Vec<Holder> {
        let files = files.iter().flat_map(fs::metadata);
        let files: HashSet<(u64, u64)> = files.map(|file| (file.dev(), file.ino())).collect();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut holders: Vec<Holder> = entries
            .filter_map(|entry| {
                let process = entry.file_name().to_str()?.parse().ok()?;
                let is_holder = holds(&entry.path(), &files);
                is_holder.then(|| Holder {
                    process,
                    program: program(&entry.path()),
                })
            })
            .collect();
        holders.sort_by_key(|holder| holder.process);
        holders
    }

    fn holds(process: &Path, files: &HashSet<(u64, u64)>) -> bool {
        let open = fs::read_dir(process.join("fd"));
        open.into_iter().flatten().flatten().any(|entry| {
            let is_of_run = fs::metadata(entry.path())
                .is_ok_and(|file| files.contains(&(file.dev(), file.ino())));
            is_of_run && {
                let told = fs::read_to_string(process.join("fdinfo").join(entry.file_name()));
                told.is_ok_and(|told| {
                    told.lines()
                        .any(|line| line.starts_with("lock:") && line.contains(" FLOCK "))
                })
            }
        })
    }

    fn program(process: &Path) -> String {
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        name.chars().filter(|c| !c.is_control()).collect()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::path::Path;

    use super::Holder;

    pub(super) fn holders(_files: &[&Path]) -> Vec<Holder> {
        Vec::new()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::testing::{create_run, create_run_of_ranks};

    #[test]
    fn who_holds_a_run_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let run = create_run(&dir.path().join("run"));
        let lock = run.lock_writer(Rank(0)).unwrap();
        let own = format!(
            "is being written by another process ({} ",
            std::process::id()
        );
        let error = run.lock_writer(Rank(0)).unwrap_err().to_string();
        assert!(error.contains(&own), "{error}");
        drop(lock);
        assert_eq!(Holders::of_run(run.path(), None).to_string(), "");
        // Who has a file open, and no lock, holds nothing.
        let _open = File::open(run.path().join("run.json")).unwrap();
        assert_eq!(Holders::of_run(run.path(), None), Holders::default());

        let ranks = create_run_of_ranks(&dir.path().join("ranks"), 2);
        let _lock = ranks.lock_writer(Rank(1)).unwrap();
        let error = ranks.lock_writer(Rank(1)).unwrap_err().to_string();
        assert!(error.contains(&own), "{error}");
    }

    #[test]
    fn of_many_some_are_named() {
        let holder = |process| Holder {
            process,
            program: "python3".to_owned(),
        };
        let text = Holders((1..=6).map(holder).collect()).to_string();
        let expected = " (1 python3, 2 python3, 3 python3, 4 python3 and 2 more)";
        assert_eq!(text, expected);
    }
}
