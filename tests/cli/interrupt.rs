//! Ctrl-C during a training.

use stratigraph::{Scratch, run, spawn};

use crate::number_between;

/// More than anybody waits for.
const ENDLESS: &str = "1000000";

#[test]
fn one_publishes_and_says_what_was_kept() {
    let scratch = Scratch::new();
    let mut recorder = spawn(&mut scratch.recorder(&[
        "train", "--device", "cpu", "--hidden", "8", "--epochs", ENDLESS,
    ]));
    scratch.wait_for_commit("traces/digits", &mut recorder);
    recorder.interrupt();
    let finished = recorder.wait();
    assert_eq!(finished.code(), Some(130), "{finished}");
    assert!(
        finished
            .stderr
            .contains("stopping: publishing what was captured"),
        "{finished}"
    );
    let kept = number_between(&finished.stdout, "interrupted after ", " epochs").unwrap();
    assert!(kept > 0);
    let said = number_between(&finished.stdout, "\nkept ", " captures in traces/digits: ");
    assert_eq!(said, Some(kept), "{finished}");

    let verified = run(&mut scratch.sink(&["verify", "traces/digits"])).expect_success();
    assert!(
        verified.starts_with(&format!("traces/digits: whole; {kept} captures in ")),
        "{verified}"
    );
    assert!(!scratch.path("traces/digits/.staging").exists());
    let epochs = scratch.rows(
        "traces/digits",
        "SELECT min(epoch) AS first, max(epoch) AS last, count(DISTINCT epoch) AS n FROM weights",
    );
    let expected = serde_json::json!({"first": 0, "last": kept - 1, "n": kept});
    assert_eq!(epochs, [expected]);
}

/// No time to save the state had come, in the middle of an epoch or not: it goes on with the next one.
#[test]
fn what_was_interrupted_is_resumed_after_its_last_whole_epoch() {
    let scratch = Scratch::new();
    let train = |more: &[&str]| {
        let arguments = ["train", "--device", "cpu", "--hidden", "8", "--out", "run"];
        let endless = ["--epochs", ENDLESS];
        scratch.recorder(&[&arguments[..], &endless, more].concat())
    };
    let mut recorder = spawn(&mut train(&[]));
    scratch.wait_for_commit("run", &mut recorder);
    recorder.interrupt();
    let finished = recorder.wait();
    assert_eq!(finished.code(), Some(130), "{finished}");
    let kept = number_between(&finished.stdout, "interrupted after ", " epochs").unwrap();
    assert!(
        finished.stdout.contains(&format!(
            "--resume, with the same options, goes on with epoch {}\n",
            kept + 1
        )),
        "{finished}"
    );

    let recorder = spawn(&mut train(&["--resume"]));
    recorder.wait_for_stderr(&format!("going on with epoch {} of {ENDLESS}\n", kept + 1));
    recorder.wait_for_stderr("recording into run");
    recorder.interrupt();
    let finished = recorder.wait();
    assert_eq!(finished.code(), Some(130), "{finished}");
    let rows = scratch.rows(
        "run",
        "SELECT count(neuron) AS rows, count(DISTINCT epoch) AS epochs, max(epoch) AS last FROM weights",
    );
    let [rows] = &rows[..] else {
        panic!("{rows:?}")
    };
    let of = |name: &str| rows[name].as_u64().unwrap();
    // 8 and 10 neurons an epoch, none of them twice, without a gap.
    assert_eq!(of("rows"), 18 * of("epochs"));
    assert_eq!(of("epochs"), of("last") + 1);
    assert!(of("epochs") >= kept);
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
}

#[test]
fn a_second_one_stops_at_once() {
    let scratch = Scratch::new();
    // A capture takes longer to write than to compute, so that there is something to wait for.
    let mut recorder = spawn(&mut scratch.recorder(&[
        "train",
        "--device",
        "cpu",
        "--dataset",
        "notebook",
        "--hidden",
        "1000,1000",
        "--epochs",
        ENDLESS,
        "--out",
        "run",
    ]));
    scratch.wait_for_commit("run", &mut recorder);
    recorder.interrupt();
    recorder.wait_for_stderr("stopping: ");
    recorder.interrupt();
    let finished = recorder.wait();
    assert_eq!(finished.code(), Some(130), "{finished}");
    assert_eq!(
        finished.stdout, "",
        "it said what was kept, so it did not stop at once"
    );

    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(verified.contains("run: whole; "), "{verified}");
}
