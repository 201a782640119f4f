//! No sync is there for nothing: without any one of them something is lost, or believed that is not true.

use std::path::Path;

use trace::{Choices, Operation, Point, Subject};

use crate::crashes::for_each_disk;
use crate::scratch::scratch;
use crate::story::{Story, Tell, go_on, one_process, two_processes};

/// What is lost at each operation.
fn choices(seed: usize) -> Choices {
    Choices {
        num_alone: 4,
        num_newest: 2,
        num_drawn: 2,
        seed: seed as u64,
    }
}

/// What is found wrong if the syncs at a point do nothing; none if there are no such syncs.
fn found_without(point: Point, tell: Tell, has_syncfs: bool) -> Option<Result<(), String>> {
    let root = scratch();
    let story = Story::new(root.path(), has_syncfs);
    story.sim.ignore(point);
    tell(&story).unwrap();
    let mut operations = story.sim.operations().into_iter();
    operations.find(|(at, _)| *at == point)?;
    Some(found_from(&story, 0))
}

/// What is found wrong with the disks that may be left once so many operations or more have ended.
fn found_from(story: &Story, num_operations: usize) -> Result<(), String> {
    let swept = for_each_disk(
        story,
        num_operations,
        choices,
        &mut |_, tree, expected, _| {
            let dir = scratch();
            tree.write_to(dir.path())
                .map_err(|error| error.to_string())?;
            expected.check(&dir.path().join("runs/run")).map(|_| ())
        },
    );
    swept.map(|_| ())
}

#[test]
fn without_any_one_sync_something_acknowledged_is_lost() {
    let mut syncs: Vec<Point> = Point::ALL.to_vec();
    syncs.retain(|point| point.operation.is_sync());
    for point in syncs {
        let mut num_found = 0;
        for has_syncfs in [true, false] {
            let stories: [Tell; 2] = [one_process, two_processes];
            let found = stories
                .iter()
                .map(|tell| found_without(point, *tell, has_syncfs));
            let (mut is_come_to, mut lost) = (false, None);
            for found in found.flatten() {
                is_come_to = true;
                lost = found.err();
                if lost.is_some() {
                    break;
                }
            }
            if !is_come_to {
                continue;
            }
            let lost = lost.unwrap_or_else(|| panic!("nothing without {point}, {has_syncfs}"));
            println!("{point}, syncfs {has_syncfs}: {lost}");
            num_found += 1;
        }
        assert!(num_found > 0, "no story has a {point}");
    }
}

/// Who creates a run and who begins to write in it sync the same names, each for itself.
#[test]
fn without_any_one_sync_of_a_creation_the_run_is_lost() {
    for has_syncfs in [true, false] {
        let root = scratch();
        let plain = Story::new(root.path(), has_syncfs);
        one_process(&plain).unwrap();
        let created_at = plain.created_at().unwrap();
        let below = |path: &Path| path.strip_prefix(root.path()).unwrap().to_owned();
        let operations = plain.sim.operations().into_iter().take(created_at);
        // What lies above the disk was there before.
        let syncs = operations.enumerate().filter(|(_, (point, path))| {
            point.operation.is_sync() && path.starts_with(root.path())
        });
        let mut num_syncs = 0;
        for (index, (point, path)) in syncs {
            let root = scratch();
            let story = Story::new(root.path(), has_syncfs);
            story.sim.ignore_operation(index);
            one_process(&story).unwrap();
            let path = below(&path);
            let found = found_from(&story, index + 1);
            let found = found.expect_err(&format!("nothing without {point} {path:?}"));
            println!("{point} {path:?}, syncfs {has_syncfs}: {found}");
            num_syncs += 1;
        }
        // Of the names above it, of its log, and of run.json, which has a sync of its own.
        assert_eq!(num_syncs, 5);
    }
}

/// Who created the run was killed before the names in it were durable: whoever writes to it makes them so.
#[test]
fn without_the_sync_before_the_first_group_a_run_is_lost_that_another_created() {
    let root = scratch();
    let story = Story::new(root.path(), false);
    one_process(&story).unwrap();
    let going_on = |killed_at: usize, root: &Path, ignored: Option<usize>| {
        let sim = story.sim.after_kill(killed_at, root).unwrap();
        if let Some(index) = ignored {
            sim.ignore_operation(index);
        }
        let run = root.join("runs/run");
        let found = story.expected_at(killed_at).check(&run).unwrap();
        let next = story.after_process(sim, run, killed_at, &found);
        go_on(&next).unwrap();
        next
    };
    let begins = Point::of(Operation::CreateDir, Subject::Staging);
    let mut lost = Vec::new();
    for killed_at in 0..=story.created_at().unwrap() {
        let root = scratch();
        let next = going_on(killed_at, root.path(), None);
        let operations = next.sim.operations();
        let begins = operations[killed_at..]
            .iter()
            .position(|(at, _)| *at == begins);
        let before = killed_at + begins.unwrap() - 1;
        let (point, _) = operations[before];
        assert_eq!(point, Point::of(Operation::SyncDirs, Subject::RunFile));
        let root = scratch();
        let next = going_on(killed_at, root.path(), Some(before));
        if let Err(error) = found_from(&next, before + 1) {
            println!("killed after {killed_at} operations: {error}");
            lost.push(killed_at);
        }
    }
    assert!(!lost.is_empty());
}
