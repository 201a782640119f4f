use std::num::NonZeroU32;

use arrow::array::AsArray as _;
use arrow::datatypes::Float32Type;
use burn::backend::Flex;
use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use capture::{MaxOverhead, Schedule};
use trace::{Catalog, RunDir, Table};

use super::super::TraceRecorderBuilder;
use super::*;
use crate::testing::{read_part, read_parts};

/// Two weights of `value`, and no bias.
fn linear(value: f32) -> Linear<Flex> {
    let device = Default::default();
    let mut linear = LinearConfig::new(2, 1).with_bias(false).init(&device);
    linear.weight = Param::from_tensor(Tensor::full([2, 1], value, &device));
    linear
}

/// A run of 100 epochs that stops after epoch 3, step 40, at which the weights are 4, by `stop`; what
/// it has captured, and the weights of epoch 3.
fn stopped(
    builder: impl FnOnce(TraceRecorderBuilder<Flex>) -> TraceRecorderBuilder<Flex>,
    stop: impl FnOnce(TraceRecorder<Flex>) -> Result<RecordSummary, RecordError>,
) -> (Vec<(i32, i64)>, Option<Vec<f32>>, RecordSummary) {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let new = TraceRecorder::<Flex>::builder(&run).num_epochs(100);
    let mut recorder = builder(new).start_inner(&linear(0.0)).unwrap();
    for epoch in 0..4 {
        recorder.metric("learning_rate", 0.5);
        let step = 10 * (i64::from(epoch) + 1);
        let model = linear(epoch as f32 + 1.0);
        recorder.capture(&model, epoch, step).unwrap();
    }
    let summary = stop(recorder).unwrap();
    let catalog = Catalog::load(&RunDir::open(&run).unwrap()).unwrap();
    let captures = catalog.captures().iter();
    let captures = captures.map(|c| (c.id.epoch.0, c.id.step.0)).collect();
    let weights = read_part(&run, Table::Weights, 3, Some("weight")).map(|rows| {
        let lists = rows["weights"].as_list::<i32>().values();
        lists.as_primitive::<Float32Type>().values().to_vec()
    });
    let rates = read_parts(&run, Table::Metrics, 3, None);
    let rates = rates.iter().flat_map(|rows| {
        let names = rows["name"].as_string::<i32>().iter();
        names.filter(|name| *name == Some("learning_rate"))
    });
    assert_eq!(rates.count(), 1);
    (captures, weights, summary)
}

fn schedule(text: &str) -> Schedule {
    text.parse().unwrap()
}

#[test]
fn the_network_that_training_stopped_with_is_the_last_capture() {
    let with = |recorder: TraceRecorder<Flex>| recorder.finish_with(&linear(4.0), 3, 40);
    for text in ["10epochs", "1epoch@..1", "log@..2", "1000steps"] {
        let every = |builder: TraceRecorderBuilder<Flex>| builder.schedule(schedule(text));
        let (mut captures, weights, summary) = stopped(every, with);
        assert_eq!(captures.pop(), Some((3, 40)), "{text}");
        assert!(captures.iter().all(|(epoch, _)| *epoch < 3), "{captures:?}");
        assert_eq!(weights, Some(vec![4.0; 2]), "{text}");
        assert_eq!(summary.num_captures, captures.len() as u64 + 1);
        // Without it the run has no such network.
        let (captures, weights, _) = stopped(every, TraceRecorder::finish);
        assert!(captures.iter().all(|(epoch, _)| *epoch < 3), "{captures:?}");
        assert_eq!(weights, None, "{text}");
    }
}

#[test]
fn it_is_captured_once() {
    let all =
        |builder: TraceRecorderBuilder<Flex>| builder.schedule(Schedule::every(NonZeroU32::MIN));
    let (captures, weights, summary) =
        stopped(all, |recorder| recorder.finish_with(&linear(4.0), 3, 40));
    assert_eq!(captures, [(0, 10), (1, 20), (2, 30), (3, 40)]);
    assert_eq!(weights, Some(vec![4.0; 2]));
    assert_eq!(summary.num_captures, 4);
    // A later one is another.
    let (captures, _, _) = stopped(all, |recorder| recorder.finish_with(&linear(4.5), 4, 47));
    assert_eq!(captures.last(), Some(&(4, 47)));
}

#[test]
fn no_budget_leaves_it_out() {
    let least: MaxOverhead = "0.0001%".parse().unwrap();
    let (captures, weights, _) = stopped(
        |builder| builder.max_overhead(least),
        |recorder| recorder.finish_with(&linear(4.0), 3, 40),
    );
    assert_eq!(captures.last(), Some(&(3, 40)));
    assert_eq!(weights, Some(vec![4.0; 2]));
}

#[test]
fn what_does_not_fit_is_told_and_what_was_captured_stays() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let record = |stop: fn(TraceRecorder<Flex>) -> Result<RecordSummary, RecordError>, name| {
        let run = run.with_extension(name);
        let mut recorder = TraceRecorder::builder(&run)
            .start_inner(&linear(0.0))
            .unwrap();
        recorder.capture(&linear(1.0), 5, 60).unwrap();
        let error = stop(recorder).unwrap_err();
        let catalog = Catalog::load(&RunDir::open(&run).unwrap()).unwrap();
        assert_eq!(catalog.captures().len(), 1);
        error
    };
    let earlier = record(|r| r.finish_with(&linear(1.0), 4, 50), "earlier");
    assert!(matches!(earlier, RecordError::Order { .. }), "{earlier}");
    let wide = record(
        |r| {
            let wide = LinearConfig::new(3, 1).with_bias(false);
            let wide = wide.init::<Flex>(&Default::default());
            let _ = wide.forward(Tensor::<Flex, 2>::zeros([1, 3], &Default::default()));
            r.finish_with(&wide, 6, 70)
        },
        "wide",
    );
    assert!(matches!(wide, RecordError::OtherModule(_)), "{wide}");
}
