//! Who is told of commits while a session records.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use console::is_closed_pipe;
use recorder::{CancelToken, OnCommit};
use sink::{PatientWriter, READER_PATIENCE};
use words::printable;

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
        let lines =
            patient(lines, cancel).context("cannot start a thread that tells what is committed")?;
        let is_given_up = lines.is_given_up();
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
        let mut stdout = patient(io::stdout(), &self.cancel)
            .context("cannot start a thread that tells how it ended")?;
        match stdout.write_all(printable(text).as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
            Err(error) if is_closed_pipe(&error) => Ok(true),
            written => written.map(|()| true).context("cannot write to stdout"),
        }
    }
}

/// Waits for its reader until the session is to stop, and then no longer than [`READER_PATIENCE`].
fn patient(to: impl Write + Send + 'static, cancel: &CancelToken) -> io::Result<PatientWriter> {
    let cancel = cancel.clone();
    PatientWriter::try_new(to, READER_PATIENCE, move || cancel.is_cancelled())
}
