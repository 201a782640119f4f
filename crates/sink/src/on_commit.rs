//! Who is told what a sink has committed, as that happens.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use trace::{CaptureId, CommitRecord, Rank};

/// Is told of every commit of a sink once it is durable, in their order, before the next is begun: what it was
/// told of survives whatever comes.
///
/// It is called on the thread that publishes (of the first commit of a run that is gone on with, on the one that
/// starts the sink), and holds recording up for as long as it takes. A commit whose last barrier
/// failed is in doubt, and not told.
#[derive(Clone)]
pub struct OnCommit(Arc<dyn Fn(&CommitRecord) + Send + Sync>);

impl OnCommit {
    /// Tells `observer`, which must not panic.
    pub fn new(observer: impl Fn(&CommitRecord) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observer))
    }

    /// Writes a line of JSON a commit, each in one piece and flushed at once: `number`, `rank` and `time` as
    /// in its record, `captures` with `epoch` and `step`, how many `files` it names and how many are `retired` by
    /// it, and whether it is the session's last (`final`).
    ///
    /// Whoever reads the lines has to keep up, since a full pipe holds recording up: a
    /// [`PatientWriter`](crate::PatientWriter) waits for as long as one wants. If they cannot be written any more, as
    /// when the reader has gone away, this is warned of once, and recording goes on.
    pub fn lines(lines: impl Write + Send + 'static) -> Self {
        let lines: Mutex<Option<Box<dyn Write + Send>>> = Mutex::new(Some(Box::new(lines)));
        Self::new(move |record| {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(writer) = &mut *lines
                && let Err(error) = write_line(writer, record)
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "commits are no longer told, recording goes on"
                );
                *lines = None;
            }
        })
    }

    /// Writes [`OnCommit::lines`] at the end of a file, which is created if it is not there. A pipe that has a
    /// name is waited for until somebody reads it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path)?;
        Ok(Self::lines(file))
    }

    pub(crate) fn tell(&self, record: &CommitRecord) {
        (self.0)(record);
    }
}

impl fmt::Debug for OnCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnCommit")
    }
}

/// A commit as it is told.
#[derive(Serialize)]
struct Line<'a> {
    number: u64,
    rank: Rank,
    time: &'a str,
    captures: &'a [CaptureId],
    files: usize,
    retired: usize,
    #[serde(rename = "final")]
    is_final: bool,
}

fn write_line(writer: &mut dyn Write, record: &CommitRecord) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Line {
        number: record.number,
        rank: record.rank,
        time: &record.time,
        captures: &record.captures,
        files: record.files.len(),
        retired: record.retired.len(),
        is_final: record.is_final,
    })?;
    line.push(b'\n');
    writer.write_all(&line)?;
    writer.flush()
}
