//! A sink in a model: what it is given, and what becomes of that.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use shuttle::rand::Rng;
use tempfile::TempDir;
use trace::{CaptureId, Catalog, CommitRecord, Part, PartPath, RunDir, Table, WriterLock};

use crate::disk::ModelDisk;
use crate::error::SinkError;
use crate::make_part::{Made, MakePart};
use crate::on_commit::OnCommit;
use crate::sink::{BeforeWrite, Closing, Sink, SinkOptions};
use crate::testing::{capture, create_run, metrics_rows, part_path};

/// One of so many, as shuttle chooses.
pub(crate) fn choose(number: usize) -> usize {
    shuttle::rand::thread_rng().gen_range(0..number)
}

/// How a part turns out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Well,
    /// Its rows cannot be made.
    NoRows,
    /// Making them panics.
    Panics,
    /// There is no room for its file.
    NoRoom,
}

/// A part whose rows are made by a worker.
struct Later(Part, How);

impl MakePart for Later {
    fn path(&self) -> &PartPath {
        &self.0.path
    }

    fn most_bytes(&self) -> u64 {
        2 * self.0.memory_bytes()
    }

    fn make(self: Box<Self>) -> Result<Made, Box<dyn Error + Send + Sync>> {
        shuttle::thread::yield_now();
        match self.1 {
            How::NoRows => Err("there are no such rows".into()),
            // Shuttle's hook would take any other panic for the model's.
            How::Panics => std::panic::resume_unwind(Box::new("out of luck")),
            How::Well | How::NoRoom => Ok(self.0.into()),
        }
    }
}

/// A job of several parts, each of which turns out in its own way. It is counted as long as its values are there.
struct Several {
    parts: VecDeque<Later>,
    alive: Arc<AtomicUsize>,
}

impl Several {
    fn new(parts: VecDeque<Later>, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        let alive = Arc::clone(alive);
        Self { parts, alive }
    }
}

impl Drop for Several {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl MakePart for Several {
    fn path(&self) -> &PartPath {
        self.parts[0].path()
    }

    fn num_parts(&self) -> usize {
        self.parts.len()
    }

    fn most_bytes(&self) -> u64 {
        self.parts.len() as u64 * part_bytes()
    }

    fn make(mut self: Box<Self>) -> Result<Made, Box<dyn Error + Send + Sync>> {
        let first = self.parts.pop_front().ok_or("nothing is left")?;
        let Made { part, .. } = Box::new(first).make()?;
        let rest: Option<Box<dyn MakePart>> = match self.parts.is_empty() {
            true => None,
            false => Some(self),
        };
        Ok(Made { part, rest })
    }
}

fn part(epoch: i32, sequence: usize) -> Part {
    let path = PartPath {
        sequence: sequence as u32,
        ..part_path(Table::Metrics, epoch, None)
    };
    let rows = metrics_rows(epoch, &[("loss", f64::from(epoch))]);
    Part { path, rows }
}

/// Bytes that a part holds at most.
pub(crate) fn part_bytes() -> u64 {
    Later(part(0, 0), How::Well).most_bytes()
}

/// A run that lasts as long as a model runs, and what was told of its commits.
pub(crate) struct Story {
    _dir: TempDir,
    run: RunDir,
    /// The captures of records, in their order, and whether a record said that the session was finished.
    told: Arc<Mutex<Told>>,
    /// Which part there is no room for.
    no_room: Option<PartPath>,
    /// How many jobs of several parts there are whose values are there.
    alive: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Told {
    captures: Vec<CaptureId>,
    is_finished: bool,
    broken: Vec<String>,
}

impl Told {
    /// What a record says is on the disk by the time that it is told.
    fn take(&mut self, run: &Path, record: &CommitRecord) {
        let committed = RunDir::open(run)
            .ok()
            .and_then(|run| Catalog::load(&run).ok());
        let is_committed = |id: &CaptureId| {
            let mut captures = committed.iter().flat_map(|catalog| catalog.captures());
            captures.any(|there| there.id == *id)
        };
        for id in record.captures.iter().filter(|id| !is_committed(id)) {
            let told = format!("epoch {} was told before it was committed", id.epoch);
            self.broken.push(told);
        }
        for file in &record.files {
            if !run.join(file.path.as_str()).is_file() {
                let told = format!("{} was told and is not there", file.path.as_str());
                self.broken.push(told);
            }
        }
        self.captures.extend(&record.captures);
        self.is_finished |= record.is_final;
    }
}

/// Says that a model does not do what sinks promise.
fn promise(is_kept: bool, what: &str) {
    assert!(is_kept, "a broken promise: {what}");
}

impl Story {
    pub(crate) fn begin(disk: ModelDisk) -> Self {
        let in_memory = Path::new("/dev/shm");
        let dir = tempfile::tempdir_in(in_memory).or_else(|_| tempfile::tempdir());
        let dir = dir.unwrap();
        let path = dir.path().join("run");
        create_run(&path);
        Self {
            run: RunDir::open_on(Arc::new(disk), &path).unwrap(),
            _dir: dir,
            told: Arc::default(),
            no_room: None,
            alive: Arc::default(),
        }
    }

    /// Starts a sink of two workers whose channel has room for less than a part, one, or all.
    pub(crate) fn sink(&self, taken_up: Option<Arc<WriterLock>>) -> Sink {
        self.sink_of([1, part_bytes(), 20 * part_bytes()][choose(3)], taken_up)
    }

