use std::collections::BTreeSet;
use std::fs;

use super::*;

const PART: Subject = Subject::Part;

/// A file with bytes, not synced.
fn write(sim: &SimDisk, path: &Path, bytes: &[u8]) -> Box<dyn DiskFile> {
    let mut file = sim.create_file(PART, path).unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn sync_dir(sim: &SimDisk, path: &Path) -> io::Result<()> {
    sim.sync_dirs(PART, &[path.to_owned()])
}

/// What is on the disk with such fates of what may be lost, as of now.
fn left(sim: &SimDisk, fates: &[Fate]) -> Vec<String> {
    let tree = sim.remains(sim.num_operations()).tree(fates);
    let dir = tempfile::tempdir().unwrap();
    tree.write_to(dir.path()).unwrap();
    scan(dir.path())
}

fn num_open(sim: &SimDisk) -> usize {
    sim.remains(sim.num_operations()).num_open()
}

/// Every path below a directory, with the bytes of files.
fn scan(root: &Path) -> Vec<String> {
    fn scan_below(root: &Path, dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_dir() {
                found.push(format!("{name}/"));
                scan_below(root, &path, found);
            } else {
                found.push(format!("{name} {:?}", fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    scan_below(root, root, &mut found);
    found.sort();
    found
}

#[test]
fn a_name_and_the_bytes_under_it_are_lost_one_without_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    let _file = write(&sim, &dir.path().join("a"), &[1, 2, 3, 4]);
    assert_eq!(num_open(&sim), 2);
    use Fate::{Half, Kept, Lost, Zeroed};
    assert_eq!(left(&sim, &[]), ["a [1, 2, 3, 4]"]);
    assert_eq!(left(&sim, &[Lost, Kept]), [""; 0]);
    assert_eq!(left(&sim, &[Kept, Lost]), ["a []"]);
    assert_eq!(left(&sim, &[Kept, Half]), ["a [1, 2]"]);
    assert_eq!(left(&sim, &[Kept, Zeroed]), ["a [0, 0, 0, 0]"]);
}

#[test]
fn a_sync_is_of_the_bytes_or_of_the_names() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    let mut file = write(&sim, &dir.path().join("a"), &[1]);
    file.sync().unwrap();
    assert_eq!(num_open(&sim), 1);
    assert_eq!(left(&sim, &[Fate::Lost]), [""; 0]);
    sync_dir(&sim, dir.path()).unwrap();
    assert_eq!(num_open(&sim), 0);
    // What comes later is open again.
    file.write_all(&[2]).unwrap();
    assert_eq!(left(&sim, &[Fate::Lost]), ["a [1]"]);
    let _other = write(&sim, &dir.path().join("b"), &[3]);
    sync_dir(&sim, dir.path()).unwrap();
    assert_eq!(left(&sim, &[Fate::Lost, Fate::Lost]), ["a [1]", "b []"]);
    let file_system = sim.file_system(dir.path()).unwrap();
    file_system.sync(PART).unwrap();
    assert_eq!(num_open(&sim), 0);
}

#[test]
fn a_renamed_file_may_have_either_name_both_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let sim = SimDisk::over(dir.path()).unwrap();
    for name in ["from", "to"] {
        sim.create_dir(PART, &path(name)).unwrap();
    }
    let mut file = write(&sim, &path("from/a"), &[1]);
    file.sync().unwrap();
    for name in ["", "from"] {
        sync_dir(&sim, &path(name)).unwrap();
    }
    sim.rename_new(PART, &path("from/a"), &path("to/b"))
        .unwrap();
    let files = |fates: &[Fate]| -> Vec<String> {
        let left = left(&sim, fates);
        left.into_iter().filter(|p| !p.ends_with('/')).collect()
    };
    use Fate::{Kept, Lost};
    assert_eq!(files(&[Lost, Lost]), ["from/a [1]"]);
    assert_eq!(files(&[Kept, Lost]), ["from/a [1]", "to/b [1]"]);
    assert_eq!(files(&[Kept, Kept]), ["to/b [1]"]);
    assert_eq!(files(&[Lost, Kept]), [""; 0]);
    sync_dir(&sim, &path("to")).unwrap();
    assert_eq!(files(&[Lost]), ["from/a [1]", "to/b [1]"]);
}

#[test]
fn what_is_below_a_directory_is_lost_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("below");
    let sim = SimDisk::over(dir.path()).unwrap();
    sim.create_dir(PART, &below).unwrap();
    write(&sim, &below.join("a"), &[1]).sync().unwrap();
    sync_dir(&sim, &below).unwrap();
    assert_eq!(num_open(&sim), 1);
    assert_eq!(left(&sim, &[Fate::Lost]), [""; 0]);
}

#[test]
fn a_removed_name_may_come_back() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), [1]).unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    sim.remove_file(PART, &dir.path().join("a")).unwrap();
    assert_eq!(left(&sim, &[]), [""; 0]);
    assert_eq!(left(&sim, &[Fate::Lost]), ["a [1]"]);
}

