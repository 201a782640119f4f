//! How a run comes to be: at once, so that whatever is there can be recorded into, and whatever a crash left
//! before it can be begun again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{RunDir, RunInfo};
use crate::checksum::Crc32c;
use crate::disk::Disk;
use crate::number::{self, MAX_WORLD_SIZE};
use crate::place::RUN_FILE;
use crate::store::{LocalStore, NewRunError, Store};

/// Why a run could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateRunError {
    /// There is something already.
    #[error(
        "{} exists and is not empty: nothing is ever overwritten, name another directory{}",
        path.display(),
        if path.join(RUN_FILE).exists() { "; a run is there, with which --resume goes on" } else { "" }
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// Nobody reads a run of so many processes.
    #[error("a run is recorded by 1 to {MAX_WORLD_SIZE} processes, not by {world_size}")]
    WorldSize {
        /// How many there were to be.
        world_size: u32,
    },
    /// The file system refused.
    #[error("cannot create the run {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl RunDir {
    /// Creates a run, with its directory and the ones above it, durably. What an interrupted creation
    /// left in the directory is taken over.
    ///
    /// # Errors
    /// If there is anything else in the directory, or the file system refuses.
    pub fn create(path: &Path, info: RunInfo) -> Result<Self, CreateRunError> {
        Self::create_in(Arc::new(LocalStore::new(path)), info)
    }

    /// As [`RunDir::create`], on a disk of one's own, as [`RunDir::open_on`].
    ///
    /// # Errors
    /// As [`RunDir::create`].
    pub fn create_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        info: RunInfo,
    ) -> Result<Self, CreateRunError> {
        Self::create_in(Arc::new(LocalStore::on(disk, path)), info)
    }

    /// As [`RunDir::create`], in a store of one's own, as [`RunDir::open_in`].
    ///
    /// # Errors
    /// As [`RunDir::create`].
    pub fn create_in(store: Arc<dyn Store>, info: RunInfo) -> Result<Self, CreateRunError> {
        let world_size = info.world_size;
        if !number::is_world_size(world_size) {
            return Err(CreateRunError::WorldSize { world_size });
        }
        let mut json = serde_json::to_vec_pretty(&info).expect("all keys are text");
        json.push(b'\n');
        store
            .create_run(&info.run_id, &json)
            .map_err(|error| match error {
                NewRunError::Taken => CreateRunError::NotEmpty {
                    path: store.path().to_owned(),
                },
                NewRunError::Store(error) => CreateRunError::Io {
                    path: error.path,
                    source: error.source,
                },
            })?;
        Ok(Self {
            info: Arc::new(info),
            crc32c: Crc32c::of(&json),
            store,
            text: super::kept_text(&json),
        })
    }

    /// Whether there is a directory at `path` in which nothing was recorded and no run begun: it is
    /// empty, or has only what an interrupted creation left. [`RunDir::create`] takes it over.
    pub fn is_unborn(path: &Path) -> bool {
        LocalStore::new(path).is_unborn()
    }
}

#[cfg(test)]
mod tests;
