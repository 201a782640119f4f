use std::num::NonZeroU32;
use std::path::Path;

use arrow::array::{Array as _, AsArray};
use arrow::datatypes::{Float32Type, Int32Type};
use burn::backend::Flex;
use capture::{ActivationDetail, CaptureChoice, OnError, Phases, Precision, WeightDetail, export};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trace::{Catalog, Table};

use super::*;
use crate::dataset::DatasetKind;
use crate::device::testing::devices;
use crate::model::NetworkParameters;
use crate::replay::replay;
use crate::testing::failing::{Failing, fail};
use crate::testing::{read_part, read_parts};

const EVERYTHING: Recorded = Recorded {
    activations: Some(ActivationDetail::Raw { samples: 100 }),
    ..Recorded::DEFAULT
};

struct Silent;

impl SessionObserver for Silent {
    fn started(&mut self, _: &Resolution, _: Option<&Path>) {}
    fn epoch_done(&mut self, _: &EpochProgress) {}
}

fn options(out: &Path, recorded: Option<Recorded>) -> SessionOptions {
    SessionOptions {
        out: Some(out.to_owned()),
        dataset: DatasetKind::Digits.into(),
        train: TrainConfig {
            hidden: vec![24, 12],
            epochs: 3,
            ..TrainConfig::default_for(DatasetKind::Digits)
        },
        device: DeviceChoice::Cpu,
        recorded,
        layers: LayerSelection::default(),
        schedule: Schedule::default(),
        record_initial: false,
        channel_bytes: None,
        checkpoint_every: CheckpointEvery::default(),
        resume: false,
        rank: Rank::default(),
        world_size: 1,
        limits: Limits::default(),
    }
}

/// Runs a session and returns the network as it was at the end, and the summary.
fn final_parameters(options: &SessionOptions) -> (NetworkParameters, SessionSummary) {
    let resolution = options.device.resolve().unwrap();
    on_device!(resolution.device, final_parameters_on(options, &resolution))
}

fn final_parameters_on<B: Backend>(
    device: &B::Device,
    options: &SessionOptions,
    resolution: &Resolution,
) -> (NetworkParameters, SessionSummary) {
    let cancel = CancelToken::default();
    let mut session =
        Session::<Autodiff<B>>::try_new(options, resolution, device.clone(), &cancel).unwrap();
    let summary = session.run(&mut Silent).unwrap();
    (session.trainer.model().read_parameters().unwrap(), summary)
}

/// The network after each epoch, of a trainer that nobody records: read while it waits.
fn parameters_by_epoch<B: Backend>(
    device: &B::Device,
    options: &SessionOptions,
) -> Vec<NetworkParameters> {
    let TrainConfig {
        seed, batch_size, ..
    } = options.train;
    let dataset = Dataset::open(&options.dataset, seed, batch_size).unwrap();
    let mut trainer = Trainer::<Autodiff<B>>::try_new(
        options.train.clone(),
        Arc::new(dataset),
        device.clone(),
        CancelToken::default(),
    )
    .unwrap();
    let epochs = 0..=options.train.last_epoch().0;
    let after = epochs.map(|epoch| {
        trainer.run_epoch(Epoch(epoch)).unwrap();
        trainer.model().read_parameters().unwrap()
    });
    after.collect()
}

fn bits(parameters: &NetworkParameters) -> Vec<u32> {
    let values = |l: &crate::model::LayerParameters| [l.weights.clone(), l.bias.clone()].concat();
    parameters
        .layers
        .iter()
        .flat_map(values)
        .map(f32::to_bits)
        .collect()
}

#[test]
fn recording_changes_nothing() {
    for device in devices() {
        let dir = tempfile::tempdir().unwrap();
        let on_device = |name: &str, recorded| SessionOptions {
            device,
            ..options(&dir.path().join(name), recorded)
        };
        let (off, _) = final_parameters(&on_device("off", None));
        assert_eq!(
            dir.path().read_dir().unwrap().count(),
            0,
            "nothing is written"
        );

        let (on, summary) = final_parameters(&on_device("on", Some(EVERYTHING)));
        assert_eq!(bits(&off), bits(&on), "{device}");
        assert_eq!(summary.recorded.unwrap().1.num_captures, 3);

        // One byte: every part is larger than the whole channel and goes alone.
        let mut tiny = on_device("tiny", Some(EVERYTHING));
        tiny.channel_bytes = Some(1);
        let (blocked, summary) = final_parameters(&tiny);
        assert_eq!(bits(&off), bits(&blocked), "{device}");
        let (_, recorded) = summary.recorded.unwrap();
        assert!(recorded.sink.stall_ms > 0.0, "the channel did block");
    }
}

