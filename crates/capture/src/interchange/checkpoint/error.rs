//! Why a checkpoint cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use super::library::LibraryError;

/// Why a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file ends before its header says.
    #[error("{} is cut off: it has {found} bytes, and should have {expected}; save, copy or download it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The size that its header tells.
        expected: u64,
        /// The size that it has.
        found: u64,
    },
    /// The file is of another format, or damaged.
    #[error("{} is no safetensors file: {problem}; save or download it again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is something else, or nothing.
    #[error("{} is {what}, and no safetensors file: {remedy}", path.display())]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The file is of no format that is known, where a library reads others.
    #[error("{} is neither a safetensors file nor one that torch.save wrote, as it begins otherwise: save, copy or download it again", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The file is of a format that libraries read: a zip file or a pickle.
    #[error("{} is {what}, and no safetensors file: stratigraph_nn.import_checkpoints reads what torch.save wrote, in Python with PyTorch; or load it where it was made, and save its tensors as safetensors (in PyTorch safetensors.torch.save_file)", path.display())]
    NeedsLibrary {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The library that reads it does not.
    #[error("{}: {source}", path.display())]
    Library {
        /// The file.
        path: PathBuf,
        /// What it says, and what to do.
        source: LibraryError,
    },
    /// It was written to, or replaced, since it was looked at.
    #[error("{} was changed while it was imported: begin again once it is whole", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A directory was named.
    #[error("{} is a directory: name the checkpoints in it, as '{}' or '{}'", path.display(), path.join("*.safetensors").display(), path.join("*/*.safetensors").display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// A pipe, whose values cannot be read in any order.
    #[error("{} is no regular file: write it to one, it is read several times", path.display())]
    NoRegularFile {
        /// What was named.
        path: PathBuf,
    },
    /// There is nothing to record.
    #[error("{} has no tensors: there is nothing to import from it, leave it out or save it anew", path.display())]
    NoTensors {
        /// The file.
        path: PathBuf,
    },
    /// A prefix that is taken off makes one name of two.
    #[error("{}: without the prefix {prefix:?} tensor {tensor} is called as another one is: the file has both", path.display())]
    PrefixClash {
        /// The file.
        path: PathBuf,
        /// The prefix.
        prefix: String,
        /// The tensor, with its prefix.
        tensor: String,
    },
    /// The index of a sharded checkpoint is not what it should be.
    #[error("{} is no index of a sharded checkpoint: {problem}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A shard that the index names is not there.
    #[error("copy or download all shards beside their index: {} names the shard {shard}, which is not there", index.display())]
    MissingShard {
        /// The index.
        index: PathBuf,
        /// The shard's name.
        shard: String,
    },
    /// Index and shard disagree.
    #[error("{} and its shard {shard} disagree: {tensor} {problem}; save the checkpoint anew, or correct the index", index.display())]
    Shard {
        /// The index.
        index: PathBuf,
        /// The shard's name.
        shard: String,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Values of a type that a trace cannot hold.
    #[error("{}: tensor {tensor} is of type {dtype}, which cannot be recorded: convert it to a type of floats or integers of 8 bits or more first", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: String,
    },
    /// A value that a 32-bit float does not hold.
    #[error("{}: tensor {tensor}, of type {dtype}: value {value} at position {index} is none that a 32-bit float holds, as a trace's are: --lossy rounds it", path.display())]
    Inexact {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: String,
        /// The value.
        value: String,
        /// Its position, row-major.
        index: u64,
    },
}

impl CheckpointError {
    /// Whether the file is of a format that a library may read.
    pub(super) fn is_of_a_library(&self) -> bool {
        matches!(self, Self::NeedsLibrary { .. })
    }

    /// What is wrong with a file that need not be a safetensors file, unless its name says that it is one.
    pub(super) fn of_any_format(self, path: &Path) -> Self {
        let is_named = path.extension().is_some_and(|name| name == "safetensors");
        match self {
            Self::Malformed { path, .. } | Self::Truncated { path, .. } if !is_named => {
                Self::UnknownFormat { path }
            }
            error => error,
        }
    }
}
