use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Float32Type, Float64Type, Int32Type};
use burn::backend::{Autodiff, Flex};
use burn::module::{AutodiffModule as _, Module};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamConfig, GradientsParams, Optimizer as _};
use burn::tensor::{Tensor, TensorData};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trace::{FORMAT_VERSION, Nonce, RunInfo, Table};

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Instant;

use capture::{
    ActivationDetail, Limits, Loss, OnError, Origin, Recorded, Schedule, Source as _, Targets,
    TensorKind, Values, WeightDetail, WhenFull, transpose,
};
use crossbeam_channel::bounded;

use super::unread::{Handles, Unread};
use super::*;
use crate::device::on_device;
use crate::device::testing::resolved_devices;
use crate::model::{Activation, Network, NetworkConfig, NetworkParameters};
use crate::read_back::to_vec;
use crate::testing::{flat, read_part, read_parts};

mod device;
mod exported;

fn recorded(activations: Option<ActivationDetail>) -> Recorded {
    Recorded {
        activations,
        ..Recorded::DEFAULT
    }
}

/// A network, and optimizer steps whose results nobody reads: a device that works by itself is only
/// asked for them.
struct Steps<B: Backend> {
    /// None only while the optimizer has it.
    model: Option<Network<Autodiff<B>>>,
    optimizer: OptimizerAdaptor<Adam, Network<Autodiff<B>>, Autodiff<B>>,
    inputs: Tensor<B, 2>,
}

/// 5 inputs, layers of 7 and 3 units.
fn network() -> NetworkConfig {
    NetworkConfig {
        num_inputs: 5,
        hidden: vec![7],
        num_outputs: 3,
        activation: Activation::Sigmoid,
        loss: Loss::SoftmaxCrossEntropy,
        convolutions: None,
    }
}

/// What every layer makes of the inputs.
fn outputs<B: Backend>(model: &Network<B>, inputs: &Tensor<B, 2>) -> Vec<Tensor<B, 2>> {
    let (outputs, _) = model.forward_traced(inputs.clone());
    outputs.iter().map(flat).collect()
}

