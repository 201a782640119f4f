//! DuckDB, polars, pandas and pyarrow read real runs, the notebook's steps in pandas agree with the
//! named queries, and checkpoints go to and fro between the recorder and the package `safetensors`:
//! `tests/interop/*.py`, on runs that the real recorder made.
//!
//! The Python packages are installed once, below the target directory. Where that is not possible
//! the test says so, and fails only where nothing may be skipped: where `CI` is set.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use stratigraph::{Finished, Scratch, announce, binaries, spawn, workspace_root};

/// More than pip and pytest take on a slow, busy machine.
const LIMIT: Duration = Duration::from_secs(900);

#[test]
fn other_engines_read_real_runs_and_agree() {
    let python = match python() {
        Ok(python) => python,
        Err(error) if std::env::var_os("CI").is_some_and(|ci| !ci.is_empty()) => {
            panic!("no Python to test with: {error:#}")
        }
        Err(error) => {
            announce(&format!("skipped: no Python to test with: {error:#}"));
            return;
        }
    };
    let scratch = Scratch::new();
    for dataset in ["notebook", "digits"] {
        scratch.train(&["--dataset", dataset, "--histograms", "16"]);
    }
    let runs = ["notebook", "digits"].map(|name| scratch.path("traces").join(name));

    let mut pytest = Command::new(&python);
    pytest
        .args([
            "-m",
            "pytest",
            "tests/interop",
            "-q",
            "-p",
            "no:cacheprovider",
        ])
        .current_dir(workspace_root())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("STRATIGRAPH_QUERY", &binaries().query)
        .env("STRATIGRAPH_RECORDER", &binaries().recorder)
        .env("STRATIGRAPH_RUNS", std::env::join_paths(runs).unwrap())
        .env("STRATIGRAPH_DUCKDB_1_5", duckdb_1_5(&python));
    let finished = spawn(&mut pytest).wait_within(LIMIT);
    assert_eq!(finished.code(), Some(0), "pytest: {finished}");
    announce(&format!(
        "pytest: {}",
        finished.stdout.lines().last().unwrap()
    ));
}

/// Where the older DuckDB lies, beside the newer one of the virtual environment.
fn duckdb_1_5(python: &Path) -> PathBuf {
    // python, bin, environment
    let environment = python
        .ancestors()
        .nth(2)
        .expect("it lies in an environment");
    environment.join("duckdb-1.5")
}

/// The interpreter of a virtual environment that has the required packages.
fn python() -> Result<PathBuf> {
    let interop = workspace_root().join("tests/interop");
    let requirements = interop.join("requirements.txt");
    let older = interop.join("requirements-duckdb-1.5.txt");

    let mut hasher = DefaultHasher::new();
    fs::read(&requirements)?.hash(&mut hasher);
    fs::read(&older)?.hash(&mut hasher);
    let name = format!("python-{:016x}", hasher.finish());
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let environment = root.join(&name);
    let python = environment.join("bin/python");
    let complete = environment.join("complete");

    fs::create_dir_all(root)?;
    // One at a time: another test session may need the same.
    let lock = fs::File::create(root.join(format!("{name}.lock")))?;
    lock.lock()?;
    if complete.exists() {
        return Ok(python);
    }
    if environment.exists() {
        fs::remove_dir_all(&environment)?;
    }
    succeed(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment),
    )?;
    let pip = || {
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        pip.arg("--only-binary=:all:");
        pip
    };
    succeed(pip().arg("-r").arg(&requirements))?;
    let target = duckdb_1_5(&python);
    succeed(
        pip()
            .args(["--no-deps", "--target"])
            .arg(target)
            .arg("-r")
            .arg(&older),
    )?;
    fs::write(complete, "")?;
    Ok(python)
}

fn succeed(command: &mut Command) -> Result<()> {
    // Starting what is not there would end the test.
    which(command).with_context(|| format!("{command:?}"))?;
    let finished: Finished = spawn(command).wait_within(LIMIT);
    if finished.code() != Some(0) {
        bail!("{command:?}: {finished}");
    }
    Ok(())
}

/// Whether a program can be started at all.
fn which(command: &Command) -> std::io::Result<()> {
    let mut version = Command::new(command.get_program());
    version.arg("--version").output().map(|_| ())
}
