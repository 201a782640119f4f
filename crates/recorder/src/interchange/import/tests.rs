use arrow::array::AsArray as _;
use arrow::datatypes::{Float32Type, Int32Type};
use safetensors::Dtype;
use tempfile::TempDir;

use super::*;
use crate::capture_files::{CaptureChoice, CaptureFiles};
use crate::interchange::testing::{Tensor, floats, tensor, write, write_index};

fn options(checkpoints: &[PathBuf], out: &Path) -> ImportOptions {
    ImportOptions {
        checkpoints: checkpoints.to_vec(),
        out: out.to_owned(),
        pattern: None,
        steps_per_epoch: None,
        lossy: false,
    }
}

fn run_import(options: &ImportOptions) -> Result<ImportSummary, ImportError> {
    import(options, &CancelToken::default(), &mut |_| {})
}

/// Two units with two weights and a bias each, all of them `value` and more.
fn network(value: f32) -> Vec<Tensor> {
    vec![
        floats(
            "fc.weight",
            &[2, 2],
            &[value, value + 1.0, value + 2.0, value + 3.0],
        ),
        floats("fc.bias", &[2], &[value + 4.0, f32::NAN]),
    ]
}

/// The captures that these names are.
fn ids(names: &[&str], pattern: Option<&str>, steps_per_epoch: u64) -> Vec<(String, i32, i64)> {
    try_ids(names, pattern, steps_per_epoch).unwrap()
}

fn try_ids(
    names: &[&str],
    pattern: Option<&str>,
    steps_per_epoch: u64,
) -> Result<Vec<(String, i32, i64)>, String> {
    let mut options = options(&[], Path::new("run"));
    options.pattern = pattern.map(|pattern| pattern.parse().unwrap());
    options.steps_per_epoch = NonZeroU64::new(steps_per_epoch);
    let files = names.iter().map(PathBuf::from).collect();
    let series = series(files, &options).map_err(|error| error.to_string())?;
    let id = |(path, id): (PathBuf, CaptureId)| {
        (path.to_string_lossy().into_owned(), id.epoch.0, id.step.0)
    };
    Ok(series.into_iter().map(id).collect())
}

fn named(expected: &[(&str, i32, i64)]) -> Vec<(String, i32, i64)> {
    let own = |&(name, epoch, step): &(&str, i32, i64)| (name.to_owned(), epoch, step);
    expected.iter().map(own).collect()
}

#[test]
fn an_epoch_tells_its_step() {
    let names = ["m-10.safetensors", "m-9.safetensors"];
    let expected = named(&[("m-9.safetensors", 9, 10), ("m-10.safetensors", 10, 11)]);
    assert_eq!(ids(&names, None, 0), expected);
    let expected = named(&[("m-9.safetensors", 9, 240), ("m-10.safetensors", 10, 264)]);
    assert_eq!(ids(&names, None, 24), expected);
}

#[test]
fn a_step_tells_its_epoch() {
    let names = ["m-96/a", "m-0/a", "m-24/a", "m-25/a"];
    let pattern = Some("m-{step}/a");
    let expected = [
        ("m-0/a", -1, 0),
        ("m-24/a", 0, 24),
        ("m-25/a", 1, 25),
        ("m-96/a", 3, 96),
    ];
    assert_eq!(ids(&names, pattern, 24), named(&expected));
    let expected = [
        ("m-0/a", -1, 0),
        ("m-24/a", 0, 24),
        ("m-25/a", 1, 25),
        ("m-96/a", 2, 96),
    ];
    assert_eq!(ids(&names, pattern, 0), named(&expected));
}

#[test]
fn an_epoch_may_have_several_steps() {
    let names = ["e1s9", "e0s5", "e1s10"];
    let expected = [("e0s5", 0, 5), ("e1s9", 1, 9), ("e1s10", 1, 10)];
    assert_eq!(ids(&names, Some("e{epoch}s{step}"), 0), named(&expected));
}

#[test]
fn names_that_do_not_tell_are_refused() {
    let refused = |names: &[&str], pattern| try_ids(names, pattern, 0).unwrap_err();
    for (names, pattern, message) in [
        (
            &["model.safetensors"][..],
            None,
            "model.safetensors does not say which epoch or step it is: say where, as --pattern \
             'model-{epoch}.safetensors' or 'checkpoint-{step}/model.safetensors'",
        ),
        (
            &["a-1", "b-2"],
            Some("a-{epoch}"),
            "b-2 does not say which epoch or step it is: it does not fit the pattern a-{epoch}",
        ),
        (
            &["a/m-1.safetensors", "b/m-01.safetensors"],
            None,
            "a/m-1.safetensors and b/m-01.safetensors are both epoch 1, step 2",
        ),
        (
            &["m-1.safetensors", "step-2.safetensors"],
            None,
            "m-1.safetensors tells an epoch, step-2.safetensors tells a step: say with --pattern \
             which number counts",
        ),
        (
            &["m-00001-of-00002.safetensors"],
            None,
            "m-00001-of-00002.safetensors is one of several shards: name the index that lies \
             beside them, *.safetensors.index.json",
        ),
        (
            &["m-3000000000.safetensors"],
            None,
            "m-3000000000.safetensors: a trace cannot number such an epoch or step",
        ),
    ] {
        assert_eq!(refused(names, pattern), message);
    }
}

