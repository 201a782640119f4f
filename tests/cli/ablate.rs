//! `recorder ablate`: what a network loses without some of its neurons.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray, new_null_array};
use arrow::datatypes::DataType;
use serde_json::Value;
use stratigraph::{Scratch, run};
use trace::{CaptureId, Epoch, RunDir, Step, Table, derived_rows, publish_derived};

fn ablate(scratch: &Scratch, arguments: &[&str]) -> String {
    let arguments = [&["ablate"], arguments].concat();
    run(&mut scratch.recorder(&arguments)).expect_success()
}

fn refused(scratch: &Scratch, arguments: &[&str], status: i32) -> String {
    let arguments = [&["ablate"], arguments].concat();
    run(&mut scratch.recorder(&arguments)).expect_failure(status)
}

/// A network of 16 and 8 hidden units that has learned the digits a little.
fn digits() -> Scratch {
    let scratch = Scratch::new();
    scratch.train(&["--epochs", "3", "--hidden", "16,8", "--out", "run"]);
    scratch
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn figures_are_kept_in_the_run_and_agree_with_what_was_recorded() {
    let scratch = digits();
    let arguments = ["run", "--epoch", "2", "--neurons", "17,3,3", "--class", "4"];
    let stdout = ablate(&scratch, &arguments);
    for told in [
        "epoch 2, step 72, rebuilt on cpu\n",
        "1 of the 16 neurons of L_input set to zero: 3\n",
        "1 of the 8 neurons of L_hidden_1 set to zero: 17\n",
        "297 held-out samples\n",
        "all but class 4",
        "100 random",
        "kept in the table ablations (commit ",
    ] {
        assert!(stdout.contains(told), "{told:?}: {stdout}");
    }

    // What it was before is what was recorded of it.
    let rows = scratch.rows(
        "run",
        "SELECT a.metric, a.before, m.value, array_length(a.random) AS num_draws, a.p_value, a.neurons \
         FROM ablations a JOIN metrics m ON m.name = a.metric AND m.epoch = a.epoch \
         WHERE a.samples = 'all' AND m.phase = 'eval' ORDER BY 1",
    );
    assert_eq!(rows.len(), 2, "{rows:?}");
    for row in rows {
        let (before, recorded) = (row["before"].as_f64(), row["value"].as_f64());
        assert!((before.unwrap() - recorded.unwrap()).abs() < 1e-12, "{row}");
        assert_eq!(
            (&row["num_draws"], &row["neurons"]),
            (&100.into(), &"3,17".into())
        );
        let p = row["p_value"].as_f64().unwrap();
        assert!((1.0 / 101.0..=1.0).contains(&p), "{row}");
    }
    let rows = scratch.rows(
        "run",
        "SELECT class, num_samples, predicted_before, predicted_after, predicted_random, random_mean \
         FROM ablations WHERE samples = 'class' AND metric = 'accuracy' ORDER BY class",
    );
    let confusion = scratch.rows(
        "run",
        "SELECT target, predicted, count(*) AS count FROM classifications WHERE epoch = 2 GROUP BY 1, 2",
    );
    assert_eq!(rows.len(), 10);
    for (class, row) in rows.iter().enumerate() {
        let mut counts = [0.0; 10];
        for cell in confusion.iter().filter(|cell| cell["target"] == class) {
            counts[cell["predicted"].as_u64().unwrap() as usize] = cell["count"].as_f64().unwrap();
        }
        assert_eq!(numbers(&row["predicted_before"]), counts, "class {class}");
        let after: f64 = numbers(&row["predicted_after"]).iter().sum();
        assert_eq!(Some(after), row["num_samples"].as_f64());
        // Of the mean over the draws the accuracy is the mean over the draws.
        let random = numbers(&row["predicted_random"]);
        let accuracy = random[class] / after;
        let mean = row["random_mean"].as_f64().unwrap();
        assert!(
            (accuracy - mean).abs() < 1e-6,
            "class {class}: {accuracy} {mean}"
        );
        assert!((random.iter().sum::<f64>() - after).abs() < 1e-3);
    }
    let gap = "SELECT class, of_class FROM ablations WHERE metric = 'accuracy_gap'";
    assert_eq!(scratch.rows("run", gap).len(), 1);

    // Asked again it is the same, and takes the place of what there was; epoch 2 is the last.
    let figures = "SELECT samples, class, metric, before, after, random, p_value FROM ablations \
                   ORDER BY samples, class, metric";
    let before = scratch.rows("run", figures);
    let again = arguments.map(|argument| if argument == "2" { "last" } else { argument });
    ablate(&scratch, &again);
    assert_eq!(scratch.rows("run", figures), before);
    // Asked otherwise it is another.
    ablate(
        &scratch,
        &[
            "run",
            "--epoch",
            "2",
            "--neurons",
            "3,17",
            "--mode",
            "mean",
            "--draws",
            "7",
        ],
    );
    let ids = "SELECT mode, count(DISTINCT ablation) AS n FROM ablations GROUP BY 1 ORDER BY 1";
    let ids = scratch.rows("run", ids);
    assert_eq!(ids.len(), 2);
    assert!(ids.iter().all(|row| row["n"] == 1), "{ids:?}");
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(verified.contains("whole"), "{verified}");
    let stats = run(&mut scratch.sink(&["stats", "run"])).expect_success();
    assert!(stats.contains("ablations"), "{stats}");
}

/// Publishes a structure of neurons of L_hidden_1 that was found on the first half.
fn publish_structure(run: &RunDir, name: &str, class: i32, neurons: &[i32]) {
    let capture = CaptureId {
        epoch: Epoch(2),
        step: Step(72),
    };
    let n = neurons.len();
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(vec![text; n])) };
    let ints = |value: i32| -> ArrayRef { Arc::new(Int32Array::from_value(value, n)) };
    let columns = vec![
        text(name),
        ints(class),
        text("L_hidden_1"),
        Arc::new(Int32Array::from(neurons.to_vec())),
        ints(1),
        ints(2),
        Arc::new(Float64Array::from_value(0.9, n)),
        new_null_array(&DataType::Float64, n),
        text("auc"),
        text("first"),
        Arc::new(Int64Array::from_value(5, n)),
    ];
    let rows = derived_rows(Table::Structures, capture, columns).unwrap();
    publish_derived(run, Table::Structures, capture, rows).unwrap();
}

