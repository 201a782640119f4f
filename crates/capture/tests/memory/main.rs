//! A layer that is split takes, beside its values, the rows of one part at a time.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use capture::{
    BoxError, CaptureChoice, CaptureFiles, Layout, Limits, NetworkLayers, Origin, Plan,
    ReadCaptureError, Recorded, Recording, Schedule, Source, TensorKind, UnitRows, UnreadPart,
    Values,
};
use peak_alloc::PeakAlloc;
use sink::{MaxPartBytes, SinkOptions};
use trace::{
    CaptureId, Epoch, FORMAT_VERSION, Layer, LayerLabel, Nonce, RunDir, RunInfo, Step, Topology,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const NUM_UNITS: usize = 2000;
const FAN_IN: usize = 3000;

/// What the values of the layer take: 24 MB.
const LAYER_BYTES: usize = NUM_UNITS * FAN_IN * size_of::<f32>();

/// What a part takes: a twentieth.
const PART_BYTES: usize = LAYER_BYTES / 20;

/// What threads, pages and commits may take beside them.
const BESIDE: usize = 3 << 20;

/// A layer's weights that are made when they are read, as they come from a device.
struct OnDevice(bool);

impl Source for OnDevice {
    fn parts(&self) -> Vec<UnreadPart> {
        Vec::new()
    }

    fn read(&mut self, _room: u64) -> Result<Vec<Values>, BoxError> {
        self.0 = true;
        // Burn's order: [in, units].
        let values =
            (0..FAN_IN).flat_map(|input| (0..NUM_UNITS).map(move |unit| value(unit, input)));
        let mut weight = Vec::with_capacity(NUM_UNITS * FAN_IN);
        weight.extend(values);
        Ok(vec![Values::Parameters {
            kind: TensorKind::Weights,
            layer: 0,
            weight,
            bias: None,
        }])
    }

    fn is_empty(&self) -> bool {
        self.0
    }
}

/// A weight, as no other is.
fn value(unit: usize, input: usize) -> f32 {
    (unit * FAN_IN + input) as f32 / 1e7
}

fn network() -> NetworkLayers {
    let layer = Layer {
        layer_index: 0,
        layer: LayerLabel::try_new("L_output").unwrap(),
        module_path: "output".to_owned(),
        kind: "linear".to_owned(),
        shape: vec![NUM_UNITS as u64, FAN_IN as u64],
        fan_in: FAN_IN as u32,
        num_units: NUM_UNITS as u32,
        first_neuron: 0,
        activation: None,
        trainable: true,
        source: None,
        tensors: Vec::new(),
        recorded_units: None,
    };
    let rows = UnitRows::new(Layout::Columns, vec![FAN_IN, NUM_UNITS]);
    NetworkLayers::new(Topology::try_new(vec![layer]).unwrap(), vec![rows])
}

/// Records the layer in parts of so many bytes; gives the run, and what that took at most.
fn recorded(dir: &Path, max_part_bytes: MaxPartBytes) -> (RunDir, usize) {
    let layers = Arc::new(network());
    let info = RunInfo {
        format: FORMAT_VERSION,
        run_id: Nonce::draw().unwrap(),
        created: "2026-01-01T00:00:00.000Z".to_owned(),
        created_by: "capture tests".to_owned(),
        seed: None,
        device: "cpu".to_owned(),
        world_size: 1,
        model: serde_json::Value::Null,
        dataset: None,
        evaluation_batch_size: None,
        class_names: Vec::new(),
        layers: layers.topology().clone(),
        config: serde_json::json!({}),
    };
    let run = RunDir::create(&dir.join(max_part_bytes.0.to_string()), info).unwrap();
    let plan = Plan {
        recorded: Recorded {
            activations: None,
            classifications: false,
            ..Recorded::DEFAULT
        },
        selected: vec![true],
        schedule: Schedule::default(),
        last_epoch: Some(Epoch(0)),
        origin: Origin::default(),
        limits: Limits::default(),
        owner_reports: true,
    };
    let options = SinkOptions {
        channel_bytes: 1 << 20,
        max_part_bytes,
        ..SinkOptions::default()
    };
    let id = CaptureId {
        epoch: Epoch(0),
        step: Step(1),
    };
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let mut recording = Recording::start(&run, layers, plan, options).unwrap();
    let network: Box<dyn Source> = Box::new(OnDevice(false));
    recording
        .hand_over(id, true, Some(network), Instant::now())
        .unwrap();
    recording.finish().unwrap();
    let peak = HEAP.peak_usage() - before;
    (run, peak)
}

/// The weights as they were recorded, and in how many files.
fn weights(run: &RunDir) -> (Vec<f32>, usize) {
    let capture = CaptureFiles::find(run, CaptureChoice::default()).unwrap();
    let mut weights = Vec::with_capacity(NUM_UNITS * FAN_IN);
    let layer = &run.info().layers.layers()[0];
    let are_there = capture.visit_weights(layer, "weights", |values| {
        weights.extend_from_slice(values);
        Ok::<(), ReadCaptureError>(())
    });
    assert!(are_there.unwrap());
    let catalog = trace::Catalog::load(run).unwrap();
    let of_weights = catalog.select("weights", |_, _| true);
    (weights, of_weights.len())
}

/// One test, since what others hold would count.
#[test]
fn a_layer_that_is_split_takes_the_rows_of_one_part_beside_its_values() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, of_whole) = recorded(dir.path(), MaxPartBytes::default());
    let (split, of_split) = recorded(dir.path(), MaxPartBytes(PART_BYTES as u64));
    // As values and as rows.
    assert!(of_whole > 2 * LAYER_BYTES, "{of_whole}");
    // A fifth of it would be the most that a recording may take beside the layer.
    let allowed = LAYER_BYTES + 2 * PART_BYTES + BESIDE;
    assert!(of_split <= allowed, "{of_split} of {allowed} bytes");
    assert!(LAYER_BYTES < of_split && of_split < of_whole * 7 / 10);

    let (expected, num_files) = weights(&whole);
    assert_eq!(num_files, 1);
    let last = (NUM_UNITS - 1, FAN_IN - 1);
    assert_eq!(expected[NUM_UNITS * FAN_IN - 1], value(last.0, last.1));
    let (found, num_files) = weights(&split);
    assert_eq!(num_files, 20);
    assert!(found == expected);
}