/// The device fails after an epoch.
struct FailsAfter(i32);

impl SessionObserver for FailsAfter {
    fn started(&mut self, _: &Resolution, _: Option<&Path>) {}
    fn epoch_done(&mut self, progress: &EpochProgress) {
        if progress.train.epoch == Epoch(self.0) {
            fail();
        }
    }
}

#[test]
fn a_failure_of_the_device_stops_training_although_errors_of_recording_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    // Inside of an epoch nobody reads but the recorder.
    let weights_alone = Recorded {
        classifications: false,
        activations: None,
        metrics: false,
        ..Recorded::DEFAULT
    };
    let mut options = options(&run, Some(weights_alone));
    options.schedule = "1step".parse().unwrap();
    options.limits.on_error = OnError::Continue;
    let resolution = options.device.resolve().unwrap();
    let cancel = CancelToken::default();
    let session =
        Session::<Autodiff<Failing>>::try_new(&options, &resolution, Default::default(), &cancel);
    let error = session.unwrap().run(&mut FailsAfter(0)).unwrap_err();
    let SessionError::Record {
        source: RecordError::Device(_),
        ..
    } = error
    else {
        panic!("{error}")
    };
    // The last step's capture may not have been read when the device failed.
    let catalog = Catalog::load(&RunDir::open(&run).unwrap()).unwrap();
    let num_captures = catalog.captures().len();
    assert!(num_captures >= 23, "{num_captures}");
}

#[test]
fn the_recorded_weights_are_the_networks_own() {
    for device in devices() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let options = SessionOptions {
            device,
            ..options(&path, Some(EVERYTHING))
        };
        let (last, _) = final_parameters(&options);
        let resolution = device.resolve().unwrap();
        let by_epoch = on_device!(resolution.device, parameters_by_epoch(&options));
        assert_eq!(bits(&last), bits(&by_epoch[2]), "{device}");

        let run = RunDir::open(&path).unwrap();
        assert_eq!(run.info().device, resolution.device.to_string());
        for (epoch, parameters) in by_epoch.iter().enumerate() {
            let of_epoch = recorded_parameters(&run, epoch as i32);
            assert_eq!(bits(&of_epoch), bits(parameters), "{device}, epoch {epoch}");
        }
    }
}

#[test]
fn a_convolutional_network_is_recorded_and_rebuilt_as_it_was() {
    for device in devices() {
        let dir = tempfile::tempdir().unwrap();
        let session = |name: &str, recorded| {
            let path = dir.path().join(name);
            let mut options = options(&path, recorded);
            options.device = device;
            options.train.channels = vec![3, 5];
            options.train.epochs = 2;
            (path, options)
        };
        let (path, options) = session("on", Some(EVERYTHING));
        let (on, _) = final_parameters(&options);
        let (_, without) = session("off", None);
        let (off, _) = final_parameters(&without);
        assert_eq!(bits(&on), bits(&off), "{device}");

        let run = RunDir::open(&path).unwrap();
        let resolution = device.resolve().unwrap();
        let by_epoch = on_device!(resolution.device, parameters_by_epoch(&options));
        for (epoch, parameters) in by_epoch.iter().enumerate() {
            let recorded = recorded_parameters(&run, epoch as i32);
            assert_eq!(bits(&recorded), bits(parameters), "{device}, epoch {epoch}");
            let report = replay(&run, CaptureChoice::epoch(Epoch(epoch as i32))).unwrap();
            assert_eq!(report.different, [], "{device}, epoch {epoch}");
        }

        // A unit's activation is its mean over the positions.
        let dataset = Dataset::load(DatasetKind::Digits, 42, 64).unwrap();
        let config = options.train.model(&dataset).unwrap();
        let model = Network::<Flex>::from_parameters(&config, &on, &Default::default()).unwrap();
        let pixels = dataset.held_out().inputs_of(0..100).to_vec();
        let pixels = burn::tensor::TensorData::new(pixels, [100, 64]);
        let inputs = burn::tensor::Tensor::from_data(pixels, &Default::default());
        let (outputs, _) = model.forward_traced(inputs);
        let LayerOutput::Image(output) = &outputs[1] else {
            panic!("the second layer is a convolution");
        };
        assert_eq!(output.dims(), [100, 5, 4, 4]);
        let values: Vec<f32> = output.clone().into_data().into_vec().unwrap();
        let rows = read_part(&path, Table::Activations, 1, Some("L_conv_2")).unwrap();
        for unit in 0..5 {
            let list = rows["activations"].as_list::<i32>().value(unit);
            let list = list.as_primitive::<Float32Type>().values();
            assert_eq!(list.len(), 100);
            for (sample, found) in list.iter().enumerate() {
                let positions = &values[(sample * 5 + unit) * 16..][..16];
                let mean = positions.iter().sum::<f32>() / 16.0;
                assert!((found - mean).abs() < 1e-5, "{device}: {found} {mean}");
            }
        }
    }
}

