//! What a recorder has said that is on the disk for good, and whether a run agrees with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use sink::VerifyReport;
use stratigraph::{Scratch, announce};
use trace::{Catalog, RunDir, STAGING_DIR};

use crate::engines::{Engines, Partition};

/// Every partition of every capture, with the rows and the different keys that it has.
pub const PARTITIONS: &str = "
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

/// What a whole capture of a network has.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Training steps of an epoch.
    pub steps: u64,
    /// Labels and numbers of units, in the order of the labels.
    pub layers: [(&'static str, u64); 2],
    /// Held-out samples.
    pub samples: u64,
    /// Figures that [`PARTITIONS`] counts.
    pub metrics: u64,
}

impl Shape {
    /// What [`PARTITIONS`] says of a run of so many whole captures.
    pub fn whole_captures(&self, num_captures: u64) -> Vec<Value> {
        let [first, second] = self.layers;
        let capture = |epoch: u64| {
            [
                ("activations", first.0, first.1),
                ("activations", second.0, second.1),
                ("classifications", "", self.samples),
                ("metrics", "", self.metrics),
                ("weights", first.0, first.1),
                ("weights", second.0, second.1),
            ]
            .map(|(table, layer, rows)| {
                json!({
                    "tab": table, "layer": layer, "epoch": epoch, "step": self.steps * (epoch + 1),
                    "rows": rows, "keys": rows,
                })
            })
        };
        (0..num_captures).flat_map(capture).collect()
    }

    /// How many rows a part file of a table and layer has.
    pub fn rows_of(&self, table: &str, layer: &str) -> u64 {
        let layer = self.layers.iter().find(|(label, _)| *label == layer);
        match layer {
            Some((_, num_units)) => *num_units,
            None if table == "classifications" => self.samples,
            None => panic!("{table} has no layer"),
        }
    }
}

/// A commit as a recorder told it.
#[derive(Debug)]
pub struct Told {
    number: u64,
    epochs: Vec<u64>,
}

impl Told {
    /// The epochs whose captures it has.
    pub fn epochs(&self) -> &[u64] {
        &self.epochs
    }
}

/// The commits that were told, a line each; what else a recorder says on stdout is passed over.
pub fn told(stdout: &str) -> Vec<Told> {
    // A line that has no end was not told.
    let whole = stdout.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter(|line| line.starts_with("{\"number\""));
    lines.map(told_by).collect()
}

fn told_by(line: &str) -> Told {
    let line: Value = serde_json::from_str(line).unwrap();
    let captures = line["captures"].as_array().unwrap();
    Told {
        number: line["number"].as_u64().unwrap(),
        epochs: captures
            .iter()
            .map(|c| c["epoch"].as_u64().unwrap())
            .collect(),
    }
}

/// What came of many sessions.
#[derive(Debug, Default)]
pub struct Figures {
    pub sessions: u64,
    pub resumed: u64,
    pub told_captures: u64,
    /// Captures that were committed, and of which the recorder did not come to tell.
    pub untold_captures: u64,
    pub rolled_up: u64,
    pub leftover_files: u64,
}

impl Figures {
    pub fn announce(&self, what: &str) {
        let Self {
            sessions,
            resumed,
            told_captures,
            untold_captures,
            rolled_up,
            leftover_files,
        } = self;
        announce(&format!(
            "{what}: {sessions} sessions ended so, {resumed} of them resumed and {rolled_up} in runs that were \
             rolled up; {told_captures} captures acknowledged, 0 lost, 0 doubled, 0 unreadable; \
             {untold_captures} more committed, {leftover_files} files left over"
        ));
    }
}

/// What is known of a run, from session to session.
pub struct Oracle {
    run_dir: PathBuf,
    shape: Shape,
    /// Epochs whose captures are there for good.
    safe: BTreeSet<u64>,
    /// Epochs that a session takes back which has not told so.
    in_doubt: BTreeSet<u64>,
    /// How many commits there are at least; one more may be durable and not told yet.
    num_commits: u64,
}

impl Oracle {
    pub fn new(run_dir: &Path, shape: Shape) -> Self {
        Self {
            run_dir: run_dir.to_owned(),
            shape,
            safe: BTreeSet::new(),
            in_doubt: BTreeSet::new(),
            num_commits: 0,
        }
    }

    /// How many captures there are at least.
    pub fn num_captures(&self) -> u64 {
        self.safe.len() as u64
    }

    /// Notes what a session told, and gives how many captures that were. `taken_back` is the first epoch that it
    /// records anew, if it goes on with the run.
    pub fn hear(&mut self, taken_back: Option<u64>, told: &[Told]) -> u64 {
        if let Some(first) = taken_back {
            let back = self.safe.split_off(&first);
            // The first commit takes them back.
            if told.is_empty() {
                self.in_doubt = back;
            }
        }
        let mut num_told = 0;
        for commit in told {
            assert_eq!(commit.number, self.num_commits, "it told of another commit");
            self.num_commits += 1;
            for epoch in &commit.epochs {
                let is_new = self.safe.insert(*epoch);
                assert!(is_new, "epoch {epoch} was told twice");
            }
            num_told += commit.epochs.len() as u64;
        }
        num_told
    }

    /// Holds the run against what is known of it, as `sink`, `query` and other engines see it.
    pub fn check(
        &mut self,
        scratch: &Scratch,
        engines: Option<&mut Engines>,
        figures: &mut Figures,
    ) {
        let run_dir = self.run_dir.clone();
        if !run_dir.join("run.json").exists() {
            assert_eq!(
                (self.num_commits, self.safe.len()),
                (0, 0),
                "the run is gone"
            );
            return;
        }
        let run = RunDir::open(&run_dir).unwrap();
        let catalog = Catalog::load(&run).unwrap();
        self.check_captures(&catalog, figures);
        let report = sink::verify(&run, &|_| {}).unwrap();
        assert_eq!(report.problems, [], "{}", run_dir.display());
        assert!(report.partial.is_empty() && !report.lacks_commits);
        assert_eq!(report.num_captures, self.num_captures());
        if self.num_captures() > 0 {
            let name = run_dir.to_str().unwrap();
            let rows = scratch.rows(name, PARTITIONS);
            assert_eq!(rows, self.shape.whole_captures(self.num_captures()));
        }
        if let Some(engines) = engines {
            self.check_globs(&catalog, &report, &engines.duckdb(&run_dir));
        }
        read_leftovers(&run_dir, &report);
        let commits = std::fs::read_dir(run_dir.join("commits")).unwrap();
        let mut names = commits.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        figures.rolled_up += u64::from(names.any(|name| name.starts_with("checkpoint-")));
        figures.leftover_files += report.uncommitted.len() as u64;
    }

    /// Every capture that was told is there, once; the others are those of the commits that may be there as well.
    fn check_captures(&mut self, catalog: &Catalog, figures: &mut Figures) {
        let numbers: Vec<u64> = catalog.commits().iter().map(|c| c.number).collect();
        let num_commits = numbers.len() as u64;
        assert_eq!(numbers, (0..num_commits).collect::<Vec<_>>());
        let num_untold = num_commits.checked_sub(self.num_commits);
        let num_untold = num_untold.expect("a commit that was told is gone");
        assert!(num_untold <= 1, "{num_untold} commits were not told");
        let captures = catalog.captures();
        let found: BTreeSet<u64> = captures.iter().map(|c| c.id.epoch.0 as u64).collect();
        assert_eq!(found.len(), captures.len(), "a capture is there twice");
        assert_eq!(found, (0..found.len() as u64).collect(), "one is missing");
        let lost: Vec<_> = self.safe.difference(&found).collect();
        assert!(lost.is_empty(), "acknowledged and lost: epochs {lost:?}");
        let untold = captures.iter().filter(|c| {
            let epoch = c.id.epoch.0 as u64;
            !self.safe.contains(&epoch) && !self.in_doubt.contains(&epoch)
        });
        for capture in untold {
            assert!(capture.commit >= self.num_commits, "{capture:?} came back");
            figures.untold_captures += 1;
        }
        // What a session takes back goes as a whole.
        let num_doubtful = self.in_doubt.intersection(&found).count();
        let expected = if num_untold == 0 {
            self.in_doubt.len()
        } else {
            0
        };
        assert_eq!(num_doubtful, expected, "of {:?}", self.in_doubt);
        self.in_doubt.clear();
        self.safe = found;
        self.num_commits = num_commits;
    }

    /// A glob sees every committed file once and whole, and beside these only what `sink verify` lists.
    fn check_globs(&self, catalog: &Catalog, report: &VerifyReport, seen: &[Partition]) {
        let mut paths = BTreeMap::new();
        let mut keys = BTreeSet::new();
        for partition in seen {
            let Partition { table, layer, .. } = partition;
            assert_eq!(
                partition.rows,
                self.shape.rows_of(table, layer),
                "{partition:?}"
            );
            assert_eq!(partition.keys, partition.rows, "{partition:?}");
            assert_eq!(partition.step, self.shape.steps * (partition.epoch + 1));
            let key = (table.clone(), partition.epoch, layer.clone());
            assert!(keys.insert(key), "a glob sees {partition:?} twice");
            paths.insert(partition.path.as_str(), partition.rows);
        }
        let is_seen = |table: &str| Engines::TABLES.contains(&table);
        for file in catalog.files().filter(|file| is_seen(file.table)) {
            assert_eq!(paths.remove(file.path), Some(file.rows), "{}", file.path);
        }
        for path in paths.keys() {
            let is_listed = report.uncommitted.iter().any(|file| file.path == *path);
            assert!(is_listed, "a glob sees {path}, which nobody knows");
        }
    }
}

/// Whatever lies in a table's directory can be read, committed or not.
fn read_leftovers(run_dir: &Path, report: &VerifyReport) {
    let in_tables = |path: &&str| !path.starts_with(STAGING_DIR);
    for path in report
        .uncommitted
        .iter()
        .map(|file| file.path.as_str())
        .filter(in_tables)
    {
        let file = std::fs::File::open(run_dir.join(path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(ParquetRecordBatchReaderBuilder::build)
            .unwrap_or_else(|e| panic!("{path}: {e}"));
        let num_rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
        assert!(num_rows > 0, "{path}");
    }
}
