//! What becomes part files: rows, or what rows can be made of.

use std::error::Error;

use trace::{Part, PartPath};

/// Makes the rows of a part file, on a worker's thread and right before they are encoded. What is large may make those
/// of several, one after the other, so that the rows of one are in memory at a time.
///
/// A [`Part`] is ready. Anything else that is sent keeps its work off the thread that sends it: raw
/// values and what is known of their layer become rows where nobody waits for them.
pub trait MakePart: Send {
    /// Where the file goes, of several the next one.
    fn path(&self) -> &PartPath;

    /// How many part files come of it, at least one.
    fn num_parts(&self) -> usize {
        1
    }

    /// Memory in bytes that it holds at most until the rows of its last part are made: its values, and the rows of one
    /// part. That is its share of the channel's budget ([`SinkOptions::channel_bytes`](crate::SinkOptions)). After that
    /// its share is what these rows hold, if it is less.
    fn most_bytes(&self) -> u64;

    /// Waits for what it is made of, where others are at work on that: a wait is no work.
    fn wait(&mut self) {}

    /// The next part, for the place that [`MakePart::path`] says, and what makes the others.
    ///
    /// # Errors
    /// If there are no such rows: the sink has failed then, with
    /// [`SinkError::MakePart`](crate::SinkError), as it has where this panics.
    fn make(self: Box<Self>) -> Result<Made, Box<dyn Error + Send + Sync>>;
}

/// A part that was made.
pub struct Made {
    /// The part.
    pub part: Part,
    /// What makes the next one; none after the last.
    pub rest: Option<Box<dyn MakePart>>,
}

impl From<Part> for Made {
    fn from(part: Part) -> Self {
        Self { part, rest: None }
    }
}

impl MakePart for Part {
    fn path(&self) -> &PartPath {
        &self.path
    }

    fn most_bytes(&self) -> u64 {
        self.memory_bytes()
    }

    fn make(self: Box<Self>) -> Result<Made, Box<dyn Error + Send + Sync>> {
        Ok((*self).into())
    }
}
