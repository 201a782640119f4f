//! What each store has to do, held against each.

use tempfile::TempDir;

use super::*;
use crate::disk::SimDisk;
use crate::place::RUN_FILE;

const METRICS: &str = "metrics/epoch=0/step-24-r0-g0.parquet";
const OF_ANOTHER: &str = "metrics/epoch=0/step-24-r1-g0.parquet";
const RECORD: &str = "00000000000000000000.json";

/// An empty store of each kind: on disks whose files are synced at once and one by one, and in memory.
fn stores() -> (TempDir, Vec<Arc<dyn Store>>) {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = |name: &str, has_syncfs| -> Arc<dyn Store> {
        let sim = SimDisk::over(dir.path()).unwrap();
        let sim = match has_syncfs {
            true => sim,
            false => sim.without_syncfs(),
        };
        Arc::new(LocalStore::on(sim.disk(), &dir.path().join(name)))
    };
    let mut stores = vec![on_disk("one", true), on_disk("other", false)];
    stores.push(Arc::new(MemoryStore::new(Path::new("memory"))));
    (dir, stores)
}

/// Each store with a run in it.
fn runs() -> (TempDir, Vec<Arc<dyn Store>>) {
    let (dir, stores) = stores();
    for store in &stores {
        store.create_run(&Nonce::draw().unwrap(), b"{}").unwrap();
    }
    (dir, stores)
}

fn staged(writer: &dyn StoreWriter, path: &str, bytes: &[u8]) -> PartToPut {
    let mut output = writer.create_part().unwrap();
    output.write_all(bytes).unwrap();
    PartToPut {
        staged: output.finish().unwrap(),
        path: RunPath::try_from(path.to_owned()).unwrap(),
    }
}

