//! No sync of a repair or of an upgrade is there for nothing: each is taken away by itself, and then the power
//! fails at every later moment.

use std::collections::HashSet;

use super::*;
use crate::caught::caught;

pub(crate) type Tree = BTreeMap<PathBuf, Vec<u8>>;

/// What has to hold of a run on a disk that was left; of one whose operation had ended, with what it left. An error,
/// or a panic, says what does not.
pub(crate) type Holds<'a> = dyn Fn(&Path, Option<&Tree>) -> Result<(), String> + 'a;

/// What is lost at each moment.
const CHOICES: Choices = Choices {
    num_alone: 3,
    num_newest: 1,
    num_drawn: 0,
    seed: 7,
};

/// Whether syncs without which nothing is known to be lost are tried as well.
pub(crate) fn is_long() -> bool {
    std::env::var_os("STRATIGRAPH_SWEEP").is_some()
}

/// An error unless something is so.
pub(crate) fn ensure(is_so: bool, otherwise: &str) -> Result<(), String> {
    match is_so {
        true => Ok(()),
        false => Err(otherwise.to_owned()),
    }
}

/// An error if anything that was left is not there, as it was.
pub(crate) fn ensure_kept(path: &Path, done: &Tree) -> Result<(), String> {
    let left = tree(path);
    let lost = done
        .iter()
        .find(|(below, bytes)| left.get(*below) != Some(*bytes));
    lost.map_or(Ok(()), |(below, _)| {
        Err(format!("{} is lost", below.display()))
    })
}

/// A disk's syncs from one operation on: the operation, and what it is called here, which is what is synced below
/// the disk's root, and the how many-th time.
pub(crate) fn syncs(disk: &SimDisk, root: &Path, from: usize) -> Vec<(usize, String)> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let operations = disk.operations().into_iter().enumerate().skip(from);
    let syncs = operations.filter(|(_, (point, _))| point.operation.is_sync());
    let named = syncs.map(|(index, (point, path))| {
        let below = path.strip_prefix(root).unwrap().display().to_string();
        let name = format!("{point} {below}");
        let nth = seen.entry(name.clone()).or_default();
        *nth += 1;
        (index, format!("{name} {nth}"))
    });
    named.collect()
}

