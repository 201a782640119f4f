//! Checkpoints as they lie on disk: one safetensors file, or several and their index.
//!
//! Headers are read whole; values are read a tensor at a time, in chunks, so that a checkpoint is
//! never in memory.

mod error;
mod header;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use safetensors::Dtype;

use super::pattern::INDEX_SUFFIX;
use super::values::{self, InexactValue};

pub use error::CheckpointError;
use header::no_json;

/// Type and shape of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorType {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<u64>,
}

impl TensorType {
    /// How many values the tensor has.
    pub(super) fn num_values(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// Where a tensor's values lie.
#[derive(Debug, Clone)]
struct Place {
    file: usize,
    start: u64,
}

/// Tensors by name.
type Tensors = BTreeMap<String, (TensorType, Place)>;

/// The headers of a checkpoint.
#[derive(Debug)]
pub(super) struct Checkpoint {
    files: Vec<PathBuf>,
    tensors: Tensors,
}

/// How much of a file is read at once: a multiple of every type's size.
const CHUNK_BYTES: usize = 1 << 20;

impl Checkpoint {
    /// Reads the header of a safetensors file, or of every shard that an index names.
    pub(super) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let checkpoint = match path.to_string_lossy().ends_with(INDEX_SUFFIX) {
            true => Self::open_shards(path)?,
            false => Self {
                files: vec![path.to_owned()],
                tensors: read_header(path, 0)?,
            },
        };
        match checkpoint.tensors.is_empty() {
            false => Ok(checkpoint),
            true => Err(CheckpointError::NoTensors {
                path: path.to_owned(),
            }),
        }
    }

    /// Reads the header as [`Checkpoint::open`] does, and takes prefixes off the names that have
    /// them, one after the other.
    pub(super) fn open_without(path: &Path, prefixes: &[String]) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self::open(path)?;
        for prefix in prefixes {
            let mut stripped = Tensors::new();
            let mut renamed = Vec::new();
            for (name, tensor) in checkpoint.tensors {
                // Nothing would be left of a name that is the prefix alone.
                let without = name.strip_prefix(prefix.as_str());
                match without.filter(|without| !without.is_empty()) {
                    Some(without) => renamed.push((without.to_owned(), name.clone(), tensor)),
                    None => _ = stripped.insert(name, tensor),
                }
            }
            for (without, name, tensor) in renamed {
                if stripped.insert(without, tensor).is_some() {
                    return Err(CheckpointError::PrefixClash {
                        path: path.to_owned(),
                        prefix: prefix.clone(),
                        tensor: name,
                    });
                }
            }
            checkpoint.tensors = stripped;
        }
        Ok(checkpoint)
    }

    fn open_shards(index: &Path) -> Result<Self, CheckpointError> {
        #[derive(serde::Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let malformed = |problem| CheckpointError::Index {
            path: index.to_owned(),
            problem,
        };
        let json = std::fs::read(index).map_err(|source| io_error(index, source))?;
        let Index { weight_map } =
            serde_json::from_slice(&json).map_err(|e| match no_json(&json) {
                Some((what, remedy)) => malformed(format!("it is {what}: {remedy}")),
                None => malformed(e.to_string()),
            })?;

        let mut checkpoint = Self {
            files: Vec::new(),
            tensors: BTreeMap::new(),
        };
        let mut shards: Vec<&String> = weight_map.values().collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            if !is_plain_name(shard) {
                return Err(malformed(format!("{shard:?} is no file's name")));
            }
            let path = index.with_file_name(shard);
            let disagree = |tensor: &str, problem| CheckpointError::Shard {
                index: index.to_owned(),
                shard: shard.clone(),
                tensor: tensor.to_owned(),
                problem,
            };
            let header = read_header(&path, checkpoint.files.len()).map_err(|e| match e {
                CheckpointError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    CheckpointError::MissingShard {
                        index: index.to_owned(),
                        shard: shard.clone(),
                    }
                }
                error => error,
            })?;
            for (name, tensor) in header {
                if weight_map.get(&name) != Some(shard) {
                    return Err(disagree(&name, "is in the shard, and not in the index"));
                }
                checkpoint.tensors.insert(name, tensor);
            }
            let of_shard = weight_map.iter().filter(|(_, file)| *file == shard);
            for (name, _) in of_shard {
                if !checkpoint.tensors.contains_key(name) {
                    return Err(disagree(name, "is in the index, and not in the shard"));
                }
            }
            checkpoint.files.push(path);
        }
        Ok(checkpoint)
    }

    /// The tensors, by name.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&str, &TensorType)> {
        let tensors = self.tensors.iter();
        tensors.map(|(name, (tensor, _))| (name.as_str(), tensor))
    }

    /// Type and shape of a tensor.
    pub(super) fn tensor(&self, name: &str) -> Option<&TensorType> {
        self.tensors.get(name).map(|(tensor, _)| tensor)
    }

    /// The file that holds a tensor.
    pub(super) fn file_of(&self, name: &str) -> Option<&Path> {
        let (_, place) = self.tensors.get(name)?;
        Some(&self.files[place.file])
    }

    /// Reads values, of supported types, in whatever order they are asked for.
    pub(super) fn values(&self, lossy: bool) -> ValueReader<'_> {
        ValueReader {
            checkpoint: self,
            lossy,
            open: None,
            chunk: Vec::new(),
        }
    }
}

/// Reads tensors' values; one file is open at a time.
pub(super) struct ValueReader<'a> {
    checkpoint: &'a Checkpoint,
    lossy: bool,
    open: Option<(usize, File)>,
    chunk: Vec<u8>,
}

impl ValueReader<'_> {
    /// The values of a tensor, row-major.
    ///
    /// # Panics
    /// If the checkpoint has no such tensor, or its type is not supported.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let (tensor, place) = &self.checkpoint.tensors[name];
        let path = &self.checkpoint.files[place.file];
        let mut file = match self.open.take() {
            Some((index, file)) if index == place.file => file,
            _ => File::open(path).map_err(|source| io_error(path, source))?,
        };
        file.seek(SeekFrom::Start(place.start))
            .map_err(|source| io_error(path, source))?;
        let mut num_left = tensor.num_values() as usize * (tensor.dtype.bitsize() / 8);
        let mut values = Vec::with_capacity(tensor.num_values() as usize);
        while num_left > 0 {
            self.chunk.resize(num_left.min(CHUNK_BYTES), 0);
            file.read_exact(&mut self.chunk)
                .map_err(|source| io_error(path, source))?;
            num_left -= self.chunk.len();
            values::widen(tensor.dtype, &self.chunk, self.lossy, &mut values).map_err(
                |InexactValue { index, value }| CheckpointError::Inexact {
                    path: path.clone(),
                    tensor: name.to_owned(),
                    dtype: tensor.dtype.to_string(),
                    value,
                    index,
                },
            )?;
        }
        self.open = Some((place.file, file));
        Ok(values)
    }
}

/// The tensors of a file, which is the checkpoint's `index`th.
fn read_header(path: &Path, index: usize) -> Result<Tensors, CheckpointError> {
    let tensors = header::read(path)?.into_iter();
    let place = |start| Place { file: index, start };
    Ok(tensors
        .map(|(name, (tensor, start))| (name, (tensor, place(start))))
        .collect())
}

/// Whether a shard's name stays beside its index.
fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none()
}

fn io_error(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Io {
        path: path.to_owned(),
        source,
    }
}
