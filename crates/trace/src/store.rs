//! What a run needs of the store that it lies in.
//!
//! A [`Store`] keeps a run: `run.json`, part files, and the log, which is the record of its commits. What
//! changes the run goes through a [`StoreWriter`], a group at a time: its parts are put, and then a record
//! is created that names them, once for each number ([`StoredGroup`]). What is read of a part is read by
//! ranges ([`StoredPart`]). Nothing here knows of directories, renames or syncs: [`LocalStore`] keeps its
//! promises with those, on a [`Disk`](crate::Disk); [`MemoryStore`] is for tests, and does what object
//! stores do.

mod local;
mod memory;

use std::any::Any;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::id::{Nonce, Rank};
use crate::place::RunPath;
use crate::table::Table;
use crate::walk::ListFilesError;

pub use local::LocalStore;
pub use memory::{MemoryFault, MemoryStore};

/// A store of one run, as far as the run needs one.
pub trait Store: fmt::Debug + Send + Sync {
    /// Where it is, as messages say it: of a local one its directory.
    fn path(&self) -> &Path;

    /// Keeps `json` as the `run.json` of a run that is new; returns once it is durable, and a writer can
    /// begin. What an interrupted creation left is taken over.
    ///
    /// # Errors
    /// If there is anything else, or the store refuses: then there is no run.
    fn create_run(&self, run_id: &Nonce, json: &[u8]) -> Result<(), NewRunError>;

    /// The bytes of `run.json`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is none, for which [`Store::vacancy`] has the reason; or the
    /// store refuses.
    fn read_run(&self) -> io::Result<Vec<u8>>;

    /// What there is where no `run.json` is.
    fn vacancy(&self) -> Vacancy;

    /// How far the creation of the run has come.
    ///
    /// # Errors
    /// If that cannot be listed.
    fn creation(&self) -> Result<Creation, ListFilesError>;

    /// Takes the right to record as a rank, or as the only one there is; none if another has it. It is given
    /// up when dropped, and when the process dies.
    ///
    /// # Errors
    /// If the store refuses.
    fn lock_rank(&self, rank: Option<Rank>) -> Result<Option<Box<dyn StoreLock>>, StoreError>;

    /// Waits for the right to change a derived table, which is as that of [`Store::lock_rank`].
    ///
    /// # Errors
    /// If the store refuses.
    fn lock_table(&self, table: Table) -> Result<Box<dyn StoreLock>, StoreError>;

    /// The names in the log, in any order: none where it was not begun. What others do meanwhile may be
    /// there or not.
    ///
    /// # Errors
    /// If the store refuses.
    fn list_log(&self) -> io::Result<Vec<String>>;

    /// The bytes of a file in the log.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if it is not there; or the store refuses.
    fn read_log(&self, name: &str) -> io::Result<Vec<u8>>;

    /// The size of a file in the log, in bytes.
    ///
    /// # Errors
    /// As [`Store::read_log`].
    fn log_bytes(&self, name: &str) -> io::Result<u64>;

    /// Opens a part file, by its path below the run, to read ranges of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if it is not there, which reading may also say; or the store refuses.
    fn open_part(&self, path: &str) -> io::Result<Arc<dyn StoredPart>>;

    /// The paths of all part files below the run, of every rank, whether a record names them or not, in no order.
    ///
    /// # Errors
    /// If the store cannot be listed.
    fn list_parts(&self) -> Result<Vec<String>, StoreError>;

    /// Begins to write. The log can be written to from then on.
    ///
    /// # Errors
    /// If the store refuses, or there are files and no log that would say which of them belong to the run.
    fn begin(&self) -> Result<Arc<dyn StoreWriter>, BeginError>;
}

/// A right that one alone has, as long as this value is there.
pub trait StoreLock: fmt::Debug + Send + Sync {}

/// A part file that is read.
pub trait StoredPart: fmt::Debug + Send + Sync {
    /// How many bytes it has.
    ///
    /// # Errors
    /// If the store refuses.
    fn num_bytes(&self) -> io::Result<u64>;

    /// The bytes of a range; fewer where the part ends in it.
    ///
    /// # Errors
    /// If the store refuses.
    fn read_range(&self, range: Range<u64>) -> io::Result<Bytes>;

    /// Reads bytes from `start` on into the buffer; how many, which is none at the end alone.
    ///
    /// # Errors
    /// If the store refuses.
    fn read_at(&self, buffer: &mut [u8], start: u64) -> io::Result<usize>;
}

/// One writer's way into a store. As long as it is there, nobody takes for abandoned what it has begun.
pub trait StoreWriter: fmt::Debug + Send + Sync {
    /// The writer's name.
    fn nonce(&self) -> &Nonce;

    /// Begins a part that nobody sees before it is put. Several may be written at once.
    ///
    /// # Errors
    /// If the store refuses.
    fn create_part(&self) -> io::Result<Box<dyn PartOutput>>;

