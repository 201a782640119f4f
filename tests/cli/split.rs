//! `--max-part-bytes`: a run whose layers are split into several part files says what one says whose layers are not.

use std::fs;
use std::path::PathBuf;

use stratigraph::{Scratch, run, workspace_root};

use crate::files;

/// The smallest part files that can be asked for, so that layers are split that are not large.
const SPLIT: [&str; 2] = ["--max-part-bytes", "4KiB"];

const EVERYTHING: &str =
    "weights,classifications,activations,metrics,gradients,gradients_applied,moments";

/// Trains with everything recorded that can be, for so many epochs.
fn train(scratch: &Scratch, out: &str, epochs: &str, more: &[&str]) -> String {
    let mut arguments = vec![
        "--hidden",
        "48,32",
        "--record",
        EVERYTHING,
        "--phases",
        "eval,train",
        "--histograms",
        "4",
        "--activation-samples",
        "100",
        "--checkpoint-every",
        "1epoch",
        "--epochs",
        epochs,
        "--out",
        out,
    ];
    arguments.extend(more);
    scratch.train(&arguments)
}

/// Two runs of the same training, one of which is split.
fn both() -> Scratch {
    let scratch = Scratch::new();
    train(&scratch, "whole", "3", &[]);
    train(&scratch, "split", "3", &SPLIT);
    scratch
}

/// The part files of a directory, in the order of their names.
fn names(scratch: &Scratch, dir: &str) -> Vec<String> {
    let files = files(&scratch.path(dir)).into_keys();
    let names = files.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    names.collect()
}

/// What `query` answers: what it prints, how it ends, and what it complains of.
fn answer(scratch: &Scratch, arguments: &[&str]) -> (Option<i32>, String, String) {
    let finished = run(&mut scratch.query(arguments));
    (finished.code(), finished.stdout, finished.stderr)
}

fn assert_whole(scratch: &Scratch, run_dir: &str, num_captures: usize) {
    let stdout = run(&mut scratch.sink(&["verify", run_dir])).expect_success();
    let says = format!("{run_dir}: whole; {num_captures} captures in ");
    assert!(stdout.contains(&says), "{stdout}");
}

/// All rows of the tables of captures, but for what recording cost.
fn assert_same_rows(scratch: &Scratch, one: &str, other: &str) {
    for table in [
        "weights",
        "activations",
        "classifications",
        "gradients",
        "gradients_applied",
        "moments",
        "histograms",
    ] {
        let order = match table {
            "classifications" => "sample",
            "histograms" => "layer, of",
            "moments" => "neuron, name",
            "activations" => "neuron, phase, batch",
            _ => "neuron",
        };
        let sql = format!("SELECT * FROM {table} ORDER BY epoch, step, {order}");
        let ask = |run_dir| answer(scratch, &["sql", run_dir, &sql, "--format", "csv"]);
        let (code, rows, stderr) = ask(one);
        assert_eq!(code, Some(0), "{table}: {stderr}");
        assert!(rows.lines().count() > 10, "{table}: {rows}");
        assert_eq!(ask(other).1, rows, "{table}");
    }
}

