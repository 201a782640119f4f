use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::catalog::{Catalog, Ending, Session};
use crate::disk::{Fault, Operation, Point, SimDisk, Subject};
use crate::id::{Epoch, Generation, LayerLabel, Step};
use crate::part::PartPath;
use crate::run::tests::info;
use crate::store::LocalStore;
use crate::table::Table;

pub(super) fn part(epoch: i32, table: Table) -> PartPath {
    PartPath {
        table,
        epoch: Epoch(epoch),
        layer: table
            .has_layer()
            .then(|| LayerLabel::try_new("L_output").unwrap()),
        step: Step(24 * i64::from(epoch + 1)),
        rank: Rank(0),
        generation: Generation(0),
        sequence: 0,
        nonce: None,
    }
}

/// A capture of two files; their bytes say where they belong.
pub(super) fn group(publisher: &Publisher, epoch: i32) -> io::Result<Group> {
    let mut parts = Vec::new();
    for table in [Table::Weights, Table::Metrics] {
        let path = part(epoch, table);
        let bytes = path.to_string();
        parts.push(publisher.staging().stage(path, bytes.as_bytes(), 2)?);
    }
    Ok(Group {
        captures: vec![CaptureId {
            epoch: Epoch(epoch),
            step: Step(24 * i64::from(epoch + 1)),
        }],
        parts,
        retired: Vec::new(),
    })
}

/// Where a publisher's files are staged.
fn staging_dir(publisher: &Publisher) -> PathBuf {
    let nonce = publisher.staging().nonce().as_str();
    publisher.run.staging_dir().join(nonce)
}

pub(super) fn epochs(catalog: &Catalog) -> Vec<i32> {
    catalog.captures().iter().map(|c| c.id.epoch.0).collect()
}

/// Every committed file is there, whole, and named once.
pub(super) fn assert_whole(run: &RunDir) -> Catalog {
    let catalog = Catalog::load(run).unwrap();
    let mut paths = std::collections::HashSet::new();
    for file in catalog.files() {
        let bytes = fs::read(run.path().join(file.path)).unwrap();
        assert_eq!(bytes.len() as u64, file.bytes, "{}", file.path);
        assert_eq!(crate::Crc32c::of(&bytes), file.crc32c, "{}", file.path);
        assert!(paths.insert(file.path.to_owned()), "{} twice", file.path);
    }
    assert_eq!(paths.len(), 2 * catalog.captures().len());
    catalog
}

pub(super) fn commit_files(run: &RunDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(run.commits_dir())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_published_capture_is_in_place_committed_and_named_once() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut publisher =
        Publisher::try_new(&run, Rank(0), Some(serde_json::json!({"lr": 0.5}))).unwrap();
    for epoch in 0..3 {
        let group = group(&publisher, epoch).unwrap();
        assert_eq!(publisher.publish(group).unwrap().number, epoch as u64);
    }
    let catalog = assert_whole(&run);
    assert_eq!(epochs(&catalog), [0, 1, 2]);
    let session = Session {
        rank: Rank(0),
        config: serde_json::json!({"lr": 0.5}),
    };
    assert_eq!(catalog.sessions(), [session]);
    let file = catalog.file(2);
    assert_eq!(
        file.path,
        "weights/epoch=1/layer=L_output/step-48-r0-g0.parquet"
    );
    assert_eq!(
        (file.step(), file.rows, file.layer),
        (Some(48), 2, Some("L_output"))
    );
    assert_eq!(catalog.select("weights", |epoch, _| epoch == 2), [4]);

    publisher.seal().unwrap();
    drop(publisher);
    assert!(!run.staging_dir().exists());
}

pub(super) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A disk of which the file system can be synced at once, or each file by itself.
pub(super) fn sim(root: &Path, has_syncfs: bool) -> SimDisk {
    let sim = SimDisk::over(root).unwrap();
    match has_syncfs {
        true => sim,
        false => sim.without_syncfs(),
    }
}

