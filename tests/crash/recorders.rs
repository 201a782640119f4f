//! Recorders that tell what they commit: the program, and a training in PyTorch.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stratigraph::{
    Finished, Running, Scratch, Worker, python_package, python_with_torch, spawn, wait_until,
    workspace_root,
};

use crate::oracle::{Shape, Told, told};

/// The network that the program trains, slowly enough that a run does not grow large.
pub const DIGITS: Shape = Shape {
    steps: 188,
    layers: [("L_input", 8), ("L_output", 10)],
    samples: 297,
    metrics: 5,
};

/// The network of `tests/crash/train.py`.
pub const TORCH: Shape = Shape {
    steps: 4,
    layers: [("hidden", 8), ("output", 4)],
    samples: 32,
    metrics: 3,
};

/// A session that records, until it is killed.
pub enum Session<'a> {
    Program(Running),
    Torch {
        trainer: &'a mut Trainer,
        process: Pid,
        said: String,
        /// What it takes back, if it goes on with a run.
        first: Option<u64>,
    },
}

/// What a session has left to say.
pub struct Ended {
    pub told: Vec<Told>,
    /// The first epoch that is recorded anew, if it has come so far as to go on with a run.
    pub taken_back: Option<u64>,
    /// Of the program: how it ended.
    pub finished: Option<Finished>,
}

/// The program, which records what would never end: into a new run, or on with the one that is there.
pub fn program(scratch: &Scratch, run_dir: &str, more: &[&str]) -> Command {
    let mut command = scratch.recorder(&["train", "--device", "cpu", "--hidden", "8"]);
    command.args(["--batch-size", "8", "--epochs", "1000000"]);
    command.args([
        "--checkpoint-every",
        "3epochs",
        "--commits",
        "-",
        "--out",
        run_dir,
    ]);
    if scratch.path(run_dir).exists() {
        command.arg("--resume");
    }
    command.args(more);
    command
}

impl Session<'_> {
    /// Starts the program.
    pub fn start(command: &mut Command) -> Self {
        Self::Program(spawn(command))
    }

    /// How many commits it has told.
    pub fn num_told(&mut self) -> usize {
        match self {
            Self::Program(running) => told(&running.stdout()).len(),
            Self::Torch { trainer, said, .. } => {
                trainer.listen(said);
                told(said).len()
            }
        }
    }

    pub fn is_running(&mut self) -> bool {
        match self {
            Self::Program(running) => running.is_running(),
            Self::Torch { trainer, said, .. } => {
                trainer.listen(said);
                !said.contains(ENDED)
            }
        }
    }

    /// What it has complained about, as far as that is known.
    pub fn complaints(&self) -> String {
        match self {
            Self::Program(running) => running.stderr(),
            Self::Torch { said, .. } => said.clone(),
        }
    }

    /// Waits until it has told so many commits.
    pub fn wait_until_told(&mut self, num_commits: usize) {
        wait_until("a commit", || {
            let num_told = self.num_told();
            assert!(
                num_told >= num_commits || self.is_running(),
                "it ended by itself: {}",
                self.complaints()
            );
            (num_told >= num_commits).then_some(())
        });
    }

    /// Kills it, if it has not ended.
    pub fn kill(self) -> Ended {
        match self {
            Self::Program(running) => Ended::of(running.kill()),
            Self::Torch {
                trainer,
                process,
                mut said,
                first,
            } => {
                kill_process(process, Signal::KILL).expect("nobody waited for it");
                while !said.contains(ENDED) {
                    said += &trainer.worker.hear();
                    said.push('\n');
                }
                assert!(said.contains("\"ended\": 9"), "{said}");
                Ended {
                    told: told(&said),
                    taken_back: first,
                    finished: None,
                }
            }
        }
    }
}

impl Ended {
    pub fn of(finished: Finished) -> Self {
        // Epochs are told from 1 on.
        let said = finished.stderr.split_once("going on with epoch ");
        let taken_back = said.map(|(_, rest)| {
            let number = rest.split(' ').next().unwrap();
            number.parse::<u64>().unwrap() - 1
        });
        Self {
            told: told(&finished.stdout),
            taken_back,
            finished: Some(finished),
        }
    }
}

/// With what the trainer says that a process has ended.
const ENDED: &str = "\"ended\": ";

/// PyTorch, loaded once: each training is a process that is forked off it.
pub struct Trainer {
    worker: Worker,
    /// Has the package.
    _package: Scratch,
}

impl Trainer {
    /// None, said aloud, where there is no Python.
    pub fn start() -> Option<Self> {
        let python = python_with_torch(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let package = Scratch::new();
        let mut command = Command::new(python);
        command
            .arg(workspace_root().join("tests/crash/train.py"))
            .env("PYTHONPATH", python_package(&package))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("OMP_NUM_THREADS", "1");
        let worker = Worker::start(&mut command);
        Some(Self {
            worker,
            _package: package,
        })
    }

    /// Begins a training, from the beginning, or after the epoch of the loop's own checkpoint.
    pub fn train(&mut self, run_dir: &Path, checkpoint: Option<u64>) -> Session<'_> {
        let first = checkpoint.map(|epoch| epoch + 1);
        let job = json!({"run": run_dir, "first": first});
        let began: Value = serde_json::from_str(&self.worker.ask(&job.to_string())).unwrap();
        let process = i32::try_from(began["began"].as_i64().unwrap()).unwrap();
        Session::Torch {
            trainer: self,
            process: Pid::from_raw(process).unwrap(),
            said: String::new(),
            first,
        }
    }

    /// Takes what was said meanwhile.
    fn listen(&mut self, said: &mut String) {
        while let Some(line) = self.worker.hear_within(Duration::ZERO) {
            said.push_str(&line);
            said.push('\n');
        }
    }
}
