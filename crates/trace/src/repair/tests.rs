mod doubtful;
mod elsewhere;
#[cfg(unix)]
mod links;
mod locks;
mod sessions;
mod split;
pub(crate) mod syncs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use arrow::array::RecordBatch;

use super::*;
use crate::catalog::{Catalog, Ending};
use crate::commit::{CaptureId, CommitRecord};
use crate::disk::{Choices, Disk, Fault, Point, SimDisk};
use crate::encode::{Compress, encode_part};
use crate::history::Segment;
use crate::id::{Generation, Rank};
use crate::part::{Part, PartPath};
use crate::part_file::PartFile;
use crate::part_reader::PartReader;
use crate::place::RUN_FILE;
use crate::publish::{Group, Publisher};
use crate::run::RunDir;
use crate::table::Table;
use crate::testing::{HIDDEN, OUTPUT, capture, capture_parts, create_run, part_path, resume_rows};

/// Publishes the captures of epochs, a commit each.
fn publish(publisher: &mut Publisher, epochs: std::ops::Range<i32>, generation: u32) {
    for epoch in epochs {
        let parts = capture_parts(epoch).into_iter().map(|(path, rows)| {
            let path = PartPath {
                generation: Generation(generation),
                ..path
            };
            stage(publisher, path, rows)
        });
        let group = Group {
            captures: vec![capture(epoch)],
            parts: parts.collect(),
            retired: Vec::new(),
        };
        publisher.publish(group).unwrap();
    }
}

fn stage(publisher: &Publisher, path: PartPath, rows: RecordBatch) -> crate::StagedPart {
    let num_rows = rows.num_rows() as u64;
    let output = publisher.staging().create_part(path.clone()).unwrap();
    let encoded = encode_part(&Part { path, rows }, Compress::Auto, output).unwrap();
    encoded.finish(num_rows).unwrap()
}

fn publisher(run: &RunDir) -> Publisher {
    Publisher::try_new(run, Rank(0), Some(serde_json::json!({"epochs": 1}))).unwrap()
}

/// Three captures, a commit each, and one that says that this is all.
pub(crate) fn recorded(path: &Path) -> RunDir {
    let run = create_run(path);
    let mut publisher = publisher(&run);
    publish(&mut publisher, 0..3, 0);
    publisher.publish_last(Group::default()).unwrap();
    run
}

fn record_path(run: &RunDir, number: u64) -> PathBuf {
    run.commits_dir().join(Segment::record(number).file_name())
}

/// What a reader is told: captures in order, and the rows of each file.
type Answer = (Vec<CaptureId>, BTreeMap<String, RecordBatch>);

pub(crate) fn answer(path: &Path) -> Answer {
    let run = RunDir::open(path).unwrap();
    let catalog = Catalog::load(&run).unwrap();
    assert_eq!(catalog.lacking_captures(run.info()), []);
    let files = catalog.files().map(|file| {
        let table: Table = file.table.parse().unwrap();
        let reader = PartReader::checked(table, &[], 8192).unwrap();
        let rows = reader
            .read_whole(&PartFile::committed(&run, &file))
            .unwrap();
        (file.path.to_owned(), rows)
    });
    let files = files.collect();
    let captures = catalog.captures().iter().map(|capture| capture.id);
    (captures.collect(), files)
}

/// The answer without the files of captures at an epoch.
fn without_capture((mut captures, mut files): Answer, epoch: i32) -> Answer {
    captures.retain(|id| *id != capture(epoch));
    files.retain(|path, _| {
        let part: PartPath = path.parse().unwrap();
        part.epoch.0 != epoch || !part.table.is_of_captures()
    });
    (captures, files)
}

pub(crate) fn ending(path: &Path) -> Ending {
    let run = RunDir::open(path).unwrap();
    Catalog::load(&run).unwrap().ending(1)
}

fn repaired(path: &Path) -> RepairReport {
    let report = repair(path, RepairOptions::default()).unwrap();
    // What is repaired is whole.
    let again = repair(path, RepairOptions::default()).unwrap();
    assert_eq!(again.actions, Vec::<String>::new());
    report
}