/// A run on such a disk.
pub(super) fn create_on_sim(root: &Path, has_syncfs: bool) -> (SimDisk, RunDir) {
    let sim = sim(root, has_syncfs);
    let run = RunDir::create_on(sim.disk(), &root.join("run"), info()).unwrap();
    (sim, run)
}

pub(super) const LINK: Point = Point::of(Operation::Link, Subject::Record);
pub(super) const LIST: Point = Point::of(Operation::List, Subject::Commits);

/// Copies a run in which the next publish rolls up, lets one operation of two publishes fail, the
/// first to the last in turn, and looks at what is left.
fn assert_whole_after_every_failure(has_syncfs: bool, fault: Fault) {
    let dir = tempfile::tempdir().unwrap();
    let before = RunDir::create(&dir.path().join("before"), info()).unwrap();
    let mut publisher = Publisher::try_new(&before, Rank(0), None).unwrap();
    let first = ROLLUP_FANOUT as i32 - 1;
    for epoch in 0..first {
        let group = group(&publisher, epoch).unwrap();
        publisher.publish(group).unwrap();
    }
    drop(publisher);

    let (mut failures, mut num_in_doubt) = (0, 0);
    for n in 0.. {
        assert!(n < 1000, "the loop must end");
        let path = dir.path().join(n.to_string());
        copy_dir(before.path(), &path);
        let sim = sim(&path, has_syncfs);
        let run = RunDir::open_on(sim.disk(), &path).unwrap();
        let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
        sim.fail_after(n, fault);
        let (mut published, mut may_be_more) = (first as usize, false);
        for epoch in first..first + 2 {
            match group(&publisher, epoch).map(|group| publisher.publish(group)) {
                Ok(Ok(_)) => published += 1,
                Ok(Err(error)) => {
                    may_be_more = matches!(error, PublishError::InDoubt { .. });
                    num_in_doubt += u32::from(may_be_more);
                    break;
                }
                Err(_) => break,
            }
        }
        // Of one that died no destructor does anything.
        drop(publisher);
        let failed = sim.stop_failing();
        let run = RunDir::open(&path).unwrap();
        let seen = epochs(&assert_whole(&run));
        assert_eq!(
            seen,
            (0..seen.len() as i32).collect::<Vec<_>>(),
            "in order, none twice"
        );
        // What was said to be published is, and what was said not to be is not; one capture more may
        // be, if that was said to be in doubt.
        assert!(
            seen.len() == published || (may_be_more && seen.len() == published + 1),
            "{n}: {published} {may_be_more} {seen:?}"
        );

        // The run goes on where it stopped.
        let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
        let next = group(&publisher, 100).unwrap();
        publisher.publish(next).unwrap();
        assert_eq!(epochs(&assert_whole(&run)).last(), Some(&100));
        fs::remove_dir_all(&path).unwrap();
        if !failed {
            break;
        }
        failures += 1;
    }
    // Of each publish: two files created and written, the record likewise, three barriers, two
    // renames, the link and the listing; and the directories.
    assert!(failures >= 2 * 13, "only {failures} operations failed");
    // The listing and the barrier after the link, twice.
    assert!(num_in_doubt >= 4, "only {num_in_doubt} were in doubt");
}

/// To the disk, a process that dies is one whose next operation never happens.
#[test]
fn a_crash_at_every_step_leaves_whole_captures_or_nothing() {
    for has_syncfs in [true, false] {
        assert_whole_after_every_failure(has_syncfs, Fault::Crash);
    }
}

#[test]
fn one_operation_that_fails_leaves_whole_captures_or_nothing() {
    for has_syncfs in [true, false] {
        assert_whole_after_every_failure(has_syncfs, Fault::Io);
    }
}

