//! Progress in a log, where there is no terminal to draw a bar on.

use std::time::{Duration, Instant};

/// Says when a line is due, so that a log is not filled with them.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    interval: Duration,
    last: Option<Instant>,
}

impl Pace {
    /// The first line at once, further ones so far apart at least.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: None,
        }
    }

    /// The first line after `interval` at the earliest, further ones so far apart at least.
    pub fn later(interval: Duration) -> Self {
        Self {
            interval,
            last: Some(Instant::now()),
        }
    }

    /// Whether a line is due, which is then taken for said.
    pub fn is_due(&mut self) -> bool {
        let is_due = self.last.is_none_or(|at| at.elapsed() >= self.interval);
        if is_due {
            self.last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::from_secs(3_600);

    #[test]
    fn lines_are_so_far_apart() {
        let mut pace = Pace::new(NEVER);
        assert_eq!([pace.is_due(), pace.is_due()], [true, false]);
        let mut pace = Pace::later(NEVER);
        assert_eq!([pace.is_due(), pace.is_due()], [false, false]);
        let mut pace = Pace::later(Duration::ZERO);
        assert_eq!([pace.is_due(), pace.is_due()], [true, true]);
    }
}
