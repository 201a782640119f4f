//! Sessions of which the names of files tell, and nothing else any more.

use std::time::{Duration, Instant};

use super::super::switch::MAX_COPIES_BYTES;
use super::*;
use crate::id::Nonce;

/// Longer than it takes on a busy machine to write so many records, and shorter than to put each before all others.
const LIMIT: Duration = Duration::from_secs(100);

/// A run of which one record is lost, whose files are of the session of that number.
fn of_session(path: &Path, generation: u32) -> RunDir {
    let run = create_run(path);
    let mut publisher = publisher(&run);
    publish(&mut publisher, 0..3, generation);
    drop(publisher);
    scramble(&record_path(&run, 1));
    run
}

#[test]
fn as_many_sessions_are_put_back_as_names_tell_of() {
    let dir = tempfile::tempdir().unwrap();
    let run = of_session(&dir.path().join("run"), 99);
    let whole = tree(&run.path().join("weights"));
    repaired(run.path());
    let run = RunDir::open(run.path()).unwrap();
    let catalog = Catalog::load(&run).unwrap();
    assert_eq!(catalog.sessions().len(), 100);
    for session in catalog.sessions() {
        assert_eq!(session.config, serde_json::json!({"epochs": 1}));
    }
    assert_eq!(tree(&run.path().join("weights")), whole);
    // The next one has a number of its own.
    let mut publisher = publisher(&run);
    publish(&mut publisher, 3..4, 100);
}

#[test]
fn tens_of_thousands_are_put_back_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let run = of_session(&dir.path().join("run"), (1 << 16) - 1);
    let start = Instant::now();
    let options = RepairOptions {
        dry_run: true,
        ..RepairOptions::default()
    };
    let report = repair(run.path(), options).unwrap();
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    assert!(!report.actions.is_empty());
}

#[test]
fn of_more_nothing_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let run = of_session(&dir.path().join("run"), 1 << 20);
    let before = tree(run.path());
    let error = repair(run.path(), RepairOptions::default()).unwrap_err();
    assert!(
        matches!(error, RepairError::TooManySessions { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("-g<number>"), "{error}");
    assert_eq!(tree(run.path()), before);
}

/// Each session's record has a copy of `run.json`, of a megabyte here.
#[test]
fn copies_of_the_run_file_are_bounded() {
    let blank = CommitRecord {
        number: 0,
        nonce: Nonce::draw().unwrap(),
        run_id: Some(Nonce::draw().unwrap()),
        run_crc32c: None,
        previous_crc32c: None,
        time: "2026-01-01T00:00:00.000Z".to_owned(),
        rank: Rank(0),
        session: Some(serde_json::json!({})),
        run_json: None,
        is_final: false,
        captures: Vec::new(),
        files: Vec::new(),
        retired: Vec::new(),
    };
    let mut records = vec![blank; 200];
    let json = vec![b' '; 1 << 20];
    rechain(&mut records, &Nonce::draw().unwrap(), &json);
    let copies = records.iter().filter_map(|record| record.run_json.as_ref());
    let num_bytes: usize = copies.map(String::len).sum();
    assert_eq!(num_bytes, MAX_COPIES_BYTES);
    assert!(records[0].run_json.is_some());
}
