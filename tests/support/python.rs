//! A virtual environment with the Python packages that tests compare with.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{Finished, Scratch, announce, extension, spawn, workspace_root};

/// More than pip and pytest take on a slow, busy machine.
pub const PYTHON_LIMIT: Duration = Duration::from_secs(900);

/// The interpreter of an environment below `root`, which has the packages of
/// `tests/interop/requirements.txt`; made if it is not there yet. None, said aloud, where that is
/// not possible.
///
/// # Panics
/// If it is not possible and nothing may be skipped: where `CI` is set.
pub fn python(root: &Path) -> Option<PathBuf> {
    let interop = workspace_root().join("tests/interop");
    let older = interop.join("requirements-duckdb-1.5.txt");
    or_skip(environment(
        root,
        &interop.join("requirements.txt"),
        Some(&older),
    ))
}

/// As [`python`], with the packages that the Python package is tested with: PyTorch, and what reads runs.
///
/// # Panics
/// As for [`python`].
pub fn python_with_torch(root: &Path) -> Option<PathBuf> {
    let requirements = workspace_root().join("python/tests/requirements.txt");
    or_skip(environment(root, &requirements, None))
}

/// A directory that has the Python package as it is installed: its Python files with the extension module that
/// was built here beside them. For `PYTHONPATH`.
///
/// # Panics
/// If the file system refuses.
pub fn python_package(scratch: &Scratch) -> PathBuf {
    let root = scratch.path("package");
    let package = root.join("stratigraph_nn");
    fs::create_dir_all(&package).expect("a directory can be made");
    let module = package.join("_native.abi3.so");
    symlink(extension(), &module).expect("a link can be made");
    let files = workspace_root().join("python/stratigraph_nn");
    for entry in fs::read_dir(files).expect("the package is there") {
        let entry = entry.expect("the package can be listed");
        let link = package.join(entry.file_name());
        if link != module {
            symlink(entry.path(), link).expect("a link can be made");
        }
    }
    root
}

fn or_skip(environment: Result<PathBuf>) -> Option<PathBuf> {
    match environment {
        Ok(python) => Some(python),
        Err(error) if std::env::var_os("CI").is_some_and(|ci| !ci.is_empty()) => {
            panic!("no Python to test with: {error:#}")
        }
        Err(error) => {
            announce(&format!("skipped: no Python to test with: {error:#}"));
            None
        }
    }
}

/// Where the older DuckDB lies, beside the newer one of the interpreter's environment.
///
/// # Panics
/// If the interpreter lies in no environment.
pub fn duckdb_1_5(python: &Path) -> PathBuf {
    // python, bin, environment
    let environment = python
        .ancestors()
        .nth(2)
        .expect("it lies in an environment");
    environment.join("duckdb-1.5")
}

/// An environment with what `requirements` say, and in a directory of its own what `older` says.
fn environment(root: &Path, requirements: &Path, older: Option<&Path>) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    for file in [Some(requirements), older].into_iter().flatten() {
        fs::read(file)?.hash(&mut hasher);
    }
    let name = format!("python-{:016x}", hasher.finish());
    let environment = root.join(&name);
    let python = environment.join("bin/python");
    let complete = environment.join("complete");

    fs::create_dir_all(root)?;
    // One at a time: another test may need the same.
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
    succeed(pip().arg("-r").arg(requirements))?;
    if let Some(older) = older {
        let target = duckdb_1_5(&python);
        succeed(
            pip()
                .args(["--no-deps", "--target"])
                .arg(target)
                .arg("-r")
                .arg(older),
        )?;
    }
    fs::write(complete, "")?;
    Ok(python)
}

fn succeed(command: &mut Command) -> Result<()> {
    // Starting what is not there would end the test.
    which(command).with_context(|| format!("{command:?}"))?;
    let finished: Finished = spawn(command).wait_within(PYTHON_LIMIT);
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
