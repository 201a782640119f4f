//! At which epochs the network is captured.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use trace::Epoch;

/// At which epochs the network is captured. Metrics are recorded every epoch, whatever it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// Epochs 0, n, 2n, ... and the last, so that the network that training ended with is there.
    Every(NonZeroU32),
    /// Epochs 0, 1, 2, 4, 8, ... and the last: dense where much changes, sparse later.
    Logarithmic,
    /// These, in ascending order, and no other.
    At(Vec<i32>),
}

/// Why a text is no [`Schedule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no schedule: give an interval, as 5epochs, or epochs from 0 in ascending order, as \
     0,1,2,5,10, or log"
)]
pub struct ParseScheduleError(String);

/// A schedule names an epoch that training does not come to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("epoch {epoch} is to be captured, but there are epochs 0 to {last}")]
pub struct UnreachableEpochError {
    /// The first such epoch.
    pub epoch: i32,
    /// The last epoch.
    pub last: i32,
}

impl Default for Schedule {
    /// Every epoch.
    fn default() -> Self {
        Self::Every(NonZeroU32::MIN)
    }
}

impl Schedule {
    /// Whether the network is captured at the end of `epoch`, where `last` is the last one.
    pub fn is_due(&self, epoch: Epoch, last: Epoch) -> bool {
        match self {
            Self::Every(interval) => {
                let number = u32::try_from(epoch.0);
                epoch == last || number.is_ok_and(|n| n.is_multiple_of(interval.get()))
            }
            Self::Logarithmic => {
                let number = u32::try_from(epoch.0);
                epoch == last || number.is_ok_and(|n| n == 0 || n.is_power_of_two())
            }
            Self::At(epochs) => epochs.binary_search(&epoch.0).is_ok(),
        }
    }

    /// Checks that training comes to every epoch that is named.
    ///
    /// # Errors
    /// The first to which it does not.
    pub fn check(&self, last: Epoch) -> Result<(), UnreachableEpochError> {
        let Self::At(epochs) = self else {
            return Ok(());
        };
        match epochs.iter().find(|epoch| **epoch > last.0) {
            None => Ok(()),
            Some(&epoch) => Err(UnreachableEpochError {
                epoch,
                last: last.0,
            }),
        }
    }
}

impl FromStr for Schedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseScheduleError(text.to_owned());
        if text == "log" {
            return Ok(Self::Logarithmic);
        }
        let interval = text.strip_suffix("epochs").or(text.strip_suffix("epoch"));
        if let Some(interval) = interval {
            return interval.parse().map(Self::Every).map_err(|_| error());
        }
        let epochs: Result<Vec<i32>, _> = text.split(',').map(str::parse).collect();
        let epochs = epochs.map_err(|_| error())?;
        let ascend = epochs.array_windows().all(|[before, after]| before < after);
        if !ascend || epochs[0] < 0 {
            return Err(error());
        }
        Ok(Self::At(epochs))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(NonZeroU32::MIN) => f.write_str("1epoch"),
            Self::Every(interval) => write!(f, "{interval}epochs"),
            Self::Logarithmic => f.write_str("log"),
            Self::At(epochs) => {
                for (index, epoch) in epochs.iter().enumerate() {
                    let separator = if index > 0 { "," } else { "" };
                    write!(f, "{separator}{epoch}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(schedule: &str, last: i32) -> Vec<i32> {
        let schedule: Schedule = schedule.parse().unwrap();
        (0..=last)
            .filter(|epoch| schedule.is_due(Epoch(*epoch), Epoch(last)))
            .collect()
    }

    #[test]
    fn intervals_begin_with_the_first_epoch_and_include_the_last() {
        assert_eq!(due("1epoch", 3), [0, 1, 2, 3]);
        assert_eq!(due("3epochs", 7), [0, 3, 6, 7]);
        assert_eq!(due("100epochs", 1), [0, 1]);
        assert_eq!(due("log", 20), [0, 1, 2, 4, 8, 16, 20]);
    }

    #[test]
    fn epochs_that_are_named_are_all_there_are() {
        assert_eq!(due("0,1,2,5,10", 12), [0, 1, 2, 5, 10]);
        assert_eq!(due("7", 12), [7]);
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for text in ["1epoch", "5epochs", "log", "0,1,2,5,10", "3"] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        assert_eq!(Schedule::default().to_string(), "1epoch");
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in [
            "", "0epochs", "-1epochs", "epochs", "5 epochs", "100steps", "2,1", "1,1", "-1,2",
            "1,", "often",
        ] {
            let error = wrong.parse::<Schedule>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{wrong:?} is no schedule")),
                "{error}"
            );
        }
    }

    #[test]
    fn an_epoch_that_training_does_not_come_to_is_told() {
        let at = |text: &str| text.parse::<Schedule>().unwrap().check(Epoch(4));
        assert_eq!(at("0,4"), Ok(()));
        assert_eq!(at("9epochs"), Ok(()));
        let error = at("0,5,6").unwrap_err().to_string();
        assert_eq!(
            error,
            "epoch 5 is to be captured, but there are epochs 0 to 4"
        );
    }
}
