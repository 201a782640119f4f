use std::fs;

use super::*;
use crate::commit::tests::record;
use crate::store::LocalStore;

/// A directory of commits, in one of a run.
struct Commits {
    _run: tempfile::TempDir,
    path: PathBuf,
}

impl Commits {
    fn new() -> Self {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join(COMMITS_DIR);
        fs::create_dir(&path).unwrap();
        Self { _run: run, path }
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

fn write(dir: &Path, segment: Segment) {
    let records: Vec<_> = (segment.first..=segment.last)
        .map(|n| record(n, 1))
        .collect();
    let bytes = if segment.is_rollup {
        rollup::tests::encoded(&records).unwrap()
    } else {
        records[0].encode()
    };
    fs::write(dir.join(segment.file_name()), bytes).unwrap();
}

fn store(dir: &Path) -> LocalStore {
    LocalStore::new(dir.parent().unwrap())
}

fn log(dir: &Path) -> Log {
    let run_id = "0123456789abcdef".parse().unwrap();
    Log::in_store(Arc::new(store(dir)), Some(run_id))
}

fn numbers(dir: &Path) -> Result<Vec<u64>, ReadCommitsError> {
    let push = |numbers: &mut Vec<u64>, record: CommitRecord, _| numbers.push(record.number);
    visit_commits(&log(dir), Vec::new, push)
}

#[test]
fn names_have_twenty_digits_and_nothing_else_is_read() {
    assert_eq!(Segment::record(12).file_name(), "00000000000000000012.json");
    assert_eq!(
        Segment::rollup(0, 15).file_name(),
        "checkpoint-00000000000000000000-00000000000000000015.parquet"
    );
    for name in [
        "12.json",
        "00000000000000000012.json.tmp",
        "checkpoint-00000000000000000009-00000000000000000001.parquet",
        "+0000000000000000012.json",
    ] {
        assert_eq!(Segment::parse(name), None, "{name}");
    }
}

#[test]
fn the_widest_cover_wins_and_every_record_is_read_once() {
    let dir = Commits::new();
    for segment in [
        Segment::rollup(0, 3),
        Segment::rollup(0, 7),
        // Overlaps the one before without being covered by it.
        Segment::rollup(4, 9),
        Segment::record(3),
        Segment::record(9),
        Segment::record(10),
    ] {
        write(dir.path(), segment);
    }
    assert_eq!(numbers(dir.path()).unwrap(), (0..=10).collect::<Vec<_>>());
    let listing = list(&store(dir.path())).unwrap();
    assert_eq!(
        listing.covered,
        [
            Segment::rollup(0, 3),
            Segment::record(3),
            Segment::record(9)
        ]
    );
    assert_eq!(listing.next_number(), 11);
}

#[test]
fn a_hole_is_an_error_that_names_it() {
    let dir = Commits::new();
    write(dir.path(), Segment::rollup(0, 3));
    write(dir.path(), Segment::record(5));
    assert!(matches!(
        numbers(dir.path()),
        Err(ReadCommitsError::Missing { number: 4, .. })
    ));
}

/// A listing during a roll-up may have neither some records nor their roll-up.
#[test]
fn a_hole_that_is_gone_when_listed_again_is_none() {
    let dir = Commits::new();
    write(dir.path(), Segment::rollup(0, 3));
    write(dir.path(), Segment::record(8));
    let mut num_listings = 0;
    let restart = || {
        num_listings += 1;
        // After the first listing, before anything is read.
        if num_listings == 1 {
            write(dir.path(), Segment::rollup(4, 7));
        }
        Vec::new()
    };
    let numbers = visit_commits(&log(dir.path()), restart, |numbers, record, _| {
        numbers.push(record.number);
    });
    assert_eq!(numbers.unwrap(), (0..=8).collect::<Vec<_>>());
    assert_eq!(num_listings, 2);
}

#[test]
fn a_record_that_was_cut_off_is_an_error_and_no_end_of_the_run() {
    let dir = Commits::new();
    write(dir.path(), Segment::record(0));
    fs::write(
        dir.path().join(Segment::record(1).file_name()),
        "{\"number\":1",
    )
    .unwrap();
    assert!(matches!(
        numbers(dir.path()),
        Err(ReadCommitsError::BadRecord { .. })
    ));
}

#[test]
fn a_run_without_commits_is_empty() {
    let dir = Commits::new();
    assert!(numbers(&dir.path().join("commits")).unwrap().is_empty());
}

/// A record of this run that follows one with that checksum.
fn linked(number: u64, previous_crc32c: Option<Crc32c>) -> CommitRecord {
    CommitRecord {
        run_id: Some("0123456789abcdef".parse().unwrap()),
        previous_crc32c,
        ..record(number, 1)
    }
}

fn write_record(dir: &Path, record: &CommitRecord) -> Crc32c {
    let (bytes, crc32c) = record.encode_with_checksum();
    fs::write(dir.join(Segment::record(record.number).file_name()), bytes).unwrap();
    crc32c
}

/// Records of this run, each linked to the one before.
fn write_chain(dir: &Path, numbers: std::ops::Range<u64>) -> Vec<CommitRecord> {
    let mut previous = None;
    let records = numbers.map(|number| {
        let record = linked(number, previous);
        previous = Some(write_record(dir, &record));
        record
    });
    records.collect()
}

#[test]
fn a_roll_up_under_another_name_is_an_error() {
    for (there, named) in [
        ((0, 3), (0, 9)),
        ((0, 3), (0, 2)),
        ((0, 3), (1, 4)),
        ((2, 3), (0, 3)),
    ] {
        let dir = Commits::new();
        write(dir.path(), Segment::rollup(there.0, there.1));
        for number in 4..10 {
            write(dir.path(), Segment::record(number));
        }
        let [from, to] = [there, named]
            .map(|(first, last)| dir.path().join(Segment::rollup(first, last).file_name()));
        fs::rename(from, &to).unwrap();
        let error = numbers(dir.path()).unwrap_err();
        let is_named = match &error {
            ReadCommitsError::OtherNumbers { path, .. } | ReadCommitsError::TooFew { path, .. } => {
                *path == to
            }
            _ => false,
        };
        assert!(is_named, "{there:?} as {named:?}: {error}");
    }
}

#[test]
fn a_record_under_another_number_is_an_error() {
    let dir = Commits::new();
    write(dir.path(), Segment::record(0));
    fs::write(
        dir.path().join(Segment::record(1).file_name()),
        record(2, 1).encode(),
    )
    .unwrap();
    let error = numbers(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            ReadCommitsError::OtherNumbers {
                expected: 1,
                found: 2,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn numbers_that_cannot_be_counted_on_from_are_no_names() {
    let largest = u64::MAX;
    for name in [
        format!("{largest:020}.json"),
        format!("checkpoint-{:020}-{largest:020}.parquet", 0),
        format!("{:020}.json", MAX_COUNT + 1),
    ] {
        assert_eq!(Segment::parse(&name), None, "{name}");
    }
    let last = Segment::parse(&format!("{MAX_COUNT:020}.json")).unwrap();
    let listing = Listing {
        live: vec![last],
        covered: vec![],
    };
    assert_eq!(listing.next_number(), MAX_COUNT + 1);
    assert_eq!(Segment::rollup(0, last.last).len(), MAX_COUNT + 1);
    assert_eq!(listing.holder(last.last), None, "there is a hole before");
}

#[test]
fn records_that_follow_each_other_are_read_also_rolled_up() {
    let dir = Commits::new();
    let records = write_chain(dir.path(), 0..6);
    assert_eq!(numbers(dir.path()).unwrap(), (0..6).collect::<Vec<_>>());
    let rolled_up = rollup::tests::encoded(&records[1..4]).unwrap();
    fs::write(
        dir.path().join(Segment::rollup(1, 3).file_name()),
        rolled_up,
    )
    .unwrap();
    for number in 1..4 {
        fs::remove_file(dir.path().join(Segment::record(number).file_name())).unwrap();
    }
    assert_eq!(numbers(dir.path()).unwrap(), (0..6).collect::<Vec<_>>());
    // Between a record and a roll-up, and between a roll-up and a record.
    for number in [0, 4] {
        let changed = CommitRecord {
            rank: crate::id::Rank(7),
            ..records[number as usize].clone()
        };
        write_record(dir.path(), &changed);
        let error = numbers(dir.path()).unwrap_err();
        assert!(
            matches!(error, ReadCommitsError::BrokenChain { number: at, .. } if at == number + 1),
            "{number}: {error}"
        );
        write_record(dir.path(), &records[number as usize]);
    }
}

#[test]
fn a_record_of_another_run_is_an_error_that_names_it() {
    let dir = Commits::new();
    write_chain(dir.path(), 0..3);
    let foreign = CommitRecord {
        run_id: Some("fedcba9876543210".parse().unwrap()),
        ..linked(3, None)
    };
    write_record(dir.path(), &foreign);
    let error = numbers(dir.path()).unwrap_err().to_string();
    assert!(error.contains("00000000000000000003.json"), "{error}");
    assert!(error.contains("run fedcba9876543210"), "{error}");
}

/// The names that are read are those of records that can be.
#[test]
fn the_highest_number_of_a_name_is_the_highest_of_a_record() {
    for (number, is_one) in [(MAX_COUNT, true), (MAX_COUNT + 1, false)] {
        let named = Segment::parse(&Segment::record(number).file_name());
        assert_eq!(named.is_some(), is_one);
        let decoded = CommitRecord::decode(&record(number, 1).encode());
        assert_eq!(decoded.is_ok(), is_one);
    }
}

/// Who is in the midst of the old history when a repair puts the new one in its place.
#[test]
fn a_history_that_is_exchanged_while_it_is_read_is_read_anew() {
    let dir = Commits::new();
    let old = write_chain(dir.path(), 0..3);
    let new: Vec<CommitRecord> = {
        let mut previous = None;
        let relinked = old.iter().map(|record| {
            let record = CommitRecord {
                rank: crate::id::Rank(7),
                previous_crc32c: previous,
                ..record.clone()
            };
            previous = Some(record.encode_with_checksum().1);
            record
        });
        relinked.collect()
    };
    let mut is_exchanged = false;
    let ranks = visit_commits(
        &log(dir.path()),
        Vec::new,
        |ranks: &mut Vec<i32>, record, _| {
            ranks.push(record.rank.0);
            if !std::mem::replace(&mut is_exchanged, true) {
                for record in &new {
                    write_record(dir.path(), record);
                }
            }
        },
    );
    assert_eq!(ranks.unwrap(), [7, 7, 7]);
}
