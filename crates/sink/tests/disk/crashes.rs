//! The power fails between any two operations, and any of what was not synced is lost.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use sink::verify;
use trace::{Choices, DiskTree, RunDir};

use crate::expected::{Expected, Outcome, files_in_tables, without_nonce};
use crate::is_long;
use crate::scratch::scratch;
use crate::story::{
    Story, Tell, go_on, many_commits, one_process, one_process_with_many_files, two_processes,
    two_processes_that_go_on,
};

/// How closely a disk is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// What is there is held against what was told, and against its checksums.
    Check,
    /// It is verified as `sink verify` does as well, and gone on with.
    GoOn,
    /// The power is cut again meanwhile, and it is verified once more.
    CutAgain,
}

/// How closely a disk is looked at in the midst of many, by its hash.
fn drawn_depth(hash: u64) -> Depth {
    let (go_on, cut_again) = if is_long() { (1, 6) } else { (12, 240) };
    match () {
        () if hash.is_multiple_of(cut_again) => Depth::CutAgain,
        () if hash.is_multiple_of(go_on) => Depth::GoOn,
        () => Depth::Check,
    }
}

/// What is lost at each operation.
fn choices(seed: usize) -> Choices {
    let seed = seed as u64;
    match is_long() {
        true => Choices {
            num_alone: usize::MAX,
            num_newest: 6,
            num_drawn: 32,
            seed,
        },
        false => Choices {
            num_alone: 4,
            num_newest: 2,
            num_drawn: 1,
            seed,
        },
    }
}

/// Looks at a disk that may be left once so many operations have ended, with what is expected of it and a
/// hash of both.
type Visit<'a> = dyn FnMut(usize, &DiskTree, &Expected, u64) -> Result<(), String> + 'a;

/// Goes through the disks that may be left when the power fails from operation `from` on, each once with
/// the same expectations, until `visit` gives an error.
pub fn for_each_disk(
    story: &Story,
    from: usize,
    choices: fn(usize) -> Choices,
    visit: &mut Visit<'_>,
) -> Result<usize, String> {
    let mut seen = HashSet::new();
    for num_operations in from..=story.sim.num_operations() {
        let expected = story.expected_at(num_operations);
        let remains = story.sim.remains(num_operations);
        let mut tried = HashSet::new();
        for fates in remains.fates(choices(num_operations)) {
            if !tried.insert(fates.clone()) {
                continue;
            }
            let tree = remains.tree(&fates);
            let hash = hash(&tree, &expected);
            if seen.insert(hash) {
                visit(num_operations, &tree, &expected, hash)?;
            }
        }
    }
    Ok(seen.len())
}

fn hash(tree: &DiskTree, expected: &Expected) -> u64 {
    let mut hasher = DefaultHasher::new();
    tree.hash(&mut hasher);
    expected.is_created.hash(&mut hasher);
    let outcomes = expected.changes.iter().map(|(_, outcome)| *outcome as u8);
    outcomes.collect::<Vec<_>>().hash(&mut hasher);
    hasher.finish()
}

/// Makes a disk of what was left, holds it against what is expected, and goes on with it.
pub fn survives(
    story: &Story,
    tree: &DiskTree,
    expected: &Expected,
    depth: Depth,
) -> Result<(), String> {
    let dir = scratch();
    tree.write_to(dir.path())
        .map_err(|error| error.to_string())?;
    let run = dir.path().join("runs/run");
    let found = expected.check(&run)?;
    if depth == Depth::Check {
        return Ok(());
    }
    if found.is_run {
        check_verified(&run)?;
    }
    let next = story.after_power_cut(dir.path(), &found);
    go_on(&next).map_err(|stopped| format!("it cannot be gone on with: {}", stopped.0))?;
    let now = next.sim.num_operations();
    let found = next.expected_at(now).check(&run)?;
    check_tidy(&run, &found.committed)?;
    if depth == Depth::CutAgain {
        check_verified(&run)?;
        let few = |seed: usize| Choices {
            num_alone: 0,
            num_newest: 0,
            num_drawn: 1,
            seed: seed as u64,
        };
        for_each_disk(&next, 0, few, &mut |_, tree, expected, hash| {
            survives(&next, tree, expected, drawn_depth(hash).min(Depth::GoOn))
        })?;
    }
    Ok(())
}

/// What `sink verify` says of the run.
fn check_verified(run: &Path) -> Result<(), String> {
    let run = RunDir::open(run).map_err(|error| error.to_string())?;
    let report = verify(&run, &|_| {}).map_err(|error| error.to_string())?;
    match report.problems.is_empty() && !report.lacks_commits {
        true => Ok(()),
        false => Err(format!("verify finds {:?}", report.problems)),
    }
}

