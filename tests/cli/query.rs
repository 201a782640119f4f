//! `query` on real runs.

use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stratigraph::{Scratch, binaries, run, spawn};

/// 21 neurons, the widest of 20 weights, 3 epochs.
fn notebook() -> Scratch {
    let scratch = Scratch::new();
    scratch.train(&["--dataset", "notebook", "--epochs", "3", "--out", "run"]);
    scratch
}

const NUM_ROWS: usize = 21 * 3;

fn failure(scratch: &Scratch, arguments: &[&str]) -> String {
    run(&mut scratch.query(arguments)).expect_failure(1)
}

#[test]
fn what_is_no_run_is_told_apart() {
    let scratch = notebook();
    fs::create_dir(scratch.path("other")).unwrap();
    // As a recorder leaves it that was stopped before its first commit.
    fs::create_dir_all(scratch.path("empty/commits")).unwrap();
    fs::copy(scratch.path("run/run.json"), scratch.path("empty/run.json")).unwrap();
    for (run_dir, told) in [
        ("nowhere", "there is no run at nowhere: no such directory"),
        ("other", "other is no run: it has no run.json"),
        ("empty", "the run has no committed capture yet"),
    ] {
        for arguments in [
            &["run", "padded", run_dir][..],
            &["sql", run_dir, "SELECT count(*) FROM weights"],
        ] {
            let stderr = failure(&scratch, arguments);
            assert_eq!(stderr, format!("error: {told}\n"), "{arguments:?}");
        }
    }
}

#[test]
fn a_newer_format_is_named() {
    let scratch = notebook();
    let path = scratch.path("run/run.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    json["format"] = serde_json::json!({"major": 2, "minor": 0});
    fs::write(&path, json.to_string()).unwrap();
    let told = "run has trace format 2.0, this version reads up to 1.x";
    for failed in [
        failure(&scratch, &["run", "padded", "run"]),
        run(&mut scratch.sink(&["verify", "run"])).expect_failure(1),
        run(&mut scratch.recorder(&["replay", "run", "--epoch", "0"])).expect_failure(1),
    ] {
        assert!(failed.contains(told), "{failed}");
    }
}

#[test]
fn a_misspelt_name_is_answered_with_the_closest() {
    let scratch = notebook();
    for (sql, closest, listed) in [
        (
            "SELECT * FROM wieghts",
            "did you mean weights?",
            "classifications",
        ),
        (
            "SELECT nueron FROM weights",
            "did you mean neuron?",
            "weight_l2",
        ),
        (
            "SELECT vec_maen(weights) FROM weights",
            "did you mean vec_mean?",
            "",
        ),
        (
            "SELECT * FROM conections()",
            "did you mean connections?",
            "",
        ),
    ] {
        let stderr = failure(&scratch, &["sql", "run", sql]);
        assert!(stderr.contains(closest), "{sql}: {stderr}");
        assert!(stderr.contains(listed), "{sql}: {stderr}");
    }
    let stderr = failure(&scratch, &["run", "by_nueron", "run"]);
    assert!(stderr.contains("did you mean by_neuron?"), "{stderr}");
    let stderr = failure(
        &scratch,
        &["run", "by_layer", "run", "--param", "layr=L_input"],
    );
    assert!(stderr.contains("did you mean layer?"), "{stderr}");
}

#[test]
fn a_reader_that_has_its_lines_is_no_error() {
    let scratch = Scratch::new();
    scratch.train(&["--hidden", "4", "--out", "run"]);
    // 20 epochs of 297 samples of 10 outputs: more than a pipe holds.
    let script = r#"{ "$0" "$@"; echo "exited $?" >&2; } | head -n 1"#;
    let mut shell = scratch.command("sh".as_ref(), &["-c", script]);
    shell.arg(&binaries().query);
    shell.args(["run", "classification_series", "run", "--format", "csv"]);
    let piped = run(&mut shell);
    assert_eq!(piped.stdout, "epoch,step,sample,output,class_result\n");
    assert_eq!(piped.stderr, "exited 0\n");
}

#[test]
fn a_reader_that_is_gone_is_no_error_of_any_program() {
    let scratch = Scratch::new();
    scratch.train(&["--hidden", "4", "--epochs", "1", "--out", "run"]);
    for mut command in [
        scratch.query(&["list"]),
        scratch.query(&["info", "run"]),
        scratch.query(&["run", "learning_curve", "run", "--format", "json"]),
        scratch.query(&["run", "learning_curve", "run", "--format", "parquet"]),
        scratch.query(&["run", "learning_curve", "run", "--format", "arrow"]),
        scratch.sink(&["verify", "run"]),
        scratch.recorder(&["replay", "run", "--epoch", "0"]),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = command.stdout(writer).output().unwrap();
        let stderr = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(0), "{command:?}: {stderr}");
        assert!(!stderr.contains("error"), "{command:?}: {stderr}");
    }
}

