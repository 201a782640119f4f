//! Runs as they are written, from their creation to their end, and what the writers are told meanwhile.
//! A story ends at the first failure, as a recorder does.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use trace::{
    CaptureId, DerivedError, DerivedWriter, Disk, Group, Operation, Point, PublishError, Publisher,
    Rank, RunDir, RunInfo, SimDisk, Subject, Table,
};

use crate::expected::{Change, Expected, Found, Outcome, without_nonce};
use crate::files::{File, Size, capture_files, metrics};
use crate::scratch::scratch;
use crate::testing::{capture, create_run, structures_rows};

/// Something went wrong, and was told.
#[derive(Debug)]
pub struct Stopped(pub String);

pub type Told = Result<(), Stopped>;

/// Tells a story, on whatever disk.
pub type Tell = fn(&Story) -> Told;

/// A run that is written on a simulated disk.
#[derive(Debug, Clone)]
pub struct Story {
    pub sim: SimDisk,
    pub has_syncfs: bool,
    pub run: PathBuf,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    world_size: u32,
    /// Of what its captures are.
    size: Size,
    /// Committed before the story began, and captures.
    before: Vec<String>,
    captures_before: Vec<CaptureId>,
    was_finished: bool,
    created_at: Option<usize>,
    /// There is a run to go on with.
    is_there: bool,
    /// So many of the changes are those of processes before this.
    num_earlier: usize,
    /// How many processes went on with the run before this.
    generation: u32,
    changes: Vec<Begun>,
    contents: HashMap<String, Arc<[u8]>>,
}

/// A change, when it began, and when what was told of it.
#[derive(Debug, Clone)]
struct Begun {
    change: Change,
    begun_at: usize,
    ended: Option<(usize, Outcome)>,
    /// What the next process found of one that was open: certain once that has committed something, which
    /// comes after it.
    found: Option<Outcome>,
}

/// The whole of a network's identity, for a run of so many processes.
fn info(world_size: u32) -> RunInfo {
    let dir = scratch();
    let run = create_run(&dir.path().join("run"));
    RunInfo {
        world_size,
        ..run.info().clone()
    }
}

impl Story {
    /// A story of a run that is not there yet, on an empty disk.
    pub fn new(root: &Path, has_syncfs: bool) -> Self {
        let sim = SimDisk::over(root).unwrap();
        let sim = match has_syncfs {
            true => sim,
            false => sim.without_syncfs(),
        };
        Self {
            sim,
            has_syncfs,
            run: root.join("runs/run"),
            shared: Arc::default(),
        }
    }

    /// A story that goes on with what a power cut left, on a disk in a directory of its own.
    pub fn after_power_cut(&self, root: &Path, found: &Found) -> Self {
        let story = Self::new(root, self.has_syncfs);
        {
            let earlier = self.shared.lock().unwrap();
            let mut shared = story.shared.lock().unwrap();
            shared.world_size = earlier.world_size;
            shared.size = earlier.size;
            shared.contents = earlier.contents.clone();
            shared.before = found.committed.clone();
            shared.captures_before = found.captures.clone();
            shared.was_finished = found.is_finished;
            shared.created_at = found.is_run.then_some(0);
            shared.is_there = found.is_run;
            shared.generation = earlier.generation + 1;
        }
        story
    }

