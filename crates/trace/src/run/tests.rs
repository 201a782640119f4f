use std::fs;

use super::*;
use crate::id::LayerLabel;
use crate::topology::{Layer, Source, SourceRange};

/// A run of a network with 2 inputs and one layer of 2 units.
pub(crate) fn info() -> RunInfo {
    let layers = vec![Layer {
        layer_index: 0,
        layer: LayerLabel::try_new("L_output").unwrap(),
        module_path: "layers.0".to_owned(),
        kind: "linear".to_owned(),
        shape: vec![2, 2],
        fan_in: 2,
        num_units: 2,
        first_neuron: 0,
        activation: None,
        trainable: true,
        source: Some(vec![SourceRange::all(Source::Input, 2)]),
        tensors: Vec::new(),
        recorded_units: None,
    }];
    RunInfo {
        format: FORMAT_VERSION,
        run_id: Nonce::draw().unwrap(),
        created: "2026-01-01T00:00:00.000Z".to_owned(),
        created_by: "trace tests".to_owned(),
        seed: Some(42),
        device: "cpu".to_owned(),
        world_size: 1,
        model: serde_json::json!({"kind": "mlp"}),
        dataset: Some(DatasetInfo {
            kind: "digits".to_owned(),
            source: "built-in".to_owned(),
            crc32c: Crc32c(7),
            num_train: 3,
            num_held_out: 1,
            held_out: "last 1".to_owned(),
            details: None,
        }),
        evaluation_batch_size: Some(512),
        class_names: vec!["a".to_owned(), "b".to_owned()],
        layers: Topology::try_new(layers).unwrap(),
        config: serde_json::json!({"epochs": 1}),
    }
}

#[test]
fn what_was_created_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/run");
    let created = RunDir::create(&path, info()).unwrap();
    assert_eq!(RunDir::open(&path).unwrap().info(), created.info());
    let mut names: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [COMMITS_DIR, RUN_FILE]);
}

#[test]
fn nothing_that_exists_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("precious"), "x").unwrap();
    let error = RunDir::create(dir.path(), info()).unwrap_err();
    assert!(matches!(error, CreateRunError::NotEmpty { .. }), "{error}");

    let file = dir.path().join("precious");
    let error = RunDir::create(&file, info()).unwrap_err();
    assert!(matches!(error, CreateRunError::NotEmpty { .. }), "{error}");
    assert_eq!(fs::read_to_string(file).unwrap(), "x");
}

#[test]
fn what_is_no_run_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        RunDir::open(&dir.path().join("missing")),
        Err(OpenRunError::NotFound { .. })
    ));
    assert!(matches!(
        RunDir::open(dir.path()),
        Err(OpenRunError::NotARun { .. })
    ));
    fs::write(
        dir.path().join(RUN_FILE),
        r#"{"format":{"major":2,"minor":7},"novel":1}"#,
    )
    .unwrap();
    let error = RunDir::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("trace format 2.7"), "{error}");
    fs::write(dir.path().join(RUN_FILE), r#"{"format":"#).unwrap();
    assert!(matches!(
        RunDir::open(dir.path()),
        Err(OpenRunError::Malformed { .. })
    ));
}

#[test]
fn one_writer_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let lock = run.lock_writer(Rank(0)).unwrap();
    let again = run.lock_writer(Rank(0));
    assert!(matches!(again, Err(LockRunError::Held { .. })));
    drop(lock);
    run.lock_writer(Rank(0)).unwrap();
}

#[test]
fn one_writer_a_rank_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let info = RunInfo {
        world_size: 2,
        ..info()
    };
    let run = RunDir::create(&dir.path().join("run"), info).unwrap();
    let lock = run.lock_writer(Rank(1)).unwrap();
    let other = run.lock_writer(Rank(0)).unwrap();
    let again = run.lock_writer(Rank(1));
    assert!(matches!(again, Err(LockRunError::Held { .. })));
    drop(other);
    drop(lock);
    run.lock_writer(Rank(1)).unwrap();
    for rank in [Rank(2), Rank(-1)] {
        let error = run.lock_writer(rank).unwrap_err().to_string();
        assert!(error.contains("ranks 0 to 1"), "{error}");
    }
}

