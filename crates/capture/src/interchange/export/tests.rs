use std::num::NonZeroU64;
use std::path::PathBuf;

use sink::{Part, Sink, SinkOptions};
use tempfile::TempDir;
use trace::{CaptureId, Epoch, Generation, PartPath, Rank, RunInfo, Step};

use super::*;
use crate::cancel::CancelToken;
use crate::interchange::import::{ImportOptions, import};
use crate::interchange::testing::{Tensor, floats, read, tensor, write};
use crate::interchange::units::TransposeGlobs;
use crate::precision::Precision;
use crate::rows::{self, RowKey};

fn import_all(checkpoints: Vec<PathBuf>, out: &Path) -> RunDir {
    let options = ImportOptions {
        checkpoints,
        out: out.to_owned(),
        library: None,
        pattern: None,
        steps_per_epoch: NonZeroU64::new(10),
        lossy: false,
        transpose: TransposeGlobs::default(),
        strip_prefix: Vec::new(),
        compress: None,
        max_part_bytes: None,
        resume: false,
    };
    import(&options, &CancelToken::default(), &mut |_| {}).unwrap();
    RunDir::open(out).unwrap()
}

/// Every type and shape that there is, with values that conversions like to change.
fn everything(seed: u16) -> Vec<Tensor> {
    let shorts = |n: usize| -> Vec<u8> {
        let pattern = |i: usize| (i as u16).wrapping_mul(40_503).wrapping_add(seed);
        (0..n).flat_map(|i| pattern(i).to_le_bytes()).collect()
    };
    let bytes = || -> Vec<u8> { (0..=u8::MAX).collect() };
    let nan = f32::from_bits(0xff80_0001);
    vec![
        floats(
            "conv.weight",
            &[2, 1, 2, 2],
            &[1.0, -0.0, nan, 0.5, 1e-45, f32::MAX, 2.0, 3.0],
        ),
        floats("conv.bias", &[2], &[f32::INFINITY, f32::from(seed)]),
        tensor(
            "bn.num_batches_tracked",
            Dtype::I64,
            &[],
            &i64::from(seed).to_le_bytes(),
        ),
        tensor("bn.mask", Dtype::BOOL, &[2, 2], &[0, 1, 1, 0]),
        tensor("bn.weight", Dtype::F16, &[500], &shorts(500)),
        tensor("bn.bias", Dtype::BF16, &[500], &shorts(500)),
        tensor("table", Dtype::U8, &[3, 1, 2], &[0, 1, 2, 3, 254, 255]),
        tensor("wide", Dtype::F64, &[1], &0.5f64.to_le_bytes()),
        tensor("eighth.weight", Dtype::F8_E4M3, &[16, 16], &bytes()),
        tensor("eighth.scale", Dtype::F8_E8M0, &[16, 16], &bytes()),
        tensor("range.weight", Dtype::F8_E5M2, &[16, 16], &bytes()),
        // `[in, out]`, as GPT-2's Conv1D and Flax have it.
        floats("c_fc.weight", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        floats("c_fc.bias", &[3], &[7.0, 8.0, f32::from(seed)]),
        tensor("Conv_0.kernel", Dtype::BF16, &[3, 3, 2, 5], &shorts(90)),
        tensor("Conv_0.bias", Dtype::F16, &[5], &shorts(5)),
        floats("none", &[0, 3], &[]),
        floats("hollow.weight", &[3, 0], &[]),
        floats("hollow.bias", &[3], &[1.0, 2.0, 3.0]),
    ]
}

#[test]
fn export_after_import_is_bit_identical() {
    let dir = TempDir::new().unwrap();
    let checkpoints: Vec<PathBuf> = [0u16, 1]
        .map(|epoch| {
            let path = dir.path().join(format!("m-{epoch}.safetensors"));
            write(&path, &everything(epoch))
        })
        .into();
    let run = import_all(checkpoints.clone(), &dir.path().join("run"));
    for (epoch, checkpoint) in checkpoints.iter().enumerate() {
        let out = dir.path().join(format!("exported-{epoch}.safetensors"));
        let choice = CaptureChoice::epoch(Epoch(epoch as i32));
        let report = export(&run, choice, &out, false).unwrap();
        assert_eq!(report.num_tensors, 18);
        assert_eq!(report.num_bytes, out.metadata().unwrap().len());
        assert_eq!(read(&out), read(checkpoint));
    }
}

#[test]
fn a_capture_is_chosen_by_epoch_or_step_or_is_the_last() {
    let dir = TempDir::new().unwrap();
    let checkpoint = |name: &str, value: f32| {
        let path = dir.path().join(name);
        write(&path, &[floats("w", &[1], &[value])])
    };
    let names = ["e2s25", "e0s10", "e2s30", "e7s80"];
    let checkpoints = names.map(|name| checkpoint(name, name[3..].parse().unwrap()));
    let options = ImportOptions {
        checkpoints: checkpoints.into(),
        library: None,
        out: dir.path().join("run"),
        pattern: Some("e{epoch}s{step}".parse().unwrap()),
        steps_per_epoch: None,
        lossy: false,
        transpose: TransposeGlobs::default(),
        strip_prefix: Vec::new(),
        compress: None,
        max_part_bytes: None,
        resume: false,
    };
    import(&options, &CancelToken::default(), &mut |_| {}).unwrap();
    let run = RunDir::open(&options.out).unwrap();
    let out = dir.path().join("out.safetensors");
    let export = |epoch: Option<i32>, step: Option<i64>| {
        let choice = CaptureChoice {
            epoch: epoch.map(Epoch),
            step: step.map(Step),
        };
        export(&run, choice, &out, true)
    };
    for (epoch, step, value) in [
        (None, None, 80f32),
        (Some(2), None, 30.0),
        (Some(2), Some(25), 25.0),
        (None, Some(10), 10.0),
    ] {
        export(epoch, step).unwrap();
        assert_eq!(read(&out)[0].3, value.to_le_bytes());
    }
    let refused = |epoch, step| export(epoch, step).unwrap_err().to_string();
    assert_eq!(
        refused(Some(1), None),
        "epoch 1 was not recorded: there are epochs 0, 2, 7"
    );
    assert_eq!(
        refused(Some(2), Some(10)),
        "step 10 was not recorded in epoch 2: there are steps 25, 30"
    );
    assert_eq!(
        refused(None, Some(11)),
        "step 11 was not recorded: there are steps 10, 25, 30, 80"
    );
}

#[test]
fn a_file_that_exists_is_replaced_only_if_asked() {
    let dir = TempDir::new().unwrap();
    let checkpoint = dir.path().join("m-0.safetensors");
    write(&checkpoint, &[floats("w", &[1], &[1.0])]);
    let run = import_all(vec![checkpoint.clone()], &dir.path().join("run"));
    let out = dir.path().join("out.safetensors");
    std::fs::write(&out, "mine").unwrap();
    let error = export(&run, CaptureChoice::default(), &out, false).unwrap_err();
    assert!(
        error.to_string().ends_with("exists; --force replaces it"),
        "{error}"
    );
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
    export(&run, CaptureChoice::default(), &out, true).unwrap();
    assert_eq!(read(&out), read(&checkpoint));
    // Nothing else is left beside it.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
}

/// The weights of one unit or more of a layer, which are `value`.
fn weights_part(layer: &Layer, id: CaptureId, rank: Rank, value: f32) -> Part {
    let weights = vec![value; layer.num_units as usize];
    Part {
        rows: rows::weights(
            RowKey { id, rank },
            layer,
            weights,
            None,
            Some(Precision::F32),
        ),
        path: PartPath {
            table: Table::Weights,
            epoch: id.epoch,
            layer: Some(layer.layer.clone()),
            step: id.step,
            rank,
            generation: Generation(0),
            sequence: 0,
            nonce: None,
        },
    }
}

const ID: CaptureId = CaptureId {
    epoch: Epoch(4),
    step: Step(5),
};

/// A run with two layers of two units and nothing recorded, for so many ranks.
fn empty(dir: &Path, world_size: u32) -> RunDir {
    let checkpoint = dir.join("m-0.safetensors");
    let layers = ["a.weight", "b.weight"].map(|name| floats(name, &[2, 1], &[1.0, 2.0]));
    write(&checkpoint, &layers);
    let whole = import_all(vec![checkpoint], &dir.join("whole"));
    let info = RunInfo {
        run_id: trace::Nonce::draw().unwrap(),
        world_size,
        ..whole.info().clone()
    };
    RunDir::create(&dir.join("run"), info).unwrap()
}

/// A run with two layers of two units, of which a capture has the given layers and units.
fn partial(dir: &Path, recorded: &[(usize, u32)], keep_lists: bool) -> RunDir {
    let run = empty(dir, 1);
    let sink = Sink::start(&run, SinkOptions::default()).unwrap();
    let mut capture = sink.begin(Some(ID));
    for (index, num_units) in recorded {
        let mut layer = run.info().layers.layers()[*index].clone();
        layer.num_units = *num_units;
        let mut part = weights_part(&layer, ID, Rank(0), 1.0);
        if !keep_lists {
            let mut columns = part.rows.columns().to_vec();
            let column = part.rows.schema().index_of("weights").unwrap();
            columns[column] = arrow::array::new_null_array(columns[column].data_type(), 2);
            part.rows = arrow::array::RecordBatch::try_new(part.rows.schema(), columns).unwrap();
        }
        capture.send(part).unwrap();
    }
    capture.end().unwrap();
    sink.finish().unwrap();
    run
}

#[test]
fn what_was_recorded_in_part_is_not_exported() {
    for (recorded, keep_lists, message) in [
        (
            &[(0, 2)][..],
            true,
            "epoch 4 has weights of 1 of 2 layers (b is missing): a checkpoint needs all of them",
        ),
        (&[], true, "epoch 4 has no weights"),
        (
            &[(0, 2), (1, 1)],
            true,
            "layer b was recorded in part: 1 of its 2 units",
        ),
        (
            &[(0, 2), (1, 2)],
            false,
            "epoch 4 has no weights of layer a, only statistics of them",
        ),
    ] {
        let dir = TempDir::new().unwrap();
        let run = partial(dir.path(), recorded, keep_lists);
        let out = dir.path().join("out.safetensors");
        let error = export(&run, CaptureChoice::default(), &out, false).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(!out.exists());
        // Nor is anything left beside it: the checkpoint, the whole run and the partial one.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}

#[test]
fn layers_that_were_recorded_whole_are_exported_without_the_others() {
    let dir = TempDir::new().unwrap();
    let run = partial(dir.path(), &[(0, 2)], true);
    let out = dir.path().join("out.safetensors");
    let (report, others) = export_recorded(&run, CaptureChoice::default(), &out).unwrap();
    assert_eq!((report.num_tensors, others), (1, vec!["b".to_owned()]));
    assert_eq!(
        read(&out),
        [floats("a.weight", &[2, 1], &[1.0, 1.0])].to_vec()
    );
    let none = TempDir::new().unwrap();
    let run = partial(none.path(), &[], true);
    let error = export_recorded(&run, CaptureChoice::default(), &out).unwrap_err();
    assert_eq!(error.to_string(), "epoch 4 has no weights");
}

#[test]
fn a_tap_has_no_tensors_that_could_be_missing() {
    let dir = TempDir::new().unwrap();
    let mut run = partial(dir.path(), &[(0, 2)], true);
    let mut layers = run.info().layers.layers().to_vec();
    layers[1].kind = TAP.to_owned();
    let info = RunInfo {
        run_id: trace::Nonce::draw().unwrap(),
        layers: trace::Topology::try_new(layers).unwrap(),
        ..run.info().clone()
    };
    run = RunDir::create(&dir.path().join("tapped"), info).unwrap();
    let sink = Sink::start(&run, SinkOptions::default()).unwrap();
    let mut capture = sink.begin(Some(ID));
    let layer = &run.info().layers.layers()[0];
    capture.send(weights_part(layer, ID, Rank(0), 1.0)).unwrap();
    capture.end().unwrap();
    sink.finish().unwrap();
    let out = dir.path().join("out.safetensors");
    let report = export(&run, CaptureChoice::default(), &out, false).unwrap();
    assert_eq!(report.num_tensors, 1);
}

#[test]
fn of_several_ranks_the_first_is_exported() {
    let dir = TempDir::new().unwrap();
    let run = empty(dir.path(), 2);
    for (rank, value) in [(Rank(1), 1.5), (Rank(0), 0.5)] {
        let options = SinkOptions {
            rank,
            ..SinkOptions::default()
        };
        let sink = Sink::start(&run, options).unwrap();
        let mut capture = sink.begin(Some(ID));
        for layer in run.info().layers.layers() {
            capture.send(weights_part(layer, ID, rank, value)).unwrap();
        }
        capture.end().unwrap();
        sink.finish().unwrap();
    }
    let out = dir.path().join("out.safetensors");
    export(&run, CaptureChoice::default(), &out, false).unwrap();
    let halves = [0.5f32, 0.5].map(f32::to_le_bytes);
    for (_, _, _, bytes) in read(&out) {
        assert_eq!(bytes, halves.as_flattened());
    }
}
