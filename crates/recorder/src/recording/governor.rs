//! `--max-overhead`: which of the captures that are due are taken, so that recording costs the
//! training thread no more than a share of its time.
//!
//! What a capture cost is a debt that training time pays off at the given share, and the next one
//! waits until it is paid: the budget holds over every stretch of captures, whatever they cost. So
//! that captures come evenly, one of so many that are due is taken, which is measured as CheckFreq
//! (Mohan et al., FAST 2021) measures the interval of its checkpoints. That number rises at once and
//! falls slowly, and more slowly each time when it turns out that it fell too far: captures far
//! apart cost less each, since nobody waits for the one before.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// How much of the training time recording may cost the training thread; written `2%`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaxOverhead {
    percent: f64,
}

/// Of what [`WhenFull::Thin`](super::WhenFull::Thin) makes do with unless it is said.
pub const DEFAULT_MAX_OVERHEAD: MaxOverhead = MaxOverhead { percent: 2.0 };

/// Why a text is no [`MaxOverhead`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no share of the training time: give more than 0% and at most 100%, as 2%")]
pub struct ParseMaxOverheadError(String);

impl FromStr for MaxOverhead {
    type Err = ParseMaxOverheadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let percent = text.strip_suffix('%').and_then(|text| text.parse().ok());
        match percent {
            Some(percent) if percent > 0.0 && percent <= 100.0 => Ok(Self { percent }),
            _ => Err(ParseMaxOverheadError(text.to_owned())),
        }
    }
}

impl fmt::Display for MaxOverhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent)
    }
}

impl Serialize for MaxOverhead {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Captures that have to do with less before one of so many falls for the first time.
const PATIENCE: u32 = 4;
/// The most that it takes, after it fell too far several times.
const MAX_PATIENCE: u32 = 256;
/// Of so many captures the cost in the middle counts: one that was slow is paid for, and changes
/// nothing for those after it.
const NUM_RECENT: usize = 3;
/// So many times as far apart, and captures are due by another part of the schedule.
const FARTHER: f64 = 1.5;
/// Seconds that are no debt: sums of floats are not exact.
const PAID: f64 = 1e-9;

/// Decides; told by its owner how the time goes.
#[derive(Debug)]
pub(super) struct Governor {
    share: f64,
    /// One of so many due captures is taken.
    stretch: u64,
    /// Captures that were due since one was taken.
    num_due: u64,
    /// Cost, in seconds, that no training time has paid for.
    debt: f64,
    /// Seconds of training since a capture was taken.
    trained: f64,
    /// Seconds of training between captures that were due, where that was measured last.
    between: Option<f64>,
    /// Costs of the last captures, in seconds.
    recent: Vec<f64>,
    /// Captures in a row for which half the stretch would do.
    num_calm: u32,
    patience: u32,
    /// Whether the last change was a fall.
    has_fallen: bool,
}

impl Governor {
    pub(super) fn new(max_overhead: MaxOverhead) -> Self {
        Self {
            share: max_overhead.percent / 100.0,
            stretch: 1,
            num_due: 0,
            debt: 0.0,
            trained: 0.0,
            between: None,
            recent: Vec::with_capacity(NUM_RECENT),
            num_calm: 0,
            patience: PATIENCE,
            has_fallen: false,
        }
    }

    /// Whether a capture that is due now is taken, where training took `trained` since it was last
    /// told of. Asking changes nothing.
    pub(super) fn takes(&self, trained: Duration) -> bool {
        let trained = trained.as_secs_f64();
        let debt = self.debt - self.share * trained;
        let is_its_turn = self.num_due + 1 >= self.stretch;
        (is_its_turn || self.is_long_ago(trained)) && debt <= PAID
    }

    /// Whether the next capture is paid for, although one of so many was to be taken: those that are
    /// due are farther apart now than where that was measured.
    fn is_long_ago(&self, trained: f64) -> bool {
        let trained = self.trained + trained;
        let between = trained / (self.num_due + 1) as f64;
        self.between
            .is_some_and(|measured| between > FARTHER * measured)
            && self.share * trained >= self.typical_cost()
    }

    /// Training went on for so long.
    pub(super) fn trained(&mut self, time: Duration) {
        let time = time.as_secs_f64();
        self.trained += time;
        // Time in which nothing was recorded is no credit for later.
        self.debt = (self.debt - self.share * time).max(0.0);
    }

    /// A capture that was due was left out.
    pub(super) fn left_out(&mut self) {
        self.num_due += 1;
    }

    /// The training thread spent so long on something else than a capture.
    pub(super) fn spent(&mut self, time: Duration) {
        self.debt += time.as_secs_f64();
    }

    /// A capture was taken, for which the training thread spent `cost`.
    pub(super) fn taken(&mut self, cost: Duration) {
        let cost = cost.as_secs_f64();
        self.debt += cost;
        if self.recent.len() == NUM_RECENT {
            self.recent.remove(0);
        }
        self.recent.push(cost);
        // Training time from one due capture to the next.
        let between = self.trained / (self.num_due + 1) as f64;
        self.num_due = 0;
        self.trained = 0.0;
        if between > 0.0 {
            self.between = Some(between);
            let needed = (self.typical_cost() / (self.share * between) - 1e-6).ceil();
            self.adapt(needed.max(1.0) as u64);
        }
    }

    fn typical_cost(&self) -> f64 {
        let mut recent = self.recent.clone();
        recent.sort_by(f64::total_cmp);
        recent[(recent.len() - 1) / 2]
    }

