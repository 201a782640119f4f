//! The Python package: its tests by pytest, `python/tests`, on the extension module that was built here, with
//! PyTorch.
//!
//! The packages are installed once, below the target directory. Where that is not possible the test says
//! so, and fails only where nothing may be skipped: where `CI` is set.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

use std::path::Path;
use std::process::Command;

use stratigraph::{
    PYTHON_LIMIT, Scratch, announce, binaries, python_package, python_with_torch, spawn,
    workspace_root,
};

#[test]
fn the_python_package_passes_its_own_tests() {
    let Some(python) = python_with_torch(Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return;
    };
    let scratch = Scratch::new();
    let package = python_package(&scratch);

    let mut pytest = Command::new(&python);
    pytest
        .args(["-m", "pytest", "python/tests", "-q", "-rs"])
        .args(["-p", "no:cacheprovider"])
        .current_dir(workspace_root())
        .env("PYTHONPATH", package)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("OMP_NUM_THREADS", "1")
        .env("STRATIGRAPH_BIN", binaries().query.parent().unwrap());
    let finished = spawn(&mut pytest).wait_within(PYTHON_LIMIT);
    assert_eq!(finished.code(), Some(0), "pytest: {finished}");
    // A library that is not there skips its tests, and in CI nothing may be skipped for that.
    let is_ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    let lacks = finished.stdout.contains("could not import");
    assert!(!is_ci || !lacks, "pytest: {finished}");
    announce(&format!(
        "pytest: {}",
        finished.stdout.lines().last().unwrap()
    ));
}