/// Nothing is left over of earlier sessions.
fn check_tidy(run: &Path, committed: &[String]) -> Result<(), String> {
    let mut expected = committed.to_vec();
    expected.sort();
    let there = files_in_tables(run);
    let mut there: Vec<String> = there.iter().map(|path| without_nonce(path)).collect();
    there.sort();
    if there != expected {
        return Err(format!(
            "in the tables are {there:?}, committed are {expected:?}"
        ));
    }
    match run.join(trace::STAGING_DIR).exists() {
        true => Err("a staging directory is left".to_owned()),
        false => Ok(()),
    }
}

/// Tells a story to its end, and cuts the power at each operation from the one at which `from` of its
/// changes were committed.
fn assert_survived(tell: Tell, num_before: usize) {
    for has_syncfs in [true, false] {
        let root = scratch();
        let story = Story::new(root.path(), has_syncfs);
        tell(&story).unwrap();
        let num_operations = story.sim.num_operations();
        let is_begun = |n: &usize| {
            let changes = story.expected_at(*n).changes;
            let ended = changes
                .iter()
                .filter(|(_, outcome)| *outcome != Outcome::Open);
            ended.count() >= num_before
        };
        let from = (0..num_operations).find(is_begun).unwrap();
        let num_disks = for_each_disk(&story, from, choices, &mut |n, tree, expected, hash| {
            survives(&story, tree, expected, drawn_depth(hash)).map_err(|error| {
                let operations = story.sim.operations();
                let last = n.checked_sub(1).map(|last| &operations[last]);
                let paths: Vec<_> = tree.paths().collect();
                format!("after operation {n}, {last:?}, with {paths:?}: {error}")
            })
        });
        let num_disks = num_disks.unwrap_or_else(|error| panic!("syncfs {has_syncfs}: {error}"));
        println!("syncfs {has_syncfs}: {num_operations} operations, {num_disks} disks");
        assert!(num_disks > num_operations - from, "only {num_disks} disks");
    }
}

/// Tells a story to its end, kills its process at each operation, lets another go on, and cuts the power
/// at some of its operations and at its end. In the short form it is killed at every so many operations.
fn assert_survived_killed(tell: Tell, stride: usize) {
    for has_syncfs in [true, false] {
        let root = scratch();
        let story = Story::new(root.path(), has_syncfs);
        tell(&story).unwrap();
        let step = if is_long() { 1 } else { stride };
        for killed_at in (0..=story.sim.num_operations()).step_by(step) {
            let survived = survives_kill(&story, killed_at);
            survived.unwrap_or_else(|error| {
                let operations = story.sim.operations();
                let last = killed_at.checked_sub(1).map(|last| &operations[last]);
                panic!("syncfs {has_syncfs}: killed after operation {killed_at}, {last:?}: {error}")
            });
        }
    }
}

fn survives_kill(story: &Story, killed_at: usize) -> Result<(), String> {
    let root = scratch();
    let sim = story.sim.after_kill(killed_at, root.path());
    let sim = sim.map_err(|error| error.to_string())?;
    let run = root.path().join("runs/run");
    let found = story.expected_at(killed_at).check(&run)?;
    let next = story.after_process(sim, run.clone(), killed_at, &found);
    go_on(&next).map_err(|stopped| format!("it cannot be gone on with: {}", stopped.0))?;
    let ended_at = next.sim.num_operations();
    let found = next.expected_at(ended_at).check(&run)?;
    check_tidy(&run, &found.committed)?;
    let few = |seed: usize| Choices {
        num_alone: if is_long() { 8 } else { 0 },
        num_newest: 0,
        num_drawn: 2,
        seed: seed as u64,
    };
    let from = match is_long() {
        true => killed_at,
        false => ended_at - 1,
    };
    let survived = for_each_disk(&next, from, few, &mut |_, tree, expected, _| {
        survives(&next, tree, expected, Depth::GoOn)
    });
    survived.map(|_| ())
}

#[test]
fn who_goes_on_after_a_kill_loses_nothing_of_either_to_a_power_cut() {
    assert_survived_killed(one_process, 12);
    assert_survived_killed(two_processes, 12);
    assert_survived_killed(two_processes_that_go_on, 60);
}

#[test]
fn what_one_process_was_told_is_there_after_every_power_cut() {
    assert_survived(one_process, 0);
}

#[test]
fn what_two_processes_were_told_is_there_after_every_power_cut() {
    assert_survived(two_processes, 5);
}

#[test]
fn large_groups_are_there_as_a_whole_or_not_at_all() {
    assert_survived(one_process_with_many_files, if is_long() { 0 } else { 6 });
}

#[test]
fn what_two_processes_record_anew_is_there_after_every_power_cut() {
    assert_survived(two_processes_that_go_on, if is_long() { 0 } else { 8 });
}

#[test]
fn records_that_are_rolled_up_are_there_after_every_power_cut() {
    assert_survived(many_commits, 14);
}