/// Weights and biases as an epoch's files have them.
fn recorded_parameters(run: &RunDir, epoch: i32) -> NetworkParameters {
    let layers = run.info().layers.layers().iter().map(|layer| {
        let label = Some(layer.layer.as_str());
        let rows = read_part(run.path(), Table::Weights, epoch, label).unwrap();
        let weights = rows["weights"].as_list::<i32>().values();
        crate::model::LayerParameters {
            weights: weights.as_primitive::<Float32Type>().values().to_vec(),
            bias: rows["bias"].as_primitive::<Float32Type>().values().to_vec(),
        }
    });
    NetworkParameters {
        layers: layers.collect(),
    }
}

/// The epochs that are committed as captures, and those that a table has files of.
fn epochs(run: &Path, table: Table) -> (Vec<i32>, Vec<i32>) {
    let catalog = Catalog::load(&RunDir::open(run).unwrap()).unwrap();
    let captures = catalog.captures().iter().map(|capture| capture.id.epoch.0);
    let files = catalog.select(table.name(), |_, _| true);
    let mut of_files: Vec<i32> = files.iter().map(|file| catalog.file(*file).epoch).collect();
    of_files.sort_unstable();
    of_files.dedup();
    (captures.collect(), of_files)
}

#[test]
fn a_schedule_leaves_captures_out_and_changes_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let session = |name: &str, schedule: &str| {
        let path = dir.path().join(name);
        let mut options = options(&path, Some(EVERYTHING));
        options.train.epochs = 6;
        options.schedule = schedule.parse().unwrap();
        let (parameters, summary) = final_parameters(&options);
        (path, bits(&parameters), summary.recorded.unwrap().1)
    };
    let (_, all, _) = session("all", "1epoch");
    let (path, some, summary) = session("some", "2epochs");
    assert_eq!(all, some);
    assert_eq!(summary.num_captures, 4);
    let every = vec![0, 1, 2, 3, 4, 5];
    assert_eq!(
        epochs(&path, Table::Weights),
        (vec![0, 2, 4, 5], vec![0, 2, 4, 5])
    );
    assert_eq!(epochs(&path, Table::Metrics), (vec![0, 2, 4, 5], every));
    let run = RunDir::open(&path).unwrap();
    assert!(
        replay(&run, CaptureChoice::epoch(Epoch(5)))
            .unwrap()
            .different
            .is_empty()
    );
    let error = replay(&run, CaptureChoice::epoch(Epoch(3)))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "epoch 3 was not recorded: there are epochs 0, 2, 4, 5"
    );
}

#[test]
fn steps_inside_of_epochs_are_captured_and_change_nothing() {
    for device in devices() {
        let dir = tempfile::tempdir().unwrap();
        let session = |name: &str, schedule: &str| {
            let path = dir.path().join(name);
            let mut options = options(&path, Some(EVERYTHING));
            options.device = device;
            options.schedule = schedule.parse().unwrap();
            let (parameters, _) = final_parameters(&options);
            let run = RunDir::open(&path).unwrap();
            let captures = Catalog::load(&run).unwrap().captures().to_vec();
            let captures = captures.iter().map(|c| (c.id.epoch.0, c.id.step.0));
            (bits(&parameters), captures.collect::<Vec<_>>(), run)
        };
        let (expected, _, _) = session("epochs", "1epoch");
        // 24 steps an epoch.
        let (parameters, captures, run) = session("steps", "20steps,1");
        assert_eq!(parameters, expected, "{device}");
        let steps = [(0, 20), (1, 40), (1, 48), (2, 60), (2, 72)];
        assert_eq!(captures, steps, "{device}");
        for (epoch, step) in [(0, 20), (1, 48), (2, 72)] {
            let report = replay(&run, CaptureChoice::epoch(Epoch(epoch))).unwrap();
            assert_eq!(report.capture.step.0, step);
            assert!(report.different.is_empty(), "{device}: {report:?}");
        }
        // An epoch that ends with a step that is due.
        let (_, captures, _) = session("ends", "24steps");
        assert_eq!(captures, [(0, 24), (1, 48), (2, 72)], "{device}");
    }
}

