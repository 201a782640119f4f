use arrow::array::AsArray as _;
use arrow::datatypes::Float32Type;
use burn::backend::Flex;
use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use trace::{Catalog, RunDir, Table};

use super::super::RecordError;
use super::*;
use crate::testing::read_part;

/// Two weights of `value`, and no bias.
fn linear(value: f32) -> Linear<Flex> {
    let device = Default::default();
    let mut linear = LinearConfig::new(2, 1).with_bias(false).init(&device);
    linear.weight = Param::from_tensor(Tensor::full([2, 1], value, &device));
    linear
}

/// The captures of a run and the names of its files of weights, in the order of the commits.
fn committed(run: &std::path::Path) -> (Vec<(i32, i64)>, Vec<String>) {
    let catalog = Catalog::load(&RunDir::open(run).unwrap()).unwrap();
    let captures = catalog.captures().iter();
    let captures = captures.map(|c| (c.id.epoch.0, c.id.step.0)).collect();
    let files = catalog.files().filter(|file| file.table == "weights");
    let names = files.map(|file| file.path.rsplit_once('/').unwrap().1.to_owned());
    (captures, names.collect())
}

fn weight(run: &std::path::Path, epoch: i32) -> f32 {
    let rows = read_part(run, Table::Weights, epoch, Some("weight")).unwrap();
    let lists = rows["weights"].as_list::<i32>().values();
    lists.as_primitive::<Float32Type>().value(1)
}

/// Epochs `from` to 4 of 10 steps each; of epoch e the weights are `scale` (e + 1), and their mean is
/// noted.
fn record(recorder: &mut TraceRecorder<Flex>, from: i32, scale: f32) {
    for epoch in from..5 {
        let value = scale * (epoch + 1) as f32;
        recorder.metric("mean", value.into());
        let step = 10 * (i64::from(epoch) + 1);
        recorder.capture(&linear(value), epoch, step).unwrap();
    }
}

#[test]
fn a_run_is_gone_on_with_from_the_training_loop_s_own_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let builder = || TraceRecorder::<Flex>::builder(&run).seed(3);
    let begun = builder().compress(Compress::None);
    let mut recorder = begun.start_inner(&linear(0.0)).unwrap();
    record(&mut recorder, 0, 1.0);
    recorder.finish().unwrap();

    let again = builder().config(serde_json::json!({"lr": 0.5}));
    let mut recorder = again.resume(1, 20).start_inner(&linear(0.0)).unwrap();
    // What was before does not come again.
    let error = recorder.capture(&linear(9.0), 1, 20).unwrap_err();
    assert!(matches!(error, RecordError::Order { .. }), "{error}");
    record(&mut recorder, 2, 100.0);
    recorder.finish().unwrap();

    let (captures, files) = committed(&run);
    assert_eq!(captures, [(0, 10), (1, 20), (2, 30), (3, 40), (4, 50)]);
    let names = [
        "step-10-r0-g0.parquet",
        "step-20-r0-g0.parquet",
        "step-30-r0-g1.parquet",
        "step-40-r0-g1.parquet",
        "step-50-r0-g1.parquet",
    ];
    assert_eq!(files, names);
    let weights: Vec<f32> = (0..5).map(|epoch| weight(&run, epoch)).collect();
    assert_eq!(weights, [1.0, 2.0, 300.0, 400.0, 500.0]);
    // A glob sees nothing twice either.
    let of_epoch = |epoch| {
        let dir = run.join(format!("weights/epoch={epoch}/layer=weight"));
        std::fs::read_dir(dir).unwrap().count()
    };
    assert_eq!((0..5).map(of_epoch).collect::<Vec<_>>(), [1; 5]);
    let opened = RunDir::open(&run).unwrap();
    let catalog = Catalog::load(&opened).unwrap();
    assert_eq!(catalog.sessions().len(), 2);
    assert_eq!(catalog.sessions()[1].config["training"]["lr"], 0.5);
    // What is not said is as it was.
    assert_eq!(
        catalog.last_compress(opened.info(), None),
        Some(Compress::None)
    );
}

#[test]
fn a_finished_run_is_extended_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    // Epochs 0 and 3, and the last: 4.
    let builder = |epochs| {
        let builder = TraceRecorder::<Flex>::builder(&run).num_epochs(epochs);
        builder.schedule("3epochs".parse().unwrap())
    };
    let mut recorder = builder(5).start_inner(&linear(0.0)).unwrap();
    record(&mut recorder, 0, 1.0);
    recorder.finish().unwrap();
    assert_eq!(committed(&run).0, [(0, 10), (3, 40), (4, 50)]);

    let more = builder(8).resume(4, 50);
    let mut recorder = more.start_inner(&linear(0.0)).unwrap();
    for epoch in 5..8 {
        let step = 10 * (i64::from(epoch) + 1);
        recorder.capture(&linear(7.0), epoch, step).unwrap();
    }
    recorder.finish().unwrap();
    let extended = [(0, 10), (3, 40), (4, 50), (6, 70), (7, 80)];
    assert_eq!(committed(&run).0, extended);

    // Nothing is left to do, and that network is captured.
    let recorder = builder(8).resume(7, 80).start_inner(&linear(0.0)).unwrap();
    recorder.finish_with(&linear(7.0), 7, 80).unwrap();
    assert_eq!(committed(&run).0, extended);
}

#[test]
fn only_a_run_of_the_same_network_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let builder = || TraceRecorder::<Flex>::builder(&run);
    let resume = |builder: TraceRecorderBuilder<Flex>| {
        let resumed = builder.resume(1, 20).start_inner(&linear(0.0));
        resumed.unwrap_err().to_string()
    };
    let error = resume(builder());
    assert!(error.starts_with("there is no run at "), "{error}");
    assert!(!run.exists());

    let wide = LinearConfig::new(3, 1).init::<Flex>(&Default::default());
    let recorder = builder().seed(1).start_inner(&wide).unwrap();
    let error = resume(builder().seed(1));
    assert!(error.contains("layers is "), "{error}");
    let error = resume(builder().seed(2));
    assert!(error.contains("begun with other options"), "{error}");
    // It is being recorded.
    let error = builder().seed(1).resume(1, 20).start_inner(&wide);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("written by another process"), "{error}");
    recorder.finish().unwrap();
}