/// The operations of a publish of the capture of epoch 0 of [`group`], in which `.staging/<nonce>`
/// is `S`; and with what follows from a barrier as one word.
fn operations_of_a_publish(has_syncfs: bool) -> (Vec<String>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (sim, run) = create_on_sim(dir.path(), has_syncfs);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let num_before = sim.num_operations();
    let group = group(&publisher, 0).unwrap();
    publisher.publish(group).unwrap();
    let staging = staging_dir(&publisher);
    let operations: Vec<String> = sim
        .operations()
        .into_iter()
        .skip(num_before)
        .map(|(Point { operation, .. }, path)| {
            let operation = match operation.is_sync() {
                true => "sync".to_owned(),
                false => format!("{operation:?}"),
            };
            let path = match path.strip_prefix(&staging) {
                Ok(staged) => Path::new("S").join(staged),
                Err(_) => path.strip_prefix(run.path()).unwrap_or(&path).to_owned(),
            };
            format!("{operation} {}", path.display())
                .trim_end()
                .to_owned()
        })
        .collect();
    let mut order: Vec<String> = operations
        .iter()
        .map(|operation| match operation.starts_with("sync") {
            true => "barrier".to_owned(),
            false => operation.clone(),
        })
        .collect();
    order.dedup();
    (operations, order)
}

const WEIGHTS: &str = "weights/epoch=0/layer=L_output";

#[test]
fn barriers_stand_between_writing_renaming_and_linking() {
    for has_syncfs in [true, false] {
        let (_, order) = operations_of_a_publish(has_syncfs);
        let by_file = (!has_syncfs).then_some("barrier");
        let mut expected = Vec::new();
        for staged in ["0", "1", "2"] {
            expected.push(format!("CreateFile S/{staged}"));
            expected.push(format!("Write S/{staged}"));
            expected.extend(by_file.map(str::to_owned));
        }
        if by_file.is_none() {
            expected.push("barrier".to_owned());
        }
        expected.extend(
            [
                "CreateDir weights",
                "CreateDir weights/epoch=0",
                &format!("CreateDir {WEIGHTS}"),
                &format!("Rename {WEIGHTS}/step-24-r0-g0.parquet"),
                "CreateDir metrics",
                "CreateDir metrics/epoch=0",
                "Rename metrics/epoch=0/step-24-r0-g0.parquet",
                "barrier",
                "Link commits/00000000000000000000.json",
                // The record has its number by a link: its first name goes. A part has left its own.
                "RemoveFile S/2",
                "List commits",
                "barrier",
            ]
            .map(str::to_owned),
        );
        assert_eq!(order, expected);
    }
}

/// What stands between barriers, each with what it syncs.
fn synced(operations: &[String]) -> Vec<Vec<&str>> {
    let mut barriers: Vec<Vec<&str>> = vec![Vec::new()];
    for operation in operations {
        match operation.strip_prefix("sync") {
            Some(path) => barriers.last_mut().unwrap().push(path.trim_start()),
            None if barriers.last().unwrap().is_empty() => {}
            None => barriers.push(Vec::new()),
        }
    }
    barriers
}

/// Every directory with a new entry; the run's is "".
const NEW_ENTRIES: [&str; 6] = [
    "",
    "metrics",
    "metrics/epoch=0",
    "weights",
    "weights/epoch=0",
    WEIGHTS,
];

/// A file is synced as soon as it is written, while the descriptor that wrote it is open: one that is
/// opened later may not be told what failed in between.
#[test]
fn where_each_file_is_synced_none_is_left_out() {
    let (operations, _) = operations_of_a_publish(false);
    assert_eq!(
        synced(&operations),
        [
            vec!["S/0"],
            vec!["S/1"],
            vec!["S/2"],
            NEW_ENTRIES.to_vec(),
            vec!["commits"]
        ]
    );
}

#[test]
fn a_part_that_cannot_be_synced_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, run) = create_on_sim(dir.path(), false);
    let publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let sync = Point::of(Operation::SyncFile, Subject::StagedPart);
    sim.fail_at(sync, 0, Fault::Io);
    let error = group(&publisher, 0).unwrap_err();
    assert!(sim.stop_failing());
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    let left = fs::read_dir(staging_dir(&publisher)).unwrap().count();
    assert_eq!(left, 0);
}