pub(crate) fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copied(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// All files below a directory but locks, and their bytes.
pub(crate) fn tree(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    crate::walk::visit_files(path, Path::new(""), crate::Links::Keep, &mut |below, _| {
        if below
            .extension()
            .is_none_or(|extension| extension != "lock")
        {
            files.insert(below.to_owned(), fs::read(path.join(below)).unwrap());
        }
    })
    .unwrap();
    files
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Turns several bytes over: no single one explains it.
fn scramble(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let num_bytes = bytes.len();
    for at in [num_bytes / 5, num_bytes / 3, num_bytes / 2] {
        bytes[at] ^= 0x15;
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_that_is_whole_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let before = tree(run.path());
    assert_eq!(repaired(run.path()), RepairReport::default());
    assert_eq!(tree(run.path()), before);
}

#[test]
fn a_byte_that_changed_in_a_record_is_put_right_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    for number in 0..4 {
        let path = record_path(&run, number);
        let bytes = fs::read(&path).unwrap();
        for at in (number as usize..bytes.len() - 1).step_by(97) {
            let copy = tempfile::tempdir().unwrap();
            copied(run.path(), copy.path());
            let below = path.strip_prefix(run.path()).unwrap();
            flip(&copy.path().join(below), at);
            let report = repaired(copy.path());
            assert_eq!(report.lost, Vec::<String>::new(), "byte {at} of {number}");
            assert_eq!(answer(copy.path()), whole, "byte {at} of {number}");
            assert_eq!(ending(copy.path()), Ending::Finished);
            // The damaged one is kept.
            let kept = copy.path().join(DAMAGED_DIR).join("1").join(below);
            assert_eq!(fs::read(kept).unwrap().len(), bytes.len());
        }
    }
}

#[test]
fn a_record_beyond_help_is_made_of_its_files() {
    for number in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let run = recorded(&dir.path().join("run"));
        let whole = answer(run.path());
        scramble(&record_path(&run, number));
        let report = repaired(run.path());
        assert_eq!(report.lost.len(), 1, "{:?}", report.lost);
        assert_eq!(answer(run.path()), whole);
        // Nobody can tell that it named nothing else.
        assert_eq!(ending(run.path()), Ending::NotFinished);
        assert!(
            report
                .actions
                .iter()
                .any(|action| action.starts_with("take back that everything was recorded")),
            "{:?}",
            report.actions
        );
        let run = RunDir::open(run.path()).unwrap();
        let catalog = Catalog::load(&run).unwrap();
        // The next session does not take the first one's names.
        assert_eq!(catalog.sessions().len(), 1);
    }
}

#[test]
fn a_hole_is_filled_and_behind_the_last_record_nothing_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    fs::remove_file(record_path(&run, 1)).unwrap();
    repaired(run.path());
    assert_eq!(answer(run.path()), whole);

    // Records that are gone with nothing behind them leave a run that is not finished.
    let run = recorded(&dir.path().join("other"));
    fs::remove_file(record_path(&run, 3)).unwrap();
    fs::remove_file(record_path(&run, 2)).unwrap();
    let report = repaired(run.path());
    assert_eq!((report.actions.len(), report.num_leftovers), (0, 3));
    assert_eq!(answer(run.path()).0, [capture(0), capture(1)]);
    assert_eq!(ending(run.path()), Ending::NotFinished);
}

#[test]
fn without_any_commits_what_is_whole_is_named_again() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    fs::remove_dir_all(run.commits_dir()).unwrap();
    // A capture in flight: it lacks a layer.
    let (path, rows) = capture_parts(3).remove(0);
    let file = run.path().join(path.to_string());
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let encoded = encode_part(&Part { path, rows }, Compress::Auto, Vec::new()).unwrap();
    fs::write(&file, encoded.output).unwrap();
    let report = repaired(run.path());
    assert_eq!(answer(run.path()), whole);
    assert_eq!(ending(run.path()), Ending::NotFinished);
    let [moved] = &report.moved[..] else {
        panic!("{:?}", report.moved);
    };
    let says = format!("its capture is not whole: it lacks weights of {OUTPUT}");
    assert!(moved.reason.contains(&says), "{}", moved.reason);
    assert!(run.path().join("damaged/1").join(&moved.path).is_file());
}

