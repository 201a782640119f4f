//! Recorders that are killed again and again while they record one run: at random moments, when something
//! appears on the disk, and before a call of the kernel. What they acknowledged is there once and whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use stratigraph::Scratch;

use crate::dice::{Dice, number_of};
use crate::engines::Engines;
use crate::oracle::{Figures, Oracle};
use crate::recorders::{DIGITS, Ended, Session, TORCH, Trainer, program};
use crate::strace::Strace;

/// How often recorders are killed: `STRATIGRAPH_KILLS`, or this.
const DEFAULT_NUM_KILLS: u64 = 25;

/// Of so many kills one is of a training in PyTorch.
const TORCH_SHARE: u64 = 4;

/// So many kills a run.
const KILLS_PER_RUN: u64 = 10;

/// Kills come at most so long after the start...
const MAX_START_DELAY: Duration = Duration::from_millis(900);

/// ... or after the first commit of a session.
const MAX_DELAY: Duration = Duration::from_millis(700);

/// What is waited for at most, until a session is killed all the same.
const PATIENCE: Duration = Duration::from_secs(3);

/// When a session is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after its start: while it starts, goes back, or records.
    AfterStart(Duration),
    /// So long after it told the first commit.
    AfterCommit(Duration),
    /// As soon as the run's directory is there.
    Created(Duration),
    /// As soon as a part is staged.
    Staged,
    /// As soon as a part is in place: its record is not yet.
    Placed,
    /// As soon as a record has its number.
    Linked,
    /// As soon as records were rolled up.
    RolledUp,
    /// As soon as a part is gone that a session takes back.
    TakenBack,
    /// Before a thread's call of the kernel, the how many-th.
    Before(&'static str, u64),
}

/// Calls before which a recorder is killed.
const CALLS: [&str; 8] = [
    "rmdir",
    "mkdir",
    "write",
    "syncfs",
    "renameat2",
    "linkat",
    "unlink",
    "fsync",
];

fn draw(dice: &mut Dice, is_first: bool, may_trace: bool) -> Moment {
    if is_first {
        return Moment::Created(dice.time(Duration::from_millis(20)));
    }
    match dice.below(12) {
        0 | 1 => Moment::AfterStart(dice.time(MAX_START_DELAY)),
        2 => Moment::Staged,
        3 => Moment::Placed,
        4 => Moment::Linked,
        5 => Moment::RolledUp,
        6 => Moment::TakenBack,
        7..=9 if may_trace => Moment::Before(dice.choose(&CALLS), dice.below(12) + 1),
        _ => Moment::AfterCommit(dice.time(MAX_DELAY)),
    }
}

#[test]
fn killed_at_any_moment_the_program_has_what_it_acknowledged() {
    let num_kills = number_of("STRATIGRAPH_KILLS").unwrap_or(DEFAULT_NUM_KILLS);
    let num_kills = num_kills - num_kills / TORCH_SHARE;
    let strace = Strace::find("kills before calls of the kernel");
    let mut engines = Engines::start();
    let mut dice = Dice::of(1);
    let mut figures = Figures::default();
    let mut num_met = 0;
    for run in 0..num_kills.div_ceil(KILLS_PER_RUN) {
        let scratch = Scratch::new();
        let run_dir = scratch.path("run");
        let mut oracle = Oracle::new(&run_dir, DIGITS);
        for kill in 0..KILLS_PER_RUN.min(num_kills - run * KILLS_PER_RUN) {
            let moment = draw(&mut dice, kill == 0, strace.is_some());
            let before = parts(&run_dir);
            let mut command = program(&scratch, "run", &[]);
            if let (Moment::Before(call, nth), Some(strace)) = (moment, &strace) {
                command = strace.kill_before(&scratch, call, nth, &command);
            }
            let mut session = Session::start(&mut command);
            num_met += u64::from(wait_for(moment, &mut session, &run_dir, &before));
            let ended = session.kill();
            let finished = ended.finished.as_ref().unwrap();
            let what = format!("run {run}, kill {kill}, {moment:?}");
            assert_eq!(finished.code(), None, "{what}: {finished}");
            hold(&mut oracle, &ended, &mut figures, &what);
            oracle.check(&scratch, engines.as_mut(), &mut figures);
        }
        ends_in_order(&scratch, &mut oracle, &mut figures, engines.as_mut());
    }
    figures.announce("kills of the program");
    assert_eq!(figures.sessions, num_kills);
    // Others do not come before a session is killed all the same, as on a slow machine.
    stratigraph::announce(&format!("{num_met} of {num_kills} moments came"));
}

