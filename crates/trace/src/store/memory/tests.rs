//! Runs in memory, as a publisher and readers see them.

use super::*;
use crate::catalog::Catalog;
use crate::encode::{Compress, encode_part};
use crate::part::Part;
use crate::part_file::{PartFile, SMALL_FILE_BYTES};
use crate::part_reader::PartReader;
use crate::publish::{Group, PublishError, Publisher};
use crate::run::tests::info;
use crate::run::{LockRunError, OpenRunError, RunDir, RunInfo};
use crate::testing::{HIDDEN, capture, capture_parts, lists, noise, part_path, weights_rows};

fn create(world_size: u32) -> (MemoryStore, RunDir) {
    let store = MemoryStore::new(Path::new("memory/run"));
    let info = RunInfo {
        world_size,
        ..info()
    };
    let run = RunDir::create_in(Arc::new(store.clone()), info).unwrap();
    (store, run)
}

fn staged(publisher: &Publisher, rank: i32, epoch: i32) -> Group {
    let parts = capture_parts(epoch).into_iter().map(|(mut path, rows)| {
        path.rank = Rank(rank);
        let writer = publisher.staging().create_part(path.clone()).unwrap();
        let num_rows = rows.num_rows() as u64;
        let encoded = encode_part(&Part { path, rows }, Compress::Auto, writer).unwrap();
        encoded.finish(num_rows).unwrap()
    });
    Group {
        parts: parts.collect(),
        captures: vec![capture(epoch)],
        retired: Vec::new(),
    }
}

fn publish(publisher: &mut Publisher, rank: i32, epoch: i32) -> Result<u64, PublishError> {
    let group = staged(publisher, rank, epoch);
    publisher.publish(group).map(|record| record.number)
}

/// The paths of what is committed, each of which was read and is what was committed.
fn whole(run: &RunDir) -> Vec<String> {
    let catalog = Catalog::load(run).unwrap();
    let files = catalog.files().map(|file| {
        let rows = PartReader::checked(file.table.parse().unwrap(), &[], 1024)
            .unwrap()
            .read_whole(&PartFile::committed(run, &file))
            .unwrap();
        assert_eq!(rows.num_rows() as u64, file.rows);
        file.path.to_owned()
    });
    files.collect()
}

#[test]
fn a_run_is_opened_where_it_was_created() {
    let store = MemoryStore::new(Path::new("memory/run"));
    let error = RunDir::open_in(Arc::new(store.clone())).unwrap_err();
    assert!(matches!(error, OpenRunError::NotFound { .. }), "{error}");
    let run = RunDir::create_in(Arc::new(store.clone()), info()).unwrap();
    let opened = RunDir::open_in(Arc::new(store.clone())).unwrap();
    assert_eq!(opened.info(), run.info());
    assert_eq!(opened.crc32c(), run.crc32c());
    assert_eq!(store.keys(""), [RUN_FILE]);
    let held = run.lock_writer(Rank(0)).unwrap();
    let error = opened.lock_writer(Rank(0)).unwrap_err();
    assert!(matches!(error, LockRunError::Held { .. }), "{error}");
    drop(held);
    opened.lock_writer(Rank(0)).unwrap();
}

#[test]
fn two_writers_that_meet_at_a_number_are_both_committed() {
    let (store, run) = create(2);
    let mut slow = Publisher::try_new(&run, Rank(1), None).unwrap();
    let mut fast = Publisher::try_new(&run, Rank(0), None).unwrap();
    // The slow one has put its parts, and comes too late for the number that it saw free.
    let (sender, committed) = std::sync::mpsc::channel();
    store.before("commits/", move || {
        sender.send(publish(&mut fast, 0, 0).unwrap()).unwrap();
    });
    assert_eq!(publish(&mut slow, 1, 0).unwrap(), 1);
    assert_eq!(committed.recv().unwrap(), 0);
    assert_eq!(whole(&run).len(), 6);
    assert_eq!(Catalog::load(&run).unwrap().captures().len(), 1);
    assert_eq!(store.keys("commits/").len(), 2);
}

#[test]
fn a_record_whose_answer_was_lost_is_committed_once() {
    let (store, run) = create(1);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    store.fail_next("commits/", MemoryFault::AnswerLost);
    assert_eq!(publish(&mut publisher, 0, 0).unwrap(), 0);
    assert_eq!(store.keys("commits/").len(), 1);
    assert_eq!(whole(&run).len(), 3);

    store.fail_next("commits/", MemoryFault::Refused);
    let error = publish(&mut publisher, 0, 1).unwrap_err();
    assert!(matches!(error, PublishError::NotCommitted(_)), "{error}");
    assert_eq!(whole(&run).len(), 3);
    assert!(store.keys("weights/epoch=1/").is_empty());
}

