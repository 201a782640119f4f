use super::*;
use crate::commit::tests::record;

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

fn numbers(dir: &Path) -> Result<Vec<u64>, ReadCommitsError> {
    visit_commits(dir, Vec::new, |numbers, record| numbers.push(record.number))
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
    let dir = tempfile::tempdir().unwrap();
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
    let listing = list(dir.path()).unwrap();
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
    let dir = tempfile::tempdir().unwrap();
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
    let dir = tempfile::tempdir().unwrap();
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
    let numbers = visit_commits(dir.path(), restart, |numbers, record| {
        numbers.push(record.number);
    });
    assert_eq!(numbers.unwrap(), (0..=8).collect::<Vec<_>>());
    assert_eq!(num_listings, 2);
}

#[test]
fn a_record_that_was_cut_off_is_an_error_and_no_end_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
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
    let dir = tempfile::tempdir().unwrap();
    assert!(numbers(&dir.path().join("commits")).unwrap().is_empty());
}
