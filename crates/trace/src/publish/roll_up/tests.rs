use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaDataReader;

use super::*;
use crate::catalog::Catalog;
use crate::disk::{Fault, Operation, Point, Subject};
use crate::encode::Compress;
use crate::id::{LayerLabel, Rank};
use crate::part::PartPath;
use crate::publish::Group;
use crate::publish::tests::{assert_whole, commit_files, create_on_sim, epochs, group, part};
use crate::run::RunDir;
use crate::run::tests::info;
use crate::table::Table;

#[test]
fn records_roll_up_by_levels_so_that_few_files_are_read() {
    // Sizes only: what the roll-up would do over 10,000 publishes.
    let mut segments: Vec<Segment> = Vec::new();
    let mut rewritten = 0;
    let mut most = 0;
    for number in 0..10_000 {
        segments.push(Segment::record(number));
        if let Some(start) = rollup_start(&segments) {
            let first = segments[start].first;
            segments.truncate(start);
            segments.push(Segment::rollup(first, number));
            rewritten += number + 1 - first;
        }
        most = most.max(segments.len());
    }
    assert!(most <= 4 * ROLLUP_FANOUT, "{most} files");
    assert!(
        rewritten <= 4 * 10_000,
        "each record once a level, not {rewritten}"
    );
}

#[test]
fn sealing_leaves_one_rollup() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    for epoch in 0..20 {
        let group = group(&publisher, epoch).unwrap();
        publisher.publish(group).unwrap();
    }
    publisher.seal().unwrap();
    assert_eq!(commit_files(&run), [Segment::rollup(0, 19).file_name()]);
    assert_eq!(epochs(&assert_whole(&run)), (0..20).collect::<Vec<_>>());
}

/// A capture of a file a layer.
fn wide_group(publisher: &Publisher, epoch: i32, num_layers: u32) -> Group {
    let parts = (0..num_layers).map(|layer| {
        let layer = Some(LayerLabel::try_new(&format!("L_{layer}")).unwrap());
        let path = PartPath {
            layer,
            ..part(epoch, Table::Weights)
        };
        publisher.staging().stage(path, b"", 0).unwrap()
    });
    Group {
        parts: parts.collect(),
        ..group(publisher, epoch).unwrap()
    }
}

#[test]
fn records_of_hundreds_of_files_roll_up_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    for epoch in 0..ROLLUP_FANOUT as i32 {
        let group = wide_group(&publisher, epoch, 256);
        publisher.publish(group).unwrap();
    }
    assert_eq!(commit_files(&run), [Segment::rollup(0, 15).file_name()]);
    assert_eq!(Catalog::load(&run).unwrap().num_files(), 16 * 256);
}

/// What is not compressed is larger, and has fewer records: however long the run, whoever rolls up holds as much.
#[test]
fn roll_ups_without_compression_are_as_large_as_others_at_most() {
    let dir = tempfile::tempdir().unwrap();
    for (name, compress) in Compress::ALL {
        let run = RunDir::create(&dir.path().join(name), info()).unwrap();
        let publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
        let mut publisher = publisher.with_compress(compress);
        publisher.max_rollup_bytes = 128 * 1024;
        for epoch in 0..100 {
            let group = wide_group(&publisher, epoch, 32);
            publisher.publish(group).unwrap();
        }
        publisher.seal().unwrap();
        let files = commit_files(&run).into_iter();
        let rollups: Vec<_> = files.filter(|file| file.ends_with(".parquet")).collect();
        for file in &rollups {
            let bytes = std::fs::read(run.commits_dir().join(file)).unwrap();
            // Records are larger as JSON than in any roll-up, and one is made of so many bytes of them at most.
            assert!(bytes.len() < 128 * 1024, "{name}: {}", bytes.len());
            let bytes = bytes::Bytes::from(bytes);
            let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes);
            let metadata = metadata.unwrap();
            let mut columns = metadata.row_groups().iter().flat_map(|g| g.columns());
            let is_compressed = columns.any(|c| c.compression() != Compression::UNCOMPRESSED);
            assert_eq!(is_compressed, compress != Compress::None, "{name}");
        }
        assert!((1..30).contains(&rollups.len()), "{name}: {rollups:?}");
        let catalog = Catalog::load(&run).unwrap();
        assert_eq!(epochs(&catalog), (0..100).collect::<Vec<_>>(), "{name}");
        assert_eq!(catalog.num_files(), 100 * 32, "{name}");
    }
}