/// What was not answered is not known to be one's own: it is left for who goes on with the run.
#[test]
fn a_part_whose_answer_was_lost_is_cleared_away_and_no_other_is() {
    let (store, run) = create(1);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    publish(&mut publisher, 0, 0).unwrap();
    let committed = store.keys("");
    store.fail_next("metrics/", MemoryFault::AnswerLost);
    let error = publish(&mut publisher, 0, 1).unwrap_err();
    assert!(matches!(error, PublishError::NotCommitted(_)), "{error}");
    let left = part_path(Table::Metrics, 1, None).to_string();
    let found = store.keys("");
    assert!(found.contains(&left) && found.len() == committed.len() + 1);
    drop(publisher);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    publisher.clear_leftovers().unwrap();
    assert_eq!(store.keys(""), committed);
    assert_eq!(publish(&mut publisher, 0, 1).unwrap(), 1);
    assert_eq!(whole(&run).len(), 6);
}

#[test]
fn records_are_rolled_up_and_read_as_before() {
    let (store, run) = create(1);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    for epoch in 0..40 {
        publish(&mut publisher, 0, epoch).unwrap();
    }
    let mut group = staged(&publisher, 0, 40);
    let retired = capture_parts(3)
        .into_iter()
        .map(|(path, _)| path.to_string());
    group.retired = retired.clone().collect();
    publisher.publish(group).unwrap();
    publisher.seal().unwrap();
    assert!(
        store.keys("commits/").len() < 5,
        "{:?}",
        store.keys("commits/")
    );
    let found = whole(&run);
    assert_eq!(found.len(), 3 * 40);
    for path in retired {
        assert!(store.keys(&path).is_empty() && !found.contains(&path));
    }
}

#[test]
fn of_a_large_part_the_footer_is_read_and_what_is_asked_for() {
    let (store, run) = create(1);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let values: Vec<_> = (0..64).map(|neuron| noise(neuron, 4096)).collect();
    let path = part_path(Table::Weights, 3, Some(HIDDEN));
    let rows = weights_rows(3, 0, lists(&values, None));
    let writer = publisher.staging().create_part(path.clone()).unwrap();
    let num_rows = rows.num_rows() as u64;
    let encoded = encode_part(&Part { path, rows }, Compress::Auto, writer).unwrap();
    let parts = vec![encoded.finish(num_rows).unwrap()];
    let group = Group {
        parts,
        ..Group::default()
    };
    let record = publisher.publish(group).unwrap();
    let entry = &record.files[0];
    assert!(entry.bytes > SMALL_FILE_BYTES, "{}", entry.bytes);

    let catalog = Catalog::load(&run).unwrap();
    let part = PartFile::committed(&run, &catalog.file(0));
    let stored = Table::Weights.schema();
    let unit = stored.index_of("unit").unwrap();
    let reader = PartReader::try_new(&stored, &[unit], 1024).unwrap();
    assert!(store.take_reads().is_empty(), "nothing is read unasked");
    assert_eq!(reader.read_whole(&part).unwrap().num_rows(), 64);
    let reads = store.take_reads();
    let [(footer, of_footer), (column, of_column)] = &reads[..] else {
        panic!("{reads:?}");
    };
    assert_eq!((footer, column), (&part.path, &part.path));
    let footer_bytes = entry.footer().unwrap().bytes;
    assert_eq!(*of_footer, entry.bytes - footer_bytes..entry.bytes);
    let num_bytes = of_column.end - of_column.start;
    assert!(num_bytes < 1024, "{of_column:?} of {}", entry.bytes);

    // A byte that is another is told with the column's name, and one that was not asked for is not looked at.
    let whole = store.get(&part.path).unwrap();
    for (at, is_noticed) in [(of_column.start, true), (of_column.end + 64, false)] {
        let mut bytes = whole.to_vec();
        bytes[at as usize] ^= 1;
        store.tamper(&part.path, Some(bytes.into()));
        match reader.read_whole(&part) {
            Ok(_) => assert!(!is_noticed),
            Err(error) => {
                let text = error.to_string();
                assert!(is_noticed && text.contains("its column \"unit\""), "{text}");
                assert!(text.starts_with("memory/run/weights/"), "{text}");
            }
        }
    }
    store.tamper(&part.path, Some(whole.slice(..whole.len() - 9)));
    let text = reader.read_whole(&part).unwrap_err().to_string();
    assert!(text.contains(" is shorter than the "), "{text}");
    store.tamper(&part.path, None);
    let text = reader.read_whole(&part).unwrap_err().to_string();
    assert!(text.contains(" is committed, but not there; "), "{text}");
}
