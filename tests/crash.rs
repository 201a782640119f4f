//! A recorder that dies at any moment leaves whole captures, nothing doubled, nothing torn.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use stratigraph::{Running, Scratch, TIMEOUT, run, spawn, wait_until};
use trace::{Catalog, RunDir};

/// How often a recorder is killed: `STRATIGRAPH_KILLS`, or this.
const DEFAULT_NUM_KILLS: u32 = 10;

/// Kills come at most so long after the start or the first commit.
const MAX_DELAY: Duration = Duration::from_millis(800);

/// Training steps of an epoch of the digits.
const STEPS: u64 = 24;

/// Every partition of every capture, with the rows and the different keys that it has.
const PARTITIONS: &str = "
    SELECT 'weights' AS tab, layer, epoch, step, count(*) AS rows, count(DISTINCT neuron) AS keys
    FROM weights GROUP BY layer, epoch, step
    UNION ALL
    SELECT 'activations', layer, epoch, step, count(*), count(DISTINCT neuron)
    FROM activations GROUP BY layer, epoch, step
    UNION ALL
    SELECT 'classifications', '', epoch, step, count(*), count(DISTINCT sample)
    FROM classifications GROUP BY epoch, step
    UNION ALL
    SELECT 'metrics', '', epoch, step, count(*), count(DISTINCT concat(name, coalesce(phase, '')))
    FROM metrics WHERE name IN ('loss', 'accuracy', 'learning_rate') GROUP BY epoch, step
    ORDER BY epoch, tab, layer";

/// Starts to record what would never end.
fn record(scratch: &Scratch, more: &[&str]) -> Running {
    let mut arguments = vec![
        "train", "--device", "cpu", "--hidden", "8", "--epochs", "1000000", "--out", "run",
    ];
    arguments.extend(more);
    spawn(&mut scratch.recorder(&arguments))
}

/// What [`PARTITIONS`] says of a run of so many whole captures: 8 hidden units, 10 classes, 297
/// held-out samples; loss and accuracy of two phases, and the learning rate.
fn whole_captures(num_captures: u64) -> Vec<Value> {
    let capture = |epoch: u64| {
        [
            ("activations", "L_input", 8),
            ("activations", "L_output", 10),
            ("classifications", "", 297),
            ("metrics", "", 5),
            ("weights", "L_input", 8),
            ("weights", "L_output", 10),
        ]
        .map(|(table, layer, rows)| {
            json!({
                "tab": table, "layer": layer, "epoch": epoch, "step": STEPS * (epoch + 1),
                "rows": rows, "keys": rows,
            })
        })
    };
    (0..num_captures).flat_map(capture).collect()
}

/// The delays before the kills, spread over the time that there is and the same in every session:
/// multiples of the golden ratio, of which any few in a row are far apart.
fn delay(kill: u32) -> Duration {
    MAX_DELAY.mul_f64((f64::from(kill) * 0.618_033_988_75).fract())
}

#[test]
fn killed_at_any_moment_it_leaves_whole_captures() {
    let num_kills = match std::env::var("STRATIGRAPH_KILLS") {
        Ok(number) => number.parse().expect("STRATIGRAPH_KILLS is a number"),
        Err(_) => DEFAULT_NUM_KILLS,
    };
    let mut num_with_captures = 0;
    for kill in 0..num_kills {
        let scratch = Scratch::new();
        let mut recorder = record(&scratch, &[]);
        // Two in five die while they start, of these one while it creates the run.
        match kill % 5 {
            0 => std::thread::sleep(delay(kill)),
            1 => wait_for_directory(&scratch, delay(kill) / 50),
            _ => {
                scratch.wait_for_commit("run", &mut recorder);
                std::thread::sleep(delay(kill));
            }
        }
        assert!(recorder.is_running(), "kill {kill}: it ended by itself");
        // How many more may be in flight depends on the machine; what was seen is there for good.
        let num_seen = num_committed(&scratch);
        let killed = recorder.kill();
        assert_eq!(killed.code(), None, "kill {kill}: {killed}");
        let num_captures = assert_whole(&scratch, kill);
        assert!(kill % 5 < 2 || num_seen > 0, "kill {kill}");
        assert!(
            num_captures >= num_seen,
            "kill {kill}: of {num_seen} captures that were committed {num_captures} are left"
        );
        num_with_captures += u32::from(num_captures > 0);
        if kill % 5 < 2 && scratch.path("run").exists() {
            assert!(resume(&scratch, kill) > 0, "kill {kill}");
        }
    }
    assert!(num_with_captures >= num_kills / 2);
}

/// Waits until the run's directory is there, looking as often as can be, and then a while.
fn wait_for_directory(scratch: &Scratch, then: Duration) {
    let run_dir = scratch.path("run");
    let start = Instant::now();
    while !run_dir.exists() {
        assert!(start.elapsed() < TIMEOUT, "no directory was made");
    }
    std::thread::sleep(then);
}

/// Goes on with what a kill left until there is more than before, and returns the number of captures.
fn resume(scratch: &Scratch, kill: u32) -> u64 {
    let num_before = num_committed(scratch);
    let mut recorder = record(scratch, &["--resume"]);
    wait_until("a capture", || {
        assert!(
            recorder.is_running(),
            "kill {kill}: {}",
            recorder_says(scratch)
        );
        (num_committed(scratch) > num_before).then_some(())
    });
    recorder.interrupt();
    let ended = recorder.wait();
    assert_eq!(ended.code(), Some(130), "kill {kill}: {ended}");
    assert_whole(scratch, kill)
}

