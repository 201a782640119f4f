//! When the network is captured.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use trace::{Epoch, Step};

/// When the network is captured: at the ends of some epochs, after some optimizer steps, or both.
/// Metrics are recorded every epoch, whatever it says.
///
/// It is written as parts with commas between them; a moment that any of them names is captured.
///
/// | part | captures |
/// |---|---|
/// | `5epochs` | epochs 0, 5, 10, ... |
/// | `100steps` | after steps 100, 200, ... since training began |
/// | `log` | epochs 0, 1, 2, 4, 8, ...: dense where much changes, sparse later |
/// | `logsteps` | after steps 1, 2, 4, 8, ... |
/// | `7` | epoch 7; epochs ascend |
/// | `5epochs@100..200` | epochs 100, 105, ..., 195: counted from the first number, up to the second, without it; either can be left out, and steps are bounded by steps |
///
/// Intervals and logarithms that have no end also capture the last epoch, so that the network that
/// training ended with is there. A number that stands alone is an interval of epochs. Dense at
/// first and sparse later is `1epoch@..10,10epochs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// One epoch.
    At(i32),
    Repeated(Repeated),
}

/// Moments in a row, counted in epochs or steps.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Repeated {
    rhythm: Rhythm,
    unit: Unit,
    from: u32,
    /// The first that is not captured any more.
    until: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rhythm {
    Every(NonZeroU32),
    /// 0, 1, 2, 4, 8, ... after the first.
    Logarithmic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Epochs,
    Steps,
}

/// Why a text is no [`Schedule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no schedule: give an interval, as 5epochs or 100steps, or epochs from 0 in ascending \
     order, as 0,1,2,5,10, or log, or several with commas between them, as 1epoch@..10,10epochs"
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
        Self::every(NonZeroU32::MIN)
    }
}

impl Schedule {
    /// Every so many epochs, from epoch 0 on, and the last.
    pub fn every(num_epochs: NonZeroU32) -> Self {
        Self(vec![Part::Repeated(Repeated {
            rhythm: Rhythm::Every(num_epochs),
            unit: Unit::Epochs,
            from: 0,
            until: None,
        })])
    }

    /// Whether the network is captured at the end of `epoch`, where `last` is the last one.
    pub fn is_due(&self, epoch: Epoch, last: Epoch) -> bool {
        self.0.iter().any(|part| match part {
            Part::At(at) => *at == epoch.0,
            Part::Repeated(repeated) => {
                let is_last = epoch == last && repeated.until.is_none();
                is_last || (repeated.unit == Unit::Epochs && repeated.has(epoch.0.into()))
            }
        })
    }

    /// Whether the network is captured after `step`, wherever in its epoch that is.
    pub fn is_step_due(&self, step: Step) -> bool {
        self.0.iter().any(|part| match part {
            Part::At(_) => false,
            // After step 0 there is the untrained network.
            Part::Repeated(repeated) => {
                repeated.unit == Unit::Steps && step.0 > 0 && repeated.has(step.0)
            }
        })
    }

    /// Checks that training comes to every epoch that is named.
    ///
    /// # Errors
    /// The first to which it does not.
    pub fn check(&self, last: Epoch) -> Result<(), UnreachableEpochError> {
        let first_epochs = self.0.iter().filter_map(|part| match part {
            Part::At(epoch) => Some(*epoch),
            Part::Repeated(repeated) => (repeated.unit == Unit::Epochs)
                .then(|| i32::try_from(repeated.from).unwrap_or(i32::MAX)),
        });
        match first_epochs.into_iter().find(|epoch| *epoch > last.0) {
            None => Ok(()),
            Some(epoch) => Err(UnreachableEpochError {
                epoch,
                last: last.0,
            }),
        }
    }
}

impl Repeated {
    fn has(&self, number: i64) -> bool {
        let Ok(number) = u64::try_from(number) else {
            return false;
        };
        let is_before_end = self.until.is_none_or(|until| number < until.into());
        let Some(since) = number.checked_sub(self.from.into()) else {
            return false;
        };
        is_before_end
            && match self.rhythm {
                Rhythm::Every(interval) => since.is_multiple_of(interval.get().into()),
                Rhythm::Logarithmic => since == 0 || since.is_power_of_two(),
            }
    }

    /// None where it is nothing of the kind.
    fn parse(text: &str) -> Option<Self> {
        let (what, range) = match text.split_once('@') {
            Some((what, range)) => (what, Some(range)),
            None => (text, None),
        };
        let interval = |number: &str| number.parse().ok().map(Rhythm::Every);
        let (rhythm, unit) = match what {
            "log" => (Rhythm::Logarithmic, Unit::Epochs),
            "logsteps" => (Rhythm::Logarithmic, Unit::Steps),
            _ => {
                let epochs = what.strip_suffix("epochs").or(what.strip_suffix("epoch"));
                let steps = what.strip_suffix("steps").or(what.strip_suffix("step"));
                match (epochs, steps) {
                    (Some(number), _) => (interval(number)?, Unit::Epochs),
                    (_, Some(number)) => (interval(number)?, Unit::Steps),
                    (None, None) => return None,
                }
            }
        };
        let (from, until) = match range {
            None => (0, None),
            Some(range) => {
                let (from, until) = range.split_once("..")?;
                let from = match from {
                    "" => 0,
                    from => from.parse().ok()?,
                };
                let until = match until {
                    "" => None,
                    until => Some(until.parse().ok()?),
                };
                (from, until)
            }
        };
        until.is_none_or(|until| from < until).then_some(Self {
            rhythm,
            unit,
            from,
            until,
        })
    }
}

