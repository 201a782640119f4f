use arrow::array::AsArray as _;
use arrow::datatypes::{Float32Type, Int32Type};
use safetensors::Dtype;
use tempfile::TempDir;

use super::series::series;
use super::*;
use crate::capture_files::{CaptureChoice, CaptureFiles};
use crate::interchange::checkpoint::CheckpointError;
use crate::interchange::testing::{
    Foreign, Tensor, TestLibrary, floats, tensor, write, write_index,
};

fn options(checkpoints: &[PathBuf], out: &Path) -> ImportOptions {
    ImportOptions {
        checkpoints: checkpoints.to_vec(),
        out: out.to_owned(),
        library: None,
        pattern: None,
        steps_per_epoch: None,
        lossy: false,
        transpose: TransposeGlobs::default(),
        strip_prefix: Vec::new(),
        compress: None,
        max_part_bytes: None,
        resume: false,
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
    let (series, _) = series(files, &options).map_err(|error| error.to_string())?;
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
             'model-{epoch}.safetensors' or 'checkpoint-{step}/model.safetensors', or leave it out",
        ),
        (
            &["a-1", "b-2"],
            Some("a-{epoch}"),
            "b-2 does not say which epoch or step it is: it does not fit the pattern a-{epoch}",
        ),
        (
            &["a/m-1.safetensors", "b/m-01.safetensors"],
            None,
            "a/m-1.safetensors and b/m-01.safetensors are both epoch 1, step 2: name one of them, or say \
             by --pattern what tells them apart",
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
    let mut whole = network(1.0);
    whole[1] = tensor("fc.bias", Dtype::I16, &[2], &[0; 4]);
    for (tensors, problem) in [
        (missing, "tensor fc.bias is missing"),
        (extra, "tensor more is not there"),
        (longer, "tensor fc.bias is F32 [3], and F32 [2] there"),
        (whole, "tensor fc.bias is I16 [2], and F32 [2] there"),
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
    let quarter = tensor("w", Dtype::F4, &[2], &[0]);
    let path = write(&dir.path().join("m-0.safetensors"), &[quarter]);
    let out = dir.path().join("run");
    let mut options = options(std::slice::from_ref(&path), &out);
    let message = run_import(&options).unwrap_err().to_string();
    assert!(message.contains("tensor w is of type F4"), "{message}");
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

    // What fits into a 32-bit float is taken; one that does not, in whichever checkpoint, is found
    // before anything is created.
    let counter = |value: i64| tensor("n", Dtype::I64, &[], &value.to_le_bytes());
    write(&path, &[counter(1 << 24)]);
    let second = write(
        &dir.path().join("m-1.safetensors"),
        &[counter((1 << 24) + 1)],
    );
    options.checkpoints.push(second);
    let message = run_import(&options).unwrap_err().to_string();
    assert!(
        message.contains("m-1.safetensors: tensor n, of type I64: value 16777217"),
        "{message}"
    );
    assert!(message.ends_with("--lossy rounds it"), "{message}");
    assert!(!out.exists());
    options.lossy = true;
    assert_eq!(run_import(&options).unwrap().captures.len(), 2);
}

#[test]
fn types_may_change_from_one_checkpoint_to_the_next_where_all_values_fit() {
    let dir = TempDir::new().unwrap();
    let brains: Vec<u8> = [0x3fc0u16, 0xff80]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let first = write(
        &dir.path().join("m-1.safetensors"),
        &[floats("w", &[2], &[1.1, 2.0])],
    );
    let second = write(
        &dir.path().join("m-2.safetensors"),
        &[tensor("w", Dtype::BF16, &[2], &brains)],
    );
    let out = dir.path().join("run");
    let options = options(&[second, first], &out);
    let plan = ImportPlan::try_new(&options, &CancelToken::default()).unwrap();
    let notes: Vec<String> = plan.notes().iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "1 tensor is of other types in some checkpoints than in others, as w is F32 and BF16: the \
          values are kept, an export has F32"
        ]
    );
    plan.run(&CancelToken::default(), &mut |_| {}).unwrap();
    let run = RunDir::open(&out).unwrap();
    assert_eq!(run.info().layers.layers()[0].tensors[0].dtype, "F32");
    for (epoch, expected) in [(1, [1.1, 2.0]), (2, [1.5, f32::NEG_INFINITY])] {
        let capture = CaptureFiles::find(&run, CaptureChoice::epoch(Epoch(epoch))).unwrap();
        let rows = capture.read(Table::Weights, Some("w")).unwrap();
        let lists = rows["weights"].as_list::<i32>();
        assert_eq!(
            lists.values().as_primitive::<Float32Type>().values(),
            &expected
        );
    }
}

