//! What a recorded module is as a checkpoint.

use std::path::Path;

use burn::module::Param;
use burn::nn::conv::{ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use capture::{CaptureChoice, export};
use safetensors::{Dtype, SafeTensors};
use trace::RunDir;

use super::*;

/// A tensor as a checkpoint has it: name, type, shape, little-endian bytes.
type Saved = (String, Dtype, Vec<usize>, Vec<u8>);

fn floats(name: &str, shape: &[usize], values: &[f32]) -> Saved {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    (name.to_owned(), Dtype::F32, shape.to_vec(), bytes.collect())
}

/// A checkpoint's tensors, by name.
fn read(path: &Path) -> Vec<Saved> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let saved = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
        let (shape, data) = (view.shape().to_vec(), view.data().to_vec());
        (name.to_owned(), view.dtype(), shape, data)
    };
    let mut tensors: Vec<Saved> = file.iter().map(saved).collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

#[derive(Module, Debug)]
struct Net<B: Backend> {
    up: ConvTranspose2d<B>,
    norm: BatchNorm<B>,
    positions: Param<Tensor<B, 2>>,
    head: Linear<B>,
}

#[test]
fn a_burn_module_has_pytorchs_names_and_layouts() {
    let device = Default::default();
    let net = Net::<Flex> {
        up: ConvTranspose2dConfig::new([4, 6], [2, 3])
            .with_groups(2)
            .init(&device),
        norm: BatchNormConfig::new(3).init(&device),
        positions: Param::from_tensor(Tensor::ones([2, 2], &device)),
        head: LinearConfig::new(3, 2).with_bias(false).init(&device),
    };
    let values = |data: burn::tensor::TensorData| data.to_vec::<f32>().unwrap();
    // As PyTorch has them: a transposed convolution `[in, out/groups, ...]`, a linear layer
    // `[out, in]`.
    let bias = net.up.bias.as_ref().unwrap().val();
    let mut expected = vec![
        floats(
            "head.weight",
            &[2, 3],
            &values(net.head.weight.val().transpose().into_data()),
        ),
        floats("norm.bias", &[3], &values(net.norm.beta.val().into_data())),
        floats("norm.running_mean", &[3], &[0.0; 3]),
        floats("norm.running_var", &[3], &[1.0; 3]),
        floats(
            "norm.weight",
            &[3],
            &values(net.norm.gamma.val().into_data()),
        ),
        floats("positions", &[2, 2], &[1.0; 4]),
        floats("up.bias", &[6], &values(bias.into_data())),
        floats(
            "up.weight",
            &[4, 3, 2, 3],
            &values(net.up.weight.val().into_data()),
        ),
    ];
    expected.sort_by(|a, b| a.0.cmp(&b.0));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let mut recorder = TraceRecorder::builder(&path).start_inner(&net).unwrap();
    assert!(recorder.capture(&net, 0, 1).unwrap());
    recorder.finish().unwrap();
    let out = dir.path().join("net.safetensors");
    let run = RunDir::open(&path).unwrap();
    export(&run, CaptureChoice::default(), &out, false).unwrap();
    assert_eq!(read(&out), expected);
}
