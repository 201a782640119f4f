//! Several optimizers of one network, and one of several replicas.

use std::sync::mpsc::channel;
use std::time::Duration;

use burn::module::{Module, ParamId};
use burn::tensor::TensorData;
use burn::tensor::backend::{Backend, DeviceId};

use super::*;

/// More than a slow, busy machine takes for a step.
const LIMIT: Duration = Duration::from_secs(60);

/// Gradients of the mean of what the model makes of samples of which every input is `input`: of a
/// weight the input, of the bias 1.
fn gradients(model: &Linear<Trained>, input: f32) -> GradientsParams {
    let inputs = Tensor::<Trained, 2>::ones([3, 2], &Default::default()) * input;
    GradientsParams::from_grads(model.forward(inputs).mean().backward(), model)
}

fn step_by<O: Optimizer<Linear<Trained>, Trained>>(
    optimizer: &mut O,
    model: Linear<Trained>,
    gradients: GradientsParams,
) -> Linear<Trained> {
    optimizer.step(0.5, model, gradients)
}

/// What burn-train's data-parallel strategy does: every worker has a clone of the learner, and so of
/// the wrapped optimizer, and a fork of the model, and averages its gradients with the others'.
#[test]
fn workers_of_data_parallel_training_are_recorded_as_one_network() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let recorder = shared(&run, "1epoch");
    let optimizer = recorder.optimizer(SgdConfig::new().init());
    let start = model();
    let (to_first, from_second) = channel::<TensorData>();
    let (to_second, from_first) = channel::<TensorData>();
    let workers = [(1.0, to_second, from_second), (2.0, to_first, from_first)];
    let trained = std::thread::scope(|scope| {
        let workers = workers.into_iter().map(|(input, to_other, from_other)| {
            let (mut optimizer, start) = (optimizer.clone(), start.clone());
            scope.spawn(move || {
                let device = Default::default();
                let mut model = start.fork(&device);
                for _ in 0..12 {
                    let mut gradients = gradients(&model, input);
                    let id = model.weight.id;
                    let own = gradients.get::<Flex, 2>(id).unwrap();
                    to_other.send(own.to_data()).unwrap();
                    let other = from_other.recv_timeout(LIMIT).unwrap();
                    let other = Tensor::<Flex, 2>::from_data(other, &device);
                    gradients.register(id, (own + other) / 2.0);
                    model = step_by(&mut optimizer, model, gradients);
                }
                model.weight.val().into_data()
            })
        });
        let workers: Vec<_> = workers.collect();
        let trained = workers.into_iter().map(|worker| worker.join().unwrap());
        trained.collect::<Vec<_>>()
    });
    assert_eq!(trained[0], trained[1]);
    assert_eq!(recorder.finish().unwrap().num_captures, 3);
    assert_eq!(captures(&run), [(0, 4), (1, 8), (2, 12)]);
    // Every step takes half of 1.5, the mean of 1 and 2, from weights that are 1 at first.
    for (epoch, weight) in [(0, -2.0), (1, -5.0), (2, -8.0)] {
        assert_eq!(weights_of(&run, Table::Weights, epoch), [weight; 2]);
        assert_eq!(weights_of(&run, Table::Gradients, epoch), [1.5; 2]);
    }
}

/// What burn-train's learner does when it loads a checkpoint: the clone takes the optimizer's place.
#[test]
fn a_clone_that_goes_on_alone_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let recorder = shared(&run, "1epoch");
    let mut first = recorder.optimizer(SgdConfig::new().init());
    let mut recorded = model();
    for _ in 0..6 {
        recorded = step(&mut first, recorded);
    }
    let record = Optimizer::<Linear<Trained>, Trained>::to_record(&first);
    let mut second = first.clone().load_record(record);
    for _ in 0..6 {
        recorded = step(&mut second, recorded);
    }
    drop(first);
    recorder.finish().unwrap();
    assert_eq!(captures(&run), [(0, 4), (1, 8), (2, 12)]);
    assert_eq!(weights_of(&run, Table::Weights, 2), [-5.0; 2]);
}

#[test]
fn gradients_of_several_devices_are_recorded_as_their_sum() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let recorder = shared(&run, "1epoch");
    let mut optimizer = recorder.optimizer(SgdConfig::new().init());
    let mut recorded = model();
    let device = DeviceId::new(0, 0);
    for _ in 0..4 {
        let of_devices = [1.0, 2.0, 4.0].map(|input| (gradients(&recorded, input), device));
        let gradients = MultiGradientsParams {
            grads: of_devices.into(),
        };
        let optimizer: &mut RecordedOptimizer<_, Linear<Trained>, Trained> = &mut optimizer;
        recorded = optimizer.step_multi(0.5, recorded, gradients);
    }
    recorder.finish().unwrap();
    assert_eq!(captures(&run), [(0, 4)]);
    // 1 + 2 + 4; every step takes half of it.
    assert_eq!(weights_of(&run, Table::Gradients, 0), [7.0; 2]);
    assert_eq!(weights_of(&run, Table::Weights, 0), [-13.0; 2]);
}

#[derive(Module, Debug)]
struct Gan<B: Backend> {
    generator: Linear<B>,
    discriminator: Linear<B>,
}

fn gan() -> Gan<Trained> {
    Gan {
        generator: model(),
        discriminator: model(),
    }
}

