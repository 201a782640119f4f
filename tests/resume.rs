//! A run that is interrupted and resumed is the run that nobody interrupted; and so is one that
//! several processes record.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use stratigraph::{Scratch, run, spawn};
use trace::{Catalog, RunDir, Table};

/// Kills in a run: more than a few are for the long form.
const NUM_KILLS: u32 = 3;

const NUM_LONG_KILLS: u32 = 40;

/// Kills come so long after a session has begun to record, when it has published a few times...
const MIN_DELAY: Duration = Duration::from_millis(600);

/// ... and up to so much later.
const MAX_FURTHER_DELAY: Duration = Duration::from_millis(400);

/// What is recorded, but for what recording cost.
const ROWS: [&str; 4] = [
    "SELECT * FROM weights ORDER BY epoch, neuron",
    "SELECT * FROM activations ORDER BY epoch, neuron",
    "SELECT * FROM classifications ORDER BY epoch, sample",
    "SELECT * FROM metrics WHERE name NOT LIKE 'recorder.%' AND name NOT LIKE 'sink.%' \
     AND name <> 'parameters_crc32c' ORDER BY epoch, phase, name",
];

/// Every row of a run; the ranks are `rank`'s where that is given.
fn trace(scratch: &Scratch, run_dir: &str) -> Vec<Vec<Value>> {
    let rows = |sql: &str| {
        let mut rows = scratch.rows(run_dir, sql);
        for row in &mut rows {
            row.as_object_mut().unwrap().remove("rank").unwrap();
        }
        rows
    };
    ROWS.map(rows).into()
}

fn catalog(scratch: &Scratch, run_dir: &str) -> Catalog {
    Catalog::load(&RunDir::open(&scratch.path(run_dir)).unwrap()).unwrap()
}

fn num_files(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let entries = entries.map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { num_files(&path) } else { 1 })
        .sum()
}

fn is_resumed_after_kills(num_kills: u32, epochs: &str) {
    let scratch = Scratch::new();
    let arguments = |out: &'static str| {
        [
            "train",
            "--device",
            "cpu",
            "--hidden",
            "8",
            "--activation-samples",
            "8",
            "--record-initial",
            "--checkpoint-every",
            "2epochs",
            "--out",
            out,
        ]
    };
    let train = |out, more: &[&str]| {
        let arguments = [&arguments(out)[..], &["--epochs", epochs], more].concat();
        scratch.recorder(&arguments)
    };
    run(&mut train("whole", &[])).expect_success();

    let mut num_resumed = 0;
    for kill in 0..num_kills {
        let mut recorder = if kill == 0 {
            spawn(&mut train("run", &[]))
        } else {
            spawn(&mut train("run", &["--resume"]))
        };
        if kill == 0 {
            scratch.wait_for_commit("run", &mut recorder);
        } else {
            recorder.wait_for_stderr("recording into run");
        }
        // Spread over the time that there is, and the same in every session.
        let delay = (f64::from(kill) * 0.618_033_988_75).fract();
        std::thread::sleep(MIN_DELAY + MAX_FURTHER_DELAY.mul_f64(delay));
        assert!(recorder.is_running(), "kill {kill}: it ended by itself");
        let killed = recorder.kill();
        num_resumed += u32::from(
            killed.stderr.contains("going on with epoch ")
                && !killed.stderr.contains("going on with epoch 1 of"),
        );
        run(&mut scratch.sink(&["verify", "run"])).expect_success();
    }
    let summary = run(&mut train("run", &["--resume"])).expect_success();
    assert!(summary.starts_with("trained "), "{summary}");
    assert!(num_resumed > 0, "no session began at a saved state");

    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(!verified.contains("no part of the run"), "{verified}");
    for (found, expected) in trace(&scratch, "run").iter().zip(trace(&scratch, "whole")) {
        assert!(!expected.is_empty());
        assert!(*found == expected, "the traces differ");
    }
    // Nothing else lies beside it, so that a glob sees the same.
    let tables = Table::ALL
        .iter()
        .map(|table| scratch.path("run").join(table.name()));
    let num_globbed: usize = tables.map(|table| num_files(&table)).sum();
    assert_eq!(num_globbed, catalog(&scratch, "run").num_files());

    let stderr = run(&mut train("run", &["--resume"])).expect_failure(1);
    assert!(
        stderr.contains(&format!(
            "run is finished: all {epochs} epochs are recorded"
        )),
        "{stderr}"
    );
}

#[test]
fn a_run_that_was_killed_and_resumed_is_the_one_that_was_not() {
    is_resumed_after_kills(NUM_KILLS, "400");
}

#[test]
#[ignore = "takes minutes: the same as the short form, with more kills"]
fn a_run_that_was_killed_often_and_resumed_is_the_one_that_was_not() {
    is_resumed_after_kills(NUM_LONG_KILLS, "3000");
}

