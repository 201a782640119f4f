//! What a repair makes of a run of which not all can be told: records without a trace, names that changed, files
//! that are none.

use super::*;
use crate::derived::publish_derived;
use crate::publish::PublishError;
use crate::publish::PublishStepError;
use crate::store::Creation;
use crate::testing::{metrics_rows, structures_rows};

/// As [`recorded`], with metrics that tell of commits, rolled up.
fn finished(path: &Path) -> RunDir {
    let run = create_run(path);
    let mut publisher = publisher(&run);
    publish(&mut publisher, 0..5, 0);
    let last = PartPath {
        sequence: 1,
        ..part_path(Table::Metrics, 4, None)
    };
    let part = stage(
        &publisher,
        last,
        metrics_rows(4, &[("sink.num_publishes", 5.0)]),
    );
    let group = Group {
        parts: vec![part],
        ..Group::default()
    };
    publisher.publish_last(group).unwrap();
    publisher.seal().unwrap();
    run
}

fn only_file(dir: &Path) -> PathBuf {
    let mut entries = fs::read_dir(dir).unwrap();
    let only = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none());
    only
}

#[test]
fn records_that_are_gone_without_a_trace_are_told_by_what_comes_after_them() {
    for renamed in [
        None,
        Some("checkpoint.parquet.bak"),
        Some("checkpoint-0-5.parquet"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let run = finished(&dir.path().join("run"));
        let whole = answer(run.path());
        let rollup = only_file(&run.commits_dir());
        match renamed {
            None => fs::remove_file(rollup).unwrap(),
            Some(name) => fs::rename(rollup, run.commits_dir().join(name)).unwrap(),
        }
        assert!(matches!(
            run.creation().unwrap(),
            Creation::CommitsLost { .. }
        ));
        let refused = Publisher::try_new(&run, Rank(0), None).unwrap_err();
        let PublishError::NotCommitted(PublishStepError::NoCommits { .. }) = &refused else {
            panic!("{refused}");
        };
        assert!(refused.to_string().contains("has no commits"), "{refused}");
        repaired(run.path());
        assert_eq!(answer(run.path()), whole, "{renamed:?}");
        // By what it says itself it is what it was.
        let is_known = renamed == Some("checkpoint-0-5.parquet");
        assert_eq!(ending(run.path()) == Ending::Finished, is_known);
    }
}

#[test]
fn a_last_record_under_another_name_is_known_by_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    for number in [2, 3] {
        let name = run.commits_dir().join(format!("{number}.json"));
        fs::rename(record_path(&run, number), name).unwrap();
    }
    let report = repaired(run.path());
    assert_eq!(answer(run.path()), whole);
    assert_eq!(ending(run.path()), Ending::Finished);
    assert!(
        report.actions[0].starts_with("take what commits/2.json says for a record"),
        "{:?}",
        report.actions
    );
    assert_eq!(run.stray_commits().unwrap(), Vec::<String>::new());
}

/// Where a record was not read, as it was renamed, somebody wrote another of its number.
#[test]
fn of_two_records_with_one_number_the_one_that_is_left_out_is_damage() {
    for is_followed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let run = recorded(&dir.path().join("run"));
        let whole = answer(run.path());
        let last = run.commits_dir().join("3.json");
        fs::rename(record_path(&run, 3), &last).unwrap();
        let other = dir.path().join("other");
        copied(run.path(), &other);
        let other = RunDir::open(&other).unwrap();
        for name in [
            last.strip_prefix(run.path()).unwrap().to_owned(),
            Path::new("commits").join(Segment::record(2).file_name()),
        ] {
            fs::remove_file(other.path().join(name)).unwrap();
        }
        publisher(&other).publish(Group::default()).unwrap();
        fs::rename(record_path(&run, 2), run.commits_dir().join("2.json")).unwrap();
        fs::copy(record_path(&other, 2), record_path(&run, 2)).unwrap();
        if !is_followed {
            fs::remove_file(last).unwrap();
        }
        let report = repaired(run.path());
        // More speaks for the one that the next one follows, else for the one that has its name.
        let left_out = match is_followed {
            true => Segment::record(2).file_name(),
            false => "2.json".to_owned(),
        };
        let told = format!("commit 2 as commits/{left_out} says it, since more speaks for another");
        assert!(
            report.lost.iter().any(|lost| lost.starts_with(&told)),
            "{:?}",
            report.lost
        );
        assert_eq!(answer(run.path()), whole, "{is_followed}");
        assert_eq!(ending(run.path()), Ending::NotFinished);
        // Whoever goes on takes nothing of it for leftovers.
        publisher(&run).clear_leftovers().unwrap();
        assert_eq!(answer(run.path()), whole, "{is_followed}");
    }
}