/// Files that were written before each is synced by itself have no other way than the file system's.
#[test]
fn what_was_staged_before_barriers_became_slow_is_synced_as_it_was_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, run) = create_on_sim(dir.path(), true);
    let writer = Arc::new(
        LocalStore::on(sim.disk(), run.path())
            .begin_writing()
            .unwrap(),
    );
    let mut publisher = Publisher::with_writer(&run, Rank(0), None, false, writer.clone()).unwrap();
    let before = group(&publisher, 0).unwrap();
    writer.sync_by_file();
    let num_before = sim.num_operations();
    publisher.publish(before).unwrap();
    let after = group(&publisher, 1).unwrap();
    publisher.publish(after).unwrap();
    let operations = sim.operations().into_iter().skip(num_before);
    let order: Vec<Operation> = operations.map(|(point, _)| point.operation).collect();
    let all = Operation::SyncFileSystem;
    assert_eq!(order.iter().filter(|o| **o == all).count(), 1);
    let first = order.iter().position(|o| *o == all).unwrap();
    let renamed = order.iter().position(|o| *o == Operation::Rename).unwrap();
    assert!(first < renamed, "{order:?}");
    assert_eq!(epochs(&assert_whole(&run)), [0, 1]);
}

#[test]
fn a_name_in_use_is_never_given_other_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let first = group(&publisher, 0).unwrap();
    publisher.publish(first).unwrap();
    let again = group(&publisher, 0).unwrap();
    let error = publisher.publish(again).unwrap_err();
    assert!(
        matches!(&error, PublishError::NotCommitted(PublishStepError::Io { source, .. })
        if source.kind() == io::ErrorKind::AlreadyExists),
        "{error}"
    );
    assert_eq!(epochs(&assert_whole(&run)), [0]);
}

#[test]
fn writers_that_meet_take_the_next_number() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let (num_writers, each) = (4, 12);
    std::thread::scope(|scope| {
        for writer in 0..num_writers {
            let run = &run;
            scope.spawn(move || {
                let mut publisher = Publisher::try_new(run, Rank(writer), None).unwrap();
                for i in 0..each {
                    let group = group(&publisher, writer * 100 + i).unwrap();
                    publisher.publish(group).unwrap();
                }
            });
        }
    });
    let catalog = assert_whole(&run);
    let numbers: Vec<u64> = catalog.commits().iter().map(|c| c.number).collect();
    assert_eq!(
        numbers,
        (0..(num_writers * each) as u64).collect::<Vec<_>>()
    );
    let mut seen = epochs(&catalog);
    seen.sort_unstable();
    let expected: Vec<i32> = (0..num_writers)
        .flat_map(|w| (0..each).map(move |i| w * 100 + i))
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_record_below_a_rollup_is_withdrawn_and_numbered_anew() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut slow = Publisher::try_new(&run, Rank(1), None).unwrap();
    let mut fast = Publisher::try_new(&run, Rank(0), None).unwrap();
    for epoch in 0..20 {
        let group = group(&fast, epoch).unwrap();
        fast.publish(group).unwrap();
    }
    // The slow writer still believes that number 0 is next, and its file is gone.
    assert_eq!(commit_files(&run).len(), 5);
    let late = group(&slow, 50).unwrap();
    assert_eq!(slow.publish(late).unwrap().number, 20);
    assert_eq!(
        epochs(&assert_whole(&run)),
        (0..20).chain([50]).collect::<Vec<_>>()
    );
}