impl FromStr for Schedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseScheduleError(text.to_owned());
        // As the notebook's epoch_interval: a number is an interval, a list has epochs.
        if let Ok(interval) = text.parse::<NonZeroU32>() {
            return Ok(Self::every(interval));
        }
        let part = |text: &str| match text.parse() {
            Ok(epoch) => Some(Part::At(epoch)),
            Err(_) => Repeated::parse(text).map(Part::Repeated),
        };
        let parts: Option<Vec<Part>> = text.split(',').map(part).collect();
        let parts = parts.ok_or_else(error)?;
        let epochs = parts.iter().filter_map(|part| match part {
            Part::At(epoch) => Some(*epoch),
            Part::Repeated(_) => None,
        });
        let epochs: Vec<i32> = epochs.collect();
        let ascend = epochs.array_windows().all(|[before, after]| before < after);
        let is_zero_interval = parts == [Part::At(0)];
        if !ascend || epochs.first().is_some_and(|first| *first < 0) || is_zero_interval {
            return Err(error());
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            match part {
                Part::At(epoch) => write!(f, "{separator}{epoch}")?,
                Part::Repeated(repeated) => write!(f, "{separator}{repeated}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Epochs => "epoch",
            Unit::Steps => "step",
        };
        match (self.rhythm, self.unit) {
            (Rhythm::Every(NonZeroU32::MIN), _) => write!(f, "1{unit}")?,
            (Rhythm::Every(interval), _) => write!(f, "{interval}{unit}s")?,
            (Rhythm::Logarithmic, Unit::Epochs) => f.write_str("log")?,
            (Rhythm::Logarithmic, Unit::Steps) => f.write_str("logsteps")?,
        }
        match (self.from, self.until) {
            (0, None) => Ok(()),
            (from, None) => write!(f, "@{from}.."),
            (0, Some(until)) => write!(f, "@..{until}"),
            (from, Some(until)) => write!(f, "@{from}..{until}"),
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

    fn due_steps(schedule: &str, last: i64) -> Vec<i64> {
        let schedule: Schedule = schedule.parse().unwrap();
        (0..=last)
            .filter(|step| schedule.is_step_due(Step(*step)))
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
    fn a_number_is_an_interval_and_a_list_has_epochs() {
        assert_eq!(due("3", 7), [0, 3, 6, 7]);
        assert_eq!(due("1", 2), [0, 1, 2]);
        assert_eq!(due("0,1,2,5,10", 12), [0, 1, 2, 5, 10]);
        assert_eq!(due("1epoch@7..8", 12), [7]);
    }

    #[test]
    fn steps_are_counted_from_the_start_of_training() {
        assert_eq!(due_steps("100steps", 350), [100, 200, 300]);
        assert_eq!(due_steps("1step", 3), [1, 2, 3]);
        assert_eq!(due_steps("logsteps", 20), [1, 2, 4, 8, 16]);
        assert_eq!(due_steps("10steps@25..46", 99), [25, 35, 45]);
        assert_eq!(due_steps("5epochs", 20), [0; 0]);
        // Of the ends of epochs, the last.
        assert_eq!(due("100steps", 7), [7]);
        assert_eq!(due("100steps@..500", 7), [0; 0]);
    }

    #[test]
    fn a_range_has_its_start_and_not_its_end() {
        assert_eq!(due("5epochs@100..115", 300), [100, 105, 110]);
        assert_eq!(due("5epochs@7..", 20), [7, 12, 17, 20]);
        assert_eq!(due("log@10..20", 40), [10, 11, 12, 14, 18]);
    }

    #[test]
    fn what_any_part_names_is_captured() {
        let warm_up = "1epoch@..4,10epochs";
        assert_eq!(due(warm_up, 25), [0, 1, 2, 3, 10, 20, 25]);
        assert_eq!(due("2,10epochs@5..,3", 17), [2, 3, 5, 15, 17]);
        let both = "1step@..5,2epochs";
        assert_eq!(due_steps(both, 99), [1, 2, 3, 4]);
        assert_eq!(due(both, 4), [0, 2, 4]);
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for text in [
            "1epoch",
            "5epochs",
            "log",
            "0,1,2,5,10",
            "100steps",
            "1step",
            "logsteps",
            "5epochs@100..200",
            "1epoch@..10,10epochs",
            "7,log@3..",
        ] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        assert_eq!("3".parse::<Schedule>().unwrap().to_string(), "3epochs");
        assert_eq!(Schedule::default().to_string(), "1epoch");
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in [
            "",
            "0",
            "0epochs",
            "0steps",
            "-1epochs",
            "epochs",
            "5 epochs",
            "2,1",
            "1,1",
            "-1,2",
            "1,",
            "often",
            "5epochs@",
            "5epochs@7",
            "5epochs@9..9",
            "5epochs@..0",
            "1..5",
            "-3",
            "3@5..",
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
        assert_eq!(at("100steps@7000.."), Ok(()));
        let error = at("0,5,6").unwrap_err().to_string();
        assert_eq!(
            error,
            "epoch 5 is to be captured, but there are epochs 0 to 4"
        );
        assert_eq!(at("1epoch@6..").unwrap_err().epoch, 6);
    }
}