#[test]
fn a_record_of_another_run_under_another_name_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    let other = recorded(&dir.path().join("other"));
    fs::copy(record_path(&other, 1), run.commits_dir().join("1.json")).unwrap();
    let report = repaired(run.path());
    assert_eq!(answer(run.path()), whole);
    let told = format!(
        "leave out commits/1.json: it is one of run {}",
        other.info().run_id
    );
    assert_eq!(report.actions[0], told);
    assert!(
        !report
            .actions
            .iter()
            .any(|action| action.starts_with("take what")),
        "{:?}",
        report.actions
    );
}

#[cfg(unix)]
#[test]
fn a_run_of_links_is_read_as_readers_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    let kept = dir.path().join("kept");
    fs::create_dir(&kept).unwrap();
    for (index, path) in tree(run.path()).into_keys().enumerate() {
        let (path, target) = (run.path().join(path), kept.join(index.to_string()));
        fs::rename(&path, &target).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
    }
    assert_eq!(repaired(run.path()), RepairReport::default());
    fs::remove_file(record_path(&run, 1)).unwrap();
    repaired(run.path());
    assert_eq!(answer(run.path()), whole);
}

/// What a lost record named need not be all that is named again, and the run is not what its ending says.
#[test]
fn a_lost_record_takes_the_ending_back() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    fs::remove_file(record_path(&run, 1)).unwrap();
    for (path, _) in capture_parts(1) {
        fs::remove_file(run.path().join(path.to_string())).unwrap();
    }
    repaired(run.path());
    let (captures, _) = whole;
    assert_eq!(answer(run.path()).0, [captures[0], captures[2]]);
    assert_eq!(ending(run.path()), Ending::NotFinished);

    // Of a record of two captures both are there again, or one; nothing but that record told which.
    let run = create_run(&dir.path().join("two"));
    let mut publisher = publisher(&run);
    publish(&mut publisher, 0..2, 0);
    let parts = [2, 3].into_iter().flat_map(capture_parts);
    let parts = parts.map(|(path, rows)| stage(&publisher, path, rows));
    let group = Group {
        captures: vec![capture(2), capture(3)],
        parts: parts.collect(),
        retired: Vec::new(),
    };
    publisher.publish(group).unwrap();
    publish(&mut publisher, 4..6, 0);
    publisher.publish_last(Group::default()).unwrap();
    drop(publisher);
    let copy = dir.path().join("copy");
    copied(run.path(), &copy);
    fs::remove_file(record_path(&run, 2)).unwrap();
    repaired(run.path());
    assert_eq!(answer(run.path()).0.len(), 6);
    assert_eq!(ending(run.path()), Ending::NotFinished);
    fs::remove_file(copy.join("commits").join(Segment::record(2).file_name())).unwrap();
    for (path, _) in capture_parts(3) {
        fs::remove_file(copy.join(path.to_string())).unwrap();
    }
    repaired(&copy);
    assert_eq!(answer(&copy).0.len(), 5);
    assert_eq!(ending(&copy), Ending::NotFinished);
}

/// A record with a checksum that is right, and one capture less than was committed.
#[test]
fn records_that_do_not_follow_each_other_are_told_and_prove_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    let bytes = fs::read(record_path(&run, 1)).unwrap();
    let mut record = CommitRecord::decode(&bytes).unwrap();
    record.captures.clear();
    record.files.clear();
    fs::write(record_path(&run, 1), record.encode_with_checksum().0).unwrap();
    let report = repaired(run.path());
    assert!(
        report.lost[0].starts_with("what made commit 2 follow commit 1"),
        "{:?}",
        report.lost
    );
    assert_eq!(ending(run.path()), Ending::NotFinished);
    // What nobody names any more is whole, and was most likely committed.
    assert_eq!(answer(run.path()), whole);
}

#[test]
fn a_derived_file_that_is_damaged_is_no_part_of_what_a_session_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let rows = structures_rows(2, "some");
    let record = publish_derived(&run, Table::Structures, capture(2), rows).unwrap();
    flip(&run.path().join(record.files[0].path.as_str()), 40);
    let report = repaired(run.path());
    assert_eq!(report.moved.len(), 1);
    assert_eq!(ending(run.path()), Ending::Finished);
}

