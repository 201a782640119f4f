//! `recorder train` on data of one's own: every format, every task.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use stratigraph::{Scratch, run};

use crate::files;

/// 60 flowers of three kinds that can be told apart by their length; every kind is an ellipse.
fn flowers() -> String {
    let mut text = "id,length,width,kind\n".to_owned();
    for row in 0..60u32 {
        let kind = row % 3;
        let name = ["setosa", "versicolor", "virginica"][kind as usize];
        let (length, width) = (10 * kind + row % 5, row % 7);
        writeln!(text, "f{row},{length}.5,{width},{name}").unwrap();
    }
    text
}

/// Trains a small network on data until it has learned something; returns what it said.
fn train(scratch: &Scratch, arguments: &[&str]) -> (String, String) {
    let small = [
        "train", "--device", "cpu", "--hidden", "8", "--epochs", "30",
    ];
    let fast = ["--lr", "0.02", "--batch-size", "8"];
    let mut command = scratch.recorder(&[&small[..], &fast, arguments].concat());
    let trained = run(&mut command);
    let stderr = trained.stderr.clone();
    (trained.expect_success(), stderr)
}

fn replayed(scratch: &Scratch, run_dir: &str) -> String {
    run(&mut scratch.recorder(&["replay", run_dir, "--epoch", "29"])).expect_success()
}

fn identity(scratch: &Scratch, run_dir: &str) -> Value {
    let json = fs::read(scratch.path(run_dir).join("run.json")).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// The figures of a held-out set in the last epoch, by name.
fn figures(scratch: &Scratch, run_dir: &str) -> Vec<(String, f64)> {
    let sql = "SELECT name, value FROM metrics WHERE phase = 'eval' AND epoch = 29 ORDER BY name";
    let rows = scratch.rows(run_dir, sql);
    let figure = |row: &Value| {
        let name = row["name"].as_str().unwrap().to_owned();
        (name, row["value"].as_f64().unwrap())
    };
    rows.iter().map(figure).collect()
}

/// How many rows of the last epoch's classifications have each column.
fn filled(scratch: &Scratch, run_dir: &str) -> Value {
    let sql = "SELECT count(*) AS rows, count(target) AS target, count(expected) AS expected, \
               count(predicted) AS predicted, count(correct) AS correct, \
               count(confidence) AS confidence, max(cardinality(outputs)) AS outputs \
               FROM classifications WHERE epoch = 29";
    scratch.rows(run_dir, sql).remove(0)
}

#[test]
fn a_csv_of_classes_is_learned_recorded_and_replayed() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("data")).unwrap();
    fs::write(scratch.path("data/flowers.csv"), flowers()).unwrap();
    let data = [
        "--dataset",
        "csv:data/flowers.csv",
        "--target",
        "kind",
        "--ignore",
        "id",
    ];
    let (stdout, stderr) = train(&scratch, &data);
    assert!(
        stderr.contains(
            "data: 48 samples to train on, 12 held out (0.2 drawn with the seed, by class); 2 \
             inputs predict 3 classes of kind (classification, as it looks; --task says otherwise)"
        ),
        "{stderr}"
    );
    // Named after its file.
    let run_dir = "traces/flowers";
    assert!(
        stdout.contains("kept 30 captures in traces/flowers:"),
        "{stdout}"
    );
    assert!(stdout.contains("accuracy 100.0%"), "{stdout}");
    let [(accuracy, share), (loss, _)] = &figures(&scratch, run_dir)[..] else {
        panic!("a loss and a score")
    };
    assert_eq!((accuracy.as_str(), loss.as_str()), ("accuracy", "loss"));
    assert_eq!(*share, 1.0);

    let identity = identity(&scratch, run_dir);
    let names = json!(["setosa", "versicolor", "virginica"]);
    assert_eq!(identity["class_names"], names);
    assert_eq!(identity["model"]["loss"], "softmax_cross_entropy");
    assert_eq!(identity["dataset"]["kind"], "csv");
    let source = scratch.path("data/flowers.csv").canonicalize().unwrap();
    let told = identity["dataset"]["source"].as_str().unwrap();
    assert_eq!(fs::canonicalize(told).unwrap(), source);
    let details = &identity["dataset"]["details"];
    assert_eq!(details["inputs"]["names"], json!(["length", "width"]));
    assert_eq!(details["options"]["task"], "classification");
    assert_eq!(identity["config"]["dataset"], "csv:data/flowers.csv");
    assert_eq!(identity["config"]["data"]["ignored"], json!(["id"]));

    let all = json!({"rows": 12, "target": 12, "expected": 0, "predicted": 12, "correct": 12,
        "confidence": 12, "outputs": 3});
    assert_eq!(filled(&scratch, run_dir), all);
    let sql = "SELECT target, count FROM confusion WHERE epoch = 29 AND target = predicted \
               ORDER BY target";
    let four = |target: i32| json!({"target": target, "count": 4});
    assert_eq!(scratch.rows(run_dir, sql), [four(0), four(1), four(2)]);
    assert!(
        replayed(&scratch, run_dir).contains("12 of 12 held-out samples reproduced bit for bit"),
    );
    // From anywhere.
    let elsewhere = scratch.path(run_dir);
    let mut replay = scratch.recorder(&["replay", ".", "--epoch", "0"]);
    run(replay.current_dir(elsewhere)).expect_success();
    run(&mut scratch.sink(&["verify", run_dir])).expect_success();

    // The data is not what it was: that is told, and nothing is compared.
    let mut changed = flowers();
    changed.push_str("f60,1.5,1,setosa\n");
    fs::write(scratch.path("data/flowers.csv"), changed).unwrap();
    let replay = &["replay", run_dir, "--epoch", "29"];
    let stderr = run(&mut scratch.recorder(replay)).expect_failure(1);
    assert!(
        stderr.contains("is not the one that was recorded: its checksum is"),
        "{stderr}"
    );
    fs::remove_file(scratch.path("data/flowers.csv")).unwrap();
    let stderr = run(&mut scratch.recorder(replay)).expect_failure(1);
    assert!(stderr.contains("cannot read the data "), "{stderr}");
}

