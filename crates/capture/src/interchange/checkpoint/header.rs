//! What a safetensors file says of itself, and what a file is that says nothing of the kind.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::{CheckpointError, TensorType};

/// As much as the `safetensors` crate reads of a header.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// A file's header has this many bytes before it, which say how long it is.
const LENGTH_BYTES: u64 = 8;

/// The key of a header that is no tensor: free text, of which nothing is needed.
const METADATA_KEY: &str = "__metadata__";

/// The tensors of a file by name, each with where its bytes start.
pub(super) type Header = BTreeMap<String, (TensorType, u64)>;

/// Reads the header of a safetensors file.
///
/// # Errors
/// If it is none, or not all of it is there: with what it is instead, where that can be told.
pub(super) fn read(path: &Path) -> Result<Header, CheckpointError> {
    let io_error = |source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    // Before it is opened: a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(io_error)?;
    if metadata.is_dir() {
        return Err(CheckpointError::Directory {
            path: path.to_owned(),
        });
    }
    if !metadata.is_file() {
        return Err(CheckpointError::NoRegularFile {
            path: path.to_owned(),
        });
    }
    let mut file = File::open(path).map_err(io_error)?;
    match parse(&mut file, metadata.len()) {
        Ok(header) => Ok(header),
        Err(Problem::Io(source)) => Err(io_error(source)),
        Err(problem) => {
            let mut start = Vec::new();
            file.seek(SeekFrom::Start(0)).map_err(io_error)?;
            let read = file.take(START_BYTES).read_to_end(&mut start);
            read.map_err(io_error)?;
            if let Some(what) = of_a_library(&start) {
                return Err(CheckpointError::NeedsLibrary {
                    path: path.to_owned(),
                    what,
                });
            }
            Err(match (other_format(&start), problem) {
                (Some((what, remedy)), _) => CheckpointError::OtherFormat {
                    path: path.to_owned(),
                    what,
                    remedy,
                },
                (None, Problem::Truncated { expected }) => CheckpointError::Truncated {
                    path: path.to_owned(),
                    expected,
                    found: metadata.len(),
                },
                (None, Problem::Dtype { name, dtype }) => CheckpointError::Unsupported {
                    path: path.to_owned(),
                    tensor: name,
                    dtype,
                },
                (None, problem) => CheckpointError::Malformed {
                    path: path.to_owned(),
                    problem: problem.to_string(),
                },
            })
        }
    }
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("it cannot be read")]
    Io(#[from] std::io::Error),
    #[error("it should have {expected} bytes")]
    Truncated { expected: u64 },
    #[error("its header would have {0} bytes")]
    Length(u64),
    #[error("its header cannot be read ({0})")]
    Json(#[from] serde_json::Error),
    #[error("its header names tensor {0} twice, and only one of them can be meant")]
    Duplicate(String),
    #[error("tensor {name} is of type {dtype}")]
    Dtype { name: String, dtype: String },
    #[error("tensor {0} has more values than can be counted")]
    TooLarge(String),
    #[error("tensor {name} has {found} bytes, and its type and shape say {expected}")]
    Size {
        name: String,
        found: u64,
        expected: u64,
    },
    #[error(
        "tensor {name} begins at byte {start} of the data, and what is before it ends at {end}"
    )]
    Gap { name: String, start: u64, end: u64 },
    #[error("{0} bytes follow its last tensor")]
    Tail(u64),
}

fn parse(file: &mut File, found: u64) -> Result<Header, Problem> {
    let check_length = |expected: u64| match found < expected {
        false => Ok(()),
        true => Err(Problem::Truncated { expected }),
    };
    check_length(LENGTH_BYTES)?;
    let mut length = [0; LENGTH_BYTES as usize];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        return Err(Problem::Length(length));
    }
    check_length(LENGTH_BYTES + length)?;
    let mut json = vec![0; length as usize];
    file.read_exact(&mut json)?;
    let RawHeader(mut tensors) = serde_json::from_slice(&json)?;

    let data_start = LENGTH_BYTES + length;
    let mut names = HashSet::new();
    if let Some((name, _)) = tensors.iter().find(|(name, _)| !names.insert(name.clone())) {
        return Err(Problem::Duplicate(name.clone()));
    }
    tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let mut header = Header::new();
    let mut end = 0;
    for (name, tensor) in tensors {
        let (start, tensor_end) = tensor.data_offsets;
        let dtype: Dtype = match serde_json::from_value(tensor.dtype.clone().into()) {
            Ok(dtype) => dtype,
            Err(_) => {
                let dtype = tensor.dtype;
                return Err(Problem::Dtype { name, dtype });
            }
        };
        let values = tensor
            .shape
            .iter()
            .try_fold(1u64, |n, size| n.checked_mul(*size));
        let bits = values.and_then(|values| values.checked_mul(dtype.bitsize() as u64));
        let Some(expected) = bits.map(|bits| bits.div_ceil(8)) else {
            return Err(Problem::TooLarge(name));
        };
        if start != end {
            return Err(Problem::Gap { name, start, end });
        }
        let found = tensor_end.saturating_sub(start);
        if found != expected {
            return Err(Problem::Size {
                name,
                found,
                expected,
            });
        }
        end = tensor_end;
        let shape = tensor.shape;
        header.insert(name, (TensorType { dtype, shape }, data_start + start));
    }
    let expected = data_start.saturating_add(end);
    check_length(expected)?;
    match found - expected {
        0 => Ok(header),
        extra => Err(Problem::Tail(extra)),
    }
}

