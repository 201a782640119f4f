//! Checkpoints as they lie on disk: one safetensors file, or several and their index; or files that a library
//! of the caller's reads.
//!
//! Headers are read whole; values are read a tensor at a time, in chunks, so that a checkpoint is
//! never in memory.

mod error;
mod header;
mod library;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use safetensors::Dtype;

use super::pattern::{INDEX_SUFFIX, Numbers};
use super::values::{self, InexactValue};

pub use error::CheckpointError;
use header::{Header, no_json};
pub use library::{CheckpointLibrary, LibraryCheckpoint, LibraryError, LibraryTensor};

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
    /// The byte at which they start; of a library's file, the tensor's place in it.
    start: u64,
}

/// A file of a checkpoint.
#[derive(Debug)]
struct TensorFile {
    path: PathBuf,
    /// Where no safetensors file is read.
    library: Option<LibraryFile>,
}

/// A file that a library has open, which may have it mapped into memory.
#[derive(Debug)]
struct LibraryFile {
    checkpoint: Arc<dyn LibraryCheckpoint>,
    stamp: Stamp,
}

/// By what it is told that a file was written to.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    num_bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, CheckpointError> {
        let metadata = std::fs::metadata(path).map_err(|source| io_error(path, source))?;
        Ok(Self {
            num_bytes: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

/// Tensors by name.
type Tensors = BTreeMap<String, (TensorType, Place)>;

/// The headers of a checkpoint.
#[derive(Debug)]
pub(super) struct Checkpoint {
    files: Vec<TensorFile>,
    tensors: Tensors,
}

/// How much of a file is read at once: a multiple of every type's size.
const CHUNK_BYTES: usize = 1 << 20;

impl Checkpoint {
    /// Reads the header of a file, or of every shard that an index names. What is of no format that is known
    /// here is read by the library, where there is one.
    pub(super) fn open(
        path: &Path,
        library: Option<&dyn CheckpointLibrary>,
    ) -> Result<Self, CheckpointError> {
        let checkpoint = match path.to_string_lossy().ends_with(INDEX_SUFFIX) {
            true => Self::open_shards(path, library)?,
            false => {
                let (file, tensors) = open_file(path, 0, library)?;
                Self {
                    files: vec![file],
                    tensors,
                }
            }
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
    pub(super) fn open_without(
        path: &Path,
        prefixes: &[String],
        library: Option<&dyn CheckpointLibrary>,
    ) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self::open(path, library)?;
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

    fn open_shards(
        index: &Path,
        library: Option<&dyn CheckpointLibrary>,
    ) -> Result<Self, CheckpointError> {
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
            let opened = open_file(&path, checkpoint.files.len(), library);
            let (file, tensors) = opened.map_err(|e| match e {
                CheckpointError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    CheckpointError::MissingShard {
                        index: index.to_owned(),
                        shard: shard.clone(),
                    }
                }
                error => error,
            })?;
            for (name, tensor) in tensors {
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
            checkpoint.files.push(file);
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
        Some(&self.files[place.file].path)
    }

    /// What the file itself says of the epoch and step that it is of; none of several shards.
    pub(super) fn numbers(&self) -> Option<Numbers> {
        let [file] = &self.files[..] else {
            return None;
        };
        let checkpoint = &file.library.as_ref()?.checkpoint;
        let (epoch, step) = (checkpoint.epoch(), checkpoint.step());
        (epoch.is_some() || step.is_some()).then_some(Numbers { epoch, step })
    }

    /// What a library has to say of what it took of its files.
    pub(super) fn notes(&self) -> impl Iterator<Item = &str> {
        let libraries = self.files.iter().filter_map(|file| file.library.as_ref());
        libraries.flat_map(|file| file.checkpoint.notes().iter().map(String::as_str))
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
        let TensorFile { path, library } = &self.checkpoint.files[place.file];
        let mut values = Vec::with_capacity(tensor.num_values() as usize);
        let lossy = self.lossy;
        let mut widen = |bytes: &[u8]| {
            values::widen(tensor.dtype, bytes, lossy, &mut values).map_err(
                |InexactValue { index, value }| CheckpointError::Inexact {
                    path: path.clone(),
                    tensor: name.to_owned(),
                    dtype: tensor.dtype.to_string(),
                    value,
                    index,
                },
            )
        };
        let mut num_left = tensor.num_values() as usize * (tensor.dtype.bitsize() / 8);
        if let Some(library) = library {
            library.read(path, name, place.start as usize, num_left, &mut widen)?;
            return Ok(values);
        }
        let mut file = match self.open.take() {
            Some((index, file)) if index == place.file => file,
            _ => File::open(path).map_err(|source| io_error(path, source))?,
        };
        file.seek(SeekFrom::Start(place.start))
            .map_err(|source| io_error(path, source))?;
        while num_left > 0 {
            self.chunk.resize(num_left.min(CHUNK_BYTES), 0);
            file.read_exact(&mut self.chunk)
                .map_err(|source| io_error(path, source))?;
            num_left -= self.chunk.len();
            widen(&self.chunk)?;
        }
        self.open = Some((place.file, file));
        Ok(values)
    }
}

impl LibraryFile {
    fn open(path: &Path, library: &dyn CheckpointLibrary) -> Result<Self, CheckpointError> {
        // Before it is read: what is written to it later is then noticed.
        let stamp = Stamp::of(path)?;
        let checkpoint = library.open(path).map_err(|e| library_error(path, e))?;
        Ok(Self { checkpoint, stamp })
    }

    /// Its tensors by name, each with its place.
    fn tensors(&self, path: &Path) -> Result<Header, CheckpointError> {
        let tensors = self.checkpoint.tensors().iter().enumerate();
        let tensors = tensors.map(|(index, tensor)| {
            let name = tensor.name.clone();
            let shape = tensor.shape.clone();
            match serde_json::from_value::<Dtype>(tensor.dtype.clone().into()) {
                Ok(dtype) => Ok((name, (TensorType { dtype, shape }, index as u64))),
                Err(_) => Err(CheckpointError::Unsupported {
                    path: path.to_owned(),
                    tensor: name,
                    dtype: tensor.dtype.clone(),
                }),
            }
        });
        tensors.collect()
    }

    /// Hands the values of a tensor, which has so many bytes, to `take`.
    fn read(
        &self,
        path: &Path,
        name: &str,
        index: usize,
        num_bytes: usize,
        take: &mut impl FnMut(&[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let changed = || CheckpointError::Changed {
            path: path.to_owned(),
        };
        // Memory that a file is mapped into ends where the file does.
        if Stamp::of(path)? != self.stamp {
            return Err(changed());
        }
        let mut taken = None;
        let read = self.checkpoint.read(index, &mut |bytes| {
            taken = Some(match bytes.len() == num_bytes {
                true => take(bytes),
                false => Err(changed()),
            });
        });
        read.map_err(|LibraryError(problem)| {
            library_error(path, LibraryError(format!("tensor {name}: {problem}")))
        })?;
        taken.unwrap_or_else(|| Err(changed()))
    }
}

/// A file, which is the checkpoint's `index`th, and its tensors.
fn open_file(
    path: &Path,
    index: usize,
    library: Option<&dyn CheckpointLibrary>,
) -> Result<(TensorFile, Tensors), CheckpointError> {
    let (library, header) = match header::read(path) {
        Ok(header) => (None, header),
        Err(error) => match library {
            Some(library) if error.is_of_a_library() => {
                let file = LibraryFile::open(path, library)?;
                let header = file.tensors(path)?;
                (Some(file), header)
            }
            Some(_) => return Err(error.of_any_format(path)),
            None => return Err(error),
        },
    };
    let place = |start| Place { file: index, start };
    let tensors = header.into_iter();
    let tensors = tensors.map(|(name, (tensor, start))| (name, (tensor, place(start))));
    let path = path.to_owned();
    Ok((TensorFile { path, library }, tensors.collect()))
}

/// Whether a shard's name stays beside its index.
fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none()
}

fn library_error(path: &Path, source: LibraryError) -> CheckpointError {
    CheckpointError::Library {
        path: path.to_owned(),
        source,
    }
}

fn io_error(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Io {
        path: path.to_owned(),
        source,
    }
}