#[test]
fn a_csv_of_two_classes_is_one_output() {
    let scratch = Scratch::new();
    let rows = (0..40).map(|row| {
        let answer = if row % 4 < 2 { "no" } else { "yes" };
        format!("{},{answer}\n", row % 4)
    });
    let rows: String = rows.collect();
    fs::write(scratch.path("answers.csv"), format!("x,answer\n{rows}")).unwrap();
    let test = "x,answer\n0,no\n3,yes\n1,no\n";
    fs::write(scratch.path("test.csv"), test).unwrap();
    let data = ["--dataset", "csv:answers.csv", "--target", "answer"];
    let files = ["--held-out", "test.csv", "--out", "run"];
    let (_, stderr) = train(&scratch, &[data, files].concat());
    assert!(
        stderr.contains("1 inputs predict answer as no or yes (binary, as it looks"),
        "{stderr}"
    );
    let identity = identity(&scratch, "run");
    assert_eq!(identity["class_names"], json!(["no", "yes"]));
    assert_eq!(identity["model"]["loss"], "binary_cross_entropy");
    let sql = "SELECT target, expected, predicted FROM classifications WHERE epoch = 29";
    let row =
        |class: i32| json!({"target": class, "expected": [f64::from(class)], "predicted": class});
    assert_eq!(scratch.rows("run", sql), [row(0), row(1), row(0)]);
    assert!(replayed(&scratch, "run").contains("3 of 3"));
}

