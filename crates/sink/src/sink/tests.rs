use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{fs, io};

use crossbeam_channel::bounded;
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaDataReader;
use trace::{Catalog, Compress, Part, PartPath, Rank, RunDir, Table};

use crate::error::{SinkError, StartSinkError};
use crate::make_part::{Made, MakePart};
use crate::shared::Shared;
use crate::sink::*;
use crate::testing::{
    HIDDEN, OUTPUT, capture, capture_parts, create_run, layer_weights, metrics_rows, part_path,
    resume_rows,
};
use crate::worker;

#[path = "tests/store.rs"]
mod store;

/// Publishes at once whatever is whole.
const EAGER: Duration = Duration::ZERO;

/// Fails the test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(run: &RunDir, min_publish_interval: Duration) -> Sink {
    let options = SinkOptions {
        min_publish_interval,
        num_workers: 2,
        session: Some(serde_json::json!({"lr": 0.5})),
        ..SinkOptions::default()
    };
    Sink::start(run, options).unwrap()
}

fn send_all(open: &mut OpenCapture<'_>, epoch: i32) -> Result<(), SinkError> {
    for (path, rows) in capture_parts(epoch) {
        open.send(Part { path, rows })?;
    }
    Ok(())
}

fn record(sink: &Sink, epoch: i32) -> Result<(), SinkError> {
    let mut open = sink.begin(Some(capture(epoch)));
    send_all(&mut open, epoch)?;
    open.end()
}

fn epochs(run: &RunDir) -> Vec<i32> {
    let catalog = Catalog::load(run).unwrap();
    catalog.captures().iter().map(|c| c.id.epoch.0).collect()
}

fn assert_clean(run: &RunDir) {
    let report = crate::verify(run, &|_| {}).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.uncommitted, []);
    assert!(!run.staging_dir().exists());
}

/// Whether any of a run's roll-ups has a compressed column.
fn are_rollups_compressed(run: &RunDir) -> bool {
    let files = fs::read_dir(run.commits_dir()).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let rollups: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "parquet"))
        .collect();
    assert!(!rollups.is_empty());
    rollups.iter().any(|path| {
        let file = fs::File::open(path).unwrap();
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&file)
            .unwrap();
        let mut columns = metadata.row_groups().iter().flat_map(|g| g.columns());
        columns.any(|column| column.compression() != Compression::UNCOMPRESSED)
    })
}

#[test]
fn what_is_compressed_is_said_of_roll_ups_as_well() {
    for (name, compress) in Compress::ALL {
        let dir = tempfile::tempdir().unwrap();
        let run = create_run(&dir.path().join(name));
        let options = SinkOptions {
            min_publish_interval: EAGER,
            compress,
            ..SinkOptions::default()
        };
        let sink = Sink::start(&run, options).unwrap();
        for epoch in 0..10 {
            record(&sink, epoch).unwrap();
            sink.flush().unwrap();
        }
        sink.finish().unwrap();
        assert_eq!(epochs(&run), (0..10).collect::<Vec<_>>());
        let is_compressed = are_rollups_compressed(&run);
        assert_eq!(is_compressed, compress != Compress::None, "{name}");
    }
}

#[test]
fn what_was_recorded_is_committed_whole_and_the_staging_directory_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, DEFAULT_MIN_PUBLISH_INTERVAL);
    for epoch in 0..40 {
        record(&sink, epoch).unwrap();
    }
    // Rows that complete no capture.
    let mut last = sink.begin(None);
    let mut path = part_path(Table::Metrics, 39, None);
    path.sequence = 1;
    let rows = metrics_rows(39, &[("sink.num_parts", 120.0)]);
    last.send(Part { path, rows }).unwrap();
    last.end().unwrap();
    let stats = sink.finish().unwrap().stats;

    assert_eq!(epochs(&run), (0..40).collect::<Vec<_>>());
    let catalog = Catalog::load(&run).unwrap();
    assert_eq!(catalog.num_files(), 40 * 3 + 1);
    let session = trace::Session {
        rank: Rank(0),
        config: serde_json::json!({"lr": 0.5}),
    };
    assert_eq!(catalog.sessions(), [session]);
    assert_clean(&run);

    // A capture has 4 + 2 neurons and 2 metrics.
    assert_eq!(
        (stats.num_parts, stats.num_rows, stats.num_captures),
        (121, 321, 40)
    );
    assert_eq!(
        stats.part_bytes,
        catalog.files().map(|f| f.bytes).sum::<u64>()
    );
    // The one that says that the session has ended may publish nothing else.
    let num_commits = catalog.commits().len() as u64;
    assert!([num_commits, num_commits - 1].contains(&stats.num_publishes));
    assert!(stats.encode_ms > 0.0 && stats.publish_ms > 0.0);
    assert!(stats.queue_high_water_bytes > 0);
    let rows: Vec<_> = stats.rows().collect();
    assert!(rows.contains(&("num_captures", 40.0)), "{rows:?}");
}