#[test]
fn a_finished_run_is_trained_for_longer() {
    let scratch = Scratch::new();
    let train = |out, epochs, more: &[&str]| {
        let arguments = ["train", "--device", "cpu", "--hidden", "8", "--out", out];
        let every = ["--every", "2epochs", "--epochs", epochs];
        scratch.recorder(&[&arguments[..], &every, more].concat())
    };
    run(&mut train("run", "4", &[])).expect_success();
    let resumed = run(&mut train("run", "6", &["--resume"]));
    assert!(
        resumed.stderr.contains("going on with epoch 5 of 6\n"),
        "{resumed}"
    );
    let summary = resumed.expect_success();
    assert!(
        summary.starts_with("trained 6 epochs (144 steps) in "),
        "{summary}"
    );
    run(&mut train("whole", "6", &[])).expect_success();
    let captured = |run_dir| {
        let sql = "SELECT epoch, max(step) FROM weights GROUP BY epoch ORDER BY epoch";
        let rows = scratch.rows(run_dir, sql);
        let epochs = rows.iter().map(|row| row["epoch"].as_i64().unwrap());
        epochs.collect::<Vec<_>>()
    };
    assert_eq!(captured("whole"), [0, 2, 4, 5]);
    // What was the last epoch's capture stays.
    assert_eq!(captured("run"), [0, 2, 3, 4, 5]);
    let last = "SELECT * FROM weights WHERE epoch = 5 ORDER BY neuron";
    assert!(scratch.rows("run", last) == scratch.rows("whole", last));
    let curve = "SELECT epoch, phase, name, value FROM metrics WHERE name IN ('loss', 'accuracy') \
                 ORDER BY epoch, phase, name";
    assert!(scratch.rows("run", curve) == scratch.rows("whole", curve));
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
    run(&mut scratch.recorder(&["replay", "run", "--epoch", "5"])).expect_success();
    let info = run(&mut scratch.query(&["info", "run"])).expect_success();
    let epochs = info.lines().find_map(|line| line.strip_prefix("epochs "));
    assert_eq!(epochs.map(str::trim), Some("6"), "{info}");

    let stderr = run(&mut train("run", "6", &["--resume"])).expect_failure(1);
    assert!(stderr.contains("all 6 epochs are recorded"), "{stderr}");
    run(&mut train("none", "2", &["--checkpoint-every", "never"])).expect_success();
    let stderr = run(&mut train("none", "3", &["--resume"])).expect_failure(1);
    assert!(stderr.contains("kept nothing to go on from"), "{stderr}");
}

#[test]
fn several_processes_record_one_run() {
    let scratch = Scratch::new();
    let train = |out, more: &[&str]| {
        let arguments = ["train", "--device", "cpu", "--hidden", "8", "--epochs", "5"];
        scratch.recorder(&[&arguments[..], &["--out", out], more].concat())
    };
    run(&mut train("one", &[])).expect_success();
    // The last comes first: it waits until rank 0 has created the run.
    let ranks = ["1", "0"].map(|rank| {
        let ranks = ["--rank", rank, "--world-size", "2"];
        spawn(&mut train("two", &ranks))
    });
    for rank in ranks {
        rank.wait().expect_success();
    }
    assert!(trace(&scratch, "one") == trace(&scratch, "two"));
    let ranks = scratch.rows(
        "two",
        "SELECT DISTINCT layer, rank FROM weights ORDER BY layer",
    );
    assert_eq!(
        ranks,
        [
            serde_json::json!({"layer": "L_input", "rank": 0}),
            serde_json::json!({"layer": "L_output", "rank": 1}),
        ]
    );
    let verified = run(&mut scratch.sink(&["verify", "two"])).expect_success();
    assert!(
        verified.contains("two: whole; 5 captures in "),
        "{verified}"
    );
    run(&mut scratch.recorder(&["replay", "two", "--epoch", "4"])).expect_success();

    let more = ["--rank", "1", "--world-size", "2", "--lr", "0.5"];
    let stderr = run(&mut train("two", &more)).expect_failure(1);
    assert!(
        stderr.contains("config.train.learning_rate is 0.001 there, and 0.5 here"),
        "{stderr}"
    );
}

/// Of a run of two ranks, one that dies leaves captures that are not whole: nobody sees them, and
/// `sink verify` says who is missing.
#[test]
fn a_rank_that_is_missing_is_named() {
    let scratch = Scratch::new();
    let arguments = [
        "train",
        "--device",
        "cpu",
        "--hidden",
        "8",
        "--epochs",
        "2",
        "--out",
        "run",
        "--rank",
        "0",
        "--world-size",
        "2",
    ];
    run(&mut scratch.recorder(&arguments)).expect_success();
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(
        verified.contains("2 captures are not whole, since ranks are missing"),
        "{verified}"
    );
    assert!(
        verified.contains("epoch 1, step 48: missing rank 1"),
        "{verified}"
    );
    assert!(
        verified.contains("run: whole; 0 captures in "),
        "{verified}"
    );
    assert_eq!(catalog(&scratch, "run").num_files(), 0);
}
