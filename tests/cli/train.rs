//! `recorder train`.

use std::fs;

use serde_json::json;
use stratigraph::{Finished, Scratch, announce, binaries, run};

use crate::{files, number_between};

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

    let share = stdout.split_once("of the training thread (").unwrap().1;
    let share: f64 = share.split_once('%').unwrap().0.parse().unwrap();
    assert!(share > 0.0 && share < 100.0, "{stdout}");

    for rows in next_commands(&scratch, &stdout) {
        assert!(rows.lines().count() > 20, "{rows}");
    }
    every_named_query_answers(&scratch, "traces/digits", &["ablation_effects"]);
}

/// What the two commands to try next print, pasted into a shell as they stand there.
fn next_commands(scratch: &Scratch, summary: &str) -> [String; 2] {
    let (_, next) = summary.split_once("next:\n").unwrap();
    let printed: Vec<String> = next
        .lines()
        .map(|line| {
            let arguments = line
                .trim()
                .strip_prefix("cargo run --release -p query -- ")
                .unwrap();
            let script = format!("\"$0\" {arguments}");
            let program = &stratigraph::binaries().query;
            let mut shell = scratch.command("sh".as_ref(), &["-c", &script]);
            run(shell.arg(program)).expect_success()
        })
        .collect();
    printed.try_into().unwrap()
}

#[test]
fn the_next_commands_work_whatever_was_recorded_and_wherever() {
    let scratch = Scratch::new();
    for table in ["weights", "classifications", "activations", "metrics"] {
        let out = format!("{table}, Ada's $1 run");
        let summary = scratch.train(&[
            "--epochs", "2", "--hidden", "4", "--record", table, "--out", &out,
        ]);
        for rows in next_commands(&scratch, &summary) {
            // Two lines of names at least, and a row.
            assert!(rows.lines().count() > 2, "{table}: {rows}");
        }
    }
}

/// Weights as they were drawn become a sixth smaller, and activations behind a ReLU far more.
#[test]
fn what_is_compressed_is_what_was_asked_for() {
    let scratch = Scratch::new();
    let bytes = |compress: &str, table: &str| {
        let files = files(&scratch.path(compress).join(table));
        files.values().map(Vec::len).sum::<usize>() as f64
    };
    for compress in ["none", "auto", "size"] {
        let recorded = ["--epochs", "1", "--hidden", "64,64", "--out", compress];
        scratch.train(
            &[
                &recorded[..],
                &["--record", "weights,activations", "--compress", compress],
            ]
            .concat(),
        );
        let run_json = fs::read_to_string(scratch.path(compress).join("run.json")).unwrap();
        let run_json: serde_json::Value = serde_json::from_str(&run_json).unwrap();
        assert!(
            run_json
                .to_string()
                .contains(&format!("\"compress\":\"{compress}\""))
        );
    }
    let share = |compress, table| bytes(compress, table) / bytes("none", table);
    assert!(
        share("auto", "weights") > 0.98,
        "{}",
        share("auto", "weights")
    );
    assert!(
        share("size", "weights") < 0.93,
        "{}",
        share("size", "weights")
    );
    for compress in ["auto", "size"] {
        let share = share(compress, "activations");
        assert!(share < 0.9, "{compress}: {share}");
    }
}

#[test]
fn a_schedule_is_in_the_trace_and_the_untrained_network_if_asked_for() {
    let scratch = Scratch::new();
    let summary = scratch.train(&[
        "--epochs",
        "6",
        "--hidden",
        "4",
        "--every",
        "log",
        "--record-initial",
        "--out",
        "run",
    ]);
    assert!(summary.contains("kept 6 captures in run"), "{summary}");
    let csv = |arguments: &[&str]| {
        let arguments = [arguments, &["--format", "csv"]].concat();
        run(&mut scratch.query(&arguments)).expect_success()
    };
    let epochs = |table: &str| {
        // With a column that is in the files, which are read for it.
        let sql = format!("SELECT epoch, max(step) FROM {table} GROUP BY epoch ORDER BY epoch");
        let rows = csv(&["sql", "run", &sql]);
        let rows = rows.lines().skip(1);
        let epochs = rows.map(|row| row.split(',').next().unwrap_or_default());
        epochs.collect::<Vec<_>>().join(",")
    };
    assert_eq!(epochs("weights"), "-1,0,1,2,4,5");
    assert_eq!(epochs("classifications"), "-1,0,1,2,4,5");
    assert_eq!(epochs("metrics"), "-1,0,1,2,3,4,5");
    // Named queries leave the untrained network out unless asked.
    let curve = |parameters: &[&str]| {
        csv(&[&["run", "learning_curve", "run"], parameters].concat())
            .lines()
            .filter(|row| row.contains("eval"))
            .count()
    };
    assert_eq!(curve(&[]), 6);
    assert_eq!(curve(&["--param", "initial=true"]), 7);
    let replayed = run(&mut scratch.recorder(&["replay", "run", "--epoch", "-1"]));
    assert!(replayed.expect_success().starts_with("epoch -1, step 0"));
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
}