#[test]
fn without_metrics_an_epoch_that_is_not_due_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let no_metrics = Recorded {
        metrics: false,
        gradients: false,
        moments: false,
        ..EVERYTHING
    };
    let mut options = options(&path, Some(no_metrics));
    options.schedule = "1epoch@1..2".parse().unwrap();
    final_parameters(&options);
    assert_eq!(epochs(&path, Table::Activations), (vec![1], vec![1]));
    assert_eq!(epochs(&path, Table::Metrics).1, [0; 0]);
}

#[test]
fn a_schedule_that_training_does_not_come_to_is_refused_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let mut options = options(&path, Some(EVERYTHING));
    options.schedule = "0,3".parse().unwrap();
    let error = train(&options, &CancelToken::default(), &mut Silent).unwrap_err();
    assert!(matches!(error, SessionError::Schedule(_)), "{error}");
    assert!(!path.exists());
}

#[test]
fn the_untrained_network_is_epoch_minus_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let (without, _) = final_parameters(&options(&dir.path().join("other"), Some(EVERYTHING)));
    let mut options = options(&path, Some(EVERYTHING));
    options.record_initial = true;
    let (with, summary) = final_parameters(&options);
    assert_eq!(bits(&without), bits(&with));
    assert_eq!(summary.recorded.unwrap().1.num_captures, 4);
    let (captures, weights) = epochs(&path, Table::Weights);
    assert_eq!((captures, weights), (vec![-1, 0, 1, 2], vec![-1, 0, 1, 2]));

    let run = RunDir::open(&path).unwrap();
    let report = replay(&run, CaptureChoice::epoch(Epoch(-1))).unwrap();
    assert_eq!(report.capture.step.0, 0);
    assert!(report.different.is_empty(), "{report:?}");
    // Ten classes, and nothing learned.
    assert!(report.score.value() < 0.3, "{report:?}");
    let catalog = Catalog::load(&run).unwrap();
    let first = catalog.select(Table::Weights.name(), |epoch, label| {
        epoch == -1 && label == Some("L_input")
    });
    let file = std::fs::File::open(path.join(catalog.file(first[0]).path)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let rows = reader.build().unwrap().next().unwrap().unwrap();
    let weights = rows["weights"].as_list::<i32>().values();
    let weights = weights.as_primitive::<Float32Type>();
    let dataset = Dataset::load(DatasetKind::Digits, 42, 64).unwrap();
    let initial = NetworkParameters::initial(&options.train.model(&dataset).unwrap(), 42);
    assert_eq!(weights.values()[..], initial.layers[0].weights[..]);
}

#[test]
fn an_epoch_is_rebuilt_from_the_trace_alone() {
    for (device, dataset) in devices()
        .into_iter()
        .flat_map(|device| DatasetKind::ALL.map(|dataset| (device, dataset)))
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let mut options = options(&path, Some(EVERYTHING));
        options.device = device;
        options.dataset = dataset.into();
        options.train = TrainConfig {
            hidden: vec![24, 12],
            epochs: 3,
            ..TrainConfig::default_for(dataset)
        };
        train(&options, &CancelToken::default(), &mut Silent).unwrap();
        let run = RunDir::open(&path).unwrap();
        for epoch in [0, 2] {
            let report = replay(&run, CaptureChoice::epoch(Epoch(epoch))).unwrap();
            assert!(report.num_samples >= 100, "{report:?}");
            assert!(
                report.different.is_empty(),
                "{device}, {dataset}, epoch {epoch}: {report:?}"
            );
        }
        let error = replay(&run, CaptureChoice::epoch(Epoch(3)))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "epoch 3 was not recorded: there are epochs 0 to 2");
    }
}

#[test]
fn a_replay_notices_a_row_that_is_not_the_networks() {
    // Epoch 1's weights under epoch 0's name: the trace is whole, and says what never happened.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    final_parameters(&options(&path, Some(EVERYTHING)));
    let weights = |epoch: u32, step: u32| {
        path.join(format!(
            "weights/epoch={epoch}/layer=L_output/step-{step}-r0-g0.parquet"
        ))
    };
    std::fs::copy(weights(1, 48), weights(0, 24)).unwrap();
    let report = replay(
        &RunDir::open(&path).unwrap(),
        CaptureChoice::epoch(Epoch(0)),
    )
    .unwrap();
    assert_eq!(report.different.len(), report.num_samples);
    assert!(report.different[0].columns.contains(&"outputs".to_owned()));
}

