use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float32Type;
use burn::backend::Autodiff;
use burn::module::AutodiffModule as _;
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamConfig, GradientsParams, Optimizer as _};
use burn::tensor::TensorData;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trace::{
    Catalog, Epoch, FORMAT_VERSION, Layer, Nonce, RunInfo, Source, SourceRange, Step, Table,
};

use super::*;
use crate::device::on_device;
use crate::device::testing::resolved_devices;
use crate::model::{Activation, Loss, Mlp, MlpConfig, MlpParameters, to_rows};
use crate::read_back::to_vec;

/// One layer.
fn topology(num_units: u32, fan_in: u32) -> Topology {
    let layer = Layer {
        layer_index: 0,
        layer: LayerLabel::try_new("L_output").unwrap(),
        module_path: "layers.0".to_owned(),
        kind: "linear".to_owned(),
        shape: vec![num_units.into(), fan_in.into()],
        fan_in,
        num_units,
        first_neuron: 0,
        activation: None,
        trainable: true,
        source: Some(vec![SourceRange::all(Source::Input, fan_in)]),
        tensors: Vec::new(),
    };
    Topology::try_new(vec![layer]).unwrap()
}

fn recorded(activations: Option<ActivationDetail>) -> Recorded {
    Recorded {
        weights: true,
        classifications: true,
        activations,
        metrics: true,
    }
}

#[test]
fn the_channel_has_room_for_4_captures_within_bounds() {
    let bytes = |num_units, fan_in, activations| {
        recorded(activations).default_channel_bytes(&topology(num_units, fan_in), 297)
    };
    // 4 captures of 1,024 units with 1,024 weights and 100 activations of 4 bytes.
    let raw = Some(ActivationDetail::Raw { samples: 100 });
    assert_eq!(bytes(1024, 1024, raw), 4 * 1024 * (1024 + 100) * 4);
    let statistics = Some(ActivationDetail::Statistics);
    assert_eq!(bytes(1024, 1024, statistics), 16 << 20);
    assert_eq!(bytes(10, 64, raw), 1 << 20);
    assert_eq!(bytes(1 << 20, 1024, None), 256 << 20);
}

#[test]
fn more_activations_than_a_list_array_can_hold_are_refused() {
    let topology = topology(1 << 24, 1);
    let check = |activations, num_held_out| recorded(activations).check(&topology, num_held_out);
    let raw = |samples| Some(ActivationDetail::Raw { samples });
    // 2^24 units and 2^7 samples are one value more than there are offsets.
    let error = check(raw(128), 297).unwrap_err();
    assert_eq!(error.num_samples, 128);
    assert_eq!(
        error.to_string(),
        "layer L_output has 16777216 units, and 128 samples of each would be kept: a trace can \
         hold 2147483647 values of a layer; keep fewer samples, or statistics alone"
    );
    assert_eq!(check(raw(512), 128).unwrap_err(), error);
    assert_eq!(check(raw(127), 297), Ok(()));
    assert_eq!(check(raw(512), 127), Ok(()));
    assert_eq!(check(Some(ActivationDetail::Statistics), 297), Ok(()));
    assert_eq!(check(None, 297), Ok(()));
}

/// A network, and optimizer steps whose results nobody reads: a device that works by itself is only
/// asked for them.
struct Steps<B: Backend> {
    /// None only while the optimizer has it.
    model: Option<Mlp<Autodiff<B>>>,
    optimizer: OptimizerAdaptor<Adam, Mlp<Autodiff<B>>, Autodiff<B>>,
    inputs: Tensor<B, 2>,
}

/// 5 inputs, layers of 7 and 3 units.
fn network() -> MlpConfig {
    MlpConfig {
        num_inputs: 5,
        hidden: vec![7],
        num_outputs: 3,
        activation: Activation::Sigmoid,
        loss: Loss::SoftmaxCrossEntropy,
    }
}

impl<B: Backend> Steps<B> {
    fn new(device: &B::Device) -> Self {
        let parameters = MlpParameters::initial(&network(), 1);
        let inputs: Vec<f32> = (0..20).map(|i| i as f32 / 10.0 - 1.0).collect();
        Self {
            model: Some(Mlp::from_parameters(&network(), &parameters, device).unwrap()),
            optimizer: AdamConfig::new().init(),
            inputs: Tensor::from_data(TensorData::new(inputs, [4, 5]), device),
        }
    }

