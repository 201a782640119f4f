//! Every state in which a kill leaves a run that is being created.

use std::fs;
use std::path::Path;

use stratigraph::{Scratch, run};

/// Rows of the table of weights: 8 hidden units and 10 outputs a capture, the different ones among them, and
/// captures.
const WEIGHTS: &str = "SELECT count(*) AS n, count(DISTINCT concat(epoch, '-', neuron)) AS keys, \
                       count(DISTINCT epoch) AS epochs FROM weights";

/// Every state in which a kill leaves a run that is being created, and those that earlier versions left.
#[test]
fn a_run_whose_creation_was_interrupted_is_recorded_into() {
    type State = fn(&Path);
    let states: [(&str, bool, State); 5] = [
        ("an empty directory", false, |_| {}),
        ("the directory of commits", false, |run| {
            fs::create_dir(run.join("commits")).unwrap();
        }),
        ("a staged run.json", false, |run| {
            fs::create_dir(run.join("commits")).unwrap();
            fs::write(run.join(".run.json.0123456789abcdef"), "{\"form").unwrap();
        }),
        ("no commits", true, |run| {
            fs::remove_dir_all(run.join("commits")).unwrap();
        }),
        ("no commits, and a staged run.json", true, |run| {
            fs::remove_dir_all(run.join("commits")).unwrap();
            let staged = run.join(".run.json.0123456789abcdef");
            fs::hard_link(run.join("run.json"), staged).unwrap();
        }),
    ];
    // What a run is: one is recorded, of which nothing but `run.json` is kept.
    let train = ["train", "--device", "cpu", "--hidden", "8", "--epochs", "2"];
    for (state, has_run, make) in states {
        for resumes in [true, false] {
            let scratch = Scratch::new();
            let run_dir = scratch.path("run");
            fs::create_dir(&run_dir).unwrap();
            if has_run {
                let mut other = scratch.recorder(&train);
                run(other.args(["--out", "other"])).expect_success();
                fs::copy(scratch.path("other/run.json"), run_dir.join("run.json")).unwrap();
                fs::create_dir(run_dir.join("commits")).unwrap();
            }
            make(&run_dir);
            let verified = run(&mut scratch.sink(&["verify", "run"]));
            assert_eq!(verified.code(), Some(1), "{state}: {verified}");
            let said = format!("{verified}");
            let is_empty = fs::read_dir(&run_dir).unwrap().next().is_none();
            assert!(
                is_empty || said.contains("creation was interrupted"),
                "{said}"
            );

            let mut again = scratch.recorder(&train);
            again.args(["--out", "run"]);
            if resumes {
                again.arg("--resume");
            }
            let again = run(&mut again);
            if has_run && !resumes {
                // There is a run: nothing is ever overwritten.
                assert_eq!(again.code(), Some(1), "{state}: {again}");
                continue;
            }
            again.expect_success();
            let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
            assert!(
                verified.contains("run: whole; 2 captures in "),
                "{state}: {verified}"
            );
            let rows = serde_json::json!({"n": 36, "keys": 36, "epochs": 2});
            assert_eq!(scratch.rows("run", WEIGHTS), [rows], "{state}");
            assert!(!run_dir.join(".run.json.0123456789abcdef").exists());
        }
    }
}

/// The last moment of a creation: the run is there, and the other name of its `run.json` is, too.
#[test]
fn a_run_that_was_created_and_no_more_is_gone_on_with_by_resuming() {
    let train = ["train", "--device", "cpu", "--hidden", "8", "--epochs", "2"];
    let scratch = Scratch::new();
    let mut other = scratch.recorder(&train);
    run(other.args(["--out", "other"])).expect_success();
    let run_dir = scratch.path("run");
    fs::create_dir_all(run_dir.join("commits")).unwrap();
    let staged = run_dir.join(".run.json.0123456789abcdef");
    fs::copy(scratch.path("other/run.json"), &staged).unwrap();
    fs::hard_link(&staged, run_dir.join("run.json")).unwrap();

    let mut again = scratch.recorder(&train);
    let said = run(again.args(["--out", "run"])).expect_failure(1);
    assert!(
        said.contains("a run is there, with which --resume goes on"),
        "{said}"
    );
    let mut again = scratch.recorder(&train);
    run(again.args(["--out", "run", "--resume"])).expect_success();
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(
        verified.contains("run: whole; 2 captures in "),
        "{verified}"
    );
    assert!(!staged.exists());
}
