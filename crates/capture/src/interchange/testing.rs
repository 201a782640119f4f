//! Checkpoints for tests, written by the `safetensors` crate's own writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::checkpoint::{CheckpointLibrary, LibraryCheckpoint, LibraryError, LibraryTensor};

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

/// A library for tests, which reads what [`Foreign::write`] wrote.
#[derive(Debug, Default)]
pub(crate) struct TestLibrary {
    pub(crate) key: Option<String>,
}

/// A file that [`TestLibrary`] has open.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Foreign {
    pub(crate) epoch: Option<u64>,
    pub(crate) step: Option<u64>,
    pub(crate) notes: Vec<String>,
    /// Name, type, shape, bytes.
    pub(crate) tensors: Vec<(String, String, Vec<u64>, Vec<u8>)>,
    #[serde(skip)]
    described: Vec<LibraryTensor>,
}

impl Foreign {
    pub(crate) fn new(tensors: &[Tensor]) -> Self {
        let tensors = tensors.iter().map(|(name, dtype, shape, bytes)| {
            let shape = shape.iter().map(|&size| size as u64).collect();
            (name.clone(), dtype.to_string(), shape, bytes.clone())
        });
        Self {
            epoch: None,
            step: None,
            notes: Vec::new(),
            tensors: tensors.collect(),
            described: Vec::new(),
        }
    }

    pub(crate) fn at(mut self, epoch: Option<u64>, step: Option<u64>) -> Self {
        (self.epoch, self.step) = (epoch, step);
        self
    }

    /// Writes a file that begins as a zip file does.
    pub(crate) fn write(&self, path: &Path) -> PathBuf {
        let json = serde_json::to_vec(self).unwrap();
        std::fs::write(path, [ZIP, &json].concat()).unwrap();
        path.to_owned()
    }
}

const ZIP: &[u8] = b"PK\x03\x04";

impl CheckpointLibrary for TestLibrary {
    fn open(&self, path: &Path) -> Result<Arc<dyn LibraryCheckpoint>, LibraryError> {
        let bytes = std::fs::read(path).unwrap();
        let mut opened: Foreign = serde_json::from_slice(&bytes[ZIP.len()..])
            .map_err(|_| LibraryError("it is torn, save it again".to_owned()))?;
        let tensors = opened.tensors.iter();
        let tensors = tensors.map(|(name, dtype, shape, _)| LibraryTensor {
            name: name.clone(),
            dtype: dtype.clone(),
            shape: shape.clone(),
        });
        opened.described = tensors.collect();
        Ok(Arc::new(opened))
    }

    fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl LibraryCheckpoint for Foreign {
    fn tensors(&self) -> &[LibraryTensor] {
        &self.described
    }

    fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    fn step(&self) -> Option<u64> {
        self.step
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn read(&self, index: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), LibraryError> {
        let (_, _, _, bytes) = &self.tensors[index];
        if bytes.is_empty() {
            return Err(LibraryError("it is gone".to_owned()));
        }
        take(bytes);
        Ok(())
    }
}
