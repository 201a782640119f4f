use std::path::Path;

use arrow::array::AsArray as _;
use arrow::datatypes::{Float32Type, Int64Type};
use burn::backend::{Autodiff, Flex};
use burn::grad_clipping::GradientClippingConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, SgdConfig};
use burn::tensor::Tensor;
use capture::Recorded;
use trace::{Catalog, RunDir, Table};

use super::*;
use crate::recording::TraceRecorderBuilder;
use crate::testing::{read_part, read_parts};

mod several;

type Trained = Autodiff<Flex>;

/// Two weights and a bias, which are all the same at the start.
fn model() -> Linear<Trained> {
    let device = Default::default();
    let mut model = LinearConfig::new(2, 1).init(&device);
    model.weight = burn::module::Param::from_tensor(Tensor::ones([2, 1], &device));
    model.bias = Some(burn::module::Param::from_tensor(Tensor::zeros(
        [1],
        &device,
    )));
    model
}

fn step<O: Optimizer<Linear<Trained>, Trained>>(
    optimizer: &mut O,
    model: Linear<Trained>,
) -> Linear<Trained> {
    let inputs = Tensor::<Trained, 2>::ones([3, 2], &Default::default());
    let gradients = model.forward(inputs).mean().backward();
    let gradients = GradientsParams::from_grads(gradients, &model);
    optimizer.step(0.5, model, gradients)
}

fn shared(run: &Path, schedule: &str) -> SharedRecorder<Flex> {
    started(TraceRecorder::builder(run).schedule(schedule.parse().unwrap()))
}

fn started(builder: TraceRecorderBuilder<Flex>) -> SharedRecorder<Flex> {
    let recorded = Recorded {
        gradients: true,
        moments: true,
        ..Recorded::DEFAULT
    };
    let recorder = builder
        .record(recorded)
        .num_epochs(3)
        .start(&model())
        .unwrap();
    SharedRecorder::new(recorder, 4)
}

fn captures(run: &Path) -> Vec<(i32, i64)> {
    let catalog = Catalog::load(&RunDir::open(run).unwrap()).unwrap();
    let captures = catalog.captures().iter();
    captures.map(|c| (c.id.epoch.0, c.id.step.0)).collect()
}

fn weights_of(run: &Path, table: Table, epoch: i32) -> Vec<f32> {
    let rows = read_part(run, table, epoch, Some("weight")).unwrap();
    let lists = rows["weights"].as_list::<i32>().values();
    lists.as_primitive::<Float32Type>().values().to_vec()
}

#[test]
fn steps_of_a_run_that_is_resumed_go_on_from_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut recorded = model();
    let recorder = shared(&run, "1epoch");
    let mut optimizer = recorder.optimizer(SgdConfig::new().init());
    for _ in 0..8 {
        recorded = step(&mut optimizer, recorded);
    }
    recorder.finish().unwrap();

    let builder = TraceRecorder::builder(&run).schedule("1epoch".parse().unwrap());
    let recorder = started(builder.resume(1, 8));
    let mut optimizer = recorder.optimizer(SgdConfig::new().init());
    for _ in 0..4 {
        recorded = step(&mut optimizer, recorded);
    }
    recorder.finish().unwrap();
    assert_eq!(captures(&run), [(0, 4), (1, 8), (2, 12)]);
    // Each step takes half from a weight that is 1 at first.
    assert_eq!(weights_of(&run, Table::Weights, 2), [-5.0; 2]);
}

#[test]
fn an_optimizer_s_steps_are_captured_as_the_schedule_says() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("epochs");
    let recorder = shared(&run, "1epoch");
    let mut optimizer = recorder.optimizer(SgdConfig::new().init());
    let mut recorded = model();
    for _ in 0..12 {
        recorded = step(&mut optimizer, recorded);
    }
    assert_eq!(recorder.finish().unwrap().num_captures, 3);
    assert_eq!(captures(&run), [(0, 4), (1, 8), (2, 12)]);
    // Every step takes half of the gradient, 1, from each weight: 1, 0.5, 0, -0.5, -1, ...
    assert_eq!(weights_of(&run, Table::Weights, 0), [-1.0; 2]);
    assert_eq!(weights_of(&run, Table::Weights, 2), [-5.0; 2]);
    assert_eq!(weights_of(&run, Table::Gradients, 1), [1.0; 2]);
    let gradients = read_part(&run, Table::Gradients, 1, Some("weight")).unwrap();
    assert_eq!(gradients["step"].as_primitive::<Int64Type>().value(0), 8);
    let metrics = read_part(&run, Table::Metrics, 1, None).unwrap();
    let names: Vec<_> = metrics["name"]
        .as_string::<i32>()
        .iter()
        .flatten()
        .collect();
    assert!(names.contains(&"learning_rate"), "{names:?}");

    let run = dir.path().join("steps");
    let recorder = shared(&run, "3steps");
    let mut optimizer = recorder.optimizer_with_moments(AdamConfig::new().init());
    let mut recorded = model();
    for _ in 0..8 {
        recorded = step(&mut optimizer, recorded);
    }
    recorder.finish().unwrap();
    assert_eq!(captures(&run), [(0, 3), (1, 6)]);
    let catalog = Catalog::load(&RunDir::open(&run).unwrap()).unwrap();
    assert_eq!(catalog.select(Table::Moments.name(), |_, _| true).len(), 4);
}

