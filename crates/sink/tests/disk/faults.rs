//! Each operation fails in each way: what the error says of the group is what is on the disk, at once and
//! after a power cut, and recording goes on.

use std::collections::{BTreeMap, BTreeSet};

use trace::{Choices, Fault, Operation, Point};

use crate::crashes::{Depth, survives};
use crate::expected::Outcome;
use crate::is_long;
use crate::scratch::scratch;
use crate::story::{Stopped, Story, Tell, go_on, one_process, two_processes};

/// A story on a kind of disk.
#[derive(Clone, Copy)]
struct Setting {
    tell: Tell,
    has_syncfs: bool,
}

const SETTINGS: [Setting; 4] = [
    Setting {
        tell: one_process,
        has_syncfs: true,
    },
    Setting {
        tell: one_process,
        has_syncfs: false,
    },
    Setting {
        tell: two_processes,
        has_syncfs: true,
    },
    Setting {
        tell: two_processes,
        has_syncfs: false,
    },
];

/// How often each point is come to.
fn num_visits(setting: Setting) -> BTreeMap<Point, usize> {
    let root = scratch();
    let story = Story::new(root.path(), setting.has_syncfs);
    (setting.tell)(&story).unwrap();
    let mut visits = BTreeMap::new();
    for (point, _) in story.sim.operations() {
        *visits.entry(point).or_default() += 1;
    }
    visits
}

/// Every cell of the table: a point, and a fault that can come to pass there.
fn cells() -> BTreeSet<(Point, Fault)> {
    let faults = |point: &Point| {
        let point = *point;
        let faults = Fault::ALL.into_iter();
        let can_happen = move |fault: &Fault| fault.can_happen_at(point.operation);
        faults.filter(can_happen).map(move |fault| (point, fault))
    };
    Point::ALL.iter().flat_map(faults).collect()
}

/// Whether POSIX lets the operation be interrupted, so that it is tried again.
fn is_tried_again(operation: Operation) -> bool {
    use Operation::{CreateFile, List, Read, Write};
    operation.is_sync() || matches!(operation, CreateFile | List | Read | Write)
}

/// Lets a fault come to pass at the `nth` visit of a point, and looks at what follows; whether it came.
fn assert_told_truly(setting: Setting, point: Point, nth: usize, fault: Fault) -> bool {
    let root = scratch();
    let story = Story::new(root.path(), setting.has_syncfs);
    story.sim.fail_at(point, nth, fault);
    let told = (setting.tell)(&story);
    if !story.sim.stop_failing() {
        return false;
    }
    let in_vain = match fault {
        Fault::ShortWrite => true,
        Fault::Interrupted => is_tried_again(point.operation),
        _ => false,
    };
    let of = format!("{point} {nth}, {fault:?}, syncfs {}", setting.has_syncfs);
    if in_vain && let Err(Stopped(error)) = &told {
        panic!("{of}: {error}");
    }
    let check = || -> Result<(), String> {
        let now = story.sim.num_operations();
        let expected = story.expected_at(now);
        // The machine goes on, whether the process does or not.
        let found = expected.check(&story.run)?;
        // Of what failed nobody has been told that it is there.
        if told.is_ok() {
            let is_known = |(_, outcome): &(_, Outcome)| *outcome != Outcome::Open;
            assert!(expected.changes.iter().all(is_known));
        }
        // The power fails.
        let remains = story.sim.remains(now);
        let few = Choices {
            num_alone: 0,
            num_newest: 0,
            num_drawn: if is_long() { 8 } else { 1 },
            seed: nth as u64,
        };
        for fates in remains.fates(few) {
            survives(&story, &remains.tree(&fates), &expected, Depth::GoOn)?;
        }
        // Another process goes on, and then the power fails.
        if fault != Fault::Crash {
            let next = story.after_process(story.sim.clone(), story.run.clone(), now, &found);
            go_on(&next).map_err(|Stopped(error)| format!("it cannot be gone on with: {error}"))?;
            let now = next.sim.num_operations();
            let (expected, remains) = (next.expected_at(now), next.sim.remains(now));
            expected.check(&next.run)?;
            for fates in remains.fates(few) {
                survives(&next, &remains.tree(&fates), &expected, Depth::GoOn)?;
            }
        }
        Ok(())
    };
    if let Err(error) = check() {
        panic!("{of}, told {told:?}: {error}");
    }
    true
}

#[test]
fn every_point_is_come_to_and_every_cell_of_the_table_is_tried() {
    let visits = SETTINGS.map(num_visits);
    let come_to: BTreeSet<Point> = visits.iter().flat_map(BTreeMap::keys).copied().collect();
    let known: BTreeSet<Point> = Point::ALL.iter().copied().collect();
    assert_eq!(
        come_to, known,
        "the points of the table are those of the code"
    );

    let mut tried = BTreeSet::new();
    for (index, (point, fault)) in cells().into_iter().enumerate() {
        let with_point = SETTINGS.iter().zip(&visits);
        let with_point =
            with_point.filter_map(|(setting, visits)| Some((setting, visits.get(&point)?)));
        let with_point: Vec<_> = with_point.collect();
        let tries: Vec<(Setting, usize)> = match is_long() {
            true => with_point
                .iter()
                .flat_map(|(setting, num_visits)| (0..**num_visits).map(|nth| (**setting, nth)))
                .collect(),
            // One of them, another with each cell.
            false => {
                let (setting, num_visits) = with_point[index % with_point.len()];
                vec![(*setting, index * 7 % num_visits)]
            }
        };
        for (setting, nth) in tries {
            if assert_told_truly(setting, point, nth, fault) {
                tried.insert((point, fault));
            }
        }
    }
    let untried: Vec<_> = cells().difference(&tried).copied().collect();
    assert!(untried.is_empty(), "untried are {untried:?}");
    println!("{} cells of {} points", tried.len(), known.len());
}
