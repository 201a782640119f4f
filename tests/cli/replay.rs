//! `recorder replay`: a network rebuilt from its trace alone answers as the recorded one did.

use stratigraph::{Scratch, run};

/// The last epoch by its name.
fn reproduces(scratch: &Scratch, run_dir: &str, epochs: [i32; 3], num_samples: u32) {
    let asked = [epochs[0].to_string(), epochs[1].to_string(), "last".into()];
    for (epoch, asked) in epochs.iter().zip(&asked) {
        let replayed = run(&mut scratch.recorder(&["replay", run_dir, "--epoch", asked]));
        let stdout = replayed.expect_success();
        assert!(stdout.starts_with(&format!("epoch {epoch}, ")), "{stdout}");
        let all = format!("{num_samples} of {num_samples} held-out samples reproduced bit for bit");
        assert!(stdout.contains(&all), "{stdout}");
    }
}

#[test]
fn digits_are_reproduced_bit_for_bit() {
    let scratch = Scratch::new();
    scratch.train(&["--out", "digits"]);
    reproduces(&scratch, "digits", [0, 10, 19], 297);
}

#[test]
fn the_notebook_is_reproduced_bit_for_bit() {
    let scratch = Scratch::new();
    scratch.train(&["--dataset", "notebook", "--out", "notebook"]);
    reproduces(&scratch, "notebook", [0, 50, 99], 100);
}

#[test]
fn weights_that_were_rounded_are_told() {
    let scratch = Scratch::new();
    scratch.train(&[
        "--epochs",
        "1",
        "--hidden",
        "4",
        "--precision",
        "f16",
        "--out",
        "run",
    ]);
    let replayed = run(&mut scratch.recorder(&["replay", "run", "--epoch", "0"]));
    assert_eq!(replayed.status.code(), Some(1), "{replayed}");
    let told = "its weights were rounded when they were recorded (--precision f16)";
    assert!(replayed.stdout.contains(told), "{replayed}");
    let export = ["export", "run", "--epoch", "0", "--out", "m.safetensors"];
    let stdout = run(&mut scratch.recorder(&export)).expect_success();
    let told = ", rounded when they were recorded (--precision f16)";
    assert!(stdout.contains(told), "{stdout}");
}

#[test]
fn an_epoch_that_is_not_there_is_told() {
    let scratch = Scratch::new();
    scratch.train(&["--dataset", "notebook", "--epochs", "3", "--out", "run"]);
    let replay = |arguments: &[&str]| run(&mut scratch.recorder(arguments)).expect_failure(1);
    assert_eq!(
        replay(&["replay", "run", "--epoch", "3"]),
        "error: epoch 3 was not recorded: there are epochs 0 to 2\n"
    );
    assert_eq!(
        replay(&["replay", "nowhere", "--epoch", "0"]),
        "error: there is no run at nowhere: no such directory\n"
    );
}

#[test]
fn a_run_without_weights_cannot_be_replayed() {
    let scratch = Scratch::new();
    let record = "classifications,metrics";
    scratch.train(&[
        "--epochs", "1", "--hidden", "4", "--record", record, "--out", "run",
    ]);
    let replayed = run(&mut scratch.recorder(&["replay", "run", "--epoch", "0"]));
    let stderr = replayed.expect_failure(1);
    assert!(
        stderr.contains("a replay needs weights and classifications"),
        "{stderr}"
    );
}