#[test]
fn statistics_of_weights_make_no_network() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let statistics = Recorded {
        weights: Some(WeightDetail::Statistics),
        ..EVERYTHING
    };
    let (parameters, _) = final_parameters(&options(&path, Some(statistics)));
    let run = RunDir::open(&path).unwrap();
    assert_eq!(run.info().config["record"]["weights"], "statistics");
    let rows = read_part(&path, Table::Weights, 2, Some("L_output")).unwrap();
    assert_eq!(rows["weights"].null_count(), 10);
    let largest = |unit: usize| {
        let weights = &parameters.layers[2].weights[12 * unit..][..12];
        weights.iter().copied().fold(f32::MIN, f32::max)
    };
    let expected: Vec<f32> = (0..10).map(largest).collect();
    let found = rows["weight_max"].as_primitive::<Float32Type>();
    assert_eq!(found.values(), &expected[..]);

    let missing = "epoch 2 has no weights of layer L_input, only statistics of them";
    let error = replay(&run, CaptureChoice::epoch(Epoch(2)))
        .unwrap_err()
        .to_string();
    let needs = ": a replay needs weights and classifications";
    assert_eq!(error, format!("{missing}{needs}"));
    let out = dir.path().join("out.safetensors");
    let choice = CaptureChoice::epoch(Epoch(2));
    let error = export(&run, choice, &out, false).unwrap_err();
    assert_eq!(error.to_string(), missing);
}

#[test]
fn half_precision_takes_less_room() {
    let dir = tempfile::tempdir().unwrap();
    let record = |name: &str, precision| {
        let path = dir.path().join(name);
        let recorded = Recorded {
            precision,
            ..EVERYTHING
        };
        let mut options = options(&path, Some(recorded));
        // As `recorder train` has it.
        options.train.hidden = vec![128, 64];
        let (parameters, summary) = final_parameters(&options);
        let sizes = summary.recorded.unwrap().1.sink.by_table;
        let bytes = |table: Table| sizes[table as usize].1 as f64;
        let run = RunDir::open(&path).unwrap();
        (
            run,
            parameters,
            [Table::Weights, Table::Activations].map(bytes),
        )
    };
    let (_, _, single) = record("single", Precision::F32);
    let (run, parameters, half) = record("half", Precision::F16);
    let ratios = [half[0] / single[0], half[1] / single[1]];
    println!(
        "bytes of f16 to f32: weights {:.3}, activations {:.3}",
        ratios[0], ratios[1]
    );
    assert!(ratios[0] < 0.7 && ratios[1] < 0.7, "{ratios:?}");

    assert_eq!(run.info().config["record"]["precision"], "f16");
    let rows = read_part(run.path(), Table::Weights, 2, Some("L_hidden_1")).unwrap();
    let found = rows["weights"].as_list::<i32>().values();
    let found = found.as_primitive::<Float32Type>().values();
    let trained = &parameters.layers[1].weights;
    let rounded: Vec<f32> = trained
        .iter()
        .map(|&weight| half::f16::from_f32(weight).to_f32())
        .collect();
    assert_eq!(found, &rounded[..]);
    let largest = rows["weight_max"].as_primitive::<Float32Type>().value(0);
    assert_eq!(
        largest,
        trained[..128].iter().copied().fold(f32::MIN, f32::max)
    );

    let replayed = replay(&run, CaptureChoice::epoch(Epoch(2))).unwrap();
    assert_eq!(replayed.precision, Precision::F16);
    assert!(!replayed.different.is_empty());
}

#[test]
fn histograms_are_of_all_values_of_a_layer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let recorded = Recorded {
        histograms: NonZeroU32::new(4),
        weights: Some(WeightDetail::Statistics),
        units: NonZeroU32::new(2),
        ..EVERYTHING
    };
    let (parameters, _) = final_parameters(&options(&path, Some(recorded)));
    let rows = read_part(&path, Table::Histograms, 2, Some("L_hidden_1")).unwrap();
    let of: Vec<_> = rows["of"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(of, ["weights", "activations"]);
    let list = |column: &str, row| {
        let values = rows[column].as_list::<i32>().value(row);
        values.as_primitive::<Float32Type>().values().to_vec()
    };
    let sum = |row| list("counts", row).iter().sum::<f32>();
    // 12 units with 24 weights each, and 297 samples.
    assert_eq!((sum(0), sum(1)), (12.0 * 24.0, 12.0 * 297.0));
    let weights = &parameters.layers[1].weights;
    let edges = list("edges", 0);
    let least = weights.iter().copied().fold(f32::MAX, f32::min);
    let largest = weights.iter().copied().fold(f32::MIN, f32::max);
    assert_eq!((edges[0], edges[4]), (least, largest));
    let upper_half = weights.iter().filter(|&&w| w >= edges[2]).count() as f32;
    let counts = list("counts", 0);
    assert_eq!(counts[2] + counts[3], upper_half);
    // After a ReLU.
    assert_eq!(list("edges", 1)[0], 0.0);
}

