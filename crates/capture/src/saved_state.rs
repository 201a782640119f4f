//! What training goes on from after it was interrupted, and how often it is written down.
//!
//! A saved state is the end of an epoch: parameters and Adam's moments, as the table `resume`, and
//! the epoch and step in its files' names. Nothing else is needed, since the order of the data and
//! everything random follow from seed, epoch and step (`random.rs`). The commit that names a
//! saved state retires the one before, so that there is never more than one on the disk.

mod read;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::{Duration, Instant};

use trace::Epoch;

pub use read::{ReadStateError, SavedState};

/// How often the state is written, unless told otherwise.
pub const DEFAULT_SAVE_INTERVAL: Duration = Duration::from_secs(30);

/// How often the state is written: at the end of an epoch, where one is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveEvery {
    /// At the first end of an epoch at which so much time has passed since the last one.
    Elapsed(Duration),
    /// After so many epochs.
    Epochs(NonZeroU32),
    /// Not at all: training that is interrupted begins anew.
    Never,
}

/// Why a text says not how often.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} does not say how often: give seconds, as 30s, or epochs, as 5epochs, or never")]
pub struct ParseSaveEveryError(String);

impl Default for SaveEvery {
    fn default() -> Self {
        Self::Elapsed(DEFAULT_SAVE_INTERVAL)
    }
}

impl FromStr for SaveEvery {
    type Err = ParseSaveEveryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseSaveEveryError(text.to_owned());
        if text == "never" {
            return Ok(Self::Never);
        }
        let epochs = text.strip_suffix("epochs").or(text.strip_suffix("epoch"));
        if let Some(epochs) = epochs {
            return epochs.parse().map(Self::Epochs).map_err(|_| error());
        }
        let seconds = text.strip_suffix('s').ok_or_else(error)?;
        let seconds: NonZeroU32 = seconds.parse().map_err(|_| error())?;
        Ok(Self::Elapsed(Duration::from_secs(seconds.get().into())))
    }
}

impl fmt::Display for SaveEvery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elapsed(time) => write!(f, "{}s", time.as_secs()),
            Self::Epochs(NonZeroU32::MIN) => f.write_str("1epoch"),
            Self::Epochs(epochs) => write!(f, "{epochs}epochs"),
            Self::Never => f.write_str("never"),
        }
    }
}

/// Says when the state is due.
#[derive(Debug)]
pub struct Cadence {
    every: SaveEvery,
    last: Instant,
}

impl Cadence {
    /// Begins to count now.
    pub fn new(every: SaveEvery) -> Self {
        Self {
            every,
            last: Instant::now(),
        }
    }

    /// Whether the state is due at the end of `epoch`; if so, it counts as written.
    pub fn is_due(&mut self, epoch: Epoch) -> bool {
        let is_due = match self.every {
            SaveEvery::Never => false,
            SaveEvery::Elapsed(interval) => self.last.elapsed() >= interval,
            SaveEvery::Epochs(epochs) => u32::try_from(epoch.0)
                .is_ok_and(|epoch| (u64::from(epoch) + 1).is_multiple_of(epochs.get().into())),
        };
        if is_due {
            self.last = Instant::now();
        }
        is_due
    }
}

/// Weights and biases of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerParameters {
    /// Row-major `[num_units, fan_in]`: a row is what one unit weighs its inputs with; of a
    /// convolution its kernel, channel by channel.
    pub weights: Vec<f32>,
    /// One value a unit.
    pub bias: Vec<f32>,
}

/// A tensor of a layer that training goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateTensor {
    /// Weights and bias.
    Parameter,
    /// Adam's mean of the gradients.
    Moment1,
    /// Adam's mean of their squares.
    Moment2,
}

impl StateTensor {
    /// In the order in which a layer's files are numbered, each tensor's behind those of the one before.
    pub const ALL: [Self; 3] = [Self::Parameter, Self::Moment1, Self::Moment2];

    /// The word in the column `name`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameter => "parameter",
            Self::Moment1 => "moment_1",
            Self::Moment2 => "moment_2",
        }
    }
}

#[cfg(test)]
mod tests;
