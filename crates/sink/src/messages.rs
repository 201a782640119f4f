//! What the threads of a sink say to each other: jobs on the way to the workers, events on the way to
//! the group commit.

use trace::{CaptureId, StagedPart};

use crate::budget::Permit;
use crate::make_part::MakePart;
use crate::sync::channel::Sender;

/// How captures count inside a sink: from 0, in the order in which they began.
pub(crate) type CaptureNumber = u64;

/// What becomes a part, or several, on its way to a worker.
pub(crate) struct Job {
    pub(crate) capture: CaptureNumber,
    /// How many parts of the capture were sent before it.
    pub(crate) number: usize,
    /// How many come of it.
    pub(crate) num_parts: usize,
    pub(crate) part: Box<dyn MakePart>,
    /// Its share of the channel's budget, given back with the job.
    pub(crate) permit: Permit,
}

/// What the group commit is told.
pub(crate) enum Event {
    /// A part was encoded.
    Staged {
        capture: CaptureNumber,
        number: usize,
        part: StagedPart,
    },
    /// A capture has ended: so many parts were sent, and these files are retired with it.
    Ended {
        capture: CaptureNumber,
        num_parts: usize,
        retired: Vec<String>,
        end: End,
    },
    /// Commit what has ended so far, without waiting for company, then answer.
    Flush(Sender<()>),
    /// A part was lost.
    Failed,
}

/// How a capture ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// With all its parts; `None` if they complete no capture.
    Whole(Option<CaptureId>),
    /// Before it was whole: its parts are thrown away.
    Abandoned,
}
