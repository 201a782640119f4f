//! No sync is there for nothing: without any one of them something is lost, or believed that is not true.

use trace::{Choices, Point};

use crate::crashes::for_each_disk;
use crate::scratch::scratch;
use crate::story::{Story, Tell, one_process, two_processes};

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
    let swept = for_each_disk(&story, 0, choices, &mut |_, tree, expected, _| {
        let dir = scratch();
        tree.write_to(dir.path())
            .map_err(|error| error.to_string())?;
        expected.check(&dir.path().join("runs/run")).map(|_| ())
    });
    Some(swept.map(|_| ()))
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
