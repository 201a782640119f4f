//! `recorder import` and `recorder export`: checkpoints in and out.

use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use stratigraph::{Scratch, run, spawn};

/// Writes a checkpoint of one linear layer with a weight, which is `value`.
fn write(path: &Path, value: f64, dtype: Dtype) {
    let bytes = match dtype {
        Dtype::F64 => value.to_le_bytes().to_vec(),
        _ => (value as f32).to_le_bytes().to_vec(),
    };
    let weight = TensorView::new(dtype, vec![1, 1], &bytes).unwrap();
    safetensors::serialize_to_file([("fc.weight", weight)], None, path).unwrap();
}

/// A directory with checkpoints of one weight, which is their epoch.
fn checkpoints(epochs: impl IntoIterator<Item = u32>) -> Scratch {
    let scratch = Scratch::new();
    for epoch in epochs {
        let path = scratch.path(&format!("ckpt-{epoch}.safetensors"));
        write(&path, epoch.into(), Dtype::F32);
    }
    scratch
}

#[test]
fn a_series_of_checkpoints_becomes_a_run() {
    let scratch = checkpoints([0, 1, 2]);
    let imported = run(&mut scratch.recorder(&[
        "import",
        "ckpt-*.safetensors",
        "--pattern",
        "ckpt-{epoch}.safetensors",
        "--steps-per-epoch",
        "24",
        "--out",
        "run",
    ]));
    assert!(
        imported.stderr.contains("checkpoint 3/3 epoch 2"),
        "{imported}"
    );
    let stdout = imported.expect_success();
    assert!(
        stdout.starts_with(
            "imported 3 checkpoints into run\n  epoch 0, step 24 to epoch 2, step 72\n  1 layers, 1 neurons\n"
        ),
        "{stdout}"
    );
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
    let rows = scratch.rows(
        "run",
        "SELECT epoch, step, weights FROM weights ORDER BY epoch",
    );
    assert_eq!(
        rows[2],
        serde_json::json!({"epoch": 2, "step": 72, "weights": [2.0]})
    );
    let layers = scratch.rows("run", "SELECT layer, kind, module_path, source FROM layers");
    assert_eq!(layers[0]["kind"], "linear");
    assert_eq!(layers[0]["source"], serde_json::Value::Null);
    // Named queries work on it as on any run.
    let drift = run(&mut scratch.query(&["run", "by_neuron", "run", "--format", "jsonl"]));
    let row: serde_json::Value = serde_json::from_str(&drift.expect_success()).unwrap();
    assert_eq!(row["weights"], serde_json::json!([1.0]));

    let replayed = run(&mut scratch.recorder(&["replay", "run", "--epoch", "0"]));
    let stderr = replayed.expect_failure(1);
    assert!(
        stderr.contains("its run.json does not say what it is made of"),
        "{stderr}"
    );

    let again = run(&mut scratch.recorder(&["import", "ckpt-0.safetensors", "--out", "run"]));
    assert_eq!(
        again.expect_failure(1),
        "error: run holds an import already, 3 of its 3 checkpoints are committed: nothing is ever \
         overwritten, remove it or name another directory\n"
    );
}

#[test]
fn what_cannot_be_imported_is_told() {
    let scratch = checkpoints([0]);
    let import = |arguments: &[&str], code| {
        let arguments = [&["import"], arguments].concat();
        run(&mut scratch.recorder(&arguments)).expect_failure(code)
    };
    let stderr = import(
        &["ckpt-0.safetensors", "--pattern", "ckpt-0", "--out", "run"],
        2,
    );
    assert!(
        stderr.contains("it says neither {epoch} nor {step}"),
        "{stderr}"
    );
    assert_eq!(
        import(&["gone-*.safetensors", "--out", "run"], 1),
        "error: gone-*.safetensors matches no file\n"
    );
    write(&scratch.path("wide-1.safetensors"), 0.1, Dtype::F64);
    assert_eq!(
        import(&["wide-1.safetensors", "--out", "run"], 1),
        "error: wide-1.safetensors: tensor fc.weight, of type F64: value 0.1 at position 0 is none \
         that a 32-bit float holds, as a trace's are: --lossy rounds it\n"
    );
    assert!(!scratch.path("run").exists());
    let lossy = ["import", "wide-1.safetensors", "--out", "lossy", "--lossy"];
    run(&mut scratch.recorder(&lossy)).expect_success();
}