#[test]
fn a_structure_is_judged_on_the_samples_that_did_not_choose_it() {
    let scratch = digits();
    let run = RunDir::open(&scratch.path("run")).unwrap();
    let none = refused(
        &scratch,
        &["run", "--epoch", "2", "--structure", "fours"],
        1,
    );
    assert!(none.contains("the run has none"), "{none}");
    publish_structure(&run, "fours", 4, &[16, 20]);
    publish_structure(&run, "ones", 1, &[17]);

    let stdout = ablate(&scratch, &["run", "--epoch", "2", "--structure", "fours"]);
    for told in [
        "structure fours\n",
        "2 of the 8 neurons of L_hidden_1 set to zero: 16, 20\n",
        ", the second half (seed 5)\n",
        "all but class 4",
    ] {
        assert!(stdout.contains(told), "{told:?}: {stdout}");
    }
    assert!(!stdout.contains("flatters"), "{stdout}");
    let rows = scratch.rows(
        "run",
        "SELECT DISTINCT name, of_class, neurons, half, seed FROM ablations",
    );
    let expected = serde_json::json!(
        {"name": "fours", "of_class": 4, "neurons": "16,20", "half": "second", "seed": 5}
    );
    assert_eq!(rows, [expected]);

    let flattered = [
        "run",
        "--epoch",
        "2",
        "--structure",
        "fours",
        "--half",
        "all",
    ];
    let stdout = ablate(&scratch, &flattered);
    assert!(stdout.contains("flatters it"), "{stdout}");
    // The halves have no sample in common.
    let counts = scratch.rows(
        "run",
        "SELECT half, num_samples FROM ablations WHERE samples = 'all' AND metric = 'loss' ORDER BY 1",
    );
    assert_eq!(
        counts[0],
        serde_json::json!({"half": "all", "num_samples": 297})
    );
    ablate(
        &scratch,
        &[
            "run",
            "--epoch",
            "2",
            "--structure",
            "fours",
            "--half",
            "first",
        ],
    );
    let sum = "SELECT sum(num_samples) AS n FROM ablations \
               WHERE samples = 'all' AND metric = 'loss' AND half <> 'all'";
    assert_eq!(scratch.rows("run", sum)[0]["n"], 297);

    let unknown = refused(&scratch, &["run", "--epoch", "2", "--structure", "four"], 1);
    let expected = "there is no structure \"four\": there are fours, ones; did you mean fours?";
    assert!(unknown.contains(expected), "{unknown}");
    let early = refused(&scratch, &["run", "--epoch", "0", "--structure", "ones"], 1);
    assert!(
        early.contains("no neurons at epoch 0: they belong to it at epochs 1 to 2"),
        "{early}"
    );
}

