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

use std::path::Path;
use std::process::Command;

use stratigraph::{
    PYTHON_LIMIT, Scratch, announce, binaries, duckdb_1_5, python, spawn, workspace_root,
};

#[test]
fn other_engines_read_real_runs_and_agree() {
    let Some(python) = python(Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return;
    };
    let scratch = Scratch::new();
    for dataset in ["notebook", "digits"] {
        scratch.train(&["--dataset", dataset, "--histograms", "16"]);
    }
    // And one whose layers have several files each, which a glob does not find in their order.
    scratch.train(&[
        "--dataset",
        "digits",
        "--histograms",
        "16",
        "--hidden",
        "40,16",
        "--epochs",
        "4",
        "--max-part-bytes",
        "4KiB",
        "--out",
        "traces/split",
    ]);
    let runs = ["notebook", "digits", "split"].map(|name| scratch.path("traces").join(name));

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
    let finished = spawn(&mut pytest).wait_within(PYTHON_LIMIT);
    assert_eq!(finished.code(), Some(0), "pytest: {finished}");
    announce(&format!(
        "pytest: {}",
        finished.stdout.lines().last().unwrap()
    ));
}