#[test]
fn several_labels_have_an_output_each_and_no_class() {
    let scratch = Scratch::new();
    let rows = (0..50).map(|row| {
        let (x, y) = (row % 5, row % 7);
        format!("{x},{y},{},{}\n", i32::from(x > 2), i32::from(y > 3))
    });
    let rows: String = rows.collect();
    fs::write(scratch.path("labels.csv"), format!("x,y,wide,high\n{rows}")).unwrap();
    let data = [
        "--dataset",
        "csv:labels.csv",
        "--target",
        "wide",
        "--target",
        "high",
        "--out",
        "run",
    ];
    let (stdout, stderr) = train(&scratch, &data);
    assert!(
        stderr.contains("predict the labels wide, high (multi-label"),
        "{stderr}"
    );
    assert!(stdout.contains(", label accuracy "), "{stdout}");
    let [(score, share), (loss, _)] = &figures(&scratch, "run")[..] else {
        panic!("a loss and a score")
    };
    assert_eq!((score.as_str(), loss.as_str()), ("label_accuracy", "loss"));
    assert!(*share > 0.9, "{share}");
    let none = json!({"rows": 10, "target": 0, "expected": 10, "predicted": 0, "correct": 0,
        "confidence": 0, "outputs": 2});
    assert_eq!(filled(&scratch, "run"), none);
    let identity = identity(&scratch, "run");
    assert_eq!(identity["class_names"], json!([]));
    assert_eq!(identity["model"]["loss"], "multi_label_cross_entropy");
    assert_eq!(
        identity["dataset"]["details"]["targets"]["names"],
        json!(["wide", "high"])
    );
    assert!(replayed(&scratch, "run").contains("10 of 10"));
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
}

