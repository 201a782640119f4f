use burn::backend::{Autodiff, Flex};

use super::*;
use crate::dataset::DatasetKind;
use crate::evaluation::{DEFAULT_EVALUATION_BATCH_SIZE, HeldOut};
use crate::model::LayerParameters;
use crate::testing::flat;

type Cpu = Autodiff<Flex>;

fn small(kind: DatasetKind) -> TrainConfig {
    TrainConfig {
        hidden: vec![24, 16],
        learning_rate: 3e-3,
        ..TrainConfig::default_for(kind)
    }
}

fn trainer(config: TrainConfig, kind: DatasetKind) -> Trainer<Cpu> {
    let dataset = Dataset::load(kind, config.seed, config.batch_size).unwrap();
    Trainer::try_new(
        config,
        Arc::new(dataset),
        Default::default(),
        CancelToken::default(),
    )
    .unwrap()
}

fn run(trainer: &mut Trainer<Cpu>, epoch: i32) -> EpochReport {
    match trainer.run_epoch(Epoch(epoch)).unwrap() {
        EpochOutcome::Completed(report) => report,
        EpochOutcome::Interrupted => panic!("nobody asked to stop"),
    }
}

/// Bits of all parameters after two epochs; `look` is called in between.
fn weights_after_two_epochs(
    config: TrainConfig,
    kind: DatasetKind,
    look: impl FnOnce(&Trainer<Cpu>),
) -> Vec<u32> {
    let mut trainer = trainer(config, kind);
    run(&mut trainer, 0);
    look(&trainer);
    run(&mut trainer, 1);
    let parameters = trainer.model().read_parameters().unwrap();
    let values = |l: LayerParameters| l.weights.into_iter().chain(l.bias);
    parameters
        .layers
        .into_iter()
        .flat_map(values)
        .map(f32::to_bits)
        .collect()
}

#[test]
fn one_seed_gives_the_same_weights_bit_for_bit() {
    for kind in DatasetKind::ALL {
        let weights = |seed| {
            weights_after_two_epochs(
                TrainConfig {
                    seed,
                    ..small(kind)
                },
                kind,
                |_| {},
            )
        };
        assert_eq!(weights(42), weights(42));
        assert_ne!(weights(42), weights(43));
    }
}

#[test]
fn holding_on_to_the_network_changes_nothing() {
    let kind = DatasetKind::Digits;
    let mut kept = None;
    let mut at_epoch_0 = None;
    let watched = weights_after_two_epochs(small(kind), kind, |trainer| {
        let model = trainer.model();
        kept = Some(model.clone());
        at_epoch_0 = Some(model.read_parameters().unwrap());
        let held_out = HeldOut::new(trainer.dataset.held_out(), 100, &Default::default());
        held_out
            .evaluate(&model, trainer.model_config().loss)
            .unwrap();
    });
    assert_eq!(watched, weights_after_two_epochs(small(kind), kind, |_| {}));

    // The handles still say what the network was when they were taken.
    let kept = kept.unwrap().read_parameters().unwrap();
    assert_eq!(kept, at_epoch_0.unwrap());
}

#[test]
fn a_trained_network_rebuilt_from_its_parameters_says_the_same_bit_for_bit() {
    let mut trainer = trainer(small(DatasetKind::Digits), DatasetKind::Digits);
    run(&mut trainer, 0);
    let model = trainer.model();
    let parameters = model.read_parameters().unwrap();
    let device = Default::default();
    let rebuilt = Network::from_parameters(trainer.model_config(), &parameters, &device).unwrap();

    let loss = trainer.model_config().loss;
    let held_out = HeldOut::new(
        trainer.dataset.held_out(),
        DEFAULT_EVALUATION_BATCH_SIZE,
        &device,
    );
    let evaluate = |model: &Network<Flex>| {
        let mut activations = vec![Vec::new(); model.num_layers()];
        let see = |layer: usize, output| activations[layer].push(output);
        let classifications = held_out.evaluate_traced(model, loss, see).unwrap();
        (classifications, activations)
    };
    let (trained, again) = (evaluate(&model), evaluate(&rebuilt));
    assert_eq!(trained.0, again.0);
    for (layer, same) in trained.1.into_iter().zip(again.1) {
        let bits = |batches: Vec<LayerOutput<Flex>>| -> Vec<u32> {
            rows_to_vec::<Flex>(batches.iter().map(flat).collect())
                .unwrap()
                .into_iter()
                .map(f32::to_bits)
                .collect()
        };
        assert_eq!(bits(layer), bits(same));
    }
}