#[test]
fn a_file_that_is_only_misnamed_has_its_name_again() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    let path = capture_parts(1)[0].0.clone();
    let other = PartPath {
        sequence: 3,
        ..path.clone()
    };
    let (path, other) = (path.to_string(), other.to_string());
    fs::rename(run.path().join(&path), run.path().join(&other)).unwrap();
    let report = repaired(run.path());
    assert_eq!((answer(run.path()), report.lost.len()), (whole, 0));
    assert_eq!(ending(run.path()), Ending::Finished);
    assert!(!run.path().join(&other).exists());
    assert!(run.path().join("damaged/1").join(&other).is_file());

    // What is no file of theirs is kept from whoever clears leftovers away.
    fs::rename(run.path().join(&path), dir.path().join("aside")).unwrap();
    let stray = run.path().join(&other);
    fs::write(&stray, "something else").unwrap();
    let report = repaired(run.path());
    let reasons = report.moved.iter().map(|moved| moved.reason.as_str());
    let told = "no record names it, and files that records name are missing: it may be one of them";
    assert_eq!(reasons.filter(|reason| *reason == told).count(), 1);
    assert!(!stray.exists());
}

/// Of files of format 1.4 and before nobody can tell whether they are whole.
#[test]
fn files_without_checksums_stay_until_they_are_believed() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/1.4");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    copied(&golden, &path);
    let captures = answer(&path).0;
    scramble(&path.join("commits").join(Segment::record(0).file_name()));
    let before = tree(&path);
    for dry_run in [true, false] {
        let options = RepairOptions {
            dry_run,
            ..RepairOptions::default()
        };
        let refused = repair(&path, options).unwrap_err();
        assert!(
            refused.to_string().contains("--unchecked believes"),
            "{refused}"
        );
        assert_eq!(tree(&path), before);
    }
    let options = RepairOptions {
        unchecked: true,
        ..RepairOptions::default()
    };
    repair(&path, options).unwrap();
    assert_eq!(answer(&path).0, captures);
    // What a repair made proves no end.
    let upgraded = crate::upgrade(&path, false).unwrap();
    assert_eq!(upgraded.finished, []);
}

/// Whoever reads a pipe waits, and whoever reads a device never ends.
#[cfg(unix)]
#[test]
fn what_is_no_file_keeps_nobody_waiting() {
    let pipe = |path: &Path| {
        fs::remove_file(path).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
    };
    let endless = |path: &Path| {
        fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path).unwrap();
    };
    let directory = |path: &Path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    };
    let replaced: [&dyn Fn(&Path); 3] = [&pipe, &endless, &directory];
    let dir = tempfile::tempdir().unwrap();
    for (index, replace) in replaced.into_iter().enumerate() {
        let run = recorded(&dir.path().join(format!("record-{index}")));
        let whole = answer(run.path());
        replace(&record_path(&run, 1));
        assert!(Catalog::load(&run).is_err());
        repaired(run.path());
        assert_eq!(answer(run.path()), whole, "{index}");

        let run = recorded(&dir.path().join(format!("part-{index}")));
        let whole = answer(run.path());
        replace(&run.path().join(capture_parts(1)[0].0.to_string()));
        repaired(run.path());
        assert_eq!(answer(run.path()), without_capture(whole, 1), "{index}");

        let run = recorded(&dir.path().join(format!("run-{index}")));
        let whole = answer(run.path());
        replace(&run.path().join(RUN_FILE));
        assert!(RunDir::open(run.path()).is_err());
        if index < 2 {
            repaired(run.path());
            assert_eq!(answer(run.path()), whole, "{index}");
            continue;
        }
        // A directory cannot have a second name.
        let refused = refused(run.path());
        assert!(
            refused.contains("run.json is a directory in the place of a file"),
            "{refused}"
        );
    }
}

/// Why a repair is refused that then has changed nothing.
fn refused(path: &Path) -> String {
    for dry_run in [true, false] {
        let options = RepairOptions {
            dry_run,
            ..RepairOptions::default()
        };
        let error = repair(path, options).unwrap_err();
        assert!(matches!(error, RepairError::Immovable { .. }), "{error}");
        assert!(!path.join(DAMAGED_DIR).exists());
        if !dry_run {
            return error.to_string();
        }
    }
    unreachable!("the second time is none of a dry run")
}

#[cfg(unix)]
#[test]
fn what_cannot_be_moved_is_told_before_anything_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let log = dir.path().join("log");
    fs::rename(run.commits_dir(), &log).unwrap();
    std::os::unix::fs::symlink("../log", run.commits_dir()).unwrap();
    assert_eq!(repaired(run.path()), RepairReport::default());
    scramble(&record_path(&run, 1));
    let told = refused(run.path());
    assert!(
        told.contains("commits is a link: put the directory"),
        "{told}"
    );

    let run = recorded(&dir.path().join("other"));
    fs::remove_dir_all(run.commits_dir()).unwrap();
    fs::write(run.commits_dir(), "no directory").unwrap();
    let told = refused(run.path());
    assert!(
        told.contains("commits is no directory: move it out"),
        "{told}"
    );
    fs::remove_file(run.commits_dir()).unwrap();
    repaired(run.path());
    assert_eq!(answer(run.path()).0.len(), 3);
}
