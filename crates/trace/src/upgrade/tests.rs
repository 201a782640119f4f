use std::fs;

use super::*;
use crate::catalog::{Catalog, Ending};
use crate::causes::with_causes;
use crate::disk::{Fate, Operation, Point, SimDisk};
use crate::part_file::PartFile;
use crate::part_reader::PartReader;
use crate::repair::tests::syncs::{self, ensure, ensure_kept, lost_from, needed, syncs};
use crate::repair::tests::{answer, copied, ending, fail_everywhere, recorded, tree};

/// A copy of a run that a program of version 1.4 wrote.
fn golden() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/1.4");
    copied(&golden, &dir.path().join("run"));
    dir
}

#[test]
fn a_run_of_version_1_4_says_what_one_of_today_says() {
    let dir = golden();
    let path = dir.path().join("run");
    let (before, whole) = (tree(&path), answer(&path));
    assert_eq!(ending(&path), Ending::Unknown);
    let would = upgrade(&path, true).unwrap();
    assert_eq!(tree(&path), before);
    let done = upgrade(&path, false).unwrap();
    assert_eq!(done, would);
    // Its 42 files, by six records; the third is the recorder's last.
    assert_eq!(
        (done.num_records, done.num_changed, done.num_files),
        (6, 6, 42)
    );
    assert_eq!(done.finished, [Rank(0)]);
    assert_eq!(answer(&path), whole);
    assert_eq!(ending(&path), Ending::Finished);
    // Part files and run.json are as they were, and nothing else is there.
    let after = tree(&path);
    let is_commit = |path: &&PathBuf| path.starts_with("commits");
    let others = |tree: &BTreeMap<PathBuf, Vec<u8>>| -> BTreeMap<PathBuf, Vec<u8>> {
        let others = tree.iter().filter(|(path, _)| !is_commit(path));
        others
            .map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect()
    };
    assert_eq!(others(&after), others(&before));
    let again = upgrade(&path, false).unwrap();
    assert!(!again.is_needed(), "{again:?}");
    assert_eq!(tree(&path), after);
    // Each record names the one before, and run.json is kept in the first.
    let run = RunDir::open(&path).unwrap();
    let records = history::visit_commits(
        &Log::of(&run),
        Vec::new,
        |records: &mut Vec<_>, record, _| records.push(record),
    )
    .unwrap();
    let mut previous = None;
    for record in &records {
        assert_eq!(record.previous_crc32c, previous);
        assert_eq!(record.run_crc32c, Some(run.crc32c()));
        previous = Some(record.encode_with_checksum().1);
    }
    let kept = records[0].run_json.as_ref().unwrap();
    assert_eq!(kept.as_bytes(), fs::read(path.join(RUN_FILE)).unwrap());
}

/// The classifications of the golden run are its largest files: still small, so that they are made to be read
/// by column.
#[test]
fn columns_of_files_whose_footers_have_no_checksums_are_checked_one_by_one() {
    let dir = golden();
    let path = dir.path().join("run");
    upgrade(&path, false).unwrap();
    let run = RunDir::open(&path).unwrap();
    let catalog = Catalog::load(&run).unwrap();
    for file in catalog.files() {
        let part = PartFile::committed(&run, &file);
        let sums = sums(&part.location()).unwrap();
        assert_eq!(part.columns.as_deref(), Some(sums.columns.chunks()));
        assert_eq!(part.footer, sums.footer);
        part.open_whole().unwrap();
        // The first column's chunk comes first, behind the magic bytes: it is `step`.
        let mut bytes = fs::read(part.location()).unwrap();
        bytes[8] ^= 1;
        fs::write(part.location(), &bytes).unwrap();
        let damaged = PartFile {
            crc32c: None,
            ..part.clone()
        };
        let error = damaged.open_whole().unwrap_err().to_string();
        assert!(
            error.contains("the checksum of its column \"step\" is "),
            "{error}"
        );
        bytes[8] ^= 1;
        fs::write(part.location(), &bytes).unwrap();
        let table: Table = file.table.parse().unwrap();
        let reader = PartReader::checked(table, &[], 8192).unwrap();
        assert_eq!(
            reader.read_whole(&part).unwrap().num_rows() as u64,
            file.rows
        );
    }
}