/// Another writer rolls up between the link of a record and the look for roll-ups.
#[test]
fn a_record_that_was_rolled_up_at_once_is_committed_once() {
    for is_removed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (sim, run) = create_on_sim(dir.path(), true);
        let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
        for epoch in 0..5 {
            let group = group(&publisher, epoch).unwrap();
            publisher.publish(group).unwrap();
        }
        let mut other = Publisher::try_new(&run, Rank(1), None).unwrap();
        sim.before(LIST, move || {
            if is_removed {
                other.seal().unwrap();
            } else {
                let live = other.list().unwrap().live;
                other.write_rollup(&live).unwrap();
            }
        });
        let group = group(&publisher, 5).unwrap();
        assert_eq!(publisher.publish(group).unwrap().number, 5);
        let there = commit_files(&run).contains(&Segment::record(5).file_name());
        assert_eq!(there, !is_removed);
        assert_eq!(epochs(&assert_whole(&run)), [0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn what_a_dead_writer_left_is_neither_seen_nor_touched() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let left = run.staging_dir().join("0123456789abcdef/0");
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::write(&left, "half").unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let group = group(&publisher, 0).unwrap();
    publisher.publish(group).unwrap();
    drop(publisher);
    assert_eq!(epochs(&assert_whole(&run)), [0]);
    assert_eq!(fs::read_to_string(left).unwrap(), "half");
}

/// The link of the first record happens, and is then told as a failure: the name is taken, by itself.
fn link_first(sim: &SimDisk, publisher: &Publisher, number: u64) {
    // The record is staged under the name after those that are there.
    let staging = staging_dir(publisher);
    let num_staged = fs::read_dir(&staging).unwrap().count();
    let staged = staging.join(num_staged.to_string());
    let path = publisher
        .run
        .commits_dir()
        .join(Segment::record(number).file_name());
    sim.before(LINK, move || fs::hard_link(staged, path).unwrap());
}

#[test]
fn a_record_that_was_linked_before_its_link_failed_is_committed_once() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, run) = create_on_sim(dir.path(), true);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let staged = group(&publisher, 0).unwrap();
    link_first(&sim, &publisher, 0);
    assert_eq!(publisher.publish(staged).unwrap().number, 0);
    assert_eq!(commit_files(&run), ["00000000000000000000.json"]);
    assert_eq!(epochs(&assert_whole(&run)), [0]);
}

/// Whether a name that is taken is one's own cannot be told if it cannot be read: under another number
/// the group could be there twice.
#[test]
fn a_record_that_cannot_be_read_back_is_in_doubt_and_never_committed_again() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, run) = create_on_sim(dir.path(), true);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let staged = group(&publisher, 0).unwrap();
    link_first(&sim, &publisher, 0);
    sim.fail_at(Point::of(Operation::Read, Subject::Record), 0, Fault::Io);
    let error = publisher.publish(staged).unwrap_err();
    assert!(
        matches!(error, PublishError::InDoubt { number: 0, .. }),
        "{error}"
    );
    assert_eq!(commit_files(&run), ["00000000000000000000.json"]);
    assert_eq!(epochs(&assert_whole(&run)), [0]);
}

/// As where a disk fails while a link is written down: that it failed does not say that it is not there.
#[test]
fn a_link_that_failed_and_is_there_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, run) = create_on_sim(dir.path(), true);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let staged = group(&publisher, 0).unwrap();
    link_first(&sim, &publisher, 0);
    sim.fail_at(LINK, 0, Fault::Io);
    publisher.publish(staged).unwrap();
    assert_eq!(epochs(&assert_whole(&run)), [0]);

    let not_linked = group(&publisher, 1).unwrap();
    sim.fail_at(LINK, 0, Fault::Io);
    let error = publisher.publish(not_linked).unwrap_err();
    assert!(matches!(error, PublishError::NotCommitted(_)), "{error}");
    assert_eq!(epochs(&assert_whole(&run)), [0]);
    assert!(
        !run.path()
            .join("weights/epoch=1/layer=L_output/step-48-r0-g0.parquet")
            .exists()
    );
}