#[test]
fn recording_changes_nothing_of_what_an_optimizer_does() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = shared(&dir.path().join("run"), "1steps");
    let mut on = recorder.optimizer_with_moments(AdamConfig::new().init());
    let mut off = AdamConfig::new().init();
    let (mut recorded, mut plain) = (model(), model());
    for _ in 0..6 {
        recorded = step(&mut on, recorded);
        plain = step(&mut off, plain);
    }
    recorder.finish().unwrap();
    let bits = |model: Linear<Trained>| {
        let values: Vec<f32> = model.weight.val().into_data().into_vec().unwrap();
        values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(bits(recorded), bits(plain));
}

#[test]
fn training_goes_on_without_a_recorder_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = shared(&dir.path().join("run"), "1epoch");
    let mut optimizer = recorder.optimizer(SgdConfig::new().init());
    let mut recorded = model();
    for number in 0..12 {
        recorded = step(&mut optimizer, recorded);
        if number == 5 {
            let kept = recorder.with(|_| Err(RecordError::Panicked));
            assert!(kept.is_ok());
        }
    }
    let weight: f32 = recorded.weight.val().sum().into_scalar();
    assert_eq!(weight, -10.0);
    let error = recorder.finish().unwrap_err();
    assert!(matches!(error, RecordError::Panicked), "{error}");
    assert_eq!(captures(&dir.path().join("run")), [(0, 4)]);
    assert!(matches!(recorder.finish(), Err(RecordError::Stopped)));
}

#[test]
fn a_mistake_is_told_and_recording_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let recorder = shared(&run, "1epoch");
    let mut optimizer = recorder.optimizer(SgdConfig::new().init());
    let mut recorded = model();
    let note = |label, num_units| {
        let ones = Tensor::<Flex, 2>::ones([1, num_units], &Default::default());
        recorder.with(|recorder| recorder.activations(label, ones))
    };
    for number in 0..12 {
        if number == 5 {
            let error = note("typo", 1).unwrap_err().to_string();
            assert!(error.starts_with("there is no layer \"typo\""), "{error}");
            let error = note("weight", 3).unwrap_err();
            assert!(matches!(error, RecordError::ActivationShape { .. }));
            note("weight", 1).unwrap();
        }
        recorded = step(&mut optimizer, recorded);
    }
    assert_eq!(recorder.finish().unwrap().num_captures, 3);
    assert_eq!(captures(&run), [(0, 4), (1, 8), (2, 12)]);
    assert!(read_part(&run, Table::Activations, 1, Some("weight")).is_some());
}

#[test]
fn the_network_that_training_stopped_with_is_the_last_capture() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let recorder = shared(&run, "1epoch@..1");
    let mut optimizer = recorder.optimizer(SgdConfig::new().init());
    let mut recorded = model();
    for _ in 0..7 {
        recorded = step(&mut optimizer, recorded);
    }
    recorder.finish_with(&recorded.valid()).unwrap();
    assert_eq!(captures(&run), [(0, 4), (1, 7)]);
    // Seven times half of the gradient, 1.
    assert_eq!(weights_of(&run, Table::Weights, 1), [-2.5; 2]);

    let run = dir.path().join("untrained");
    let recorder = shared(&run, "1epoch@..1");
    recorder.finish_with(&model().valid()).unwrap();
    assert_eq!(captures(&run), []);
}

/// What two steps of an optimizer leave of the gradients that the backward pass made, of those that it
/// used, and of the weights, at the second.
fn clipped(clipping: Option<GradientClippingConfig>) -> [Vec<f32>; 3] {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let recorded = Recorded {
        gradients: true,
        gradients_applied: true,
        ..Recorded::DEFAULT
    };
    let builder = TraceRecorder::builder(&run).schedule("2steps".parse().unwrap());
    let recorder = builder.record(recorded).start(&model()).unwrap();
    let recorder = SharedRecorder::new(recorder, 4);
    let optimizer = SgdConfig::new().with_gradient_clipping(clipping).init();
    let mut optimizer = recorder.optimizer(optimizer).with_gradients_applied();
    let mut recorded = model();
    for _ in 0..2 {
        recorded = step(&mut optimizer, recorded);
    }
    assert_eq!(recorder.finish().unwrap().num_captures, 1);
    [Table::Gradients, Table::GradientsApplied, Table::Weights].map(|table| {
        let mut values = weights_of(&run, table, 0);
        let rows = read_part(&run, table, 0, Some("weight")).unwrap();
        values.push(rows["bias"].as_primitive::<Float32Type>().value(0));
        values
    })
}

/// The gradient is 1 by each weight and by the bias. Weights begin at 1, the bias at 0; the learning
/// rate is a half.
#[test]
fn gradients_are_recorded_as_they_were_made_and_as_they_were_used() {
    let made = vec![1.0; 3];
    let [gradients, applied, weights] = clipped(None);
    assert_eq!((&gradients, &applied), (&made, &made));
    assert_eq!(weights, [0.0, 0.0, -1.0]);

    let value = GradientClippingConfig::Value(0.25);
    let [gradients, applied, weights] = clipped(Some(value));
    assert_eq!((gradients, applied), (made.clone(), vec![0.25; 3]));
    assert_eq!(weights, [0.75, 0.75, -0.25]);

    // Each tensor by itself: the two weights' norm is the root of 2, the bias's is 1.
    let norm = GradientClippingConfig::Norm(1.0);
    let [gradients, applied, _] = clipped(Some(norm));
    assert_eq!(gradients, made);
    for (value, expected) in applied.iter().zip([0.707_106_77, 0.707_106_77, 1.0]) {
        assert!((value - expected).abs() < 1e-6, "{applied:?}");
    }
}