#[test]
fn an_upgrade_that_fails_or_is_interrupted_anywhere_loses_nothing() {
    let golden = golden();
    let run = golden.path().join("run");
    let whole = answer(&run);
    let operation = |disk: &Arc<dyn Disk>, path: &Path| upgrade_on(disk, path, false).map(|_| ());
    fail_everywhere(&run, operation, |path, what| {
        assert_eq!(answer(path), whole, "{what}");
        upgrade(path, false).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer(path), whole, "{what}");
        assert_eq!(ending(path), Ending::Finished, "{what}");
        assert!(!path.join(UPGRADE_DIR).exists(), "{what}");
    });
}

/// An upgrade that was killed is done again, and then the power fails.
#[test]
fn an_upgrade_after_a_killed_one_loses_nothing_when_the_power_fails() {
    let golden = golden();
    let whole = answer(&golden.path().join("run"));
    let disk = SimDisk::over(golden.path()).unwrap();
    upgrade_on(&disk.disk(), &golden.path().join("run"), false).unwrap();
    for num_before in (0..=disk.num_operations()).step_by(2) {
        let dir = tempfile::tempdir().unwrap();
        let again = disk.after_kill(num_before, dir.path()).unwrap();
        let path = dir.path().join("run");
        upgrade_on(&again.disk(), &path, false).unwrap();
        for num_operations in (num_before..=again.num_operations()).rev().step_by(2) {
            let remains = again.remains(num_operations);
            let left = tempfile::tempdir().unwrap();
            let lost = vec![Fate::Lost; remains.num_open()];
            remains.tree(&lost).write_to(left.path()).unwrap();
            let what = format!("killed after {num_before}, cut after {num_operations}");
            assert_eq!(answer(&left.path().join("run")), whole, "{what}");
        }
    }
}

/// As of a repair: the sync of the names beside those that were exchanged.
const OF_EXCHANGE: &str = "SyncDirs History run/.upgrade 1";

/// Each is taken away by itself.
#[test]
fn without_any_one_sync_of_an_upgrade_something_is_lost() {
    let golden = golden();
    let run = golden.path().join("run");
    let whole = answer(&run);
    let operation =
        |disk: &Arc<dyn Disk>, path: &Path| drop(upgrade_on(disk, path, false).unwrap());
    let holds = |path: &Path, done: Option<&syncs::Tree>| {
        ensure(answer(path) == whole, "it answers something else")?;
        if let Some(done) = done {
            ensure_kept(path, done)?;
            let is_needed = upgrade(path, true).unwrap().is_needed();
            ensure(!is_needed, "it says again what it said")?;
        }
        upgrade(path, false).map_err(|error| error.to_string())?;
        ensure(answer(path) == whole, "it answers something else then")?;
        ensure(ending(path) == Ending::Finished, "it has no end")?;
        ensure(!path.join(UPGRADE_DIR).exists(), "something is left")
    };
    let known = BTreeMap::from([(OF_EXCHANGE.to_owned(), false)]);
    let known = if syncs::is_long() {
        BTreeMap::new()
    } else {
        known
    };
    let mut found = needed(&run, operation, &holds, &known);
    found.extend(known);
    assert!(found.len() >= 4, "{found:?}");
    found.retain(|_, is_needed| !*is_needed);
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [OF_EXCHANGE]);
}