/// As Linux does: pages that could not be written count as clean from then on.
#[test]
fn after_a_sync_that_failed_none_that_succeeds_proves_anything() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    let mut file = write(&sim, &dir.path().join("a"), &[1]);
    let sync = Point::of(Operation::SyncFile, PART);
    sim.fail_at(sync, 0, Fault::Io);
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
    file.sync().unwrap();
    sync_dir(&sim, dir.path()).unwrap();
    assert_eq!(left(&sim, &[Fate::Lost]), ["a []"]);
    // One that is interrupted has not begun.
    let mut file = write(&sim, &dir.path().join("b"), &[1]);
    sim.fail_at(sync, 0, Fault::Interrupted);
    let error = file.sync().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    file.sync().unwrap();
    sync_dir(&sim, dir.path()).unwrap();
    assert_eq!(left(&sim, &[Fate::Lost]), ["a []", "b [1]"]);
}

#[test]
fn whoever_syncs_the_file_system_is_told_once_of_a_sync_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    let mut file = write(&sim, &dir.path().join("a"), &[1]);
    let before = sim.file_system(dir.path()).unwrap();
    sim.fail_at(Point::of(Operation::SyncFile, PART), 0, Fault::Io);
    file.sync().unwrap_err();
    let after = sim.file_system(dir.path()).unwrap();
    after.sync(PART).unwrap();
    assert_eq!(before.sync(PART).unwrap_err().raw_os_error(), Some(5));
    before.sync(PART).unwrap();
    assert_eq!(left(&sim, &[Fate::Lost]), ["a []"]);
}

#[test]
fn a_sync_that_is_ignored_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    sim.ignore(Point::of(Operation::SyncDirs, PART));
    let _file = write(&sim, &dir.path().join("a"), &[]);
    sync_dir(&sim, dir.path()).unwrap();
    assert_eq!(left(&sim, &[Fate::Lost]), [""; 0]);
}

#[test]
fn after_a_crash_nothing_happens_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    let mut file = write(&sim, &dir.path().join("a"), &[1]);
    sim.fail_after(1, Fault::Crash);
    sim.create_dir(PART, &dir.path().join("b")).unwrap();
    let before = scan(dir.path());
    let path = dir.path().join("c");
    for _ in 0..2 {
        assert!(sim.create_dir(PART, &path).is_err());
        assert!(sim.create_file(PART, &path).is_err());
        assert!(sim.remove_file(PART, &dir.path().join("a")).is_err());
        assert!(sim.list(PART, dir.path()).is_err());
        assert!(file.write_all(&[2]).is_err() && file.sync().is_err());
        assert!(sync_dir(&sim, dir.path()).is_err());
        assert!(sim.file_system(dir.path()).unwrap().sync(PART).is_err());
        sim.stop_failing();
    }
    assert_eq!(scan(dir.path()), before);
    assert_eq!(num_open(&sim), 3);
}

#[test]
fn after_a_kill_everything_is_there_and_what_was_not_synced_may_be_lost_still() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    let mut file = write(&sim, &dir.path().join("a"), &[1]);
    file.sync().unwrap();
    sim.create_dir(PART, &dir.path().join("later")).unwrap();
    let other = tempfile::tempdir().unwrap();
    let next = sim
        .after_kill(sim.num_operations() - 1, other.path())
        .unwrap();
    assert_eq!(scan(other.path()), ["a [1]"]);
    let _file = write(&next, &other.path().join("b"), &[2]);
    assert_eq!(left(&next, &[]), ["a [1]", "b [2]"]);
    assert_eq!(left(&next, &[Fate::Lost]), ["b [2]"]);
    sync_dir(&next, other.path()).unwrap();
    assert_eq!(left(&next, &[Fate::Lost]), ["a [1]", "b []"]);
}

