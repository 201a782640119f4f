//! Checkpoints that a library of the caller's reads, as PyTorch does those of `torch.save`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A library that reads checkpoints of which this crate does not know the format: zip files and pickles.
pub trait CheckpointLibrary: fmt::Debug + Send + Sync {
    /// Opens a checkpoint.
    ///
    /// # Errors
    /// If the library cannot read it, or its tensors are none that can be recorded.
    fn open(&self, path: &Path) -> Result<Arc<dyn LibraryCheckpoint>, LibraryError>;

    /// Which of a file's contents it was told to take, where it was.
    fn key(&self) -> Option<&str>;
}

/// A checkpoint that a library has open. Its values need not be in memory.
pub trait LibraryCheckpoint: fmt::Debug + Send + Sync {
    /// Its tensors, of which no two have one name.
    fn tensors(&self) -> &[LibraryTensor];

    /// What the file says of the epoch that it is of.
    fn epoch(&self) -> Option<u64>;

    /// What the file says of how many steps the optimizer had made.
    fn step(&self) -> Option<u64>;

    /// What should be known of what was taken and what was left out.
    fn notes(&self) -> &[String];

    /// Hands the values of the tensor at a place in [`LibraryCheckpoint::tensors`] to `take`: all of its bytes,
    /// row-major and little-endian.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read(&self, index: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), LibraryError>;
}

/// A tensor of a checkpoint that a library has open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryTensor {
    /// Its name, as `fc.weight`.
    pub name: String,
    /// The type of its values, by the name that safetensors has for it, as `BF16`. One that safetensors does
    /// not have is refused under the name that is given here.
    pub dtype: String,
    /// Its size along every axis.
    pub shape: Vec<u64>,
}

/// Why a library does not read a checkpoint: what it says, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LibraryError(pub String);

#[cfg(test)]
mod tests;
