//! A disk that is full and has room again, one that fails, and captures that could not be made.

use std::io;
use std::time::Duration;

use sink::BeforeWrite;
use trace::{Catalog, Ending, Table};

use super::*;

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk that fails on demand.
#[derive(Clone, Default)]
struct Disk {
    /// The error of every write; 0 where there is none.
    errno: Arc<std::sync::atomic::AtomicI32>,
    num_refused: Arc<AtomicU64>,
}

const NO_SPACE: i32 = 28;
const IO_ERROR: i32 = 5;

impl Disk {
    fn set(&self, errno: i32) {
        self.errno.store(errno, Ordering::SeqCst);
    }

    fn hook(&self) -> BeforeWrite {
        let disk = self.clone();
        BeforeWrite(Arc::new(move |_| match disk.errno.load(Ordering::SeqCst) {
            0 => Ok(()),
            errno => {
                disk.num_refused.fetch_add(1, Ordering::SeqCst);
                Err(io::Error::from_raw_os_error(errno))
            }
        }))
    }
}

/// A training that records every epoch on a disk that may fail.
struct Training {
    run: RunDir,
    disk: Disk,
    recording: Recording,
    /// The next epoch.
    epoch: i32,
    /// Captures that were handed over.
    num_handed_over: u64,
    changes: Vec<Change>,
    _dir: tempfile::TempDir,
}