#[test]
fn a_damaged_part_takes_its_capture_out_and_nothing_else() {
    for (index, is_removed) in [(0, false), (1, true)] {
        let dir = tempfile::tempdir().unwrap();
        let run = recorded(&dir.path().join("run"));
        let whole = answer(run.path());
        let path = capture_parts(1)[index].0.to_string();
        match is_removed {
            false => flip(&run.path().join(&path), 40),
            true => fs::remove_file(run.path().join(&path)).unwrap(),
        }
        let report = repaired(run.path());
        assert_eq!(answer(run.path()), without_capture(whole, 1));
        assert_eq!(report.moved.len(), 2 - usize::from(is_removed));
        let [lost] = &report.lost[..] else {
            panic!("{:?}", report.lost);
        };
        let says = format!("the capture of epoch 1, step 48 of rank 0: {path}: it ");
        assert!(lost.starts_with(&says), "{lost}");
        // Something that was captured is not there.
        assert_eq!(ending(run.path()), Ending::NotFinished);
        for moved in &report.moved {
            let kept = run.path().join("damaged/1").join(&moved.path);
            assert!(kept.is_file() && !run.path().join(&moved.path).exists());
        }
    }
}

#[test]
fn a_run_json_is_what_its_checksum_says_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let path = run.path().join(RUN_FILE);
    let json = fs::read(&path).unwrap();
    for at in (0..json.len()).step_by(101) {
        flip(&path, at);
        repaired(run.path());
        assert_eq!(fs::read(&path).unwrap(), json, "byte {at}");
    }
    // Beyond that the records have a copy.
    scramble(&path);
    repaired(run.path());
    assert_eq!(fs::read(&path).unwrap(), json);
    let text = String::from_utf8(json.clone()).unwrap();
    fs::write(&path, text.replace("\"start\": 0", "\"start\": 17")).unwrap();
    repaired(run.path());
    assert_eq!(fs::read(&path).unwrap(), json);
    fs::remove_file(&path).unwrap();
    repaired(run.path());
    assert_eq!(fs::read(&path).unwrap(), json);
    assert_eq!(ending(run.path()), Ending::Finished);
}

/// The records without their copies of `run.json`.
fn without_copies(run: &RunDir) {
    let mut records = Vec::new();
    for number in 0.. {
        let Ok(bytes) = fs::read(record_path(run, number)) else {
            break;
        };
        records.push(CommitRecord::decode(&bytes).unwrap());
    }
    let mut previous = None;
    for record in &mut records {
        record.run_json = None;
        record.previous_crc32c = previous;
        let (bytes, crc32c) = record.encode_with_checksum();
        fs::write(record_path(run, record.number), bytes).unwrap();
        previous = Some(crc32c);
    }
}

#[test]
fn a_run_json_that_nobody_kept_is_made_of_records_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    without_copies(&run);
    let whole = answer(run.path());
    scramble(&run.path().join(RUN_FILE));
    let report = repaired(run.path());
    assert_eq!(answer(run.path()), whole);
    assert!(
        report.lost[0].contains("not be resumed"),
        "{:?}",
        report.lost
    );
    let rebuilt = RunDir::open(run.path()).unwrap();
    let info = rebuilt.info();
    assert_eq!(info.run_id, run.info().run_id);
    assert_eq!(info.config, serde_json::json!({"epochs": 1}));
    let told = |run: &RunDir| -> Vec<(String, u32, u32, i32)> {
        let layers = run.info().layers.layers().iter();
        layers
            .map(|l| {
                (
                    l.layer.as_str().to_owned(),
                    l.fan_in,
                    l.num_units,
                    l.first_neuron,
                )
            })
            .collect()
    };
    assert_eq!(told(&rebuilt), told(&run));
}

