//! A training loop of one's own, recorded: a small convolutional network on the handwritten digits.
//!
//! `cargo run -p recorder --example cnn [DIRECTORY]`, and then, for instance,
//! `cargo run -p query -- sql DIRECTORY "SELECT epoch, layer, avg(weight_l2) FROM weights GROUP BY 1, 2 ORDER BY 1, 2"`.

#![expect(clippy::print_stdout, reason = "it is what a program says")]

use std::error::Error;
use std::path::PathBuf;

use burn::backend::{Autodiff, Flex};
use burn::module::{AutodiffModule as _, Module};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, Optimizer as _};
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use recorder::{Dataset, DatasetKind, Loss, Recorded, Samples, Targets, TraceRecorder};

type Trained = Autodiff<Flex>;

const NUM_EPOCHS: i32 = 3;
const BATCH_SIZE: usize = 64;
const SEED: u64 = 42;

#[derive(Module, Debug)]
struct Cnn<B: Backend> {
    conv1: Conv2d<B>,
    norm: BatchNorm<B>,
    conv2: Conv2d<B>,
    head: Linear<B>,
}

/// What the layers make of images `[num_samples, 1, 8, 8]`.
struct Forward<B: Backend> {
    /// `[num_samples, 8, 6, 6]`, after the non-linearity.
    conv1: Tensor<B, 4>,
    /// `[num_samples, 16, 4, 4]`, after the non-linearity.
    conv2: Tensor<B, 4>,
    /// `[num_samples, 10]`.
    logits: Tensor<B, 2>,
}

impl<B: Backend> Cnn<B> {
    fn new(device: &B::Device) -> Self {
        Self {
            conv1: Conv2dConfig::new([1, 8], [3, 3]).init(device),
            norm: BatchNormConfig::new(8).init(device),
            conv2: Conv2dConfig::new([8, 16], [3, 3]).init(device),
            head: LinearConfig::new(16 * 4 * 4, 10).init(device),
        }
    }

    fn forward(&self, images: Tensor<B, 4>) -> Forward<B> {
        let conv1 = relu(self.norm.forward(self.conv1.forward(images)));
        let conv2 = relu(self.conv2.forward(conv1.clone()));
        let logits = self.head.forward(conv2.clone().flatten(1, 3));
        Forward {
            conv1,
            conv2,
            logits,
        }
    }
}

fn images<B: Backend>(samples: &Samples, device: &B::Device) -> Tensor<B, 4> {
    let pixels = TensorData::new(samples.inputs().to_vec(), [samples.len(), 1, 8, 8]);
    Tensor::from_data(pixels, device)
}

fn main() -> Result<(), Box<dyn Error>> {
    let run = std::env::args_os()
        .nth(1)
        .map_or_else(|| "traces/cnn".into(), PathBuf::from);
    let device = Default::default();
    let digits = Dataset::load(DatasetKind::Digits, SEED, BATCH_SIZE)?;
    let mut model = Cnn::<Trained>::new(&device);
    let mut optimizer = AdamConfig::new().init();
    let cross_entropy = CrossEntropyLossConfig::new().init(&device);

    // One: say what is recorded, and where to.
    let mut recorder = TraceRecorder::builder(&run)
        .record(Recorded {
            gradients: true,
            moments: true,
            ..Recorded::default()
        })
        .schedule("1epoch".parse()?)
        .num_epochs(NUM_EPOCHS as u32)
        .class_names(digits.class_names())
        .start(&model)?;

    let mut step = 0;
    for epoch in 0..NUM_EPOCHS {
        for batch in digits.train_batches(SEED, trace::Epoch(epoch), BATCH_SIZE) {
            let Targets::Classes(classes) = batch.targets() else {
                unreachable!("digits have classes")
            };
            let classes = TensorData::new(classes.clone(), [classes.len()]);
            let classes = Tensor::<Trained, 1, Int>::from_data(classes, &device);
            let logits = model.forward(images(&batch, &device)).logits;
            let gradients = cross_entropy.forward(logits, classes).backward();
            let gradients = GradientsParams::from_grads(gradients, &model);
            recorder.gradients(&model, &gradients)?;
            model = optimizer.step(1e-3, model, gradients);
            step += 1;
        }
        if recorder.is_due(epoch) {
            // What it makes of images that it has not seen.
            let held_out = digits.held_out();
            let forward = model.valid().forward(images(held_out, &device));
            recorder.activations("conv1", forward.conv1)?;
            recorder.activations("conv2", forward.conv2)?;
            recorder.activations("head", forward.logits.clone())?;
            let targets = held_out.targets().clone();
            recorder.classifications(Loss::SoftmaxCrossEntropy, forward.logits, targets)?;
            recorder.moments(&model, &optimizer)?;
        }
        // Two: at the end of every epoch.
        recorder.capture(&model, epoch, step)?;
    }
    // Three: until everything is on the disk.
    let summary = recorder.finish()?;
    println!("{} captures in {}", summary.num_captures, run.display());
    Ok(())
}