    /// As [`Story::sink`], with a channel of so many bytes.
    pub(crate) fn sink_of(&self, channel_bytes: u64, taken_up: Option<Arc<WriterLock>>) -> Sink {
        let (told, run) = (Arc::clone(&self.told), self.run.path().to_owned());
        let on_commit = OnCommit::new(move |record| told.lock().unwrap().take(&run, record));
        let no_room = self.no_room.clone();
        let before_write = BeforeWrite(Arc::new(move |path| {
            shuttle::thread::yield_now();
            match no_room.as_ref() == Some(path) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }));
        let options = SinkOptions {
            channel_bytes,
            num_workers: 2,
            session: taken_up.is_none().then(|| serde_json::json!({})),
            taken_up,
            before_write: Some(before_write),
            on_commit: Some(on_commit),
            ..SinkOptions::default()
        };
        Sink::start(&self.run, options).unwrap()
    }

    /// There will be no room for a part.
    pub(crate) fn fill_up(&mut self, epoch: i32, number: usize) {
        self.no_room = Some(part(epoch, number).path);
    }

    /// Sends a capture of so many parts, and ends it.
    pub(crate) fn record(
        sink: &Sink,
        epoch: i32,
        num_parts: usize,
        how: impl Fn(usize) -> How,
    ) -> Result<(), SinkError> {
        let mut open = sink.begin(Some(capture(epoch)));
        for number in 0..num_parts {
            open.send(Later(part(epoch, number), how(number)))?;
        }
        open.end()
    }

    /// Sends a capture of one job that makes `num_parts` parts but one, and of one that makes the last, and ends it.
    pub(crate) fn record_together(
        &self,
        sink: &Sink,
        epoch: i32,
        num_parts: usize,
        how: impl Fn(usize) -> How,
    ) -> Result<(), SinkError> {
        let later = |number| Later(part(epoch, number), how(number));
        let last = num_parts - 1;
        let mut open = sink.begin(Some(capture(epoch)));
        open.send(Several::new((0..last).map(later).collect(), &self.alive))?;
        open.send(later(last))?;
        open.end()
    }

    /// Ends a sink, of which nothing is left after that: neither what jobs had of the channel's budget nor their values.
    pub(crate) fn close_empty(&self, sink: Sink, closing: Closing) -> Result<(), SinkError> {
        let meter = sink.meter();
        let result = sink.close(closing).1;
        promise(meter.held_bytes() == 0, "what was taken is given back");
        let alive = self.alive.load(Ordering::Relaxed);
        promise(alive == 0, "what was to be written is let go of");
        result
    }

    /// Sends parts of a capture that does not end.
    pub(crate) fn abandon(sink: &Sink, epoch: i32, num_parts: usize) -> Result<(), SinkError> {
        let mut open = sink.begin(Some(capture(epoch)));
        for number in 0..num_parts {
            open.send(Later(part(epoch, number), How::Well))?;
        }
        Ok(())
    }

    /// A flush that returns has committed what had ended.
    pub(crate) fn flush(&self, sink: &Sink, ended: &[i32]) -> Result<(), SinkError> {
        sink.flush()?;
        promise(self.epochs() == ended, "a flush returned before a commit");
        Ok(())
    }

    /// The epochs of the captures that were told, in the order of their commits.
    pub(crate) fn epochs(&self) -> Vec<i32> {
        let told = self.told.lock().unwrap();
        told.captures.iter().map(|id| id.epoch.0).collect()
    }

    /// Holds what is there against what was promised; returns the epochs that are committed. Of captures of
    /// `num_parts` parts each, `handed_over` in this order.
    pub(crate) fn check(&self, handed_over: &[i32], num_parts: usize) -> Vec<i32> {
        let told = self.told.lock().unwrap();
        promise(told.broken.is_empty(), &told.broken.join(", "));
        let catalog = Catalog::load(&RunDir::open(self.run.path()).unwrap()).unwrap();
        let committed = catalog.captures().iter().map(|capture| capture.id.epoch.0);
        let committed: Vec<i32> = committed.collect();
        promise(
            handed_over.starts_with(&committed),
            &format!("{committed:?} were committed of {handed_over:?}"),
        );
        for epoch in &committed {
            let files = catalog.files().filter(|file| file.epoch == *epoch);
            let paths: Vec<String> = files.map(|file| file.path.to_owned()).collect();
            let expected: Vec<String> = (0..num_parts)
                .map(|number| part(*epoch, number).path.to_string())
                .collect();
            promise(paths == expected, "a capture has its parts, in their order");
            let is_there = |path: &String| self.run.path().join(path).is_file();
            promise(paths.iter().all(is_there), "a capture is whole");
        }
        let all: usize = catalog.num_files();
        promise(
            all == num_parts * committed.len(),
            "nothing is there by half",
        );
        promise(!self.run.staging_dir().exists(), "nothing is left over");
        committed
    }

    /// Whether a record says that the session was finished.
    pub(crate) fn is_finished(&self) -> bool {
        self.told.lock().unwrap().is_finished
    }

    /// Ends a sink from which everything is expected that it was given.
    pub(crate) fn finish(&self, sink: Sink, expected: &[i32], num_parts: usize) {
        let result = sink.close(Closing::Finished).1;
        promise(result.is_ok(), "a sink ends well of which nothing failed");
        promise(
            self.epochs() == expected,
            "captures are told in their order",
        );
        let committed = self.check(expected, num_parts);
        promise(committed == expected, "everything is committed");
    }

    /// Ends a sink that has failed; returns why.
    pub(crate) fn fail(&self, sink: Sink) -> SinkError {
        let result = sink.close(Closing::Finished).1;
        promise(result.is_err(), "a failure is said at the end");
        promise(!self.is_finished(), "a session that failed is not finished");
        result.unwrap_err()
    }
}
