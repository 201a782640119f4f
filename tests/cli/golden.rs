//! Runs of earlier versions of the format, as the programs of then wrote them, are read as they were.

use std::fs;
use std::path::Path;

use serde_json::json;
use stratigraph::{Scratch, run, workspace_root};

/// A copy of a run in `tests/golden`.
fn golden(version: &str) -> Scratch {
    let scratch = Scratch::new();
    let run = workspace_root().join("tests/golden").join(version);
    for (path, content) in super::files(&run) {
        let copy = scratch.path("run").join(path.strip_prefix(&run).unwrap());
        fs::create_dir_all(copy.parent().unwrap_or(Path::new(""))).unwrap();
        fs::write(copy, content).unwrap();
    }
    scratch
}

/// Its network has 4 hidden units and 1 output, and saw 2 epochs; 100 samples were held out.
#[test]
fn a_run_of_version_1_4_is_whole_and_what_it_lacks_is_null() {
    let scratch = golden("1.4");
    let stdout = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(
        stdout.contains("whole; 2 captures in 6 commits"),
        "{stdout}"
    );
    let tables = [
        ("weights", 10),
        ("activations", 10),
        ("classifications", 200),
        ("metrics", 61),
        ("histograms", 8),
        ("gradients", 10),
        ("gradients_applied", 10),
        ("moments", 20),
        ("structures", 2),
        ("ablations", 15),
    ];
    for (table, num_rows) in tables {
        let rows = scratch.rows("run", &format!("SELECT * FROM {table}"));
        assert_eq!(rows.len(), num_rows, "{table}");
    }
    let asked =
        "SELECT epoch, mode, factor, value, count(*) AS n FROM ablations GROUP BY ALL ORDER BY 1";
    let old = [
        json!({"epoch": 0, "mode": "scale", "factor": 0.5, "value": null, "n": 6}),
        json!({"epoch": 1, "mode": "zero", "factor": null, "value": null, "n": 9}),
    ];
    assert_eq!(scratch.rows("run", asked), old);
    // What is derived today stands beside it.
    let arguments = [
        "ablate",
        "run",
        "--epoch",
        "0",
        "--neurons",
        "1",
        "--draws",
        "3",
    ];
    run(&mut scratch.recorder(&arguments)).expect_success();
    let new = json!({"epoch": 0, "mode": "zero", "factor": null, "value": null, "n": 6});
    let mut rows = scratch.rows("run", asked);
    rows.sort_by_key(ToString::to_string);
    let mut expected = [&old[..], &[new]].concat();
    expected.sort_by_key(ToString::to_string);
    assert_eq!(rows, expected);
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
}

/// Its commits then say what today's say, and every answer is the same.
#[test]
fn a_run_of_version_1_4_is_upgraded_and_answers_as_before() {
    let scratch = golden("1.4");
    let asked = "SELECT w.epoch, w.neuron, w.weights, a.activation_mean FROM weights w \
                 JOIN activations a USING (epoch, neuron) ORDER BY 1, 2";
    let before = scratch.rows("run", asked);
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    let would = run(&mut scratch.sink(&["upgrade", "run", "--dry-run"])).expect_success();
    assert!(would.ends_with("; nothing was changed\n"), "{would}");
    let stdout = run(&mut scratch.sink(&["upgrade", "run"])).expect_success();
    let says = "run: 6 of 6 commits say now which run they are of and which comes before, that it is finished, \
                and of the columns of 42 files what their checksums are\n";
    assert_eq!(stdout, says);
    let stdout = run(&mut scratch.sink(&["upgrade", "run"])).expect_success();
    assert_eq!(stdout, "run: nothing to upgrade\n");
    assert_eq!(scratch.rows("run", asked), before);
    // What the commits did not say before is checked now, and else nothing is said but what was.
    let unproven = "not checked: whether run.json is as it was, and whether a commit is missing at the end or was \
                    replaced: commits of format 1.4 and before do not say it\n";
    let upgraded = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert_eq!(verified, format!("{unproven}{upgraded}"));
    // Today's programs go on with it.
    let arguments = [
        "ablate",
        "run",
        "--epoch",
        "0",
        "--neurons",
        "1",
        "--draws",
        "3",
    ];
    run(&mut scratch.recorder(&arguments)).expect_success();
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
}