fn part(store: &dyn Store, path: &str) -> Option<Bytes> {
    let part = store.open_part(path).and_then(|part| {
        let num_bytes = part.num_bytes()?;
        part.read_range(0..num_bytes)
    });
    match part {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        part => Some(part.unwrap()),
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

#[test]
fn a_run_is_created_once_where_there_is_nothing() {
    let (_dir, stores) = stores();
    for store in stores {
        assert_eq!(store.vacancy(), Vacancy::Absent, "{store:?}");
        let error = store.read_run().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{store:?}");
        let nonce = Nonce::draw().unwrap();
        store.create_run(&nonce, b"one").unwrap();
        let again = store.create_run(&nonce, b"other").unwrap_err();
        assert!(matches!(again, NewRunError::Taken), "{store:?}: {again}");
        assert_eq!(store.read_run().unwrap(), b"one", "{store:?}");
        assert_eq!(store.creation().unwrap(), Creation::Complete, "{store:?}");
        assert!(store.list_log().unwrap().is_empty(), "{store:?}");
    }
}

#[test]
fn a_group_is_there_with_its_record_or_not_at_all() {
    let (_dir, stores) = runs();
    for store in stores {
        let writer = store.begin().unwrap();
        // Dropped before its record is created, it was never there.
        let parts = vec![staged(&*writer, METRICS, b"lost")];
        let group = writer.put(parts, b"lost").unwrap();
        assert_eq!(part(&*store, METRICS).unwrap(), "lost", "{store:?}");
        drop(group);
        assert_eq!(part(&*store, METRICS), None, "{store:?}");
        assert!(store.list_log().unwrap().is_empty(), "{store:?}");

        let parts = vec![staged(&*writer, METRICS, b"rows")];
        let mut group = writer.put(parts, b"record").unwrap();
        group.keep(true);
        group.create_record(RECORD).unwrap();
        group.confirm().unwrap();
        drop(group);
        assert_eq!(part(&*store, METRICS).unwrap(), "rows", "{store:?}");
        assert_eq!(store.list_log().unwrap(), [RECORD], "{store:?}");
        assert_eq!(store.read_log(RECORD).unwrap(), b"record", "{store:?}");
        assert_eq!(store.log_bytes(RECORD).unwrap(), 6, "{store:?}");

        // A name that is taken keeps its bytes, and takes the rest of the group with it.
        let parts = [OF_ANOTHER, METRICS].map(|path| staged(&*writer, path, b"again"));
        let error = writer.put(parts.into(), b"record").unwrap_err();
        assert!(is_taken(&error.source), "{store:?}: {error}");
        assert_eq!(part(&*store, METRICS).unwrap(), "rows", "{store:?}");
        assert_eq!(part(&*store, OF_ANOTHER), None, "{store:?}");
    }
}

#[test]
fn a_record_is_created_once_and_another_takes_the_next_number() {
    let (_dir, stores) = runs();
    for store in stores {
        let (one, other) = (store.begin().unwrap(), store.begin().unwrap());
        assert_ne!(one.nonce(), other.nonce(), "{store:?}");
        let mut first = one.put(Vec::new(), b"first").unwrap();
        let mut second = other.put(Vec::new(), b"second").unwrap();
        first.create_record(RECORD).unwrap();
        first.confirm().unwrap();
        let error = second.create_record(RECORD).unwrap_err();
        assert!(is_taken(&error), "{store:?}: {error}");
        assert_eq!(store.read_log(RECORD).unwrap(), b"first", "{store:?}");
        let next = "00000000000000000001.json";
        second.take_record(b"second again").unwrap();
        second.create_record(next).unwrap();
        second.confirm().unwrap();
        assert_eq!(store.read_log(next).unwrap(), b"second again", "{store:?}");
        // One that is taken back is gone.
        second.withdraw(next);
        assert_eq!(store.list_log().unwrap(), [RECORD], "{store:?}");
    }
}

#[test]
fn what_stands_for_others_is_there_before_they_go() {
    let (_dir, stores) = runs();
    let rollup = "checkpoint-00000000000000000000-00000000000000000000.parquet";
    for store in stores {
        let writer = store.begin().unwrap();
        let mut group = writer.put(Vec::new(), b"record").unwrap();
        group.create_record(RECORD).unwrap();
        group.confirm().unwrap();
        writer.create_rollup(rollup, b"rolled up").unwrap();
        let error = writer.create_rollup(rollup, b"again").unwrap_err();
        assert!(is_taken(&error), "{store:?}: {error}");
        writer.remove_covered(&[RECORD.to_owned()]).unwrap();
        assert_eq!(store.list_log().unwrap(), [rollup], "{store:?}");
        assert_eq!(store.read_log(rollup).unwrap(), b"rolled up", "{store:?}");
    }
}

#[test]
fn what_is_retired_goes_and_what_nobody_claims_is_found() {
    let (_dir, stores) = runs();
    for store in stores {
        let writer = store.begin().unwrap();
        // A derived table's file has its writer's name in its own.
        let nonce = writer.nonce();
        let derived = format!("structures/epoch=0/step-24-r0-g0-{nonce}.parquet");
        let paths = [METRICS, OF_ANOTHER, &derived];
        let parts = paths.map(|path| staged(&*writer, path, path.as_bytes()));
        writer.put(parts.into(), b"").unwrap().keep(true);
        let other = store.begin().unwrap();
        let mut all = store.list_parts().unwrap();
        all.sort_unstable();
        assert_eq!(all, paths, "{store:?}");
        let unclaimed = |rank| {
            let mut unclaimed = other.unclaimed(Rank(rank)).unwrap();
            unclaimed.sort_unstable();
            unclaimed
        };
        assert_eq!(unclaimed(0), [METRICS], "{store:?}");
        assert_eq!(unclaimed(1), [OF_ANOTHER], "{store:?}");
        drop(writer);
        assert_eq!(unclaimed(0), [METRICS, derived.as_str()], "{store:?}");
        other.retire(&[METRICS, &derived]).unwrap();
        // What is gone is gone.
        other.retire(&[METRICS]).unwrap();
        assert_eq!(store.list_parts().unwrap(), [OF_ANOTHER], "{store:?}");
        assert!(unclaimed(0).is_empty(), "{store:?}");
        assert_eq!(part(&*store, METRICS), None, "{store:?}");
        assert_eq!(part(&*store, OF_ANOTHER).unwrap(), OF_ANOTHER, "{store:?}");
    }
}

#[test]
fn ranges_of_a_part_are_read_up_to_its_end() {
    let (_dir, stores) = runs();
    for store in stores {
        let writer = store.begin().unwrap();
        let parts = vec![staged(&*writer, METRICS, b"0123456789")];
        writer.put(parts, b"").unwrap().keep(true);
        let part = store.open_part(METRICS).unwrap();
        assert_eq!(part.num_bytes().unwrap(), 10);
        for (range, expected) in [
            (0..10, "0123456789"),
            (2..5, "234"),
            (8..20, "89"),
            (10..11, ""),
            (30..40, ""),
            (3..3, ""),
        ] {
            let found = part.read_range(range.clone()).unwrap();
            assert_eq!(found, expected, "{store:?} {range:?}");
        }
        let mut buffer = [0; 4];
        assert_eq!(part.read_at(&mut buffer, 7).unwrap(), 3, "{store:?}");
        assert_eq!(&buffer[..3], b"789", "{store:?}");
        assert_eq!(part.read_at(&mut buffer, 10).unwrap(), 0, "{store:?}");
    }
}

#[test]
fn a_right_is_given_to_one_at_a_time() {
    let (_dir, stores) = runs();
    for store in stores {
        for rank in [None, Some(Rank(0)), Some(Rank(1))] {
            let held = store.lock_rank(rank).unwrap();
            assert!(held.is_some(), "{store:?} {rank:?}");
            assert!(store.lock_rank(rank).unwrap().is_none(), "{store:?}");
            drop(held);
            assert!(store.lock_rank(rank).unwrap().is_some(), "{store:?}");
        }
        let held = store.lock_table(Table::Structures).unwrap();
        // That of another table is another right.
        drop(store.lock_table(Table::Ablations).unwrap());
        let waits = Arc::clone(&store);
        let waiting = std::thread::spawn(move || drop(waits.lock_table(Table::Structures)));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!waiting.is_finished(), "{store:?}");
        drop(held);
        waiting.join().unwrap();
    }
}

#[test]
fn a_part_goes_to_the_store_that_it_was_written_to() {
    let (_dir, stores) = runs();
    for (store, other) in stores.iter().zip(stores.iter().rev()) {
        if store.path() == other.path() {
            continue;
        }
        let (writer, elsewhere) = (store.begin().unwrap(), other.begin().unwrap());
        let parts = vec![staged(&*elsewhere, METRICS, b"rows")];
        let error = writer.put(parts, b"").unwrap_err();
        let text = error.source.to_string();
        assert_eq!(text, "it was written to another store", "{store:?}");
        assert_eq!(part(&**store, METRICS), None, "{store:?}");
    }
}

#[test]
fn a_directory_with_something_in_it_is_no_place_for_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let local = LocalStore::new(dir.path());
    std::fs::write(dir.path().join("notes"), "mine").unwrap();
    let memory = MemoryStore::new(Path::new("memory"));
    memory.tamper("notes", Some(Bytes::from_static(b"mine")));
    for store in [&local as &dyn Store, &memory] {
        assert_eq!(store.vacancy(), Vacancy::Taken, "{store:?}");
        let error = store.create_run(&Nonce::draw().unwrap(), b"{}");
        assert!(matches!(error, Err(NewRunError::Taken)), "{store:?}");
        assert!(store.read_run().is_err(), "{RUN_FILE} of {store:?}");
    }
}