#[test]
fn flush_returns_once_everything_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, MAX_PUBLISH_INTERVAL);
    for epoch in 0..5 {
        record(&sink, epoch).unwrap();
        sink.flush().unwrap();
        assert_eq!(epochs(&run), (0..=epoch).collect::<Vec<_>>());
    }
    assert_eq!(sink.stats().num_captures, 5);
}

#[test]
fn captures_that_arrive_together_are_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, MAX_PUBLISH_INTERVAL);
    for epoch in 0..30 {
        record(&sink, epoch).unwrap();
    }
    let stats = sink.finish().unwrap().stats;
    assert_eq!(epochs(&run), (0..30).collect::<Vec<_>>());
    // One at once, one at the end, and one a second between.
    assert!(stats.num_publishes < 15, "{stats:?}");
}

#[test]
fn a_capture_is_published_without_being_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, Duration::from_millis(20));
    let begin = Instant::now();
    for epoch in 0..2 {
        record(&sink, epoch).unwrap();
    }
    while sink.stats().num_captures < 2 {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(epochs(&run), [0, 1]);
}

#[test]
fn captures_are_committed_in_the_order_in_which_they_began() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    let mut first = sink.begin(Some(capture(0)));
    let mut second = sink.begin(Some(capture(1)));
    send_all(&mut second, 1).unwrap();
    second.end().unwrap();
    // The second waits for the first, and nobody for either.
    sink.flush().unwrap();
    assert_eq!(epochs(&run), [0; 0]);
    send_all(&mut first, 0).unwrap();
    first.end().unwrap();
    sink.flush().unwrap();
    assert_eq!(epochs(&run), [0, 1]);
}

#[test]
fn a_capture_that_does_not_end_is_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    record(&sink, 0).unwrap();
    let mut dropped = sink.begin(Some(capture(1)));
    send_all(&mut dropped, 1).unwrap();
    drop(dropped);
    record(&sink, 2).unwrap();
    sink.finish().unwrap();
    assert_eq!(epochs(&run), [0, 2]);
    assert_clean(&run);
}

#[test]
fn a_sink_that_is_dropped_publishes_what_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, MAX_PUBLISH_INTERVAL);
    for epoch in 0..3 {
        record(&sink, epoch).unwrap();
    }
    drop(sink);
    assert_eq!(epochs(&run), [0, 1, 2]);
    assert_clean(&run);
}

#[test]
fn one_sink_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    let error = Sink::start(&run, SinkOptions::default()).unwrap_err();
    assert!(matches!(error, StartSinkError::Lock(_)), "{error}");
    sink.finish().unwrap();
    Sink::start(&run, SinkOptions::default()).unwrap();
}

#[test]
fn a_channel_smaller_than_any_part_still_records_everything() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let options = SinkOptions {
        channel_bytes: 1,
        num_workers: 3,
        ..SinkOptions::default()
    };
    let sink = Sink::start(&run, options).unwrap();
    for epoch in 0..20 {
        record(&sink, epoch).unwrap();
    }
    let largest = capture_parts(0)
        .into_iter()
        .map(|(path, rows)| Part { path, rows }.memory_bytes())
        .max()
        .unwrap();
    let stats = sink.finish().unwrap().stats;
    assert_eq!(epochs(&run), (0..20).collect::<Vec<_>>());
    assert!(stats.stall_ms > 0.0);
    assert_eq!(stats.queue_high_water_bytes, largest);
}

/// Sends until the failure arrives; hangs nowhere.
fn send_until_failure(sink: &Sink, first_epoch: i32) -> SinkError {
    let start = Instant::now();
    for epoch in first_epoch.. {
        if let Err(error) = record(sink, epoch) {
            return error;
        }
        assert!(start.elapsed() < PATIENCE, "the failure never arrived");
    }
    unreachable!("the epochs do not end");
}

#[test]
fn a_worker_that_cannot_write_says_so_with_path_and_cause_and_what_was_committed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    record(&sink, 0).unwrap();
    sink.flush().unwrap();
    fs::remove_dir_all(run.staging_dir()).unwrap();

    let error = send_until_failure(&sink, 1);
    let SinkError::CreatePart { path, source } = &error else {
        panic!("{error}");
    };
    assert!(
        path.starts_with(run.path().join("weights/epoch=1"))
            || path.starts_with(run.path().join("metrics/epoch=1")),
        "{path:?}"
    );
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);

    // Every later call says the same.
    let text = error.to_string();
    assert_eq!(sink.flush().unwrap_err().to_string(), text);
    assert_eq!(sink.begin(None).end().unwrap_err().to_string(), text);
    assert_eq!(sink.finish().unwrap_err().to_string(), text);
    assert_eq!(epochs(&run), [0]);
    assert_clean(&run);
}

