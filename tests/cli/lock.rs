//! Two recorders on one run.

use stratigraph::{Running, Scratch, run, spawn};

const TRAIN: [&str; 11] = [
    "train",
    "--device",
    "cpu",
    "--dataset",
    "notebook",
    "--hidden",
    "4",
    "--epochs",
    "100000000",
    "--out",
    "run",
];

fn record(scratch: &Scratch, more: &[&str]) -> Running {
    spawn(&mut scratch.recorder(&[&TRAIN[..], more].concat()))
}

#[test]
fn the_second_recorder_of_a_run_is_refused_by_a_lock_that_a_kill_does_not_leave_behind() {
    let scratch = Scratch::new();
    let mut first = record(&scratch, &[]);
    scratch.wait_for_commit("run", &mut first);
    for more in [&["--resume"][..], &[]] {
        let arguments = [&TRAIN[..], more].concat();
        let refused = run(&mut scratch.recorder(&arguments));
        let error = refused.expect_failure(1);
        let expected = match more {
            [] => "exists and is not empty",
            _ => "is being written by another process",
        };
        assert!(error.contains(expected), "{error}");
    }
    assert!(first.is_running());
    first.kill();
    // Nothing has to be removed by hand.
    let next = record(&scratch, &["--resume"]);
    next.wait_for_stderr("going on with epoch");
    next.interrupt();
    let ended = next.wait();
    assert_eq!(ended.code(), Some(130), "{ended}");
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(verified.contains(": whole; "), "{verified}");
}
