//! A run in memory, as an object store keeps it: for tests, of this project and of others.

use std::any::Any;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{
    BeginError, Creation, NewRunError, PartOutput, PartToPut, StagedBytes, Store, StoreError,
    StoreLock, StoreWriter, StoredGroup, StoredPart, Vacancy,
};
use crate::id::{Nonce, Rank};
use crate::part::PartPath;
use crate::place::{COMMITS_DIR, RUN_FILE};
use crate::table::Table;
use crate::walk::ListFilesError;

/// A store in memory; a clone is the same store.
///
/// It does what object stores do, and nothing else: whole objects are put, under a key that has none
/// (`If-None-Match: *`), and are there for good once that was answered; ranges of them are read; keys are
/// listed by how they begin, in order; objects are removed. There are no directories, no renames, and nothing
/// to sync. Rights that one alone has, which an object store would keep as leases, are those of this process.
#[derive(Debug, Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    path: PathBuf,
    objects: Mutex<Objects>,
    /// Rights that are held, by name.
    held: Mutex<HashSet<String>>,
    given_up: Condvar,
}

#[derive(Default)]
struct Objects {
    by_key: BTreeMap<String, Bytes>,
    writers: HashSet<Nonce>,
    /// What becomes of the next puts of keys that begin so.
    planned: VecDeque<(String, Planned)>,
    /// What was read of parts, in order.
    reads: Vec<(String, Range<u64>)>,
}

enum Planned {
    Fault(MemoryFault),
    Call(Box<dyn FnOnce() + Send>),
}

/// What goes wrong with a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryFault {
    /// It is refused: the object is not there.
    Refused,
    /// It is done, and answered as if it had failed.
    AnswerLost,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        f.debug_struct("Shared").field("path", path).finish()
    }
}

impl MemoryStore {
    /// An empty store, which messages call `path`.
    pub fn new(path: &Path) -> Self {
        Self(Arc::new(Shared {
            path: path.to_owned(),
            objects: Mutex::default(),
            held: Mutex::default(),
            given_up: Condvar::new(),
        }))
    }