#[test]
fn nothing_is_published_after_a_part_that_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, MAX_PUBLISH_INTERVAL);
    record(&sink, 0).unwrap();
    sink.flush().unwrap();
    let mut bad = sink.begin(Some(capture(1)));
    let (path, _) = layer_weights(1, HIDDEN);
    let rows = metrics_rows(1, &[("loss", 0.5)]);
    bad.send(Part { path, rows }).unwrap();
    let _ = bad.end();
    let error = send_until_failure(&sink, 2);
    assert!(matches!(error, SinkError::WritePart { .. }), "{error}");
    let path = run.path().join(format!(
        "weights/epoch=1/layer={HIDDEN}/step-48-r0-g0.parquet"
    ));
    assert_eq!(
        error.to_string(),
        format!("cannot write the part file {}", path.display())
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("table weights has"), "{cause}");
    drop(sink);
    assert_eq!(epochs(&run), [0]);
    assert_clean(&run);
}

/// Makes its part when a worker asks for it.
struct Later<F> {
    path: PartPath,
    most_bytes: u64,
    rows: F,
}

type MadeRows = Result<arrow::array::RecordBatch, Box<dyn std::error::Error + Send + Sync>>;

impl<F: FnOnce() -> MadeRows + Send> MakePart for Later<F> {
    fn path(&self) -> &PartPath {
        &self.path
    }

    fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    fn make(self: Box<Self>) -> Result<Made, Box<dyn std::error::Error + Send + Sync>> {
        let rows = (self.rows)()?;
        let path = self.path;
        Ok(Part { path, rows }.into())
    }
}

/// Makes a part a row of its rows.
struct RowByRow {
    rows: Part,
    /// How many parts it says that come of it.
    announced: usize,
}

impl MakePart for RowByRow {
    fn path(&self) -> &PartPath {
        &self.rows.path
    }

    fn num_parts(&self) -> usize {
        self.announced
    }

    fn most_bytes(&self) -> u64 {
        2 * self.rows.memory_bytes()
    }

    fn make(self: Box<Self>) -> Result<Made, Box<dyn std::error::Error + Send + Sync>> {
        let Part { path, rows } = self.rows;
        let next = PartPath {
            sequence: path.sequence + 1,
            ..path.clone()
        };
        let rest = (rows.num_rows() > 1).then(|| {
            let rest: Box<dyn MakePart> = Box::new(Self {
                rows: Part {
                    path: next,
                    rows: rows.slice(1, rows.num_rows() - 1),
                },
                announced: self.announced - 1,
            });
            rest
        });
        let rows = rows.slice(0, 1);
        Ok(Made {
            part: Part { path, rows },
            rest,
        })
    }
}

/// Hands over a capture of which the first layer, of 4 units, has a part a unit.
fn record_row_by_row(sink: &Sink, epoch: i32, announced: usize) -> Result<(), SinkError> {
    let mut open = sink.begin(Some(capture(epoch)));
    for (place, (path, rows)) in capture_parts(epoch).into_iter().enumerate() {
        let rows = Part { path, rows };
        match place {
            0 => open.send(RowByRow { rows, announced })?,
            _ => open.send(rows)?,
        }
    }
    open.end()
}

#[test]
fn what_is_large_becomes_several_parts_of_one_capture() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    // One byte at a time: what is left of a job is never waited for by the job itself.
    let options = SinkOptions {
        channel_bytes: 1,
        min_publish_interval: EAGER,
        ..SinkOptions::default()
    };
    let sink = Sink::start(&run, options).unwrap();
    for epoch in 0..3 {
        record_row_by_row(&sink, epoch, 4).unwrap();
    }
    let stats = sink.finish().unwrap().stats;
    assert_eq!(stats.num_parts, 3 * 6);
    assert_eq!(epochs(&run), [0, 1, 2]);
    let catalog = Catalog::load(&run).unwrap();
    let of_epoch = catalog.select(Table::Weights.name(), |epoch, layer| {
        epoch == 1 && layer == Some(HIDDEN)
    });
    let paths = of_epoch.into_iter().map(|file| catalog.file(file).path);
    // The commit names them in their order.
    let directory = format!("weights/epoch=1/layer={HIDDEN}");
    let expected = ["", "-1", "-2", "-3"].map(|n| format!("{directory}/step-48-r0-g0{n}.parquet"));
    assert_eq!(paths.collect::<Vec<_>>(), expected);
    assert_eq!(catalog.lacking_captures(run.info()), []);
    assert_clean(&run);
}

