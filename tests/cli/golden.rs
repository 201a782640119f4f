//! Runs of earlier versions of the format, as the programs of then wrote them, are read as they were.

mod facts;
mod runs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use stratigraph::{Scratch, run, workspace_root};

use facts::Facts;
use runs::{GoesOn, Golden, RUNS, TABLES};

/// A copy of a run in `tests/golden`.
fn copied(golden: &Golden) -> Scratch {
    let scratch = Scratch::new();
    let run = workspace_root().join("tests/golden").join(golden.version);
    for (path, content) in super::files(&run) {
        let copy = scratch.path("run").join(path.strip_prefix(&run).unwrap());
        fs::create_dir_all(copy.parent().unwrap_or(Path::new(""))).unwrap();
        fs::write(copy, content).unwrap();
    }
    scratch
}

/// Every row of every table, in an order of their own.
fn all_rows(scratch: &Scratch) -> BTreeMap<&'static str, Vec<String>> {
    let rows_of = |table| {
        let rows = scratch.rows("run", &format!("SELECT * FROM {table}"));
        let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        rows.sort_unstable();
        (table, rows)
    };
    TABLES.into_iter().map(rows_of).collect()
}

/// What ablations there are, and how many rows each has.
fn ablations(scratch: &Scratch) -> Vec<Value> {
    let asked = "SELECT epoch, name, mode, factor, value, count(*) AS n FROM ablations GROUP BY ALL \
                 ORDER BY epoch, mode";
    scratch.rows("run", asked)
}

/// Sets a hidden neuron to zero, with today's program.
fn ablate(golden: &Golden, scratch: &Scratch) {
    let epoch = golden.epochs[0].to_string();
    let [data, held_out] = runs::data();
    let mut arguments = vec!["ablate", "run", "--epoch", &epoch];
    arguments.extend(["--neurons", "1", "--draws", "3"]);
    if golden.is_of_files {
        arguments.extend(["--data", &data, "--held-out", &held_out]);
    }
    run(&mut scratch.recorder(&arguments)).expect_success();
}

#[test]
fn every_run_is_whole_and_what_it_lacks_is_null() {
    for golden in &RUNS {
        let scratch = copied(golden);
        let stdout = run(&mut scratch.sink(&["verify", "run"])).expect_success();
        let unproven = runs::UNPROVEN;
        assert_eq!(stdout, format!("{unproven}run: whole; {}\n", golden.whole));
        let stdout = run(&mut scratch.sink(&["repair", "run"])).expect_success();
        assert_eq!(stdout, "run: nothing to repair\n");
        let stdout = run(&mut scratch.query(&["info", "run"])).expect_success();
        let format = format!("trace format   {}\n", golden.version);
        assert!(stdout.contains(&format), "{stdout}");

        let facts = Facts::read(&scratch, TABLES);
        for table in TABLES {
            let rows = facts.rows(table);
            let num_rows = golden.num_rows.iter().find(|(named, _)| *named == table);
            assert_eq!(rows.len(), num_rows.map_or(0, |(_, n)| *n), "{table}");
            let columns = rows.first().and_then(Value::as_object);
            let columns = columns.into_iter().flat_map(|columns| columns.keys());
            let is_null = |column: &&String| rows.iter().all(|row| row[*column].is_null());
            let nulls: BTreeSet<&str> = columns.filter(is_null).map(String::as_str).collect();
            let expected = golden.nulls.iter().filter(|(named, _)| *named == table);
            let expected: BTreeSet<&str> =
                expected.flat_map(|(_, nulls)| *nulls).copied().collect();
            assert_eq!(nulls, expected, "{table}");
        }
    }
}

#[test]
fn what_every_run_says_follows_from_its_weights() {
    for golden in &RUNS {
        let scratch = copied(golden);
        let facts = Facts::read(&scratch, TABLES);
        facts.check_epochs(golden.epochs);
        facts.check_statistics();
        let samples = golden.is_of_files.then(runs::held_out_samples);
        facts.check_forward_pass(samples.as_deref());
        facts.check_histograms();
        assert_eq!(facts.check_moments(), golden.num_moments);
        let num_figures: usize = golden.ablations.len() * 4;
        assert_eq!(facts.check_ablations(), num_figures);
        facts.check_scores();
    }
}