#[test]
fn every_query_has_the_same_answer_whether_layers_are_split_or_not() {
    let scratch = both();
    // 48 units of 64 weights, of which a part has 16.
    assert_eq!(
        names(&scratch, "split/weights/epoch=2/layer=L_input"),
        [
            "step-72-r0-g0-1.parquet",
            "step-72-r0-g0-2.parquet",
            "step-72-r0-g0.parquet"
        ]
    );
    assert_eq!(
        names(&scratch, "whole/weights/epoch=2/layer=L_input"),
        ["step-72-r0-g0.parquet"]
    );
    assert_whole(&scratch, "split", 3);
    assert_same_rows(&scratch, "whole", "split");
    for run_dir in ["whole", "split"] {
        let ablate = [
            "ablate",
            run_dir,
            "--epoch",
            "2",
            "--neurons",
            "1,2",
            "--class",
            "4",
        ];
        run(&mut scratch.recorder(&ablate)).expect_success();
    }
    let structures = |run_dir: &str| {
        let find = ["structures", "find", run_dir, "--permutations", "99"];
        answer(&scratch, &[&find[..], &["--dry-run"]].concat())
    };
    let (code, found, stderr) = structures("whole");
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(structures("split").1, found.replace("whole", "split"));
    let queries = fs::read_dir(workspace_root().join("queries")).unwrap();
    let mut queries: Vec<PathBuf> = queries.map(|entry| entry.unwrap().path()).collect();
    queries.sort();
    assert_eq!(queries.len(), 26);
    for query in &queries {
        let name = query.file_stem().unwrap().to_str().unwrap();
        let ask = |run_dir| answer(&scratch, &["run", name, run_dir, "--format", "csv"]);
        let (code, rows, stderr) = ask("whole");
        assert_eq!(code, Some(0), "{name}: {stderr}");
        let (code, of_split, stderr) = ask("split");
        assert_eq!(code, Some(0), "{name}: {stderr}");
        match name {
            // What recording cost is another thing each time.
            "overhead" => assert_eq!(rows.lines().next(), of_split.lines().next()),
            _ => assert_eq!(of_split, rows, "{name}"),
        }
    }
    // Neurons come in their order without being sorted, as they do where no layer is split.
    let plan = "EXPLAIN SELECT * FROM weights ORDER BY epoch, step, neuron";
    for run_dir in ["whole", "split"] {
        let (_, plan, _) = answer(&scratch, &["sql", run_dir, plan]);
        assert!(!plan.contains("SortExec"), "{run_dir}: {plan}");
    }
    // What is added up over a layer is added up in its neurons' order, whichever file or thread they come from.
    let plan = "EXPLAIN SELECT layer_distance FROM correct_vs_incorrect";
    let (_, plan, stderr) = answer(&scratch, &["sql", "split", plan, "--format", "csv"]);
    let (_, below) = plan.split_once("WindowAggExec").expect(&stderr);
    let sorted_by = below.split_once("SortExec: expr=[").expect("it is sorted");
    let sorted_by = sorted_by.1.split_once(']').unwrap().0;
    let names = sorted_by
        .split(", ")
        .map(|by| by.split('@').next().unwrap());
    let names: Vec<&str> = names.collect();
    assert_eq!(names, ["epoch", "step", "layer", "neuron"], "{plan}");
    run(&mut scratch.query(&["report", "split", "--output", "report.html"])).expect_success();
}

#[test]
fn a_network_whose_layers_are_split_is_rebuilt_exported_and_imported() {
    let scratch = both();
    let replayed = run(&mut scratch.recorder(&["replay", "split", "--epoch", "2"]));
    let stdout = replayed.expect_success();
    let all = "297 of 297 held-out samples reproduced bit for bit";
    assert!(stdout.contains(all), "{stdout}");
    let export = |run_dir: &str, out: &str| {
        let arguments = ["export", run_dir, "--epoch", "2", "--out", out];
        run(&mut scratch.recorder(&arguments)).expect_success();
        fs::read(scratch.path(out)).unwrap()
    };
    let checkpoint = export("whole", "whole.safetensors");
    assert_eq!(export("split", "split.safetensors"), checkpoint);

    fs::rename(
        scratch.path("split.safetensors"),
        scratch.path("ckpt-2.safetensors"),
    )
    .unwrap();
    let mut arguments = vec!["import", "ckpt-2.safetensors", "--out", "imported"];
    arguments.extend(SPLIT);
    run(&mut scratch.recorder(&arguments)).expect_success();
    assert_whole(&scratch, "imported", 1);
    let of_layer = files(&scratch.path("imported/weights"));
    // 3 of the first layer, 2 of the second.
    assert_eq!(of_layer.len(), 6);
    assert_eq!(export("imported", "again.safetensors"), checkpoint);
    let weights = |run_dir: &str| {
        let sql = "SELECT unit, weights, bias FROM weights WHERE epoch = 2 ORDER BY neuron";
        scratch.rows(run_dir, sql)
    };
    assert_eq!(weights("imported"), weights("split"));
}

#[test]
fn a_run_goes_on_with_layers_split_as_they_were_from_a_checkpoint_that_is_split() {
    let scratch = Scratch::new();
    train(&scratch, "whole", "4", &[]);
    train(&scratch, "split", "2", &SPLIT);
    let state = files(&scratch.path("split/resume"));
    // Of 3 layers, each of 3 tensors.
    assert!(state.len() > 9, "{state:?}");
    // It is not said again.
    train(&scratch, "split", "4", &["--resume"]);
    assert_eq!(
        names(&scratch, "split/weights/epoch=3/layer=L_input"),
        [
            "step-96-r0-g1-1.parquet",
            "step-96-r0-g1-2.parquet",
            "step-96-r0-g1.parquet"
        ]
    );
    assert_whole(&scratch, "split", 4);
    assert_same_rows(&scratch, "whole", "split");
    // Unless it is.
    train(
        &scratch,
        "split",
        "5",
        &["--resume", "--max-part-bytes", "1MiB"],
    );
    assert_eq!(
        names(&scratch, "split/weights/epoch=4/layer=L_input"),
        ["step-120-r0-g2.parquet"]
    );
    assert_whole(&scratch, "split", 5);
    let drift = answer(
        &scratch,
        &["run", "weight_drift", "split", "--format", "csv"],
    );
    assert_eq!(drift.0, Some(0), "{}", drift.2);
    // 90 neurons at 5 epochs, and the header.
    assert_eq!(drift.1.lines().count(), 451, "{}", drift.1);
}

