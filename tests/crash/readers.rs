//! A run that is read while it is recorded, rolled up and gone on with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use stratigraph::{Scratch, TIMEOUT, Worker, announce, run};
use trace::{Catalog, RunDir};

use crate::engines::{Engines, Partition};
use crate::oracle::PARTITIONS;
use crate::recorders::{DIGITS, Ended, Session, program};

/// How many different answers `query` has given before the recorder is killed, at least...
const NUM_ANSWERS: usize = 5;

/// ... and how often records were rolled up.
const NUM_ROLLUPS: usize = 1;

/// The captures that commits name now.
fn committed(run_dir: &Path) -> BTreeSet<u64> {
    let catalog = Catalog::load(&RunDir::open(run_dir).unwrap()).unwrap();
    let captures = catalog.captures().iter();
    captures.map(|c| c.id.epoch.0 as u64).collect()
}

fn num_rollups(run_dir: &Path) -> usize {
    let names = std::fs::read_dir(run_dir.join("commits")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("checkpoint-")).count()
}

/// What a glob sees has every file that was committed before, whole, none twice, and whole files alone.
fn assert_whole_files(before: &BTreeSet<u64>, seen: &[Partition]) {
    let mut rows = BTreeMap::new();
    for partition in seen {
        let Partition {
            table,
            layer,
            epoch,
            ..
        } = partition;
        assert_eq!(
            partition.rows,
            DIGITS.rows_of(table, layer),
            "{partition:?}"
        );
        assert_eq!(partition.keys, partition.rows, "{partition:?}");
        assert_eq!(partition.step, DIGITS.steps * (epoch + 1), "{partition:?}");
        let key = (table.as_str(), layer.as_str(), *epoch);
        assert!(
            rows.insert(key, partition.rows).is_none(),
            "twice: {partition:?}"
        );
    }
    let [(first, _), (second, _)] = DIGITS.layers;
    for epoch in before {
        for table in Engines::TABLES {
            let layers: &[&str] = match table {
                "classifications" => &[""],
                _ => &[first, second],
            };
            for layer in layers {
                assert!(
                    rows.contains_key(&(table, *layer, *epoch)),
                    "{table} {layer} {epoch}"
                );
            }
        }
    }
}

/// A shell that is left open.
fn shell(scratch: &Scratch) -> Worker {
    let mut shell = Worker::start(&mut scratch.query(&["shell", "run"]));
    shell.tell(".format csv");
    shell
}

/// How many captures it sees.
fn ask_shell(shell: &mut Worker) -> u64 {
    assert_eq!(
        shell.ask("SELECT count(DISTINCT epoch) AS n FROM weights;"),
        "n"
    );
    shell.hear().parse().unwrap()
}

#[test]
fn while_a_run_is_recorded_and_rolled_up_every_answer_is_one_of_whole_captures() {
    let scratch = Scratch::new();
    let run_dir = scratch.path("run");
    let mut engines = Engines::start();
    let mut session = Session::start(&mut program(&scratch, "run", &[]));
    session.wait_until_told(1);
    let mut shell = shell(&scratch);
    let (mut answers, mut shell_answers) = (BTreeSet::new(), BTreeSet::new());
    let start = Instant::now();
    while answers.len().min(shell_answers.len()) < NUM_ANSWERS
        || num_rollups(&run_dir) < NUM_ROLLUPS
    {
        assert!(
            start.elapsed() < TIMEOUT,
            "it does not grow: {answers:?}, in the shell {shell_answers:?}"
        );
        let before = committed(&run_dir);
        let rows = scratch.rows("run", PARTITIONS);
        let num_captures = rows.last().unwrap()["epoch"].as_u64().unwrap() + 1;
        assert_eq!(rows, DIGITS.whole_captures(num_captures));
        assert!(num_captures >= before.len() as u64);
        answers.insert(num_captures);

        let before = committed(&run_dir);
        let num_captures = ask_shell(&mut shell);
        assert!(num_captures >= before.len() as u64);
        shell_answers.insert(num_captures);

        if let Some(engines) = &mut engines {
            let before = committed(&run_dir);
            assert_whole_files(&before, &engines.duckdb(&run_dir));
            let before = committed(&run_dir);
            assert_whole_files(&before, &engines.polars(&run_dir));
        }
    }
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(verified.contains("run: whole; "), "{verified}");
    assert!(session.is_running());
    announce(&format!(
        "readers: {} answers of query, {} of a shell, up to {} captures, all of whole ones",
        answers.len(),
        shell_answers.len(),
        answers.last().unwrap()
    ));
    session.kill();
}