    /// Puts parts under their names, and takes a record in hand that is to name them. Returns once both
    /// are as durable as they have to be for the record to be created.
    ///
    /// # Errors
    /// If a name is taken, which then keeps its bytes, or the store refuses. Nobody may try again with them:
    /// one of which it cannot be told whether it was put may be there, without a record
    /// ([`StoreWriter::unclaimed`]).
    fn put<'a>(
        &'a self,
        parts: Vec<PartToPut>,
        record: &[u8],
    ) -> Result<Box<dyn StoredGroup + 'a>, StoreError>;

    /// Removes parts that no longer belong to the run, by their paths below it; returns once nobody sees
    /// them, for good. One that is gone is removed.
    ///
    /// # Errors
    /// If one cannot be removed, or that it was is not certain to last; the others are removed.
    fn retire(&self, paths: &[&str]) -> Result<(), StoreError>;

    /// Removes what dead writers had begun and not put.
    fn clear_abandoned(&self);

    /// The paths of all part files of a rank that a dead writer may have put without a record: all but those
    /// of a derived table's writer that is still there.
    ///
    /// # Errors
    /// If the store cannot be listed.
    fn unclaimed(&self, rank: Rank) -> Result<Vec<String>, StoreError>;

    /// Creates a file in the log that stands for others. Its bytes are durable when this returns; whether
    /// it is there after a crash is open until [`StoreWriter::remove_covered`].
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken: it is then as it was; or the store refuses.
    fn create_rollup(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes files of the log for which others stand, once these, whoever wrote them, are durable.
    ///
    /// # Errors
    /// If these cannot be made durable: nothing was removed, and they are in doubt for good.
    fn remove_covered(&self, names: &[String]) -> Result<(), StoreError>;
}

/// A part that is being written. Dropped before it is finished, it was never there.
pub trait PartOutput: Write + fmt::Debug + Send + Sync {
    /// Ends the part, which can then be put.
    ///
    /// # Errors
    /// If the store refuses.
    fn finish(self: Box<Self>) -> io::Result<Box<dyn StagedBytes>>;
}

/// A part that was written and nobody sees, as its store keeps it. Dropped before it is put, it was never
/// there.
pub trait StagedBytes: Any + fmt::Debug + Send + Sync {}

/// A part that is to be put.
#[derive(Debug)]
pub struct PartToPut {
    /// What was written.
    pub staged: Box<dyn StagedBytes>,
    /// Its name: the path below the run.
    pub path: RunPath,
}

/// Parts that were put, and the record that is to name them. Dropped, the parts are removed unless they
/// are kept.
pub trait StoredGroup: fmt::Debug {
    /// Creates the record in the log.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken: it is then as it was, and may be this record,
    /// as after any other error; who reads it can tell. The record is no longer in hand.
    fn create_record(&mut self, name: &str) -> io::Result<()>;

    /// Whether the parts stay when this is dropped, which is to be said before anybody may read the record.
    fn keep(&mut self, keep: bool);

    /// Returns once a record that was created is durable.
    ///
    /// # Errors
    /// If that cannot be told: it is then in doubt for good.
    fn confirm(&mut self) -> Result<(), StoreError>;

    /// Removes a record that was created and that nobody counts.
    fn withdraw(&mut self, name: &str);

    /// Takes another record in hand, as [`StoreWriter::put`] does.
    ///
    /// # Errors
    /// If the store refuses.
    fn take_record(&mut self, record: &[u8]) -> Result<(), StoreError>;
}

/// Something that a store refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct StoreError {
    /// What was tried.
    pub operation: &'static str,
    /// What it was tried with, as messages say it.
    pub path: PathBuf,
    /// What the store said.
    pub source: io::Error,
}

impl StoreError {
    pub(crate) fn of(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}

/// Why a run is not created in a store.
#[derive(Debug, thiserror::Error)]
pub enum NewRunError {
    /// There is something already.
    #[error("there is something already")]
    Taken,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nobody can write to a run.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// There is no log, and there are files, as `example`, a path below the run.
    #[error("{} is missing, and there are files, as {example}", path.display())]
    NoLog {
        /// Where the log should be.
        path: PathBuf,
        /// A file of a table.
        example: String,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What there is where no run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vacancy {
    /// Nothing at all.
    Absent,
    /// What an interrupted creation left, and nothing else.
    Unborn,
    /// Something else.
    Taken,
}

/// How far the creation of a run has come, told by what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// Its log can be written to.
    Complete,
    /// It has no log, and no file of a table either: its creation was interrupted (earlier versions
    /// made `commits/` last), and it can be recorded into.
    Interrupted,
    /// It has no log, but files, or an empty one, and files that come after a commit alone: its commits were lost, as
    /// where it was copied without them.
    CommitsLost {
        /// A file of a table, below the run's directory.
        example: String,
    },
}

#[cfg(test)]
mod tests;
