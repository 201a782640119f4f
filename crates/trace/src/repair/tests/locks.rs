//! Who repairs a run and who records it keep each other out.

use std::fs::File;
use std::process::{Command, Stdio};

use super::super::locks::MAX_HELD;
use super::*;
use crate::number::MAX_WORLD_SIZE;
use crate::run::LockRunError;
use crate::testing::create_run_of_ranks;

fn lock_files(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".lock")).collect();
    names.sort();
    names
}

#[test]
fn no_rank_begins_beside_a_repair() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run_of_ranks(&dir.path().join("run"), 3);
    let first = run.lock_writer(Rank(1)).unwrap();
    let other = run.lock_writer(Rank(2)).unwrap();
    for dry_run in [true, false] {
        let held = lock_all(run.path(), dry_run).unwrap_err();
        assert!(matches!(held, RepairError::Held { .. }), "{held}");
    }
    drop(first);
    assert!(lock_all(run.path(), false).is_err());
    drop(other);
    let locks = lock_all(run.path(), false).unwrap();
    // Rank 0 has never recorded.
    for rank in 0..3 {
        let refused = run.lock_writer(Rank(rank));
        assert!(matches!(refused, Err(LockRunError::Held { .. })));
    }
    drop(locks);
    run.lock_writer(Rank(0)).unwrap();
}

/// Another file lies in the place of `run.json` while a rank records.
#[test]
fn a_rank_is_known_where_its_run_file_was_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run_of_ranks(&dir.path().join("run"), 2);
    let lock = run.lock_writer(Rank(0)).unwrap();
    let file = run.path().join(RUN_FILE);
    fs::copy(&file, dir.path().join("copy")).unwrap();
    fs::rename(dir.path().join("copy"), &file).unwrap();
    // Nor by the file of its rank.
    fs::remove_file(run.path().join(".rank-0.lock")).unwrap();
    let held = lock_all(run.path(), false).unwrap_err();
    assert!(
        matches!(&held, RepairError::Held { path, .. } if path == run.path()),
        "{held}"
    );
    drop(lock);
    lock_all(run.path(), false).unwrap();
}

/// Were a lock made for each rank that a run may have, 65,536 files would lie in it, if a process could open as many.
#[test]
fn locks_are_not_made_by_the_thousand() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run_of_ranks(&dir.path().join("run"), MAX_WORLD_SIZE);
    fs::write(run.path().join(".structures.lock"), "").unwrap();
    let locks = lock_all(run.path(), false).unwrap();
    let names = lock_files(run.path());
    assert!(
        names.iter().all(|name| !name.starts_with(".rank-")),
        "{names:?}"
    );
    assert!(names.len() > 1);
    drop(locks);
    // What was made for the moment is gone with it, and what was there is there.
    assert_eq!(lock_files(run.path()), [".structures.lock"]);
    repaired(run.path());
    assert_eq!(lock_files(run.path()), [".structures.lock"]);
}

/// Those of ranks that have recorded are looked at, and not all held.
#[test]
fn of_many_locks_few_are_held() {
    let dir = tempfile::tempdir().unwrap();
    let num_ranks = 2000;
    let run = create_run_of_ranks(&dir.path().join("run"), num_ranks);
    for rank in 0..num_ranks {
        fs::write(run.path().join(format!(".rank-{rank}.lock")), "").unwrap();
        fs::create_dir_all(run.path().join(format!(".staging/{rank}"))).unwrap();
    }
    let locks = lock_all(run.path(), false).unwrap();
    assert!(locks.num_held() <= MAX_HELD);
    drop(locks);
    // As a recorder of an earlier version holds one, whichever it is.
    for name in [
        ".rank-0.lock",
        ".rank-1999.lock",
        ".staging/0",
        ".staging/1999",
    ] {
        let file = fs::File::open(run.path().join(name)).unwrap();
        file.lock().unwrap();
        let held = lock_all(run.path(), false).unwrap_err();
        assert!(matches!(held, RepairError::Held { .. }), "{name}: {held}");
    }
}

/// Who waits for a lock that a repair has made, and removes, has none when it gets it.
#[test]
fn who_waits_for_a_lock_that_is_removed_takes_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let locks = lock_all(run.path(), false).unwrap();
    let store = Arc::clone(run.store());
    let waiting = std::thread::spawn(move || store.lock_table(Table::Structures).unwrap());
    // It cannot be seen whether it waits yet: either way it has a lock in the end.
    std::thread::sleep(std::time::Duration::from_millis(100));
    drop(locks);
    let lock = waiting.join().unwrap();
    let held = lock_all(run.path(), false).unwrap_err();
    assert!(held.to_string().contains(".structures.lock"), "{held}");
    drop(lock);
    lock_all(run.path(), false).unwrap();
}

/// As where a loader of data has what the training had that was killed: its locks are held by whoever has the open
/// file, here as its input.
#[test]
fn a_child_that_lives_on_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let file = File::options()
        .read(true)
        .write(true)
        .open(run.path().join("run.json"))
        .unwrap();
    file.try_lock().unwrap();
    let mut child = Command::new("sleep")
        .arg("300")
        .stdin(Stdio::from(file))
        .spawn()
        .unwrap();
    let expected = format!("({} sleep)", child.id());
    let error = run.lock_writer(Rank(0)).unwrap_err().to_string();
    let repair = lock_all(run.path(), true).unwrap_err().to_string();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(error.contains(&expected), "{error}");
    assert!(repair.contains(&expected), "{repair}");
    run.lock_writer(Rank(0)).unwrap();
}
