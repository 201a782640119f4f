use std::fs;

use super::*;
use crate::commit::tests::record;
use crate::history::Segment;

#[test]
fn retired_files_are_no_longer_part_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let commits = dir.path().join(crate::COMMITS_DIR);
    fs::create_dir(&commits).unwrap();
    for number in 0..3 {
        // Record 2 retires a file of record 0.
        fs::write(
            commits.join(Segment::record(number).file_name()),
            record(number, 3).encode(),
        )
        .unwrap();
    }
    let store = crate::store::LocalStore::new(dir.path());
    let log = Log::in_store(Arc::new(store), None);
    let catalog = Catalog::load_log(&log).unwrap();
    assert_eq!(catalog.num_files(), 8);
    assert!(
        catalog
            .files()
            .all(|f| f.path != "weights/epoch=0/layer=l1/step-1-r0-g0.parquet")
    );
    let file = catalog.file(1);
    assert_eq!(
        (file.epoch, file.layer, file.rows, file.bytes),
        (0, Some("l2"), 2, 102)
    );
    assert_eq!(file.crc32c, Crc32c::of(&[2]));
    assert_eq!(
        catalog.select("weights", |epoch, layer| epoch > 0 && layer == Some("l2")),
        [4, 7]
    );
    assert!(catalog.select("gradients", |_, _| true).is_empty());
}

/// A record by `rank` of one capture, with one file of it and one of `metrics`.
fn by_rank(number: u64, rank: i32, epoch: i32) -> CommitRecord {
    let mut record = record(number, 2);
    record.rank = Rank(rank);
    let step = 24 * (i64::from(epoch) + 1);
    record.captures[0] = CaptureId {
        epoch: crate::Epoch(epoch),
        step: crate::Step(step),
    };
    for (file, table) in record.files.iter_mut().zip(["metrics", "weights"]) {
        file.epoch = crate::Epoch(epoch);
        let path = format!("{table}/epoch={epoch}/layer=l/step-{step}-r{rank}-g0.parquet");
        file.path = crate::RunPath::try_from(path).unwrap();
    }
    record
}

fn run_of(records: &[CommitRecord], world_size: u32) -> (tempfile::TempDir, RunDir) {
    let dir = tempfile::tempdir().unwrap();
    let info = crate::RunInfo {
        world_size,
        ..crate::run::tests::info()
    };
    let run = RunDir::create(&dir.path().join("run"), info).unwrap();
    for record in records {
        let name = Segment::record(record.number).file_name();
        fs::write(run.commits_dir().join(name), record.encode()).unwrap();
    }
    (dir, run)
}

fn ids(catalog: &Catalog) -> Vec<(i32, u64)> {
    let captures = catalog.captures().iter();
    captures.map(|c| (c.id.epoch.0, c.commit)).collect()
}

#[test]
fn a_capture_is_whole_when_every_rank_has_committed_its_part() {
    let records = [
        by_rank(0, 0, 0),
        by_rank(1, 0, 1),
        by_rank(2, 1, 0),
        by_rank(3, 2, 0),
        by_rank(4, 1, 1),
    ];
    let (_dir, run) = run_of(&records, 3);
    let catalog = Catalog::load(&run).unwrap();
    // Epoch 1 lacks rank 2.
    assert_eq!(ids(&catalog), [(0, 3)]);
    assert_eq!(catalog.num_files(), 6);
    assert!(catalog.files().all(|file| file.epoch == 0));
    assert_eq!(catalog.partial_captures(), []);

    let all = Catalog::load_with_partial(&run).unwrap();
    assert_eq!(ids(&all), [(0, 3)]);
    assert_eq!(all.num_files(), 10);
    let id = CaptureId {
        epoch: crate::Epoch(1),
        step: crate::Step(48),
    };
    let ranks = vec![Rank(0), Rank(1)];
    assert_eq!(all.partial_captures(), [PartialCapture { id, ranks }]);
}