#[test]
fn digits_are_learned() {
    let config = TrainConfig {
        hidden: vec![32],
        learning_rate: 3e-3,
        ..TrainConfig::default_for(DatasetKind::Digits)
    };
    let mut trainer = trainer(config, DatasetKind::Digits);
    let reports: Vec<EpochReport> = (0..10).map(|epoch| run(&mut trainer, epoch)).collect();
    assert_eq!((reports[0].step, reports[9].step), (Step(24), Step(240)));
    assert!(reports.iter().all(|report| report.num_samples == 1_500));
    // Ten classes: a network that knows nothing loses about ln 10 = 2.3.
    assert!((1.0..2.5).contains(&reports[0].train_loss), "{reports:?}");
    assert!(
        reports[9].train_loss < 0.3 && reports[9].train_score.value() > 0.9,
        "{reports:?}"
    );

    let held_out = HeldOut::new(trainer.dataset.held_out(), 512, &Default::default());
    let evaluation = held_out
        .evaluate(&trainer.model(), trainer.model_config().loss)
        .unwrap();
    assert!(evaluation.accuracy() > 0.85);
}

#[test]
fn the_notebook_takes_one_step_an_epoch() {
    let config = TrainConfig::default_for(DatasetKind::Notebook);
    let mut trainer = trainer(config, DatasetKind::Notebook);
    let report = run(&mut trainer, 0);
    assert_eq!((report.step, report.num_samples), (Step(1), 5));
    assert!(report.train_loss.is_finite());
    assert_eq!(run(&mut trainer, 1).step, Step(2));
}

#[test]
fn the_binary_loss_pulls_towards_the_target() {
    let config = TrainConfig {
        hidden: vec![],
        ..TrainConfig::default_for(DatasetKind::Notebook)
    };
    let mut trainer = trainer(config.clone(), DatasetKind::Notebook);
    let before = trainer.model().read_parameters().unwrap().layers.remove(0);
    let batch = trainer
        .dataset
        .train_batches(config.seed, Epoch(0), 5)
        .next()
        .unwrap();
    run(&mut trainer, 0);
    let after = trainer.model().read_parameters().unwrap().layers.remove(0);

    let (inputs, Targets::Soft(targets)) = batch.into_parts() else {
        panic!("the notebook's targets are soft")
    };
    // The gradient by the logit is σ(z) - t; by a weight, its mean times the input.
    let errors: Vec<f64> = inputs
        .chunks(20)
        .zip(&targets)
        .map(|(x, &t)| {
            let z: f64 = x
                .iter()
                .zip(&before.weights)
                .map(|(&x, &w)| f64::from(x * w))
                .sum::<f64>();
            1.0 / (1.0 + (-z - f64::from(before.bias[0])).exp()) - f64::from(t)
        })
        .collect();
    for input in 0..20 {
        let gradient: f64 = errors
            .iter()
            .enumerate()
            .map(|(sample, e)| e * f64::from(inputs[sample * 20 + input]) / 5.0)
            .sum();
        // Adam's first step, bias correction and all, is lr g / (|g| + ε), with Burn's ε of 1e-5.
        let moved = f64::from(before.weights[input] - after.weights[input]);
        let expected = 1e-3 * gradient / (gradient.abs() + 1e-5);
        assert!(
            (moved - expected).abs() < 1e-6,
            "weight {input} moved by {moved}, its gradient is {gradient}"
        );
    }
}

/// One linear layer on one sample of two outputs, a step of Adam: what each bias moved by, with the
/// output before.
fn bias_steps(targets: Targets) -> Vec<(f64, f64)> {
    let dataset = Dataset::of_one_sample(vec![1.0, -1.0], targets);
    let config = TrainConfig {
        hidden: vec![],
        batch_size: 1,
        ..TrainConfig::default_for(DatasetKind::Digits)
    };
    let mut trainer = Trainer::<Cpu>::try_new(
        config,
        Arc::new(dataset),
        Default::default(),
        CancelToken::default(),
    )
    .unwrap();
    let before = trainer.model().read_parameters().unwrap().layers.remove(0);
    run(&mut trainer, 0);
    let after = trainer.model().read_parameters().unwrap().layers.remove(0);
    (0..2)
        .map(|output| {
            let [a, b] = [0, 1].map(|input| f64::from(before.weights[2 * output + input]));
            let bias = f64::from(before.bias[output]);
            (bias - f64::from(after.bias[output]), a - b + bias)
        })
        .collect()
}