#[test]
fn steps_ranges_and_intervals_are_joined() {
    let scratch = Scratch::new();
    let every = "10steps@..25,1epoch@1..3,4epochs";
    let summary = scratch.train(&[
        "--epochs", "8", "--hidden", "4", "--every", every, "--out", "run",
    ]);
    // Steps 10 and 20 lie in epoch 0, which has 24.
    assert!(summary.contains("kept 7 captures in run"), "{summary}");
    let sql = "SELECT epoch, max(step) AS step FROM weights GROUP BY epoch ORDER BY epoch";
    let rows = scratch.rows("run", sql);
    let expected = [(0, 24), (1, 48), (2, 72), (4, 120), (7, 192)]
        .map(|(epoch, step)| serde_json::json!({"epoch": epoch, "step": step}));
    assert_eq!(rows, expected);
    let run_json = fs::read_to_string(scratch.path("run/run.json")).unwrap();
    let run_json: serde_json::Value = serde_json::from_str(&run_json).unwrap();
    assert_eq!(run_json["config"]["every"], every);
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
}

#[test]
fn what_recording_may_cost_is_kept_to_and_what_that_left_out_is_counted() {
    let scratch = Scratch::new();
    let summary = scratch.train(&[
        "--dataset",
        "notebook",
        "--epochs",
        "50",
        "--max-overhead",
        "0.001%",
        "--out",
        "run",
    ]);
    let kept = number_between(&summary, "\nkept ", " captures in run: ").unwrap();
    let thinned = number_between(&summary, " files\n", " captures were thinned out").unwrap();
    // A capture takes microseconds, a thousandth of a percent of which is a second's.
    assert!((2..10).contains(&kept), "{summary}");
    assert_eq!(kept + thinned, 50, "{summary}");
    let sql = "SELECT sum(value) AS thinned FROM metrics WHERE name = 'recorder.thinned_captures'";
    let expected = serde_json::json!({"thinned": thinned as f64});
    assert_eq!(scratch.rows("run", sql), [expected]);
    // The first, and the network that training ended with.
    let sql = "SELECT min(epoch) AS first, max(epoch) AS last FROM weights";
    let expected = serde_json::json!({"first": 0, "last": 49});
    assert_eq!(scratch.rows("run", sql), [expected]);
    let run_json = fs::read_to_string(scratch.path("run/run.json")).unwrap();
    let run_json: serde_json::Value = serde_json::from_str(&run_json).unwrap();
    assert_eq!(run_json["config"]["limits"]["max_overhead"], "0.001%");
}

/// `silent` are those that have nothing to say of such a run.
fn every_named_query_answers(scratch: &Scratch, run_dir: &str, silent: &[&str]) {
    let list = run(&mut scratch.query(&["list"])).expect_success();
    assert_eq!(list.lines().count(), 26, "{list}");
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
        let is_silent = silent.contains(&name);
        assert_eq!(rows.next().is_none(), is_silent, "{name}");
    }
}

#[test]
fn the_notebooks_network_is_trained_and_asked_about() {
    let scratch = Scratch::new();
    scratch.train(&["--dataset", "notebook", "--epochs", "3", "--out", "run"]);
    // A sigmoid is never exactly 0, and hardly trained, the network takes all samples for one class.
    let silent = [
        "dead_neurons",
        "structure_scores",
        "structure_onset",
        "class_changes",
        "rank_stability",
        "ablation_effects",
    ];
    every_named_query_answers(&scratch, "run", &silent);
}