#[test]
fn what_makes_other_parts_than_it_says_fails_before_they_are_written() {
    for announced in [1, 3, 5] {
        let dir = tempfile::tempdir().unwrap();
        let run = create_run(&dir.path().join("run"));
        let sink = start(&run, EAGER);
        record(&sink, 0).unwrap();
        let _ = record_row_by_row(&sink, 1, announced);
        let meter = sink.meter();
        let error = sink.finish().unwrap_err();
        assert!(matches!(error, SinkError::MakePart { .. }), "{error}");
        assert_eq!(epochs(&run), [0]);
        assert_eq!(meter.held_bytes(), 0);
        assert_clean(&run);
    }
}

#[test]
fn a_worker_makes_the_rows_that_were_not_made_yet() {
    let dir = tempfile::tempdir().unwrap();
    let [now, later] = ["now", "later"].map(|name| create_run(&dir.path().join(name)));
    let sink = start(&now, EAGER);
    record(&sink, 3).unwrap();
    let expected = sink.finish().unwrap().stats;

    let sink = start(&later, EAGER);
    let mut open = sink.begin(Some(capture(3)));
    let (made, threads) = mpsc::channel();
    let parts = capture_parts(3);
    let num_parts = parts.len();
    for (path, rows) in parts {
        let made = made.clone();
        let rows = move || {
            let thread = std::thread::current();
            made.send(thread.name().unwrap().to_owned()).unwrap();
            Ok(rows)
        };
        open.send(Later {
            path,
            most_bytes: 1_000,
            rows,
        })
        .unwrap();
    }
    open.end().unwrap();
    let stats = sink.finish().unwrap().stats;

    drop(made);
    let threads: Vec<String> = threads.iter().collect();
    assert_eq!(threads.len(), num_parts);
    assert!(
        threads.iter().all(|name| name.starts_with("sink-worker-")),
        "{threads:?}"
    );
    assert_eq!(stats.by_table, expected.by_table);
    for file in Catalog::load(&now).unwrap().files() {
        let [now, later] = [&now, &later].map(|run| fs::read(run.path().join(file.path)).unwrap());
        assert!(now == later, "{}", file.path);
    }
    assert_eq!(epochs(&later), [3]);
    assert_clean(&later);
}

#[test]
fn what_a_part_says_that_it_holds_is_what_it_takes_of_the_channel() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let options = SinkOptions {
        channel_bytes: 10_000,
        num_workers: 2,
        ..SinkOptions::default()
    };
    let sink = Sink::start(&run, options).unwrap();
    let mut open = sink.begin(Some(capture(0)));
    let [most, running] = [0, 0].map(|n| Arc::new(std::sync::atomic::AtomicU64::new(n)));
    for sequence in 0..6 {
        let mut path = part_path(Table::Metrics, 0, None);
        path.sequence = sequence;
        let (most, running) = (Arc::clone(&most), Arc::clone(&running));
        let rows = move || {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(metrics_rows(0, &[("loss", 0.5)]))
        };
        // Two do not fit.
        open.send(Later {
            path,
            most_bytes: 6_000,
            rows,
        })
        .unwrap();
    }
    open.end().unwrap();
    let stats = sink.finish().unwrap().stats;
    assert_eq!(most.load(Ordering::SeqCst), 1);
    // While one is made, the other worker may encode rows that are there already.
    let rows = metrics_rows(0, &[("loss", 0.5)]);
    let path = part_path(Table::Metrics, 0, None);
    let encoded = Part { path, rows }.memory_bytes();
    let high_water = stats.queue_high_water_bytes;
    assert!(
        [6_000, 6_000 + encoded].contains(&high_water),
        "{high_water}, with rows of {encoded}"
    );
    assert!(stats.stall_ms > 0.0);
    assert_clean(&run);
}