/// Makes a step with the gradients of one of the networks, which want less of what it makes, or more.
fn step_of<O: Optimizer<Gan<Trained>, Trained>>(
    optimizer: &mut O,
    gan: Gan<Trained>,
    network: impl Fn(&Gan<Trained>) -> &Linear<Trained>,
    sign: f32,
) -> Gan<Trained> {
    let inputs = Tensor::<Trained, 2>::ones([3, 2], &Default::default());
    let loss = network(&gan).forward(inputs).mean() * sign;
    let ids: Vec<ParamId> = {
        let network = network(&gan);
        vec![network.weight.id, network.bias.as_ref().unwrap().id]
    };
    let gradients = GradientsParams::from_params(&mut loss.backward(), &gan, &ids);
    optimizer.step(0.5, gan, gradients)
}

fn recorder_of(run: &Path, gan: &Gan<Trained>, schedule: &str) -> SharedRecorder<Flex> {
    let recorded = Recorded {
        gradients: true,
        moments: true,
        ..Recorded::DEFAULT
    };
    let builder = TraceRecorder::builder(run).schedule(schedule.parse().unwrap());
    let recorder = builder.record(recorded).num_epochs(3).start(gan).unwrap();
    // Twice two steps of the discriminator and one of the generator.
    SharedRecorder::new(recorder, 6)
}

fn weights_of_layer(run: &Path, table: Table, epoch: i32, layer: &str) -> Vec<f32> {
    let rows = read_part(run, table, epoch, Some(layer)).unwrap();
    let lists = rows["weights"].as_list::<i32>().values();
    lists.as_primitive::<Float32Type>().values().to_vec()
}

#[test]
fn two_optimizers_of_one_network_are_recorded_together() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("gan");
    let mut gan = gan();
    let recorder = recorder_of(&run, &gan, "1epoch");
    let mut of_discriminator = recorder.optimizer(SgdConfig::new().init());
    let mut of_generator = recorder.optimizer(SgdConfig::new().init());
    for _ in 0..6 {
        for _ in 0..2 {
            gan = step_of(&mut of_discriminator, gan, |gan| &gan.discriminator, 1.0);
        }
        gan = step_of(&mut of_generator, gan, |gan| &gan.generator, -1.0);
    }
    assert_eq!(recorder.finish().unwrap().num_captures, 3);
    assert_eq!(captures(&run), [(0, 6), (1, 12), (2, 18)]);
    // A step takes half from each of the discriminator's weights, four times an epoch, and gives half
    // to each of the generator's, twice an epoch; all are 1 at first.
    for (epoch, discriminator, generator) in [(0, -1.0, 2.0), (1, -3.0, 3.0), (2, -5.0, 4.0)] {
        let of = |table, layer| weights_of_layer(&run, table, epoch, layer);
        assert_eq!(of(Table::Weights, "discriminator"), [discriminator; 2]);
        assert_eq!(of(Table::Weights, "generator"), [generator; 2]);
        assert_eq!(of(Table::Gradients, "discriminator"), [1.0; 2]);
        assert_eq!(of(Table::Gradients, "generator"), [-1.0; 2]);
    }
}

#[test]
fn moments_of_two_optimizers_are_recorded_together() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("gan");
    let mut gan = gan();
    let recorder = recorder_of(&run, &gan, "6steps");
    let mut of_discriminator = recorder.optimizer_with_moments(AdamConfig::new().init());
    let mut of_generator = recorder.optimizer_with_moments(AdamConfig::new().init());
    for _ in 0..2 {
        for _ in 0..2 {
            gan = step_of(&mut of_discriminator, gan, |gan| &gan.discriminator, 1.0);
        }
        gan = step_of(&mut of_generator, gan, |gan| &gan.generator, -1.0);
    }
    recorder.finish().unwrap();
    assert_eq!(captures(&run), [(0, 6)]);
    // Of a gradient that is always 1, with Adam's 0.9, after n steps 1 - 0.9^n.
    for (layer, moment) in [
        ("discriminator", 1.0 - 0.9_f32.powi(4)),
        ("generator", 0.9_f32.powi(2) - 1.0),
    ] {
        let parts = read_parts(&run, Table::Moments, 0, Some(layer));
        assert_eq!(parts.len(), 2, "{layer}");
        let lists = parts[0]["weights"].as_list::<i32>().values();
        for value in lists.as_primitive::<Float32Type>().values() {
            assert!((value - moment).abs() < 1e-6, "{layer}: {value}");
        }
    }
}

/// As where weights decay and biases do not.
#[test]
fn weights_and_biases_may_have_optimizers_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let recorder = shared(&run, "1epoch");
    let mut of_weights = recorder.optimizer(SgdConfig::new().init());
    let mut of_biases = recorder.optimizer(SgdConfig::new().init());
    let mut recorded = model();
    for _ in 0..2 {
        let mut all = gradients(&recorded, 3.0);
        let bias_id = recorded.bias.as_ref().unwrap().id;
        let mut of_bias = GradientsParams::new();
        let gradient = all.remove::<Flex, 1>(bias_id).unwrap();
        of_bias.register(bias_id, gradient);
        recorded = step_by(&mut of_weights, recorded, all);
        recorded = step_by(&mut of_biases, recorded, of_bias);
    }
    recorder.finish().unwrap();
    assert_eq!(captures(&run), [(0, 4)]);
    let gradients = read_part(&run, Table::Gradients, 0, Some("weight")).unwrap();
    assert_eq!(weights_of(&run, Table::Gradients, 0), [3.0; 2]);
    assert_eq!(
        gradients["bias"].as_primitive::<Float32Type>().values(),
        &[1.0]
    );
    let weights = read_part(&run, Table::Weights, 0, Some("weight")).unwrap();
    assert_eq!(weights_of(&run, Table::Weights, 0), [-2.0; 2]);
    assert_eq!(
        weights["bias"].as_primitive::<Float32Type>().values(),
        &[-1.0]
    );
}
