//! A run's directory and its identity, `run.json`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::checksum::Crc32c;
use crate::disk::Disk;
use crate::holders::Holders;
use crate::id::{Nonce, Rank};
use crate::number;
use crate::place::{COMMITS_DIR, RUN_FILE, STAGING_DIR};
use crate::store::{LocalStore, Store, StoreLock, Vacancy};
use crate::topology::Topology;

mod create;

pub use create::CreateRunError;

/// The longest `run.json` of which records keep a copy, in bytes: that of a network of about 2,000 layers.
pub const MAX_KEPT_RUN_BYTES: usize = 1 << 20;
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

/// A directory that holds a run, or another store of one.
#[derive(Debug, Clone)]
pub struct RunDir {
    info: Arc<RunInfo>,
    crc32c: Crc32c,
    store: Arc<dyn Store>,
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
    #[error("{} is being written by another process{holders}", path.display())]
    Held {
        /// The run.
        path: PathBuf,
        /// Which that is, or those that it forked.
        holders: Holders,
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
    _held: Box<dyn StoreLock>,
}

impl RunDir {
    /// Opens a run.
    ///
    /// # Errors
    /// If there is none, or a newer major format version wrote it.
    pub fn open(path: &Path) -> Result<Self, OpenRunError> {
        Self::open_in(Arc::new(LocalStore::new(path)))
    }

    /// As [`RunDir::open`], on a disk of one's own. Part files and locks are the file system's all the same.
    ///
    /// # Errors
    /// As [`RunDir::open`].
    pub fn open_on(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, OpenRunError> {
        Self::open_in(Arc::new(LocalStore::on(disk, path)))
    }

    /// As [`RunDir::open`], in a store of one's own.
    ///
    /// # Errors
    /// As [`RunDir::open`].
    pub fn open_in(store: Arc<dyn Store>) -> Result<Self, OpenRunError> {
        let path = || store.path().to_owned();
        let file = store.path().join(RUN_FILE);
        let json = store.read_run().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => match store.vacancy() {
                Vacancy::Absent => OpenRunError::NotFound { path: path() },
                Vacancy::Unborn => OpenRunError::Unborn { path: path() },
                Vacancy::Taken => OpenRunError::NotARun { path: path() },
            },
            io::ErrorKind::NotADirectory => OpenRunError::NotARun { path: path() },
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
                path: path(),
                found: format,
            });
        }
        let info: RunInfo = serde_json::from_slice(&json).map_err(malformed)?;
        Ok(Self {
            info: Arc::new(info),
            crc32c: Crc32c::of(&json),
            store,
            text: kept_text(&json),
        })
    }

    /// The store that it lies in.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The checksum of `run.json` as it was read: the run's commit records have it, too.
    pub fn crc32c(&self) -> Crc32c {
        self.crc32c
    }

    /// The text of `run.json`, if records keep it.
    pub(crate) fn kept_text(&self) -> Option<String> {
        self.text.as_deref().map(str::to_owned)
    }

    /// The directory; of a run in another store, where that is, as messages say it.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// What `run.json` says.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Where the commit records lie.
    pub fn commits_dir(&self) -> PathBuf {
        self.path().join(COMMITS_DIR)
    }

    /// Where files lie while they are being written.
    pub fn staging_dir(&self) -> PathBuf {
        self.path().join(STAGING_DIR)
    }

    /// Takes the right to record into the run as `rank`, which one process at a time has: by a lock
    /// on `run.json` and on the directory, or on a file a rank where the run has several.
    ///
    /// # Errors
    /// If another process has it, or the run has no such rank.
    pub fn lock_writer(&self, rank: Rank) -> Result<WriterLock, LockRunError> {
        let world_size = self.info.world_size;
        let path = || self.path().to_owned();
        if u32::try_from(rank.0).map_or(true, |rank| rank >= world_size) {
            return Err(LockRunError::NoSuchRank {
                path: path(),
                rank,
                world_size,
            });
        }
        let own = (world_size > 1).then_some(rank);
        let lock = self.store.lock_rank(own);
        let lock = lock.map_err(|error| LockRunError::Io {
            path: error.path,
            source: error.source,
        })?;
        match lock {
            Some(held) => Ok(WriterLock { _held: held }),
            None => Err(LockRunError::Held {
                path: path(),
                holders: Holders::of_run(self.path(), own),
            }),
        }
    }
}

/// The text of a `run.json` that records keep.
pub(crate) fn kept_text(json: &[u8]) -> Option<std::sync::Arc<str>> {
    let is_short = json.len() <= MAX_KEPT_RUN_BYTES;
    let text = is_short.then(|| std::str::from_utf8(json).ok())?;
    text.map(Into::into)
}

#[cfg(test)]
pub(crate) mod tests;
