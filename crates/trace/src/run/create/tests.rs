use std::fs;

use super::super::tests::info;
use super::*;
use crate::catalog::Catalog;
use crate::disk::{Fault, Operation, Point, SimDisk, Subject};
use crate::durable;
use crate::id::Rank;
use crate::part::PartPath;
use crate::place::{COMMITS_DIR, RUN_FILE};
use crate::publish::{Group, PublishError, Publisher};
use crate::run::OpenRunError;
use crate::store::Creation;

const WEIGHTS: &str = "weights/epoch=0/layer=L_output/step-24-r0-g0.parquet";

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Records a file as a recorder does that begins or goes on with the run.
fn record(run: &RunDir) -> Result<(), PublishError> {
    let mut publisher = Publisher::try_new(run, Rank(0), None)?;
    publisher.clear_leftovers()?;
    let path: PartPath = WEIGHTS.parse().unwrap();
    let parts = vec![publisher.staging().stage(path, b"rows", 1).unwrap()];
    publisher
        .publish(Group {
            parts,
            ..Group::default()
        })
        .map(|_| ())
}

fn assert_recorded_into(run: &RunDir) {
    record(run).unwrap();
    assert_eq!(Catalog::load(run).unwrap().num_files(), 1);
    assert_eq!(names(run.path()), [COMMITS_DIR, RUN_FILE, "weights"]);
}

/// A process that dies before any of the operations by which it creates a run leaves either a run that
/// can be recorded into, or a directory in which one can be created.
#[test]
fn a_crash_at_every_step_of_creation_leaves_what_can_be_recorded_into() {
    let dir = tempfile::tempdir().unwrap();
    let (mut num_runs, mut num_unborn) = (0, 0);
    for n in 0.. {
        assert!(n < 1000, "the loop must end");
        let path = dir.path().join(format!("{n}/run"));
        let sim = SimDisk::over(dir.path()).unwrap();
        sim.fail_after(n, Fault::Crash);
        let created = RunDir::create_on(sim.disk(), &path, info());
        drop(created);
        let failed = sim.stop_failing();
        match RunDir::open(&path) {
            Ok(run) => {
                num_runs += 1;
                assert_eq!(run.creation().unwrap(), Creation::Complete);
                assert_recorded_into(&run);
            }
            Err(error) => {
                num_unborn += 1;
                let is_empty = !path.exists() || names(&path).is_empty();
                match error {
                    OpenRunError::Unborn { .. } => assert!(!is_empty),
                    OpenRunError::NotFound { .. } | OpenRunError::NotARun { .. } => {
                        assert!(is_empty);
                    }
                    error => panic!("{n}: {error}"),
                }
                assert_eq!(RunDir::is_unborn(&path), path.exists());
                assert_recorded_into(&RunDir::create(&path, info()).unwrap());
            }
        }
        if !failed {
            break;
        }
    }
    // The last of the runs was created without a crash; of one the directory's sync did not come.
    assert!(num_runs >= 2 && num_unborn >= 6, "{num_runs} {num_unborn}");
}

/// One that lives on may try again, as where there was no room.
#[test]
fn a_failure_at_any_step_of_creation_leaves_a_directory_in_which_a_run_can_be_created() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0.. {
        assert!(n < 1000, "the loop must end");
        let path = dir.path().join(format!("{n}/run"));
        let sim = SimDisk::over(dir.path()).unwrap();
        sim.fail_after(n, Fault::NoSpace);
        let created = RunDir::create_on(sim.disk(), &path, info());
        let failed = sim.stop_failing();
        let run = created.or_else(|_| RunDir::create(&path, info()));
        assert_recorded_into(&run.unwrap());
        if !failed {
            break;
        }
    }
}

/// Versions before 1.4 of the format's writer made `commits/` after `run.json`, and removed what they
/// had staged last.
#[test]
fn a_run_whose_creation_was_interrupted_before_its_commits_is_recorded_into() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    fs::remove_dir(run.commits_dir()).unwrap();
    fs::write(run.path().join(".run.json.0123456789abcdef"), "{}").unwrap();
    assert_eq!(run.creation().unwrap(), Creation::Interrupted);
    assert_recorded_into(&run);
}

