//! PyTorch, as the library that reads the files of `torch.save` for an import.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use capture::{CheckpointLibrary, LibraryCheckpoint, LibraryError, LibraryTensor};
use pyo3::exceptions::PyModuleNotFoundError;
use pyo3::prelude::*;

use crate::tensor::HostTensor;

/// The module that knows what is in such files.
const MODULE: &str = "stratigraph_nn._torch.checkpoints";

/// Reads files through PyTorch, which is imported when the first is opened.
#[derive(Debug)]
pub(crate) struct TorchLibrary {
    key: Option<String>,
    /// The file that was opened last: an import opens most several times in a row.
    last: Mutex<Option<(Stamp, Arc<TorchCheckpoint>)>>,
}

/// A file as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    num_bytes: u64,
    modified: SystemTime,
}

impl Stamp {
    /// None where it cannot be told whether a file is as it was.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            path: path.to_owned(),
            num_bytes: metadata.len(),
            modified: metadata.modified().ok()?,
        })
    }
}

impl TorchLibrary {
    /// `key` says where in a file the state dict is; none leaves it to what is usual.
    pub(crate) fn new(key: Option<String>) -> Self {
        Self {
            key,
            last: Mutex::new(None),
        }
    }

    fn open_in_python(&self, py: Python<'_>, path: &Path) -> PyResult<TorchCheckpoint> {
        let library = py.import(MODULE)?.getattr("Library")?;
        let library = library.call1((self.key.as_deref(),))?;
        let checkpoint = library.call_method1("open", (path.as_os_str(),))?;
        let tensors: Vec<(String, String, Vec<u64>)> = checkpoint.getattr("tensors")?.extract()?;
        let tensor = |(name, dtype, shape)| LibraryTensor { name, dtype, shape };
        Ok(TorchCheckpoint {
            tensors: tensors.into_iter().map(tensor).collect(),
            epoch: checkpoint.getattr("epoch")?.extract()?,
            step: checkpoint.getattr("step")?.extract()?,
            notes: checkpoint.getattr("notes")?.extract()?,
            checkpoint: checkpoint.unbind(),
        })
    }
}

impl CheckpointLibrary for TorchLibrary {
    fn open(&self, path: &Path) -> Result<Arc<dyn LibraryCheckpoint>, LibraryError> {
        let stamp = Stamp::of(path);
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, checkpoint)) = &*last()
            && Some(last) == stamp.as_ref()
        {
            return Ok(Arc::clone(checkpoint) as Arc<dyn LibraryCheckpoint>);
        }
        // Before another is opened the file is let go of: two would take the memory of both.
        *last() = None;
        let opened = Python::attach(|py| match self.open_in_python(py, path) {
            Ok(checkpoint) => Ok(Arc::new(checkpoint)),
            Err(error) if error.is_instance_of::<PyModuleNotFoundError>(py) => {
                Err(LibraryError(format!(
                    "reading what torch.save wrote takes PyTorch, which is not installed here ({}): install it, or \
                     save the tensors as safetensors where it is",
                    error.value(py)
                )))
            }
            Err(error) => Err(words(py, &error)),
        })?;
        *last() = stamp.map(|stamp| (stamp, Arc::clone(&opened)));
        Ok(opened)
    }

    fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// A file that PyTorch has open.
#[derive(Debug)]
struct TorchCheckpoint {
    tensors: Vec<LibraryTensor>,
    epoch: Option<u64>,
    step: Option<u64>,
    notes: Vec<String>,
    checkpoint: Py<PyAny>,
}

impl LibraryCheckpoint for TorchCheckpoint {
    fn tensors(&self) -> &[LibraryTensor] {
        &self.tensors
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
        let values = Python::attach(|py| {
            let values = self.checkpoint.bind(py).call_method1("values", (index,));
            values
                .and_then(|values| HostTensor::import(&values))
                .map_err(|error| words(py, &error))
        })?;
        // Python's lock is let go of: where a file is mapped, it is read only now.
        let bytes = values.bytes();
        take(bytes.expect("the bytes of a tensor lie one behind the other"));
        Ok(())
    }
}

/// What an exception says, in one line.
fn words(py: Python<'_>, error: &PyErr) -> LibraryError {
    let text = error.value(py).to_string();
    LibraryError(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
