//! What other engines see of a run by globs over its tables.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use stratigraph::{Worker, python_with_torch, workspace_root};

/// A part file as DuckDB sees it, or a partition as polars does.
#[derive(Debug)]
pub struct Partition {
    pub table: String,
    /// Below the run's directory; empty where the engine does not tell.
    pub path: String,
    pub epoch: u64,
    /// Empty of a table without layers.
    pub layer: String,
    pub step: u64,
    pub rows: u64,
    /// Neurons or samples among the rows.
    pub keys: u64,
}

/// DuckDB and polars, in a process that is asked again and again.
pub struct Engines(Worker);

impl Engines {
    /// The tables that are looked at.
    pub const TABLES: [&'static str; 3] = ["weights", "activations", "classifications"];

    /// None, said aloud, where there is no Python.
    pub fn start() -> Option<Self> {
        let python = python_with_torch(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let mut worker = Command::new(python);
        worker.arg(workspace_root().join("tests/crash/engines.py"));
        Some(Self(Worker::start(&mut worker)))
    }

    /// What they are called.
    pub const NAMES: [&'static str; 2] = ["duckdb", "polars"];

    pub fn duckdb(&mut self, run_dir: &Path) -> Vec<Partition> {
        self.answer(run_dir, "duckdb")
    }

    pub fn polars(&mut self, run_dir: &Path) -> Vec<Partition> {
        self.answer(run_dir, "polars")
    }

    fn answer(&mut self, run_dir: &Path, engine: &str) -> Vec<Partition> {
        let answer = self.ask(run_dir, engine);
        answer.unwrap_or_else(|error| panic!("{engine} cannot read {run_dir:?}: {error}"))
    }

    /// What an engine sees.
    ///
    /// # Errors
    /// What it says where it cannot read the run.
    pub fn ask(&mut self, run_dir: &Path, engine: &str) -> Result<Vec<Partition>, String> {
        let request = json!({"run": run_dir, "engine": engine});
        let answer: Value = serde_json::from_str(&self.0.ask(&request.to_string())).unwrap();
        if let Some(error) = answer["error"].as_str() {
            return Err(error.to_owned());
        }
        let seen = answer["seen"].as_array().unwrap().iter();
        let partition = |row: &Value| {
            let text = |index: usize| row[index].as_str().unwrap().to_owned();
            let number = |index: usize| row[index].as_u64().unwrap();
            Partition {
                table: text(0),
                path: text(1),
                epoch: number(2),
                layer: text(3),
                step: number(4),
                rows: number(5),
                keys: number(6),
            }
        };
        Ok(seen.map(partition).collect())
    }
}
