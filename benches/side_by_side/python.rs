//! The Python peers in `benches/compare`, and an interpreter that has what they need.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// An interpreter with numpy, pandas and pyarrow.
pub struct Python {
    interpreter: PathBuf,
    compiled: PathBuf,
}

/// What a peer says about itself at its end, and how long its process lived.
pub struct Answer {
    /// The last line that it printed.
    pub last: Value,
    /// From the start of the interpreter to its end.
    pub process_seconds: f64,
}

impl Answer {
    /// The seconds of work that it counted itself, without the start and the imports.
    pub fn seconds(&self) -> Result<f64> {
        self.last["seconds"]
            .as_f64()
            .context("a peer counts its seconds")
    }

    /// How many of [`Answer::seconds`] the trace took to load.
    pub fn load_seconds(&self) -> Result<f64> {
        self.last["load_seconds"]
            .as_f64()
            .context("a peer counts its loading")
    }
}

impl Python {
    /// The given interpreter, or one made in the build directory with the packages that the
    /// interoperability tests pin.
    pub fn find(given: Option<&Path>, scratch: &Path) -> Result<Self> {
        let python = Self {
            interpreter: match given {
                Some(path) => path.to_owned(),
                None => environment()?,
            },
            compiled: scratch.join("pycache"),
        };
        python.check()?;
        Ok(python)
    }

    fn check(&self) -> Result<()> {
        let path = self.interpreter.display();
        let versions = versions(&self.interpreter).with_context(|| {
            format!(
                "{path} cannot import numpy, pandas and pyarrow: give --python PATH of one that can"
            )
        })?;
        println!("{versions}");
        Ok(())
    }

    /// Runs a peer to its end.
    pub fn run(&self, script: &str, arguments: &[&std::ffi::OsStr]) -> Result<Answer> {
        let start = Instant::now();
        let output = Command::new(&self.interpreter)
            .arg(
                stratigraph::workspace_root()
                    .join("benches/compare")
                    .join(script),
            )
            .args(arguments)
            // Compiled modules are kept between runs, but not in the source tree.
            .env("PYTHONPYCACHEPREFIX", &self.compiled)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| self.interpreter.display().to_string())?;
        let process_seconds = start.elapsed().as_secs_f64();
        ensure!(output.status.success(), "{script} failed");
        let text = String::from_utf8(output.stdout)?;
        let last = match text.lines().last() {
            Some(line) => serde_json::from_str(line).context("a peer prints JSON lines")?,
            None => Value::Null,
        };
        Ok(Answer {
            last,
            process_seconds,
        })
    }
}

fn environment() -> Result<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare-python");
    let interpreter = dir.join("bin/python");
    let requirements = stratigraph::workspace_root().join("tests/interop/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements)?;
    let installed = dir.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(interpreter);
    }
    eprintln!("making a Python environment in {}", dir.display());
    run_to_end(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&dir),
    )?;
    let mut pip = Command::new(&interpreter);
    pip.args(["-m", "pip", "install", "--quiet"]);
    pip.args(["--only-binary=:all:", "-r"]).arg(&requirements);
    run_to_end(&mut pip)?;
    std::fs::write(installed, wanted)?;
    Ok(interpreter)
}

fn run_to_end(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// The versions of the interpreter and of what it measures with.
fn versions(interpreter: &Path) -> Result<String> {
    let script = "import platform, numpy, pandas, pyarrow; print(\
                  f'Python {platform.python_version()}, numpy {numpy.__version__}, pandas \
                  {pandas.__version__}, pyarrow {pyarrow.__version__}')";
    let output = Command::new(interpreter).args(["-c", script]).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