#[test]
fn a_part_that_is_gone_is_told_and_the_rest_is_repaired() {
    let scratch = Scratch::new();
    train(&scratch, "run", "3", &SPLIT);
    let weights = || {
        scratch.rows(
            "run",
            "SELECT epoch, neuron, weights FROM weights ORDER BY epoch, neuron",
        )
    };
    let whole = weights();
    // Records are lost, and the files are named again.
    fs::remove_dir_all(scratch.path("run/commits")).unwrap();
    run(&mut scratch.sink(&["repair", "run"])).expect_success();
    assert_whole(&scratch, "run", 3);
    assert_eq!(weights(), whole);

    let part = "weights/epoch=1/layer=L_input/step-48-r0-g0-1.parquet";
    fs::remove_file(scratch.path("run").join(part)).unwrap();
    let stdout = run(&mut scratch.sink(&["verify", "run"]));
    assert_eq!(stdout.code(), Some(1), "{stdout}");
    assert!(stdout.to_string().contains(part), "{stdout}");
    let (code, _, stderr) = answer(&scratch, &["run", "by_neuron", "run"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains(part), "{stderr}");
    run(&mut scratch.sink(&["repair", "run"])).expect_success();
    assert_whole(&scratch, "run", 2);
    let left = weights();
    let expected: Vec<_> = whole.into_iter().filter(|row| row["epoch"] != 1).collect();
    assert_eq!(left, expected);
}

#[test]
fn without_records_a_capture_that_lacks_a_part_is_not_named_again() {
    let scratch = Scratch::new();
    train(&scratch, "run", "3", &SPLIT);
    // Nothing is known but for what the files are.
    fs::remove_dir_all(scratch.path("run/commits")).unwrap();
    let part = "run/weights/epoch=1/layer=L_input/step-48-r0-g0-1.parquet";
    fs::remove_file(scratch.path(part)).unwrap();
    let last = "run/gradients/epoch=2/layer=L_input/step-72-r0-g0-2.parquet";
    fs::remove_file(scratch.path(last)).unwrap();
    run(&mut scratch.sink(&["repair", "run"])).expect_success();
    let stdout = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(stdout.contains("run: whole; "), "{stdout}");
    let epochs = scratch.rows("run", "SELECT DISTINCT epoch FROM weights ORDER BY epoch");
    let epochs: Vec<i64> = epochs
        .iter()
        .map(|row| row["epoch"].as_i64().unwrap())
        .collect();
    assert_eq!(epochs, [0]);
}

#[test]
fn a_size_of_which_units_would_be_files_is_refused() {
    let scratch = Scratch::new();
    let says = "is too small: the smallest is 4KiB (4096 B), below which part files are little but footers";
    for size in ["0", "1KiB", "4095"] {
        for verb in [&["train"][..], &["import", "ckpt-0.safetensors"]] {
            let options = ["--max-part-bytes", size, "--out", "run"];
            let refused = run(&mut scratch.recorder(&[verb, &options].concat()));
            assert_eq!(refused.code(), Some(2), "{refused}");
            assert!(refused.stderr.contains(says), "{refused}");
        }
    }
    assert!(!scratch.path("run").exists());
}

#[test]
fn a_copy_without_commits_is_read_in_the_order_of_its_parts() {
    let scratch = both();
    for run_dir in ["whole", "split"] {
        fs::remove_dir_all(scratch.path(run_dir).join("commits")).unwrap();
    }
    for name in [
        "by_neuron",
        "epoch_average",
        "structure_scores",
        "coactivation",
    ] {
        let ask = |run_dir| answer(&scratch, &["run", name, run_dir, "--format", "csv"]);
        let (code, rows, stderr) = ask("whole");
        assert_eq!(code, Some(0), "{name}: {stderr}");
        assert_eq!(ask("split").1, rows, "{name}");
    }
}
