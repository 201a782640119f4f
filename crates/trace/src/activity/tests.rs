use super::*;
use crate::commit::{CaptureId, CommitRecord, FileEntry};
use crate::id::{Epoch, Nonce, Rank, Step};
use crate::run::tests::info;

/// Minutes after which a recorder wrote a record, as the first of its session or not.
const MINUTES: [(u64, bool); 4] = [(0, true), (1, false), (3, false), (1000, true)];

fn record(number: u64, minute: u64) -> CommitRecord {
    CommitRecord {
        number,
        nonce: Nonce::draw().unwrap(),
        run_id: None,
        run_crc32c: None,
        previous_crc32c: None,
        time: format!(
            "2026-01-{:02}T{:02}:{:02}:00.000Z",
            1 + minute / 1440,
            minute / 60 % 24,
            minute % 60
        ),
        rank: Rank(0),
        session: None,
        run_json: None,
        is_final: false,
        captures: vec![CaptureId {
            epoch: Epoch(number as i32),
            step: Step(number as i64),
        }],
        files: Vec::new(),
        retired: Vec::new(),
    }
}

fn write(run: &RunDir, record: &CommitRecord) {
    let path = run
        .commits_dir()
        .join(format!("{:020}.json", record.number));
    std::fs::write(path, record.encode()).unwrap();
}

fn run(dir: &std::path::Path) -> RunDir {
    let run = RunDir::create(&dir.join("run"), info()).unwrap();
    for (number, (minute, is_first)) in MINUTES.into_iter().enumerate() {
        let session = is_first.then(|| serde_json::json!({}));
        write(
            &run,
            &CommitRecord {
                session,
                ..record(number as u64, minute)
            },
        );
    }
    run
}

/// So many minutes after the first record.
fn at(minute: u64) -> SystemTime {
    // By `date -u -d 2026-01-01 +%s`.
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + 60 * minute)
}

fn since(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[test]
fn a_run_is_being_recorded_as_long_as_its_last_record_is_young() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path());
    let catalog = Catalog::load(&run).unwrap();
    // Records came every two minutes at most: what is between sessions says nothing.
    for minutes in [0, 1, 10] {
        let since_last = since(minutes);
        let expected = Activity::Recording { since_last };
        assert_eq!(run.activity_at(&catalog, at(1000 + minutes)), expected);
    }
    let since_last = since(11);
    let expected = Activity::Silent { since_last };
    assert_eq!(run.activity_at(&catalog, at(1011)), expected);
    // A clock that is ahead.
    let since_last = since(0);
    let expected = Activity::Recording { since_last };
    assert_eq!(run.activity_at(&catalog, at(990)), expected);
}

#[test]
fn a_slow_run_is_being_recorded_for_longer() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path());
    write(&run, &record(4, 1100));
    let catalog = Catalog::load(&run).unwrap();
    assert!(run.activity_at(&catalog, at(1400)).is_being_recorded());
    assert!(!run.activity_at(&catalog, at(1401)).is_being_recorded());
}

#[test]
fn what_is_derived_says_nothing_of_a_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path());
    let path = "structures/epoch=0/step-0-r0-g0-0123456789abcdef.parquet";
    let derived = FileEntry {
        table: crate::Table::Structures.into(),
        epoch: Epoch(0),
        layer: None,
        path: crate::RunPath::try_from(path.to_owned()).unwrap(),
        rows: 1,
        bytes: 1,
        footer_bytes: None,
        footer_crc32c: None,
        column_crc32c: None,
        crc32c: crate::Crc32c(0),
    };
    let derived = CommitRecord {
        captures: Vec::new(),
        files: vec![derived],
        ..record(4, 1100)
    };
    write(&run, &derived);
    let retires = CommitRecord {
        captures: Vec::new(),
        retired: vec![crate::RunPath::try_from(path.to_owned()).unwrap()],
        ..record(5, 1100)
    };
    write(&run, &retires);
    let catalog = Catalog::load(&run).unwrap();
    let since_last = since(105);
    let expected = Activity::Silent { since_last };
    assert_eq!(run.activity_at(&catalog, at(1105)), expected);
}

#[test]
fn a_session_that_ended_leaves_nothing_staged() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path());
    assert_eq!(run.activity().unwrap(), Activity::Ended);
    assert!(!run.is_being_recorded());
    // One that goes on, or died: its last record is of January.
    std::fs::create_dir_all(run.staging_dir().join("0123456789abcdef")).unwrap();
    assert!(matches!(run.activity().unwrap(), Activity::Silent { .. }));
    let now = CommitRecord {
        time: time::now(),
        ..record(4, 0)
    };
    write(&run, &now);
    assert!(run.is_being_recorded());
}

/// Where nothing is committed yet, it is the run that is young.
#[test]
fn a_run_that_was_created_just_now_is_being_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let info = crate::RunInfo {
        created: time::now(),
        ..info()
    };
    let run = RunDir::create(&dir.path().join("run"), info).unwrap();
    assert!(!run.is_being_recorded());
    std::fs::create_dir_all(run.staging_dir().join("0123456789abcdef")).unwrap();
    assert!(run.is_being_recorded());
}

/// Who asks holds nothing that a recorder needs, not for a moment.
#[test]
fn who_asks_is_never_in_a_recorders_way() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path());
    std::fs::create_dir_all(run.staging_dir().join("0123456789abcdef")).unwrap();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                run.is_being_recorded();
            }
        });
        let refused = (0..2000)
            .filter(|_| run.lock_writer(Rank(0)).is_err())
            .count();
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(refused, 0);
    });
}

/// A lock says who may write, and readers neither ask for it nor go by it.
#[test]
fn a_lock_alone_is_no_recording() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path());
    let _lock = run.lock_writer(Rank(0)).unwrap();
    assert!(!run.is_being_recorded());
}

/// What is staged after the last record said that everything is there is no recorder's.
#[test]
fn a_run_whose_last_record_is_final_has_ended_whatever_is_staged() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path());
    let now = || time::now();
    std::fs::create_dir_all(run.staging_dir().join("0123456789abcdef")).unwrap();
    write(
        &run,
        &CommitRecord {
            is_final: true,
            time: now(),
            ..record(4, 0)
        },
    );
    assert_eq!(run.activity().unwrap(), Activity::Ended);
    assert!(!run.activity().unwrap().may_go_on());
    // Somebody goes on with it.
    write(
        &run,
        &CommitRecord {
            session: Some(serde_json::json!({})),
            time: now(),
            ..record(5, 0)
        },
    );
    assert!(run.is_being_recorded());
}

/// Nobody can tell a recorder whose second commit takes long from one that was interrupted.
#[test]
fn a_recorder_that_is_silent_may_go_on() {
    let since_last = since(11);
    assert!(Activity::Silent { since_last }.may_go_on());
    assert!(!Activity::Silent { since_last }.is_being_recorded());
    assert!(Activity::Recording { since_last }.may_go_on());
}