#[test]
fn units_along_the_last_axis_are_rows_with_their_biases() {
    let dir = TempDir::new().unwrap();
    let path = write(
        &dir.path().join("m-1.safetensors"),
        &[
            floats("c_fc.weight", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            floats("c_fc.bias", &[3], &[7.0, 8.0, 9.0]),
        ],
    );
    let out = dir.path().join("run");
    let plan = ImportPlan::try_new(&options(&[path], &out), &CancelToken::default()).unwrap();
    let note = plan.notes()[0].to_string();
    assert!(note.starts_with("1 tensor is [in, out]"), "{note}");
    assert!(note.contains("(c_fc.weight [2, 3])"), "{note}");
    plan.run(&CancelToken::default(), &mut |_| {}).unwrap();
    let run = RunDir::open(&out).unwrap();
    let layer = &run.info().layers.layers()[0];
    assert_eq!(
        (layer.num_units, layer.fan_in, &layer.shape[..]),
        (3, 2, &[3, 2][..])
    );
    let capture = CaptureFiles::find(&run, CaptureChoice::default()).unwrap();
    let rows = capture.read(Table::Weights, Some("c_fc")).unwrap();
    let lists = rows["weights"].as_list::<i32>();
    let weights = lists.values().as_primitive::<Float32Type>();
    assert_eq!(weights.values(), &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let biases = rows["bias"].as_primitive::<Float32Type>();
    assert_eq!(biases.values(), &[7.0, 8.0, 9.0]);
}

#[test]
fn a_wrappers_prefix_is_told_and_taken_off() {
    let dir = TempDir::new().unwrap();
    let prefixed = |prefix: &str| -> Vec<Tensor> {
        let tensors = network(1.0).into_iter();
        tensors
            .map(|(name, d, s, b)| (format!("{prefix}{name}"), d, s, b))
            .collect()
    };
    let first = write(
        &dir.path().join("m-1.safetensors"),
        &prefixed("_orig_mod.module."),
    );
    let second = write(&dir.path().join("m-2.safetensors"), &network(2.0));
    let out = dir.path().join("run");
    let mut only = options(std::slice::from_ref(&first), &out);
    let plan = ImportPlan::try_new(&only, &CancelToken::default()).unwrap();
    let told = "all names begin with _orig_mod.module., which a wrapper puts there: --strip-prefix \
                _orig_mod.module. takes it off";
    assert!(
        plan.notes().iter().any(|note| note.to_string() == told),
        "{:?}",
        plan.notes()
    );
    only.strip_prefix = vec!["_orig_mod.".to_owned(), "module.".to_owned()];
    let plan = ImportPlan::try_new(&only, &CancelToken::default()).unwrap();
    assert_eq!(plan.topology().layers()[0].module_path, "fc");

    let mut both = options(&[first.clone(), second], &out);
    let message = run_import(&both).unwrap_err().to_string();
    assert!(
        message.contains("--strip-prefix _orig_mod.module. takes off"),
        "{message}"
    );
    assert!(message.ends_with("is missing"), "{message}");
    both.strip_prefix = vec!["_orig_mod.module.".to_owned()];
    let summary = run_import(&both).unwrap();
    assert_eq!(summary.captures.len(), 2);
    assert_eq!(summary.topology.layers()[0].tensors[0].name, "fc.weight");

    only.strip_prefix = vec!["orig_mod.".to_owned()];
    let message = run_import(&only).unwrap_err().to_string();
    assert!(message.contains("holds an import already"), "{message}");
    only.out = dir.path().join("another");
    let message = run_import(&only).unwrap_err().to_string();
    assert_eq!(
        message,
        "--strip-prefix \"orig_mod.\": no tensor has it, as _orig_mod.module.fc.bias has not"
    );
    // Two that would be called the same.
    write(&first, &[prefixed("module."), network(0.0)].concat());
    only.strip_prefix = vec!["module.".to_owned()];
    let message = run_import(&only).unwrap_err().to_string();
    assert!(
        message.contains("without the prefix \"module.\" tensor module.fc."),
        "{message}"
    );
    assert!(!only.out.exists());
}

#[test]
fn what_was_left_out_because_it_is_tied_is_told() {
    let dir = TempDir::new().unwrap();
    let tied = |value| floats("embed.weight", &[2, 2], &[value, 2.0, f32::NAN, 4.0]);
    let mut head = tied(1.0);
    head.0 = "lm_head.weight".to_owned();
    let first = write(&dir.path().join("m-1.safetensors"), &[tied(1.0), head]);
    let second = write(&dir.path().join("m-2.safetensors"), &[tied(5.0)]);
    let message = run_import(&options(&[first, second], &dir.path().join("run")))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("lm_head.weight is embed.weight there, value for value"),
        "{message}"
    );
}

#[test]
fn a_checkpoint_without_tensors_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir.path().join("m-1.safetensors"), &[]);
    let out = dir.path().join("run");
    let message = run_import(&options(&[path], &out)).unwrap_err().to_string();
    assert!(
        message.contains("m-1.safetensors has no tensors"),
        "{message}"
    );
    assert!(!out.exists());
}