#[test]
fn what_would_be_imported_is_shown_before_anything_is_created() {
    let scratch = checkpoints([0, 1, 2, 3, 9]);
    let dry = run(&mut scratch.recorder(&["import", "ckpt-*.safetensors", "--dry-run"]));
    let expected = "\
5 checkpoints, by the number in their names, taken as the epoch:
  ckpt-0.safetensors is epoch 0, step 1
  ...
  ckpt-9.safetensors is epoch 9, step 10 (not as far from the one before as most)
nothing was created (--dry-run)
";
    assert_eq!(dry.expect_success(), expected);
    assert_eq!(std::fs::read_dir(scratch.path("")).unwrap().count(), 5);

    let imported = run(&mut scratch.recorder(&["import", "ckpt-*.safetensors", "--out", "run"]));
    assert!(
        imported
            .stderr
            .starts_with("5 checkpoints, by the number in their names"),
        "{imported}"
    );
    assert!(!imported.stderr.contains("warning"), "{imported}");
    imported.expect_success();
    let below = ["import", "ckpt-*.safetensors", "--out", "lr=0.1/run"];
    let imported = run(&mut scratch.recorder(&below));
    assert!(
        imported
            .stderr
            .contains("warning: lr=0.1/run lies below lr=0.1: engines that take"),
        "{imported}"
    );
    imported.expect_success();

    for name in ["net_step1k.safetensors", "net_step500.safetensors"] {
        write(&scratch.path(name), 1.0, Dtype::F32);
    }
    let arguments = ["import", "net_step*.safetensors", "--out", "refused"];
    assert_eq!(
        run(&mut scratch.recorder(&arguments)).expect_failure(1),
        "error: net_step1k.safetensors does not say surely which epoch or step it is, 1k in it is a \
         number with a unit, which may stand for another one: say where by --pattern, give it another \
         name, or leave it out\n  --pattern 'net_step{step}k.safetensors' makes of them: step 1; 1 of 2 \
         do not fit\n"
    );
    assert!(!scratch.path("refused").exists());
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    let scratch = checkpoints(0..1500);
    let command = ["import", "ckpt-*.safetensors", "-o", "run"];
    let mut importing = spawn(&mut scratch.recorder(&command));
    scratch.wait_for_commit("run", &mut importing);
    importing.kill();
    let count =
        "SELECT count(*) AS n, count(DISTINCT epoch) AS epochs, sum(weights[1]) AS s FROM weights";
    let before = scratch.rows("run", count)[0]["n"].as_u64().unwrap();
    assert!(
        (1..1500).contains(&before),
        "it was killed in between: {before}"
    );

    let again = run(&mut scratch.recorder(&[&command[..], &["--resume"]].concat()));
    let stdout = again.expect_success();
    assert!(
        stdout.starts_with("imported 1,500 checkpoints into run\n"),
        "{stdout}"
    );
    let rows = scratch.rows("run", count);
    // 0 + 1 + ... + 1499
    assert_eq!(
        rows[0],
        serde_json::json!({"n": 1500, "epochs": 1500, "s": 1_124_250.0})
    );
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
    let again = run(&mut scratch.recorder(&[&command[..], &["--resume"]].concat()));
    assert!(
        again
            .expect_failure(1)
            .contains("error: run is whole: all 1500 checkpoints are committed"),
    );
}

#[test]
fn an_interrupted_import_keeps_whole_checkpoints() {
    let scratch = checkpoints(0..2000);
    let importing = spawn(&mut scratch.recorder(&["import", "ckpt-*.safetensors", "-o", "run"]));
    importing.wait_for_stderr("checkpoint 1/2000");
    importing.interrupt();
    let finished = importing.wait();
    assert_eq!(finished.code(), Some(130), "{finished}");
    assert!(
        finished.stderr.contains("stopping: publishing"),
        "{finished}"
    );
    let kept = super::number_between(&finished.stdout, "interrupted: ", " of 2,000 checkpoints");
    let rows = scratch.rows(
        "run",
        "SELECT count(neuron) AS n, max(epoch) + 1 AS epochs FROM weights",
    );
    assert_eq!(rows[0]["n"].as_u64(), kept);
    assert_eq!(rows[0]["epochs"].as_u64(), kept);
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
}