#[test]
fn a_training_batch_is_recorded_as_the_captured_network_sees_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let both: Phases = "eval,train".parse().unwrap();
    let recorded = Recorded {
        phases: both,
        ..EVERYTHING
    };
    let mut options = options(&path, Some(recorded));
    options.record_initial = true;
    let (parameters, _) = final_parameters(&options);
    let run = RunDir::open(&path).unwrap();
    assert_eq!(run.info().config["record"]["phases"], "eval,train");
    // Nothing else is changed by it.
    let without = dir.path().join("without");
    let (others, _) = final_parameters(&self::options(&without, Some(EVERYTHING)));
    assert_eq!(bits(&parameters), bits(&others));

    let catalog = Catalog::load(&run).unwrap();
    let files = |epoch: i32, layer: &str| {
        let table = Table::Activations.name();
        let files = catalog.select(table, |e, l| e == epoch && l == Some(layer));
        files
            .into_iter()
            .map(|file| catalog.file(file).path.to_owned())
    };
    let initial: Vec<_> = files(-1, "L_input").collect();
    assert_eq!(initial.len(), 2);
    let path = files(2, "L_output").find(|path| path.ends_with("-1.parquet"));
    let file = std::fs::File::open(run.path().join(path.unwrap())).unwrap();
    let mut rows = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let rows = rows.next().unwrap().unwrap();
    let phases = rows["phase"].as_string::<i32>();
    assert!(phases.iter().all(|phase| phase == Some("train")));
    assert_eq!(rows["batch"].as_primitive::<Int32Type>().values(), &[0; 10]);

    // The logits of the epoch's first 64 samples, by the weights at its end.
    let dataset = Dataset::load(DatasetKind::Digits, options.train.seed, 64).unwrap();
    let batch = dataset
        .train_batches(options.train.seed, Epoch(2), 64)
        .next()
        .unwrap();
    let config = options.train.model(&dataset).unwrap();
    let device = Default::default();
    let model = Network::<Flex>::from_parameters(&config, &parameters, &device).unwrap();
    let inputs = burn::tensor::TensorData::new(batch.inputs_of(0..64).to_vec(), [64, 64]);
    let logits = model.forward(burn::tensor::Tensor::from_data(inputs, &device));
    let logits: Vec<f32> = logits.into_data().into_vec().unwrap();
    for unit in 0..10 {
        let recorded = rows["activations"].as_list::<i32>().value(unit);
        let expected: Vec<f32> = logits.iter().skip(unit).step_by(10).copied().collect();
        assert_eq!(
            recorded.as_primitive::<Float32Type>().values(),
            &expected[..]
        );
    }
}

#[test]
fn of_wide_layers_some_units_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let some = Recorded {
        units: NonZeroU32::new(11),
        ..EVERYTHING
    };
    let (parameters, _) = final_parameters(&options(&path, Some(some)));
    let run = RunDir::open(&path).unwrap();
    assert_eq!(run.info().config["record"]["units"], 11);
    for (layer, parameters) in run.info().layers.layers().iter().zip(&parameters.layers) {
        let fan_in = layer.fan_in as usize;
        // 24, 12 and 10 units.
        assert_eq!(layer.num_recorded_units(), layer.num_units.min(11));
        for table in [Table::Weights, Table::Activations] {
            let rows = read_part(&path, table, 2, Some(layer.layer.as_str())).unwrap();
            let units: Vec<i32> = layer.units().map(u32::cast_signed).collect();
            assert_eq!(
                rows["unit"].as_primitive::<Int32Type>().values(),
                &units[..]
            );
        }
        let rows = read_part(&path, Table::Weights, 2, Some(layer.layer.as_str())).unwrap();
        for (row, unit) in layer.units().enumerate() {
            let found = rows["weights"].as_list::<i32>().value(row);
            let expected = &parameters.weights[unit as usize * fan_in..][..fan_in];
            assert_eq!(found.as_primitive::<Float32Type>().values(), expected);
        }
    }

    let partial =
        "layer L_input was recorded in part: 11 of its 24 units, as the run was told (--units)";
    let error = replay(&run, CaptureChoice::epoch(Epoch(2)))
        .unwrap_err()
        .to_string();
    assert_eq!(error, partial);
    let out = dir.path().join("out.safetensors");
    let error = export(&run, CaptureChoice::epoch(Epoch(2)), &out, false).unwrap_err();
    assert_eq!(error.to_string(), partial);
}