#[test]
fn each_fault_is_what_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    let path = dir.path().join("a");
    let mut file = write(&sim, &path, &[]);
    // Of a write that fails for good a part is there.
    for (fault, errno, there) in [
        (Fault::Interrupted, 4, &[][..]),
        (Fault::Io, 5, &[8]),
        (Fault::NoSpace, 28, &[8, 8]),
    ] {
        sim.fail_after(0, fault);
        let error = file.write(&[8, 9]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno));
        assert!(sim.stop_failing());
        assert_eq!(fs::read(&path).unwrap(), there);
    }
    sim.fail_after(0, Fault::ShortWrite);
    assert_eq!(file.write(&[1, 2, 3]).unwrap(), 2);
    assert_eq!(fs::read(&path).unwrap(), [8, 8, 1, 2]);
    let linked = dir.path().join("b");
    sim.fail_after(0, Fault::IoAfterwards);
    let error = sim.link_new(PART, &path, &linked).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5));
    assert_eq!(fs::read(&linked).unwrap(), [8, 8, 1, 2]);
    // What is not to fail does not.
    assert!(!{
        sim.stop_failing();
        sim.fail_at(Point::of(Operation::Link, PART), 0, Fault::Io);
        file.write_all(&[3]).unwrap();
        sim.stop_failing()
    });
    assert_eq!(left(&sim, &[]), ["a [8, 8, 1, 2, 3]", "b [8, 8, 1, 2, 3]"]);
}

#[test]
fn names_that_are_taken_are_left_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let _files = [write(&sim, &a, &[1]), write(&sim, &b, &[2])];
    for result in [
        sim.rename_new(PART, &a, &b),
        sim.link_new(PART, &a, &b),
        sim.create_file(PART, &b).map(|_| ()),
        sim.create_dir(PART, &b),
    ] {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
    assert_eq!(left(&sim, &[]), ["a [1]", "b [2]"]);
    assert_eq!(left(&sim, &[]), scan(dir.path()));
}

/// Nothing lost, all of it, and each subset of the newest.
#[test]
fn fates_have_every_subset_of_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    for name in ["a", "b", "c"] {
        sim.create_dir(PART, &dir.path().join(name)).unwrap();
    }
    let remains = sim.remains(sim.num_operations());
    let fates = remains.fates(Choices {
        num_alone: 0,
        num_newest: 2,
        num_drawn: 0,
        seed: 0,
    });
    let trees: BTreeSet<String> = fates
        .iter()
        .map(|fates| {
            let tree = remains.tree(fates);
            let names = tree.paths().map(|path| path.display().to_string());
            names.collect::<String>()
        })
        .collect();
    let expected = ["", "a", "ab", "abc", "ac", "b", "bc", "c"];
    assert_eq!(trees, expected.map(str::to_owned).into());
    // Before an operation it has not happened.
    assert_eq!(sim.remains(1).tree(&[]).paths().count(), 1);
    let drawn = remains.fates(Choices {
        num_alone: 3,
        num_newest: 0,
        num_drawn: 100,
        seed: 7,
    });
    // Nothing and all, twice of the one subset of none, each lost alone and kept alone, and those drawn.
    assert_eq!(drawn.len(), 2 + 2 + 2 * 3 + 100);
}

#[test]
fn what_others_made_is_taken_over_when_it_is_met() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::over(dir.path()).unwrap();
    fs::create_dir(dir.path().join("theirs")).unwrap();
    fs::write(dir.path().join("theirs/a"), [1]).unwrap();
    let ours = dir.path().join("theirs/b");
    sim.rename_new(PART, &dir.path().join("theirs/a"), &ours)
        .unwrap();
    assert_eq!(left(&sim, &[]), scan(dir.path()));
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("a");
    assert!(sim.create_dir(PART, &path).is_err());
}
