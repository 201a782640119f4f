//! Running a program so that it always ends.

use std::fmt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a slow, busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// How often something that is waited for is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

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
        assert!(self.status.success(), "{self}");
        self.stdout
    }

    /// What it complained about, without any output beside it.
    ///
    /// # Panics
    /// If it exited otherwise, or printed a result.
    pub fn expect_failure(self, code: i32) -> String {
        assert_eq!(self.code(), Some(code), "{self}");
        assert_eq!(self.stdout, "", "{self}");
        self.stderr
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            stdout,
            stderr,
        } = self;
        write!(f, "{status}\nstdout:\n{stdout}\nstderr:\n{stderr}")
    }
}

/// A program that is running. Dropped, it is killed and waited for.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Drained,
    stderr: Drained,
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
        stdout: Drained::new(stdout),
        stderr: Drained::new(stderr),
    }
}

/// Waits until `value` gives something.
///
/// # Panics
/// If it gives nothing within [`TIMEOUT`].
pub fn wait_until<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = value() {
            return value;
        }
        assert!(start.elapsed() < TIMEOUT, "waited in vain for {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The most memory that a process has held resident so far, in KiB; none once it has ended, or where
/// the system does not tell it in `/proc`.
pub fn peak_memory_kib(process_id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A pipe that a thread reads to its end, so that a full one stops nobody.
#[derive(Debug)]
struct Drained {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Drained {
    fn new(mut pipe: impl std::io::Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(length @ 1..) = pipe.read(&mut chunk) {
                let mut bytes = read.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.extend_from_slice(&chunk[..length]);
            }
        });
        Self {
            bytes,
            thread: Some(thread),
        }
    }

    /// What was read so far.
    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What was read to the end.
    fn finish(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("reading does not panic");
        }
        self.text()
    }
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

    /// What it has said so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has complained about so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        let id = rustix::process::Pid::from_raw(self.child.id().cast_signed())
            .expect("a process's id is not 0");
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it is our child");
    }

    /// Waits until it has said `text` on stderr.
    ///
    /// # Panics
    /// If it does not within [`TIMEOUT`].
    pub fn wait_for_stderr(&self, text: &str) {
        wait_until(text, || self.stderr.text().contains(text).then_some(()));
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
    pub fn wait(self) -> Finished {
        self.wait_within(TIMEOUT)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If that takes longer than `limit`.
    pub fn wait_within(mut self, limit: Duration) -> Finished {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("it is our child") {
                Some(status) => break status,
                None if start.elapsed() > limit => panic!(
                    "a program did not end within {limit:?}; it said:\n{}",
                    self.stderr.text()
                ),
                None => std::thread::sleep(POLL_INTERVAL),
            }
        };
        Finished {
            status,
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