#[test]
fn what_cannot_be_silenced_is_told_with_what_can() {
    let scratch = digits();
    let word = ["run", "--epoch", "first", "--neurons", "3"];
    let stderr = refused(&scratch, &word, 2);
    assert!(stderr.contains("an epoch is a number, or last"), "{stderr}");
    let ablate = |more: &[&str], status| {
        refused(&scratch, &[&["run", "--epoch", "2"], more].concat(), status)
    };
    let valid = "those that can be silenced are 0 to 15 (L_input), 16 to 23 (L_hidden_1)";
    for (arguments, status, expected) in [
        (&["--neurons", "3,34"][..], 1, "there is no neuron 34: "),
        (&["--neurons", "-1"], 1, "there is no neuron -1: "),
        (
            &["--neurons", "24"],
            1,
            "neuron 24 is an output of the network (layer L_output)",
        ),
    ] {
        let stderr = ablate(arguments, status);
        assert!(
            stderr.contains(expected) && stderr.contains(valid),
            "{stderr}"
        );
    }
    let whole = "16,17,18,19,20,21,22,23";
    let stderr = ablate(&["--neurons", whole], 1);
    assert!(
        stderr.contains("all 8 neurons of layer L_hidden_1"),
        "{stderr}"
    );
    for (arguments, status, expected) in [
        (
            &["--neurons", "3", "--class", "10"][..],
            1,
            "there is no class 10: there are 0 to 9",
        ),
        (
            &["--neurons", "3", "--mode", "scale"],
            2,
            "--mode scale needs --factor",
        ),
        (
            &["--neurons", "3", "--factor", "2"],
            2,
            "--factor needs --mode scale",
        ),
        (
            &["--neurons", "3", "--mode", "set"],
            2,
            "--mode set needs --value",
        ),
        (
            &["--neurons", "3", "--value", "2"],
            2,
            "--value needs --mode set",
        ),
        (&[], 2, "--neurons"),
    ] {
        let stderr = ablate(arguments, status);
        assert!(stderr.contains(expected), "{stderr}");
    }
    let stderr = refused(&scratch, &["run", "--epoch", "7", "--neurons", "3"], 1);
    assert_eq!(
        stderr,
        "error: epoch 7 was not recorded: there are epochs 0 to 2\n"
    );
    assert!(!scratch.path("run/ablations").exists());
    // Without a comparison a whole layer can be silenced: all samples look the same then.
    let arguments = ["run", "--epoch", "2", "--neurons", whole, "--draws", "0"];
    let stdout = run(&mut scratch.recorder(&[&["ablate"][..], &arguments].concat()));
    assert!(!stdout.expect_success().contains("p: "));
    let rows = scratch.rows(
        "run",
        "SELECT p_value, random, class FROM ablations WHERE samples = 'class' AND after = 1.0 \
         AND metric = 'accuracy'",
    );
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0]["p_value"].is_null() && rows[0]["random"].is_null());
}

