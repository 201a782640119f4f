//! A program that is asked line by line, for as long as a test needs it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::TIMEOUT;

/// A program that answers lines on stdin by lines on stdout. Dropped, it is ended and waited for.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the program; what it complains about is the test's own stderr.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let input = child.stdin.take();
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        let read = move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        };
        Self {
            child,
            input,
            lines,
            reader: Some(std::thread::spawn(read)),
        }
    }

    /// Tells it a line.
    ///
    /// # Panics
    /// If it does not listen any more.
    pub fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it is open until the end");
        writeln!(input, "{line}").expect("the program listens");
    }

    /// The next line that it says.
    ///
    /// # Panics
    /// If it says none within [`TIMEOUT`].
    pub fn hear(&self) -> String {
        let line = self.lines.recv_timeout(TIMEOUT);
        line.expect("the program answers in time")
    }

    /// The next line, if it says one within that time.
    pub fn hear_within(&self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// Tells it a line, and gives the next that it says.
    ///
    /// # Panics
    /// As for [`Worker::tell`] and [`Worker::hear`].
    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.hear()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let read = reader.join();
            assert!(read.is_ok() || std::thread::panicking(), "reading panicked");
        }
    }
}