#[test]
fn what_is_missing_for_a_replay_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let only_metrics = Recorded {
        weights: None,
        classifications: false,
        activations: None,
        ..Recorded::DEFAULT
    };
    final_parameters(&options(&path, Some(only_metrics)));
    let error = replay(
        &RunDir::open(&path).unwrap(),
        CaptureChoice::epoch(Epoch(1)),
    )
    .unwrap_err()
    .to_string();
    assert_eq!(
        error,
        "epoch 1 has no weights of layer L_input: a replay needs weights and classifications"
    );
}

#[test]
fn a_failing_disk_stops_training_and_spares_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let mut options = options(&path, Some(EVERYTHING));
    options.train.epochs = 200;
    /// Takes the staging directory away after some epochs.
    struct Saboteur<'a>(&'a Path);
    impl SessionObserver for Saboteur<'_> {
        fn started(&mut self, _: &Resolution, _: Option<&Path>) {}
        fn epoch_done(&mut self, progress: &EpochProgress) {
            if progress.train.epoch.0 == 20 {
                std::fs::rename(self.0.join(".staging"), self.0.join("taken away")).unwrap();
                std::fs::write(self.0.join(".staging"), "in the way").unwrap();
            }
        }
    }
    let error = train(&options, &CancelToken::default(), &mut Saboteur(&path)).unwrap_err();
    let SessionError::Record {
        source: RecordError::Sink(cause),
        ..
    } = &error
    else {
        panic!("the sink's own error comes through, not {error:?}");
    };
    assert!(
        cause.to_string().contains("run"),
        "it names a path: {cause}"
    );
    let catalog = Catalog::load(&RunDir::open(&path).unwrap()).unwrap();
    let epochs: Vec<i32> = catalog.captures().iter().map(|c| c.id.epoch.0).collect();
    assert!(epochs.len() < 200);
    assert_eq!(epochs, (0..epochs.len() as i32).collect::<Vec<_>>());
    for file in catalog.files() {
        assert!(path.join(file.path).exists(), "{}", file.path);
    }
}

#[test]
fn a_cancelled_session_keeps_what_was_captured() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let cancel = CancelToken::default();
    let options = options(&path, Some(EVERYTHING));
    let summary = train(&options, &cancel, &mut CancelAt(1, cancel.clone())).unwrap();
    assert!(summary.interrupted);
    assert_eq!(summary.last_epoch.unwrap().train.epoch, Epoch(1));
    let catalog = Catalog::load(&RunDir::open(&path).unwrap()).unwrap();
    assert_eq!(catalog.captures().len(), 2);
    assert!(!path.join(".staging").exists());
}

/// Cancels once an epoch is done.
struct CancelAt(i32, CancelToken);

impl SessionObserver for CancelAt {
    fn started(&mut self, _: &Resolution, _: Option<&Path>) {}
    fn epoch_done(&mut self, progress: &EpochProgress) {
        if progress.train.epoch.0 == self.0 {
            self.1.cancel();
        }
    }
}

#[test]
fn a_session_cancelled_after_its_last_epoch_was_interrupted_and_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let cancel = CancelToken::default();
    let options = options(&path, Some(EVERYTHING));
    let summary = train(&options, &cancel, &mut CancelAt(2, cancel.clone())).unwrap();
    assert!(summary.interrupted);
    assert_eq!(summary.last_epoch.unwrap().train.epoch, Epoch(2));
    assert_eq!(summary.recorded.unwrap().1.num_captures, 3);
}

/// A recording into which one epoch was handed over.
fn recording_of_one_epoch(path: &Path) -> Recording<Flex> {
    let options = options(path, Some(EVERYTHING));
    let resolution = options.device.resolve().unwrap();
    let cancel = CancelToken::default();
    let device = Default::default();
    let mut session =
        Session::<Autodiff<Flex>>::try_new(&options, &resolution, device, &cancel).unwrap();
    let mut recording = session.start_recording(EVERYTHING).unwrap();
    let EpochOutcome::Completed(report) = session.trainer.run_epoch(Epoch(0)).unwrap() else {
        panic!("nobody asked to stop");
    };
    session.end_epoch(report, Some(&mut recording)).unwrap();
    recording
}