#[test]
fn names_that_say_more_than_one_thing_are_refused_with_what_patterns_make_of_them() {
    let names = ["weights.01-0.83.safetensors", "weights.02-0.64.safetensors"];
    assert_eq!(
        try_ids(&names, None, 0).unwrap_err(),
        "weights.01-0.83.safetensors does not say surely which epoch or step it is, it has several \
         numbers, none of them beside the word epoch or step: say where by --pattern, give it another \
         name, or leave it out\n  --pattern 'weights.{epoch}-*.safetensors' makes of them: epoch 1, 2"
    );
    let expected = named(&[(names[0], 1, 2), (names[1], 2, 3)]);
    assert_eq!(
        ids(&names, Some("weights.{epoch}-*.safetensors"), 0),
        expected
    );
    let message =
        try_ids(&["c-1/model.safetensors", "c-2/model.safetensors"], None, 0).unwrap_err();
    assert!(
        message.ends_with("\n  --pattern 'c-{epoch}/model.safetensors' makes of them: epoch 1, 2"),
        "{message}"
    );
    // Shards are parts of checkpoints, whatever a pattern makes of them.
    let shard = ["ck-1/model-00001-of-00002.safetensors"];
    let message = try_ids(&shard, Some("ck-{step}/*"), 0).unwrap_err();
    assert!(message.contains("is one of several shards"), "{message}");
}

