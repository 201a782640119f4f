//! A run's directory and its identity, `run.json`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::checksum::Crc32c;
use crate::disk::{Disk, LocalDisk, Subject, retried};
use crate::id::{Nonce, Rank};
use crate::number;
use crate::topology::Topology;

mod create;

use create::has_leftovers;
pub(crate) use create::remove_staged;
pub use create::{CreateRunError, Creation};

/// Name of the file that holds a run's identity.
pub const RUN_FILE: &str = "run.json";
/// The longest `run.json` of which records keep a copy, in bytes: that of a network of about 2,000 layers.
pub const MAX_KEPT_RUN_BYTES: usize = 1 << 20;
/// Name of the directory that holds the commit records.
pub const COMMITS_DIR: &str = "commits";
/// Name of the directory that holds files being written.
pub const STAGING_DIR: &str = ".staging";
/// Key of the format version in a part file's footer.
pub const FORMAT_KEY: &str = "stratigraph.format";

/// A version of the trace format. A reader of the same major version reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormatVersion {
    /// Changes when older readers would misread a trace.
    pub major: u32,
    /// Changes with a new table or nullable column.
    pub minor: u32,
}

/// The version that this library writes.
pub const FORMAT_VERSION: FormatVersion = FormatVersion { major: 1, minor: 5 };

impl std::fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a run is: written once, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The trace format's version.
    pub format: FormatVersion,
    /// The run's own random name.
    pub run_id: Nonce,
    /// When the run was created, RFC 3339 in UTC.
    pub created: String,
    /// The program and version that created it.
    pub created_by: String,
    /// Seed of every random choice; none where the recorder did not make them.
    pub seed: Option<u64>,
    /// The device that it trained on, as `cpu`, `cuda:0` or `vulkan:0`.
    pub device: String,
    /// How many processes record the run, each as a rank from 0 on: a capture is whole when each
    /// of them has committed its part.
    #[serde(default = "one_process", deserialize_with = "number::world_size")]
    pub world_size: u32,
    /// The network's architecture, in its recorder's own words, enough to rebuild it; null where it
    /// cannot be rebuilt from the run alone.
    pub model: serde_json::Value,
    /// Where the samples come from; none where the recorder did not choose them.
    pub dataset: Option<DatasetInfo>,
    /// Samples in one forward pass over the held-out set: matrix products depend on it. None where
    /// the recorder made no such pass itself.
    #[serde(default, deserialize_with = "number::batch_size")]
    pub evaluation_batch_size: Option<u64>,
    /// Names of the classes, by class; empty where there are none.
    pub class_names: Vec<String>,
    /// The network's layers.
    pub layers: Topology,
    /// The resolved configuration of the recorder.
    pub config: serde_json::Value,
}

impl RunInfo {
    /// The name of a class, or its number where it has none.
    pub fn class_name(&self, class: i64) -> String {
        let index = usize::try_from(class).ok();
        let name = index.and_then(|index| self.class_names.get(index));
        name.cloned().unwrap_or_else(|| class.to_string())
    }
}

/// A run that does not say by how many processes it is recorded is recorded by one.
fn one_process() -> u32 {
    1
}

/// Where a run's samples come from, well enough to find them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// What kind it is, as `digits`.
    pub kind: String,
    /// Where it was read from: a path, or the word `built-in`.
    pub source: String,
    /// Checksum of the data's bytes.
    pub crc32c: Crc32c,
    /// Number of samples trained on.
    #[serde(deserialize_with = "number::count")]
    pub num_train: u64,
    /// Number of samples held out.
    #[serde(deserialize_with = "number::count")]
    pub num_held_out: u64,
    /// Which samples are held out, in words, as `last 297`.
    pub held_out: String,
    /// What else the recorder needs to make the same samples of the data, in its own words; none
    /// where it needs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

/// A directory that holds a run.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
    info: Arc<RunInfo>,
    crc32c: Crc32c,
    disk: Arc<dyn Disk>,
    /// The text of `run.json`, if it is short enough for records to keep it.
    text: Option<Arc<str>>,
}

/// Why a directory could not be opened as a run.
#[derive(Debug, thiserror::Error)]
pub enum OpenRunError {
    /// There is no such directory.
    #[error("there is no run at {}: no such directory", path.display())]
    NotFound {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is there, but not `run.json`.
    #[error("{} is no run: it has no {RUN_FILE}", path.display())]
    NotARun {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is empty, or has only what an interrupted creation left.
    #[error(
        "{} is no run yet: nothing was recorded in it, and its creation was interrupted; record into \
         it as into a new directory",
        path.display()
    )]
    Unborn {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version of Stratigraph wrote the run.
    #[error(
        "{} has trace format {found}, this version reads up to {}.x: use a newer Stratigraph", path.display(), FORMAT_VERSION.major
    )]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// The run's version.
        found: FormatVersion,
    },
    /// `run.json` is there, but cannot be understood.
    #[error("{} cannot be read as a run's identity", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// Why the right to write to a run was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockRunError {
    /// Another process holds it.
    #[error("{} is being written by another process", path.display())]
    Held {
        /// The run.
        path: PathBuf,
    },
    /// The run is recorded by fewer processes.
    #[error(
        "{} is recorded by {world_size} processes, ranks 0 to {}: there is no rank {rank}",
        path.display(),
        world_size.saturating_sub(1)
    )]
    NoSuchRank {
        /// The run.
        path: PathBuf,
        /// The rank.
        rank: Rank,
        /// How many there are.
        world_size: u32,
    },
    /// The file system refused.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// What to say where a run is created below a directory that reads as a Hive partition, as `epoch=7`;