#[test]
fn several_labels_and_numbers_pull_each_output_towards_its_target() {
    let rows = |values: &[f32]| TargetRows {
        values: values.to_vec(),
        width: 2,
    };
    let targets = [0.25, 1.0];
    let by_labels = bias_steps(Targets::Labels(rows(&targets)));
    let by_values = bias_steps(Targets::Values(rows(&targets)));
    // The gradient by a logit: (σ(z) - t) / 2 of the mean of two labels, 2 (z - t) / 2 of that of
    // two squares. Adam's first step is lr g / (|g| + ε), with Burn's ε of 1e-5.
    let expected = |gradient: f64| 1e-3 * gradient / (gradient.abs() + 1e-5);
    for (output, target) in targets.into_iter().map(f64::from).enumerate() {
        let (moved, z) = by_labels[output];
        let gradient = (1.0 / (1.0 + (-z).exp()) - target) / 2.0;
        assert!(
            (moved - expected(gradient)).abs() < 1e-7,
            "label {output}: {moved}"
        );
        let (moved, z) = by_values[output];
        assert!(
            (moved - expected(z - target)).abs() < 1e-7,
            "number {output}: {moved}"
        );
    }
}

#[test]
fn a_cancelled_epoch_stops_at_a_step() {
    let config = small(DatasetKind::Digits);
    let dataset = Dataset::load(DatasetKind::Digits, config.seed, config.batch_size).unwrap();
    let cancel = CancelToken::default();
    let mut trainer = Trainer::<Cpu>::try_new(
        config,
        Arc::new(dataset),
        Default::default(),
        cancel.clone(),
    )
    .unwrap();
    run(&mut trainer, 0);
    cancel.cancel();
    assert_eq!(
        trainer.run_epoch(Epoch(1)).unwrap(),
        EpochOutcome::Interrupted
    );
    assert_eq!(trainer.step(), Step(24));
    // The network is still there.
    trainer.model().read_parameters().unwrap();
}

#[test]
fn senseless_configurations_are_refused() {
    let valid = TrainConfig::default_for(DatasetKind::Digits);
    assert_eq!(valid.validate(), Ok(()));
    let error = |change: fn(&mut TrainConfig)| {
        let mut config = valid.clone();
        change(&mut config);
        config.validate().unwrap_err()
    };
    assert_eq!(error(|c| c.epochs = 0), TrainConfigError::NoEpochs);
    assert_eq!(
        error(|c| c.epochs = 1 << 31),
        TrainConfigError::TooManyEpochs(1 << 31)
    );
    assert_eq!(error(|c| c.batch_size = 0), TrainConfigError::EmptyBatch);
    assert_eq!(
        error(|c| c.batch_size = MAX_BATCH_SIZE + 1),
        TrainConfigError::LargeBatch(1_048_577)
    );
    assert_eq!(
        error(|c| c.hidden = vec![3, 0]),
        TrainConfigError::EmptyLayer(2)
    );
    assert_eq!(
        error(|c| c.learning_rate = 0.0),
        TrainConfigError::LearningRate(0.0)
    );
    assert_eq!(
        error(|c| c.learning_rate = -1.0),
        TrainConfigError::LearningRate(-1.0)
    );
    for not_finite in [f64::NAN, f64::INFINITY] {
        let config = TrainConfig {
            learning_rate: not_finite,
            ..valid.clone()
        };
        assert!(matches!(
            config.validate(),
            Err(TrainConfigError::LearningRate(_))
        ));
    }
    let config = TrainConfig { epochs: 0, ..valid };
    let dataset = Arc::new(Dataset::load(DatasetKind::Digits, 0, 64).unwrap());
    assert!(
        Trainer::<Cpu>::try_new(config, dataset, Default::default(), CancelToken::default())
            .is_err()
    );
}