#[test]
fn records_are_known_by_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    // Renamed, and one of another run in its place.
    let other = recorded(&dir.path().join("other"));
    fs::rename(
        record_path(&run, 1),
        run.commits_dir().join("lost+found.json"),
    )
    .unwrap();
    fs::copy(record_path(&other, 1), record_path(&run, 1)).unwrap();
    let report = repaired(run.path());
    assert_eq!(answer(run.path()), whole);
    assert!(
        report
            .actions
            .iter()
            .any(|action| action.contains("it is one of run")),
        "{:?}",
        report.actions
    );
    assert_eq!(ending(run.path()), Ending::Finished);
}

#[test]
fn a_damaged_roll_up_whose_records_are_gone_is_made_of_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let mut publisher = publisher(&run);
    publish(&mut publisher, 0..6, 0);
    publisher.seal().unwrap();
    publish(&mut publisher, 6..7, 0);
    drop(publisher);
    let whole = answer(run.path());
    let rollup = run.commits_dir().join(Segment::rollup(0, 5).file_name());
    let bytes = fs::read(&rollup).unwrap();
    for at in (0..bytes.len()).step_by(211) {
        let copy = tempfile::tempdir().unwrap();
        copied(run.path(), copy.path());
        flip(
            &copy.path().join(rollup.strip_prefix(run.path()).unwrap()),
            at,
        );
        repaired(copy.path());
        assert_eq!(answer(copy.path()), whole, "byte {at}");
    }
    scramble(&rollup);
    let report = repaired(run.path());
    assert_eq!(answer(run.path()), whole);
    assert!(
        report.lost[0].starts_with("6 commit records"),
        "{:?}",
        report.lost
    );
}

/// A second session retired what came after its checkpoint; what nobody could remove is there.
#[test]
fn what_a_lost_record_retired_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let mut first = publisher(&run);
    publish(&mut first, 0..3, 0);
    drop(first);
    let of_epoch = |epoch, generation: u32| -> Vec<String> {
        let parts = capture_parts(epoch).into_iter();
        let named = parts.map(|(path, _)| PartPath {
            generation: Generation(generation),
            ..path
        });
        named.map(|path| path.to_string()).collect()
    };
    let retired = [of_epoch(1, 0), of_epoch(2, 0)].concat();
    let kept: Vec<(PathBuf, Vec<u8>)> = of_epoch(2, 0)
        .into_iter()
        .map(|path| {
            (
                run.path().join(&path),
                fs::read(run.path().join(&path)).unwrap(),
            )
        })
        .collect();
    let mut second = publisher(&run);
    let group = Group {
        retired,
        ..Group::default()
    };
    second.publish(group).unwrap();
    publish(&mut second, 1..3, 1);
    second.publish_last(Group::default()).unwrap();
    drop(second);
    for (path, bytes) in kept {
        fs::write(path, bytes).unwrap();
    }
    let whole = answer(run.path());
    scramble(&record_path(&run, 3));
    let report = repaired(run.path());
    let answered = answer(run.path());
    assert_eq!(answered.1, whole.1);
    assert_eq!(answered.0, whole.0);
    let reasons: Vec<&str> = report
        .moved
        .iter()
        .map(|moved| moved.reason.as_str())
        .collect();
    assert_eq!(reasons, ["a later session recorded it anew"; 3]);
    let run = RunDir::open(run.path()).unwrap();
    assert_eq!(Catalog::load(&run).unwrap().sessions().len(), 2);
}

/// Whatever is called like a part file, without being one, says nothing of the run.
#[test]
fn names_of_files_that_are_none_decide_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    for name in [
        "step-1-r0-g7",
        "step-1-r0-g4294967295",
        "step-1-r5-g0",
        "step-1-r2000000000-g0",
    ] {
        let stray = run.path().join(format!("metrics/epoch=0/{name}.parquet"));
        fs::write(stray, "").unwrap();
    }
    scramble(&record_path(&run, 1));
    repaired(run.path());
    assert_eq!(answer(run.path()), whole);
    let run = RunDir::open(run.path()).unwrap();
    assert_eq!(run.info().world_size, 1);
    assert_eq!(Catalog::load(&run).unwrap().sessions().len(), 1);
}