/// Whatever a killed upgrade left is removed by the next, once it is certain which history is in place.
#[test]
fn without_the_sync_before_what_was_left_is_removed_the_history_is_lost() {
    let golden = golden();
    let whole = answer(&golden.path().join("run"));
    let first = SimDisk::over(golden.path()).unwrap();
    upgrade_on(&first.disk(), &golden.path().join("run"), false).unwrap();
    let again = |num_before: usize, ignored: Option<usize>| {
        let dir = tempfile::tempdir().unwrap();
        let disk = first.after_kill(num_before, dir.path()).unwrap();
        if let Some(index) = ignored {
            disk.ignore_operation(index);
        }
        upgrade_on(&disk.disk(), &dir.path().join("run"), false).unwrap();
        (dir, disk)
    };
    let removal = Point::of(Operation::List, Subject::History);
    // Those with which it begins, where there is anything to remove.
    let mut found = BTreeMap::from([(OF_EXCHANGE.to_owned(), false)]);
    // Who dies elsewhere leaves nothing in doubt: that is gone through in the long form.
    let exchange = Point::of(Operation::Exchange, Subject::History);
    let exchanges = first.operations();
    let exchanged = exchanges.iter().position(|(point, _)| *point == exchange);
    let moments = match syncs::is_long() {
        true => 0..=first.num_operations(),
        false => exchanged.unwrap() + 1..=exchanged.unwrap() + 1,
    };
    for num_before in moments {
        let (dir, disk) = again(num_before, None);
        let operations = disk.operations();
        let begins_with = |(index, _): &(usize, String)| {
            operations[num_before..=*index]
                .iter()
                .all(|(point, _)| point.operation == Operation::SyncDirs)
                && operations[*index..]
                    .iter()
                    .any(|(point, _)| *point == removal)
        };
        let begun = syncs(&disk, dir.path(), num_before).into_iter();
        for (index, name) in begun.filter(begins_with) {
            let is_known = !syncs::is_long() && name == OF_EXCHANGE;
            if is_known || found.get(&name) == Some(&true) {
                continue;
            }
            let (dir, disk) = again(num_before, Some(index));
            let holds = |path: &Path, _: Option<&syncs::Tree>| {
                ensure(answer(path) == whole, "it answers something else")
            };
            let lost = lost_from(&disk, &dir.path().join("run"), index + 1, &holds);
            *found.entry(name).or_default() |= lost.is_some();
        }
    }
    let expected = [("SyncDirs History run 1", true), (OF_EXCHANGE, false)];
    assert_eq!(
        found,
        expected.map(|(name, lost)| (name.to_owned(), lost)).into()
    );
}

#[test]
fn what_is_damaged_is_not_upgraded() {
    let dir = golden();
    let path = dir.path().join("run");
    let part = "weights/epoch=0/layer=L_input/step-1-r0-g0.parquet";
    let mut bytes = fs::read(path.join(part)).unwrap();
    bytes[600] ^= 1;
    fs::write(path.join(part), bytes).unwrap();
    let before = tree(&path);
    let error = upgrade(&path, false).unwrap_err().to_string();
    assert!(
        error.starts_with(part) && error.contains("`sink repair` the run first"),
        "{error}"
    );
    assert_eq!(tree(&path), before);
}

#[test]
fn what_is_of_today_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let before = tree(run.path());
    let report = upgrade(run.path(), false).unwrap();
    assert!(!report.is_needed(), "{report:?}");
    assert_eq!(tree(run.path()), before);
}

/// Its last record says no metrics of the last epoch: nobody can tell whether there were more.
#[test]
fn an_end_that_nothing_proves_stays_unknown() {
    let dir = golden();
    let path = dir.path().join("run");
    for number in 2..6 {
        fs::remove_file(path.join(format!("commits/{number:020}.json"))).unwrap();
    }
    let report = upgrade(&path, false).unwrap();
    assert_eq!(report.finished, []);
    assert_eq!(ending(&path), Ending::Unknown);
    assert!(!upgrade(&path, false).unwrap().is_needed());
}

/// Whoever has a directory called `.upgrade` that is a link would have emptied what it leads to.
#[cfg(unix)]
#[test]
fn nothing_is_removed_where_a_link_leads_to() {
    use std::os::unix::fs::symlink;
    let dir = golden();
    let path = dir.path().join("run");
    let precious = dir.path().join("precious");
    fs::create_dir_all(precious.join("below")).unwrap();
    fs::write(precious.join("below/file"), "abc").unwrap();
    fs::write(precious.join("00000000000000000000.json"), "{}").unwrap();
    // A directory that is no run at all, but has commits.
    let none = dir.path().join("none");
    fs::create_dir_all(none.join("commits")).unwrap();
    let before = (tree(&path.join("commits")), tree(&precious));
    for run in [&path, &none] {
        for target in ["../precious", "../nowhere"] {
            for link in [UPGRADE_DIR, ".upgrade/commits.new"] {
                let link = run.join(link);
                fs::create_dir_all(link.parent().unwrap()).unwrap();
                symlink(target, &link).unwrap();
                for dry_run in [true, false] {
                    let error = upgrade(run, dry_run).unwrap_err().to_string();
                    assert!(error.contains("is a link"), "{error}");
                    assert!(error.contains("Nothing was changed"), "{error}");
                }
                fs::remove_file(&link).unwrap();
                let _ = fs::remove_dir(run.join(UPGRADE_DIR));
            }
        }
    }
    assert_eq!((tree(&path.join("commits")), tree(&precious)), before);
    assert!(!dir.path().join("nowhere").exists());
    // One in the place of the commits would be exchanged with a directory, and its own left behind.
    fs::rename(path.join("commits"), dir.path().join("elsewhere")).unwrap();
    symlink("../elsewhere", path.join("commits")).unwrap();
    let error = upgrade(&path, false).unwrap_err().to_string();
    assert!(
        error.contains("put the directory that it leads to"),
        "{error}"
    );
    assert_eq!(tree(&dir.path().join("elsewhere")), before.0);
}

