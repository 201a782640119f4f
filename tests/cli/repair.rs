//! A damaged run is repaired, asked, and trained on; one of an earlier version is upgraded.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use stratigraph::{Scratch, run};

use crate::files;

const TRAIN: [&str; 10] = [
    "--dataset",
    "notebook",
    "--epochs",
    "3",
    "--hidden",
    "4",
    "--checkpoint-every",
    "1epoch",
    "--out",
    "run",
];

/// Every weight of a run, in order.
fn weights(scratch: &Scratch, run_dir: &str) -> Vec<Value> {
    let asked = "SELECT epoch, neuron, bias, weights FROM weights ORDER BY epoch, neuron";
    scratch.rows(run_dir, asked)
}

/// The files of the run's history, in order.
fn commits(scratch: &Scratch) -> Vec<PathBuf> {
    files(&scratch.path("run/commits")).into_keys().collect()
}

/// Turns three bits over: no single byte explains it.
fn damage(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let num_bytes = bytes.len();
    for at in [num_bytes / 4, num_bytes / 3, num_bytes / 2] {
        bytes[at] ^= 4;
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_whose_history_was_damaged_is_repaired_asked_and_trained_on() {
    let scratch = Scratch::new();
    scratch.train(&TRAIN);
    let whole = weights(&scratch, "run");
    let records = commits(&scratch);
    damage(&records[1]);
    damage(&scratch.path("run/run.json"));
    let stderr = run(&mut scratch.query(&["info", "run"])).expect_failure(1);
    assert!(stderr.contains("run.json"), "{stderr}");

    let before = files(&scratch.path("run"));
    let would = run(&mut scratch.sink(&["repair", "run", "--dry-run"])).expect_success();
    assert!(would.starts_with("would be done:\n"), "{would}");
    assert!(would.ends_with("run: nothing was changed\n"), "{would}");
    assert_eq!(files(&scratch.path("run")), before);
    let stdout = run(&mut scratch.sink(&["repair", "run"])).expect_success();
    let done = stdout.lines().filter(|line| line.starts_with("  "));
    let planned = would.lines().filter(|line| line.starts_with("  "));
    assert!(done.eq(planned), "{would}{stdout}");
    assert!(stdout.contains("\nmoved to damaged/1"), "{stdout}");
    let stdout = run(&mut scratch.sink(&["repair", "run"])).expect_success();
    assert_eq!(stdout, "run: nothing to repair\n");

    let stdout = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(stdout.contains("run: whole; 3 captures in "), "{stdout}");
    assert_eq!(weights(&scratch, "run"), whole);
    let mut arguments = vec!["train", "--device", "cpu", "--resume"];
    arguments.extend(TRAIN);
    let epochs = arguments.iter_mut().find(|argument| **argument == "3");
    *epochs.unwrap() = "5";
    run(&mut scratch.recorder(&arguments)).expect_success();
    let stdout = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(stdout.contains("run: whole; 5 captures in "), "{stdout}");
    assert_eq!(weights(&scratch, "run")[..whole.len()], whole);
}

#[test]
fn a_capture_that_lost_a_file_is_taken_out_and_recorded_anew_from_the_checkpoint_on() {
    let scratch = Scratch::new();
    scratch.train(&TRAIN);
    let whole = weights(&scratch, "run");
    let of_epoch = files(&scratch.path("run/activations/epoch=1"));
    fs::remove_file(of_epoch.keys().next().unwrap()).unwrap();
    let stdout = run(&mut scratch.sink(&["repair", "run"])).expect_success();
    assert!(
        stdout.contains("lost:\n  the capture of epoch 1, step "),
        "{stdout}"
    );
    let stdout = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(stdout.contains("not finished: "), "{stdout}");
    assert!(stdout.contains("run: whole; 2 captures in "), "{stdout}");
    let left: Vec<Value> = whole
        .into_iter()
        .filter(|row| row["epoch"] != json!(1))
        .collect();
    assert_eq!(weights(&scratch, "run"), left);
    // What was moved is there, and every engine passes over it.
    assert!(scratch.path("run/damaged/1/weights/epoch=1").is_dir());
    let stats = run(&mut scratch.sink(&["stats", "run"])).expect_success();
    assert!(stats.starts_with("run: 2 captures in "), "{stats}");
}

/// A record that was renamed is not read: nobody writes another of its number.
#[test]
fn a_run_with_a_renamed_record_is_resumed_once_it_is_repaired() {
    let scratch = Scratch::new();
    scratch.train(&TRAIN);
    let whole = weights(&scratch, "run");
    let rollup = commits(&scratch).pop().unwrap();
    fs::rename(&rollup, rollup.with_file_name("last.json")).unwrap();
    let before = files(&scratch.path("run"));
    let mut arguments = vec!["train", "--device", "cpu", "--resume"];
    arguments.extend(TRAIN);
    let epochs = arguments.iter_mut().find(|argument| **argument == "3");
    *epochs.unwrap() = "4";
    let stderr = run(&mut scratch.recorder(&arguments)).expect_failure(1);
    assert!(stderr.contains("`sink repair`"), "{stderr}");
    assert_eq!(files(&scratch.path("run")), before);
    run(&mut scratch.sink(&["repair", "run"])).expect_success();
    assert_eq!(weights(&scratch, "run"), whole);
    run(&mut scratch.recorder(&arguments)).expect_success();
    assert_eq!(weights(&scratch, "run")[..whole.len()], whole);
}

#[test]
fn a_run_whose_records_are_all_gone_is_not_asked_as_an_empty_one() {
    let scratch = Scratch::new();
    scratch.train(&TRAIN);
    for record in commits(&scratch) {
        fs::rename(&record, record.with_extension("bak")).unwrap();
    }
    for salvage in [&["--salvage"][..], &[]] {
        let ask = ["sql", "run", "SELECT count(*) FROM weights"];
        let asked = run(&mut scratch.query(&[&ask[..], salvage].concat()));
        let stderr = asked.expect_failure(1);
        let told = "commits has no commits, and there are files, as ";
        assert!(stderr.contains(told), "{stderr}");
        assert!(stderr.contains("`sink repair`"), "{stderr}");
    }
}

#[test]
fn a_run_without_commits_is_made_of_its_files() {
    let scratch = Scratch::new();
    scratch.train(&TRAIN);
    let whole = weights(&scratch, "run");
    fs::remove_dir_all(scratch.path("run/commits")).unwrap();
    let stderr = run(&mut scratch.sink(&["verify", "run"])).expect_failure(1);
    assert!(stderr.contains("`sink repair`"), "{stderr}");
    run(&mut scratch.sink(&["repair", "run"])).expect_success();
    let stdout = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(stdout.contains("run: whole; 3 captures in "), "{stdout}");
    assert_eq!(weights(&scratch, "run"), whole);
    // The last checkpoint is the one that training goes on from.
    let mut arguments = vec!["train", "--device", "cpu", "--resume"];
    arguments.extend(TRAIN);
    let epochs = arguments.iter_mut().find(|argument| **argument == "3");
    *epochs.unwrap() = "4";
    run(&mut scratch.recorder(&arguments)).expect_success();
    let stdout = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(stdout.contains("run: whole; 4 captures in "), "{stdout}");
    assert_eq!(weights(&scratch, "run")[..whole.len()], whole);
}