/// The first of three is the last that is encoded.
#[test]
fn a_commit_names_parts_in_the_order_in_which_they_were_sent() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    let mut open = sink.begin(Some(capture(0)));
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let first = Later {
        path: part_path(Table::Metrics, 0, None),
        most_bytes: 1_000,
        rows: move || {
            wait.lock().unwrap().recv()?;
            Ok(metrics_rows(0, &[("loss", 0.5)]))
        },
    };
    let mut expected = vec![first.path.to_string()];
    open.send(first).unwrap();
    for sequence in 1..3 {
        let mut path = part_path(Table::Metrics, 0, None);
        path.sequence = sequence;
        expected.push(path.to_string());
        let rows = metrics_rows(0, &[("loss", 0.5)]);
        open.send(Part { path, rows }).unwrap();
    }
    let start = Instant::now();
    while sink.stats().num_parts < 2 {
        assert!(start.elapsed() < PATIENCE, "{:?}", sink.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
    go.send(()).unwrap();
    open.end().unwrap();
    sink.finish().unwrap();
    assert_eq!(paths(&run, Table::Metrics), expected);
    assert_clean(&run);
}

/// Waits until the sink has so many bytes free.
fn wait_for_free_bytes(open: &OpenCapture<'_>, bytes: u64) {
    let start = Instant::now();
    while open.free_bytes() != bytes {
        assert!(start.elapsed() < PATIENCE, "{} are free", open.free_bytes());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What it was made of counts until its rows are there, and these until they are encoded.
#[test]
fn a_part_holds_its_bytes_until_its_rows_are_made_and_these_until_they_are_encoded() {
    const CAPACITY: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let options = SinkOptions {
        channel_bytes: CAPACITY,
        num_workers: 1,
        ..SinkOptions::default()
    };
    let sink = Sink::start(&run, options).unwrap();
    let mut open = sink.begin(Some(capture(0)));
    assert_eq!(open.free_bytes(), CAPACITY);
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    for sequence in 0..3 {
        let mut path = part_path(Table::Metrics, 0, None);
        path.sequence = sequence;
        let wait = Arc::clone(&wait);
        let rows = move || {
            wait.lock().unwrap().recv()?;
            Ok(metrics_rows(0, &[("loss", 0.5)]))
        };
        open.send(Later {
            path,
            most_bytes: 300_000,
            rows,
        })
        .unwrap();
        let taken = 300_000 * u64::from(sequence + 1);
        assert_eq!(open.free_bytes(), CAPACITY - taken);
    }
    let stats = sink.stats();
    assert_eq!((stats.make_ms, stats.encode_ms), (0.0, 0.0));
    for left in [600_000, 300_000, 0] {
        go.send(()).unwrap();
        wait_for_free_bytes(&open, CAPACITY - left);
    }
    open.end().unwrap();
    let stats = sink.finish().unwrap().stats;
    assert!(stats.make_ms > 0.0 && stats.encode_ms > 0.0, "{stats:?}");
    assert_eq!(stats.queue_high_water_bytes, 900_000);
    assert_clean(&run);
}

/// Rows that are made wait for their encoding, and what they were made of is gone: the rest of the budget is
/// others'.
#[test]
fn rows_that_are_made_leave_the_rest_of_their_bytes_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let rows = metrics_rows(0, &[("loss", 0.5)]);
    let row_bytes = Part {
        path: part_path(Table::Metrics, 0, None),
        rows: rows.clone(),
    }
    .memory_bytes();
    let shared = Shared::new(run, 100_000, None);
    let (jobs, job_queue) = bounded(1);
    let (events, _event_queue) = bounded(1);
    let (permit, _) = shared.budget().take(100_000).unwrap();
    let part = Later {
        path: part_path(Table::Metrics, 0, None),
        most_bytes: 100_000,
        rows: move || Ok(rows),
    };
    jobs.send(crate::messages::Job {
        capture: 0,
        number: 0,
        num_parts: 1,
        part: Box::new(part),
        permit,
    })
    .unwrap();
    drop(jobs);
    let free = std::sync::Mutex::new(None);
    worker::run(&job_queue, &events, &shared, |_| {
        *free.lock().unwrap() = Some(shared.budget().free_bytes());
        Err(SinkError::panicked(&"enough was seen"))
    });
    assert_eq!(free.into_inner().unwrap(), Some(100_000 - row_bytes));
    assert_eq!(shared.budget().free_bytes(), 100_000);
}

#[test]
fn rows_that_cannot_be_made_are_the_sinks_error_with_path_and_cause() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    record(&sink, 0).unwrap();
    sink.flush().unwrap();
    let mut bad = sink.begin(Some(capture(1)));
    let (path, _) = layer_weights(1, HIDDEN);
    bad.send(Later {
        path,
        most_bytes: 100,
        rows: || Err("the layer has 4 units, there are values of 3".into()),
    })
    .unwrap();
    let _ = bad.end();
    let error = send_until_failure(&sink, 2);
    assert!(matches!(error, SinkError::MakePart { .. }), "{error}");
    let path = run.path().join(format!(
        "weights/epoch=1/layer={HIDDEN}/step-48-r0-g0.parquet"
    ));
    assert_eq!(
        error.to_string(),
        format!("cannot make the rows of the part file {}", path.display())
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "the layer has 4 units, there are values of 3");
    assert_eq!(
        sink.finish().unwrap_err().to_string(),
        error.to_string(),
        "every later call says the same"
    );
    assert_eq!(epochs(&run), [0]);
    assert_clean(&run);
}

#[test]
fn a_panic_while_rows_are_made_is_the_sinks_error() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    let mut bad = sink.begin(Some(capture(0)));
    let (path, _) = layer_weights(0, HIDDEN);
    bad.send(Later {
        path,
        most_bytes: 100,
        rows: || panic!("no such unit"),
    })
    .unwrap();
    let _ = bad.end();
    let error = send_until_failure(&sink, 1);
    let SinkError::Panicked { thread, message } = &error else {
        panic!("{error}");
    };
    assert!(thread.starts_with("sink-worker-"), "{thread}");
    assert_eq!(message, "no such unit");
    drop(sink);
    assert_eq!(epochs(&run), [0; 0]);
    assert_clean(&run);
}