#[test]
fn every_checkpoint_becomes_a_capture() {
    let dir = TempDir::new().unwrap();
    for epoch in [0u8, 1, 10] {
        let path = dir.path().join(format!("ckpt-{epoch}.safetensors"));
        write(&path, &network(f32::from(epoch)));
    }
    let out = dir.path().join("run");
    let glob = dir.path().join("ckpt-*.safetensors");
    let summary = run_import(&options(&[glob], &out)).unwrap();
    let ids: Vec<_> = summary
        .captures
        .iter()
        .map(|id| (id.epoch.0, id.step.0))
        .collect();
    assert_eq!(ids, [(0, 1), (1, 2), (10, 11)]);
    assert!(!summary.is_interrupted());

    let run = RunDir::open(&out).unwrap();
    assert!(sink::verify(&run, &|_| {}).unwrap().problems.is_empty());
    assert_eq!(run.info().config["import"]["checkpoints"][2]["epoch"], 10);
    let capture = CaptureFiles::find(&run, CaptureChoice::default()).unwrap();
    let rows = capture.read(Table::Weights, Some("fc")).unwrap();
    let floats = |name: &str| rows[name].as_primitive::<Float32Type>().values().to_vec();
    let lists = rows["weights"].as_list::<i32>();
    let weights = lists.values().as_primitive::<Float32Type>();
    assert_eq!(weights.values(), &[10.0, 11.0, 12.0, 13.0]);
    assert_eq!(floats("bias")[0], 14.0);
    assert!(floats("bias")[1].is_nan());
    assert_eq!(floats("weight_max"), [11.0, 13.0]);
    let nonfinite = rows["nonfinite"].as_primitive::<Int32Type>();
    assert_eq!(nonfinite.values(), &[0, 1]);
}

#[test]
fn shards_are_one_checkpoint() {
    let dir = TempDir::new().unwrap();
    let [weight, bias] = network(1.0).try_into().unwrap();
    let names = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    write(&dir.path().join("checkpoint-7").join(names[0]), &[bias]);
    write(&dir.path().join("checkpoint-7").join(names[1]), &[weight]);
    let index = dir.path().join("checkpoint-7/model.safetensors.index.json");
    write_index(&index, &[("fc.bias", names[0]), ("fc.weight", names[1])]);
    let out = dir.path().join("run");
    let mut options = options(std::slice::from_ref(&index), &out);
    options.pattern = Some("checkpoint-{step}/model.safetensors".parse().unwrap());
    let summary = run_import(&options).unwrap();
    assert_eq!(summary.captures.len(), 1);
    assert_eq!(summary.topology.layers().len(), 1);
    assert_eq!(summary.sink.num_rows, 2);

    let error = |options: &ImportOptions| run_import(options).unwrap_err().to_string();
    options.out = dir.path().join("another");
    write_index(
        &index,
        &[
            ("fc.bias", names[0]),
            ("fc.weight", names[1]),
            ("x", names[0]),
        ],
    );
    let message = error(&options);
    assert!(
        message.contains("x is in the index, and not in the shard"),
        "{message}"
    );
    write_index(&index, &[("fc.bias", names[0])]);
    std::fs::copy(
        index.with_file_name(names[1]),
        index.with_file_name(names[0]),
    )
    .unwrap();
    let message = error(&options);
    assert!(
        message.contains("fc.weight is in the shard, and not in the index"),
        "{message}"
    );
    write_index(&index, &[("fc.bias", "gone.safetensors")]);
    let message = error(&options);
    assert!(
        message.ends_with("names the shard gone.safetensors, which is not there"),
        "{message}"
    );
    write_index(&index, &[("fc.bias", "../model.safetensors")]);
    let message = error(&options);
    assert!(
        message.contains("\"../model.safetensors\" is no file's name"),
        "{message}"
    );
    std::fs::write(&index, "{}").unwrap();
    let message = error(&options);
    assert!(message.contains("missing field `weight_map`"), "{message}");
    assert!(!options.out.exists());
}

#[test]
fn checkpoints_of_another_network_are_refused_before_anything_is_created() {
    let dir = TempDir::new().unwrap();
    let first = write(&dir.path().join("m-0.safetensors"), &network(0.0));
    let second = dir.path().join("m-1.safetensors");
    let out = dir.path().join("run");
    let options = options(&[first, second.clone()], &out);
    let mut missing = network(1.0);
    missing.truncate(1);
    let mut extra = network(1.0);
    extra.push(floats("more", &[1], &[0.0]));
    let mut longer = network(1.0);
    longer[1] = floats("fc.bias", &[3], &[0.0; 3]);
    let mut halves = network(1.0);
    halves[1] = tensor("fc.bias", Dtype::F16, &[2], &[0; 4]);
    for (tensors, problem) in [
        (missing, "tensor fc.bias is missing"),
        (extra, "tensor more is not there"),
        (longer, "tensor fc.bias is F32 [3], and F32 [2] there"),
        (halves, "tensor fc.bias is F16 [2], and F32 [2] there"),
    ] {
        write(&second, &tensors);
        let message = run_import(&options).unwrap_err().to_string();
        assert!(
            message.contains("m-1.safetensors is of another network than"),
            "{message}"
        );
        assert!(message.ends_with(problem), "{message}");
        assert!(!out.exists());
    }
}