#[test]
fn every_format_has_every_row() {
    let scratch = notebook();
    for name in [
        "rows.csv",
        "rows.json",
        "rows.jsonl",
        "rows.txt",
        "rows.parquet",
        "rows.arrow",
    ] {
        let written = run(&mut scratch.query(&["run", "padded", "run", "-o", name]));
        assert_eq!(
            written.stderr,
            format!("{NUM_ROWS} rows written to {name}\n")
        );
        assert_eq!(written.expect_success(), "");
    }
    let read = |name: &str| fs::read_to_string(scratch.path(name)).unwrap();
    assert_eq!(read("rows.csv").lines().count(), 1 + NUM_ROWS);
    assert_eq!(
        read("rows.txt")
            .lines()
            .filter(|l| l.contains("| L_"))
            .count(),
        NUM_ROWS
    );

    let parquet = read_parquet(&scratch.path("rows.parquet"));
    let arrow = read_arrow(&scratch.path("rows.arrow"));
    assert_eq!(parquet.num_rows(), NUM_ROWS);
    assert_eq!(parquet, arrow);

    let array: Vec<serde_json::Value> = serde_json::from_str(&read("rows.json")).unwrap();
    let objects: Vec<serde_json::Value> = read("rows.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(array, objects);
    assert_eq!(objects.len(), NUM_ROWS);
    for object in objects {
        let weights = object["weights"].as_array().unwrap();
        assert_eq!(weights.len(), 20, "the network's largest fan-in");
    }
}

fn read_parquet(path: &Path) -> RecordBatch {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn read_arrow(path: &Path) -> RecordBatch {
    let file = fs::File::open(path).unwrap();
    let reader = arrow::ipc::reader::StreamReader::try_new(file, None).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[test]
fn a_file_is_replaced_only_by_force() {
    let scratch = notebook();
    fs::write(scratch.path("rows.csv"), "mine").unwrap();
    let write = ["run", "learning_curve", "run", "-o", "rows.csv"];
    let stderr = failure(&scratch, &write);
    assert!(
        stderr.contains("rows.csv exists; --force replaces it"),
        "{stderr}"
    );
    assert_eq!(
        fs::read_to_string(scratch.path("rows.csv")).unwrap(),
        "mine"
    );

    run(scratch.query(&write).arg("--force")).expect_success();
    let csv = fs::read_to_string(scratch.path("rows.csv")).unwrap();
    assert!(csv.starts_with("epoch,phase,loss,accuracy\n"), "{csv}");
}

#[test]
fn wide_gives_a_weight_a_column() {
    let scratch = notebook();
    let arguments = ["run", "by_neuron", "run", "--wide", "--format", "csv"];
    let csv = run(&mut scratch.query(&arguments)).expect_success();
    let mut lines = csv.lines();
    let weights: Vec<String> = (0..20).map(|i| format!("w_{i}")).collect();
    let header = format!("neuron,layer,{}", weights.join(","));
    assert_eq!(lines.next(), Some(header.as_str()));
    let neurons: Vec<&str> = lines
        .clone()
        .map(|l| l.split_once(',').unwrap().0)
        .collect();
    assert_eq!(neurons, (0..21).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(lines.all(|line| line.split(',').count() == 22), "{csv}");
}

#[test]
fn a_shell_answers_a_script() {
    let scratch = notebook();
    let script = r#"printf '.format csv\nSELECT layer, count(*) AS n\nFROM neurons GROUP BY layer ORDER BY layer;\n' | "$0" shell run"#;
    let mut shell = scratch.command("sh".as_ref(), &["-c", script]);
    let answered = run(shell.arg(&binaries().query)).expect_success();
    assert_eq!(answered, "layer,n\nL_hidden_1,10\nL_input,10\nL_output,1\n");
}

#[test]
fn wrong_usage_exits_2() {
    let scratch = Scratch::new();
    for arguments in [
        &["run", "padded"][..],
        &["sql", "run"],
        &["run", "padded", "run", "--format", "xml"],
        &["run", "padded", "run", "-o", "rows"],
        &["report", "run"],
    ] {
        let stderr = run(&mut scratch.query(arguments)).expect_failure(2);
        assert!(stderr.starts_with("error: "), "{arguments:?}: {stderr}");
    }
}

#[test]
fn info_says_what_a_run_is_and_how_far_it_has_come() {
    let scratch = Scratch::new();
    scratch.train(&["--hidden", "8", "--epochs", "2", "--out", "run"]);
    let told = run(&mut scratch.query(&["info", "run"])).expect_success();
    assert!(
        told.starts_with("run: 2 epochs captured, 0 to 1\n"),
        "{told}"
    );
    let cells: Vec<Vec<&str>> = told
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    let layer = ["L_input", "linear", "64", "8", "n_0 … n_7", "relu", "512"];
    for line in [
        &layer[..],
        &["data set", "digits (built-in)"],
        &["seed", "42"],
    ] {
        assert!(cells.iter().any(|cells| cells == line), "{line:?}: {told}");
    }
    let none = run(&mut scratch.query(&["info", "runn"])).expect_failure(1);
    assert!(none.contains("there is no run at runn"), "{none}");

    let train = [
        "train",
        "--device",
        "cpu",
        "--hidden",
        "8",
        "--every",
        "1000epochs",
    ];
    let more = ["--epochs", "1000000", "--out", "long"];
    let mut recorder = spawn(&mut scratch.recorder(&[&train[..], &more].concat()));
    scratch.wait_for_commit("long", &mut recorder);
    let told = run(&mut scratch.query(&["info", "long"])).expect_success();
    let first = told.lines().next().unwrap();
    assert!(
        first.starts_with("long: ")
            && first.contains("; it is being recorded, the last commit is ")
            && first.ends_with(" old"),
        "{first}"
    );
    recorder.interrupt();
    recorder.wait();
}