#[test]
fn who_waits_for_room_is_woken_by_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let options = SinkOptions {
        channel_bytes: 1,
        num_workers: 1,
        ..SinkOptions::default()
    };
    let sink = Arc::new(Sink::start(&run, options).unwrap());
    fs::remove_dir_all(run.staging_dir()).unwrap();
    let (failed, failures) = mpsc::channel();
    for first_epoch in [0, 10_000, 20_000] {
        let (sink, failed) = (Arc::clone(&sink), failed.clone());
        std::thread::spawn(move || {
            let error = send_until_failure(&sink, first_epoch);
            drop(sink);
            failed.send(error).unwrap();
        });
    }
    for _ in 0..3 {
        let error = failures.recv_timeout(PATIENCE).expect("nobody hangs");
        assert!(matches!(error, SinkError::CreatePart { .. }), "{error}");
    }
}

#[test]
fn a_failed_publish_is_the_last_one() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    record(&sink, 0).unwrap();
    sink.flush().unwrap();
    // A name that is taken is never given other bytes.
    let mut again = sink.begin(Some(capture(0)));
    let (path, rows) = layer_weights(0, OUTPUT);
    again.send(Part { path, rows }).unwrap();
    again.end().unwrap();
    let error = send_until_failure(&sink, 1);
    assert!(matches!(error, SinkError::Publish { .. }), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("weights/epoch=0/layer=L_output/step-24-r0-g0.parquet"),
        "{cause}"
    );
    assert!(sink.flush().is_err());
    assert!(sink.finish().is_err());
    assert_eq!(epochs(&run), [0]);
    assert_clean(&run);
}

/// What this thread logs while it does something.
fn logged(action: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, action);
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_failure_is_said_once() {
    for is_returned in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let run = create_run(&dir.path().join("run"));
        let sink = start(&run, EAGER);
        fs::remove_dir_all(run.staging_dir()).unwrap();
        let log = logged(|| {
            if is_returned {
                send_until_failure(&sink, 0);
            } else {
                // Whoever recorded this went away before the failure was known.
                let _ = sink.begin(Some(capture(0))).send({
                    let (path, rows) = layer_weights(0, HIDDEN);
                    Part { path, rows }
                });
            }
            drop(sink);
        });
        let says = log.contains("a sink was dropped without finish");
        assert_eq!(says, !is_returned, "{log}");
    }
}

/// The files that a run has of a table, by path.
fn paths(run: &RunDir, table: Table) -> Vec<String> {
    let catalog = Catalog::load(run).unwrap();
    let files = catalog.files().filter(|file| file.table == table.name());
    files.map(|file| file.path.to_owned()).collect()
}

#[test]
fn a_capture_that_retires_a_file_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    let mut last = None;
    for epoch in 0..5 {
        let mut open = sink.begin(Some(capture(epoch)));
        let path = part_path(Table::Resume, epoch, Some(HIDDEN));
        let now = path.to_string();
        let rows = resume_rows(epoch, "parameter");
        open.send(Part { path, rows }).unwrap();
        if let Some(last) = last.replace(now.clone()) {
            open.retire(last);
        }
        open.end().unwrap();
        // Of the next two, which come together, the first need not be published.
        if epoch != 2 {
            sink.flush().unwrap();
            assert_eq!(paths(&run, Table::Resume), [now]);
        }
    }
    sink.finish().unwrap();
    assert_eq!(epochs(&run), [0, 1, 2, 3, 4]);
    assert_clean(&run);
}

#[test]
fn a_capture_that_is_dropped_retires_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    record(&sink, 0).unwrap();
    let mut open = sink.begin(Some(capture(1)));
    open.retire(part_path(Table::Metrics, 0, None).to_string());
    drop(open);
    sink.finish().unwrap();
    assert_eq!(paths(&run, Table::Metrics).len(), 1);
    assert_clean(&run);
}