/// The tensors of a header in the order in which it names them, one that is named twice twice.
struct RawHeader(Vec<(String, RawTensor)>);

#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA_KEY {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        let tensor = map.next_value()?;
                        tensors.push((name, tensor));
                    }
                }
                Ok(RawHeader(tensors))
            }
        }
        deserializer.deserialize_map(Tensors)
    }
}

/// How much of a file tells what it is.
const START_BYTES: u64 = 512;

/// What a file is that a library may read, by how it begins.
fn of_a_library(start: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 5] = [
        (b"PK\x03\x04", "a zip file, as torch.save and Keras write"),
        (
            b"\x80\x02",
            "a pickle, as older versions of torch.save write",
        ),
        (b"\x80\x03", "a pickle"),
        (b"\x80\x04", "a pickle"),
        (b"\x80\x05", "a pickle"),
    ];
    if is_header(start) || start.len() as u64 <= LENGTH_BYTES {
        return None;
    }
    let known = KNOWN.iter().find(|(magic, _)| start.starts_with(magic));
    known.map(|(_, what)| *what)
}

/// Whether a file begins as a safetensors file does, whose header's length may have the bytes by which
/// something else begins.
fn is_header(start: &[u8]) -> bool {
    start.get(LENGTH_BYTES as usize) == Some(&b'{') && start[4..LENGTH_BYTES as usize] == [0; 4]
}

/// What a file is that is no safetensors file, and what to do: by how it begins.
fn other_format(start: &[u8]) -> Option<(&'static str, &'static str)> {
    const DOWNLOAD: &str = "download it again";
    const CONVERT: &str = "load it where it was made, and save its tensors as safetensors (in PyTorch \
         safetensors.torch.save_file)";
    const BINARY: [(&[u8], &str, &str); 5] = [
        (
            b"\x89HDF\r\n\x1a\n",
            "an HDF5 file, as Keras writes",
            CONVERT,
        ),
        (b"\x93NUMPY", "an array of NumPy", CONVERT),
        (b"GGUF", "a GGUF file, as llama.cpp reads", CONVERT),
        (b"\x1f\x8b", "compressed by gzip", "unpack it"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it"),
    ];
    const TEXT: [(&str, &str, &str); 5] = [
        (
            "version https://git-lfs",
            "a Git LFS pointer, which stands for the checkpoint",
            "fetch it by `git lfs pull`",
        ),
        (
            "<!doctype html",
            "an HTML page, as a server sends instead of a file",
            DOWNLOAD,
        ),
        (
            "<html",
            "an HTML page, as a server sends instead of a file",
            DOWNLOAD,
        ),
        (
            "<?xml",
            "an XML text, as a server sends instead of a file",
            DOWNLOAD,
        ),
        (
            "{",
            "a JSON text",
            "name the *.safetensors file; the index of a sharded checkpoint is called \
             *.safetensors.index.json",
        ),
    ];
    if start.is_empty() {
        return Some((
            "empty",
            "it was not written or copied to its end; save or download it again",
        ));
    }
    // Its header has no byte: not even the braces.
    if start.len() as u64 >= LENGTH_BYTES && start[..LENGTH_BYTES as usize] == [0; 8] {
        let what = "zeros where its header should be, as a copy that was interrupted";
        return Some((what, "copy or download it again"));
    }
    if is_header(start) {
        return None;
    }
    let after_length = start.get(LENGTH_BYTES as usize);
    let known = BINARY.iter().find(|(magic, ..)| start.starts_with(magic));
    if let (Some((_, what, remedy)), Some(_)) = (known, after_length) {
        return Some((*what, *remedy));
    }
    if start.contains(&0) {
        return None;
    }
    let text = start
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(start)
        .trim_ascii_start();
    let begins = |word: &str| {
        let begin = text.get(..word.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()))
    };
    let known = TEXT.iter().find(|(word, ..)| begins(word));
    known.map(|(_, what, remedy)| (*what, *remedy))
}

/// What a file is that should be JSON and is none, as [`other_format`] tells it.
pub(super) fn no_json(start: &[u8]) -> Option<(&'static str, &'static str)> {
    const RESAVE: &str = "name the checkpoint's index, which is JSON";
    let start = &start[..start.len().min(START_BYTES as usize)];
    let other = of_a_library(start).map(|what| (what, RESAVE));
    let other = other.or_else(|| other_format(start));
    other.filter(|_| !start.trim_ascii_start().starts_with(b"{"))
}

#[cfg(test)]
mod tests;
