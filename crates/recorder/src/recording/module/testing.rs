//! Networks whose layers are described in tests.

use std::collections::HashMap;

use burn::backend::{Autodiff, Flex};
use burn::module::{Module, Param};
use burn::nn::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear,
    LinearConfig, Lstm, LstmConfig,
};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::ModuleLayers;

pub(super) type Trained = Autodiff<Flex>;

#[derive(Module, Debug)]
pub(super) struct Zoo<B: Backend> {
    pub(super) convolution: Conv2d<B>,
    pub(super) norm: BatchNorm<B>,
    pub(super) up: ConvTranspose2d<B>,
    pub(super) tokens: Embedding<B>,
    pub(super) blocks: Vec<Block<B>>,
    pub(super) positions: Param<Tensor<B, 2>>,
    pub(super) recurrent: Lstm<B>,
    pub(super) head: Option<Linear<B>>,
}

#[derive(Module, Debug)]
pub(super) struct Block<B: Backend> {
    pub(super) attention: MultiHeadAttention<B>,
    pub(super) norm: LayerNorm<B>,
}

pub(super) fn zoo<B: Backend>() -> Zoo<B> {
    let device = Default::default();
    let block = || Block {
        attention: MultiHeadAttentionConfig::new(4, 2).init(&device),
        norm: LayerNormConfig::new(4).init(&device),
    };
    Zoo {
        convolution: Conv2dConfig::new([3, 8], [2, 5]).init(&device),
        norm: BatchNormConfig::new(8).init(&device),
        up: ConvTranspose2dConfig::new([8, 6], [2, 2])
            .with_groups(2)
            .init(&device),
        tokens: EmbeddingConfig::new(10, 4).init(&device),
        blocks: vec![block(), block()],
        positions: Param::from_tensor(Tensor::zeros([7, 4], &device)),
        recurrent: LstmConfig::new(4, 5, true).init(&device),
        head: Some(LinearConfig::new(4, 2).with_bias(false).init(&device)),
    }
}

pub(super) fn of<M: Module<Trained>>(module: &M) -> ModuleLayers {
    ModuleLayers::of(module, true, &HashMap::new()).unwrap()
}

pub(super) fn described(layers: &ModuleLayers) -> Vec<(&str, &str, &[u64], u32, u32)> {
    let layers = layers.topology().layers().iter();
    layers
        .map(|layer| {
            let shape = layer.shape.as_slice();
            let label = layer.layer.as_str();
            assert_eq!(layer.module_path, label);
            (
                label,
                layer.kind.as_str(),
                shape,
                layer.num_units,
                layer.fan_in,
            )
        })
        .collect()
}

#[derive(Module, Debug)]
pub(super) struct Tied<B: Backend> {
    pub(super) encoder: Linear<B>,
    pub(super) decoder: Linear<B>,
    pub(super) frozen: Linear<B>,
}

pub(super) fn tied() -> Tied<Trained> {
    let device = Default::default();
    let encoder: Linear<Trained> = LinearConfig::new(3, 3).init(&device);
    let weight = encoder.weight.val();
    let id = encoder.weight.id;
    let mut decoder: Linear<Trained> = LinearConfig::new(3, 3).init(&device);
    decoder.weight = Param::initialized(id, weight);
    Tied {
        encoder,
        decoder,
        frozen: LinearConfig::new(3, 2).init(&device).no_grad(),
    }
}

/// A network that looks tokens up, with more dimensions than tokens, and averages them.
#[derive(Module, Debug)]
pub(super) struct Tokens<B: Backend> {
    pub(super) tokens: Embedding<B>,
    pub(super) positions: Embedding<B>,
    pub(super) input: Linear<B>,
}

pub(super) fn tokens() -> Tokens<Flex> {
    let device = Default::default();
    let mut embedding = EmbeddingConfig::new(3, 4).init(&device);
    // Of token t, dimension d is 10 t + d.
    let values = (0..12).map(|n| (10 * (n / 4) + n % 4) as f32);
    let values = burn::tensor::TensorData::new(values.collect(), [3, 4]);
    embedding.weight = Param::from_tensor(Tensor::from_data(values, &device));
    let mut positions = EmbeddingConfig::new(2, 4).init(&device);
    positions.weight = Param::from_tensor(Tensor::ones([2, 4], &device));
    let mut input = LinearConfig::new(4, 2).with_bias(false).init(&device);
    input.weight = Param::from_tensor(Tensor::ones([4, 2], &device));
    Tokens {
        tokens: embedding,
        positions,
        input,
    }
}