/// An earlier upgrade leaves nothing but files of a history: what else is there is not removed.
#[test]
fn what_is_no_history_is_kept() {
    let dir = golden();
    let path = dir.path().join("run");
    let staged = path.join(UPGRADE_DIR).join(STAGED_COMMITS);
    fs::create_dir_all(&staged).unwrap();
    fs::write(staged.join("00000000000000000000.json"), "{}").unwrap();
    fs::write(staged.join("notes.txt"), "abc").unwrap();
    let error = with_causes(&upgrade(&path, false).unwrap_err());
    assert!(
        error.contains("notes.txt is no part of the history"),
        "{error}"
    );
    // Not even what is.
    assert_eq!(tree(&staged).len(), 2);
    assert_eq!(fs::read(staged.join("notes.txt")).unwrap(), b"abc");
    fs::remove_file(staged.join("notes.txt")).unwrap();
    assert!(upgrade(&path, false).unwrap().is_needed());
    assert!(!path.join(UPGRADE_DIR).exists());
}

/// The old history is removed in the end, and with it would go what readers pass over: a record, for one, that
/// somebody has renamed.
#[test]
fn what_readers_pass_over_is_not_removed_with_the_old_history() {
    let dir = golden();
    let path = dir.path().join("run");
    let commits = path.join("commits");
    let last = commits.join("00000000000000000005.json");
    let hints = [
        ("last.json", "`sink repair` the run first"),
        ("notes.txt", "move it out of the run first"),
        (".last.json", "move it out of the run first"),
    ];
    for (name, hint) in hints {
        fs::rename(&last, commits.join(name)).unwrap();
        let before = tree(&path);
        for dry_run in [true, false] {
            let error = upgrade(&path, dry_run).unwrap_err().to_string();
            assert!(error.contains(&format!("commits/{name} ")), "{error}");
            assert!(error.contains(hint), "{error}");
            assert_eq!(tree(&path), before);
        }
        fs::rename(commits.join(name), &last).unwrap();
    }
    // Nor is a directory that is called as a record is.
    fs::create_dir(commits.join("00000000000000000006.json")).unwrap();
    upgrade(&path, false).unwrap_err();
    fs::remove_dir(commits.join("00000000000000000006.json")).unwrap();
    assert!(upgrade(&path, false).unwrap().is_needed());
    // Where there is nothing to upgrade, nothing is in the way.
    fs::write(commits.join("notes.txt"), "abc").unwrap();
    assert!(!upgrade(&path, false).unwrap().is_needed());
}

/// Whatever number of epochs a session says that it was to train, it proves no end by it.
#[test]
fn a_number_of_epochs_that_is_none_proves_nothing() {
    let dir = golden();
    let path = dir.path().join("run");
    for epochs in [i64::MIN, -1, 0, i64::MAX] {
        let first = path.join("commits").join(Segment::record(0).file_name());
        let mut record = CommitRecord::decode(&fs::read(&first).unwrap()).unwrap();
        record.session.as_mut().unwrap()["train"]["epochs"] = epochs.into();
        fs::write(&first, record.encode()).unwrap();
        let report = upgrade(&path, true).unwrap();
        assert!(report.is_needed());
        assert_eq!(report.finished, []);
    }
}
