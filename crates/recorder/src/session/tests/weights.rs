//! Recording changes no weight, and what it records are the network's own.

use burn::backend::Flex;

use super::*;
use crate::model::{LayerOutput, Network};

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