    fn step(&mut self, num_steps: usize) {
        for _ in 0..num_steps {
            let model = self.model.take().unwrap();
            let outputs = model.forward(Tensor::from_inner(self.inputs.clone()));
            let loss = (outputs - 1.0).powi_scalar(2).mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            self.model = Some(self.optimizer.step(0.01, model, gradients));
        }
    }

    fn snapshot(&self, step: i64) -> Snapshot<B> {
        let model = self.model.as_ref().unwrap().valid();
        let activations = model.forward_traced(self.inputs.clone());
        Snapshot {
            id: CaptureId {
                epoch: Epoch(0),
                step: Step(step),
            },
            layers: model.layer_tensors(),
            evaluation: Evaluation {
                activations: activations.into_iter().map(|layer| vec![layer]).collect(),
                classifications: Classifications::default(),
            },
            metrics: Vec::new(),
        }
    }

    /// Reads weights and activations of every layer now, as rows of a unit each.
    fn read(&self) -> Vec<[Vec<f32>; 2]> {
        let Snapshot {
            layers, evaluation, ..
        } = self.snapshot(0);
        let layers = layers.into_iter().zip(evaluation.activations);
        let layers = layers.map(|(LayerTensors { weight, .. }, mut batches)| {
            let [fan_in, num_units] = weight.dims();
            let activations = to_vec(batches.remove(0)).unwrap();
            [
                to_rows(&to_vec(weight).unwrap(), fan_in, num_units),
                to_rows(&activations, 4, num_units),
            ]
        });
        layers.collect()
    }
}

/// More than a slow, busy machine takes to train for a moment.
const LIMIT: Duration = Duration::from_secs(60);

/// The capture thread is held up until the network was trained on and its new weights were read, so
/// that nothing that the training thread did can have waited for it, nor can what was captured have
/// been read before it was out of date.
fn captures_and_trains_on<B: Backend>(device: &B::Device, name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), run_info()).unwrap();
    let recorded = Recorded {
        weights: true,
        classifications: false,
        activations: Some(ActivationDetail::Raw { samples: 4 }),
        metrics: false,
    };
    let (go_on, held_up) = bounded::<()>(1);
    let mut recorder =
        TraceRecorder::<B>::start_after(&run, recorded, SinkOptions::default(), move || {
            held_up.recv_timeout(LIMIT).expect("training goes on")
        })
        .unwrap();

    let mut network = Steps::<B>::new(device);
    network.step(3);
    recorder.capture(network.snapshot(3)).unwrap();
    network.step(40);
    let later = network.read();
    assert_eq!(recorder.part_bytes(), 0);
    go_on.send(()).unwrap();
    assert_eq!(recorder.finish().unwrap().num_captures, 1);

    let mut again = Steps::<B>::new(device);
    again.step(3);
    let expected = again.read();
    let catalog = Catalog::load(&run).unwrap();
    for (index, layer) in run.info().layers.layers().iter().enumerate() {
        for (column, table) in [Table::Weights, Table::Activations].into_iter().enumerate() {
            let rows = rows_of(&run, &catalog, table, &layer.layer);
            let lists = rows[table.name()].as_list::<i32>().values();
            let values = &lists.as_primitive::<Float32Type>().values()[..];
            let of = format!("{table} of {} on {name}", layer.layer);
            assert_eq!(values, expected[index][column], "{of}");
            assert_ne!(values, later[index][column], "{of}");
        }
    }
}

fn rows_of(run: &RunDir, catalog: &Catalog, table: Table, layer: &LayerLabel) -> RecordBatch {
    let files = catalog.select(table.name(), |_, label| label == Some(layer.as_str()));
    let [file] = files[..] else {
        panic!("one file a layer, not {files:?}")
    };
    let file = std::fs::File::open(run.path().join(catalog.file(file).path)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    reader.build().unwrap().next().unwrap().unwrap()
}

fn run_info() -> RunInfo {
    RunInfo {
        format: FORMAT_VERSION,
        run_id: Nonce::draw().unwrap(),
        created: trace::now(),
        created_by: "a test".to_owned(),
        seed: None,
        device: "any".to_owned(),
        world_size: 1,
        model: serde_json::Value::Null,
        dataset: None,
        evaluation_batch_size: None,
        class_names: Vec::new(),
        layers: network().topology().unwrap(),
        config: serde_json::json!({}),
    }
}

#[test]
fn training_goes_on_before_a_capture_is_read_and_does_not_change_it() {
    for device in resolved_devices() {
        let name = device.to_string();
        on_device!(device, captures_and_trains_on(&name));
    }
}