#[test]
fn a_capture_whose_files_were_all_retired_is_none() {
    let mut records: Vec<_> = (0..3).map(|n| by_rank(n, 0, n as i32)).collect();
    // One of two files of epoch 0, both of epoch 1.
    records[2].retired = vec![
        records[0].files[0].path.clone(),
        records[1].files[0].path.clone(),
        records[1].files[1].path.clone(),
    ];
    let (_dir, run) = run_of(&records, 1);
    assert_eq!(ids(&Catalog::load(&run).unwrap()), [(0, 0), (2, 2)]);
}

/// What training resumes from is retired by the next of its kind; the captures are not.
#[test]
fn a_capture_outlives_what_training_resumes_from() {
    let mut first = by_rank(0, 0, 0);
    for file in &mut first.files {
        let (_, below) = file.path.split_once('/').unwrap();
        file.path = crate::RunPath::try_from(format!("resume/{below}")).unwrap();
        file.table = Table::Resume.into();
    }
    let mut second = by_rank(1, 0, 1);
    second.retired = first.files.iter().map(|file| file.path.clone()).collect();
    let (_dir, run) = run_of(&[first, second], 1);
    assert_eq!(ids(&Catalog::load(&run).unwrap()), [(0, 0), (1, 1)]);
}

#[test]
fn what_is_in_doubt_and_used_is_told_apart_from_what_is_left_out() {
    let first = by_rank(0, 0, 0);
    let mut second = by_rank(1, 0, 1);
    second.previous_crc32c = Some(Crc32c(7));
    let mut third = by_rank(2, 0, 2);
    third.previous_crc32c = None;
    third.run_crc32c = Some(Crc32c(8));
    let (_dir, run) = run_of(&[first, second, third, by_rank(4, 0, 4)], 1);
    let (catalog, faults) = Catalog::salvage(&run).unwrap();
    let commits: Vec<u64> = catalog.commits().iter().map(|c| c.number).collect();
    assert_eq!(commits, [0, 1, 2, 4]);
    assert!(
        matches!(
            faults.left_out[..],
            [ReadCommitsError::Missing { number: 3, .. }]
        ),
        "{:?}",
        faults.left_out
    );
    assert!(
        matches!(
            faults.doubtful[..],
            [
                ReadCommitsError::BrokenChain { number: 1, .. },
                ReadCommitsError::OtherRunFile { number: 2, .. }
            ]
        ),
        "{:?}",
        faults.doubtful
    );
    assert_eq!(faults.iter().count(), 3);
}

#[test]
fn what_is_compressed_is_as_it_was_said_last() {
    let mut records = [by_rank(0, 0, 0), by_rank(1, 1, 0), by_rank(2, 0, 1)];
    records[0].session = Some(serde_json::json!({"compress": "none"}));
    records[1].session = None;
    // Of a version that knew nothing of it.
    records[2].session = Some(serde_json::json!({"lr": 0.1}));
    let (_dir, run) = run_of(&records, 2);
    let catalog = Catalog::load(&run).unwrap();
    for rank in [Some(Rank(0)), Some(Rank(1)), None] {
        let last = catalog.last_compress(run.info(), rank);
        assert_eq!(last, Some(Compress::None), "{rank:?}");
    }
    // A session that was killed before its first commit is in run.json alone.
    let (_dir, run) = run_of(&[], 1);
    let catalog = Catalog::load(&run).unwrap();
    assert_eq!(catalog.last_compress(run.info(), None), None);
    let mut info = run.info().clone();
    info.config = serde_json::json!({"compress": "size"});
    assert_eq!(catalog.last_compress(&info, None), Some(Compress::Size));
}

/// All that a catalog tells, and how far it was read.
fn told(catalog: &Catalog) -> String {
    let files: Vec<_> = catalog.files().collect();
    format!(
        "{files:#?} {:#?}",
        (
            (catalog.commits(), catalog.captures(), &catalog.parts),
            (catalog.partial_captures(), catalog.doubled_captures()),
            (catalog.sessions(), &catalog.recorded, &catalog.endings),
            (catalog.run_file, catalog.position),
        )
    )
}

