//! burn-train's learner, recorded: a wrapper around its optimizer and a metric logger.
//!
//! `cargo run -p recorder --features burn-train --example learner [DIRECTORY]`

#![expect(clippy::print_stdout, reason = "it is what a program says")]

use std::error::Error;
use std::path::PathBuf;

use burn::backend::{Autodiff, Flex};
use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::InMemDataset;
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::AdamConfig;
use burn::tensor::activation::relu;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_train::metric::{AccuracyMetric, LossMetric};
use burn_train::{
    ClassificationOutput, InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep,
};
use recorder::{Dataset, DatasetKind, Samples, SharedRecorder, Targets, TraceRecorder};

type Trained = Autodiff<Flex>;

const NUM_EPOCHS: u32 = 3;
const BATCH_SIZE: usize = 64;
const SEED: u64 = 42;

#[derive(Module, Debug)]
struct Mlp<B: Backend> {
    hidden: Linear<B>,
    output: Linear<B>,
}

impl<B: Backend> Mlp<B> {
    fn forward(&self, batch: Batch<B>) -> ClassificationOutput<B> {
        let logits = self.output.forward(relu(self.hidden.forward(batch.inputs)));
        let cross_entropy = CrossEntropyLossConfig::new().init(&logits.device());
        let loss = cross_entropy.forward(logits.clone(), batch.classes.clone());
        ClassificationOutput::new(loss, logits, batch.classes)
    }
}

impl<B: AutodiffBackend> TrainStep for Mlp<B> {
    type Input = Batch<B>;
    type Output = ClassificationOutput<B>;

    fn step(&self, batch: Batch<B>) -> TrainOutput<ClassificationOutput<B>> {
        let output = self.forward(batch);
        TrainOutput::new(self, output.loss.backward(), output)
    }
}

impl<B: Backend> InferenceStep for Mlp<B> {
    type Input = Batch<B>;
    type Output = ClassificationOutput<B>;

    fn step(&self, batch: Batch<B>) -> ClassificationOutput<B> {
        self.forward(batch)
    }
}

#[derive(Debug, Clone)]
struct Batch<B: Backend> {
    /// `[num_samples, 64]`.
    inputs: Tensor<B, 2>,
    /// `[num_samples]`.
    classes: Tensor<B, 1, Int>,
}

/// Pixels and class.
type Digit = (Vec<f32>, i32);

#[derive(Clone)]
struct Digits;

impl<B: Backend> Batcher<B, Digit, Batch<B>> for Digits {
    fn batch(&self, digits: Vec<Digit>, device: &Device<B>) -> Batch<B> {
        let num_samples = digits.len();
        let (pixels, classes): (Vec<_>, Vec<_>) = digits.into_iter().unzip();
        let pixels = TensorData::new(pixels.concat(), [num_samples, 64]);
        Batch {
            inputs: Tensor::from_data(pixels, device),
            classes: Tensor::from_data(TensorData::new(classes, [num_samples]), device),
        }
    }
}

fn digits(samples: &Samples) -> Vec<Digit> {
    let Targets::Classes(classes) = samples.targets() else {
        unreachable!("digits have classes")
    };
    let pixels = samples.inputs().chunks(samples.num_inputs());
    pixels
        .map(<[f32]>::to_vec)
        .zip(classes.iter().copied())
        .collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let run = std::env::args_os().nth(1);
    let run = run.map_or_else(|| "traces/learner".into(), PathBuf::from);
    let device = Default::default();
    let dataset = Dataset::load(DatasetKind::Digits, SEED, BATCH_SIZE)?;
    let batches = dataset.train_batches(SEED, trace::Epoch(0), BATCH_SIZE);
    let train: Vec<Digit> = batches.flat_map(|batch| digits(&batch)).collect();
    let steps_per_epoch = train.len().div_ceil(BATCH_SIZE) as u32;

    let model: Mlp<Trained> = Mlp {
        hidden: LinearConfig::new(64, 32).init(&device),
        output: LinearConfig::new(32, 10).init(&device),
    };
    let recorder = TraceRecorder::builder(&run)
        .num_epochs(NUM_EPOCHS)
        .class_names(dataset.class_names())
        .start(&model)?;
    let recorder = SharedRecorder::new(recorder, steps_per_epoch);
    let optimizer = recorder.optimizer(AdamConfig::new().init());

    let loader = DataLoaderBuilder::new(Digits)
        .batch_size(BATCH_SIZE)
        .shuffle(SEED);
    let loader = loader.build(InMemDataset::new(train));
    let held_out = DataLoaderBuilder::new(Digits).batch_size(BATCH_SIZE);
    let held_out = held_out.build(InMemDataset::new(digits(dataset.held_out())));
    // burn-train's own files go beside the run, which has nothing but tables.
    let training = SupervisedTraining::new(run.with_extension("burn-train"), loader, held_out)
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .with_metric_logger(recorder.metric_logger())
        .with_application_logger(None)
        .num_epochs(NUM_EPOCHS as usize);
    training.launch(Learner::new(model, optimizer, 1e-3));

    let summary = recorder.finish()?;
    println!("{} captures in {}", summary.num_captures, run.display());
    Ok(())
}