/// How often an engine is asked again that found a file gone: by then what was taken back has gone.
const NUM_TRIES: usize = 20;

/// What an engine sees while files may go. One that has listed a file which is gone when it opens it says so, and
/// nothing else; asked again, it has its answer. How often it was asked again is counted.
fn ask_engine(
    engines: &mut Engines,
    run_dir: &Path,
    engine: &str,
    num_gone: &mut usize,
) -> Vec<Partition> {
    let is_of_missing_file = |error: &str| match engine {
        "duckdb" => error.contains("No such file or directory") || error.contains("No files found"),
        _ => error.starts_with("FileNotFoundError: ") || error.contains("paths were empty"),
    };
    for _ in 0..NUM_TRIES {
        match engines.ask(run_dir, engine) {
            Ok(seen) => return seen,
            Err(error) => assert!(is_of_missing_file(&error), "{engine}: {error}"),
        }
        *num_gone += 1;
    }
    panic!("{engine} finds a file gone again and again");
}

/// A session takes back what is recorded anew: an answer then has fewer captures, and is whole. A glob may see less,
/// and never anything twice.
#[test]
fn while_a_run_is_gone_on_with_every_answer_is_one_of_whole_captures() {
    const NUM_SESSIONS: usize = 4;
    let scratch = Scratch::new();
    let run_dir = scratch.path("run");
    let mut engines = Engines::start();
    let (mut num_answers, mut num_seen, mut num_gone) = (0, 0, 0);
    for _ in 0..NUM_SESSIONS {
        let mut session = Session::start(&mut program(&scratch, "run", &[]));
        // What was committed before an engine was asked, and what it saw.
        let mut seen = Vec::new();
        while session.num_told() < 3 {
            assert!(session.is_running(), "{}", session.complaints());
            if !scratch.path("run/run.json").exists() {
                continue;
            }
            for engine in Engines::NAMES {
                if let Some(engines) = &mut engines {
                    let before = committed(&run_dir);
                    let partitions = ask_engine(engines, &run_dir, engine, &mut num_gone);
                    seen.push((before, partitions));
                }
            }
            let answer = run(&mut ask(&scratch));
            if answer
                .stderr
                .contains("the run has no committed capture yet")
            {
                continue;
            }
            assert_eq!(answer.code(), Some(0), "{answer}");
            let rows = answer
                .stdout
                .lines()
                .map(|line| serde_json::from_str(line).unwrap());
            let rows: Vec<serde_json::Value> = rows.collect();
            let num_captures = rows.last().unwrap()["epoch"].as_u64().unwrap() + 1;
            assert_eq!(rows, DIGITS.whole_captures(num_captures));
            num_answers += 1;
        }
        let Ended { taken_back, .. } = session.kill();
        num_seen += seen.len();
        for (mut before, partitions) in seen {
            // What is taken back may be there or not, or there again.
            before.retain(|epoch| taken_back.is_none_or(|first| *epoch < first));
            assert_whole_files(&before, &partitions);
        }
    }
    // Of the first session all commits may have come between two questions.
    assert!(num_answers >= NUM_SESSIONS - 1, "{num_answers}");
    assert!(engines.is_none() || num_seen >= 2 * (NUM_SESSIONS - 1));
    announce(&format!(
        "readers of a run that is gone on with: {num_answers} answers of query; {num_seen} of DuckDB and polars, \
         after {num_gone} that found a file gone"
    ));
}

fn ask(scratch: &Scratch) -> Command {
    scratch.query(&["sql", "run", PARTITIONS, "--format", "jsonl"])
}