impl<B: Backend> Steps<B> {
    fn new(device: &B::Device) -> Self {
        let parameters = NetworkParameters::initial(&network(), 1);
        let inputs: Vec<f32> = (0..20).map(|i| i as f32 / 10.0 - 1.0).collect();
        Self {
            model: Some(Network::from_parameters(&network(), &parameters, device).unwrap()),
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

    /// Hands over the network as it is now, and its activations.
    fn capture(&self, recorder: &mut TraceRecorder<B>, step: i64) {
        let model = self.model.as_ref().unwrap();
        let activations = outputs(&model.valid(), &self.inputs);
        for (label, activations) in ["L_input", "L_output"].iter().zip(activations) {
            recorder.activations(label, activations).unwrap();
        }
        recorder.capture(model, 0, step).unwrap();
    }

    /// Reads weights and activations of every layer now, as rows of a unit each.
    fn read(&self) -> Vec<[Vec<f32>; 2]> {
        let model = self.model.as_ref().unwrap().valid();
        let parameters = model.read_parameters().unwrap();
        let layers = parameters
            .layers
            .into_iter()
            .zip(outputs(&model, &self.inputs));
        let layers = layers.map(|(layer, activations)| {
            let [num_samples, num_units] = activations.dims();
            let activations = to_vec(activations).unwrap();
            [
                layer.weights,
                transpose(&activations, num_samples, num_units),
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
        weights: Some(WeightDetail::Raw),
        classifications: false,
        activations: Some(ActivationDetail::Raw { samples: 4 }),
        metrics: false,
        ..Recorded::DEFAULT
    };
    let mut network = Steps::<B>::new(device);
    let layers = ModuleLayers::of(network.model.as_ref().unwrap(), true, &HashMap::new())
        .and_then(|layers| layers.with_topology(run.info().layers.clone()))
        .unwrap();
    let plan = Plan {
        recorded,
        selected: vec![true; 2],
        schedule: Schedule::default(),
        last_epoch: None,
        origin: Origin::default(),
        limits: Limits::default(),
        owner_reports: false,
    };
    let (go_on, held_up) = bounded::<()>(1);
    let mut recorder =
        TraceRecorder::<B>::start_after(&run, layers, plan, SinkOptions::default(), move || {
            held_up.recv_timeout(LIMIT).expect("training goes on")
        })
        .unwrap();

    network.step(3);
    network.capture(&mut recorder, 3);
    network.step(40);
    let later = network.read();
    assert_eq!(recorder.part_bytes(), 0);
    go_on.send(()).unwrap();
    assert_eq!(recorder.finish().unwrap().num_captures, 1);

    let mut again = Steps::<B>::new(device);
    again.step(3);
    let expected = again.read();
    for (index, layer) in run.info().layers.layers().iter().enumerate() {
        for (column, table) in [Table::Weights, Table::Activations].into_iter().enumerate() {
            let rows = read_part(run.path(), table, 0, Some(layer.layer.as_str())).unwrap();
            let lists = rows[table.name()].as_list::<i32>().values();
            let values = &lists.as_primitive::<Float32Type>().values()[..];
            let of = format!("{table} of {} on {name}", layer.layer);
            assert_eq!(values, expected[index][column], "{of}");
            assert_ne!(values, later[index][column], "{of}");
        }
    }
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

impl<B: Backend> TraceRecorder<B> {
    /// Starts as [`TraceRecorder::start`] does; the capture thread calls `first` before anything
    /// else.
    fn start_after(
        run: &RunDir,
        layers: ModuleLayers,
        plan: Plan,
        sink_options: SinkOptions,
        first: impl FnOnce() + Send + 'static,
    ) -> Result<Self, RecordError> {
        let network = Arc::clone(layers.network());
        let recording = Recording::start_after(run, network, plan, sink_options, first)?;
        Ok(Self::of(recording, layers))
    }
}

/// A recorder of [`network`] whose capture thread calls `first` before anything else.
fn start_after<B: Backend>(
    run: &RunDir,
    network: &Steps<B>,
    limits: Limits,
    last_epoch: Option<i32>,
    first: impl FnOnce() + Send + 'static,
) -> TraceRecorder<B> {
    let layers = ModuleLayers::of(network.model.as_ref().unwrap(), true, &HashMap::new())
        .and_then(|layers| layers.with_topology(run.info().layers.clone()))
        .unwrap();
    let plan = Plan {
        recorded: recorded(None),
        selected: vec![true; 2],
        schedule: Schedule::default(),
        last_epoch: last_epoch.map(Epoch),
        origin: Origin::default(),
        limits,
        owner_reports: false,
    };
    TraceRecorder::start_after(run, layers, plan, SinkOptions::default(), first).unwrap()
}

/// The sum of a metric in an epoch's files.
fn metric(run: &Path, epoch: i32, name: &str) -> Option<f64> {
    let files = RunDir::open(run).unwrap();
    let catalog = trace::Catalog::load(&files).unwrap();
    let files = catalog.select(Table::Metrics.name(), |of, _| of == epoch);
    let values = files.iter().flat_map(|file| {
        let file = std::fs::File::open(run.join(catalog.file(*file).path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let rows = reader.build().unwrap().next().unwrap().unwrap();
        let names = rows["name"].as_string::<i32>().iter();
        let values = rows["value"].as_primitive::<Float64Type>().iter();
        let found = names.zip(values).filter(|(found, _)| *found == Some(name));
        found.map(|(_, value)| value.unwrap()).collect::<Vec<_>>()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[test]
fn without_room_the_newest_capture_is_dropped_and_its_metrics_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), run_info()).unwrap();
    let network = Steps::<Flex>::new(&Default::default());
    let limits = Limits {
        when_full: WhenFull::Drop,
        ..Limits::default()
    };
    let (go_on, held_up) = bounded::<()>(1);
    let mut recorder = start_after(&run, &network, limits, Some(4), move || {
        held_up.recv_timeout(LIMIT).expect("training goes on")
    });
    let mut captured = Vec::new();
    for epoch in 0..5 {
        recorder.eval_metric("loss", f64::from(epoch) + 0.5);
        if epoch == 4 {
            // The last epoch's is waited for.
            go_on.send(()).unwrap();
        }
        let model = network.model.as_ref().unwrap();
        captured.push(recorder.capture(model, epoch, epoch.into()).unwrap());
    }
    assert_eq!(captured, [true, false, false, false, true]);
    let summary = recorder.finish().unwrap();
    assert_eq!((summary.num_captures, summary.dropped_captures), (2, 3));
    assert_eq!(summary.lost_captures, 0);
    let catalog = trace::Catalog::load(&run).unwrap();
    let epochs: Vec<i32> = catalog.captures().iter().map(|c| c.id.epoch.0).collect();
    assert_eq!(epochs, [0, 4]);
    for epoch in 0..5 {
        let loss = metric(run.path(), epoch, "loss");
        assert_eq!(loss, Some(f64::from(epoch) + 0.5), "epoch {epoch}");
    }
    let dropped = (0..5).filter_map(|epoch| metric(run.path(), epoch, "recorder.dropped_captures"));
    assert_eq!(dropped.sum::<f64>(), 3.0);
}

#[test]
fn captures_that_cost_too_much_are_thinned_out_and_the_last_is_taken() {
    const NUM_EPOCHS: i32 = 60;
    let session = |limits| {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(&dir.path().join("run"), run_info()).unwrap();
        let network = Steps::<Flex>::new(&Default::default());
        // The second capture waits for the first: that takes 15 s of training to pay for at 2%.
        let slow = || std::thread::sleep(Duration::from_millis(300));
        let mut recorder = start_after(&run, &network, limits, Some(NUM_EPOCHS - 1), slow);
        for epoch in 0..NUM_EPOCHS {
            std::thread::sleep(Duration::from_millis(1));
            recorder.metric("learning_rate", 0.5);
            let was_due = recorder.is_due(epoch);
            let model = network.model.as_ref().unwrap();
            let is_captured = recorder.capture(model, epoch, epoch.into()).unwrap();
            // Whoever asked was told what then happened.
            assert_eq!(was_due, is_captured, "epoch {epoch}");
        }
        let summary = recorder.finish().unwrap();
        let path = run.path();
        let sum =
            |name: &'static str| (0..NUM_EPOCHS).filter_map(move |epoch| metric(path, epoch, name));
        assert_eq!(sum("learning_rate").count(), NUM_EPOCHS as usize);
        let thinned = sum("recorder.thinned_captures").sum::<f64>();
        assert_eq!(thinned, summary.thinned_captures as f64);
        let catalog = trace::Catalog::load(&run).unwrap();
        let last = catalog.captures().iter().map(|c| c.id.epoch.0).max();
        assert_eq!(last, Some(NUM_EPOCHS - 1));
        let all = summary.num_captures + summary.thinned_captures;
        assert_eq!(all, NUM_EPOCHS as u64);
        summary.thinned_captures
    };
    assert_eq!(session(Limits::default()), 0);
    let thin = session(Limits {
        when_full: WhenFull::Thin,
        ..Limits::default()
    });
    assert!(thin > 0, "{thin}");
    let max_overhead = Some("0.01%".parse().unwrap());
    let little = session(Limits {
        max_overhead,
        ..Limits::default()
    });
    assert!(little > NUM_EPOCHS as u64 / 2, "{little}");
}

#[test]
fn steps_are_captured_inside_of_their_epochs() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut network = Steps::<Flex>::new(&Default::default());
    let builder = TraceRecorder::builder(&run).schedule("2steps".parse().unwrap());
    let model = network.model.as_ref().unwrap();
    let mut recorder = builder.num_epochs(3).start(model).unwrap();
    let mut captured = Vec::new();
    for epoch in 0..3 {
        for step in [1, 2, 3].map(|step| 3 * i64::from(epoch) + step) {
            network.step(1);
            let model = network.model.as_ref().unwrap();
            assert_eq!(recorder.is_step_due(step), step % 2 == 0);
            if recorder.capture_step(model, epoch, step).unwrap() {
                captured.push((epoch, step));
            }
        }
        let (model, step) = (network.model.as_ref().unwrap(), 3 * i64::from(epoch) + 3);
        recorder.metric("learning_rate", 0.5);
        if recorder.capture(model, epoch, step).unwrap() {
            captured.push((epoch, step));
        }
        let error = recorder.capture_step(model, epoch, step - 1);
        assert!(step % 2 == 0 || matches!(error, Err(RecordError::Order { .. })));
    }
    // Step 6 is the last of its epoch, 9 that of training.
    let expected = [(0, 2), (1, 4), (1, 6), (2, 8), (2, 9)];
    assert_eq!(captured, expected);
    assert_eq!(recorder.finish().unwrap().num_captures, 5);
    let committed = trace::Catalog::load(&RunDir::open(&run).unwrap()).unwrap();
    let committed = committed.captures().iter();
    let committed: Vec<_> = committed.map(|c| (c.id.epoch.0, c.id.step.0)).collect();
    assert_eq!(committed, expected);
    for epoch in 0..3 {
        assert_eq!(metric(&run, epoch, "learning_rate"), Some(0.5));
    }
}

#[test]
fn metrics_that_wait_when_training_ends_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), run_info()).unwrap();
    let network = Steps::<Flex>::new(&Default::default());
    let limits = Limits {
        when_full: WhenFull::Drop,
        ..Limits::default()
    };
    let (go_on, held_up) = bounded::<()>(1);
    let mut recorder = start_after(&run, &network, limits, None, move || {
        held_up.recv_timeout(LIMIT).expect("training goes on")
    });
    for epoch in 0..3 {
        recorder.metric("learning_rate", 0.5);
        let model = network.model.as_ref().unwrap();
        recorder.capture(model, epoch, epoch.into()).unwrap();
    }
    go_on.send(()).unwrap();
    assert_eq!(recorder.finish().unwrap().num_captures, 1);
    for epoch in 0..3 {
        assert_eq!(metric(run.path(), epoch, "learning_rate"), Some(0.5));
    }
}

#[test]
fn training_goes_on_without_a_recorder_that_failed_where_that_was_asked_for() {
    let session = |on_error| {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(&dir.path().join("run"), run_info()).unwrap();
        let network = Steps::<Flex>::new(&Default::default());
        let limits = Limits {
            on_error,
            ..Limits::default()
        };
        let mut recorder = start_after(&run, &network, limits, None, || {
            panic!("as a bug in the capture thread would")
        });
        let model = network.model.as_ref().unwrap();
        let mut captures = (0..4).map(|epoch| recorder.capture(model, epoch, epoch.into()));
        let failed = captures.find_map(Result::err);
        if failed.is_none() {
            assert!(!recorder.is_due(9));
        }
        let lost = |run: &RunDir| metric(run.path(), 3, "recorder.lost_captures");
        (failed, recorder.finish(), lost(&run))
    };
    let (failed, finished, _) = session(OnError::Stop);
    assert!(matches!(failed, Some(RecordError::Panicked)), "{failed:?}");
    assert!(
        matches!(finished, Err(RecordError::Stopped)),
        "{finished:?}"
    );

    let (failed, finished, lost) = session(OnError::Continue);
    assert!(failed.is_none(), "{failed:?}");
    let summary = finished.unwrap();
    assert_eq!((summary.num_captures, summary.lost_captures), (0, 4));
    let failure = summary.failure.unwrap();
    assert!(matches!(*failure, RecordError::Panicked), "{failure}");
    // What failed works again, so that a row says it.
    assert_eq!(lost, Some(4.0));
}

/// A training loop that exists already.
mod training_loop {
    use std::sync::Mutex;

    use burn::module::Param;
    use burn::nn::conv::{Conv2d, Conv2dConfig};
    use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
    use burn::tensor::activation::relu;

    use super::*;

    type Trained = Autodiff<Flex>;

    #[derive(Module, Debug)]
    struct Cnn<B: Backend> {
        conv: Conv2d<B>,
        norm: BatchNorm<B>,
        head: Linear<B>,
    }

    impl<B: Backend> Cnn<B> {
        fn new() -> Self {
            let device = Default::default();
            Self {
                conv: Conv2dConfig::new([1, 3], [3, 3]).init(&device),
                norm: BatchNormConfig::new(3).init(&device),
                head: LinearConfig::new(3, 2).init(&device),
            }
        }

        /// The same values each time: the backend's generator is the whole process's, and other
        /// tests draw from it.
        fn with_fixed_values() -> Self {
            Self::new().map(&mut FixedValues(0))
        }

        /// The convolution's activations, and the logits.
        fn forward(&self, images: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 2>) {
            let x = relu(self.norm.forward(self.conv.forward(images)));
            let pooled = x.clone().mean_dim(3).mean_dim(2).reshape([0, 3]);
            (x, self.head.forward(pooled))
        }
    }

    struct FixedValues(usize);

    impl<B: Backend> burn::module::ModuleMapper<B> for FixedValues {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
            param.map(|tensor| {
                let shape = tensor.shape();
                let values = (0..shape.num_elements()).map(|_| {
                    self.0 += 1;
                    ((self.0 * 37) % 101) as f32 / 101.0 - 0.4
                });
                let data = burn::tensor::TensorData::new(values.collect(), shape);
                Tensor::from_data(data, &tensor.device()).require_grad()
            })
        }
    }

    /// Four images of 5 x 5 pixels.
    fn images<B: Backend>() -> Tensor<B, 4> {
        let pixels = (0..100).map(|n| ((n * 7) % 13) as f32 / 13.0).collect();
        let data = burn::tensor::TensorData::new::<f32, _>(pixels, [4, 1, 5, 5]);
        Tensor::from_data(data, &Default::default())
    }

    const STEPS_PER_EPOCH: i64 = 3;
    const NUM_EPOCHS: i32 = 5;

    /// Trains for five epochs of three steps, and calls `end_epoch` after each.
    fn train(mut end_epoch: impl FnMut(&Cnn<Trained>, i32, i64)) -> Cnn<Flex> {
        let mut model = Cnn::<Trained>::with_fixed_values();
        let mut optimizer = AdamConfig::new().init();
        let mut step = 0;
        for epoch in 0..NUM_EPOCHS {
            for _ in 0..STEPS_PER_EPOCH {
                let (_, logits) = model.forward(images());
                let loss = logits.powf_scalar(2.0).mean();
                let gradients = GradientsParams::from_grads(loss.backward(), &model);
                model = optimizer.step(0.05, model, gradients);
                step += 1;
            }
            end_epoch(&model, epoch, step);
        }
        model.valid()
    }

    fn parameters(model: &Cnn<Flex>) -> Vec<Vec<f32>> {
        let layers = ModuleLayers::of(model, false, &Default::default()).unwrap();
        let all = vec![true; layers.topology().layers().len()];
        let handles = layers.handles(model, &all).unwrap();
        let handles = handles
            .into_iter()
            .map(|layer| Handles::Parameters(TensorKind::Weights, layer))
            .collect();
        let mut unread = Unread::here(handles);
        let values = unread.read(u64::MAX).unwrap().into_iter();
        let values = values.flat_map(|values| match values {
            Values::Parameters { weight, bias, .. } => [weight, bias.unwrap_or_default()],
            other => panic!("{other:?}"),
        });
        values.collect()
    }

    fn bits(values: &[Vec<f32>]) -> Vec<u32> {
        values.iter().flatten().map(|v| v.to_bits()).collect()
    }

    /// The weights of a layer at an epoch, as they are in the run: row-major, one row a unit.
    fn recorded(run: &Path, epoch: i32, layer: &str) -> (Vec<f32>, Vec<f32>) {
        let rows = read_part(run, Table::Weights, epoch, Some(layer)).unwrap();
        (floats_of(&rows, "weights"), floats_of(&rows, "bias"))
    }

    fn floats_of(rows: &RecordBatch, column: &str) -> Vec<f32> {
        let column = &rows[column];
        let values = match column.as_list_opt::<i32>() {
            Some(lists) => lists.values(),
            None => column,
        };
        values
            .as_primitive::<Float32Type>()
            .iter()
            .flatten()
            .collect()
    }

    #[test]
    fn is_recorded_with_a_builder_and_a_call_an_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("cnn");
        let off = train(|_, _, _| {});
        let mut recorder = None;
        let mut expected = Vec::new();
        let on = train(|model, epoch, step| {
            let recorder =
                recorder.get_or_insert_with(|| TraceRecorder::builder(&run).start(model).unwrap());
            assert!(recorder.capture(model, epoch, step).unwrap());
            expected.push(parameters(&model.valid()));
        });
        let summary = recorder.unwrap().finish().unwrap();
        assert_eq!(summary.num_captures, 5);
        assert_eq!(bits(&parameters(&off)), bits(&parameters(&on)));
        for (epoch, expected) in (0..).zip(&expected) {
            let [
                conv,
                conv_bias,
                norm,
                norm_bias,
                mean,
                _,
                var,
                _,
                head,
                head_bias,
            ] = &expected[..]
            else {
                panic!("{expected:?}")
            };
            let of = |layer| recorded(&run, epoch, layer);
            assert_eq!(of("conv"), (conv.clone(), conv_bias.clone()));
            assert_eq!(of("norm"), (norm.clone(), norm_bias.clone()));
            // Up to date, not one update behind.
            assert_eq!(of("norm.running_mean"), (mean.clone(), vec![]));
            assert_eq!(of("norm.running_var"), (var.clone(), vec![]));
            // Burn keeps [3, 2].
            let rows = transpose(head, 3, 2);
            assert_eq!(of("head"), (rows, head_bias.clone()));
        }
        assert_ne!(expected[0], expected[4]);
    }

    #[test]
    fn hands_over_what_held_out_samples_make_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("cnn");
        let mut recorder = None;
        let mut last = None;
        train(|model, epoch, step| {
            let recorder = recorder.get_or_insert_with(|| {
                let builder = TraceRecorder::builder(&run).schedule("2epochs".parse().unwrap());
                builder.num_epochs(NUM_EPOCHS as u32).start(model).unwrap()
            });
            assert_eq!(recorder.is_due(epoch), epoch % 2 == 0);
            if recorder.is_due(epoch) {
                let (x, logits) = model.valid().forward(images());
                recorder.activations("conv", x.clone()).unwrap();
                let loss = Loss::SoftmaxCrossEntropy;
                let targets = || Targets::Classes(vec![0, 1]);
                for first in [0, 2] {
                    let batch = logits.clone().narrow(0, first, 2);
                    recorder.classifications(loss, batch, targets()).unwrap();
                }
                last = Some((x, logits));
            }
            recorder.eval_metric("loss", f64::from(epoch));
            recorder.metric("learning_rate", 0.05);
            assert_eq!(
                recorder.capture(model, epoch, step).unwrap(),
                epoch % 2 == 0
            );
        });
        assert_eq!(recorder.unwrap().finish().unwrap().num_captures, 3);

        let (x, logits) = last.unwrap();
        let activations = read_part(&run, Table::Activations, 4, Some("conv")).unwrap();
        let averaged = x.mean_dim(3).mean_dim(2).reshape([4, 3]).transpose();
        let averaged: Vec<f32> = averaged.into_data().into_vec().unwrap();
        let recorded = floats_of(&activations, "activations");
        assert_eq!(recorded.len(), 12);
        for (recorded, expected) in recorded.iter().zip(&averaged) {
            assert!((recorded - expected).abs() < 1e-6, "{recorded} {expected}");
        }
        let logits: Vec<f32> = logits.into_data().into_vec().unwrap();
        let expected = capture::classify(
            Loss::SoftmaxCrossEntropy,
            &logits,
            &Targets::Classes(vec![0, 1, 0, 1]),
        );
        let rows = read_part(&run, Table::Classifications, 4, None).unwrap();
        assert_eq!(floats_of(&rows, "outputs"), expected.outputs);
        assert_eq!(floats_of(&rows, "loss"), expected.loss);
        // Metrics are there at every epoch, the network only where it was due.
        for epoch in 0..NUM_EPOCHS {
            let metrics = read_part(&run, Table::Metrics, epoch, None).unwrap();
            let names = metrics["name"].as_string::<i32>();
            let loss = names.iter().position(|name| name == Some("loss")).unwrap();
            let values = metrics["value"].as_primitive::<Float64Type>();
            assert_eq!(values.value(loss), f64::from(epoch));
            let weights = read_part(&run, Table::Weights, epoch, Some("head"));
            assert_eq!(weights.is_some(), epoch % 2 == 0);
        }
    }

    #[test]
    fn hands_over_gradients_and_what_adam_keeps_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("cnn");
        let mut model = Cnn::<Trained>::with_fixed_values();
        // A layer that is not trained has neither.
        model.conv = model.conv.no_grad();
        let mut optimizer = AdamConfig::new().init();
        let recorded = Recorded {
            weights: None,
            classifications: false,
            activations: None,
            metrics: false,
            gradients: true,
            moments: true,
            ..Recorded::DEFAULT
        };
        let builder = TraceRecorder::builder(&run).record(recorded);
        let mut recorder = builder.start(&model).unwrap();
        let mut expected = Vec::new();
        for epoch in 0..2 {
            let (_, logits) = model.forward(images());
            let gradients = logits.powf_scalar(2.0).mean().backward();
            let gradients = GradientsParams::from_grads(gradients, &model);
            recorder.gradients(&model, &gradients).unwrap();
            let of_head = gradients.get::<Flex, 2>(model.head.weight.id).unwrap();
            expected.push(of_head.transpose().into_data().into_vec::<f32>().unwrap());
            model = optimizer.step(0.05, model, gradients);
            recorder.moments(&model, &optimizer).unwrap();
            recorder
                .capture(&model, epoch, i64::from(epoch) + 1)
                .unwrap();
        }
        recorder.finish().unwrap();

        for (epoch, expected) in (0..).zip(&expected) {
            let rows = read_part(&run, Table::Gradients, epoch, Some("head")).unwrap();
            assert_eq!(&floats_of(&rows, "weights"), expected);
            let steps = rows["step"].as_primitive::<arrow::datatypes::Int64Type>();
            assert_eq!(steps.values()[..], [i64::from(epoch) + 1; 2]);
        }
        assert_ne!(expected[0], expected[1]);
        let moments = read_parts(&run, Table::Moments, 0, Some("head"));
        let [first, second] = &moments[..] else {
            panic!("a file a moment, not {}", moments.len())
        };
        for (rows, name, share, power) in
            [(first, "moment_1", 0.1, 1), (second, "moment_2", 0.001, 2)]
        {
            let names = rows["name"].as_string::<i32>();
            assert!(names.iter().all(|n| n == Some(name)));
            for (moment, gradient) in floats_of(rows, "weights").iter().zip(&expected[0]) {
                let kept = share * gradient.powi(power);
                assert!(
                    (moment - kept).abs() <= 1e-4 * kept.abs(),
                    "{moment} {kept}"
                );
            }
        }
        for table in [Table::Gradients, Table::Moments] {
            assert!(read_parts(&run, table, 0, Some("conv")).is_empty());
        }
    }