#[test]
fn a_failure_after_the_commit_says_that_it_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, run) = create_on_sim(dir.path(), true);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let first = group(&publisher, 0).unwrap();
    publisher.publish(first).unwrap();
    let mut second = group(&publisher, 1).unwrap();
    second.retired = vec!["metrics/epoch=0/step-24-r0-g0.parquet".to_owned()];
    let record = publisher.publish(second).unwrap();
    let operations = sim.operations();
    assert_eq!(record.number, 1);
    let removed = Point::of(Operation::RemoveFile, Subject::Retired);
    let removed = operations.iter().position(|o| o.0 == removed).unwrap();
    // The names of retired files are gone for good before it returns.
    let mut later = operations[removed..].iter();
    assert!(later.any(|(point, _)| point.operation.is_sync()));

    let mut third = group(&publisher, 2).unwrap();
    third.retired = vec!["metrics/epoch=1/step-48-r0-g0.parquet".to_owned()];
    let sync = Point::of(Operation::SyncFileSystem, Subject::Retired);
    sim.fail_at(sync, 0, Fault::Io);
    let error = publisher.publish(third).unwrap_err();
    let PublishError::NotCleanedUp { record, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(record.number, 2);
    let text = error.to_string();
    assert!(text.starts_with("commit 2 is part of the run"), "{text}");
    assert_eq!(epochs(&Catalog::load(&run).unwrap()), [0, 1, 2]);
}

/// A writer that ends removes `.staging/` while another makes its own directory in it.
#[test]
fn a_staging_directory_is_made_while_the_one_above_it_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, run) = create_on_sim(dir.path(), true);
    let above = run.staging_dir();
    fs::create_dir(&above).unwrap();
    let create = Point::of(Operation::CreateDir, Subject::Staging);
    sim.before(create, move || fs::remove_dir(above).unwrap());
    let publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    assert!(staging_dir(&publisher).is_dir());
}

/// All records of a run that were not rolled up, in order.
fn records(run: &RunDir) -> Vec<CommitRecord> {
    let files = commit_files(run).into_iter();
    let files = files.filter(|name| name.ends_with(".json"));
    let read = |name: String| fs::read(run.commits_dir().join(name)).unwrap();
    files
        .map(|name| CommitRecord::decode(&read(name)).unwrap())
        .collect()
}

#[test]
fn every_record_names_the_one_before_whoever_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut one = Publisher::try_new(&run, Rank(0), None).unwrap();
    let mut other = Publisher::for_derived(&run).unwrap();
    let mut epoch = 0;
    // The other's first number is taken by then; both then write in turns.
    for _ in 0..3 {
        for publisher in [&mut one, &mut other] {
            let group = group(publisher, epoch).unwrap();
            publisher.publish(group).unwrap();
            epoch += 1;
        }
    }
    drop((one, other));
    let mut next = Publisher::try_new(&run, Rank(0), None).unwrap();
    let group = group(&next, epoch).unwrap();
    next.publish_last(group).unwrap();
    let records = records(&run);
    assert_eq!(records[0].previous_crc32c, None);
    for pair in records.windows(2) {
        let (_, before) = pair[0].encode_with_checksum();
        assert_eq!(pair[1].previous_crc32c, Some(before), "{}", pair[1].number);
    }
    let run_file = fs::read(run.path().join("run.json")).unwrap();
    for record in &records {
        assert_eq!(record.run_id.as_ref(), Some(&run.info().run_id));
        assert_eq!(record.run_crc32c, Some(crate::Crc32c::of(&run_file)));
    }
    let finals: Vec<bool> = records.iter().map(|record| record.is_final).collect();
    assert_eq!(finals.iter().filter(|is_final| **is_final).count(), 1);
    assert_eq!(finals.last(), Some(&true));
}

/// Of records that are rolled up the last one's checksum is kept.
#[test]
fn a_session_after_a_roll_up_goes_on_with_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let mut last = None;
    for epoch in 0..20 {
        let group = group(&publisher, epoch).unwrap();
        last = Some(publisher.publish(group).unwrap());
    }
    publisher.seal().unwrap();
    drop(publisher);
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let group = group(&publisher, 20).unwrap();
    let record = publisher.publish(group).unwrap();
    let (_, before) = last.unwrap().encode_with_checksum();
    assert_eq!(record.previous_crc32c, Some(before));
    assert_eq!(Catalog::load(&run).unwrap().captures().len(), 21);
}

