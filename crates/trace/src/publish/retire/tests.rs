use std::fs;
use std::io;
use std::path::Path;

use super::super::tests::{assert_whole, copy_dir, create_on_sim, epochs, group, part, sim};
use super::super::{Group, PublishError, Publisher};
use super::*;
use crate::disk::{Fault, Operation, Point, Subject};
use crate::id::{Generation, Rank};
use crate::part::PartPath;
use crate::run::RunDir;
use crate::run::tests::info;
use crate::table::Table;
use crate::walk::{Links, visit_files};

const RETIRED: [&str; 2] = [
    "weights/epoch=2/layer=L_output/step-72-r0-g0.parquet",
    "metrics/epoch=2/step-72-r0-g0.parquet",
];

/// A run with the captures of epochs 0 to 2.
fn recorded(path: &Path) -> RunDir {
    let run = RunDir::create(path, info()).unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    for epoch in 0..3 {
        let group = group(&publisher, epoch).unwrap();
        publisher.publish(group).unwrap();
    }
    run
}

fn retire_epoch_2(publisher: &mut Publisher) -> Result<(), PublishError> {
    let retired = RETIRED.map(str::to_owned).to_vec();
    let group = Group {
        retired,
        ..Group::default()
    };
    publisher.publish(group).map(|_| ())
}

/// The capture of epoch 2, recorded again by the next session.
fn again(publisher: &Publisher) -> io::Result<Group> {
    let mut again = Group::default();
    for table in [Table::Weights, Table::Metrics] {
        let mut path = part(2, table);
        path.generation = Generation(1);
        let bytes = path.to_string();
        let part = publisher.staging().stage(path, bytes.as_bytes(), 2)?;
        again.parts.push(part);
    }
    again.captures.push(crate::CaptureId {
        epoch: crate::Epoch(2),
        step: crate::Step(72),
    });
    Ok(again)
}

/// What a glob over the tables' directories sees, by path.
fn globbed(run: &RunDir) -> Vec<String> {
    let mut paths = Vec::new();
    for table in Table::ALL {
        let dir = Path::new(table.name());
        visit_files(run.path(), dir, Links::Keep, &mut |path, _| {
            let path = path.to_str().unwrap();
            assert!(path.parse::<PartPath>().is_ok(), "{path}");
            paths.push(path.to_owned());
        })
        .unwrap();
    }
    paths.sort();
    paths
}

#[test]
fn a_retired_capture_is_none_and_its_files_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    retire_epoch_2(&mut publisher).unwrap();
    assert_eq!(epochs(&assert_whole(&run)), [0, 1]);
    for path in RETIRED {
        assert!(!run.path().join(path).exists());
    }
    // Directories that are empty go, others stay.
    assert!(!run.path().join("weights/epoch=2").exists());
    assert!(run.path().join("weights/epoch=1").exists());

    let again = again(&publisher).unwrap();
    publisher.publish(again).unwrap();
    let catalog = assert_whole(&run);
    assert_eq!(epochs(&catalog), [0, 1, 2]);
    assert_eq!(globbed(&run).len(), catalog.num_files());
    publisher.seal().unwrap();
    assert_eq!(epochs(&assert_whole(&run)), [0, 1, 2]);
}

/// What the next session does whatever the last one left: retire, clear, record again.
fn go_on(run: &RunDir) -> Result<(), PublishError> {
    let mut publisher = Publisher::try_new(run, Rank(0), None)?;
    retire_epoch_2(&mut publisher)?;
    publisher.clear_leftovers()?;
    let again = again(&publisher).map_err(super::super::io_error("write", run.path()))?;
    publisher.publish(again).map(|_| ())
}

/// A process that dies just before any of the operations by which it retires, clears away and
/// records anew leaves whole captures, and nothing twice: neither to who reads the commits nor to
/// who reads the directories. The next one goes on.
#[test]
fn a_crash_at_every_step_of_resuming_leaves_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let before = recorded(&dir.path().join("before"));
    for has_syncfs in [true, false] {
        let mut num_failures = 0;
        for n in 0.. {
            assert!(n < 1000, "the loop must end");
            let path = dir.path().join(format!("{has_syncfs}-{n}"));
            copy_dir(before.path(), &path);
            let sim = sim(&path, has_syncfs);
            let run = RunDir::open_on(sim.disk(), &path).unwrap();
            sim.fail_after(n, Fault::Crash);
            let gone_on = Publisher::try_new(&run, Rank(0), None).and_then(|mut publisher| {
                retire_epoch_2(&mut publisher)?;
                publisher.clear_leftovers()?;
                let again =
                    again(&publisher).map_err(super::super::io_error("write", run.path()))?;
                publisher.publish(again).map(|_| ())
            });
            let failed = sim.stop_failing();
            let run = RunDir::open(&path).unwrap();
            let catalog = assert_whole(&run);
            let seen = epochs(&catalog);
            assert!([vec![0, 1], vec![0, 1, 2]].contains(&seen), "{n}: {seen:?}");
            // No two files of one partition, whatever the commits say of them.
            let partitions: std::collections::HashSet<String> = globbed(&run)
                .iter()
                .map(|path| path.rsplit_once('/').unwrap().0.to_owned())
                .collect();
            assert_eq!(partitions.len(), globbed(&run).len(), "{n}");
            if !failed {
                gone_on.unwrap();
                break;
            }
            num_failures += 1;

            if catalog.files().all(|file| !file.path.contains("-g1")) {
                go_on(&run).unwrap();
                let catalog = assert_whole(&run);
                assert_eq!(epochs(&catalog), [0, 1, 2]);
                let mut committed: Vec<_> = catalog.files().map(|f| f.path.to_owned()).collect();
                committed.sort();
                assert_eq!(globbed(&run), committed, "{n}");
                assert!(!run.staging_dir().exists());
            }
            fs::remove_dir_all(&path).unwrap();
        }
        // The record written and linked, the files and directories removed, and what follows.
        assert!(num_failures > 20, "only {num_failures} operations failed");
    }
}