#[test]
fn what_exists_is_a_path_whatever_characters_it_has() {
    let dir = TempDir::new().unwrap();
    let odd = dir.path().join("sq[1]*");
    let also = dir.path().join("sq1x");
    for (directory, epochs) in [(&odd, [1, 2]), (&also, [7, 8])] {
        for epoch in epochs {
            let path = directory.join(format!("m-{epoch}.safetensors"));
            write(&path, &network(1.0));
        }
    }
    let captures = |named: PathBuf| -> Vec<i32> {
        let plan = ImportPlan::try_new(&options(&[named], Path::new("")), &CancelToken::default());
        let captures = plan.unwrap().captures().to_vec();
        captures.into_iter().map(|(_, id)| id.epoch.0).collect()
    };
    assert_eq!(captures(odd.join("m-1.safetensors")), [1]);
    assert_eq!(captures(odd.join("m-*.safetensors")), [1, 2]);
    assert_eq!(captures(dir.path().join("sq[1]x/m-[8]*")), [8]);
    std::fs::write(
        odd.join("m-[2]*"),
        std::fs::read(odd.join("m-2.safetensors")).unwrap(),
    )
    .unwrap();
    assert_eq!(captures(odd.join("m-[2]*")), [2]);
    let error = ImportPlan::try_new(&options(&[odd], Path::new("")), &CancelToken::default());
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("is a directory: name the checkpoints in it"),
        "{message}"
    );
    let named = [dir.path().join("m-[.safetensors")];
    let error = ImportPlan::try_new(&options(&named, Path::new("")), &CancelToken::default());
    assert!(error.unwrap_err().to_string().contains("it is no glob"));
}

#[test]
fn what_stands_out_of_a_series_is_found() {
    let odd_of = |names: &[&str], pattern| {
        let mut options = options(&[], Path::new("run"));
        options.pattern = Some(str::parse::<NamePattern>(pattern).unwrap());
        let files = names.iter().map(PathBuf::from).collect();
        let (series, _) = series(files, &options).unwrap();
        super::series::odd(&series)
    };
    let even = ["m-10", "m-9", "m-11"];
    assert_eq!(odd_of(&even, "m-{epoch}"), []);
    let gap = ["m-1", "m-2", "m-3", "m-7", "m-8", "m-9"];
    assert_eq!(odd_of(&gap, "m-{epoch}"), [(3, Odd::Gap)]);
    let name = ["m-1", "m-2", "m-3", "a/m-4", "m-5"];
    assert_eq!(odd_of(&name, "m-{epoch}"), [(3, Odd::Name)]);
}