/// Nothing of the run is taken for lost that was never committed.
#[test]
fn what_lies_beside_an_empty_history_stays() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    for number in 0..4 {
        fs::remove_file(record_path(&run, number)).unwrap();
    }
    let before = tree(run.path());
    let report = repaired(run.path());
    assert_eq!((report.actions.len(), report.num_leftovers), (0, 9));
    assert_eq!(tree(run.path()), before);
}

#[test]
fn a_capture_that_is_lost_with_its_record_is_told_and_takes_the_ending_back() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    scramble(&record_path(&run, 1));
    let damaged = capture_parts(1)[0].0.to_string();
    flip(&run.path().join(&damaged), 40);
    let report = repaired(run.path());
    assert_eq!(answer(run.path()), without_capture(whole, 1));
    assert_eq!(ending(run.path()), Ending::NotFinished);
    let told =
        format!("the capture of epoch 1, step 48 of rank 0, if it was committed: {damaged}: ");
    assert!(
        report.lost.iter().any(|lost| lost.starts_with(&told)),
        "{:?}",
        report.lost
    );
}

#[test]
fn of_a_checkpoint_all_files_stay_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let mut publisher = publisher(&run);
    publish(&mut publisher, 0..1, 0);
    let parts = (0..2).map(|sequence| {
        let path = PartPath {
            sequence,
            ..part_path(Table::Resume, 0, Some(HIDDEN))
        };
        stage(&publisher, path, resume_rows(0, "parameter"))
    });
    let group = Group {
        parts: parts.collect(),
        ..Group::default()
    };
    publisher.publish(group).unwrap();
    drop(publisher);
    let damaged = part_path(Table::Resume, 0, Some(HIDDEN)).to_string();
    flip(&run.path().join(&damaged), 30);
    let report = repaired(run.path());
    assert_eq!((report.moved.len(), report.lost.len()), (2, 2));
    assert!(
        answer(run.path())
            .1
            .keys()
            .all(|path| !path.starts_with("resume"))
    );
}

#[test]
fn a_dry_run_says_what_is_done_and_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    scramble(&record_path(&run, 1));
    scramble(&run.path().join(RUN_FILE));
    flip(&run.path().join(capture_parts(2)[0].0.to_string()), 40);
    let before = tree(run.path());
    let options = RepairOptions {
        dry_run: true,
        ..RepairOptions::default()
    };
    let would = repair(run.path(), options).unwrap();
    assert_eq!(tree(run.path()), before);
    let done = repaired(run.path());
    assert_eq!(would, done);
    // Nothing was deleted: each file is where it was, or in damaged/, with its bytes.
    let after = tree(run.path());
    for (path, bytes) in before {
        let aside = Path::new("damaged/1").join(&path);
        let kept = [after.get(&path), after.get(&aside)];
        assert!(kept.contains(&Some(&bytes)), "{}", path.display());
    }
}

#[test]
fn a_run_that_is_written_to_is_not_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    scramble(&record_path(&run, 1));
    let lock = run.lock_writer(Rank(0)).unwrap();
    let held = repair(run.path(), RepairOptions::default()).unwrap_err();
    assert!(matches!(held, RepairError::Held { .. }), "{held}");
    drop(lock);
    // A recorder whose run.json was replaced is known by its staging directory.
    let other = recorded(&dir.path().join("other"));
    let staging = publisher(&other);
    let held = repair(other.path(), RepairOptions::default()).unwrap_err();
    assert!(matches!(held, RepairError::Held { .. }), "{held}");
    drop(staging);
    repaired(run.path());
}