#[test]
fn an_export_has_the_recorded_weights_by_pytorchs_names_and_layout() {
    let scratch = Scratch::new();
    scratch.train(&["--epochs", "3", "--hidden", "5", "--out", "run"]);
    let exported =
        run(&mut scratch.recorder(&["export", "run", "--epoch", "1", "-o", "model.safetensors"]));
    let stdout = exported.expect_success();
    assert!(
        stdout.starts_with("exported epoch 1, step 48 into model.safetensors: 4 tensors, "),
        "{stdout}"
    );
    let bytes = std::fs::read(scratch.path("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    let expected = [
        "layers.0.bias",
        "layers.0.weight",
        "layers.1.bias",
        "layers.1.weight",
    ];
    assert_eq!(names, expected);
    for (layer, module, shape) in [
        ("L_input", "layers.0", [5, 64]),
        ("L_output", "layers.1", [10, 5]),
    ] {
        let floats = |name: &str| -> Vec<f32> {
            let tensor = file.tensor(&format!("{module}.{name}")).unwrap();
            assert_eq!(tensor.dtype(), Dtype::F32);
            let expected = if name == "weight" {
                &shape[..]
            } else {
                &shape[..1]
            };
            assert_eq!(tensor.shape(), expected);
            let (values, _) = tensor.data().as_chunks();
            values
                .iter()
                .map(|value| f32::from_le_bytes(*value))
                .collect()
        };
        let (weights, biases) = (floats("weight"), floats("bias"));
        let sql = format!(
            "SELECT bias, weights FROM weights WHERE epoch = 1 AND layer = '{layer}' ORDER BY unit"
        );
        let rows = scratch.rows("run", &sql);
        assert_eq!(rows.len(), shape[0]);
        for (unit, row) in rows.iter().enumerate() {
            let number = |value: &serde_json::Value| value.as_f64().unwrap() as f32;
            assert_eq!(number(&row["bias"]), biases[unit]);
            let recorded: Vec<f32> = row["weights"]
                .as_array()
                .unwrap()
                .iter()
                .map(number)
                .collect();
            assert_eq!(recorded, weights[unit * shape[1]..][..shape[1]]);
        }
    }

    let export = |arguments: &[&str], code| {
        let arguments = [&["export", "run", "--out", "model.safetensors"], arguments].concat();
        run(&mut scratch.recorder(&arguments)).expect_failure(code)
    };
    assert_eq!(
        export(&["--epoch", "last"], 1),
        "error: model.safetensors exists; --force replaces it\n"
    );
    assert_eq!(
        export(&["--epoch", "7", "--force"], 1),
        "error: epoch 7 was not recorded: there are epochs 0 to 2\n"
    );
    let stderr = export(&[], 2);
    assert!(stderr.contains("--epoch"), "{stderr}");
    let stderr = export(&["--epoch", "first"], 2);
    assert!(stderr.contains("an epoch is a number, or last"), "{stderr}");

    let arguments = [
        "export",
        "run",
        "--epoch",
        "last",
        "--out",
        "model.safetensors",
        "--force",
    ];
    let stdout = run(&mut scratch.recorder(&arguments)).expect_success();
    assert!(stdout.starts_with("exported epoch 2, step 72 "), "{stdout}");
}

#[test]
fn an_export_without_weights_is_told() {
    let scratch = Scratch::new();
    scratch.train(&[
        "--epochs", "1", "--hidden", "4", "--record", "metrics", "--out", "run",
    ]);
    let export = [
        "export",
        "run",
        "--epoch",
        "last",
        "--out",
        "model.safetensors",
    ];
    let stderr = run(&mut scratch.recorder(&export)).expect_failure(1);
    assert_eq!(stderr, "error: epoch 0 has no weights\n");
    assert!(!scratch.path("model.safetensors").exists());
}

#[test]
fn the_help_has_examples() {
    let scratch = Scratch::new();
    for verb in ["import", "export"] {
        let help = run(&mut scratch.recorder(&[verb, "--help"])).expect_success();
        assert!(help.contains(&format!("  recorder {verb} ")), "{help}");
    }
}