#[test]
fn a_convolutional_network_is_trained_and_asked_about() {
    let scratch = Scratch::new();
    let arguments = [
        "train", "--device", "cpu", "--model", "cnn", "--epochs", "3",
    ];
    let arguments = [&arguments[..], &["--channels", "4,6", "--out", "run"]].concat();
    let summary = run(&mut scratch.recorder(&arguments)).expect_success();
    assert!(summary.contains("kept 3 captures in run"), "{summary}");
    let layers = scratch.rows("run", "SELECT layer, kind, fan_in, num_units FROM layers");
    let layer = |layer: &str, kind: &str, fan_in: u32, num_units: u32| {
        serde_json::json!({
            "layer": layer, "kind": kind, "fan_in": fan_in, "num_units": num_units
        })
    };
    let expected = [
        layer("L_conv_1", "conv2d", 9, 4),
        layer("L_conv_2", "conv2d", 36, 6),
        layer("L_hidden_1", "linear", 24, 64),
        layer("L_output", "linear", 64, 10),
    ];
    assert_eq!(layers, expected);
    every_named_query_answers(&scratch, "run", &["ablation_effects"]);
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(verified.contains("run: whole; 3 captures"), "{verified}");
    let replayed = run(&mut scratch.recorder(&["replay", "run", "--epoch", "2"]));
    assert!(replayed.expect_success().contains("bit for bit"));

    // Of the hidden layer's 24 inputs, 2×2 in a row are one channel's.
    let sources = "SELECT source, count(*) AS n FROM connections() \
                   WHERE layer = 'L_hidden_1' AND epoch = 2 AND neuron = 10 GROUP BY source ORDER BY source";
    let channel = |neuron: u32| serde_json::json!({"source": format!("n_{neuron}"), "n": 4});
    assert_eq!(
        scratch.rows("run", sources),
        (4..10).map(channel).collect::<Vec<_>>()
    );
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_there_is_a_bar_that_leaves_nothing_behind() {
    const CLEAR_LINE: &str = "\u{1b}[2K";
    let scratch = Scratch::new();
    // A terminal of its own, from util-linux, for the shell that it starts.
    let on_a_terminal = |command: &str| {
        let arguments = ["-qec", command, "/dev/null"];
        let mut script = scratch.command("script".as_ref(), &arguments);
        let recorder = &stratigraph::binaries().recorder;
        script.env("TERM", "xterm").env("RECORDER", recorder);
        script
    };
    let probed = on_a_terminal("stty cols 100 rows 30").output();
    if !probed.is_ok_and(|probed| probed.status.success()) {
        announce("skipped: there is no program here to make a terminal with");
        return;
    }
    let train = "\"$RECORDER\" train --device cpu --epochs 3 --hidden 4 --out run";
    let command = format!("stty cols 100 rows 30; {train}");
    let shown = run(&mut on_a_terminal(&command)).expect_success();
    assert!(shown.contains(" epoch 0/3 "), "{shown}");
    assert!(shown.contains(CLEAR_LINE), "{shown}");
    // What stands there in the end: of each line, what came after it was last cleared.
    let lines: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.rsplit(CLEAR_LINE).next())
        .map(|line| line.trim_end_matches('\r'))
        .collect();
    assert_eq!(
        lines[..2],
        ["training on the CPU, as asked", "recording into run"]
    );
    assert!(lines[2].starts_with("trained 3 epochs"), "{shown}");
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
fn a_directory_that_engines_take_for_a_partition_is_told() {
    let scratch = Scratch::new();
    for (out, is_told) in [("lr=0.1/epoch=7/run", true), ("lr-0.1/run", false)] {
        let trained = run(&mut scratch.recorder(&[
            "train", "--device", "cpu", "--epochs", "1", "--hidden", "4", "--out", out,
        ]));
        let warning = "warning: lr=0.1/epoch=7/run lies below lr=0.1 and epoch=7: engines that take partitions from the whole";
        assert_eq!(trained.stderr.contains(warning), is_told, "{trained}");
        trained.expect_success();
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
fn what_is_committed_is_told_in_a_file_and_on_stdout() {
    let scratch = Scratch::new();
    let train = |out: &str, to: &str| {
        let mut command = scratch.recorder(&["train", "--device", "cpu", "--hidden", "8"]);
        command.args(["--epochs", "3", "--out", out, "--commits", to]);
        command
    };
    let summary = run(&mut train("filed", "told.jsonl")).expect_success();
    assert!(summary.starts_with("trained 3 epochs "), "{summary}");
    let told = fs::read_to_string(scratch.path("told.jsonl")).unwrap();
    let piped = run(&mut train("piped", "-")).expect_success();
    let (on_stdout, summary) = piped.split_at(piped.find("trained 3 epochs ").unwrap());
    assert!(summary.contains("kept 3 captures in piped: "), "{piped}");
    for (run_dir, told) in [("filed", told.as_str()), ("piped", on_stdout)] {
        let lines: Vec<serde_json::Value> = told
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let captures = lines.iter().flat_map(|line| {
            let captures = line["captures"].as_array().unwrap().iter();
            captures.map(|capture| json!({"number": line["number"], "epoch": capture["epoch"]}))
        });
        let sql = "SELECT DISTINCT number, epoch FROM commits WHERE \"table\" = 'weights' \
                   ORDER BY epoch";
        assert_eq!(scratch.rows(run_dir, sql), captures.collect::<Vec<_>>());
        assert!(told.contains("\"epoch\":2,\"step\":72}"), "{told}");
        let numbers = lines.iter().map(|line| line["number"].as_u64().unwrap());
        assert!(numbers.eq(0..lines.len() as u64), "{told}");
        let finals = lines.iter().map(|line| line["final"].as_bool().unwrap());
        assert!(
            finals.eq((1..=lines.len()).map(|nth| nth == lines.len())),
            "{told}"
        );
    }

    let stderr = run(&mut train("refused", "no/such/told.jsonl")).expect_failure(1);
    assert!(
        stderr.contains("cannot write to no/such/told.jsonl"),
        "{stderr}"
    );
    assert!(!scratch.path("refused").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_is_told_of_commits_may_go_away() {
    let scratch = Scratch::new();
    let script = r#""$0" train --device cpu --hidden 8 --epochs 30 --out run --commits /dev/fd/3 3> >(head -n 1 > told) > said 2>&1"#;
    let mut shell = scratch.command("bash".as_ref(), &["-c", script]);
    let ended = run(shell.arg(&binaries().recorder));
    let said = fs::read_to_string(scratch.path("said")).unwrap();
    assert_eq!(ended.code(), Some(0), "{ended}: {said}");
    assert!(said.contains("kept 30 captures in run: "), "{said}");
    assert!(
        said.matches("commits are no longer told").count() <= 1,
        "{said}"
    );
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
        "--weights",
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
    let rows = scratch.rows(
        "run",
        "SELECT count(*) AS rows, count(weights) AS raw, count(weight_median) AS medians, \
         count(weight_l1) AS l1, count(weight_zeros) AS zeros, count(bias) AS biases FROM weights",
    );
    let all = 28;
    let expected = serde_json::json!(
        {"rows": all, "raw": 0, "medians": all, "l1": all, "zeros": all, "biases": all}
    );
    assert_eq!(rows, [expected]);
    for table in ["classifications", "metrics"] {
        assert!(!scratch.path("run").join(table).exists(), "{table}");
    }
}

#[test]
fn histograms_are_a_table() {
    let scratch = Scratch::new();
    scratch.train(&[
        "--epochs",
        "1",
        "--hidden",
        "4",
        "--histograms",
        "8",
        "--out",
        "run",
        "--record",
        "activations",
    ]);
    let rows = scratch.rows(
        "run",
        "SELECT layer, of, vec_sum(counts) AS counts FROM histograms GROUP BY layer, of ORDER BY layer",
    );
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0]["layer"], &rows[0]["of"]),
        (&"L_input".into(), &"activations".into())
    );
    let counts = rows[0]["counts"].as_array().unwrap();
    let sum: f64 = counts.iter().filter_map(serde_json::Value::as_f64).sum();
    // 4 units, 297 samples.
    assert_eq!((counts.len(), sum), (8, 4.0 * 297.0));
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
}

#[test]
fn activations_of_a_training_batch_are_recorded() {
    let scratch = Scratch::new();
    for (phases, expected) in [
        (
            "train",
            serde_json::json!([{"phase": "train", "batch": 0, "samples": 64, "rows": 14}]),
        ),
        (
            "eval,train",
            serde_json::json!([
                {"phase": "eval", "batch": 0, "samples": 297, "rows": 14},
                {"phase": "train", "batch": 0, "samples": 64, "rows": 14},
            ]),
        ),
    ] {
        scratch.train(&[
            "--epochs", "1", "--hidden", "4", "--phases", phases, "--out", phases,
        ]);
        let rows = scratch.rows(
            phases,
            "SELECT phase, batch, num_samples AS samples, count(*) AS rows FROM activations \
             GROUP BY phase, batch, num_samples ORDER BY phase",
        );
        assert_eq!(serde_json::Value::from(rows), expected);
        run(&mut scratch.sink(&["verify", phases])).expect_success();
    }
}

#[test]
fn of_wide_layers_some_units_are_recorded() {
    let scratch = Scratch::new();
    scratch.train(&[
        "--epochs", "1", "--hidden", "16", "--units", "12", "--out", "run",
    ]);
    for table in ["weights", "activations"] {
        let sql = format!(
            "SELECT n.layer, count(*) AS rows FROM {table} t \
             JOIN neurons n ON t.neuron = n.neuron AND t.unit = n.unit \
             GROUP BY n.layer ORDER BY n.layer"
        );
        let expected = [
            serde_json::json!({"layer": "L_input", "rows": 12}),
            serde_json::json!({"layer": "L_output", "rows": 10}),
        ];
        assert_eq!(scratch.rows("run", &sql), expected, "{table}");
    }
    for verb in [
        &["replay", "run", "--epoch", "0"][..],
        &[
            "export",
            "run",
            "--epoch",
            "0",
            "--out",
            "model.safetensors",
        ],
    ] {
        let stderr = run(&mut scratch.recorder(verb)).expect_failure(1);
        let told = "layer L_input was recorded in part: 12 of its 16 units";
        assert!(stderr.contains(told), "{verb:?}: {stderr}");
    }
    assert!(!scratch.path("model.safetensors").exists());
}

#[test]
fn wrong_usage_exits_2_and_says_what_is_wrong() {
    let scratch = Scratch::new();
    for (arguments, named) in [
        (&["train", "--record", "wieghts"][..], "wieghts"),
        (&["train", "--record", "weights,none"], "none stands alone"),
        (&["train", "--dataset", "cifar"], "cifar"),
        (&["train", "--dataset", "csv:"], "csv:"),
        (&["train", "--dataset", "csv:iris.csv"], "needs --target"),
        (
            &["train", "--target", "kind"],
            "--target is for data from a file",
        ),
        (
            &["train", "--scale", "none"],
            "--scale is for data from a file",
        ),
        (&["train", "--task", "clustering"], "clustering"),
        (&["train", "--scale", "log"], "log"),
        (&["train", "--held-out", "1.5"], "between 0 and 1"),
        (
            &["train", "--dataset", "idx:mnist", "--ignore", "id"],
            "idx data has no columns",
        ),
        (&["train", "--device", "tpu"], "tpu"),
        (&["train", "--epochs", "many"], "many"),
        (&["train", "--hidden", "128;64"], "128;64"),
        (&["train", "--model", "rnn"], "mlp, cnn"),
        (
            &["train", "--channels", "8"],
            "--channels needs --model cnn",
        ),
        (&["train", "--image", "8x8"], "--image needs --model cnn"),
        (
            &["train", "--model", "cnn", "--channels", "8,0"],
            "convolution 2",
        ),
        (&["train", "--model", "cnn", "--image", "8"], "is no image"),
        (&["train", "--channel-bytes", "much"], "much"),
        (&["train", "--activations", "none"], "none"),
        (&["train", "--weights", "none"], "none"),
        (&["train", "--units", "0"], "1.."),
        (&["train", "--precision", "f8"], "f8"),
        (&["train", "--phases", "test"], "names no phases"),
        (&["train", "--histograms", "0"], "1..=65536"),
        (
            &["train", "--record", "metrics", "--histograms", "8"],
            "--histograms needs weights or held-out activations",
        ),
        (
            &["train", "--record", "weights", "--phases", "train"],
            "--phases is of activations",
        ),
        (&["train", "--activation-samples", "0"], "1.."),
        (&["train", "--epochs", "0"], "0 epochs"),
        (&["train", "--batch-size", "0"], "a batch size of 0"),
        (
            &[
                "train",
                "--dataset",
                "notebook",
                "--batch-size",
                "18446744073709551615",
            ],
            "at most 1048576",
        ),
        (&["train", "--hidden", "8,0"], "hidden layer 2"),
        (&["train", "--lr", "0"], "a learning rate of 0"),
        (&["train", "--every", "often"], "no schedule"),
        (&["train", "--every", "1epoch@20..30"], "epochs 0 to 19"),
        (&["train", "--max-overhead", "2"], "as 2%"),
        (&["train", "--when-full", "wait"], "block, thin, drop"),
        (&["train", "--on-error", "ignore"], "stop, continue"),
        (
            &[
                "train",
                "--out",
                "x",
                "--world-size",
                "2",
                "--when-full",
                "drop",
            ],
            "need one process",
        ),
        (&["train", "--every", "5,2"], "no schedule"),
        (&["train", "--every", "0,20"], "epochs 0 to 19"),
        (&["train", "--lr", "nan"], "a learning rate of NaN"),
        (&["train", "--resume"], "--resume needs --out"),
        (
            &["train", "--resume", "--out", "run", "--record", "none"],
            "--record none writes none",
        ),
        (
            &["train", "--commits", "-", "--record", "none"],
            "--record none records nothing",
        ),
        (&["train", "--checkpoint-every", "30"], "as 30s"),
        (&["train", "--rank", "1"], "ranks are 0 to 0"),
        (
            &["train", "--rank", "2", "--world-size", "2"],
            "ranks are 0 to 1",
        ),
        (&["train", "--world-size", "0"], "1..="),
        (&["train", "--world-size", "2"], "--world-size needs --out"),
        (&["replay", "traces/digits"], "--epoch"),
        // Verbs and flags that do not work yet are absent.
        (&["export"], "export"),
    ] {
        let stderr = run(&mut scratch.recorder(arguments)).expect_failure(2);
        assert!(stderr.contains(named), "{arguments:?}: {stderr}");
        assert!(stderr.contains("--help"), "{arguments:?}: {stderr}");
    }
    assert!(files(&scratch.path("")).is_empty());
}

#[test]
fn a_network_that_no_trace_can_hold_is_refused_before_it_is_built() {
    let scratch = Scratch::new();
    let arguments = ["train", "--device", "cpu", "--hidden", "1000000000"];
    let stderr = run(&mut scratch.recorder(&arguments)).expect_failure(1);
    assert_eq!(
        stderr,
        "error: layer L_input would have 1000000000 units with 64 weights each, a trace can hold \
         2147483647 weights of a layer\n"
    );
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

#[test]
fn a_vulkan_device_that_is_missing_is_told() {
    let scratch = Scratch::new();
    let arguments = ["train", "--device", "vulkan:99", "--epochs", "1"];
    let stderr = run(&mut scratch.recorder(&arguments)).expect_failure(1);
    let causes = match cfg!(feature = "vulkan") {
        true => [
            "there is no device vulkan:99, this machine has vulkan:0 (",
            "no Vulkan device was found",
        ],
        false => ["this program was built without Vulkan: build it with the feature"; 2],
    };
    assert!(
        causes.iter().any(|cause| stderr.contains(cause)),
        "{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(files(&scratch.path("")).is_empty());
}

#[cfg(feature = "vulkan")]
#[test]
fn what_was_recorded_on_a_vulkan_device_is_replayed_there() {
    let scratch = Scratch::new();
    let arguments = [
        "train", "--device", "vulkan", "--epochs", "2", "--hidden", "8", "--out", "run",
    ];
    let trained = run(&mut scratch.recorder(&arguments));
    let is_ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    if !is_ci && trained.stderr.contains("no Vulkan device was found") {
        announce(&format!("skipped: {}", trained.stderr.trim_end()));
        return;
    }
    let said = format!("{}{}", trained.stderr, trained.stdout);
    trained.expect_success();
    assert!(said.contains("Vulkan device 0 of "), "{said}");
    let run_json = std::fs::read_to_string(scratch.path("run/run.json")).unwrap();
    let run_json: serde_json::Value = serde_json::from_str(&run_json).unwrap();
    assert_eq!(run_json["device"], "vulkan:0");
    let replay = ["replay", "run", "--epoch", "1"];
    let replayed = run(&mut scratch.recorder(&replay)).expect_success();
    assert!(
        replayed.contains("297 of 297 held-out samples reproduced bit for bit"),
        "{replayed}"
    );
}
