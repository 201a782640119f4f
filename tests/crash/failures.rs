//! Calls of the kernel that fail under a recorder: it says so and stops, or does without; what it acknowledged
//! stays, and the run is gone on with.

use std::time::{Duration, Instant};

use stratigraph::Scratch;

use crate::engines::Engines;
use crate::oracle::{Figures, Oracle};
use crate::recorders::{DIGITS, Ended, Session, program};
use crate::strace::Strace;

/// What is waited for at most, until the call comes that fails: in the long form some may not come at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is waited for after that, where a failure stops nobody.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Calls that fail, with the how many-th of a thread, in CI.
const CASES: [(&str, u64, &str); 8] = [
    // Of the thread that publishes: the first barrier, the second capture's link and names.
    ("syncfs", 1, "EIO"),
    ("syncfs", 6, "EIO"),
    ("linkat", 2, "EIO"),
    ("renameat2", 9, "ENOSPC"),
    ("mkdir", 6, "ENOSPC"),
    // Of workers, and of the record.
    ("write", 3, "ENOSPC"),
    // Of the program, while it creates the run.
    ("fsync", 1, "EIO"),
    ("linkat", 1, "ENOSPC"),
];

/// All of them are tried, one after the other, if this is set.
const LONG: &str = "STRATIGRAPH_LONG";

const CALLS: [&str; 6] = ["syncfs", "fsync", "renameat2", "linkat", "mkdir", "write"];
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];
const MAX_NTH: u64 = 8;

/// How an error is told.
fn words(error: &str) -> &'static str {
    match error {
        "EIO" => "Input/output error",
        "ENOSPC" => "No space left on device",
        error => panic!("no case has {error}"),
    }
}

#[test]
fn a_call_of_the_kernel_that_fails_costs_nothing_that_was_acknowledged() {
    let Some(strace) = Strace::find("calls of the kernel that fail") else {
        return;
    };
    let mut engines = Engines::start();
    let mut cases = CASES.to_vec();
    let is_long = std::env::var_os(LONG).is_some_and(|long| !long.is_empty());
    let patience = if is_long { PATIENCE / 5 } else { PATIENCE };
    if is_long {
        let all = CALLS.iter().flat_map(|call| {
            let of_call =
                (1..=MAX_NTH).flat_map(move |nth| ERRORS.map(|error| (*call, nth, error)));
            of_call.collect::<Vec<_>>()
        });
        cases = all.collect();
    }
    let (mut num_stopped, mut num_done_without, mut num_not_come) = (0, 0, 0);
    let mut figures = Figures::default();
    for (call, nth, error) in &cases {
        let what = format!("{call} {nth} {error}");
        let scratch = Scratch::new();
        let mut oracle = Oracle::new(&scratch.path("run"), DIGITS);
        let plain = program(&scratch, "run", &[]);
        let mut session = Session::start(&mut strace.fail(&scratch, call, *nth, error, &plain));
        let (start, mut failed_at) = (Instant::now(), None);
        while session.is_running()
            && failed_at.map_or(start.elapsed() < patience, |at: Instant| {
                at.elapsed() < AFTERMATH
            })
        {
            std::thread::sleep(Duration::from_millis(10));
            if failed_at.is_none() && strace.has_injected(&scratch) {
                failed_at = Some(Instant::now());
            }
        }
        let has_come = strace.has_injected(&scratch);
        assert!(has_come || is_long, "{what}: the call did not come");
        num_not_come += u32::from(!has_come);
        let Session::Program(mut running) = session else {
            unreachable!("it is the program");
        };
        let has_stopped = !running.is_running();
        if !has_stopped {
            // It does without, as without a roll-up or without whoever is told.
            running.interrupt();
        }
        let ended = Ended::of(running.wait());
        let finished = ended.finished.as_ref().unwrap();
        match has_stopped {
            true => {
                assert_eq!(finished.code(), Some(1), "{what}: {finished}");
                // Where it was that very line which could not be written, nobody is told.
                let is_told = finished.stderr.contains("error: ");
                assert!(is_told || *call == "write", "{what}: {finished}");
                let has_cause = finished.stderr.contains(words(error));
                assert!(has_cause || !is_told, "{what}: {finished}");
                num_stopped += 1;
            }
            false => {
                // Recording may have failed by a call that came after the interrupt.
                let is_expected = matches!(finished.code(), Some(130 | 1));
                assert!(is_expected, "{what}: {finished}");
                num_done_without += 1;
            }
        }
        figures.sessions += 1;
        figures.told_captures += oracle.hear(ended.taken_back, &ended.told);
        oracle.check(&scratch, engines.as_mut(), &mut figures);

        let mut session = Session::start(&mut program(&scratch, "run", &[]));
        session.wait_until_told(2);
        let ended = session.kill();
        figures.resumed += u64::from(ended.taken_back.is_some());
        oracle.hear(ended.taken_back, &ended.told);
        oracle.check(&scratch, None, &mut figures);
    }
    figures.announce(&format!(
        "calls that fail: {num_stopped} stopped the recorder, {num_done_without} did not ({num_not_come} of \
         these did not come)"
    ));
    assert!(num_stopped >= cases.len() / 3, "{num_stopped}");
}

/// Each sync takes longer than a hundred do here: Ctrl-C waits for what is on the way, and for no more; a second one
/// waits for nothing.
#[test]
fn a_disk_that_is_slow_keeps_nobody_from_stopping() {
    let Some(strace) = Strace::find("a disk that is slow") else {
        return;
    };
    // Less than a second, so that files are not synced one by one.
    for (micros, is_repeated) in [(150_000, false), (500_000, true)] {
        let scratch = Scratch::new();
        let mut oracle = Oracle::new(&scratch.path("run"), DIGITS);
        let plain = program(&scratch, "run", &[]);
        let mut slow = strace.slow_down(&scratch, "syncfs,fsync", micros, &plain);
        let mut session = Session::start(&mut slow);
        session.wait_until_told(1);
        let Session::Program(running) = session else {
            unreachable!("it is the program");
        };
        running.interrupt();
        let start = Instant::now();
        if is_repeated {
            running.wait_for_stderr("stopping: ");
            running.interrupt();
        }
        let limit = Duration::from_secs(if is_repeated { 10 } else { 60 });
        let ended = Ended::of(running.wait_within(limit));
        let finished = ended.finished.as_ref().unwrap();
        assert_eq!(finished.code(), Some(130), "{finished}");
        assert!(finished.stderr.contains("stopping: "), "{finished}");
        println!("{micros} µs a sync: it ended after {:?}", start.elapsed());
        let has_ended_in_order = finished.stdout.contains("interrupted after ");
        assert_eq!(has_ended_in_order, !is_repeated, "{finished}");
        let mut figures = Figures::default();
        oracle.hear(ended.taken_back, &ended.told);
        oracle.check(&scratch, None, &mut figures);
    }
}