/// A unit behind a ReLU that is set to 0 is one that is silenced; what was set is kept.
#[test]
fn neurons_are_set_to_a_value() {
    let scratch = digits();
    let neurons = ["run", "--epoch", "2", "--neurons", "3,7", "--draws", "5"];
    let stdout = ablate(
        &scratch,
        &[&neurons[..], &["--mode", "set", "--value=-1.5"]].concat(),
    );
    assert!(
        stdout.contains("2 of the 16 neurons of L_input set to -1.5: 3, 7\n"),
        "{stdout}"
    );
    ablate(
        &scratch,
        &[&neurons[..], &["--mode", "set", "--value", "0"]].concat(),
    );
    ablate(&scratch, &neurons);
    let rows = scratch.rows(
        "run",
        "SELECT mode, factor, value, after, random_mean FROM ablations \
         WHERE samples = 'all' AND metric = 'loss' ORDER BY mode, value",
    );
    let told = |row: &Value| {
        (
            row["mode"].clone(),
            row["factor"].clone(),
            row["value"].clone(),
        )
    };
    let null = Value::Null;
    assert_eq!(
        rows.iter().map(told).collect::<Vec<_>>(),
        [
            ("set".into(), null.clone(), (-1.5).into()),
            ("set".into(), null.clone(), 0.0.into()),
            ("zero".into(), null.clone(), null),
        ]
    );
    for figure in ["after", "random_mean"] {
        assert_eq!(rows[1][figure], rows[2][figure]);
        assert_ne!(rows[0][figure], rows[1][figure]);
    }
    let effects = "SELECT mode, value FROM ablation_effects";
    assert!(scratch.rows("run", effects).is_empty(), "of no class");
    let plot = ["plot", "ablation", "run", "-o", "ablation.svg"];
    run(&mut scratch.query(&plot)).expect_success();
}

#[test]
fn networks_of_every_kind_can_be_ablated() {
    let scratch = Scratch::new();
    // Two classes, and soft targets.
    scratch.train(&[
        "--dataset",
        "notebook",
        "--epochs",
        "2",
        "--out",
        "notebook",
    ]);
    let stdout = ablate(
        &scratch,
        &["notebook", "--epoch", "1", "--neurons", "10,11"],
    );
    assert!(
        stdout.contains("2 of the 10 neurons of L_hidden_1"),
        "{stdout}"
    );
    let classes = "SELECT DISTINCT class FROM ablations WHERE samples = 'class' ORDER BY 1";
    assert_eq!(scratch.rows("notebook", classes).len(), 2);

    // Channels of convolutions, and units behind them.
    let cnn = [
        "--model",
        "cnn",
        "--epochs",
        "1",
        "--channels",
        "4,6",
        "--hidden",
        "8",
    ];
    scratch.train(&[&cnn[..], &["--out", "cnn"]].concat());
    let scaled = ["--mode", "scale", "--factor", "-0.5", "--draws", "5"];
    let arguments = [&["cnn", "--epoch", "0", "--neurons", "1,12"][..], &scaled].concat();
    let stdout = ablate(&scratch, &arguments);
    assert!(
        stdout.contains("1 of the 4 neurons of L_conv_1 scaled by -0.5: 1"),
        "{stdout}"
    );
    assert!(
        stdout.contains("1 of the 8 neurons of L_hidden_1 scaled by -0.5: 12"),
        "{stdout}"
    );

    // Numbers: no classes, R² in place of accuracy.
    let mut csv = "a,b,y\n".to_owned();
    for i in 0..200 {
        let (a, b) = (f64::from(i % 17), f64::from(i % 7));
        csv += &format!("{a},{b},{}\n", 2.0 * a - b + 0.5);
    }
    std::fs::write(scratch.path("data.csv"), csv).unwrap();
    let data = [
        "--dataset",
        "csv:data.csv",
        "--target",
        "y",
        "--task",
        "regression",
    ];
    let small = ["--hidden", "8", "--epochs", "3", "--out", "numbers"];
    scratch.train(&[&data[..], &small].concat());
    let stdout = ablate(&scratch, &["numbers", "--epoch", "2", "--neurons", "0,1"]);
    assert!(
        stdout.contains("r2") && !stdout.contains("accuracy"),
        "{stdout}"
    );
    let metrics = "SELECT DISTINCT samples, metric FROM ablations ORDER BY 2";
    let expected = [
        serde_json::json!({"samples": "all", "metric": "loss"}),
        serde_json::json!({"samples": "all", "metric": "r2"}),
    ];
    assert_eq!(scratch.rows("numbers", metrics), expected);
    let stderr = refused(
        &scratch,
        &["numbers", "--epoch", "2", "--neurons", "0", "--class", "1"],
        1,
    );
    assert!(
        stderr.contains("the network tells no classes apart"),
        "{stderr}"
    );
}