    fn adapt(&mut self, needed: u64) {
        if needed > self.stretch {
            if self.has_fallen {
                self.patience = (2 * self.patience).min(MAX_PATIENCE);
            }
            self.stretch = needed;
            self.has_fallen = false;
            self.num_calm = 0;
        } else if needed <= self.stretch / 2 {
            self.num_calm += 1;
            if self.num_calm == self.patience {
                self.stretch /= 2;
                self.has_fallen = true;
                self.num_calm = 0;
            }
        } else {
            self.num_calm = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Trains for so many epochs of 100 ms with a capture due at the end of each; `cost` is what one
    /// takes, so long after the one before. Gives the epochs at which one was taken, and checks that
    /// the budget holds at every moment.
    fn train(
        max_overhead: &str,
        num_epochs: u32,
        mut cost: impl FnMut(u32, Duration) -> Duration,
    ) -> Vec<u32> {
        let max_overhead: MaxOverhead = max_overhead.parse().unwrap();
        let mut governor = Governor::new(max_overhead);
        let mut taken = Vec::new();
        let mut total = Duration::ZERO;
        for epoch in 0..num_epochs {
            let trained = EPOCH * (epoch + 1);
            if governor.takes(EPOCH) {
                let budget = trained.mul_f64(max_overhead.percent / 100.0);
                assert!(
                    total <= budget + ms(1),
                    "epoch {epoch}: {total:?} of {budget:?}"
                );
                let since = EPOCH * (epoch - taken.last().copied().unwrap_or(0));
                let cost = cost(epoch, since);
                governor.trained(EPOCH);
                governor.taken(cost);
                total += cost;
                taken.push(epoch);
            } else {
                governor.trained(EPOCH);
                governor.left_out();
            }
        }
        taken
    }

    fn gaps(taken: &[u32]) -> Vec<u32> {
        taken.array_windows().map(|[a, b]| b - a).collect()
    }

    #[test]
    fn what_is_within_the_budget_is_not_thinned() {
        let taken = train("2%", 100, |_, _| ms(2));
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn captures_come_evenly_as_often_as_the_budget_allows() {
        // 10 ms are 2% of 500 ms.
        let taken = train("2%", 100, |_, _| ms(10));
        assert_eq!(taken, (0..100).step_by(5).collect::<Vec<_>>());
        let taken = train("10%", 10, |_, _| ms(10));
        assert_eq!(taken.len(), 10);
        let taken = train("1%", 100, |_, _| ms(10));
        assert_eq!(taken, (0..100).step_by(10).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_was_slow_is_paid_for_and_changes_nothing_else() {
        // 500 ms are paid for by 25 s.
        let taken = train(
            "2%",
            600,
            |epoch, _| {
                if epoch == 50 { ms(500) } else { ms(10) }
            },
        );
        let gaps = gaps(&taken);
        assert_eq!(gaps[..10], [5; 10]);
        assert_eq!(gaps[10], 250);
        assert!(gaps[11..].iter().all(|gap| *gap == 5), "{gaps:?}");
    }

    #[test]
    fn captures_that_become_cheap_are_taken_more_often_again() {
        let taken = train(
            "2%",
            1000,
            |epoch, _| {
                if epoch < 100 { ms(32) } else { ms(2) }
            },
        );
        let gaps = gaps(&taken);
        assert!(gaps.starts_with(&[16, 16, 16]), "{gaps:?}");
        assert!(gaps.contains(&8) && gaps.contains(&2), "{gaps:?}");
        assert_eq!(gaps.last(), Some(&1), "{gaps:?}");
    }

    #[test]
    fn a_wait_that_is_there_only_where_captures_are_close_makes_nothing_swing() {
        // The capture before takes 350 ms to read, and is waited for.
        let taken = train("2%", 20_000, |_, since| {
            if since.is_zero() {
                ms(1)
            } else {
                ms(350).saturating_sub(since) + ms(1)
            }
        });
        let gaps = gaps(&taken);
        let changes = gaps.array_windows().filter(|[a, b]| a != b).count();
        assert!(gaps.len() > 500, "{}", gaps.len());
        assert!(changes * 10 < gaps.len(), "{changes} of {}", gaps.len());
    }

    #[test]
    fn captures_that_are_due_far_apart_are_not_thinned_as_if_they_were_close() {
        let mut governor = Governor::new("2%".parse().unwrap());
        let mut taken = Vec::new();
        for epoch in 0u32..1000 {
            let is_due = epoch == 0 || epoch.is_power_of_two();
            let is_taken = is_due && governor.takes(EPOCH);
            governor.trained(EPOCH);
            if is_taken {
                governor.taken(ms(100));
                taken.push(epoch);
            } else if is_due {
                governor.left_out();
            }
        }
        // 100 ms are 2% of 50 epochs.
        assert_eq!(taken, [0, 64, 128, 256, 512]);
    }

    #[test]
    fn a_share_is_written_in_percent() {
        for text in ["2%", "0.5%", "100%"] {
            assert_eq!(text.parse::<MaxOverhead>().unwrap().to_string(), text);
        }
        for wrong in ["", "%", "2", "0.02", "0%", "-1%", "101%", "nan%", "2 %"] {
            let error = wrong.parse::<MaxOverhead>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{wrong:?} is no share")),
                "{error}"
            );
        }
    }
}