    /// The keys that begin so, in order.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let objects = self.objects();
        let from_there = objects.by_key.range(prefix.to_owned()..);
        let keys = from_there.map(|(key, _)| key);
        keys.take_while(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// Gives an object other bytes, or removes it, as somebody does who is not this library.
    pub fn tamper(&self, key: &str, bytes: Option<Bytes>) {
        let mut objects = self.objects();
        match bytes {
            Some(bytes) => objects.by_key.insert(key.to_owned(), bytes),
            None => objects.by_key.remove(key),
        };
    }

    /// The next put of a key that begins so goes wrong.
    pub fn fail_next(&self, prefix: &str, fault: MemoryFault) {
        self.plan(prefix, Planned::Fault(fault));
    }

    /// Before the next put of a key that begins so, `call` is called, which may do with the store what it
    /// likes.
    pub fn before(&self, prefix: &str, call: impl FnOnce() + Send + 'static) {
        self.plan(prefix, Planned::Call(Box::new(call)));
    }

    /// What was read of part files since the last call: of which, and which bytes were asked for.
    pub fn take_reads(&self) -> Vec<(String, Range<u64>)> {
        std::mem::take(&mut self.objects().reads)
    }

    fn plan(&self, prefix: &str, planned: Planned) {
        let planned = (prefix.to_owned(), planned);
        self.objects().planned.push_back(planned);
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.0
            .objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What is planned for a key, which then is no more.
    fn planned(&self, key: &str) -> Option<Planned> {
        let mut objects = self.objects();
        let mut planned = objects.planned.iter();
        let index = planned.position(|(prefix, _)| key.starts_with(prefix))?;
        objects.planned.remove(index).map(|(_, planned)| planned)
    }

    /// Puts an object whose key has none.
    fn put_new(&self, key: &str, bytes: Bytes) -> io::Result<()> {
        let mut fault = None;
        while let Some(planned) = self.planned(key) {
            match planned {
                Planned::Call(call) => call(),
                Planned::Fault(planned) => {
                    fault = Some(planned);
                    break;
                }
            }
        }
        if fault == Some(MemoryFault::Refused) {
            return Err(io::Error::other("the store refused"));
        }
        let mut objects = self.objects();
        if objects.by_key.contains_key(key) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        objects.by_key.insert(key.to_owned(), bytes);
        match fault {
            Some(_) => Err(io::Error::other("the store gave no answer")),
            None => Ok(()),
        }
    }

    fn get(&self, key: &str) -> io::Result<Bytes> {
        let bytes = self.objects().by_key.get(key).cloned();
        bytes.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove(&self, key: &str) {
        self.objects().by_key.remove(key);
    }

    fn location(&self, key: &str) -> PathBuf {
        self.0.path.join(key)
    }

    fn held(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All part files, with their keys.
    fn parts(&self) -> impl Iterator<Item = (PartPath, String)> {
        let tables = Table::ALL.into_iter();
        let keys = tables.flat_map(move |table| self.keys(&format!("{table}/")));
        keys.filter_map(|key| Some((key.parse::<PartPath>().ok()?, key)))
    }

    fn lock(&self, name: String) -> Box<dyn StoreLock> {
        let store = self.clone();
        Box::new(MemoryLock { store, name })
    }
}

fn log_key(name: &str) -> String {
    format!("{COMMITS_DIR}/{name}")
}

impl Store for MemoryStore {
    fn path(&self) -> &Path {
        &self.0.path
    }

    fn create_run(&self, _run_id: &Nonce, json: &[u8]) -> Result<(), NewRunError> {
        if !self.keys("").is_empty() {
            return Err(NewRunError::Taken);
        }
        match self.put_new(RUN_FILE, Bytes::copy_from_slice(json)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(NewRunError::Taken),
            created => Ok(created.map_err(StoreError::of("create", &self.location(RUN_FILE)))?),
        }
    }

    fn read_run(&self) -> io::Result<Vec<u8>> {
        Ok(self.get(RUN_FILE)?.into())
    }

    fn vacancy(&self) -> Vacancy {
        match self.keys("").is_empty() {
            true => Vacancy::Absent,
            false => Vacancy::Taken,
        }
    }

    fn creation(&self) -> Result<Creation, ListFilesError> {
        // A log is begun by its first record: there is nothing to make before that.
        Ok(Creation::Complete)
    }

    fn lock_rank(&self, rank: Option<Rank>) -> Result<Option<Box<dyn StoreLock>>, StoreError> {
        let name = rank.map_or_else(|| RUN_FILE.to_owned(), |rank| format!("rank {rank}"));
        let is_free = self.held().insert(name.clone());
        Ok(is_free.then(|| self.lock(name)))
    }

    fn lock_table(&self, table: Table) -> Result<Box<dyn StoreLock>, StoreError> {
        let name = format!("table {table}");
        let mut held = self.held();
        while !held.insert(name.clone()) {
            let waited = self.0.given_up.wait(held);
            held = waited.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(self.lock(name))
    }

    fn list_log(&self) -> io::Result<Vec<String>> {
        let prefix = log_key("");
        let keys = self.keys(&prefix).into_iter();
        Ok(keys.map(|key| key[prefix.len()..].to_owned()).collect())
    }

    fn read_log(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.get(&log_key(name))?.into())
    }

    fn log_bytes(&self, name: &str) -> io::Result<u64> {
        Ok(self.get(&log_key(name))?.len() as u64)
    }

    fn open_part(&self, path: &str) -> io::Result<Arc<dyn StoredPart>> {
        // Nothing is asked of the store before a range is.
        Ok(Arc::new(MemoryPart {
            store: self.clone(),
            key: path.to_owned(),
        }))
    }

    fn list_parts(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.parts().map(|(_, key)| key).collect())
    }

    fn begin(&self) -> Result<Arc<dyn StoreWriter>, BeginError> {
        let nonce = Nonce::draw().map_err(StoreError::of("draw a name for", self.path()))?;
        self.objects().writers.insert(nonce.clone());
        Ok(Arc::new(MemoryWriter {
            store: self.clone(),
            nonce,
        }))
    }
}

/// A right that is held by this value.
#[derive(Debug)]
struct MemoryLock {
    store: MemoryStore,
    name: String,
}

impl StoreLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.store.held().remove(&self.name);
        self.store.0.given_up.notify_all();
    }
}

#[derive(Debug)]
struct MemoryPart {
    store: MemoryStore,
    key: String,
}

impl StoredPart for MemoryPart {
    fn num_bytes(&self) -> io::Result<u64> {
        Ok(self.store.get(&self.key)?.len() as u64)
    }

