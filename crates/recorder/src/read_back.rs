//! Device to host.

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::{Tensor, TensorData};

/// Reads a tensor's values in row-major order, and waits for the device.
pub(crate) fn to_vec<B: Backend, const D: usize>(
    tensor: Tensor<B, D>,
) -> Result<Vec<f32>, ExecutionError> {
    Ok(floats(tensor.try_into_data()?))
}

/// Reads matrices of equal width, one below the other, and waits for the device once.
pub(crate) fn rows_to_vec<B: Backend>(
    mut tensors: Vec<Tensor<B, 2>>,
) -> Result<Vec<f32>, ExecutionError> {
    match tensors.len() {
        0 => Ok(Vec::new()),
        1 => to_vec(tensors.remove(0)),
        _ => to_vec(Tensor::cat(tensors, 0)),
    }
}

/// The values of what a [`Transaction`](burn::tensor::Transaction) read.
pub(crate) fn floats(data: TensorData) -> Vec<f32> {
    data.convert::<f32>()
        .into_vec()
        .expect("the values were converted to f32")
}