    /// A story that goes on with what a process left by its first so many operations, without a power cut.
    pub fn after_process(&self, sim: SimDisk, run: PathBuf, at: usize, found: &Found) -> Self {
        let earlier = self.shared.lock().unwrap();
        let begun = earlier.changes.iter().filter(|told| told.begun_at <= at);
        let mut changes: Vec<Begun> = begun.cloned().collect();
        for (index, told) in changes.iter_mut().enumerate() {
            let is_closed = |(ended_at, outcome): &(usize, Outcome)| {
                *ended_at <= at && *outcome != Outcome::Open
            };
            if told.ended.as_ref().is_some_and(is_closed) {
                continue;
            }
            told.ended = None;
            told.found = Some(match found.applied.contains(&index) {
                true => Outcome::NotCleanedUp,
                false => Outcome::Refused,
            });
        }
        let shared = Shared {
            world_size: earlier.world_size,
            size: earlier.size,
            before: earlier.before.clone(),
            captures_before: earlier.captures_before.clone(),
            was_finished: earlier.was_finished,
            created_at: earlier.created_at.filter(|created_at| *created_at <= at),
            is_there: found.is_run,
            num_earlier: changes.len(),
            generation: earlier.generation + 1,
            changes,
            contents: earlier.contents.clone(),
        };
        Self {
            sim,
            has_syncfs: self.has_syncfs,
            run,
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// What is expected once so many operations have ended.
    pub fn expected_at(&self, num_operations: usize) -> Expected {
        let shared = self.shared.lock().unwrap();
        let changes = shared.changes.iter();
        let begun = changes.filter(|told| told.begun_at <= num_operations);
        let is_committed = |told: &Begun| {
            use Outcome::{Committed, NotCleanedUp};
            told.ended.is_some_and(|(at, outcome)| {
                at <= num_operations && matches!(outcome, Committed | NotCleanedUp)
            })
        };
        let has_gone_on = shared.changes[shared.num_earlier..]
            .iter()
            .any(is_committed);
        let outcome = |told: &Begun| match told.ended {
            Some((at, outcome)) if at <= num_operations => outcome,
            _ if has_gone_on => told.found.unwrap_or(Outcome::Open),
            _ => Outcome::Open,
        };
        let created_at = shared.created_at;
        Expected {
            is_created: created_at.is_some_and(|at| at <= num_operations) || has_gone_on,
            before: shared.before.clone(),
            captures_before: shared.captures_before.clone(),
            was_finished: shared.was_finished,
            changes: begun
                .map(|told| (told.change.clone(), outcome(told)))
                .collect(),
            world_size: shared.world_size.max(1),
            contents: Arc::new(shared.contents.clone()),
        }
    }

    /// How many operations there were when the run's creation was acknowledged; none if it was not.
    pub fn created_at(&self) -> Option<usize> {
        self.shared.lock().unwrap().created_at
    }

    fn disk(&self) -> Arc<dyn Disk> {
        self.sim.disk()
    }

    fn create(&self, world_size: u32) -> Result<RunDir, Stopped> {
        self.shared.lock().unwrap().world_size = world_size;
        let run = RunDir::create_on(self.disk(), &self.run, info(world_size)).map_err(stopped)?;
        let now = self.sim.num_operations();
        let mut shared = self.shared.lock().unwrap();
        shared.created_at = Some(now);
        shared.is_there = true;
        Ok(run)
    }

    fn open(&self) -> Result<RunDir, Stopped> {
        RunDir::open_on(self.disk(), &self.run).map_err(stopped)
    }

    fn publisher(&self, run: &RunDir, rank: i32) -> Result<Publisher, Stopped> {
        let session = Some(serde_json::json!({"rank": rank}));
        Publisher::try_new(run, Rank(rank), session).map_err(stopped)
    }

    fn begin(&self, change: Change) -> usize {
        let begun_at = self.sim.num_operations();
        let mut shared = self.shared.lock().unwrap();
        shared.changes.push(Begun {
            change,
            begun_at,
            ended: None,
            found: None,
        });
        shared.changes.len() - 1
    }

    fn end(&self, index: usize, outcome: Outcome) {
        let now = self.sim.num_operations();
        self.shared.lock().unwrap().changes[index].ended = Some((now, outcome));
    }

    /// Stages and publishes files as a group.
    fn publish(
        &self,
        publisher: &mut Publisher,
        files: &[File],
        captures: Vec<CaptureId>,
        retired: &[String],
        is_final: bool,
    ) -> Told {
        let paths = files.iter().map(|file| file.path.to_string());
        self.shared.lock().unwrap().contents.extend(
            files
                .iter()
                .map(|file| (file.path.to_string(), Arc::clone(&file.bytes))),
        );
        let change = Change {
            adds: paths.collect(),
            retires: retired.to_vec(),
            captures: captures.clone(),
            is_final,
        };
        let mut parts = Vec::new();
        for file in files {
            let staging = publisher.staging();
            let part = staging.stage(file.path.clone(), &file.bytes, file.num_rows);
            parts.push(part.map_err(stopped)?);
        }
        let group = Group {
            captures,
            parts,
            retired: retired.to_vec(),
        };
        let index = self.begin(change);
        let published = match is_final {
            true => publisher.publish_last(group),
            false => publisher.publish(group),
        };
        let outcome = published.as_ref().err().map_or(Outcome::Committed, outcome);
        self.end(index, outcome);
        published.map(|_| ()).map_err(stopped)
    }

    fn publish_capture(
        &self,
        publisher: &mut Publisher,
        (epoch, rank, generation): (i32, i32, u32),
    ) -> Told {
        let size = self.shared.lock().unwrap().size;
        let files = capture_files(size, epoch, rank, generation);
        self.publish(publisher, &files, vec![capture(epoch)], &[], false)
    }

    /// Publishes rows of a derived table by a writer of their own, in place of what `retired` of it.
    fn derive(&self, run: &RunDir, epoch: i32, replaces: bool) -> Told {
        let writer = DerivedWriter::begin(run, Table::Structures).map_err(stopped)?;
        let retired: Vec<String> = match replaces {
            true => {
                let parts = writer.parts().map_err(stopped)?;
                parts.into_iter().map(|part| part.path).collect()
            }
            false => Vec::new(),
        };
        let step = capture(epoch).step.0;
        let index = self.begin(Change {
            adds: vec![format!(
                "structures/epoch={epoch}/step-{step}-r0-g0-*.parquet"
            )],
            retires: retired.iter().map(|path| without_nonce(path)).collect(),
            ..Change::default()
        });
        let rows = BTreeMap::from([(capture(epoch), structures_rows(epoch, "ones"))]);
        let published = writer.publish(rows, retired);
        self.end(
            index,
            match &published {
                Ok(_) => Outcome::Committed,
                Err(DerivedError::Publish(error)) => outcome(error),
                Err(_) => Outcome::Refused,
            },
        );
        published.map(|_| ()).map_err(stopped)
    }
}

/// What an error says of its group.
fn outcome(error: &PublishError) -> Outcome {
    match error {
        PublishError::NotCommitted(_) => Outcome::Refused,
        PublishError::InDoubt { .. } => Outcome::Open,
        PublishError::NotCleanedUp { .. } => Outcome::NotCleanedUp,
    }
}

fn stopped(error: impl std::error::Error) -> Stopped {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Stopped(text)
}

fn paths(files: &[File]) -> Vec<String> {
    files.iter().map(|file| file.path.to_string()).collect()
}

/// A process records, is killed, goes on, and ends; what is worked out of its captures is kept beside them.
pub fn one_process(story: &Story) -> Told {
    one_process_of(story, Size::Small)
}

/// As [`one_process`], with many files a capture.
pub fn one_process_with_many_files(story: &Story) -> Told {
    one_process_of(story, Size::Large)
}

fn one_process_of(story: &Story, size: Size) -> Told {
    story.shared.lock().unwrap().size = size;
    let run = story.create(1)?;
    let mut publisher = story.publisher(&run, 0)?;
    story.publish_capture(&mut publisher, (0, 0, 0))?;
    story.publish_capture(&mut publisher, (1, 0, 0))?;
    // Its record takes the number that the publisher is about to.
    story.derive(&run, 1, false)?;
    story.publish_capture(&mut publisher, (2, 0, 0))?;
    // Of a group one file of which has a name that is taken nothing is kept.
    let taken = [metrics(9, 0, 0), metrics(0, 0, 0)];
    let refused = story.publish(&mut publisher, &taken, vec![capture(9)], &[], false);
    if let Err(Stopped(error)) = &refused
        && !error.contains("exists")
    {
        return refused;
    }
    assert!(refused.is_err(), "a name was given twice");
    drop(publisher);

    leave_staged(story).map_err(stopped)?;
    let run = story.open()?;
    let mut publisher = story.publisher(&run, 0)?;
    let retired = paths(&capture_files(size, 2, 0, 0));
    story.publish(&mut publisher, &[], Vec::new(), &retired, false)?;
    publisher.clear_leftovers().map_err(stopped)?;
    story.publish_capture(&mut publisher, (2, 0, 1))?;
    publisher.seal().map_err(stopped)?;
    story.derive(&run, 2, true)?;
    story.publish(&mut publisher, &[metrics(3, 0, 1)], vec![], &[], true)?;
    publisher.seal().map_err(stopped)
}

/// Leaves a staged file as a writer does that was killed: one that nobody holds the lock of.
fn leave_staged(story: &Story) -> std::io::Result<()> {
    let staging = story.run.join(trace::STAGING_DIR);
    let dead = staging.join("0123456789abcdef");
    std::fs::create_dir_all(&dead)?;
    std::fs::write(dead.join("0"), "half")
}

/// Two processes record, of which one is slow: its number was rolled up before it came to use it, and the
/// other publishes in the midst of its publish.
pub fn two_processes(story: &Story) -> Told {
    let run = story.create(2)?;
    let mut slow = story.publisher(&run, 1)?;
    let mut fast = story.publisher(&run, 0)?;
    for epoch in 0..5 {
        story.publish_capture(&mut fast, (epoch, 0, 0))?;
    }
    fast.seal().map_err(stopped)?;
    story.publish_capture(&mut slow, (0, 1, 0))?;
    // Directories that the slow one made are not durable yet when the fast one uses them.
    let fast = Arc::new(Mutex::new(fast));
    let between = [
        Point::of(Operation::Rename, Subject::Part),
        Point::of(Operation::Link, Subject::Record),
    ];
    for (epoch, point) in (5..).zip(between) {
        let (nested, fast) = (story.clone(), Arc::clone(&fast));
        let told = Arc::new(Mutex::new(Ok(())));
        let answer = Arc::clone(&told);
        story.sim.before(point, move || {
            let mut fast = fast.lock().unwrap();
            *answer.lock().unwrap() = nested.publish_capture(&mut fast, (epoch, 0, 0));
        });
        let published = story.publish_capture(&mut slow, (epoch, 1, 0));
        std::mem::replace(&mut *told.lock().unwrap(), Ok(()))?;
        published?;
    }
    story.publish(&mut slow, &[], vec![], &[], true)?;
    let mut fast = fast.lock().unwrap();
    story.publish(&mut fast, &[], vec![], &[], true)?;
    fast.seal().map_err(stopped)
}

/// Two processes record captures of many files each, one in the midst of the other's publish; both are killed, take
/// their last capture back and record it anew, and what is worked out of it is kept beside them, twice.
pub fn two_processes_that_go_on(story: &Story) -> Told {
    let size = Size::Large;
    story.shared.lock().unwrap().size = size;
    let run = story.create(2)?;
    let mut slow = story.publisher(&run, 1)?;
    let fast = Arc::new(Mutex::new(story.publisher(&run, 0)?));
    for epoch in 0..2 {
        let (nested, fast) = (story.clone(), Arc::clone(&fast));
        let told = Arc::new(Mutex::new(Ok(())));
        let answer = Arc::clone(&told);
        let point = Point::of(Operation::Rename, Subject::Part);
        story.sim.before(point, move || {
            let mut fast = fast.lock().unwrap();
            *answer.lock().unwrap() = nested.publish_capture(&mut fast, (epoch, 0, 0));
        });
        let published = story.publish_capture(&mut slow, (epoch, 1, 0));
        std::mem::replace(&mut *told.lock().unwrap(), Ok(()))?;
        published?;
    }
    drop((slow, fast));

    leave_staged(story).map_err(stopped)?;
    let run = story.open()?;
    for rank in 0..2 {
        let mut publisher = story.publisher(&run, rank)?;
        let retired = paths(&capture_files(size, 1, rank, 0));
        story.publish(&mut publisher, &[], Vec::new(), &retired, false)?;
        publisher.clear_leftovers().map_err(stopped)?;
        story.publish_capture(&mut publisher, (1, rank, 1))?;
        story.derive(&run, rank, rank == 1)?;
        story.publish(&mut publisher, &[metrics(2, rank, 1)], vec![], &[], true)?;
        publisher.seal().map_err(stopped)?;
    }
    Ok(())
}

/// A process records for so long that its records are rolled up while it does.
pub fn many_commits(story: &Story) -> Told {
    story.shared.lock().unwrap().size = Size::Least;
    let run = story.create(1)?;
    let mut publisher = story.publisher(&run, 0)?;
    for epoch in 0..17 {
        story.publish_capture(&mut publisher, (epoch, 0, 0))?;
    }
    Ok(())
}

/// What the next session does of each rank, whatever the last left: it opens the run or creates it, clears
/// away, records a capture and ends.
pub fn go_on(story: &Story) -> Told {
    let (world_size, is_there, generation) = {
        let shared = story.shared.lock().unwrap();
        let world_size = shared.world_size.max(1);
        (world_size, shared.is_there, shared.generation)
    };
    let epoch = 100 + i32::try_from(generation).unwrap();
    let run = match is_there {
        true => story.open()?,
        false => story.create(world_size)?,
    };
    for rank in 0..i32::try_from(world_size).unwrap() {
        let mut publisher = story.publisher(&run, rank)?;
        story.publish(&mut publisher, &[], vec![], &[], false)?;
        publisher.clear_leftovers().map_err(stopped)?;
        story.publish_capture(&mut publisher, (epoch, rank, generation))?;
        publisher.seal().map_err(stopped)?;
    }
    Ok(())
}
