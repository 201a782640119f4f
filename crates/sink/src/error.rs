//! What can go wrong between `send` and the commit record.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trace::{EncodeError, LockRunError, PublishError};

/// Why a sink could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartSinkError {
    /// Another process records into the run.
    #[error(transparent)]
    Lock(#[from] LockRunError),
    /// The run cannot be published into.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The operating system gave no thread.
    #[error("cannot start the thread {name}")]
    Spawn {
        /// The thread.
        name: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why recording stopped. What was committed before stays as it is.
///
/// The first failure of any thread of the sink; every call after it returns the same one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SinkError {
    /// The rows of a part file could not be made of what was sent.
    #[error("cannot make the rows of the part file {}", path.display())]
    MakePart {
        /// Where the file was to go.
        path: PathBuf,
        /// What went wrong.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A part file could not be made.
    #[error("cannot start the part file {}", path.display())]
    CreatePart {
        /// Where the file was to go.
        path: PathBuf,
        /// What the file system said.
        source: Arc<io::Error>,
    },
    /// A part file could not be encoded or written.
    #[error("cannot write the part file {}", path.display())]
    WritePart {
        /// Where the file was to go.
        path: PathBuf,
        /// What went wrong.
        source: Arc<EncodeError>,
    },
    /// Part files could not be made durable, moved into place, or committed.
    #[error("{}", describe_publish(run, source))]
    Publish {
        /// The run.
        run: PathBuf,
        /// What went wrong.
        source: Arc<PublishError>,
    },
    /// A thread of the sink panicked.
    #[error("the thread {thread} panicked, which is a bug: {message}")]
    Panicked {
        /// The thread.
        thread: String,
        /// What it said.
        message: String,
    },
}

/// What a failed publish means for what was recorded.
fn describe_publish(run: &Path, error: &PublishError) -> String {
    let run = run.display();
    match error {
        PublishError::NotCommitted(_) => format!("cannot publish what was recorded into {run}"),
        PublishError::InDoubt { .. } => {
            format!("cannot tell whether what was recorded last into {run} was published")
        }
        PublishError::NotCleanedUp { .. } => {
            format!("what was recorded into {run} is published, but recording cannot go on")
        }
    }
}

impl SinkError {
    /// The error for a panic that was caught.
    pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "it gave no reason".to_owned());
        SinkError::Panicked {
            thread: std::thread::current()
                .name()
                .unwrap_or("unnamed")
                .to_owned(),
            message,
        }
    }

    pub(crate) fn publish(run: &Path, source: PublishError) -> Self {
        SinkError::Publish {
            run: run.to_owned(),
            source: Arc::new(source),
        }
    }
}
