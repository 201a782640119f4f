//! What becomes a part file: rows, or what rows can be made of.

use std::error::Error;

use trace::{Part, PartPath};

/// Makes the rows of one part file, on a worker's thread and right before they are encoded.
///
/// A [`Part`] is ready. Anything else that is sent keeps its work off the thread that sends it: raw
/// values and what is known of their layer become rows where nobody waits for them.
pub trait MakePart: Send {
    /// Where the file goes.
    fn path(&self) -> &PartPath;

    /// Memory in bytes that it holds at most from now until its rows are made, the rows included: its
    /// share of the channel's budget ([`SinkOptions::channel_bytes`](crate::SinkOptions)). From then on
    /// that is what the rows hold, if it is less.
    fn most_bytes(&self) -> u64;

    /// The part, for the place that [`MakePart::path`] says.
    ///
    /// # Errors
    /// If there are no such rows: the sink has failed then, with
    /// [`SinkError::MakePart`](crate::SinkError), as it has where this panics.
    fn make(self: Box<Self>) -> Result<Part, Box<dyn Error + Send + Sync>>;
}

impl MakePart for Part {
    fn path(&self) -> &PartPath {
        &self.path
    }

    fn most_bytes(&self) -> u64 {
        self.memory_bytes()
    }

    fn make(self: Box<Self>) -> Result<Part, Box<dyn Error + Send + Sync>> {
        Ok(*self)
    }
}