/// The last session of a run is interrupted by Ctrl-C: what was killed before can be gone on with.
fn ends_in_order(
    scratch: &Scratch,
    oracle: &mut Oracle,
    figures: &mut Figures,
    engines: Option<&mut Engines>,
) {
    let mut session = Session::start(&mut program(scratch, "run", &[]));
    session.wait_until_told(2);
    let Session::Program(running) = session else {
        unreachable!("it is the program");
    };
    running.interrupt();
    let ended = Ended::of(running.wait());
    let finished = ended.finished.as_ref().unwrap();
    assert_eq!(finished.code(), Some(130), "{finished}");
    oracle.hear(ended.taken_back, &ended.told);
    oracle.check(scratch, engines, figures);
    let verified = stratigraph::run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(verified.contains("run: whole; "), "{verified}");
    // Nobody is left who would remove it.
    assert!(!verified.contains("no part of the run"), "{verified}");
}

#[test]
fn killed_at_any_moment_a_training_in_pytorch_has_what_it_acknowledged() {
    let num_kills = number_of("STRATIGRAPH_KILLS").unwrap_or(DEFAULT_NUM_KILLS) / TORCH_SHARE;
    let (Some(mut trainer), Some(mut engines)) = (Trainer::start(), Engines::start()) else {
        return;
    };
    let mut dice = Dice::of(2);
    let mut figures = Figures::default();
    let mut num_met = 0;
    for run in 0..num_kills.div_ceil(KILLS_PER_RUN) {
        let scratch = Scratch::new();
        let run_dir = scratch.path("run");
        let mut oracle = Oracle::new(&run_dir, TORCH);
        for kill in 0..KILLS_PER_RUN.min(num_kills - run * KILLS_PER_RUN) {
            let moment = draw(&mut dice, kill == 0, false);
            let before = parts(&run_dir);
            // The loop's own checkpoint is of one of the last epochs that it knows to be safe.
            let last = oracle.num_captures().checked_sub(1);
            let checkpoint = last.map(|last| last.saturating_sub(dice.below(4)));
            let checkpoint = checkpoint.filter(|_| run_dir.join("run.json").exists());
            if checkpoint.is_none() && run_dir.join("run.json").exists() {
                // A loop without a checkpoint of its own begins anew.
                fs::remove_dir_all(&run_dir).unwrap();
                oracle = Oracle::new(&run_dir, TORCH);
            }
            let mut session = trainer.train(&run_dir, checkpoint);
            num_met += u64::from(wait_for(moment, &mut session, &run_dir, &before));
            let ended = session.kill();
            let what = format!("run {run}, kill {kill}, {moment:?}");
            hold(&mut oracle, &ended, &mut figures, &what);
            oracle.check(&scratch, Some(&mut engines), &mut figures);
        }
    }
    figures.announce("kills of a training in PyTorch");
    assert_eq!(figures.sessions, num_kills);
    // Others do not come before a session is killed all the same, as on a slow machine.
    stratigraph::announce(&format!("{num_met} of {num_kills} moments came"));
}

fn hold(oracle: &mut Oracle, ended: &Ended, figures: &mut Figures, what: &str) {
    stratigraph::announce(what);
    figures.sessions += 1;
    figures.resumed += u64::from(ended.taken_back.is_some());
    figures.told_captures += oracle.hear(ended.taken_back, &ended.told);
}

/// Waits for a moment, or until it does not seem to come: whether it came.
fn wait_for(
    moment: Moment,
    session: &mut Session<'_>,
    run_dir: &Path,
    before: &BTreeSet<String>,
) -> bool {
    let start = Instant::now();
    let is_late = || start.elapsed() > PATIENCE;
    let commits = || names(&run_dir.join("commits"));
    match moment {
        Moment::AfterStart(delay) => std::thread::sleep(delay),
        Moment::AfterCommit(delay) => {
            session.wait_until_told(1);
            std::thread::sleep(delay);
        }
        Moment::Created(delay) => {
            while !run_dir.exists() && !is_late() {}
            std::thread::sleep(delay);
        }
        Moment::Staged => {
            session.wait_until_told(1);
            let staged = || {
                let dir = run_dir.join(".staging");
                let writers = names(&dir).into_iter();
                writers
                    .map(|writer| names(&dir.join(writer)).len())
                    .sum::<usize>()
            };
            let num_staged = staged();
            while staged() <= num_staged && !is_late() {}
        }
        Moment::Placed => {
            session.wait_until_told(1);
            let num_epochs = parts(run_dir).len();
            while parts(run_dir).len() == num_epochs && !is_late() {}
        }
        Moment::Linked => {
            session.wait_until_told(1);
            let there = commits();
            while commits() == there && !is_late() {}
        }
        Moment::RolledUp => {
            let rolled_up = || {
                let names = commits().into_iter();
                names
                    .filter(|name| name.starts_with("checkpoint-"))
                    .collect()
            };
            let there: BTreeSet<String> = rolled_up();
            while rolled_up() == there && !is_late() {}
        }
        Moment::TakenBack => while before.is_subset(&parts(run_dir)) && !is_late() {},
        Moment::Before(..) => {
            while session.is_running() && !is_late() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    !is_late()
}

/// The names in a directory; none where it is not there.
fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// The epochs of which there are weights.
fn parts(run_dir: &Path) -> BTreeSet<String> {
    names(&run_dir.join("weights"))
}