#[test]
fn damaged_files_are_refused_before_anything_is_created() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir.path().join("m-0.safetensors"), &network(0.0));
    let whole = std::fs::read(&path).unwrap();
    let out = dir.path().join("run");
    let options = options(std::slice::from_ref(&path), &out);
    let length = whole.len();
    let truncated = |found: usize, expected: usize| {
        format!("is cut off: it has {found} bytes, and should have {expected}")
    };
    let header_end = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for (bytes, problem) in [
        (&whole[..length - 1], truncated(length - 1, length)),
        (&whole[..20], truncated(20, header_end)),
        (&whole[..3], truncated(3, 8)),
        (
            &[&whole[..], b"more"].concat(),
            "4 bytes follow its last tensor".to_owned(),
        ),
        (b"not a tensor in sight", "its header would have".to_owned()),
        (
            &[&[2, 0, 0, 0, 0, 0, 0, 0][..], b"[]"].concat(),
            "its header cannot be read".to_owned(),
        ),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let message = run_import(&options).unwrap_err().to_string();
        assert!(message.contains("m-0.safetensors"), "{message}");
        assert!(message.contains(&problem), "{message}");
        assert!(!out.exists());
    }
    let gone = ImportOptions {
        checkpoints: vec![dir.path().join("gone-1.safetensors")],
        ..options.clone()
    };
    assert!(matches!(
        run_import(&gone),
        Err(ImportError::Checkpoint(CheckpointError::Io { .. }))
    ));
    let nothing = ImportOptions {
        checkpoints: vec![dir.path().join("*.pt")],
        ..options
    };
    assert!(matches!(
        run_import(&nothing),
        Err(ImportError::NothingMatches { .. })
    ));
}

#[test]
fn what_a_trace_cannot_hold_is_refused_unless_it_may_be_rounded() {
    let dir = TempDir::new().unwrap();
    let eighth = tensor("w", Dtype::F8_E4M3, &[1], &[0]);
    let path = write(&dir.path().join("m-0.safetensors"), &[eighth]);
    let out = dir.path().join("run");
    let mut options = options(std::slice::from_ref(&path), &out);
    let message = run_import(&options).unwrap_err().to_string();
    assert!(message.contains("tensor w is of type F8_E4M3"), "{message}");
    assert!(!out.exists());

    write(
        &path,
        &[tensor("w", Dtype::F64, &[1], &0.1f64.to_le_bytes())],
    );
    let message = run_import(&options).unwrap_err().to_string();
    assert!(
        message.contains("tensor w, of type F64: value 0.1 at position 0"),
        "{message}"
    );
    assert!(!out.exists());

    // What fits into a 32-bit float is taken, the rest is not.
    let counter = |value: i64| tensor("n", Dtype::I64, &[], &value.to_le_bytes());
    write(&path, &[counter(1 << 24)]);
    let second = write(
        &dir.path().join("m-1.safetensors"),
        &[counter((1 << 24) + 1)],
    );
    options.checkpoints.push(second);
    let error = run_import(&options).unwrap_err();
    let ImportError::Incomplete {
        num_committed,
        num_checkpoints,
        source,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((*num_committed, *num_checkpoints), (1, 2));
    let message = source.to_string();
    assert!(
        message.contains("m-1.safetensors: tensor n, of type I64: value 16777217"),
        "{message}"
    );
    assert!(message.ends_with("--lossy rounds it"), "{message}");

    // What is there tells that it is not whole.
    let message = run_import(&options).unwrap_err().to_string();
    assert!(
        message.contains("holds an import already, 1 of its 2 checkpoints are committed"),
        "{message}"
    );
    options.lossy = true;
    options.out = dir.path().join("lossy");
    assert_eq!(run_import(&options).unwrap().captures.len(), 2);
}

#[test]
fn a_cancelled_import_keeps_the_checkpoint_in_hand() {
    let dir = TempDir::new().unwrap();
    let files = [0, 1, 2].map(|epoch| {
        write(
            &dir.path().join(format!("m-{epoch}.safetensors")),
            &network(1.0),
        )
    });
    let cancel = CancelToken::default();
    let options = options(&files, &dir.path().join("run"));
    let summary = import(&options, &cancel, &mut |progress| {
        assert_eq!(progress.num_checkpoints, 3);
        if progress.num_done == 2 {
            cancel.cancel();
        }
    })
    .unwrap();
    assert!(summary.is_interrupted());
    assert_eq!((summary.captures.len(), summary.num_checkpoints), (2, 3));
}