#[test]
fn a_run_that_lost_its_commits_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(&dir.path().join("run"), info()).unwrap();
    record(&run).unwrap();
    fs::remove_dir_all(run.commits_dir()).unwrap();
    let example = WEIGHTS.to_owned();
    assert_eq!(run.creation().unwrap(), Creation::CommitsLost { example });
    let error = record(&run).unwrap_err();
    assert!(error.to_string().contains(WEIGHTS), "{error}");
    assert_eq!(names(run.path()), [RUN_FILE, "weights"]);
    assert!(run.path().join(WEIGHTS).exists());
}

#[test]
fn leftovers_are_taken_over_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    fs::create_dir_all(path.join(COMMITS_DIR)).unwrap();
    fs::write(path.join(".run.json.0123456789abcdef"), "{").unwrap();
    let error = RunDir::open(&path).unwrap_err().to_string();
    assert!(error.contains("its creation was interrupted"), "{error}");
    RunDir::create(&path, info()).unwrap();
    assert_eq!(names(&path), [COMMITS_DIR, RUN_FILE]);

    for other in [
        ".run.json.else",
        ".run.jsonx",
        "notes.txt",
        "commits/00000000000000000000.json",
    ] {
        let path = dir.path().join("other").join(other.replace('/', "-"));
        fs::create_dir_all(path.join(COMMITS_DIR)).unwrap();
        fs::write(path.join(other), "{").unwrap();
        assert!(!RunDir::is_unborn(&path), "{other}");
        let error = RunDir::create(&path, info()).unwrap_err();
        assert!(matches!(error, CreateRunError::NotEmpty { .. }), "{error}");
        assert!(path.join(other).exists(), "{other}");
    }
}

/// Of those that find the same leftovers one creates the run.
#[test]
fn one_of_several_creates_the_run() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = dir.path().join(round.to_string());
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(".run.json.0123456789abcdef"), "{").unwrap();
        let created: Vec<Result<RunDir, CreateRunError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| RunDir::create(&path, info())))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = created.into_iter().partition(Result::is_ok);
        let [Ok(won)] = &won[..] else {
            panic!("{lost:?}");
        };
        for error in lost {
            let error = error.unwrap_err();
            assert!(matches!(error, CreateRunError::NotEmpty { .. }), "{error}");
        }
        assert_eq!(RunDir::open(&path).unwrap().info(), won.info());
        assert_eq!(names(&path), [COMMITS_DIR, RUN_FILE]);
    }
}

/// Who made the directory may have died before its name was durable, also where it is empty.
#[test]
fn the_name_of_a_directory_that_was_there_is_made_durable() {
    let dir = tempfile::tempdir().unwrap();
    for leftover in [None, Some(".run.json.0123456789abcdef")] {
        let path = dir.path().join(leftover.unwrap_or("empty")).join("run");
        fs::create_dir_all(&path).unwrap();
        if let Some(leftover) = leftover {
            fs::write(path.join(leftover), "{").unwrap();
        }
        let sim = SimDisk::over(dir.path()).unwrap();
        RunDir::create_on(sim.disk(), &path, info()).unwrap();
        let changes = sim.operations().into_iter();
        let mut changes = changes.filter(|(point, _)| !point.operation.is_look());
        let sync = Point::of(Operation::SyncDirs, Subject::Run);
        // Of those above it as well.
        for above in path.ancestors().skip(1) {
            assert_eq!(changes.next(), Some((sync, above.to_owned())));
        }
    }
    // A relative path of one component lies in the working directory.
    let above = [("run", "."), ("a/run", "a"), ("/run", "/")];
    for (path, expected) in above {
        assert_eq!(
            durable::directory_above(Path::new(path)),
            Path::new(expected)
        );
    }
}