/// The notebook's thesis: neurons that go with an output are what it is made of. Five neurons a class
/// are chosen on one half of the held-out samples and silenced on the other; each class's are compared
/// with as many random neurons of the same layers, and with what the other classes lose.
#[test]
fn what_one_half_chose_is_what_the_other_half_misses() {
    let scratch = Scratch::new();
    scratch.train(&["--out", "run"]);
    let find = [
        "structures",
        "find",
        "run",
        "--half",
        "first",
        "--size",
        "5",
    ];
    let find = [&find[..], &["--permutations", "199"]].concat();
    run(&mut scratch.query(&find)).expect_success();
    for class in 0..10 {
        let name = format!("class_{class}");
        // With 100 draws no p-value of ten would be below 0.05 once it is corrected.
        let arguments = [
            "run",
            "--epoch",
            "19",
            "--structure",
            &name,
            "--draws",
            "399",
        ];
        let stdout = ablate(&scratch, &arguments);
        assert!(stdout.contains(", the second half (seed 42)\n"), "{stdout}");
    }

    let sql = "SELECT * FROM ablation_effects ORDER BY p_value, of_class";
    let rows = scratch.rows("run", sql);
    assert_eq!(rows.len(), 10);
    let number = |row: &Value, column: &str| row[column].as_f64().unwrap();
    let mut largest: f64 = 0.0;
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(
            (&row["half"], &row["draws"]),
            (&"second".into(), &399.into())
        );
        // Holm's procedure, step by step.
        largest = largest
            .max((10.0 - place as f64) * number(row, "p_value"))
            .min(1.0);
        assert!((number(row, "p_holm") - largest).abs() < 1e-9, "{row}");
    }

    let run = run(&mut scratch.query(&[
        "run",
        "ablation_effects",
        "run",
        "--param",
        "metric=loss",
        "--format",
        "jsonl",
    ]));
    let rows: Vec<Value> = run
        .expect_success()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let below = |column: &str| rows.iter().filter(|row| number(row, column) < 0.05).count();
    // Nearly every class loses more than chance explains; the others do not.
    assert!(below("p_holm") >= 8, "{rows:#?}");
    assert!(below("others_p_value") <= 2, "{rows:#?}");
    let mean = |column: &str| rows.iter().map(|row| number(row, column)).sum::<f64>() / 10.0;
    let lost = mean("after") - mean("before");
    let by_chance = mean("random_mean") - mean("before");
    let others = mean("others_after") - mean("others_before");
    assert!(
        lost > 5.0 * by_chance && lost > 5.0 * others,
        "{lost} {by_chance} {others}"
    );
}
