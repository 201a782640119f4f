//! `--max-overhead`: which of the captures that are due are taken, so that recording costs training no
//! more than a share of its time.
//!
//! What a capture cost is a debt that training time pays off at the given share, and the next one
//! waits until it is paid: the budget holds over every stretch of captures, whatever they cost. The
//! cost is the time that the training thread spent in calls, and what the recorder's work on other
//! threads made training longer ([`Interference`]). So
//! that captures come evenly, one of so many that are due is taken, which is measured as CheckFreq
//! (Mohan et al., FAST 2021) measures the interval of its checkpoints. That number rises at once and
//! falls slowly, and more slowly each time when it turns out that it fell too far: captures far
//! apart cost less each, since nobody waits for the one before.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::interference::{Interference, Shape, Span};

/// How much of the training time recording may cost; written `2%`.
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
/// Of so many captures the work on other threads counts, their mean: a publish is for several of them.
const NUM_WORKS: usize = 8;
/// Of so many spans without a capture the work counts, the one in the middle: what of it is done of every
/// epoch, as metrics are published, no thinning would spare.
const NUM_IDLE: usize = 16;
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
    /// What the training thread spent on the last captures, in seconds.
    recent: Vec<f64>,
    /// What the recorder's threads worked for the last captures, in seconds.
    works: VecDeque<f64>,
    /// What they have worked since a capture was taken; none before the first.
    worked: Option<f64>,
    interference: Interference,
    /// What the recorder's threads worked in spans for whose captures they had nothing to do: those that
    /// begin with no capture, nor the one before them. By shape, in seconds, the newest last.
    idle: VecDeque<(Shape, f64)>,
    /// Calls since a capture was taken.
    num_calls: u64,
    /// What is worked in a span without a capture, in seconds; by the last span's shape.
    floor: f64,
    /// Whether what that costs was measured when a capture was taken last.
    was_measured: bool,
    /// Captures in a row for which a shorter stretch would do.
    num_calm: u32,
    /// The longest stretch that one of them needs.
    calm_stretch: u64,
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
            works: VecDeque::with_capacity(NUM_WORKS),
            worked: None,
            interference: Interference::default(),
            idle: VecDeque::with_capacity(NUM_IDLE),
            num_calls: 0,
            floor: 0.0,
            was_measured: false,
            num_calm: 0,
            calm_stretch: 0,
            patience: PATIENCE,
            has_fallen: false,
        }
    }

    /// Whether a capture that is due now is taken, where training took `trained` since it was last
    /// told of, and the recorder's threads `worked` meanwhile. Asking changes nothing.
    pub(super) fn takes(&self, trained: Duration, worked: Duration) -> bool {
        if self.recent.is_empty() {
            // The first, whatever the untrained network has cost.
            return true;
        }
        let [trained, worked] = [trained, worked].map(|time| time.as_secs_f64());
        let worked = (worked - self.floor).max(0.0);
        let debt = self.debt + self.interference.price() * worked - self.share * trained;
        let is_its_turn = self.num_due + 1 >= self.stretch;
        (is_its_turn || self.is_long_ago(trained)) && debt <= PAID && !self.is_rest()
    }

    /// Whether this one is left out to see how long training takes without it. Where the work would be
    /// within the budget even if it cost training as much time, nobody needs to know.
    fn is_rest(&self) -> bool {
        let is_within = |between| self.typical_work() <= self.share * between;
        self.interference.wants_rest() && !self.between.is_some_and(is_within)
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

    /// Training went on for a while.
    pub(super) fn trained(&mut self, span: &Span) {
        let [time, worked] = [span.time, span.worked].map(|time| time.as_secs_f64());
        self.trained += time;
        self.learn_floor(span, worked);
        let worked = (worked - self.floor).max(0.0);
        if let Some(all) = &mut self.worked {
            *all += worked;
        }
        let cost = self.interference.price() * worked;
        // Time in which nothing was recorded is no credit for later.
        self.debt = (self.debt + cost - self.share * time).max(0.0);
        self.interference.note(&Span {
            worked: Duration::from_secs_f64(worked),
            ..*span
        });
    }

    /// Learns what is worked whether captures are taken or not.
    fn learn_floor(&mut self, span: &Span, worked: f64) {
        let Some(shape) = span.shape else {
            self.floor = 0.0;
            return;
        };
        // A capture may be worked on in the span after the next call, too.
        if self.num_calls >= 2 {
            if self.idle.len() == NUM_IDLE {
                self.idle.pop_front();
            }
            self.idle.push_back((shape, worked));
        }
        self.num_calls += 1;
        let of_shape = self.idle.iter().filter(|(other, _)| *other == shape);
        let mut of_shape: Vec<f64> = of_shape.map(|(_, worked)| *worked).collect();
        of_shape.sort_by(f64::total_cmp);
        self.floor = of_shape.get(of_shape.len() / 2).copied().unwrap_or(0.0);
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
        self.num_calls = 0;
        self.debt += cost;
        if self.recent.len() == NUM_RECENT {
            self.recent.remove(0);
        }
        self.recent.push(cost);
        if let Some(worked) = self.worked.replace(0.0) {
            if self.works.len() == NUM_WORKS {
                self.works.pop_front();
            }
            self.works.push_back(worked);
        }
        // Training time from one due capture to the next.
        let between = self.trained / (self.num_due + 1) as f64;
        self.num_due = 0;
        self.trained = 0.0;
        if between > 0.0 {
            self.between = Some(between);
            let needed = (self.typical_cost() / (self.share * between) - 1e-6).ceil();
            let needed = needed.max(1.0) as u64;
            let is_measured = self.interference.is_measured();
            // What was too careful a guess need not be given up slowly.
            if is_measured && !std::mem::replace(&mut self.was_measured, is_measured) {
                self.stretch = self.stretch.min(needed);
            }
            self.adapt(needed);
        }
    }

    /// What a capture costs training, in seconds, by the last ones.
    fn typical_cost(&self) -> f64 {
        let mut recent = self.recent.clone();
        recent.sort_by(f64::total_cmp);
        recent[(recent.len() - 1) / 2] + self.interference.price() * self.typical_work()
    }

    /// What the recorder's threads work for a capture, in seconds.
    fn typical_work(&self) -> f64 {
        self.works.iter().sum::<f64>() / self.works.len().max(1) as f64
    }

    fn adapt(&mut self, needed: u64) {
        if needed > self.stretch {
            if self.has_fallen {
                self.patience = (2 * self.patience).min(MAX_PATIENCE);
            }
            self.stretch = needed;
            self.has_fallen = false;
        } else if needed < self.stretch {
            self.num_calm += 1;
            self.calm_stretch = self.calm_stretch.max(needed);
            if self.num_calm < self.patience {
                return;
            }
            self.stretch = self.calm_stretch.max(self.stretch / 2);
            self.has_fallen = true;
        }
        self.num_calm = 0;
        self.calm_stretch = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::interference::Shape;
    use super::*;

    const EPOCH: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// An epoch in which the recorder's threads worked for so long.
    fn epoch(time: Duration, worked: Duration) -> Span {
        let shape = Shape {
            num_steps: 24,
            is_end: true,
        };
        Span {
            time,
            worked,
            shape: Some(shape),
        }
    }

    /// One in which they did nothing.
    fn alone() -> Span {
        epoch(EPOCH, Duration::ZERO)
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
            if governor.takes(EPOCH, Duration::ZERO) {
                let budget = trained.mul_f64(max_overhead.percent / 100.0);
                assert!(
                    total <= budget + ms(1),
                    "epoch {epoch}: {total:?} of {budget:?}"
                );
                let since = EPOCH * (epoch - taken.last().copied().unwrap_or(0));
                let cost = cost(epoch, since);
                governor.trained(&alone());
                governor.taken(cost);
                total += cost;
                taken.push(epoch);
            } else {
                governor.trained(&alone());
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
            let is_taken = is_due && governor.takes(EPOCH, Duration::ZERO);
            governor.trained(&alone());
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

    /// Trains for so many epochs of some 100 ms with a capture due at the end of each, which keeps another
    /// core busy for 20 ms of the next epoch; each of them makes training longer by `price` ms. Gives
    /// the epochs at which one was taken, and what that cost training in all, as a share of its time.
    fn train_beside(
        max_overhead: &str,
        num_epochs: u32,
        price: impl Fn(u32) -> f64,
        noise: f64,
    ) -> (Vec<u32>, f64) {
        train_beside_more(max_overhead, num_epochs, price, noise, Duration::ZERO)
    }

    /// The same where another core works for `always` in every epoch, whether a capture is taken or not.
    fn train_beside_more(
        max_overhead: &str,
        num_epochs: u32,
        price: impl Fn(u32) -> f64,
        noise: f64,
        always: Duration,
    ) -> (Vec<u32>, f64) {
        let mut governor = Governor::new(max_overhead.parse().unwrap());
        let mut taken = Vec::new();
        let (mut cost, mut trained) = (Duration::ZERO, Duration::ZERO);
        let mut worked = Duration::ZERO;
        for number in 0..num_epochs {
            // Numbers from -1 to 1 that are evenly spread.
            let golden = f64::from(number) * 0.618_033_988_75;
            let random = 2.0 * golden.fract() - 1.0;
            let longer = worked.mul_f64(price(number));
            let time = EPOCH.mul_f64(1.0 + noise * random) + longer;
            (cost, trained) = (cost + longer, trained + time);
            let all = worked + always;
            let is_taken = governor.takes(time, all);
            governor.trained(&epoch(time, all));
            worked = Duration::ZERO;
            if is_taken {
                governor.taken(Duration::from_micros(10));
                taken.push(number);
                worked = ms(20);
            } else {
                governor.left_out();
            }
        }
        (taken, cost.as_secs_f64() / trained.as_secs_f64())
    }

    fn num_taken(taken: &[u32], epochs: std::ops::Range<u32>) -> usize {
        taken.iter().filter(|epoch| epochs.contains(*epoch)).count()
    }

    #[test]
    fn work_on_other_cores_that_makes_training_longer_is_within_the_budget() {
        // 10 ms a capture are 2% of 5 epochs.
        for (noise, fewest) in [(0.0, 95), (0.05, 75)] {
            let (taken, cost) = train_beside("2%", 1000, |_| 0.5, noise);
            assert!(cost < 0.02, "{cost} with noise {noise}");
            let late = num_taken(&taken, 500..1000);
            assert!((fewest..=101).contains(&late), "{late} with noise {noise}");
        }
    }

    #[test]
    fn work_on_other_cores_that_costs_training_nothing_thins_little() {
        for noise in [0.0, 0.05] {
            let (taken, _) = train_beside("2%", 1000, |_| 0.0, noise);
            assert_eq!(taken[0], 0);
            // One of 16 or so is left out to see what it costs, more where that is hard to see.
            let late = num_taken(&taken, 500..1000);
            assert!(late > 375, "{late} with noise {noise}");
        }
        // 20 ms are within 25% of an epoch, whatever they cost.
        let (taken, _) = train_beside("25%", 100, |_| 0.0, 0.05);
        assert_eq!(taken.len(), 100);
    }

    /// As metrics, which are published every epoch: leaving captures out would spare nothing of it.
    #[test]
    fn work_that_is_done_of_every_epoch_leaves_no_capture_out() {
        for always in [ms(1), ms(5), ms(15)] {
            let (taken, _) = train_beside_more("2%", 1000, |_| 0.0, 0.02, always);
            let late = num_taken(&taken, 500..1000);
            assert!(late > 375, "{late} beside {always:?}");
            let (taken, cost) = train_beside_more("2%", 1000, |_| 0.5, 0.02, always);
            assert!(cost < 0.02, "{cost} beside {always:?}");
            let late = num_taken(&taken, 500..1000);
            assert!((60..=101).contains(&late), "{late} beside {always:?}");
        }
    }

    #[test]
    fn the_first_is_taken_whatever_was_spent_before_it() {
        let mut governor = Governor::new("2%".parse().unwrap());
        governor.spent(ms(100));
        assert!(governor.takes(ms(1), ms(100)));
        governor.trained(&epoch(ms(1), ms(100)));
        governor.taken(ms(1));
        assert!(!governor.takes(EPOCH, Duration::ZERO));
    }

    #[test]
    fn until_it_was_measured_work_is_taken_to_cost_as_much() {
        let (taken, cost) = train_beside("2%", 60, |_| 0.5, 0.0);
        // 20 ms are 2% of 10 epochs.
        assert_eq!(taken[..3], [0, 10, 20]);
        assert!(cost < 0.02, "{cost}");
    }

    #[test]
    fn work_that_comes_to_cost_training_more_is_thinned_then() {
        let later = |epoch: u32| if epoch < 500 { 0.0 } else { 0.5 };
        let (taken, _) = train_beside("2%", 1500, later, 0.02);
        let [before, after] = [400..500, 1000..1500].map(|epochs| num_taken(&taken, epochs));
        assert!(before > 80, "{before}");
        assert!((75..=101).contains(&after), "{after}");
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
