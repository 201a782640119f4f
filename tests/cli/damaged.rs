//! A part file that is not what was committed: whatever reads it says so, and makes nothing of it.

use std::fs;

use stratigraph::{Scratch, run};

use crate::files;

/// Turns a bit over in the first file of a table at epoch 1, and gives its path in the run.
fn damage(scratch: &Scratch, table: &str) -> String {
    let of_table = files(&scratch.path("run").join(table)).into_keys();
    let mut of_epoch = of_table.filter(|path| path.to_string_lossy().contains("epoch=1"));
    let path = of_epoch.next().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let below = path.strip_prefix(scratch.path("")).unwrap();
    below.to_str().unwrap().to_owned()
}

const TRAIN: [&str; 8] = [
    "--epochs",
    "2",
    "--hidden",
    "4",
    "--checkpoint-every",
    "1epoch",
    "--out",
    "run",
];

#[test]
fn damaged_weights_are_not_exported_replayed_or_ablated() {
    let scratch = Scratch::new();
    scratch.train(&TRAIN);
    let path = damage(&scratch, "weights");
    let verbs: [&[&str]; 3] = [
        &["export", "run", "--epoch", "1", "-o", "m.safetensors"],
        &["replay", "run", "--epoch", "1"],
        &[
            "ablate",
            "run",
            "--epoch",
            "1",
            "--neurons",
            "0",
            "--draws",
            "1",
        ],
    ];
    for verb in verbs {
        let stderr = run(&mut scratch.recorder(verb)).expect_failure(1);
        let begins = format!(
            "error: cannot read {path}: `sink verify` tells what is wrong with the run: was damaged: its \
             checksum is "
        );
        assert!(stderr.starts_with(&begins), "{stderr}");
    }
    assert!(!scratch.path("m.safetensors").exists());
    // The epoch before is whole.
    let whole = ["export", "run", "--epoch", "0", "-o", "m.safetensors"];
    run(&mut scratch.recorder(&whole)).expect_success();
}

#[test]
fn training_does_not_go_on_from_a_damaged_saved_state() {
    let scratch = Scratch::new();
    scratch.train(&TRAIN);
    let path = damage(&scratch, "resume");
    let before = files(&scratch.path("run/weights"));
    let mut arguments = vec!["train", "--device", "cpu", "--resume"];
    arguments.extend(TRAIN);
    let epochs = arguments.iter_mut().find(|argument| **argument == "2");
    *epochs.unwrap() = "3";
    let stderr = run(&mut scratch.recorder(&arguments)).expect_failure(1);
    let says = format!(
        "error: {path} is damaged, and training cannot go on from it: sink verify says what else is: was \
         damaged: its checksum is "
    );
    assert!(stderr.contains(&says), "{stderr}");
    assert_eq!(files(&scratch.path("run/weights")), before);
}
