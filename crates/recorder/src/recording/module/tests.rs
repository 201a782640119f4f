use burn::backend::Flex;
use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::Tensor;

use super::testing::{tokens, zoo};
use super::*;

#[test]
fn what_an_embedding_makes_of_tokens_is_a_row_a_dimension() {
    use arrow::array::AsArray as _;
    use arrow::datatypes::{Float32Type, Int32Type};
    use burn::tensor::{Int, TensorData};
    use trace::Table;

    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let model = tokens();
    let builder = crate::TraceRecorder::<Flex>::builder(&run);
    let mut recorder = builder.start_inner(&model).unwrap();
    let sequences = TensorData::new(vec![0, 1, 2, 2], [2, 2]);
    let sequences = Tensor::<Flex, 2, Int>::from_data(sequences, &Default::default());
    let embedded = model.tokens.forward(sequences);
    recorder.activations("tokens", embedded.clone()).unwrap();
    let positions = Tensor::<Flex, 2, Int>::from_data([[0, 1], [0, 1]], &Default::default());
    let positions = model.positions.forward(positions);
    recorder.activations("positions", positions).unwrap();
    let scores = model.input.forward(embedded.mean_dim(1)).reshape([2, 2]);
    recorder.activations("L_input_", scores).unwrap();
    // A row a token is not what it makes of a sample.
    let by_token = Tensor::<Flex, 2>::ones([2, 3], &Default::default());
    let error = recorder.activations("tokens", by_token).unwrap_err();
    let told = "activations of layer tokens are [samples, ..., units] with 4 units, not [2, 3]";
    assert_eq!(error.to_string(), told);
    recorder.capture_inner(&model, 0, 1).unwrap();
    recorder.finish().unwrap();

    let read = |layer: &str| {
        let rows = crate::testing::read_part(&run, Table::Activations, 0, Some(layer)).unwrap();
        let ints = |name| rows[name].as_primitive::<Int32Type>().values().to_vec();
        let lists = rows["activations"].as_list::<i32>().values();
        let values = lists.as_primitive::<Float32Type>().values().to_vec();
        (ints("neuron"), ints("unit"), values)
    };
    // 3 tokens, 2 positions and 2 outputs are neurons 0 to 6. Of tokens 0 and 1 dimension d is 5 + d on
    // average, of 2 and 2 it is 20 + d.
    assert_eq!(
        read("tokens"),
        (
            vec![7, 8, 9, 10],
            vec![0, 1, 2, 3],
            vec![5.0, 20.0, 6.0, 21.0, 7.0, 22.0, 8.0, 23.0],
        )
    );
    let (neurons, ..) = read("positions");
    assert_eq!(neurons, [11, 12, 13, 14]);
    let (neurons, _, scores) = read("L_input_");
    assert_eq!(neurons, [5, 6]);
    assert_eq!(scores, [26.0, 86.0, 26.0, 86.0]);
}

#[test]
fn sixteen_bit_floats_are_exported_as_they_were() {
    use burn::tensor::FloatDType;
    use safetensors::{Dtype, SafeTensors};

    let dir = tempfile::tempdir().unwrap();
    let device = Default::default();
    let to = |dtype: FloatDType| {
        move |param: Param<Tensor<Flex, 2>>| Param::from_tensor(param.val().cast(dtype))
    };
    let mut model = zoo::<Flex>();
    model.tokens.weight = to(FloatDType::BF16)(model.tokens.weight);
    model.positions = to(FloatDType::F16)(model.positions);
    let up = Tensor::<Flex, 4>::ones([8, 3, 2, 2], &device) * 1.5;
    model.up.weight = Param::from_tensor(up.cast(FloatDType::F16));
    // 1 + 2^-7 and 3 have 8 bits and less of a mantissa.
    let weight = Tensor::<Flex, 2>::from_data([[1.0078125], [-3.0]], &device);
    model.head = Some(Linear {
        weight: Param::from_tensor(weight.cast(FloatDType::BF16)),
        bias: Some(Param::from_tensor(Tensor::from_data([0.1], &device))),
    });
    let run = dir.path().join("run");
    let mut recorder = crate::TraceRecorder::<Flex>::builder(&run)
        .start_inner(&model)
        .unwrap();
    // The types of what has no values yet are known as well.
    let model = model.map(&mut Used);
    recorder.capture_inner(&model, 0, 1).unwrap();
    recorder.finish().unwrap();

    let out = dir.path().join("model.safetensors");
    let run = trace::RunDir::open(&run).unwrap();
    crate::export(
        &run,
        crate::CaptureChoice::epoch(trace::Epoch(0)),
        &out,
        false,
    )
    .unwrap();
    let bytes = std::fs::read(&out).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let of = |name: &str| {
        let tensor = tensors.tensor(name).unwrap();
        (
            tensor.dtype(),
            tensor.shape().to_vec(),
            tensor.data().to_vec(),
        )
    };
    // PyTorch has [out, in].
    let bits = [0x3f81_u16, 0xc040].map(u16::to_le_bytes).concat();
    assert_eq!(of("head.weight"), (Dtype::BF16, vec![1, 2], bits));
    let bias = 0.1_f32.to_le_bytes().to_vec();
    assert_eq!(of("head.bias"), (Dtype::F32, vec![1], bias));
    assert_eq!(of("tokens.weight").0, Dtype::BF16);
    let (dtype, shape, values) = of("up.weight");
    assert_eq!((dtype, shape), (Dtype::F16, vec![8, 3, 2, 2]));
    assert_eq!(values, [0x3e00_u16.to_le_bytes(); 96].concat());
    assert_eq!(of("positions").0, Dtype::F16);
    assert_eq!(of("convolution.weight").0, Dtype::F32);
}

/// Draws all values.
struct Used;

impl<B: Backend> burn::module::ModuleMapper<B> for Used {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let _ = param.val();
        param
    }
}
