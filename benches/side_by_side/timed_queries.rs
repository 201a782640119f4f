//! The program that runs our queries, as a child process that is asked for one after the other.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// The child process. It ends when its input does.
pub struct TimedQueries {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl TimedQueries {
    /// Builds the program, in the profile of benchmarks, and starts it on a run.
    pub fn start(run: &Path) -> Result<Self> {
        let mut child = Command::new(build()?)
            .arg(run)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            questions: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().context("it is piped")?),
            child,
        })
    }

    /// The seconds that a query takes, with its rows in memory or in a Parquet file.
    pub fn seconds(&mut self, query: &str, parquet: Option<&Path>) -> Result<f64> {
        let questions = self.questions.as_mut().context("it was not stopped")?;
        writeln!(questions, "{}", json!({"query": query, "parquet": parquet}))?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let seconds = answer.trim().parse();
        seconds.with_context(|| format!("{query} failed"))
    }
}

impl Drop for TimedQueries {
    fn drop(&mut self) {
        self.questions = None;
        // It has nothing more to read; how it ended changes no figure.
        let _ = self.child.wait();
    }
}

fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["bench", "--workspace", "--bench", "timed_queries"])
        .args(["--no-run", "--quiet", "--message-format=json"])
        .current_dir(stratigraph::workspace_root())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "timed_queries does not build");
    for line in output.stdout.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        if let ("timed_queries", Some(path)) = (
            message["target"]["name"].as_str().unwrap_or_default(),
            message["executable"].as_str(),
        ) {
            return Ok(path.into());
        }
    }
    bail!("cargo did not say where timed_queries is")
}