/// A run with something of each kind to repair.
fn damaged(path: &Path) -> RunDir {
    let run = recorded(path);
    scramble(&record_path(&run, 1));
    scramble(&run.path().join(RUN_FILE));
    flip(&run.path().join(capture_parts(2)[0].0.to_string()), 40);
    run
}

/// The points that an operation on a copy of a run goes through, in order.
pub(crate) fn points(run: &Path, operation: impl Fn(&Arc<dyn Disk>, &Path)) -> Vec<Point> {
    let copy = tempfile::tempdir().unwrap();
    copied(run, &copy.path().join("run"));
    let disk = SimDisk::over(copy.path()).unwrap();
    operation(&disk.disk(), &copy.path().join("run"));
    let operations = disk.operations().into_iter();
    operations.map(|(point, _)| point).collect()
}

/// Lets each point of an operation fail in each way, and the power fail before each of its operations;
/// `check` looks at what is left.
pub(crate) fn fail_everywhere(
    run: &Path,
    operation: impl Fn(&Arc<dyn Disk>, &Path) -> Result<(), RepairError>,
    check: impl Fn(&Path, &str),
) {
    let all = points(run, |disk, path| operation(disk, path).unwrap());
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    for point in distinct {
        for fault in Fault::ALL {
            if !fault.can_happen_at(point.operation) {
                continue;
            }
            let copy = tempfile::tempdir().unwrap();
            copied(run, &copy.path().join("run"));
            let disk = SimDisk::over(copy.path()).unwrap();
            disk.fail_at(point, 0, fault);
            let done = operation(&disk.disk(), &copy.path().join("run"));
            assert!(disk.stop_failing(), "{point} {fault:?}");
            let is_tried_again = matches!(fault, Fault::Interrupted | Fault::ShortWrite);
            assert!(done.is_err() || is_tried_again, "{point} {fault:?}");
            check(&copy.path().join("run"), &format!("{point} {fault:?}"));
        }
    }
    // What was not synced when the power fails is there, or all of it is lost.
    let copy = tempfile::tempdir().unwrap();
    copied(run, &copy.path().join("run"));
    let disk = SimDisk::over(copy.path()).unwrap();
    operation(&disk.disk(), &copy.path().join("run")).unwrap();
    let choices = Choices {
        num_alone: 2,
        num_newest: 1,
        num_drawn: 1,
        seed: 7,
    };
    // Each moment in the long form, some in the short.
    let stride = if std::env::var_os("STRATIGRAPH_SWEEP").is_some() {
        1
    } else {
        3
    };
    for num_operations in (0..=disk.num_operations()).step_by(stride) {
        let remains = disk.remains(num_operations);
        for fates in remains.fates(choices) {
            let left = tempfile::tempdir().unwrap();
            remains.tree(&fates).write_to(left.path()).unwrap();
            let what = format!("{num_operations} operations, then {fates:?}");
            check(&left.path().join("run"), &what);
        }
    }
}

#[test]
fn a_repair_that_fails_or_is_interrupted_anywhere_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let run = damaged(&dir.path().join("run"));
    let whole = {
        let other = recorded(&dir.path().join("other"));
        without_capture(answer(other.path()), 2)
    };
    let operation = |disk: &Arc<dyn Disk>, path: &Path| {
        repair_on(disk, path, RepairOptions::default()).map(|_| ())
    };
    let before = tree(run.path());
    fail_everywhere(run.path(), operation, |path, what| {
        let left: Vec<Vec<u8>> = tree(path).into_values().collect();
        assert!(before.values().all(|bytes| left.contains(bytes)), "{what}");
        repair(path, RepairOptions::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer(path), whole, "{what}");
        assert_eq!(RunDir::open(path).unwrap().crc32c(), run.crc32c(), "{what}");
        // Who reads the tables' directories sees nothing of what was to be moved.
        let globbed = tree(path).into_keys();
        let globbed: BTreeSet<String> = globbed
            .filter_map(|path| Some(path.to_str()?.parse::<PartPath>().ok()?.to_string()))
            .collect();
        assert_eq!(globbed, whole.1.keys().cloned().collect(), "{what}");
    });
}