/// What is in the run's directory, for a message.
fn recorder_says(scratch: &Scratch) -> String {
    let entries = fs::read_dir(scratch.path("run")).into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    format!("it did not go on with {:?}", names.collect::<Vec<_>>())
}

/// Every state in which a kill leaves a run that is being created, and those that earlier versions left.
#[test]
fn a_run_whose_creation_was_interrupted_is_recorded_into() {
    type State = fn(&Path);
    let states: [(&str, bool, State); 5] = [
        ("an empty directory", false, |_| {}),
        ("the directory of commits", false, |run| {
            fs::create_dir(run.join("commits")).unwrap();
        }),
        ("a staged run.json", false, |run| {
            fs::create_dir(run.join("commits")).unwrap();
            fs::write(run.join(".run.json.0123456789abcdef"), "{\"form").unwrap();
        }),
        ("no commits", true, |run| {
            fs::remove_dir_all(run.join("commits")).unwrap();
        }),
        ("no commits, and a staged run.json", true, |run| {
            fs::remove_dir_all(run.join("commits")).unwrap();
            let staged = run.join(".run.json.0123456789abcdef");
            fs::hard_link(run.join("run.json"), staged).unwrap();
        }),
    ];
    // What a run is: one is recorded, of which nothing but `run.json` is kept.
    let train = ["train", "--device", "cpu", "--hidden", "8", "--epochs", "2"];
    for (state, has_run, make) in states {
        for resumes in [true, false] {
            let scratch = Scratch::new();
            let run_dir = scratch.path("run");
            fs::create_dir(&run_dir).unwrap();
            if has_run {
                let mut other = scratch.recorder(&train);
                run(other.args(["--out", "other"])).expect_success();
                fs::copy(scratch.path("other/run.json"), run_dir.join("run.json")).unwrap();
                fs::create_dir(run_dir.join("commits")).unwrap();
            }
            make(&run_dir);
            let verified = run(&mut scratch.sink(&["verify", "run"]));
            assert_eq!(verified.code(), Some(1), "{state}: {verified}");
            let said = format!("{verified}");
            let is_empty = fs::read_dir(&run_dir).unwrap().next().is_none();
            assert!(
                is_empty || said.contains("creation was interrupted"),
                "{said}"
            );

            let mut again = scratch.recorder(&train);
            again.args(["--out", "run"]);
            if resumes {
                again.arg("--resume");
            }
            let again = run(&mut again);
            if has_run && !resumes {
                // There is a run: nothing is ever overwritten.
                assert_eq!(again.code(), Some(1), "{state}: {again}");
                continue;
            }
            again.expect_success();
            assert_eq!(assert_whole(&scratch, 0), 2, "{state}");
            assert!(!run_dir.join(".run.json.0123456789abcdef").exists());
        }
    }
}

/// How many captures a reader sees now.
fn num_committed(scratch: &Scratch) -> u64 {
    let Ok(run) = RunDir::open(&scratch.path("run")) else {
        return 0;
    };
    Catalog::load(&run).unwrap().captures().len() as u64
}

/// Checks what a kill left, and returns the number of captures.
fn assert_whole(scratch: &Scratch, kill: u32) -> u64 {
    let run_dir = scratch.path("run");
    let verified = run(&mut scratch.sink(&["verify", "run"]));
    if !run_dir.join("run.json").exists() {
        assert_eq!(verified.code(), Some(1), "kill {kill}: {verified}");
        return 0;
    }
    let verified = verified.expect_success();
    let (_, summary) = verified.split_once("run: whole; ").unwrap();
    let num_captures: u64 = summary.split(' ').next().unwrap().parse().unwrap();
    read_every_file(&run_dir);
    if num_captures == 0 {
        return 0;
    }
    assert_eq!(
        scratch.rows("run", PARTITIONS),
        whole_captures(num_captures),
        "kill {kill}"
    );
    let paths = "SELECT count(*) - count(DISTINCT path) AS doubled FROM commits";
    assert_eq!(scratch.rows("run", paths), [json!({"doubled": 0})]);
    num_captures
}

/// Reads what a glob over the tables finds, committed or not.
fn read_every_file(run_dir: &Path) {
    let tables = ["weights", "activations", "classifications", "metrics"];
    let mut open: Vec<_> = tables.map(|table| run_dir.join(table)).into();
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            assert_eq!(
                dir.parent(),
                Some(run_dir),
                "only a table may not be there yet"
            );
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            assert_eq!(path.extension().unwrap(), "parquet", "{}", path.display());
            let file = fs::File::open(&path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file)
                .and_then(ParquetRecordBatchReaderBuilder::build)
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let num_rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
            assert!(num_rows > 0, "{}", path.display());
        }
    }
}

#[test]
fn while_it_is_recorded_a_run_has_whole_captures_only() {
    let scratch = Scratch::new();
    let mut recorder = record(&scratch, &[]);
    scratch.wait_for_commit("run", &mut recorder);
    let mut seen = Vec::new();
    // An answer takes longer than a commit, so that each sees more; the bound is generous.
    for _ in 0..50 {
        let rows = scratch.rows("run", PARTITIONS);
        let num_captures = rows.last().unwrap()["epoch"].as_u64().unwrap() + 1;
        assert_eq!(rows, whole_captures(num_captures));
        assert!(seen.last().is_none_or(|last| *last <= num_captures));
        seen.push(num_captures);
        seen.dedup();
        if seen.len() == 5 {
            break;
        }
    }
    assert_eq!(seen.len(), 5, "it does not grow: {seen:?}");
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(verified.contains("run: whole; "), "{verified}");
    assert!(recorder.is_running());
    recorder.kill();
}