#[test]
fn parquet_of_numbers_is_a_regression() {
    let scratch = Scratch::new();
    let x: Vec<i64> = (0..60).map(|row| row % 10).collect();
    let price = x.iter().map(|&x| 1_000.5 + 200.0 * x as f64);
    let columns: [(&str, ArrayRef); 2] = [
        ("price", Arc::new(Float64Array::from_iter_values(price))),
        ("x", Arc::new(Int64Array::from(x))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    // As pandas, polars and DuckDB write it by default.
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    fs::write(scratch.path("prices.parquet"), writer.into_inner().unwrap()).unwrap();

    let data = [
        "--dataset",
        "parquet:prices.parquet",
        "--target",
        "price",
        "--held-out",
        "0.25",
        "--out",
        "run",
    ];
    let (stdout, stderr) = train(&scratch, &data);
    assert!(
        stderr.contains("45 samples to train on, 15 held out (0.25 drawn with the seed);"),
        "{stderr}"
    );
    assert!(
        stderr.contains("predict the numbers price (regression, as it looks"),
        "{stderr}"
    );
    assert!(stdout.contains(", R² "), "{stdout}");
    let [(loss, squares), (score, r2)] = &figures(&scratch, "run")[..] else {
        panic!("a loss and a score")
    };
    assert_eq!((score.as_str(), loss.as_str()), ("r2", "loss"));
    assert!(*r2 > 0.9 && *squares < 0.1, "{r2}, {squares}");
    let none = json!({"rows": 15, "target": 0, "expected": 15, "predicted": 0, "correct": 0,
        "confidence": 0, "outputs": 1});
    assert_eq!(filled(&scratch, "run"), none);
    // Prices as the network sees them: `details` says how to get back.
    let identity = identity(&scratch, "run");
    let targets = &identity["dataset"]["details"]["targets"];
    let [mean, std] = ["mean", "std"].map(|key| targets[key][0].as_f64().unwrap());
    let sql = "SELECT expected[1] AS z FROM classifications WHERE epoch = 29";
    for row in scratch.rows("run", sql) {
        let price = row["z"].as_f64().unwrap() * std + mean;
        let steps = (price - 1_000.5) / 200.0;
        assert!((steps - steps.round()).abs() < 1e-4, "{price}");
    }
    assert!(replayed(&scratch, "run").contains("15 of 15"));
    // Queries that are about classes have no rows, nor has that of what was silenced, which nothing
    // was; and none has an error.
    let of_classes = [
        "ablation_effects",
        "cartography",
        "class_changes",
        "class_selectivity",
        "confusion",
        "correct_vs_incorrect",
        "linear_probe",
        "meta_model",
        "rank_stability",
        "structure_onset",
        "structure_scores",
    ];
    let list = run(&mut scratch.query(&["list"])).expect_success();
    for name in list.lines().filter_map(|line| line.split(' ').next()) {
        let answer = run(&mut scratch.query(&["run", name, "run", "--format", "csv"]));
        let num_rows = answer.expect_success().lines().count() - 1;
        // Whether a neuron died is up to the training.
        if name != "dead_neurons" {
            assert_eq!(
                num_rows == 0,
                of_classes.contains(&name),
                "{name}: {num_rows}"
            );
        }
    }
}

#[test]
fn idx_files_as_mnist_has_them_are_learned() {
    let scratch = Scratch::new();
    let write = |name: &str, sizes: &[u32], values: &[u8]| {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(values);
        let file = fs::File::create(scratch.path(name)).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        gzip.finish().unwrap();
    };
    fs::create_dir(scratch.path("bars")).unwrap();
    for (set, num) in [("train", 60u32), ("t10k", 12)] {
        // 3x3 pixels with one bright row: its number is the label.
        let labels: Vec<u8> = (0..num).map(|image| (image % 3) as u8).collect();
        let rows = labels
            .iter()
            .flat_map(|&label| (0..3).map(move |row| row == label));
        let pixels: Vec<u8> = rows
            .flat_map(|bright| [if bright { 255 } else { 0 }; 3])
            .collect();
        write(
            &format!("bars/{set}-images-idx3-ubyte.gz"),
            &[num, 3, 3],
            &pixels,
        );
        write(&format!("bars/{set}-labels-idx1-ubyte.gz"), &[num], &labels);
    }
    let (stdout, stderr) = train(&scratch, &["--dataset", "idx:bars"]);
    assert!(
        stderr.contains("data: 60 samples to train on, 12 held out (all of /"),
        "{stderr}"
    );
    assert!(stdout.contains("captures in traces/bars:"), "{stdout}");
    assert!(stdout.contains("accuracy 100.0%"), "{stdout}");
    assert_eq!(
        identity(&scratch, "traces/bars")["class_names"],
        json!(["0", "1", "2"])
    );
    assert!(replayed(&scratch, "traces/bars").contains("12 of 12"));

    // What image they are is said by the files.
    let cnn = ["--dataset", "idx:bars", "--model", "cnn", "--out", "cnn"];
    let (stdout, _) = train(&scratch, &cnn);
    assert!(stdout.contains("accuracy 100.0%"), "{stdout}");
    let image = json!({"channels": 1, "height": 3, "width": 3});
    assert_eq!(
        identity(&scratch, "cnn")["model"]["convolutions"]["image"],
        image
    );
    assert!(replayed(&scratch, "cnn").contains("12 of 12"));

    // The same files by their own names, and a split of them as numbers.
    let explicit = [
        "--dataset",
        "idx:bars/train-images-idx3-ubyte.gz",
        "--labels",
        "bars/train-labels-idx1-ubyte.gz",
        "--held-out",
        "bars/t10k-images-idx3-ubyte.gz",
        "--held-out-labels",
        "bars/t10k-labels-idx1-ubyte.gz",
        "--task",
        "regression",
        "--scale",
        "standard",
        "--out",
        "numbers",
    ];
    let (stdout, stderr) = train(&scratch, &explicit);
    assert!(
        stderr.contains("9 inputs predict the numbers label (regression)"),
        "{stderr}"
    );
    assert!(stdout.contains(", R² "), "{stdout}");
    assert!(replayed(&scratch, "numbers").contains("12 of 12"));
}

#[test]
fn a_file_says_what_the_command_line_does_not() {
    let scratch = Scratch::new();
    fs::write(scratch.path("flowers.csv"), flowers()).unwrap();
    let toml = "dataset = \"csv:flowers.csv\"\ntarget = [\"kind\"]\nignore = [\"id\"]\n\
                device = \"cpu\"\nhidden = [5, 4]\nepochs = 9\nbatch_size = 16\nlr = 0.5\n\
                every = [0, 2]\nrecord-initial = true\nseed = 7\nout = \"run\"\n\
                activations = \"stats\"\nheld-out = 0.5\n";
    fs::write(scratch.path("run.toml"), toml).unwrap();
    let arguments = [
        "train", "--config", "run.toml", "--epochs", "3", "--lr", "0.01",
    ];
    let trained = run(&mut scratch.recorder(&arguments));
    assert!(
        trained.stderr.starts_with("options from run.toml\n"),
        "{trained}"
    );
    let stdout = trained.expect_success();
    assert!(stdout.contains("kept 3 captures in run:"), "{stdout}");
    let from_file = identity(&scratch, "run");
    let told = [
        "train",
        "--dataset",
        "csv:flowers.csv",
        "--target",
        "kind",
        "--ignore",
        "id",
        "--device",
        "cpu",
        "--hidden",
        "5,4",
        "--epochs",
        "3",
        "--batch-size",
        "16",
        "--lr",
        "0.01",
        "--every",
        "0,2",
        "--record-initial",
        "--seed",
        "7",
        "--out",
        "told",
        "--activations",
        "stats",
        "--held-out",
        "0.5",
    ];
    run(&mut scratch.recorder(&told)).expect_success();
    // One run is as the other.
    let config = &from_file["config"];
    assert_eq!(*config, identity(&scratch, "told")["config"]);
    for (key, value) in [
        ("epochs", json!(3)),
        ("batch_size", json!(16)),
        ("hidden", json!([5, 4])),
        ("learning_rate", json!(0.01)),
        ("seed", json!(7)),
    ] {
        assert_eq!(config["train"][key], value, "{key}");
    }
    assert_eq!(config["every"], "0,2");
    assert_eq!(config["record_initial"], true);
    let sql = "SELECT epoch, layer, neuron, weights FROM weights ORDER BY epoch, neuron";
    assert_eq!(scratch.rows("run", sql), scratch.rows("told", sql));

    // What is wrong in the file is wrong usage, and nothing is written.
    fs::write(scratch.path("wrong.toml"), "epochs = 3\nepoch = 4\n").unwrap();
    let before = files(&scratch.path(""));
    let wrong = ["train", "--config", "wrong.toml"];
    let stderr = run(&mut scratch.recorder(&wrong)).expect_failure(2);
    let told = "error: wrong.toml, line 2: there is no option \"epoch\"; did you mean epochs?";
    assert!(stderr.starts_with(told), "{stderr}");
    fs::write(scratch.path("wrong.toml"), "epochs = 0\n").unwrap();
    let stderr = run(&mut scratch.recorder(&wrong)).expect_failure(2);
    assert!(stderr.contains("0 epochs would train nothing"), "{stderr}");
    fs::remove_file(scratch.path("wrong.toml")).unwrap();
    let stderr = run(&mut scratch.recorder(&wrong)).expect_failure(2);
    assert!(stderr.contains("cannot read wrong.toml"), "{stderr}");
    let mut after = before;
    after.remove(&scratch.path("wrong.toml"));
    assert_eq!(files(&scratch.path("")), after);
}

#[test]
fn columns_are_an_image_if_they_are_said_to_be() {
    let scratch = Scratch::new();
    // A bright row of two or a bright column, and how bright.
    let mut csv = "a,b,c,d,kind\n".to_owned();
    for row in 1..=40 {
        writeln!(csv, "{row},{row},0,0,row\n{row},0,{row},0,column").unwrap();
    }
    fs::write(scratch.path("pairs.csv"), csv).unwrap();
    let data = [
        "--dataset",
        "csv:pairs.csv",
        "--target",
        "kind",
        "--model",
        "cnn",
    ];
    let with_image = [&data[..], &["--image", "2x2", "--out", "run"]].concat();
    let (stdout, _) = train(&scratch, &with_image);
    assert!(stdout.contains("accuracy 100.0%"), "{stdout}");
    assert!(replayed(&scratch, "run").contains("16 of 16"));

    let refused = |arguments: &[&str]| {
        let arguments = [&["train", "--device", "cpu"], &data[..], arguments].concat();
        run(&mut scratch.recorder(&arguments)).expect_failure(1)
    };
    let before = files(&scratch.path(""));
    let stderr = refused(&[]);
    let told = "the data does not say what image the 4 inputs of a sample are";
    assert!(stderr.contains(told), "{stderr}");
    let stderr = refused(&["--image", "3x3"]);
    let told = "an image of 3x3 does not have the 4 inputs of a sample";
    assert!(stderr.contains(told), "{stderr}");
    assert_eq!(files(&scratch.path("")), before);
}

#[test]
fn bad_data_is_refused_before_anything_is_written() {
    let scratch = Scratch::new();
    fs::write(scratch.path("bad.csv"), "x,y\n1,0\n2,1\nthree,1\n").unwrap();
    let before = files(&scratch.path(""));
    let refused = |arguments: &[&str]| {
        let arguments = [&["train", "--device", "cpu"], arguments].concat();
        run(&mut scratch.recorder(&arguments)).expect_failure(1)
    };
    assert_eq!(
        refused(&["--dataset", "csv:bad.csv", "--target", "y"]),
        "error: bad.csv, line 4, column \"x\": \"three\" is no number: --categorical x takes the \
         column as categories (--categorical alone every column of texts), --ignore x leaves it out\n"
    );
    assert_eq!(
        refused(&["--dataset", "csv:bad.csv", "--target", "Y"]),
        "error: bad.csv: there is no column \"Y\"; did you mean y? (columns: x, y)\n"
    );
    let missing = refused(&["--dataset", "csv:none.csv", "--target", "y"]);
    assert!(
        missing.starts_with("error: cannot read the data none.csv: "),
        "{missing}"
    );
    let missing = refused(&["--dataset", "idx:bad.csv"]);
    assert!(missing.contains("give --labels FILE"), "{missing}");
    assert_eq!(files(&scratch.path("")), before);
}

#[test]
fn data_as_people_have_it_is_told_learned_and_replayed() {
    let scratch = Scratch::new();
    // Semicolons and decimal commas, a column that counts the rows, texts, and what is missing.
    let mut csv = ";colour;length;kind\n".to_owned();
    for row in 0..60 {
        let colour = ["red", "green", "blue"][row % 3];
        let length = if row == 7 {
            "NA".to_owned()
        } else {
            format!("{},5", 10 * (row % 3) + row % 5)
        };
        writeln!(csv, "{row};{colour};{length};{}", ["a", "b", "c"][row % 3]).unwrap();
    }
    fs::write(scratch.path("table.csv"), csv).unwrap();
    let data = [
        "--dataset",
        "csv:table.csv",
        "--target",
        "kind",
        "--out",
        "run",
    ];
    let before = files(&scratch.path(""));
    let refused = |arguments: &[&str]| {
        let arguments = [&["train", "--device", "cpu"], &data[..], arguments].concat();
        run(&mut scratch.recorder(&arguments)).expect_failure(1)
    };
    let stderr = refused(&[]);
    assert!(
        stderr.contains("--categorical colour takes the column as categories"),
        "{stderr}"
    );
    let stderr = refused(&["--categorical"]);
    assert!(
        stderr.contains(
            "table.csv, line 9, column \"length\": NA stands for a missing value (1 of 60 samples \
             lack it): --missing drop leaves such samples out, --missing mean puts"
        ),
        "{stderr}"
    );
    assert_eq!(files(&scratch.path("")), before);

    // Options of a file, and of the command line.
    fs::write(scratch.path("run.toml"), "categorical = [\"colour\"]\n").unwrap();
    let options = ["--config", "run.toml", "--missing", "mean"];
    let (stdout, stderr) = train(&scratch, &[&data[..], &options].concat());
    assert!(stdout.contains("accuracy 100.0%"), "{stdout}");
    for told in [
        "; 4 inputs predict 3 classes of kind",
        "data: the column without a name is left out: it counts the rows; --keep '' takes it",
        "data: values are read as separated by ;, numbers with a , as the decimal point",
        "data: column \"colour\" becomes 3 inputs",
        "stands in for each of 1 missing values (\"length\" 1)",
    ] {
        assert!(stderr.contains(told), "{told}: {stderr}");
    }
    let identity = identity(&scratch, "run");
    let options = &identity["dataset"]["details"]["options"];
    for (key, value) in [
        ("left_out", json!([""])),
        ("categorical", json!(["colour"])),
        ("missing", json!("mean")),
        ("delimiter", json!(";")),
        ("decimal", json!(",")),
    ] {
        assert_eq!(options[key], value, "{key}");
    }
    let names = json!(["colour=blue", "colour=green", "colour=red", "length"]);
    assert_eq!(identity["dataset"]["details"]["inputs"]["names"], names);
    assert!(replayed(&scratch, "run").contains("12 of 12 held-out samples reproduced bit for bit"));
    let digits = ["train", "--missing", "drop"];
    let stderr = run(&mut scratch.recorder(&digits)).expect_failure(2);
    assert!(
        stderr.contains("--missing is for data from a file"),
        "{stderr}"
    );
}

#[test]
fn a_project_that_was_moved_finds_its_data() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("project/data")).unwrap();
    fs::write(scratch.path("project/data/flowers.csv"), flowers()).unwrap();
    let common = [
        "train", "--device", "cpu", "--hidden", "8", "--epochs", "3", "--target", "kind",
        "--ignore", "id", "--scale", "none",
    ];
    let begun = [
        "--dataset",
        "csv:project/data/flowers.csv",
        "--out",
        "project/run",
    ];
    run(&mut scratch.recorder(&[&common[..], &begun].concat())).expect_success();
    fs::rename(scratch.path("project"), scratch.path("renamed")).unwrap();
    let replay = |arguments: &[&str]| {
        let arguments = [&["replay", "renamed/run", "--epoch", "2"], arguments].concat();
        run(&mut scratch.recorder(&arguments))
    };
    assert!(replay(&[]).expect_success().contains("12 of 12"));
    let ablate = [
        "ablate",
        "renamed/run",
        "--epoch",
        "2",
        "--neurons",
        "3",
        "--draws",
        "5",
    ];
    run(&mut scratch.recorder(&ablate)).expect_success();

    // There is nothing left to train, and nothing else that is wrong, from another directory.
    fs::create_dir(scratch.path("elsewhere")).unwrap();
    let resumed = |options: &[&str]| {
        let arguments = [
            &common[..],
            &["--out", "../renamed/run", "--resume"],
            options,
        ]
        .concat();
        let mut command = scratch.recorder(&arguments);
        run(command.current_dir(scratch.path("elsewhere"))).expect_failure(1)
    };
    let stderr = resumed(&["--dataset", "csv:../renamed/data/flowers.csv"]);
    assert!(stderr.contains("is finished"), "{stderr}");

    // Alone, it is where somebody says that it is.
    fs::rename(
        scratch.path("renamed/data/flowers.csv"),
        scratch.path("elsewhere/f.csv"),
    )
    .unwrap();
    let stderr = replay(&[]).expect_failure(1);
    assert!(
        stderr.contains("--data FILE says where it is now"),
        "{stderr}"
    );
    assert!(
        replay(&["--data", "elsewhere/f.csv"])
            .expect_success()
            .contains("12 of 12")
    );
    let stderr = resumed(&[
        "--dataset",
        "csv:../renamed/data/flowers.csv",
        "--data",
        "f.csv",
    ]);
    assert!(stderr.contains("is finished"), "{stderr}");
    fs::write(
        scratch.path("elsewhere/f.csv"),
        flowers() + "f60,1.5,1,setosa\n",
    )
    .unwrap();
    let stderr = replay(&["--data", "elsewhere/f.csv"]).expect_failure(1);
    assert!(
        stderr.contains("is not the one that was recorded: its checksum is"),
        "{stderr}"
    );
    let stderr = resumed(&["--dataset", "csv:f.csv"]);
    assert!(stderr.contains("the data is not that which"), "{stderr}");
    let stderr = run(&mut scratch.recorder(&["train", "--data", "f.csv"])).expect_failure(2);
    assert!(stderr.contains("--resume"), "{stderr}");
}