fn device_failure() -> SessionError {
    let reason = "the cable came off".to_owned();
    let source = burn::tensor::backend::ExecutionError::WithContext { reason };
    TrainError::Device(source).into()
}

#[test]
fn a_failing_device_leaves_what_was_captured() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let recording = recording_of_one_epoch(&path);
    let error = finish_recording::<(), _>(Err(device_failure()), Some(recording)).unwrap_err();
    assert_eq!(error.run(), Some(path.as_path()));
    assert_eq!(
        error.to_string(),
        format!(
            "training failed while it was recorded into {}",
            path.display()
        )
    );
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the device failed");
    let catalog = Catalog::load(&RunDir::open(&path).unwrap()).unwrap();
    assert_eq!(catalog.captures().len(), 1);
    assert!(!path.join(".staging").exists());
}

#[test]
fn a_failing_device_and_a_failing_disk_are_both_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let recording = recording_of_one_epoch(&path);
    // Nothing can be published any more: neither the capture nor, had it been in time, the last
    // metrics.
    std::fs::rename(path.join(".staging"), path.join("taken away")).unwrap();
    std::fs::write(path.join(".staging"), "in the way").unwrap();
    let error = finish_recording::<(), _>(Err(device_failure()), Some(recording)).unwrap_err();
    let SessionError::TrainRecorded {
        source: TrainError::Device(_),
        recording: Some(why),
        ..
    } = &error
    else {
        panic!("the device's failure is the cause, the disk's is told, not {error:?}");
    };
    let message = error.to_string();
    assert!(
        message.contains(&format!(", and not all of it could be kept ({why}")),
        "{message}"
    );
}

#[test]
fn metrics_say_what_recording_cost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let (_, summary) = final_parameters(&options(&path, Some(EVERYTHING)));
    let total = summary.recorded.unwrap().1.sink;

    let catalog = Catalog::load(&RunDir::open(&path).unwrap()).unwrap();
    let mut sums = std::collections::BTreeMap::<String, f64>::new();
    for file in catalog.files().filter(|f| f.table == "metrics") {
        let file = std::fs::File::open(path.join(file.path)).unwrap();
        for rows in ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap()
        {
            let rows = rows.unwrap();
            let names = rows["name"].as_string::<i32>();
            let values = rows["value"].as_primitive::<arrow::datatypes::Float64Type>();
            for (name, value) in names.iter().flatten().zip(values.values()) {
                *sums.entry(name.to_owned()).or_default() += value;
            }
        }
    }
    // Increments: they add up to the totals, save what the last publish itself cost.
    assert_eq!(sums["sink.num_captures"], 3.0);
    assert_eq!(sums["sink.num_parts"], total.num_parts as f64 - 1.0);
    assert!(sums["sink.publish_ms"] > 0.0 && sums["sink.publish_ms"] < total.publish_ms);
    assert!(sums["recorder.read_back_ms"] > 0.0);
    for name in [
        "recorder.hand_off_ms",
        "recorder.stall_ms",
        "recorder.rows_ms",
        "learning_rate",
    ] {
        assert!(sums.contains_key(name), "{name}");
    }
}

#[test]
fn gradients_and_moments_are_those_that_led_to_the_weights() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let everything = Recorded {
        gradients: true,
        gradients_applied: true,
        moments: true,
        ..EVERYTHING
    };
    let (off, _) = final_parameters(&options(dir.path(), None));
    let mut options = options(&path, Some(everything));
    options.record_initial = true;
    let (on, _) = final_parameters(&options);
    assert_eq!(bits(&off), bits(&on));
    let values = |rows: &arrow::array::RecordBatch| -> Vec<f32> {
        let weights = rows["weights"].as_list::<i32>().values();
        weights.as_primitive::<Float32Type>().values().to_vec()
    };
    for epoch in 0..3 {
        for layer in ["L_input", "L_hidden_1", "L_output"] {
            let gradients = read_part(&path, Table::Gradients, epoch, Some(layer)).unwrap();
            let moments = read_parts(&path, Table::Moments, epoch, Some(layer));
            let [first, second] = &moments[..] else {
                panic!("a file a moment, not {}", moments.len())
            };
            assert_eq!(values(&gradients).len(), values(first).len());
            assert!(values(second).iter().all(|value| *value >= 0.0));
            assert!(values(&gradients).iter().any(|value| *value != 0.0));
            // Nothing clips them here.
            let applied = read_part(&path, Table::GradientsApplied, epoch, Some(layer)).unwrap();
            assert_eq!(applied, gradients);
        }
    }
    assert!(read_parts(&path, Table::Gradients, -1, Some("L_output")).is_empty());
}
