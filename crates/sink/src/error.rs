//! What can go wrong between `send` and the commit record.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trace::{EncodeError, LockRunError, PublishError, PublishStepError, RunDir};

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
    /// A roll-up of commits was written, and whether its name lasts cannot be told: other commits are not to
    /// be deleted under it.
    #[error(
        "cannot tell whether a roll-up of commits in {} outlasts a crash, since the directory could not be synced: \
         recording does not go on before the run is opened anew",
        commits.display()
    )]
    RollUpInDoubt {
        /// The directory of the commits.
        commits: PathBuf,
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

    /// The error for a publish that failed.
    pub(crate) fn publish(run: &RunDir, source: PublishError) -> Self {
        SinkError::Publish {
            run: run.path().to_owned(),
            source: Arc::new(explain_publish(run, source)),
        }
    }

    /// Whether it is for want of room alone (space, inodes, a quota), and nothing is in doubt: what was
    /// committed stays, what was on the way is gone, and another sink can record on where there is room.
    ///
    /// Whatever else fails is no case for another try: a disk that could not write may not have written what it
    /// said that it had, and a group that is in doubt must not have others after it.
    pub fn is_for_want_of_room(&self) -> bool {
        match self {
            Self::CreatePart { source, .. } => trace::is_no_room(source),
            Self::WritePart { source, .. } => match &**source {
                EncodeError::Io(error) => trace::is_no_room(error),
                _ => false,
            },
            Self::Publish { source, .. } => is_publish_for_want_of_room(source),
            Self::MakePart { .. } | Self::RollUpInDoubt { .. } | Self::Panicked { .. } => false,
        }
    }

    /// Whether the disk may have failed, or what is committed be in doubt: nothing is to be recorded after it
    /// before the run is opened anew. Where there was no room, or no file may be so large, the disk has refused,
    /// and not failed; a panic says nothing of it.
    pub fn is_disk_in_doubt(&self) -> bool {
        match self {
            Self::CreatePart { source, .. } => !is_refusal(source),
            Self::WritePart { source, .. } => match &**source {
                EncodeError::Io(error) => !is_refusal(error),
                _ => false,
            },
            Self::Publish { source, .. } => match &**source {
                PublishError::NotCommitted(PublishStepError::Io { source, .. }) => {
                    !is_refusal(source)
                }
                _ => true,
            },
            Self::RollUpInDoubt { .. } => true,
            Self::MakePart { .. } | Self::Panicked { .. } => false,
        }
    }

    /// How much of what could be done after the error is not to be done after it: nothing where there was no room,
    /// all where the disk is in doubt.
    pub(crate) fn severity(&self) -> u8 {
        match self {
            error if error.is_for_want_of_room() => 0,
            error if !error.is_disk_in_doubt() => 1,
            _ => 2,
        }
    }
}

impl StartSinkError {
    /// As [`SinkError::is_for_want_of_room`].
    pub fn is_for_want_of_room(&self) -> bool {
        match self {
            Self::Publish(error) => is_publish_for_want_of_room(error),
            Self::Lock(LockRunError::Io { source, .. }) => trace::is_no_room(source),
            Self::Lock(_) | Self::Spawn { .. } => false,
        }
    }
}

/// Whether a file system that is sound has refused to write more.
fn is_refusal(error: &io::Error) -> bool {
    trace::is_no_room(error) || error.kind() == io::ErrorKind::FileTooLarge
}

fn is_publish_for_want_of_room(error: &PublishError) -> bool {
    match error {
        PublishError::NotCommitted(PublishStepError::Io { source, .. }) => {
            trace::is_no_room(source)
        }
        _ => false,
    }
}

/// What a publisher's error means, in the words of [`explain`].
pub(crate) fn explain_publish(run: &RunDir, error: PublishError) -> PublishError {
    let explain_step = |step| match step {
        PublishStepError::Io {
            operation,
            path,
            source,
        } => PublishStepError::Io {
            operation,
            path,
            source: explain(run, source, None),
        },
        other => other,
    };
    match error {
        PublishError::NotCommitted(step) => PublishError::NotCommitted(explain_step(step)),
        PublishError::InDoubt { number, source } => PublishError::InDoubt {
            number,
            source: explain_step(source),
        },
        PublishError::NotCleanedUp { record, source } => PublishError::NotCleanedUp {
            record,
            source: explain_step(source),
        },
    }
}

/// Adds to what the file system said what it does not say: how much room was needed (as far as that is known)
/// and is left, or that the whole run is gone.
pub(crate) fn explain(run: &RunDir, error: io::Error, needed_bytes: Option<u64>) -> io::Error {
    let is_not_found = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let is_gone = || {
        run.store()
            .read_run()
            .is_err_and(|error| is_not_found(&error))
    };
    if is_not_found(&error) && is_gone() {
        let run = run.path().display();
        let told = format!(
            "{error}: the run {run} is not there any more, it was moved or removed, or its disk unmounted"
        );
        return io::Error::new(io::ErrorKind::NotFound, told);
    }
    trace::with_room(error, run.path(), needed_bytes)
}
