//! Running a program so that it always ends.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a slow, busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// A program that ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it said.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Finished {
    /// The exit status; none if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Its output.
    ///
    /// # Panics
    /// If it failed.
    pub fn expect_success(self) -> String {
        assert!(
            self.status.success(),
            "{}\nstdout:\n{}\nstderr:\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

/// A program that is running. Dropped, it is killed and waited for.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: Option<[JoinHandle<String>; 2]>,
}

/// Runs a program to its end.
///
/// # Panics
/// If it cannot be started, or does not end within [`TIMEOUT`].
pub fn run(command: &mut Command) -> Finished {
    spawn(command).wait()
}

/// Starts a program without standard input.
///
/// # Panics
/// If it cannot be started.
pub fn spawn(command: &mut Command) -> Running {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let stdout = child.stdout.take().expect("it is piped");
    let stderr = child.stderr.take().expect("it is piped");
    Running {
        child,
        output: Some([drain(stdout), drain(stderr)]),
    }
}

/// Reads to the end in a thread, so that a full pipe stops nobody.
fn drain(mut pipe: impl std::io::Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Running {
    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        let id = rustix::process::Pid::from_raw(self.child.id().cast_signed())
            .expect("a process's id is not 0");
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it is our child");
    }

    /// Sends SIGKILL and waits.
    pub fn kill(mut self) -> Finished {
        let _ = self.child.kill();
        self.wait()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If that takes longer than [`TIMEOUT`].
    pub fn wait(mut self) -> Finished {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("it is our child") {
                Some(status) => break status,
                None if start.elapsed() > TIMEOUT => panic!("a program did not end in time"),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let [stdout, stderr] = self.output.take().expect("waited for once");
        let text = |thread: JoinHandle<String>| thread.join().expect("reading does not panic");
        Finished {
            status,
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