    fn read_range(&self, range: Range<u64>) -> io::Result<Bytes> {
        let object = self.store.get(&self.key)?;
        let mut objects = self.store.objects();
        objects.reads.push((self.key.clone(), range.clone()));
        let end = range.end.min(object.len() as u64);
        let start = range.start.min(end);
        Ok(object.slice(start as usize..end as usize))
    }

    fn read_at(&self, buffer: &mut [u8], start: u64) -> io::Result<usize> {
        let end = start.saturating_add(buffer.len() as u64);
        let bytes = self.read_range(start..end)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

#[derive(Debug)]
struct MemoryWriter {
    store: MemoryStore,
    nonce: Nonce,
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.store.objects().writers.remove(&self.nonce);
    }
}

impl StoreWriter for MemoryWriter {
    fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    fn create_part(&self) -> io::Result<Box<dyn PartOutput>> {
        Ok(Box::new(MemoryOutput(Vec::new())))
    }

    fn put<'a>(
        &'a self,
        parts: Vec<PartToPut>,
        record: &[u8],
    ) -> Result<Box<dyn StoredGroup + 'a>, StoreError> {
        // Dropped before it is returned, it removes what was put.
        let mut group = MemoryGroup {
            store: &self.store,
            keys: Vec::new(),
            is_kept: false,
            record: Some(Bytes::copy_from_slice(record)),
        };
        for PartToPut { staged, path } in parts {
            let location = self.store.location(&path);
            let put = match (staged as Box<dyn Any>).downcast() {
                Ok(staged) => {
                    let MemoryBytes(bytes) = *staged;
                    self.store.put_new(&path, bytes)
                }
                Err(_) => Err(io::Error::other("it was written to another store")),
            };
            // What was refused may be there all the same, or be another's, which is not ours to remove.
            put.map_err(StoreError::of("put", &location))?;
            group.keys.push(path.into());
        }
        Ok(Box::new(group))
    }

    fn retire(&self, paths: &[&str]) -> Result<(), StoreError> {
        for path in paths {
            self.store.remove(path);
        }
        Ok(())
    }

    fn clear_abandoned(&self) {
        // What was not put is in the memory of who was to put it.
    }

    fn unclaimed(&self, rank: Rank) -> Result<Vec<String>, StoreError> {
        let parts = self.store.parts();
        let parts: Vec<_> = parts.filter(|(part, _)| part.rank == rank).collect();
        // Who is still there is asked after that: who has ended has committed what was found, or never will.
        let objects = self.store.objects();
        let is_in_hand = |part: &PartPath| {
            let nonce = part.nonce.as_ref();
            nonce.is_some_and(|nonce| objects.writers.contains(nonce))
        };
        let unclaimed = parts.into_iter().filter(|(part, _)| !is_in_hand(part));
        Ok(unclaimed.map(|(_, key)| key).collect())
    }

    fn create_rollup(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.store.put_new(&log_key(name), bytes)
    }

    fn remove_covered(&self, names: &[String]) -> Result<(), StoreError> {
        for name in names {
            self.store.remove(&log_key(name));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryOutput(Vec<u8>);

impl Write for MemoryOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PartOutput for MemoryOutput {
    fn finish(self: Box<Self>) -> io::Result<Box<dyn StagedBytes>> {
        Ok(Box::new(MemoryBytes(self.0.into())))
    }
}

#[derive(Debug)]
struct MemoryBytes(Bytes);

impl StagedBytes for MemoryBytes {}

#[derive(Debug)]
struct MemoryGroup<'a> {
    store: &'a MemoryStore,
    keys: Vec<String>,
    is_kept: bool,
    record: Option<Bytes>,
}

impl StoredGroup for MemoryGroup<'_> {
    fn create_record(&mut self, name: &str) -> io::Result<()> {
        let record = self.record.take();
        let record = record.ok_or_else(|| io::Error::other("no record is in hand"))?;
        self.store.put_new(&log_key(name), record)
    }

    fn keep(&mut self, keep: bool) {
        self.is_kept = keep;
    }

    fn confirm(&mut self) -> Result<(), StoreError> {
        // What was put is there for good.
        Ok(())
    }

    fn withdraw(&mut self, name: &str) {
        self.store.remove(&log_key(name));
    }

    fn take_record(&mut self, record: &[u8]) -> Result<(), StoreError> {
        self.record = Some(Bytes::copy_from_slice(record));
        Ok(())
    }
}

impl Drop for MemoryGroup<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            for key in &self.keys {
                self.store.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
