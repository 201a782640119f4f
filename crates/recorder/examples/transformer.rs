//! A transformer encoder, recorded by way of its optimizer: shared and frozen parameters, layers
//! chosen by name, captures by step.
//!
//! The task: a sequence of eight tokens holds an `A` and a `B`; which of them comes first? The
//! embedding of the tokens is shared with an output that names the token that was read last, the
//! embedding of positions is frozen.
//!
//! `cargo run -p recorder --example transformer [DIRECTORY]`

#![expect(clippy::print_stdout, reason = "it is what a program says")]

use std::error::Error;
use std::path::PathBuf;

use burn::backend::{Autodiff, Flex};
use burn::module::{Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, Optimizer};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use recorder::{LayerSelection, Recorded, SharedRecorder, TraceRecorder};

type Trained = Autodiff<Flex>;

const NUM_TOKENS: usize = 12;
const LENGTH: usize = 8;
const WIDTH: usize = 16;
const BATCH_SIZE: usize = 32;
const STEPS_PER_EPOCH: u32 = 20;
const NUM_EPOCHS: u32 = 3;

#[derive(Module, Debug)]
struct Encoder<B: Backend> {
    tokens: Embedding<B>,
    /// Frozen.
    positions: Embedding<B>,
    encoder: TransformerEncoder<B>,
    first: Linear<B>,
    /// Its weight is that of `tokens`.
    last: TiedOutput<B>,
}

/// Scores of the tokens: products with their embeddings.
#[derive(Module, Debug)]
struct TiedOutput<B: Backend> {
    /// `[NUM_TOKENS, WIDTH]`.
    weight: Param<Tensor<B, 2>>,
    bias: Param<Tensor<B, 1>>,
}

impl Encoder<Trained> {
    fn new(device: &burn::tensor::Device<Trained>) -> Self {
        let tokens: Embedding<Trained> = EmbeddingConfig::new(NUM_TOKENS, WIDTH).init(device);
        let shared = tokens.weight.clone();
        Self {
            // Two places, one parameter: the same id and the same values.
            last: TiedOutput {
                weight: Param::initialized(shared.id, tokens.weight.val()),
                bias: Param::from_tensor(Tensor::zeros([NUM_TOKENS], device)),
            },
            tokens,
            positions: EmbeddingConfig::new(LENGTH, WIDTH).init(device).no_grad(),
            encoder: TransformerEncoderConfig::new(WIDTH, 2 * WIDTH, 2, 2)
                .with_dropout(0.0)
                .init(device),
            first: LinearConfig::new(WIDTH, 2).init(device),
        }
    }

    /// Scores of which comes first, and of the last token: `[num_sequences, 2]` and
    /// `[num_sequences, NUM_TOKENS]`.
    fn forward(&self, tokens: Tensor<Trained, 2, Int>) -> [Tensor<Trained, 2>; 2] {
        let device = tokens.device();
        let positions = Tensor::arange(0..LENGTH as i64, &device).unsqueeze::<2>();
        let x = self.tokens.forward(tokens) + self.positions.forward(positions);
        let x = self.encoder.forward(TransformerEncoderInput::new(x));
        let [num_sequences, ..] = x.dims();
        let last = x
            .clone()
            .narrow(1, LENGTH - 1, 1)
            .reshape([num_sequences, WIDTH]);
        let mean = x.mean_dim(1).reshape([num_sequences, WIDTH]);
        let scores = last.matmul(self.last.weight.val().transpose());
        [
            self.first.forward(mean),
            scores + self.last.bias.val().unsqueeze(),
        ]
    }
}

/// Sequences `[BATCH_SIZE, LENGTH]`, which of 0 and 1 comes first in each, and its last token. They
/// follow from `step` alone.
fn batch(step: u32) -> [Vec<i32>; 3] {
    let mut state = u64::from(step) + 1;
    let mut draw = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut tokens, mut first, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..BATCH_SIZE {
        let mut sequence: Vec<i32> = (0..LENGTH)
            .map(|_| 2 + draw(NUM_TOKENS - 2) as i32)
            .collect();
        let a = draw(LENGTH);
        let b = (a + 1 + draw(LENGTH - 1)) % LENGTH;
        (sequence[a], sequence[b]) = (0, 1);
        first.push(i32::from(b < a));
        last.push(sequence[LENGTH - 1]);
        tokens.extend(sequence);
    }
    [tokens, first, last]
}

fn main() -> Result<(), Box<dyn Error>> {
    let run = std::env::args_os().nth(1);
    let run = run.map_or_else(|| "traces/transformer".into(), PathBuf::from);
    let device = Default::default();
    let mut model = Encoder::new(&device);
    let recorder = TraceRecorder::builder(&run)
        .record(Recorded {
            classifications: false,
            activations: None,
            gradients: true,
            moments: true,
            ..Recorded::default()
        })
        // Attention, embeddings and outputs, not what normalises them.
        .layers(LayerSelection::try_new(["*", "!*norm*"])?)
        .schedule("5steps".parse()?)
        .num_epochs(NUM_EPOCHS)
        .label("first", "which_comes_first")
        .start(&model)?;
    let recorder = SharedRecorder::new(recorder, STEPS_PER_EPOCH);
    // The wrapper sees every step; the loop stays as it is.
    let mut optimizer = recorder.optimizer_with_moments(AdamConfig::new().init());

    let cross_entropy = CrossEntropyLossConfig::new().init(&device);
    for step in 0..NUM_EPOCHS * STEPS_PER_EPOCH {
        let [tokens, first, last] = batch(step);
        let classes = |classes: Vec<i32>| {
            let classes = TensorData::new(classes, [BATCH_SIZE]);
            Tensor::<Trained, 1, Int>::from_data(classes, &device)
        };
        let tokens = TensorData::new(tokens, [BATCH_SIZE, LENGTH]);
        let [of_first, of_last] = model.forward(Tensor::from_data(tokens, &device));
        let loss = cross_entropy.forward(of_first, classes(first))
            + cross_entropy.forward(of_last, classes(last));
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(2e-3, model, gradients);
    }
    let summary = recorder.finish()?;
    println!("{} captures in {}", summary.num_captures, run.display());
    Ok(())
}
