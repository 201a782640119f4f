//! A place of its own in which a test uses the programs as somebody does who just built them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Running, binaries, run, wait_until};

/// An empty directory, and the programs to run in it.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// Makes the directory, which is gone once this is dropped.
    ///
    /// # Panics
    /// If the file system refuses.
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory can be made");
        Self { dir }
    }

    /// A path below the directory, or the directory itself.
    pub fn path(&self, name: &str) -> PathBuf {
        match name {
            "" => self.dir.path().to_owned(),
            name => self.dir.path().join(name),
        }
    }

    /// `recorder` with arguments.
    pub fn recorder(&self, arguments: &[&str]) -> Command {
        self.command(&binaries().recorder, arguments)
    }

    /// `sink` with arguments.
    pub fn sink(&self, arguments: &[&str]) -> Command {
        self.command(&binaries().sink, arguments)
    }

    /// `query` with arguments.
    pub fn query(&self, arguments: &[&str]) -> Command {
        self.command(&binaries().query, arguments)
    }

    /// A program that runs in the directory, and that nobody's own settings reach.
    pub fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env("XDG_STATE_HOME", self.dir.path())
            .env_remove("RUST_LOG");
        command
    }

    /// Trains on the CPU, and returns the closing summary.
    ///
    /// # Panics
    /// If that fails.
    pub fn train(&self, arguments: &[&str]) -> String {
        let mut command = self.recorder(&["train", "--device", "cpu"]);
        run(command.args(arguments)).expect_success()
    }

    /// The rows that a query gives, a JSON object each.
    ///
    /// # Panics
    /// If the query fails.
    pub fn rows(&self, run_dir: &str, sql: &str) -> Vec<Value> {
        let output = run(&mut self.query(&["sql", run_dir, sql, "--format", "jsonl"]));
        output
            .expect_success()
            .lines()
            .map(|line| serde_json::from_str(line).expect("a row is a JSON object"))
            .collect()
    }

    /// Waits until a run has its first commit.
    ///
    /// # Panics
    /// If the recorder ends before, or there is none in time.
    pub fn wait_for_commit(&self, run_dir: &str, recorder: &mut Running) {
        let commits = self.path(run_dir).join("commits");
        wait_until("a commit", || {
            assert!(recorder.is_running(), "the recorder ended by itself");
            let mut entries = std::fs::read_dir(&commits).ok()?;
            entries.next().map(|_| ())
        });
    }
}