#[test]
fn a_run_that_does_not_say_is_recorded_by_one_process() {
    let mut json = serde_json::to_value(info()).unwrap();
    json.as_object_mut().unwrap().remove("world_size").unwrap();
    // Likewise one that does not say how it evaluated.
    let evaluation = json
        .as_object_mut()
        .unwrap()
        .remove("evaluation_batch_size");
    evaluation.unwrap();
    let info: RunInfo = serde_json::from_value(json).unwrap();
    assert_eq!((info.world_size, info.evaluation_batch_size), (1, None));
}

#[test]
fn what_engines_may_take_for_a_partition_is_found_in_the_path() {
    for (path, found) in [
        (
            "/data/exp/epoch=7/lr=0.1,seed=3/run",
            &["epoch=7", "lr=0.1,seed=3"][..],
        ),
        ("/data/layer=", &["layer="]),
        ("/data/=x/plain run", &[]),
        ("/a=b/../c", &["a=b"]),
    ] {
        assert_eq!(partition_like(Path::new(path)), found, "{path}");
    }
    // A relative path is below the current directory.
    let above = std::env::current_dir().unwrap();
    let above = partition_like(&above).len();
    assert_eq!(partition_like(Path::new("k=v/run")).len(), above + 1);
}

#[test]
fn floats_of_a_run_come_back_bit_for_bit() {
    let mut state = 1u64;
    let mut floats = vec![0.1, 1e-3, -0.0, f64::MIN_POSITIVE, f64::MAX, 0.1 + 0.2];
    while floats.len() < 2_000 {
        // Every other bit pattern is a float (Knuth's MMIX).
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        // Of the size that means and deviations have.
        floats.push((state >> 11) as f64 / (1u64 << 43) as f64 - 512.0);
        floats.extend(Some(f64::from_bits(state)).filter(|float| float.is_finite()));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let mut info = info();
    info.config = serde_json::json!(floats);
    let written = RunDir::create(&path, info).unwrap();
    let read = RunDir::open(&path).unwrap();
    assert_eq!(read.info(), written.info());
    let read = read.info().config.as_array().unwrap().iter();
    let read = read.map(|float| float.as_f64().unwrap().to_bits());
    assert!(read.eq(floats.iter().map(|float| float.to_bits())));

    // Those of 32 bits, of which the first is halfway between two once it is read as one of 64.
    for float in [
        7.038_531e-26f32,
        0.1,
        16_777_217.0,
        f32::MAX,
        f32::MIN_POSITIVE,
    ] {
        let text = serde_json::to_string(&float).unwrap();
        let read: f32 = serde_json::from_str(&text).unwrap();
        assert_eq!(read.to_bits(), float.to_bits(), "{text}");
        let value = serde_json::to_vec(&serde_json::json!(float)).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&value).unwrap();
        assert_eq!(value, serde_json::json!(float));
    }
}

/// Somebody copies `run.json` back while a recorder is at work: the lock is that of the file that it was.
#[test]
fn a_run_json_that_is_replaced_lets_no_second_recorder_in() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let lock = run.lock_writer(Rank(0)).unwrap();
    let copy = run.path().join("copy");
    fs::copy(run.path().join(RUN_FILE), &copy).unwrap();
    fs::rename(&copy, run.path().join(RUN_FILE)).unwrap();
    let refused = RunDir::open(run.path()).unwrap().lock_writer(Rank(0));
    assert!(
        matches!(refused, Err(LockRunError::Held { .. })),
        "{refused:?}"
    );
    drop(lock);
    run.lock_writer(Rank(0)).unwrap();
}