#[test]
fn an_import_that_was_ended_goes_on_where_it_was_and_only_so() {
    let dir = TempDir::new().unwrap();
    let files = [0, 1, 2].map(|epoch| {
        let path = dir.path().join(format!("m-{epoch}.safetensors"));
        write(&path, &network(epoch as f32))
    });
    let out = dir.path().join("run");
    let mut options = options(&files, &out);
    let cancel = CancelToken::default();
    import(&options, &cancel, &mut |_| _ = cancel.cancel()).unwrap();
    let message = run_import(&options).unwrap_err().to_string();
    assert!(
        message.contains(
            "1 of its 3 checkpoints are committed: nothing is ever overwritten, go on with \
                          it by --resume, "
        ),
        "{message}"
    );

    options.resume = true;
    let refused = |options: &ImportOptions| run_import(options).unwrap_err().to_string();
    let mut other = options.clone();
    other.steps_per_epoch = NonZeroU64::new(5);
    let message = refused(&other);
    assert!(
        message.contains("was begun otherwise: steps_per_epoch is 5 now, and null there"),
        "{message}"
    );
    other = options.clone();
    other.checkpoints.pop();
    let message = refused(&other);
    assert!(
        message.contains("the number of checkpoints is 2 now, and 3 there"),
        "{message}"
    );
    assert_eq!(
        Catalog::load(&RunDir::open(&out).unwrap())
            .unwrap()
            .captures()
            .len(),
        1
    );

    // The checkpoints may lie elsewhere by now.
    let moved = dir.path().join("moved");
    std::fs::create_dir(&moved).unwrap();
    for file in &mut options.checkpoints {
        let to = moved.join(file.file_name().unwrap());
        std::fs::rename(&*file, &to).unwrap();
        *file = to;
    }
    let mut done = Vec::new();
    let summary = import(&options, &CancelToken::default(), &mut |progress| {
        done.push((progress.num_done, progress.capture.epoch.0));
    })
    .unwrap();
    assert_eq!(done, [(2, 1), (3, 2)]);
    assert_eq!(summary.captures.len(), 3);
    let run = RunDir::open(&out).unwrap();
    assert!(sink::verify(&run, &|_| {}).unwrap().problems.is_empty());
    for epoch in 0..3 {
        let capture = CaptureFiles::find(&run, CaptureChoice::epoch(Epoch(epoch))).unwrap();
        let rows = capture.read(Table::Weights, Some("fc")).unwrap();
        assert_eq!(
            rows["bias"].as_primitive::<Float32Type>().value(0),
            epoch as f32 + 4.0
        );
        assert_eq!(rows.num_rows(), 2);
    }
    let message = run_import(&options).unwrap_err().to_string();
    assert!(
        message.ends_with("is whole: all 3 checkpoints are committed"),
        "{message}"
    );
    // Where nothing was begun, it is begun.
    options.out = dir.path().join("another");
    assert_eq!(run_import(&options).unwrap().captures.len(), 3);
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

#[test]
fn a_series_may_have_files_that_a_library_reads() {
    let dir = TempDir::new().unwrap();
    let first = write(&dir.path().join("m-0.safetensors"), &network(1.0));
    let mut foreign = Foreign::new(&network(2.0));
    foreign.notes = vec!["all is taken".to_owned()];
    let second = foreign.write(&dir.path().join("m-1.pt"));
    let out = dir.path().join("run");
    let mut options = options(&[second, first], &out);
    options.library = Some(Arc::new(TestLibrary::default()));
    let plan = ImportPlan::try_new(&options, &CancelToken::default()).unwrap();
    assert_eq!(plan.notes()[0].to_string(), "of 1 checkpoint all is taken");
    let cancel = CancelToken::default();
    let summary = plan.run(&cancel, &mut |_| _ = cancel.cancel()).unwrap();
    assert!(summary.is_interrupted());

    options.resume = true;
    options.library = Some(Arc::new(TestLibrary {
        key: Some("ema".to_owned()),
    }));
    let message = run_import(&options).unwrap_err().to_string();
    assert!(
        message.contains("key is \"ema\" now, and null there"),
        "{message}"
    );
    options.library = Some(Arc::new(TestLibrary::default()));
    assert_eq!(run_import(&options).unwrap().captures.len(), 2);
    let run = RunDir::open(&out).unwrap();
    for (epoch, value) in [(0, 1.0), (1, 2.0)] {
        let capture = CaptureFiles::find(&run, CaptureChoice::epoch(Epoch(epoch))).unwrap();
        let rows = capture.read(Table::Weights, Some("fc")).unwrap();
        let bias = rows["bias"].as_primitive::<Float32Type>();
        assert_eq!(
            (bias.value(0), bias.value(1).to_bits()),
            (value + 4.0, f32::NAN.to_bits())
        );
        let weights = rows["weights"].as_list::<i32>();
        let weights = weights.values().as_primitive::<Float32Type>();
        assert_eq!(
            weights.values()[..],
            [0.0, 1.0, 2.0, 3.0].map(|more| value + more)
        );
    }
}

#[test]
fn a_checkpoint_that_became_another_network_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir.path().join("m-0.safetensors"), &network(1.0));
    let options = options(std::slice::from_ref(&path), &dir.path().join("run"));
    let plan = ImportPlan::try_new(&options, &CancelToken::default()).unwrap();
    write(&path, &[floats("other", &[1], &[1.0])]);
    let error = plan.run(&CancelToken::default(), &mut |_| {}).unwrap_err();
    let ImportError::Incomplete { source, .. } = error else {
        panic!("{error}");
    };
    assert!(
        source
            .to_string()
            .contains("was changed while it was imported")
    );
}

