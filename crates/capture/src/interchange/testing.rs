//! Checkpoints for tests, written by the `safetensors` crate's own writer.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// A tensor as a checkpoint has it: name, type, shape, little-endian bytes.
pub(crate) type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

pub(crate) fn tensor(name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Tensor {
    (name.to_owned(), dtype, shape.to_vec(), bytes.to_vec())
}

pub(crate) fn floats(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    tensor(name, Dtype::F32, shape, &bytes)
}

pub(crate) fn write(path: &Path, tensors: &[Tensor]) -> PathBuf {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    safetensors::serialize_to_file(views, None, path).unwrap();
    path.to_owned()
}

/// A checkpoint's tensors, by name.
pub(crate) fn read(path: &Path) -> Vec<Tensor> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<Tensor> = file
        .iter()
        .map(|(name, view)| tensor(name, view.dtype(), view.shape(), view.data()))
        .collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// An index beside shards, which names the shard of each tensor.
pub(crate) fn write_index(path: &Path, shards: &[(&str, &str)]) -> PathBuf {
    let weight_map: serde_json::Map<String, serde_json::Value> = shards
        .iter()
        .map(|(tensor, shard)| ((*tensor).to_owned(), (*shard).into()))
        .collect();
    let index = serde_json::json!({"metadata": {"total_size": 0}, "weight_map": weight_map});
    std::fs::write(path, index.to_string()).unwrap();
    path.to_owned()
}
