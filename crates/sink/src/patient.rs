//! Telling somebody who may not read.

use std::io::{self, Write};
use std::time::Duration;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use crate::sync::thread;
use crate::sync::{Arc, Instant};

/// How long whoever is to stop waits for a reader of what is committed.
pub const READER_PATIENCE: Duration = Duration::from_secs(5);

/// How often who waits for a reader looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);

/// Writes on a thread of its own, so that a pipe which is full, and which nobody reads, does not keep anybody who
/// is to stop.
///
/// Each write is waited for, and flushed. Once this is to stop, it is given up after a while: the write fails
/// ([`io::ErrorKind::TimedOut`]), and so does any after it. Nobody can join a thread that waits for such a pipe: it
/// ends with what it is handed, or with the process.
pub struct PatientWriter {
    lines: Sender<Vec<u8>>,
    written: Receiver<io::Result<()>>,
    patience: Duration,
    is_to_stop: Box<dyn Fn() -> bool + Send>,
    is_given_up: Arc<AtomicBool>,
}

impl PatientWriter {
    /// Writes to `to`. While `is_to_stop` says so, a reader is waited for no longer than `patience`.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn try_new(
        to: impl Write + Send + 'static,
        patience: Duration,
        is_to_stop: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        Self::try_open(move || Ok(to), patience, is_to_stop)
    }

    /// As [`PatientWriter::try_new`], to what `open` gives. That may wait as well, as for a reader of a pipe that has a
    /// name, and is given up in the same way.
    ///
    /// # Errors
    /// If it cannot be opened, or was given up, or no thread can be started.
    pub fn try_open<W: Write + 'static>(
        open: impl FnOnce() -> io::Result<W> + Send + 'static,
        patience: Duration,
        is_to_stop: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        // One is on its way at a time.
        let (lines, received) = bounded::<Vec<u8>>(1);
        let (answer, written) = bounded(1);
        let write = move || {
            let (mut to, opened) = match open() {
                Ok(to) => (Some(to), Ok(())),
                Err(error) => (None, Err(error)),
            };
            if answer.send(opened).is_err() {
                return;
            }
            for line in received {
                let Some(to) = &mut to else { return };
                let result = to.write_all(&line).and_then(|()| to.flush());
                if answer.send(result).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("commits".to_owned());
        thread.spawn(write)?;
        let writer = Self {
            lines,
            written,
            patience,
            is_to_stop: Box::new(is_to_stop),
            is_given_up: Arc::default(),
        };
        writer.wait("nobody has opened it to read it")?;
        Ok(writer)
    }

    /// Becomes true once it was given up.
    pub fn is_given_up(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_given_up)
    }

    /// Waits for the thread.
    fn wait(&self, in_vain: &str) -> io::Result<()> {
        let mut stopping_since = None;
        loop {
            match self.written.recv_timeout(TICK) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if !(self.is_to_stop)() {
                continue;
            }
            let since = stopping_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.patience {
                self.is_given_up.store(true, Ordering::Relaxed);
                let seconds = self.patience.as_secs_f64();
                let why = format!("{in_vain} for {seconds} s");
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        }
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "who writes it has ended")
}

impl Write for PatientWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.is_given_up.load(Ordering::Relaxed) {
            let why = "it was given up, since nobody read it";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        self.lines.send(line.to_owned()).map_err(|_| ended())?;
        self.wait("nobody has read the last")?;
        Ok(line.len())
    }

    /// Each write is flushed before it returns.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