#[test]
fn a_record_that_was_replaced_by_another_whole_one_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    for epoch in 0..3 {
        let group = group(&publisher, epoch).unwrap();
        publisher.publish(group).unwrap();
    }
    let replaced = CommitRecord {
        captures: Vec::new(),
        files: Vec::new(),
        ..records(&run).swap_remove(1)
    };
    let name = Segment::record(1).file_name();
    fs::write(run.commits_dir().join(name), replaced.encode()).unwrap();
    let error = Catalog::load(&run).unwrap_err().to_string();
    assert!(error.contains("00000000000000000002.json"), "{error}");
}

#[test]
fn a_run_json_that_was_changed_is_noticed_by_readers_and_writers() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let first = group(&publisher, 0).unwrap();
    publisher.publish(first).unwrap();
    drop(publisher);
    let path = run.path().join("run.json");
    let json = fs::read_to_string(&path).unwrap();
    assert!(json.contains("\"seed\": 42"), "{json}");
    fs::write(&path, json.replace("\"seed\": 42", "\"seed\": 43")).unwrap();
    let changed = RunDir::open(run.path()).unwrap();
    let error = Catalog::load(&changed).unwrap_err();
    assert!(
        matches!(error, ReadCommitsError::OtherRunFile { .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("run.json was changed or damaged"),
        "{error}"
    );
    // Nothing is committed under it, so that what is wrong stays known.
    let mut publisher = Publisher::try_new(&changed, Rank(0), None).unwrap();
    let next = group(&publisher, 1).unwrap();
    publisher.publish(next).unwrap_err();
    fs::write(&path, json).unwrap();
    let restored = RunDir::open(run.path()).unwrap();
    assert_eq!(Catalog::load(&restored).unwrap().captures().len(), 1);
}

#[test]
fn a_run_is_finished_once_each_rank_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let two = crate::RunInfo {
        world_size: 2,
        ..info()
    };
    let run = RunDir::create(&dir.path().join("run"), two).unwrap();
    let ending = || Catalog::load(&run).unwrap().ending(2);
    assert_eq!(ending(), Ending::Unknown);
    let session = || Some(serde_json::json!({}));
    let mut ranks = [0, 1].map(|rank| Publisher::try_new(&run, Rank(rank), session()).unwrap());
    let first = group(&ranks[0], 0).unwrap();
    ranks[0].publish_last(first).unwrap();
    assert_eq!(ending(), Ending::NotFinished);
    ranks[1]
        .publish(Group {
            captures: vec![],
            ..Group::default()
        })
        .unwrap();
    assert_eq!(ending(), Ending::NotFinished);
    ranks[1].publish_last(Group::default()).unwrap();
    assert_eq!(ending(), Ending::Finished);
    // Its last record is gone, and with it what said so.
    fs::remove_file(run.commits_dir().join(Segment::record(2).file_name())).unwrap();
    assert_eq!(ending(), Ending::NotFinished);
}

#[test]
fn a_catalog_is_read_on_over_roll_ups() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    let told = |catalog: &Catalog| {
        let files = catalog.files().map(|file| format!("{file:?}"));
        (epochs(catalog), files.collect::<Vec<_>>())
    };
    let mut catalog = Catalog::load(&run).unwrap();
    let mut num_rollups = 0;
    for epoch in 0..2 * ROLLUP_FANOUT as i32 + 2 {
        let group = group(&publisher, epoch).unwrap();
        publisher.publish(group).unwrap();
        // Several records at once as well.
        if epoch % 3 != 0 {
            let later = catalog.reload(&run).unwrap();
            catalog = later.expect("records came");
            assert_eq!(told(&catalog), told(&Catalog::load(&run).unwrap()));
            assert!(catalog.reload(&run).unwrap().is_none());
        }
        num_rollups += fs::read_dir(run.commits_dir())
            .unwrap()
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().starts_with("checkpoint-")
            })
            .count();
    }
    assert!(num_rollups > 0, "records were rolled up meanwhile");
}