/// What is derived today stands beside what was.
#[test]
fn every_run_can_be_derived_from() {
    for golden in &RUNS {
        let scratch = copied(golden);
        let old: Vec<Value> = golden
            .ablations
            .iter()
            .map(|(epoch, name, mode, factor, n)| {
                json!({"epoch": epoch, "name": name, "mode": mode, "factor": factor, "value": null, "n": n})
            })
            .collect();
        assert_eq!(ablations(&scratch), old);
        ablate(golden, &scratch);
        let n = golden.num_ablation_rows;
        let new = json!({"epoch": golden.epochs[0], "name": null, "mode": "zero", "factor": null, "value": null, "n": n});
        let mut rows = ablations(&scratch);
        rows.sort_by_key(ToString::to_string);
        let mut expected = [&old[..], &[new]].concat();
        expected.sort_by_key(ToString::to_string);
        assert_eq!(rows, expected);
        let facts = Facts::read(&scratch, TABLES);
        assert_eq!(facts.check_ablations(), expected.len() * 4);
        run(&mut scratch.sink(&["verify", "run"])).expect_success();
    }
}

/// Its commits then say what today's say, and every answer is the same.
#[test]
fn every_run_is_upgraded_and_answers_as_before() {
    for golden in &RUNS {
        let scratch = copied(golden);
        let before = all_rows(&scratch);
        let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
        let would = run(&mut scratch.sink(&["upgrade", "run", "--dry-run"])).expect_success();
        assert!(would.ends_with("; nothing was changed\n"), "{would}");
        let stdout = run(&mut scratch.sink(&["upgrade", "run"])).expect_success();
        assert_eq!(stdout, format!("run: {}\n", golden.upgraded));
        let stdout = run(&mut scratch.sink(&["upgrade", "run"])).expect_success();
        assert_eq!(stdout, "run: nothing to upgrade\n");
        assert_eq!(all_rows(&scratch), before);
        // What the commits did not say before is checked now, and else nothing is said but what was.
        let upgraded = run(&mut scratch.sink(&["verify", "run"])).expect_success();
        assert_eq!(verified, format!("{}{upgraded}", runs::UNPROVEN));
        // Today's programs go on with it.
        ablate(golden, &scratch);
        go_on(golden, &scratch);
    }
}

#[test]
fn every_run_is_gone_on_with_or_that_is_refused() {
    for golden in &RUNS {
        let scratch = copied(golden);
        go_on(golden, &scratch);
    }
}

/// Trains a run for more epochs than it has, where it kept what that takes. It then has the weights of a run that
/// was trained in one go.
fn go_on(golden: &Golden, scratch: &Scratch) {
    let asked = "SELECT epoch, layer, neuron, bias, weights FROM weights ORDER BY epoch, neuron";
    let before = scratch.rows("run", asked);
    let train = |arguments: &[&str]| {
        let mut command = scratch.recorder(&["train", "--device", "cpu"]);
        command.args(golden.train());
        run(command.args(arguments))
    };
    let epochs = golden.goes_on.num_epochs();
    let resumed = train(&["--epochs", epochs, "--out", "run", "--resume"]);
    match golden.goes_on {
        GoesOn::UpTo { .. } => {
            resumed.expect_success();
            train(&["--epochs", epochs, "--out", "anew"]).expect_success();
            let after = scratch.rows("run", asked);
            assert_eq!(after[..before.len()], before);
            facts::assert_same_weights(&after, &scratch.rows("anew", asked));
            let facts = Facts::read(scratch, TABLES);
            facts.check_forward_pass(None);
        }
        GoesOn::No { why, .. } => {
            assert_eq!(resumed.expect_failure(1), format!("error: {why}\n"));
            assert_eq!(scratch.rows("run", asked), before);
        }
    }
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
}