impl Training {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layers = layers(false);
        let run = create(dir.path(), &layers);
        let disk = Disk::default();
        let mut plan = plan();
        plan.last_epoch = None;
        plan.limits.on_error = OnError::Continue;
        plan.owner_reports = true;
        let options = SinkOptions {
            num_workers: 1,
            session: Some(serde_json::json!({"session": 1})),
            min_publish_interval: Duration::ZERO,
            before_write: Some(disk.hook()),
            ..SinkOptions::default()
        };
        let recording = Recording::start(&run, layers, plan, options).unwrap();
        Self {
            run,
            disk,
            recording,
            epoch: 0,
            num_handed_over: 0,
            changes: Vec::new(),
            _dir: dir,
        }
    }

    fn next_id(&mut self) -> CaptureId {
        let epoch = Epoch(self.epoch);
        self.epoch += 1;
        let step = Step(i64::from(self.epoch));
        CaptureId { epoch, step }
    }

    fn network(&self) -> Box<dyn Source> {
        let values = (0..2).map(|layer| weights(layer, NUM_UNITS * FAN_IN));
        Box::new(Ready {
            values: values.collect(),
            rooms: Arc::default(),
        })
    }

    /// Ends an epoch. Says whether the network was captured.
    fn end_epoch(&mut self) -> bool {
        let id = self.next_id();
        let start = self.recording.begin_call();
        self.recording.metric(None, "figure", f64::from(id.epoch.0));
        let network = match self.recording.decide(id, true).unwrap() {
            Decision::Capture => Some(self.network()),
            _ => None,
        };
        let captured = self.recording.hand_over(id, true, network, start).unwrap();
        self.changes.extend(self.recording.take_changes());
        self.num_handed_over += u64::from(captured);
        captured
    }

    /// Ends epochs until something holds.
    fn end_epochs_until(&mut self, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.changes);
            self.end_epoch();
        }
    }

    /// Waits until so many captures are committed.
    fn wait_for_captures(&self, num_captures: u64) {
        let start = Instant::now();
        while self.recording.clock.meter.stats().num_captures < num_captures {
            assert!(start.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends; gives the summary, and the run with all its changes.
    fn finish(self) -> (RecordSummary, Catalog, Vec<Change>, i32, tempfile::TempDir) {
        let mut changes = self.changes;
        let summary = self.recording.finish().unwrap();
        changes.extend(summary.changes.iter().cloned());
        // Whoever reads it takes the records for one history.
        let catalog = Catalog::load(&self.run).unwrap();
        (summary, catalog, changes, self.epoch, self._dir)
    }
}

fn kinds(changes: &[Change]) -> Vec<&'static str> {
    let kind = |change: &Change| match change {
        Change::Stopped {
            waits_for_room: true,
            ..
        } => "waits",
        Change::Stopped { .. } => "failed",
        Change::TakenUp { .. } => "taken up",
    };
    changes.iter().map(kind).collect()
}

/// What was kept is there, each capture once and in order, and the rest is counted.
fn assert_counted(summary: &RecordSummary, catalog: &Catalog, num_epochs: i32) {
    let epochs: Vec<i32> = catalog.captures().iter().map(|c| c.id.epoch.0).collect();
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    assert_eq!(summary.num_captures, epochs.len() as u64);
    let due = summary.num_captures + summary.lost_captures;
    assert_eq!(due, u64::from(num_epochs.unsigned_abs()), "{epochs:?}");
}

#[test]
fn recording_is_taken_up_again_where_there_is_room() {
    let mut training = Training::start();
    for _ in 0..3 {
        assert!(training.end_epoch());
    }
    training.wait_for_captures(3);
    training.disk.set(NO_SPACE);
    training.end_epochs_until(|training| !training.changes.is_empty());
    // The file system of the test has room, so that it is tried, ever more rarely and in vain.
    for _ in 0..100 {
        training.end_epoch();
    }
    let num_refused = training.disk.num_refused.load(Ordering::SeqCst);
    assert!((2..=24).contains(&num_refused), "{num_refused}");
    assert_eq!(kinds(&training.changes), ["waits"], "it is said once");
    // Nothing is on the way that would find room after all.
    training.end_epochs_until(|training| training.recording.waits_for_room());
    let lost_by_then = training.epoch - 3;

    training.disk.set(0);
    training.end_epochs_until(|training| training.changes.len() > 1);
    for _ in 0..3 {
        assert!(training.end_epoch());
    }
    let num_handed_over = training.num_handed_over;
    let run = training.run.clone();
    let (summary, catalog, changes, num_epochs, _dir) = training.finish();
    // Whoever looks at the run is told the same.
    let lost = trace::lost_captures(&run, &catalog).unwrap();
    assert_eq!(lost, summary.lost_captures);
    let stats = sink::run_stats(&run).unwrap();
    assert_eq!(stats.num_lost_captures.unwrap(), summary.lost_captures);
    assert_eq!(kinds(&changes), ["waits", "taken up"]);
    let Change::Stopped { error, .. } = &changes[0] else {
        panic!("{changes:?}");
    };
    assert!(error.with_causes().contains("No space left on device"));
    let Change::TakenUp { lost_captures } = changes[1] else {
        panic!("{changes:?}");
    };
    assert_eq!(lost_captures, summary.lost_captures);
    assert!(lost_captures >= u64::from(lost_by_then.unsigned_abs()));
    assert!(summary.failure.is_none());
    assert_counted(&summary, &catalog, num_epochs);
    assert_eq!(catalog.captures()[2].id.epoch, Epoch(2));
    assert_eq!(
        catalog.captures().last().unwrap().id.epoch.0,
        num_epochs - 1
    );
    assert_eq!(catalog.sessions().len(), 1);
    assert_eq!(catalog.ending(1), Ending::NotFinished);
    // What was lost is said by one row, in the first file after it.
    let is_lost = |path: &&str| path.starts_with("metrics/") && path.ends_with("-9.parquet");
    let told = catalog.files().map(|file| file.path).filter(is_lost);
    assert_eq!(told.count(), 1);
    // Figures of the epochs in between waited, but for those of captures that were on the way.
    let metrics = catalog.files().filter(|file| file.table == "metrics");
    let of_epochs: std::collections::BTreeSet<i32> = metrics.map(|f| f.epoch).collect();
    let num_on_the_way = num_handed_over - summary.num_captures;
    let expected = u64::from(num_epochs.unsigned_abs()) - num_on_the_way;
    assert_eq!(of_epochs.len() as u64, expected);
}

#[test]
fn a_session_whose_first_commit_found_no_room_has_its_configuration_all_the_same() {
    let mut training = Training::start();
    training.disk.set(NO_SPACE);
    training.end_epochs_until(|training| !training.changes.is_empty());
    training.disk.set(0);
    training.end_epochs_until(|training| training.changes.len() > 1);
    let (summary, catalog, changes, num_epochs, _dir) = training.finish();
    assert_eq!(kinds(&changes), ["waits", "taken up"]);
    assert_counted(&summary, &catalog, num_epochs);
    assert_eq!(catalog.sessions().len(), 1);
    assert_eq!(
        catalog.sessions()[0].config,
        serde_json::json!({"session": 1})
    );
}

#[test]
fn a_disk_that_fails_is_not_tried_again() {
    let mut training = Training::start();
    assert!(training.end_epoch());
    training.wait_for_captures(1);
    training.disk.set(IO_ERROR);
    training.end_epochs_until(|training| !training.changes.is_empty());
    training.disk.set(0);
    for _ in 0..100 {
        assert!(!training.end_epoch());
    }
    let (summary, catalog, changes, num_epochs, _dir) = training.finish();
    assert_eq!(kinds(&changes), ["failed"]);
    assert!(summary.failure.is_some());
    assert_eq!(summary.num_captures, 1);
    assert_counted(&summary, &catalog, num_epochs);
    assert_eq!(catalog.ending(1), Ending::NotFinished);
    let is_later = |file: trace::CommittedFile<'_>| file.path.ends_with("-9.parquet");
    assert!(!catalog.files().any(is_later), "nothing is committed after");
}

#[test]
fn the_last_network_is_counted_once_although_it_was_due_and_lost_before() {
    for errno in [0, NO_SPACE, IO_ERROR] {
        let mut training = Training::start();
        assert!(training.end_epoch());
        training.wait_for_captures(1);
        training.disk.set(NO_SPACE);
        training.end_epochs_until(|training| training.recording.waits_for_room());
        training.disk.set(errno);
        let id = training.recording.moments.last.unwrap();
        // There is room by what the file system of the test says.
        let decision = training.recording.decide_last(id).unwrap();
        assert_eq!(decision, Decision::Capture);
        let network = training.network();
        let start = training.recording.begin_call();
        let recording = &mut training.recording;
        assert!(recording.hand_over_last(id, Some(network), start).unwrap());
        let (summary, catalog, _, num_epochs, _dir) = training.finish();
        assert_eq!(summary.failure.is_some(), errno != 0);
        let last = catalog.captures().last().unwrap().id;
        assert_eq!(last == id, errno == 0);
        assert_counted(&summary, &catalog, num_epochs);
    }
}

#[test]
fn the_last_network_is_lost_once_where_recording_is_over() {
    let mut training = Training::start();
    training.disk.set(IO_ERROR);
    training.end_epochs_until(|training| !training.changes.is_empty());
    let id = training.recording.moments.last.unwrap();
    let decision = training.recording.decide_last(id).unwrap();
    assert_eq!(decision, Decision::Capture);
    let network = training.network();
    let start = training.recording.begin_call();
    let recording = &mut training.recording;
    assert!(!recording.hand_over_last(id, Some(network), start).unwrap());
    let (summary, catalog, _, num_epochs, _dir) = training.finish();
    assert_counted(&summary, &catalog, num_epochs);
}

#[test]
fn figures_wait_from_the_moment_on_at_which_it_is_known_that_there_is_no_room() {
    let mut training = Training::start();
    assert!(training.end_epoch());
    training.wait_for_captures(1);
    training.disk.set(NO_SPACE);
    training.end_epochs_until(|training| training.recording.waits_for_room());
    let known_at = training.epoch - 1;
    let waiting = &training.recording.noted.waiting_metrics;
    assert_eq!(waiting.last().unwrap().0.epoch.0, known_at);
    training.disk.set(0);
    // It ends with the capture that takes recording up, of which it is not known then whether there is room.
    assert!(training.end_epoch());
    let (summary, catalog, changes, num_epochs, _dir) = training.finish();
    assert_eq!(kinds(&changes), ["waits", "taken up"]);
    assert_counted(&summary, &catalog, num_epochs);
    let is_of = |file: trace::CommittedFile<'_>| file.table == "metrics" && file.epoch == known_at;
    assert!(catalog.files().any(is_of));
}

#[test]
fn captures_are_missed_where_the_schedule_names_them() {
    let mut training = Training::start();
    training.recording.schedule = "3epochs,10steps".parse().unwrap();
    training.recording.miss_scheduled(1..7, 5..21);
    assert_eq!(training.recording.num_lost(), 2 + 2);
    let (summary, ..) = training.finish();
    assert_eq!(summary.lost_captures, 4);
}

#[test]
fn what_ends_without_room_says_what_was_lost_where_that_fits() {
    let mut training = Training::start();
    assert!(training.end_epoch());
    training.wait_for_captures(1);
    training.disk.set(NO_SPACE);
    training.end_epochs_until(|training| training.recording.waits_for_room());
    training.disk.set(0);
    let (summary, catalog, changes, num_epochs, _dir) = training.finish();
    assert_eq!(kinds(&changes), ["waits"]);
    assert!(summary.failure.is_some());
    assert_counted(&summary, &catalog, num_epochs);
    assert_eq!(catalog.ending(1), Ending::NotFinished);
    let is_lost = |path: &&str| path.starts_with("metrics/") && path.ends_with("-9.parquet");
    let told = catalog.files().map(|file| file.path).filter(is_lost);
    assert_eq!(told.count(), 1);
}

#[test]
fn a_saved_state_replaces_the_one_that_is_committed_whatever_was_lost_in_between() {
    let mut training = Training::start();
    let save = |training: &mut Training| {
        let id = training.next_id();
        let source = || -> Box<dyn Source> {
            Box::new(Ready {
                values: (0..2)
                    .map(|layer| weights(layer, NUM_UNITS * FAN_IN))
                    .collect(),
                rooms: Arc::default(),
            })
        };
        let tensors = StateTensor::ALL.map(|tensor| (tensor, source()));
        let state = State {
            tensors,
            num_updates: 1,
        };
        training.recording.save_state(id, state).unwrap();
    };
    save(&mut training);
    training.end_epoch();
    training.wait_for_captures(1);
    let is_state = |file: &trace::CommittedFile<'_>| file.table == Table::Resume.name();
    let state_of = |run: &RunDir| -> Vec<i32> {
        let catalog = Catalog::load(run).unwrap();
        let files = catalog.files().filter(|file| is_state(file));
        let mut epochs: Vec<i32> = files.map(|file| file.epoch).collect();
        epochs.dedup();
        epochs
    };
    assert_eq!(state_of(&training.run), [0]);
    training.disk.set(NO_SPACE);
    save(&mut training);
    training.end_epochs_until(|training| !training.changes.is_empty());
    assert_eq!(state_of(&training.run), [0], "the last one is lost");
    training.disk.set(0);
    training.end_epochs_until(|training| training.changes.len() > 1);
    save(&mut training);
    let last = training.epoch - 1;
    let run = training.run.clone();
    let (_, _, _, _, _dir) = training.finish();
    assert_eq!(state_of(&run), [last]);
    let mut left = Vec::new();
    let dir = Path::new(Table::Resume.name());
    trace::visit_files(run.path(), dir, trace::Links::Keep, &mut |path, _| {
        left.push(path.to_string_lossy().into_owned());
    })
    .unwrap();
    let epoch = format!("resume/epoch={last}/");
    assert!(left.iter().all(|path| path.starts_with(&epoch)), "{left:?}");
}

#[test]
fn a_run_that_was_moved_away_is_not_begun_anew_where_it_was() {
    let mut training = Training::start();
    assert!(training.end_epoch());
    training.wait_for_captures(1);
    training.disk.set(NO_SPACE);
    training.end_epochs_until(|training| training.recording.waits_for_room());
    training.disk.set(0);
    let path = training.run.path().to_owned();
    std::fs::rename(&path, path.with_file_name("moved")).unwrap();
    training.end_epochs_until(|training| training.changes.len() > 1);
    assert_eq!(kinds(&training.changes), ["waits", "failed"]);
    let Change::Stopped { error, .. } = &training.changes[1] else {
        panic!("{:?}", training.changes);
    };
    let words = error.with_causes();
    assert!(words.contains("is not there any more"), "{words}");
    assert!(!training.end_epoch());
    training.recording.finish().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_capture_that_could_not_be_made_is_lost_and_the_session_not_finished() {
    for misses in [0, 2] {
        let mut training = Training::start();
        assert!(training.end_epoch());
        for _ in 0..misses {
            training.recording.miss();
        }
        assert!(training.end_epoch());
        let (summary, catalog, changes, _, _dir) = training.finish();
        assert!(changes.is_empty(), "{changes:?}");
        assert_eq!(summary.num_captures, 2);
        assert_eq!(summary.lost_captures, misses);
        let expected = match misses {
            0 => Ending::Finished,
            _ => Ending::NotFinished,
        };
        assert_eq!(catalog.ending(1), expected);
    }
}
