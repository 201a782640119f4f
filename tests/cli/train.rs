//! `recorder train`.

use std::fs;

use stratigraph::{Finished, Scratch, announce, run};

use crate::files;

fn lines_that_start(text: &str, start: &str) -> usize {
    text.lines().filter(|line| line.starts_with(start)).count()
}

#[test]
fn without_options_it_leaves_a_run_that_query_opens() {
    let scratch = Scratch::new();
    let trained = run(&mut scratch.recorder(&["train"]));
    assert_eq!(trained.code(), Some(0), "{trained}");
    let Finished { stdout, stderr, .. } = trained;
    assert!(stderr.contains("training on "), "{stderr}");
    assert!(stderr.contains("recording into traces/digits"), "{stderr}");
    assert!(stderr.contains("epoch 20/20 loss "), "{stderr}");
    assert!(
        stdout.starts_with("trained 20 epochs (480 steps) in "),
        "{stdout}"
    );
    assert!(
        stdout.contains("\nkept 20 captures in traces/digits: "),
        "{stdout}"
    );
    // 128, 64 and 10 neurons, 297 held-out samples, 20 epochs.
    for (table, rows) in [
        ("weights", "4,040 rows"),
        ("activations", "4,040 rows"),
        ("classifications", "5,940 rows"),
    ] {
        let line = stdout
            .lines()
            .find(|line| line.starts_with(&format!("  {table} ")));
        assert!(line.is_some_and(|line| line.contains(rows)), "{stdout}");
    }
    assert_eq!(lines_that_start(&stdout, "cost: "), 1, "{stdout}");

    // The two commands to try next, as they stand there.
    let (_, next) = stdout.split_once("next:\n").unwrap();
    assert_eq!(next.lines().count(), 2);
    for line in next.lines() {
        let arguments = line
            .trim()
            .strip_prefix("cargo run --release -p query -- ")
            .unwrap();
        let script = format!("\"$0\" {arguments}");
        let program = &stratigraph::binaries().query;
        let mut shell = scratch.command("sh".as_ref(), &["-c", &script]);
        let rows = run(shell.arg(program)).expect_success();
        assert!(rows.lines().count() > 20, "{line}\n{rows}");
    }
    every_named_query_answers(&scratch, "traces/digits");
}

fn every_named_query_answers(scratch: &Scratch, run_dir: &str) {
    let list = run(&mut scratch.query(&["list"])).expect_success();
    assert_eq!(list.lines().count(), 9, "{list}");
    for line in list.lines() {
        let (name, purpose) = line.split_once(' ').unwrap();
        assert!(!purpose.trim().is_empty(), "{line}");
        let described = run(&mut scratch.query(&["describe", name])).expect_success();
        let csv = run(&mut scratch.query(&["run", name, run_dir, "--format", "csv"]));
        let csv = csv.expect_success();
        let mut rows = csv.lines();
        for column in rows.next().unwrap().split(',') {
            assert!(described.contains(&format!("\n  {column} ")), "{described}");
        }
        assert!(rows.next().is_some(), "{name} has no rows");
    }
}

#[test]
fn a_default_directory_that_is_taken_is_left_alone() {
    let scratch = Scratch::new();
    let train = || scratch.train(&["--epochs", "1", "--hidden", "4"]);
    assert!(train().contains("kept 1 captures in traces/digits:"));
    let first = files(&scratch.path("traces/digits"));
    assert!(train().contains("kept 1 captures in traces/digits-2:"));
    assert!(train().contains("kept 1 captures in traces/digits-3:"));
    assert_eq!(files(&scratch.path("traces/digits")), first);
    let notebook = scratch.train(&["--dataset", "notebook", "--epochs", "1"]);
    assert!(
        notebook.contains("kept 1 captures in traces/notebook:"),
        "{notebook}"
    );
}

#[test]
fn a_named_directory_that_is_not_empty_is_refused_and_untouched() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("mine")).unwrap();
    fs::write(scratch.path("mine/thesis.txt"), "years of work").unwrap();
    fs::create_dir(scratch.path("empty")).unwrap();
    scratch.train(&["--epochs", "1", "--hidden", "4", "--out", "empty"]);
    for taken in ["mine", "empty"] {
        let before = files(&scratch.path(taken));
        let refused = run(&mut scratch.recorder(&["train", "--epochs", "1", "--out", taken]));
        let stderr = refused.expect_failure(1);
        assert!(
            stderr.contains(&format!("error: {taken} exists and is not empty")),
            "{stderr}"
        );
        assert_eq!(files(&scratch.path(taken)), before);
    }
}

#[test]
fn record_none_trains_and_writes_nothing() {
    let scratch = Scratch::new();
    let stdout = scratch.train(&["--epochs", "2", "--record", "none"]);
    assert!(
        stdout.starts_with("trained 2 epochs (48 steps) in "),
        "{stdout}"
    );
    assert!(stdout.contains("recorded nothing, as asked"), "{stdout}");
    assert!(files(&scratch.path("")).is_empty());
}

#[test]
fn only_what_was_asked_for_is_recorded() {
    let scratch = Scratch::new();
    scratch.train(&[
        "--epochs",
        "2",
        "--hidden",
        "4",
        "--out",
        "run",
        "--record",
        "weights,activations",
        "--activations",
        "stats",
    ]);
    let rows = scratch.rows(
        "run",
        "SELECT count(DISTINCT epoch) AS epochs, count(*) AS rows, count(activations) AS raw, \
         count(activation_mean) AS means FROM activations",
    );
    // 4 and 10 neurons, twice.
    let expected = serde_json::json!({"epochs": 2, "rows": 28, "raw": 0, "means": 28});
    assert_eq!(rows, [expected]);
    for table in ["classifications", "metrics"] {
        assert!(!scratch.path("run").join(table).exists(), "{table}");
    }
}

#[test]
fn wrong_usage_exits_2_and_says_what_is_wrong() {
    let scratch = Scratch::new();
    for (arguments, named) in [
        (&["train", "--record", "wieghts"][..], "wieghts"),
        (&["train", "--record", "weights,none"], "none stands alone"),
        (&["train", "--dataset", "cifar"], "cifar"),
        (&["train", "--device", "tpu"], "tpu"),
        (&["train", "--epochs", "many"], "many"),
        (&["train", "--hidden", "128;64"], "128;64"),
        (&["train", "--channel-bytes", "much"], "much"),
        (&["train", "--activations", "none"], "none"),
        (&["replay", "traces/digits"], "--epoch"),
        // Verbs and flags that do not work yet are absent.
        (&["train", "--resume"], "--resume"),
        (&["export"], "export"),
    ] {
        let stderr = run(&mut scratch.recorder(arguments)).expect_failure(2);
        assert!(stderr.contains(named), "{arguments:?}: {stderr}");
        assert!(stderr.contains("--help"), "{arguments:?}: {stderr}");
    }
    assert!(files(&scratch.path("")).is_empty());
}

#[test]
fn a_device_that_is_missing_is_told() {
    let scratch = Scratch::new();
    let trained = run(&mut scratch.recorder(&["train", "--device", "cuda", "--epochs", "1"]));
    if trained.code() == Some(0) {
        announce("skipped: CUDA works here, so that nothing can be said to be missing");
        return;
    }
    let stderr = trained.expect_failure(1);
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert!(stderr.contains("CUDA"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(files(&scratch.path("")).is_empty());
}
