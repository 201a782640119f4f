use std::fs;

use super::*;
use crate::catalog::{Catalog, Session};
use crate::fault::Failure;
use crate::id::{Epoch, Generation, LayerLabel, Step};
use crate::part::PartPath;
use crate::run::tests::info;
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

/// Every way to make files durable that there is here.
pub(super) fn durabilities(run: &RunDir) -> Vec<Durability> {
    vec![
        #[cfg(target_os = "linux")]
        Durability::FileSystem(fs::File::open(run.path()).unwrap()),
        Durability::PerFile,
    ]
}

/// Copies a run in which the next publish rolls up, lets one operation of two publishes fail, the
/// first to the last in turn, and looks at what is left.
fn assert_whole_after_every_failure(durability: usize, failure: fn(u32) -> Failure) {
    let dir = tempfile::tempdir().unwrap();
    let before = RunDir::create(&dir.path().join("before"), info()).unwrap();
    let mut publisher = Publisher::try_new(&before, Rank(0), None).unwrap();
    let first = ROLLUP_FANOUT as i32 - 1;
    for epoch in 0..first {
        let group = group(&publisher, epoch).unwrap();
        publisher.publish(group).unwrap();
    }
    drop(publisher);

    let mut failures = 0;
    for n in 0.. {
        assert!(n < 1000, "the loop must end");
        let path = dir.path().join(n.to_string());
        copy_dir(before.path(), &path);
        let run = RunDir::open(&path).unwrap();
        let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
        publisher.durability = durabilities(&run).swap_remove(durability);
        fault::fail(Some(failure(n)));
        let mut published = first as usize;
        for epoch in first..first + 2 {
            match group(&publisher, epoch).map(|group| publisher.publish(group)) {
                Ok(Ok(_)) => published += 1,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        let failed = fault::fail(None);
        let seen = epochs(&assert_whole(&run));
        assert_eq!(
            seen,
            (0..seen.len() as i32).collect::<Vec<_>>(),
            "in order, none twice"
        );
        // What was said to be published is; one capture more may be, if it failed after its link.
        assert!(
            [published, published + 1].contains(&seen.len()),
            "{published} {seen:?}"
        );

        // The run goes on where it stopped.
        drop(publisher);
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
}

/// To the disk, a process that dies is one whose next operation never happens.
#[test]
fn a_crash_at_every_step_leaves_whole_captures_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    for durability in 0..durabilities(&run).len() {
        assert_whole_after_every_failure(durability, Failure::From);
    }
}

#[test]
fn one_operation_that_fails_leaves_whole_captures_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    for durability in 0..durabilities(&run).len() {
        assert_whole_after_every_failure(durability, Failure::Once);
    }
}

/// The operations of a publish of the capture of epoch 0 of [`group`], in which `.staging/<nonce>`
/// is `S`; and with what follows from a barrier as one word.
fn operations_of_a_publish(durability: usize) -> (Vec<String>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
    publisher.durability = durabilities(&run).swap_remove(durability);
    fault::watch();
    let group = group(&publisher, 0).unwrap();
    publisher.publish(group).unwrap();
    let staging = publisher.staging().next_path();
    let staging = staging.parent().unwrap();
    let operations: Vec<String> = fault::operations()
        .into_iter()
        .map(|(operation, path)| {
            let path = match path.strip_prefix(staging) {
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
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    for durability in 0..durabilities(&run).len() {
        let (_, order) = operations_of_a_publish(durability);
        assert_eq!(
            order,
            [
                "create file S/0",
                "write file S/0",
                "create file S/1",
                "write file S/1",
                "create file S/2",
                "write file S/2",
                "barrier",
                "create directory weights",
                "create directory weights/epoch=0",
                &format!("create directory {WEIGHTS}"),
                &format!("rename {WEIGHTS}/step-24-r0-g0.parquet"),
                "create directory metrics",
                "create directory metrics/epoch=0",
                "rename metrics/epoch=0/step-24-r0-g0.parquet",
                "barrier",
                "link commits/00000000000000000000.json",
                "list commits",
                "barrier",
            ]
        );
    }
}

#[test]
fn where_each_file_is_synced_none_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    let per_file = durabilities(&run).len() - 1;
    let (operations, _) = operations_of_a_publish(per_file);
    let mut barriers: Vec<Vec<&str>> = vec![Vec::new()];
    for operation in &operations {
        match operation.strip_prefix("sync") {
            Some(path) => barriers.last_mut().unwrap().push(path.trim_start()),
            None if barriers.last().unwrap().is_empty() => {}
            None => barriers.push(Vec::new()),
        }
    }
    // What was written, every directory with a new entry (the run's is ""), and the link's.
    let new_entries = [
        "",
        "metrics",
        "metrics/epoch=0",
        "weights",
        "weights/epoch=0",
        WEIGHTS,
    ];
    assert_eq!(
        barriers,
        [
            vec!["S/0", "S/1", "S/2"],
            new_entries.to_vec(),
            vec!["commits"]
        ]
    );
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
        matches!(&error, PublishError::Io { source, .. }
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
        let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
        let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
        for epoch in 0..5 {
            let group = group(&publisher, epoch).unwrap();
            publisher.publish(group).unwrap();
        }
        let mut other = Publisher::try_new(&run, Rank(1), None).unwrap();
        fault::before("list", move || {
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