/// What a repair puts where nothing is.
const MISSING: [&str; 2] = [crate::place::COMMITS_DIR, RUN_FILE];

/// A run that lacks one of them.
fn missing(path: &Path, name: &str) -> PathBuf {
    let run = recorded(path);
    match name == RUN_FILE {
        true => fs::remove_file(run.path().join(name)).unwrap(),
        false => fs::remove_dir_all(run.path().join(name)).unwrap(),
    }
    run.path().to_owned()
}

#[test]
fn what_is_missing_is_put_back_whatever_fails() {
    for name in MISSING {
        let dir = tempfile::tempdir().unwrap();
        let run = missing(&dir.path().join("run"), name);
        let before = tree(&run);
        let whole = {
            let copy = dir.path().join("copy");
            copied(&run, &copy);
            repaired(&copy);
            answer(&copy)
        };
        let operation = |disk: &Arc<dyn Disk>, path: &Path| {
            repair_on(disk, path, RepairOptions::default()).map(|_| ())
        };
        fail_everywhere(&run, operation, |path, what| {
            let left: Vec<Vec<u8>> = tree(path).into_values().collect();
            assert!(before.values().all(|bytes| left.contains(bytes)), "{what}");
            let again = repair(path, RepairOptions::default());
            again.unwrap_or_else(|error| panic!("{name}, {what}: {error}"));
            assert_eq!(answer(path), whole, "{name}, {what}");
        });
    }
}

/// Whoever is killed leaves everything that there was, somewhere.
#[test]
fn a_repair_that_is_killed_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = damaged(&dir.path().join("run"));
    let before = tree(run.path());
    for num_before in 0.. {
        let copy = tempfile::tempdir().unwrap();
        copied(run.path(), &copy.path().join("run"));
        let disk = SimDisk::over(copy.path()).unwrap();
        disk.fail_after(num_before, Fault::Crash);
        let killed = repair_on(
            &disk.disk(),
            &copy.path().join("run"),
            RepairOptions::default(),
        );
        let was_killed = disk.stop_failing();
        assert_eq!(killed.is_err(), was_killed);
        repaired(&copy.path().join("run"));
        let after: Vec<Vec<u8>> = tree(copy.path()).into_values().collect();
        assert!(
            before.values().all(|bytes| after.contains(bytes)),
            "operation {num_before}"
        );
        if !was_killed {
            assert!(num_before > 20, "{num_before}");
            break;
        }
    }
}

#[test]
fn repairs_and_upgrades_go_through_the_points_that_are_listed_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let run = damaged(&dir.path().join("run"));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/1.4");
    let mut found = points(run.path(), |disk, path| {
        repair_on(disk, path, RepairOptions::default()).unwrap();
    });
    for name in MISSING {
        let run = missing(&dir.path().join(format!("without-{name}")), name);
        found.extend(points(&run, |disk, path| {
            repair_on(disk, path, RepairOptions::default()).unwrap();
        }));
    }
    found.extend(points(&golden, |disk, path| {
        crate::upgrade_on(disk, path, false).unwrap();
    }));
    found.sort_unstable();
    found.dedup();
    let mut listed = Point::OF_REPAIRS.to_vec();
    listed.sort_unstable();
    assert_eq!(found, listed);
}

#[test]
fn what_is_no_run_is_not_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let error = repair(&missing, RepairOptions::default()).unwrap_err();
    assert!(
        error.to_string().starts_with("there is no run at "),
        "{error}"
    );
    assert!(!missing.exists());
    let error = repair(dir.path(), RepairOptions::default()).unwrap_err();
    assert!(error.to_string().contains("is no run"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    // A name that promises more records than a file can hold makes nobody count them.
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    let name = Segment::rollup(4, 1 << 40).file_name();
    fs::write(run.commits_dir().join(name), "no roll-up").unwrap();
    repaired(run.path());
    assert_eq!(answer(run.path()), whole);
}
