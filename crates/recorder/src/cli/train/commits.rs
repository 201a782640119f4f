//! Who is told of commits while a session records.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use console::is_closed_pipe;
use recorder::{CancelToken, OnCommit};
use words::printable;

/// How long a session that is to stop waits until a line is read.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often who waits for that looks whether the session is to stop.
const TICK: Duration = Duration::from_millis(50);

/// Where commits are told.
pub(super) struct Commits {
    pub(super) on_commit: OnCommit,
    pub(super) is_stdout: bool,
    is_given_up: Arc<AtomicBool>,
    cancel: CancelToken,
}

impl Commits {
    /// In a file, at its end, or on stdout by `-`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn to(to: &Path, cancel: &CancelToken) -> Result<Self> {
        let is_stdout = to == Path::new("-");
        let lines: Box<dyn Write + Send> = if is_stdout {
            Box::new(io::stdout())
        } else {
            let file = File::options().append(true).create(true).open(to);
            Box::new(file.with_context(|| {
                format!(
                    "cannot write to {}, where --commits is to tell what is committed",
                    to.display()
                )
            })?)
        };
        let lines = Patient::try_new(lines, cancel.clone(), PATIENCE)
            .context("cannot start a thread that tells what is committed")?;
        let is_given_up = Arc::clone(&lines.is_given_up);
        Ok(Self {
            on_commit: OnCommit::lines(lines),
            is_stdout,
            is_given_up,
            cancel: cancel.clone(),
        })
    }

    /// Writes to stdout as the lines of a session that was to stop; returns whether somebody has read it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn tell_last(self, text: &str) -> Result<bool> {
        if self.is_given_up.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let mut stdout = Patient::try_new(io::stdout(), self.cancel, PATIENCE)
            .context("cannot start a thread that tells how it ended")?;
        match stdout.write_all(printable(text).as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
            Err(error) if is_closed_pipe(&error) => Ok(true),
            written => written.map(|()| true).context("cannot write to stdout"),
        }
    }
}

/// Writes on a thread of its own, so that a pipe which is full, and which nobody reads, does not keep a session that
/// is to stop. Nobody can join a thread that waits for such a pipe: it ends with what it is handed, or with the process.
/// There is one line on its way at a time.
struct Patient {
    lines: Sender<Vec<u8>>,
    written: Receiver<io::Result<()>>,
    cancel: CancelToken,
    patience: Duration,
    is_given_up: Arc<AtomicBool>,
}

impl Patient {
    fn try_new(
        mut to: impl Write + Send + 'static,
        cancel: CancelToken,
        patience: Duration,
    ) -> io::Result<Self> {
        let (lines, received) = mpsc::channel::<Vec<u8>>();
        let (answer, written) = mpsc::channel();
        let write = move || {
            for line in received {
                let result = to.write_all(&line).and_then(|()| to.flush());
                if answer.send(result).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("commits".to_owned())
            .spawn(write)?;
        Ok(Self {
            lines,
            written,
            cancel,
            patience,
            is_given_up: Arc::default(),
        })
    }
}

impl Write for Patient {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let ended = || io::Error::new(io::ErrorKind::BrokenPipe, "who writes them has ended");
        self.lines.send(line.to_owned()).map_err(|_| ended())?;
        let mut stopping_since = None;
        loop {
            match self.written.recv_timeout(TICK) {
                Ok(result) => return result.map(|()| line.len()),
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if !self.cancel.is_cancelled() {
                continue;
            }
            let since = stopping_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.patience {
                self.is_given_up.store(true, Ordering::Relaxed);
                let seconds = self.patience.as_secs_f64();
                let why = format!("nobody has read the last for {seconds} s");
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        }
    }

    /// Each write is flushed before it returns.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Takes nothing before it is told to.
    struct Full(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.0.recv().map_err(gone)?;
            self.1.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_waited_for_until_the_session_is_to_stop() {
        let (read, reads) = mpsc::channel();
        let taken = Arc::default();
        let full = Full(reads, Arc::clone(&taken));
        let cancel = CancelToken::default();
        let patience = Duration::from_millis(200);
        let mut lines = Patient::try_new(full, cancel.clone(), patience).unwrap();
        // A reader that is slow is waited for.
        let reader = std::thread::spawn({
            let read = read.clone();
            move || {
                std::thread::sleep(Duration::from_millis(500));
                read.send(()).unwrap();
            }
        });
        lines.write_all(b"first\n").unwrap();
        reader.join().unwrap();
        assert_eq!(*taken.lock().unwrap(), b"first\n");
        // Of a session that is to stop, too, if it is not too slow.
        cancel.cancel();
        read.send(()).unwrap();
        lines.write_all(b"second\n").unwrap();
        assert!(!lines.is_given_up.load(Ordering::Relaxed));
        let start = Instant::now();
        let error = lines.write_all(b"third\n").unwrap_err();
        assert_eq!(error.to_string(), "nobody has read the last for 0.2 s");
        assert!(start.elapsed() >= patience);
        assert!(lines.is_given_up.load(Ordering::Relaxed));
        assert_eq!(*taken.lock().unwrap(), b"first\nsecond\n");
    }

    #[test]
    fn a_reader_that_is_gone_is_told() {
        let (read, reads) = mpsc::channel();
        drop(read);
        let full = Full(reads, Arc::default());
        let mut lines = Patient::try_new(full, CancelToken::default(), PATIENCE).unwrap();
        let error = lines.write_all(b"first\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(!lines.is_given_up.load(Ordering::Relaxed));
    }
}