    #[test]
    fn records_the_layers_that_are_selected() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("cnn");
        let mut recorder = None;
        train(|model, epoch, step| {
            let recorder = recorder.get_or_insert_with(|| {
                let layers = "*,!norm*".parse().unwrap();
                let builder = TraceRecorder::builder(&run).layers(layers);
                builder.label("head", "output").start(model).unwrap()
            });
            let (x, _) = model.valid().forward(images());
            // Not selected, so not recorded; but there is such a layer.
            recorder.activations("norm", x).unwrap();
            recorder.capture(model, epoch, step).unwrap();
        });
        recorder.unwrap().finish().unwrap();
        let has = |table, layer| read_part(&run, table, 0, Some(layer)).is_some();
        assert!(has(Table::Weights, "conv") && has(Table::Weights, "output"));
        assert!(!has(Table::Weights, "norm") && !has(Table::Weights, "norm.running_mean"));
        assert!(!has(Table::Activations, "norm"));
        let info = RunDir::open(&run).unwrap().info().clone();
        assert_eq!(info.layers.layers().len(), 5);
        assert_eq!(info.config["layers"], "*,!norm*");
        assert_eq!(info.device, "flex");
    }

    #[test]
    fn training_batches_and_some_units_are_recorded_of_any_network() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("linear");
        let device = Default::default();
        let model = LinearConfig::new(2, 6).init::<Flex>(&device);
        // Burn draws its weights here.
        let _ = model.forward(Tensor::<Flex, 2>::zeros([1, 2], &device));
        let recorded = Recorded {
            phases: "train".parse().unwrap(),
            units: NonZeroU32::new(2),
            ..Recorded::DEFAULT
        };
        let builder = TraceRecorder::builder(&run).record(recorded).seed(3);
        let mut recorder = builder.start_inner(&model).unwrap();
        let layer = recorder.topology().layers()[0].clone();
        let label = layer.layer.as_str();
        let units: Vec<u32> = layer.units().collect();
        assert_eq!(units.len(), 2);

        // Of batch b and its sample s, unit u is 100 b + 10 s + u.
        let value = |batch: i32, sample: i32, unit: i32| (100 * batch + 10 * sample + unit) as f32;
        let tensor = |batch: i32, samples: &[i32]| {
            let values = samples
                .iter()
                .flat_map(|&s| (0..6).map(move |u| value(batch, s, u)));
            let data = TensorData::new(values.collect::<Vec<f32>>(), [samples.len(), 6]);
            Tensor::<Flex, 2>::from_data(data, &device)
        };
        recorder.activations(label, tensor(1, &[0])).unwrap();
        recorder
            .train_activations(label, 3, tensor(3, &[0, 1]))
            .unwrap();
        recorder
            .train_activations(label, 5, tensor(5, &[0]))
            .unwrap();
        recorder
            .train_activations(label, 3, tensor(3, &[2]))
            .unwrap();
        assert!(
            recorder
                .train_activations("nowhere", 3, tensor(3, &[0]))
                .is_err()
        );
        assert!(recorder.capture(&model, 0, 9).unwrap());
        recorder.finish().unwrap();

        let dir = run
            .join("activations/epoch=0")
            .join(format!("layer={label}"));
        for (file, batch, num_samples) in [("step-9-r0-g0", 3, 3), ("step-9-r0-g0-1", 5, 1)] {
            let file = std::fs::File::open(dir.join(format!("{file}.parquet"))).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            let rows = reader.build().unwrap().next().unwrap().unwrap();
            assert_eq!(
                rows["batch"].as_primitive::<Int32Type>().values(),
                &[batch; 2]
            );
            let lists = rows["activations"].as_list::<i32>();
            for (row, &unit) in units.iter().enumerate() {
                let expected: Vec<f32> = (0..num_samples)
                    .map(|sample| value(batch, sample, unit.cast_signed()))
                    .collect();
                let found = lists.value(row);
                assert_eq!(found.as_primitive::<Float32Type>().values(), &expected[..]);
            }
        }
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 2);
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_recording_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("cnn");
        let mut recorder = None;
        train(|model, epoch, step| {
            let recorder =
                recorder.get_or_insert_with(|| TraceRecorder::builder(&run).start(model).unwrap());
            let (x, logits) = model.valid().forward(images());
            let error = recorder.activations("cnov", x.clone()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "there is no layer \"cnov\": there are conv, norm, norm.running_mean, \
                 norm.running_var, head"
            );
            let error = recorder.activations("head", x).unwrap_err();
            assert_eq!(
                error.to_string(),
                "activations of layer head are [samples, ..., units] with 2 units, not \
                 [4, 3, 3, 3]"
            );
            let targets = Targets::Classes(vec![2; 4]);
            let loss = Loss::SoftmaxCrossEntropy;
            assert!(recorder.classifications(loss, logits, targets).is_err());
            recorder.capture(model, epoch, step).unwrap();
            let error = recorder.capture(model, epoch, step).unwrap_err();
            assert!(matches!(error, RecordError::Order { .. }), "{error}");
        });
        assert_eq!(recorder.unwrap().finish().unwrap().num_captures, 5);
        let model = Cnn::<Trained>::new();
        let error = TraceRecorder::builder(&run).start(&model).unwrap_err();
        assert!(error.to_string().contains("is not empty"), "{error}");
        let typo = TraceRecorder::builder(dir.path().join("x"));
        let error = typo
            .layers("cnov".parse().unwrap())
            .start(&model)
            .unwrap_err();
        assert!(
            error.to_string().starts_with("no layer fits \"cnov\""),
            "{error}"
        );
        assert!(!dir.path().join("x").exists());
    }

    /// Its values are drawn at their first use, which `log` tells of.
    fn lazy(name: &'static str, log: &Arc<Mutex<Vec<&'static str>>>) -> Linear<Trained> {
        let log = Arc::clone(log);
        let mut linear = LinearConfig::new(3, 2)
            .with_bias(false)
            .init(&Default::default());
        let draw = move |device: &_, requires_grad| {
            log.lock().unwrap().push(name);
            Tensor::ones([3, 2], device).set_require_grad(requires_grad)
        };
        let id = linear.weight.id;
        linear.weight = Param::uninitialized(id, draw, Default::default(), true, [3, 2].into());
        linear
    }

    #[test]
    fn that_was_not_used_yet_draws_in_its_own_order() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("lazy");
        let drawn = Arc::default();
        let model = vec![lazy("first", &drawn), lazy("second", &drawn)];
        let mut recorder = TraceRecorder::builder(&run).start(&model).unwrap();
        let error = recorder.capture_initial(&model).unwrap_err();
        assert!(error.to_string().contains("has no values yet"), "{error}");
        assert!(recorder.capture(&model, 0, 1).is_err());
        assert_eq!(drawn.lock().unwrap()[..], [""; 0]);
        let inputs = || Tensor::<Trained, 2>::ones([1, 3], &Default::default());
        let _ = model[1].forward(inputs());
        let _ = model[0].forward(inputs());
        recorder.capture_initial(&model).unwrap();
        recorder.finish().unwrap();
        assert_eq!(drawn.lock().unwrap()[..], ["second", "first"]);
        assert_eq!(recorded(&run, -1, "L_1").0, [1.0; 6]);
    }

    #[test]
    fn that_panics_leaves_what_was_captured() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("cnn");
        let panicked = std::panic::catch_unwind(|| {
            let mut recorder = None;
            train(|model, epoch, step| {
                let recorder = recorder
                    .get_or_insert_with(|| TraceRecorder::builder(&run).start(model).unwrap());
                recorder.capture(model, epoch, step).unwrap();
                assert!(epoch < 2, "the model panics");
            });
        });
        assert!(panicked.is_err());
        let run = RunDir::open(&run).unwrap();
        let catalog = trace::Catalog::load(&run).unwrap();
        let epochs: Vec<i32> = catalog.captures().iter().map(|c| c.id.epoch.0).collect();
        assert_eq!(epochs, [0, 1, 2]);
    }
}