#[test]
fn what_is_retired_before_anybody_saw_it_is_not_published() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let mut both = group(&publisher, 2).unwrap();
    both.retired = vec![RETIRED[0].to_owned()];
    let record = publisher.publish(both).unwrap();
    assert_eq!(record.retired, []);
    assert_eq!(globbed(&run), [RETIRED[1]]);
    assert_eq!(epochs(&Catalog::load(&run).unwrap()), [2]);
}

#[test]
fn what_dead_writers_left_is_cleared_and_what_living_ones_write_stays() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let dead = run.staging_dir().join("0123456789abcdef/0");
    fs::create_dir_all(dead.parent().unwrap()).unwrap();
    fs::write(&dead, "half").unwrap();
    let uncommitted = "weights/epoch=1/layer=L_output/step-48-r0-g1.parquet";
    let other_rank = "weights/epoch=1/layer=L_output/step-48-r1-g0.parquet";
    for path in [uncommitted, other_rank] {
        fs::write(run.path().join(path), "x").unwrap();
    }
    let alive = Publisher::try_new(&run, Rank(0), None).unwrap();
    let staged = group(&alive, 3).unwrap();

    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    publisher.clear_leftovers().unwrap();
    assert!(!dead.exists());
    assert!(!run.path().join(uncommitted).exists());
    assert!(run.path().join(other_rank).exists());
    assert_eq!(epochs(&assert_whole(&run)), [0, 1, 2]);
    let mut alive = alive;
    alive.publish(staged).unwrap();
    assert_eq!(epochs(&assert_whole(&run)), [0, 1, 2, 3]);
}

/// One rank removes the last file of a directory while another moves one in.
#[test]
fn a_directory_that_is_removed_meanwhile_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, run) = create_on_sim(dir.path(), true);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let weights = run.path().join("weights");
    let rename = Point::of(Operation::Rename, Subject::Part);
    sim.before(rename, move || fs::remove_dir_all(weights).unwrap());
    let group = group(&publisher, 0).unwrap();
    publisher.publish(group).unwrap();
    assert_eq!(epochs(&assert_whole(&run)), [0]);
}

/// A run from elsewhere may have links: what is behind them is somebody's, and no part of the run.
#[cfg(unix)]
#[test]
fn nothing_is_removed_where_a_link_leads_out_of_the_run() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    // Another run, whose files are no part of this one.
    let other = recorded(&dir.path().join("other"));
    let precious = dir.path().join("outside/precious");
    fs::create_dir_all(&precious).unwrap();
    fs::write(precious.join("letter"), "dear").unwrap();
    let before = globbed(&other);

    // Directories that look as if dead writers had staged there, files as if none had committed them.
    symlink(dir.path().join("outside"), run.path().join(".staging")).unwrap();
    let publisher = Publisher::try_new(&run, Rank(0), None);
    if let Ok(mut publisher) = publisher {
        _ = publisher.clear_leftovers();
    }
    assert!(precious.join("letter").exists());
    fs::remove_file(run.path().join(".staging")).unwrap();
    fs::create_dir(run.path().join(".staging")).unwrap();
    symlink(&precious, run.path().join(".staging/0123456789abcdef")).unwrap();
    symlink(other.path().join("weights"), run.path().join("activations")).unwrap();
    symlink(
        other.path().join("weights/epoch=0"),
        run.path().join("weights/epoch=7"),
    )
    .unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    publisher.clear_leftovers().unwrap();
    assert!(precious.join("letter").exists());
    assert_eq!(globbed(&other), before);

    // What is retired, too, once its directory is another run's.
    let epoch = run.path().join("weights/epoch=2");
    fs::remove_dir_all(&epoch).unwrap();
    symlink(other.path().join("weights/epoch=2"), &epoch).unwrap();
    let error = retire_epoch_2(&mut publisher).unwrap_err();
    let told = crate::with_causes(&error);
    assert!(told.contains("outside of the run"), "{told}");
    assert_eq!(globbed(&other), before);
}

/// A record that somebody renamed: what it names is not taken for leftovers.
#[test]
fn nothing_is_cleared_away_where_a_record_may_be_unread() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let last = run.commits_dir().join(format!("{:020}.json", 2));
    fs::rename(&last, run.commits_dir().join("2.json")).unwrap();
    let cleared = publisher.clear_leftovers().unwrap_err();
    // Nothing may be written either: it would have the number of what is not read.
    let begun = Publisher::try_new(&run, Rank(0), None).unwrap_err();
    for refused in [cleared, begun] {
        assert!(
            refused.to_string().contains("commits/2.json is not called"),
            "{refused}"
        );
    }
    for path in RETIRED {
        assert!(run.path().join(path).is_file());
    }
}