#[test]
fn a_run_is_gone_on_with_in_a_new_session() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    for epoch in 0..3 {
        record(&sink, epoch).unwrap();
    }
    sink.finish().unwrap();
    // Left by a process that died before it committed it.
    let stray = run.path().join("metrics/epoch=2/step-72-r0-g1.parquet");
    fs::write(&stray, "x").unwrap();

    let lock = Arc::new(run.lock_writer(Rank(0)).unwrap());
    let catalog = Catalog::load(&run).unwrap();
    let files = catalog.files().filter(|file| file.epoch == 2);
    let retired = files.map(|file| file.path.to_owned()).collect();
    let options = SinkOptions {
        session: Some(serde_json::json!({"lr": 0.25})),
        resume: Some(Resume { lock, retired }),
        ..SinkOptions::default()
    };
    let sink = Sink::start(&run, options).unwrap();
    assert_eq!(epochs(&run), [0, 1]);
    assert!(!stray.exists() && !run.path().join("metrics/epoch=2").exists());
    assert!(matches!(
        run.lock_writer(Rank(0)),
        Err(trace::LockRunError::Held { .. })
    ));

    let mut open = sink.begin(Some(capture(2)));
    for (mut path, rows) in capture_parts(2) {
        path.generation = trace::Generation(1);
        open.send(Part { path, rows }).unwrap();
    }
    open.end().unwrap();
    sink.finish().unwrap();
    assert_eq!(epochs(&run), [0, 1, 2]);
    let sessions = Catalog::load(&run).unwrap().sessions().to_vec();
    let rates: Vec<_> = sessions.iter().map(|s| s.config["lr"].as_f64()).collect();
    assert_eq!(rates, [Some(0.5), Some(0.25)]);
    assert_clean(&run);
}

/// How a run's session has ended, as its records say.
fn ending(run: &RunDir) -> trace::Ending {
    Catalog::load(run).unwrap().ending(1)
}

#[test]
fn only_a_sink_that_is_finished_with_everything_recorded_says_so() {
    type End = fn(Sink);
    let ends: [(&str, trace::Ending, End); 7] = [
        ("finished", trace::Ending::Finished, |sink| {
            sink.finish().unwrap();
        }),
        (
            "finished, and nothing is left",
            trace::Ending::Finished,
            |sink| {
                sink.flush().unwrap();
                sink.finish().unwrap();
            },
        ),
        ("abandoned", trace::Ending::NotFinished, |sink| {
            let mut open = sink.begin(Some(capture(1)));
            send_all(&mut open, 1).unwrap();
            drop(open);
            record(&sink, 2).unwrap();
            sink.finish().unwrap();
        }),
        ("never ended", trace::Ending::NotFinished, |sink| {
            let mut open = sink.begin(Some(capture(1)));
            send_all(&mut open, 1).unwrap();
            std::mem::forget(open);
            sink.finish().unwrap();
        }),
        ("broken off", trace::Ending::NotFinished, |sink| {
            sink.close(Closing::BrokenOff).1.unwrap();
        }),
        ("dropped", trace::Ending::NotFinished, drop),
        ("unwound", trace::Ending::NotFinished, |sink| {
            let thread = std::thread::spawn(move || {
                let _sink = sink;
                panic!("training failed");
            });
            thread.join().unwrap_err();
        }),
    ];
    for (how, expected, end) in ends {
        let dir = tempfile::tempdir().unwrap();
        let run = create_run(&dir.path().join("run"));
        let sink = start(&run, MAX_PUBLISH_INTERVAL);
        record(&sink, 0).unwrap();
        end(sink);
        assert_eq!(ending(&run), expected, "{how}");
        // Whatever is whole is committed all the same.
        assert_eq!(epochs(&run)[0], 0, "{how}");
        assert!(!run.staging_dir().exists(), "{how}");
    }
}

/// A sink that is told by the disk that there is no room as long as `is_full`.
fn start_on_full_disk(
    run: &RunDir,
    is_full: &Arc<std::sync::atomic::AtomicBool>,
    lock: Option<Arc<trace::WriterLock>>,
) -> Result<Sink, StartSinkError> {
    let is_full = Arc::clone(is_full);
    let options = SinkOptions {
        num_workers: 2,
        min_publish_interval: EAGER,
        taken_up: lock,
        before_write: Some(BeforeWrite(Arc::new(move |_| {
            match is_full.load(Ordering::SeqCst) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => Ok(()),
            }
        }))),
        ..SinkOptions::default()
    };
    Sink::start(run, options)
}

#[test]
fn a_sink_takes_up_the_session_of_one_that_found_no_room_and_nobody_comes_in_between() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let is_full = Arc::default();
    let sink = start_on_full_disk(&run, &is_full, None).unwrap();
    record(&sink, 0).unwrap();
    sink.flush().unwrap();
    is_full.store(true, Ordering::SeqCst);
    let error = send_until_failure(&sink, 1);
    assert!(error.is_for_want_of_room(), "{error}");
    assert!(!error.is_disk_in_doubt());
    let lock = sink.lock();
    assert!(sink.close(Closing::BrokenOff).1.is_err());
    let refused = start_on_full_disk(&run, &is_full, None).unwrap_err();
    assert!(matches!(refused, StartSinkError::Lock(_)), "{refused}");

    is_full.store(false, Ordering::SeqCst);
    let next = start_on_full_disk(&run, &is_full, Some(lock)).unwrap();
    record(&next, 100_000).unwrap();
    next.close(Closing::BrokenOff).1.unwrap();
    assert_eq!(epochs(&run), [0, 100_000]);
    assert_eq!(ending(&run), trace::Ending::NotFinished);
    assert_clean(&run);
    start_on_full_disk(&run, &is_full, None).expect("nobody has the lock any more");
}