/// Whatever is too large for one roll-up becomes several, and those are left alone.
#[test]
fn the_number_of_commit_files_is_bounded_by_what_rollups_hold() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    // A record of 32 files has more than 4 KiB: 16 of them, which are due, are too many.
    publisher.max_rollup_bytes = 64 * 1024;
    for epoch in 0..100 {
        let group = wide_group(&publisher, epoch, 32);
        let record = publisher.publish(group).unwrap();
        let bytes = record.encode().len();
        assert!((4200..8192).contains(&bytes), "{bytes}");
        // At least 8 records a roll-up and what remained, twice 16 at most; and up to 15 that
        // are not due yet.
        let bound = 2 * (epoch as usize / 16) + 1 + 15;
        assert!(commit_files(&run).len() <= bound, "epoch {epoch}");
    }
    publisher.seal().unwrap();
    let files = commit_files(&run);
    assert!(files.len() <= 2 * 7, "{files:?}");
    // The last may fit into no roll-up with the one before.
    let records = files.iter().filter(|file| file.ends_with(".json"));
    assert!(records.count() <= 1, "{files:?}");
    let catalog = Catalog::load(&run).unwrap();
    assert_eq!(epochs(&catalog), (0..100).collect::<Vec<_>>());
    assert_eq!(catalog.num_files(), 100 * 32);
}

#[test]
fn no_record_is_deleted_under_a_rollup_whose_name_may_be_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, run) = create_on_sim(dir.path(), true);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let publish = |publisher: &mut Publisher, epoch| {
        let group = group(publisher, epoch).unwrap();
        publisher.publish(group).unwrap();
    };
    for epoch in 0..ROLLUP_FANOUT as i32 {
        publish(&mut publisher, epoch);
    }
    assert_eq!(
        commit_files(&run).len(),
        1,
        "they are deleted if all goes well"
    );

    let records = |from: u64, to: u64| (from..to).map(|n| Segment::record(n).file_name());
    for epoch in 16..31 {
        publish(&mut publisher, epoch);
    }
    // The one before the records are deleted.
    let sync = Point::of(Operation::SyncDirs, Subject::Rollup);
    sim.fail_at(sync, 0, Fault::Io);
    assert!(!publisher.are_rollups_in_doubt());
    publish(&mut publisher, 31);
    assert!(sim.stop_failing());
    assert!(publisher.are_rollups_in_doubt());
    // A sync that succeeds later proves nothing.
    for epoch in 32..50 {
        publish(&mut publisher, epoch);
    }
    publisher.seal().unwrap();
    let files = commit_files(&run);
    assert!(files.contains(&Segment::rollup(16, 31).file_name()));
    assert!(
        records(16, 50).all(|record| files.contains(&record)),
        "{files:?}"
    );
    assert_eq!(epochs(&assert_whole(&run)), (0..50).collect::<Vec<_>>());
}

/// A roll-up of which nobody knows whose it is, and that has something else in the place of a record.
#[test]
fn a_record_goes_only_for_a_roll_up_that_has_it() {
    for is_trusted in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
        let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
        let mut rollup = rollup::Encoder::try_new(Compress::Auto).unwrap();
        let mut previous = None;
        for epoch in 0..6 {
            let group = group(&publisher, epoch).unwrap();
            let mut record = publisher.publish(group).unwrap();
            if epoch == 4 {
                record.captures.clear();
            }
            record.previous_crc32c = previous.or(record.previous_crc32c);
            let crc32c = record.encode_with_checksum().1;
            rollup.push(&record, Some(crc32c)).unwrap();
            previous = Some(crc32c);
        }
        let mut bytes = rollup.finish().unwrap();
        if !is_trusted {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        let name = Segment::rollup(0, 5).file_name();
        std::fs::write(run.commits_dir().join(&name), bytes).unwrap();
        let sealed = publisher.seal();
        let files = commit_files(&run);
        match is_trusted {
            true => {
                sealed.unwrap();
                // The next one follows what the roll-up has in its place, and so is another, too.
                let kept = [4, 5].map(|number| Segment::record(number).file_name());
                assert_eq!(files, [&kept[..], &[name][..]].concat());
                // A roll-up that is made of it has no more of them.
                let mut next = Publisher::try_new(&run, Rank(0), None).unwrap();
                for epoch in 6..12 {
                    let group = group(&next, epoch).unwrap();
                    next.publish(group).unwrap();
                }
                next.seal().unwrap();
                let wider = Segment::rollup(0, 11).file_name();
                assert_eq!(commit_files(&run), [&kept[..], &[wider][..]].concat());
            }
            false => {
                assert!(sealed.is_err());
                assert_eq!(files.len(), 7);
            }
        }
    }
}