/// Floats of which the lower half is zero, as those of bfloat16 are, and floats that have all their digits, of which
/// signs and exponents alone become smaller: by less than a fifth of the bytes.
fn halves_and_wholes(seed: u32) -> Vec<Tensor> {
    // Digits as if drawn, by the number alone.
    let mixed = |bits: u32| {
        let bits = (bits ^ bits >> 16).wrapping_mul(0x85eb_ca6b);
        let bits = (bits ^ bits >> 13).wrapping_mul(0xc2b2_ae35);
        bits ^ bits >> 16
    };
    let whole = |n: u32| {
        let bits = mixed(n.wrapping_mul(2_654_435_769).wrapping_add(seed));
        // One of two signs and of four exponents.
        let drawn = mixed(!bits) >> 29;
        f32::from_bits((drawn >> 2) << 31 | (0x7c + (drawn & 3)) << 23 | bits >> 9)
    };
    let wholes: Vec<f32> = (0..4096).map(whole).collect();
    let halves: Vec<f32> = wholes
        .iter()
        .map(|value| f32::from_bits(value.to_bits() & 0xffff_0000))
        .collect();
    vec![
        floats("halves.weight", &[64, 64], &halves),
        floats("wholes.weight", &[64, 64], &wholes),
    ]
}

/// Which layers of an epoch were compressed, by their files' bytes.
fn compressed(run: &RunDir, epoch: i32) -> Vec<String> {
    let catalog = Catalog::load(run).unwrap();
    let of_epoch = |file: &trace::CommittedFile<'_>| file.epoch == epoch;
    let files = catalog.files().filter(of_epoch);
    // A file has about 4 KB beside its values, and of those at least 3 KB less where they are compressed.
    let is_smaller = |bytes: u64| bytes < 64 * 64 * 4 + 2_600;
    let compressed = files.filter(|file| is_smaller(file.bytes));
    let mut layers: Vec<String> = compressed
        .map(|file| file.layer.unwrap().to_owned())
        .collect();
    layers.sort();
    layers
}

#[test]
fn an_import_compresses_what_it_is_told_and_goes_on_so() {
    let dir = TempDir::new().unwrap();
    let files = [0, 1, 2].map(|epoch| {
        let path = dir.path().join(format!("m-{epoch}.safetensors"));
        write(&path, &halves_and_wholes(epoch))
    });
    let sessions = |run: &RunDir| -> Vec<serde_json::Value> {
        let catalog = Catalog::load(run).unwrap();
        let sessions = catalog.sessions().iter();
        sessions
            .map(|session| session.config["compress"].clone())
            .collect()
    };
    for (first, of_first, then, of_then) in [
        (None, &["halves"][..], None, &["halves"][..]),
        (
            Some(Compress::Size),
            &["halves", "wholes"],
            None,
            &["halves", "wholes"],
        ),
        (Some(Compress::None), &[], None, &[]),
        (Some(Compress::None), &[], Some(Compress::Auto), &["halves"]),
    ] {
        let out = dir.path().join(format!("{first:?}-{then:?}"));
        let mut options = options(&files, &out);
        options.compress = first;
        let cancel = CancelToken::default();
        import(&options, &cancel, &mut |_| _ = cancel.cancel()).unwrap();
        let run = RunDir::open(&out).unwrap();
        assert_eq!(compressed(&run, 0), of_first, "{first:?}");
        // Twice, so that what the session before has taken over is taken over as well.
        for epoch in [1, 2] {
            (options.compress, options.resume) = (then.filter(|_| epoch == 1), true);
            let cancel = CancelToken::default();
            import(&options, &cancel, &mut |_| _ = cancel.cancel()).unwrap();
            assert_eq!(compressed(&run, epoch), of_then, "{first:?}, {then:?}");
        }
        let [first, then] = [first, then.or(first)].map(Option::unwrap_or_default);
        let said = [first, then, then].map(|compress| compress.to_string());
        assert_eq!(sessions(&run), said);
        assert_eq!(run.info().config["compress"], first.to_string());
    }
}