#[test]
fn other_failures_are_not_for_want_of_room() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    fs::remove_dir_all(run.staging_dir()).unwrap();
    let error = send_until_failure(&sink, 0);
    assert!(!error.is_for_want_of_room(), "{error}");
    let record = |number| trace::PublishStepError::Io {
        operation: "commit",
        path: run.commits_dir().join(format!("{number}.json")),
        source: io::ErrorKind::StorageFull.into(),
    };
    let not_committed = SinkError::publish(&run, record(1).into());
    assert!(not_committed.is_for_want_of_room() && !not_committed.is_disk_in_doubt());
    // What is in doubt must have nothing after it.
    let in_doubt = trace::PublishError::InDoubt {
        number: 1,
        source: record(1),
    };
    let in_doubt = SinkError::publish(&run, in_doubt);
    assert!(!in_doubt.is_for_want_of_room() && in_doubt.is_disk_in_doubt());
    // Nor must a roll-up that may be lost have records deleted under it.
    let rollup = SinkError::RollUpInDoubt {
        commits: run.commits_dir(),
    };
    assert!(!rollup.is_for_want_of_room() && rollup.is_disk_in_doubt());
    let write = |source: io::Error| SinkError::CreatePart {
        path: run.path().to_owned(),
        source: Arc::new(source),
    };
    assert!(write(io::Error::from_raw_os_error(5)).is_disk_in_doubt());
    assert!(!write(io::ErrorKind::FileTooLarge.into()).is_disk_in_doubt());
}

#[test]
fn a_sink_that_failed_for_want_of_room_and_then_worse_came_to_that() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let error = |kind: io::ErrorKind| {
        let source = trace::PublishStepError::Io {
            operation: "commit",
            path: run.commits_dir(),
            source: kind.into(),
        };
        SinkError::publish(&run, source.into())
    };
    let (full, broken) = (io::ErrorKind::StorageFull, io::ErrorKind::Other);
    for (failures, is_for_want_of_room) in [
        (vec![full], true),
        (vec![full, full], true),
        (vec![full, full, broken, full], false),
        (vec![broken, full], false),
    ] {
        let shared = Shared::new(run.clone(), 1, None);
        shared.outcome().unwrap();
        for kind in &failures {
            shared.fail(error(*kind));
        }
        // Whoever calls hears the first one.
        let first = error(failures[0]).is_for_want_of_room();
        assert_eq!(shared.check().unwrap_err().is_for_want_of_room(), first);
        let outcome = shared.outcome().unwrap_err();
        assert_eq!(outcome.is_for_want_of_room(), is_for_want_of_room);
    }
}

#[test]
fn a_run_that_is_gone_is_said_and_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = start(&run, EAGER);
    record(&sink, 0).unwrap();
    sink.flush().unwrap();
    let lock = sink.lock();
    fs::remove_dir_all(run.path()).unwrap();
    let error = send_until_failure(&sink, 1);
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
    let said: Vec<String> = causes.map(ToString::to_string).collect();
    let gone = format!("the run {} is not there any more", run.path().display());
    assert!(said.iter().any(|words| words.contains(&gone)), "{said:?}");
    drop(sink);
    let error = start_on_full_disk(&run, &Arc::default(), Some(lock)).unwrap_err();
    assert!(matches!(error, StartSinkError::Publish(_)), "{error}");
    assert!(!run.path().exists());
}

#[test]
fn the_figures_of_sinks_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let stats = ["a", "b"].map(|name| {
        let run = create_run(&dir.path().join(name));
        let sink = start(&run, EAGER);
        record(&sink, 0).unwrap();
        sink.finish().unwrap().stats
    });
    let both = stats[0].and_then(stats[1]);
    assert_eq!(both.num_captures, 2);
    assert_eq!(both.num_parts, 2 * stats[0].num_parts);
    assert_eq!(both.part_bytes, stats[0].part_bytes + stats[1].part_bytes);
    let of_tables: u64 = both.by_table.iter().map(|(rows, _)| rows).sum();
    assert_eq!(of_tables, both.num_rows);
    let most = stats[0]
        .queue_high_water_bytes
        .max(stats[1].queue_high_water_bytes);
    assert_eq!(both.queue_high_water_bytes, most);
}
