//! A run that is recorded into a store that is no disk.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Int32Array, RecordBatch};
use trace::{
    DerivedWriter, Ending, LocalStore, MemoryFault, MemoryStore, PartFile, PartReader,
    PublishError, RUN_FILE, RunInfo, Store, publish_derived, read_derived,
};

use super::*;
use crate::testing::structures_rows;

/// The same run as of [`create_run`], in a store.
fn create_in(store: Arc<dyn Store>, world_size: u32) -> RunDir {
    let dir = tempfile::tempdir().unwrap();
    let info = RunInfo {
        world_size,
        ..create_run(&dir.path().join("run")).info().clone()
    };
    RunDir::create_in(store, info).unwrap()
}

/// The rows as another rank has them.
fn of_rank(rows: &RecordBatch, rank: i32) -> RecordBatch {
    let index = rows.schema().index_of("rank").unwrap();
    let mut columns = rows.columns().to_vec();
    columns[index] = Arc::new(Int32Array::from_value(rank, rows.num_rows()));
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

/// Records captures of all ranks, at the same time, and ends.
fn record_all(run: &RunDir, epochs: std::ops::Range<i32>) {
    let world_size = i32::try_from(run.info().world_size).unwrap();
    std::thread::scope(|scope| {
        for rank in 0..world_size {
            let epochs = epochs.clone();
            scope.spawn(move || {
                let options = SinkOptions {
                    rank: Rank(rank),
                    min_publish_interval: EAGER,
                    session: Some(serde_json::json!({"rank": rank})),
                    ..SinkOptions::default()
                };
                let sink = Sink::start(run, options).unwrap();
                for epoch in epochs {
                    let mut open = sink.begin(Some(capture(epoch)));
                    for (mut path, rows) in capture_parts(epoch) {
                        path.rank = Rank(rank);
                        let rows = of_rank(&rows, rank);
                        open.send(Part { path, rows }).unwrap();
                    }
                    open.end().unwrap();
                    // As many commits as captures, which the ranks make at the same time.
                    sink.flush().unwrap();
                }
                sink.finish().unwrap();
            });
        }
    });
}

/// Goes on with a run of one rank after epoch 1: what was recorded after it is retired.
fn resume_after_epoch_1(run: &RunDir) {
    let lock = Arc::new(run.lock_writer(Rank(0)).unwrap());
    let catalog = Catalog::load(run).unwrap();
    let later = catalog.files().filter(|file| file.epoch > 1);
    let retired = later.map(|file| file.path.to_owned()).collect();
    let options = SinkOptions {
        resume: Some(Resume { lock, retired }),
        ..SinkOptions::default()
    };
    let sink = Sink::start(run, options).unwrap();
    let mut open = sink.begin(Some(capture(2)));
    for (mut path, rows) in capture_parts(2) {
        path.generation = trace::Generation(1);
        open.send(Part { path, rows }).unwrap();
    }
    open.end().unwrap();
    sink.finish().unwrap();
}

/// All rows of a run, by their files; of a derived table the names of files are another each time.
fn rows(run: &RunDir) -> BTreeMap<String, RecordBatch> {
    let catalog = Catalog::load(run).unwrap();
    let files = catalog.files().map(|file| {
        let table: Table = file.table.parse().unwrap();
        let reader = PartReader::checked(table, &[], 1024).unwrap();
        let rows = reader.read_whole(&PartFile::committed(run, &file)).unwrap();
        assert_eq!(rows.num_rows() as u64, file.rows, "{}", file.path);
        let path: PartPath = file.path.parse().unwrap();
        let path = PartPath {
            nonce: None,
            ..path
        };
        (format!("{path:?}"), rows)
    });
    let rows: BTreeMap<_, _> = files.collect();
    assert_eq!(rows.len(), catalog.num_files());
    rows
}

/// What [`record_all`] and others do to a run, on the disk and in memory.
fn told_on_both(world_size: u32, tell: impl Fn(&RunDir)) -> (MemoryStore, RunDir) {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = create_in(
        Arc::new(LocalStore::new(&dir.path().join("run"))),
        world_size,
    );
    let store = MemoryStore::new(Path::new("memory/run"));
    let in_memory = create_in(Arc::new(store.clone()), world_size);
    tell(&on_disk);
    tell(&in_memory);
    assert_clean(&on_disk);
    // The files are held against their content here, too.
    assert_eq!(crate::verify(&in_memory, &|_| {}).unwrap().problems, []);
    let (expected, found) = (rows(&on_disk), rows(&in_memory));
    assert!(!expected.is_empty());
    assert_eq!(found, expected);
    let [expected, found] = [&on_disk, &in_memory].map(epochs);
    assert_eq!(found, expected);
    let ending = Catalog::load(&in_memory).unwrap().ending(world_size);
    assert_eq!(ending, Ending::Finished);
    // Nothing is left over: every object is the run's.
    let catalog = Catalog::load_with_partial(&in_memory).unwrap();
    let mut committed: Vec<String> = catalog.files().map(|file| file.path.to_owned()).collect();
    committed.extend(store.keys("commits/"));
    committed.push(RUN_FILE.to_owned());
    committed.sort_unstable();
    assert_eq!(store.keys(""), committed);
    (store, in_memory)
}

#[test]
fn a_run_in_memory_has_the_rows_of_one_on_the_disk() {
    let (store, run) = told_on_both(1, |run| {
        record_all(run, 0..20);
        resume_after_epoch_1(run);
        let rows = structures_rows(1, "first");
        publish_derived(run, Table::Structures, capture(1), rows).unwrap();
        // Replaced by one commit.
        let writer = DerivedWriter::begin(run, Table::Structures).unwrap();
        let parts = writer.parts().unwrap();
        let retired = parts.into_iter().map(|part| part.path).collect();
        let rows = BTreeMap::from([(capture(2), structures_rows(2, "second"))]);
        writer.publish(rows, retired).unwrap();
    });
    assert_eq!(epochs(&run), [0, 1, 2]);
    let derived = read_derived(&run, Table::Structures).unwrap();
    assert_eq!(derived.len(), 1);
    assert_eq!(derived[0].capture, capture(2));
    assert!(store.keys("weights/epoch=3/").is_empty(), "it was retired");
    let opened = RunDir::open_in(Arc::new(store)).unwrap();
    assert_eq!(rows(&opened), rows(&run));
}

#[test]
fn ranks_that_record_into_memory_meet_at_numbers_and_are_whole() {
    let (_, run) = told_on_both(3, |run| record_all(run, 0..12));
    let catalog = Catalog::load(&run).unwrap();
    assert_eq!(catalog.captures().len(), 12);
    assert_eq!(catalog.partial_captures(), []);
    let numbers: Vec<u64> = catalog
        .commits()
        .iter()
        .map(|commit| commit.number)
        .collect();
    // A commit a capture and rank, and one of each rank that it has ended.
    assert_eq!(numbers, (0..3 * 13).collect::<Vec<_>>());
}

#[test]
fn a_store_that_refuses_ends_recording_with_what_was_committed() {
    let store = MemoryStore::new(Path::new("memory/run"));
    let run = create_in(Arc::new(store.clone()), 1);
    let sink = start(&run, EAGER);
    record(&sink, 0).unwrap();
    sink.flush().unwrap();
    store.fail_next("weights/", MemoryFault::Refused);
    let failed = record(&sink, 1).and_then(|()| sink.flush());
    let error = failed.unwrap_err();
    let SinkError::Publish { source, .. } = &error else {
        panic!("{error}");
    };
    assert!(
        matches!(&**source, PublishError::NotCommitted(_)),
        "{error}"
    );
    drop(sink);
    assert_eq!(epochs(&run), [0]);
    assert_eq!(rows(&run).len(), 3);
    // Another goes on with it.
    resume_after_epoch_1(&run);
    assert_eq!(epochs(&run), [0, 2]);
    assert!(store.keys("weights/epoch=1/").is_empty());
}