#[test]
fn a_catalog_that_is_read_on_is_what_a_new_one_is() {
    for world_size in [1, 2] {
        let mut records: Vec<CommitRecord> = Vec::new();
        for number in 0..24_u64 {
            let rank = number as i32 % world_size as i32;
            let mut next = by_rank(number, rank, number as i32 / world_size as i32);
            next.retired.clear();
            // One file, or all of a capture; of what was retired before, too.
            for (every, files) in [(5, 0..1), (7, 0..2)] {
                if number % every == every - 1 {
                    let earlier = &records[number as usize / 2];
                    let paths = earlier.files[files].iter().map(|file| file.path.clone());
                    next.retired.extend(paths);
                }
            }
            records.push(next);
        }
        let (_dir, run) = run_of(&records[..1], world_size);
        let mut read_on = Catalog::load(&run).unwrap();
        let mut step_by_step = 0;
        for record in &records[1..] {
            let name = Segment::record(record.number).file_name();
            fs::write(run.commits_dir().join(name), record.encode()).unwrap();
            step_by_step += u32::from(read_on.position.is_some());
            let later = read_on.reload(&run).unwrap();
            read_on = later.expect("a record came");
            assert_eq!(told(&read_on), told(&Catalog::load(&run).unwrap()));
        }
        // Of two ranks one is often ahead: what is left out then is read again.
        match world_size {
            1 => assert_eq!(step_by_step, 23),
            _ => assert!((1..23).contains(&step_by_step), "{step_by_step}"),
        }
        assert!(read_on.num_files() < 48, "some files were retired");
    }
}

#[test]
fn what_was_read_before_is_read_again_only_where_it_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let sim = crate::disk::SimDisk::over(dir.path()).unwrap();
    let path = dir.path().join("run");
    let run = RunDir::create_on(sim.disk(), &path, crate::run::tests::info()).unwrap();
    let write = |record: &CommitRecord| {
        let name = Segment::record(record.number).file_name();
        fs::write(run.commits_dir().join(name), record.encode()).unwrap();
    };
    let records: Vec<_> = (0..9).map(|n| by_rank(n, 0, n as i32)).collect();
    records[..6].iter().for_each(write);
    let catalog = Catalog::load(&run).unwrap();
    // The records that are read meanwhile.
    let read = |work: &dyn Fn() -> Option<Catalog>| {
        let num_before = sim.num_operations();
        let later = work();
        let operations = sim.operations().into_iter().skip(num_before);
        let records = operations.filter_map(|(point, path)| {
            let is_read = point.operation == crate::disk::Operation::Read;
            is_read.then(|| path.file_stem().unwrap().to_string_lossy().into_owned())
        });
        let numbers: Vec<u64> = records.filter_map(|name| name.parse().ok()).collect();
        (later, numbers)
    };
    let (later, numbers) = read(&|| catalog.reload(&run).unwrap());
    assert!(later.is_none(), "nothing came");
    assert_eq!(numbers, [5]);
    records[6..8].iter().for_each(write);
    let (later, numbers) = read(&|| catalog.reload(&run).unwrap());
    let later = later.unwrap();
    assert_eq!((later.captures().len(), numbers), (8, vec![5, 6, 7]));
    // Another record in the place of the last that was read, as a repair may put it there.
    write(&by_rank(7, 0, 100));
    write(&records[8]);
    let (replaced, numbers) = read(&|| later.reload(&run).unwrap());
    assert_eq!(
        told(&replaced.unwrap()),
        told(&Catalog::load(&run).unwrap())
    );
    assert_eq!(
        numbers,
        [&[7, 8][..], &[0, 1, 2, 3, 4, 5, 6, 7, 8]].concat()
    );
    // One that cannot be read is told as it is by reading everything.
    fs::write(run.commits_dir().join(Segment::record(8).file_name()), "{").unwrap();
    let told = |read: Result<(), ReadCommitsError>| read.unwrap_err().to_string();
    let expected = told(Catalog::load(&run).map(drop));
    assert!(
        expected.contains("00000000000000000008.json cannot be trusted"),
        "{expected}"
    );
    assert_eq!(told(later.reload(&run).map(drop)), expected);
}