/// What is wrong with a disk that may be left once so many operations or more have ended; none if nothing is. Later
/// moments come first, since most is lost by then.
pub(crate) fn lost_from(
    disk: &SimDisk,
    path: &Path,
    num_operations: usize,
    holds: &Holds<'_>,
) -> Option<String> {
    let done = tree(path);
    let mut seen = HashSet::new();
    for num_operations in (num_operations..=disk.num_operations()).rev() {
        let ended = (num_operations == disk.num_operations()).then_some(&done);
        let remains = disk.remains(num_operations);
        for fates in remains.fates(CHOICES) {
            let left = remains.tree(&fates);
            if !seen.insert((ended.is_some(), left.clone())) {
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            left.write_to(dir.path()).unwrap();
            let run = dir.path().join("run");
            let held = caught(|| holds(&run, ended));
            let held = held.unwrap_or_else(|panicked| Err(panicked.to_string()));
            if let Err(error) = held {
                return Some(format!("after {num_operations} operations: {error}"));
            }
        }
    }
    None
}

/// What becomes of the syncs of an operation on a copy of a run when each is taken away: whether something is lost.
/// Those of `found` are not tried.
pub(crate) fn needed(
    run: &Path,
    operation: impl Fn(&Arc<dyn Disk>, &Path),
    holds: &Holds<'_>,
    found: &BTreeMap<String, bool>,
) -> BTreeMap<String, bool> {
    let done = |ignored: Option<usize>| {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("run");
        copied(run, &path);
        let disk = SimDisk::over(copy.path()).unwrap();
        if let Some(index) = ignored {
            disk.ignore_operation(index);
        }
        operation(&disk.disk(), &path);
        (copy, disk)
    };
    let (copy, disk) = done(None);
    let all = syncs(&disk, copy.path(), 0);
    assert!(all.len() >= 4, "{all:?}");
    let ended = disk.num_operations();
    let lost = lost_from(&disk, &copy.path().join("run"), ended, holds);
    assert_eq!(lost, None, "with all syncs");
    let tried = all.iter().filter(|(_, name)| !found.contains_key(name));
    let tried = tried.map(|(index, name)| {
        let (copy, disk) = done(Some(*index));
        assert!(syncs(&disk, copy.path(), 0).contains(&(*index, name.clone())));
        let lost = lost_from(&disk, &copy.path().join("run"), index + 1, holds);
        if let Some(lost) = &lost {
            println!("without {name}: {lost}");
        }
        (name.clone(), lost.is_some())
    });
    tried.collect()
}

/// Of what takes the place of something the names beside it are synced, too. A file system that exchanges two names
/// at once, as those do that can, has both with the sync before; the next sync is for one that does not.
const OF_EXCHANGES: [&str; 2] = [
    "SyncDirs History run/damaged/1 1",
    "SyncDirs RunFile run/damaged/1 1",
];

/// Of repairs of what is missing, of a file that has another name, and of a run with each kind of damage.
#[test]
fn without_any_one_sync_of_a_repair_something_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut cases = Vec::new();
    for name in MISSING {
        cases.push(missing(&dir.path().join(format!("without-{name}")), name));
    }
    cases.push({
        let run = recorded(&dir.path().join("renamed"));
        let path = capture_parts(1)[0].0.clone();
        let other = PartPath {
            sequence: 7,
            ..path.clone()
        };
        let [path, other] = [path, other].map(|path| run.path().join(path.to_string()));
        fs::rename(path, other).unwrap();
        run.path().to_owned()
    });
    cases.push(damaged(&dir.path().join("damaged")).path().to_owned());

    // Those that are known are tried in the long form.
    let mut found: BTreeMap<String, bool> = match is_long() {
        true => BTreeMap::new(),
        false => OF_EXCHANGES.map(|name| (name.to_owned(), false)).into(),
    };
    for run in cases {
        let before = tree(&run);
        let whole = {
            let copy = tempfile::tempdir().unwrap();
            let copy = copy.path().join("run");
            copied(&run, &copy);
            repaired(&copy);
            answer(&copy)
        };
        let operation = |disk: &Arc<dyn Disk>, path: &Path| {
            repair_on(disk, path, RepairOptions::default()).unwrap();
        };
        let holds = |path: &Path, done: Option<&Tree>| {
            let left = tree(path);
            let bytes: Vec<&Vec<u8>> = left.values().collect();
            ensure(
                before.values().all(|kept| bytes.contains(&kept)),
                "something is gone",
            )?;
            if let Some(done) = done {
                ensure_kept(path, done)?;
            }
            // Whatever is in another place than before, it is written down why.
            let outside = |tree: &Tree| -> Tree {
                let outside = tree
                    .iter()
                    .filter(|(path, _)| !path.starts_with(DAMAGED_DIR));
                outside
                    .map(|(path, bytes)| (path.clone(), bytes.clone()))
                    .collect()
            };
            let is_touched = outside(&left) != outside(&before);
            let report = left.get(Path::new("damaged/1/report.json"));
            let report = report.map(|json| serde_json::from_slice::<serde_json::Value>(json));
            ensure(
                !is_touched || report.is_some_and(|report| report.is_ok()),
                "nothing says why",
            )?;
            let again = repair(path, RepairOptions::default());
            let again = again.map_err(|error| error.to_string())?;
            ensure(
                done.is_none() || again.actions.is_empty(),
                "it is damaged again",
            )?;
            ensure(answer(path) == whole, "it answers something else")?;
            let globbed = tree(path).into_keys();
            let globbed = globbed.filter_map(|path| path.to_str()?.parse::<PartPath>().ok());
            let globbed: BTreeSet<String> = globbed.map(|path| path.to_string()).collect();
            let is_whole = globbed == whole.1.keys().cloned().collect();
            ensure(is_whole, "in the tables is something else")
        };
        // What one of them needs is tried of no other.
        let mut passed: BTreeMap<String, bool> = found.clone();
        let is_known = |name: &String| !is_long() && OF_EXCHANGES.contains(&name.as_str());
        passed.retain(|name, is_needed| *is_needed || is_known(name));
        for (name, is_needed) in needed(&run, operation, &holds, &passed) {
            *found.entry(name).or_default() |= is_needed;
        }
    }
    found.retain(|_, is_needed| !*is_needed);
    assert_eq!(found.into_keys().collect::<Vec<_>>(), OF_EXCHANGES);
}