/// none where there is no such directory.
pub fn partition_warning(run: &Path) -> Option<String> {
    let partitions = partition_like(run);
    (!partitions.is_empty()).then(|| {
        format!(
            "{} lies below {}: engines that take partitions from the whole path read a column of that, \
             and a wrong epoch or layer if it is called so (DuckDB with hive_partitioning, polars with \
             a glob); the views of schemas/duckdb.sql do not, nor do polars, pandas and pyarrow if they \
             are given a table's directory",
            run.display(),
            partitions.join(" and ")
        )
    })
}

/// The parts of a run's absolute path that read as Hive partitions, as `lr=0.1`: an engine that
/// looks at the whole path takes them for columns of the run's tables.
fn partition_like(path: &Path) -> Vec<String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let parts = absolute.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    parts
        .filter(|name| name.find('=').is_some_and(|at| at > 0))
        .collect()
}

/// The right to record into a run; given up when dropped, and when the process dies.
#[derive(Debug)]
pub struct WriterLock {
    _file: fs::File,
}

impl RunDir {
    /// Opens a run.
    ///
    /// # Errors
    /// If there is none, or a newer major format version wrote it.
    pub fn open(path: &Path) -> Result<Self, OpenRunError> {
        Self::open_on(Arc::new(LocalDisk), path)
    }

    /// As [`RunDir::open`], on a disk of one's own. Part files and locks are the file system's all the same.
    ///
    /// # Errors
    /// As [`RunDir::open`].
    pub fn open_on(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, OpenRunError> {
        let file = path.join(RUN_FILE);
        let json = retried(|| disk.read(Subject::RunFile, &file)).map_err(|source| match source
            .kind()
        {
            io::ErrorKind::NotFound if !path.exists() => OpenRunError::NotFound {
                path: path.to_owned(),
            },
            io::ErrorKind::NotFound if has_leftovers(&*disk, path) => OpenRunError::Unborn {
                path: path.to_owned(),
            },
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => OpenRunError::NotARun {
                path: path.to_owned(),
            },
            _ => OpenRunError::Io {
                path: file.clone(),
                source,
            },
        })?;
        // The version first: the rest of a newer version's file may not parse.
        #[derive(Deserialize)]
        struct Versioned {
            format: FormatVersion,
        }
        let malformed = |source| OpenRunError::Malformed {
            path: file.clone(),
            source,
        };
        let Versioned { format } = serde_json::from_slice(&json).map_err(malformed)?;
        if format.major > FORMAT_VERSION.major {
            return Err(OpenRunError::NewerFormat {
                path: path.to_owned(),
                found: format,
            });
        }
        let info: RunInfo = serde_json::from_slice(&json).map_err(malformed)?;
        Ok(Self {
            path: path.to_owned(),
            info: Arc::new(info),
            crc32c: Crc32c::of(&json),
            disk,
            text: kept_text(&json),
        })
    }

    /// The disk that it lies on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The checksum of `run.json` as it was read: the run's commit records have it, too.
    pub fn crc32c(&self) -> Crc32c {
        self.crc32c
    }

    /// The text of `run.json`, if records keep it.
    pub(crate) fn kept_text(&self) -> Option<String> {
        self.text.as_deref().map(str::to_owned)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `run.json` says.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Where the commit records lie.
    pub fn commits_dir(&self) -> PathBuf {
        self.path.join(COMMITS_DIR)
    }

    /// Where files lie while they are being written.
    pub fn staging_dir(&self) -> PathBuf {
        self.path.join(STAGING_DIR)
    }

    /// Takes the right to record into the run as `rank`, which one process at a time has: by a lock
    /// on `run.json`, or on a file a rank where the run has several.
    ///
    /// # Errors
    /// If another process has it, or the run has no such rank.
    pub fn lock_writer(&self, rank: Rank) -> Result<WriterLock, LockRunError> {
        let world_size = self.info.world_size;
        if u32::try_from(rank.0).map_or(true, |rank| rank >= world_size) {
            return Err(LockRunError::NoSuchRank {
                path: self.path.clone(),
                rank,
                world_size,
            });
        }
        let path = self.lock_path(rank);
        let io_error = |source| LockRunError::Io {
            path: path.clone(),
            source,
        };
        let mut options = fs::File::options();
        options.read(true).write(true);
        let file = match world_size {
            // Some file systems, as NFS, lock for one alone only what is open for writing.
            1 => match options.open(&path) {
                Err(error) if is_read_only(&error) => fs::File::open(&path),
                file => file,
            },
            _ => options.create(true).truncate(false).open(&path),
        };
        let file = file.map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => Ok(WriterLock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(LockRunError::Held {
                path: self.path.clone(),
            }),
            Err(fs::TryLockError::Error(source)) => Err(io_error(source)),
        }
    }

    fn lock_path(&self, rank: Rank) -> PathBuf {
        if self.info.world_size == 1 {
            self.path.join(RUN_FILE)
        } else {
            self.path.join(format!(".rank-{rank}.lock"))
        }
    }
}

/// The text of a `run.json` that records keep.
pub(crate) fn kept_text(json: &[u8]) -> Option<std::sync::Arc<str>> {
    let is_short = json.len() <= MAX_KEPT_RUN_BYTES;
    let text = is_short.then(|| std::str::from_utf8(json).ok())?;
    text.map(Into::into)
}

/// Whether a file may be read, and not written.
fn is_read_only(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

#[cfg(test)]
pub(crate) mod tests;
