//! What the recorder's work on its own threads costs training, which they take cores and memory from.
//!
//! No clock on the training thread sees that: its steps only take longer. So spans of training that are
//! alike are compared, those in which the recorder worked much with those in which it worked little. The
//! price of its work is the slope of the one over the other, the median over pairs of spans (Theil 1950,
//! Sen 1968), which a few spans that were slow for another reason do not move. Until there is something
//! to compare, a second of work is taken to cost training a second.

use std::collections::VecDeque;
use std::time::Duration;

/// Training from one call of the recorder's to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// How long training took.
    pub(super) time: Duration,
    /// How long the recorder's threads worked meanwhile, all together.
    pub(super) worked: Duration,
    /// None where it is like no other.
    pub(super) shape: Option<Shape>,
}

/// What spans have in common that take the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// How many optimizer steps.
    pub(super) num_steps: i64,
    /// Whether an epoch ends with it, and held-out samples are evaluated.
    pub(super) is_end: bool,
}

/// Spans of one shape that are compared: the newest ones.
const NUM_SPANS: usize = 48;
/// Shapes that are told apart: those that were seen last.
const NUM_SHAPES: usize = 4;
/// Spans with much work, and with little, of which a price follows.
const MIN_SPANS: usize = 3;
/// After so many spans with much work there should be one with little, to compare them with.
const REST_AFTER: usize = 16;
/// The most that a second of work is taken to cost: a thread that is held up holds up others that wait
/// for it.
const MAX_PRICE: f64 = 2.0;

/// Compares spans of training.
#[derive(Debug, Default)]
pub(super) struct Interference {
    /// The last shape comes first.
    windows: VecDeque<(Shape, Window)>,
    price: Option<f64>,
}

/// Spans of one shape, the newest last: seconds, and seconds of work.
#[derive(Debug, Default)]
struct Window(VecDeque<[f64; 2]>);

impl Interference {
    /// Seconds of training that a second of the recorder's work costs.
    pub(super) fn price(&self) -> f64 {
        self.price.unwrap_or(1.0)
    }

    /// Whether that was measured.
    pub(super) fn is_measured(&self) -> bool {
        self.price.is_some()
    }

    /// Whether a span with little work would tell what it costs now, after many with much.
    pub(super) fn wants_rest(&self) -> bool {
        self.windows.front().is_some_and(|(_, window)| {
            let much = window.much();
            let mut newest = window.0.iter().rev().take(REST_AFTER);
            newest.len() == REST_AFTER && newest.all(|[_, worked]| *worked > much)
        })
    }

    pub(super) fn note(&mut self, span: &Span) {
        let Some(shape) = span.shape else {
            return;
        };
        let found = self.windows.iter().position(|(other, _)| *other == shape);
        let window = found.and_then(|index| self.windows.remove(index));
        let (_, mut window) = window.unwrap_or((shape, Window::default()));
        if window.0.len() == NUM_SPANS {
            window.0.pop_front();
        }
        let [time, worked] = [span.time, span.worked].map(|time| time.as_secs_f64());
        window.0.push_back([time, worked]);
        self.price = window.price().or(self.price);
        self.windows.push_front((shape, window));
        self.windows.truncate(NUM_SHAPES);
    }
}

impl Window {
    /// Above it is much work: half of what [`MIN_SPANS`] of the spans had at least.
    fn much(&self) -> f64 {
        let mut worked: Vec<f64> = self.0.iter().map(|[_, worked]| *worked).collect();
        worked.sort_by(|a, b| b.total_cmp(a));
        worked.get(MIN_SPANS - 1).map_or(0.0, |worked| worked / 2.0)
    }

    /// None while there is not enough to compare.
    fn price(&self) -> Option<f64> {
        let much = self.much();
        let (busy, idle): (Vec<&[f64; 2]>, Vec<&[f64; 2]>) =
            self.0.iter().partition(|[_, worked]| *worked > much);
        if busy.len() < MIN_SPANS || idle.len() < MIN_SPANS {
            return None;
        }
        let pairs = busy
            .iter()
            .flat_map(|busy| idle.iter().map(move |idle| (busy, idle)));
        let slopes = pairs.map(|(busy, idle)| (busy[0] - idle[0]) / (busy[1] - idle[1]));
        let mut slopes: Vec<f64> = slopes.collect();
        let middle = (slopes.len() - 1) / 2;
        let (_, slope, _) = slopes.select_nth_unstable_by(middle, f64::total_cmp);
        Some(slope.clamp(0.0, MAX_PRICE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Shape = Shape {
        num_steps: 24,
        is_end: true,
    };

    fn span(ms: f64, worked_ms: f64, shape: Shape) -> Span {
        let time = |ms: f64| Duration::from_secs_f64(ms / 1e3);
        Span {
            time: time(ms),
            worked: time(worked_ms),
            shape: Some(shape),
        }
    }

    #[test]
    fn a_price_follows_from_spans_with_much_and_with_little_work() {
        let mut interference = Interference::default();
        // Each of 10 ms of work costs training 3.
        for (ms, worked_ms) in [(100.0, 0.0), (103.0, 10.0), (100.0, 0.0), (103.0, 10.0)] {
            interference.note(&span(ms, worked_ms, EPOCH));
            assert!(!interference.is_measured());
            assert_eq!(interference.price(), 1.0);
        }
        interference.note(&span(103.0, 10.0, EPOCH));
        assert!(!interference.is_measured());
        // With little, which costs little as well.
        interference.note(&span(100.3, 1.0, EPOCH));
        assert!((interference.price() - 0.3).abs() < 1e-9);
    }

    #[test]
    fn a_span_that_was_slow_for_another_reason_does_not_move_it() {
        let mut interference = Interference::default();
        for index in 0..20 {
            let worked_ms = if index % 2 == 0 { 10.0 } else { 0.0 };
            let hiccup = if index % 7 == 3 { 500.0 } else { 0.0 };
            let ms = 100.0 + 0.3 * worked_ms + hiccup;
            interference.note(&span(ms, worked_ms, EPOCH));
        }
        assert!((interference.price() - 0.3).abs() < 1e-9);
    }

    #[test]
    fn it_is_between_nothing_and_what_held_up_threads_cost() {
        let price = |busy_ms: f64| {
            let mut interference = Interference::default();
            for _ in 0..3 {
                interference.note(&span(100.0, 0.0, EPOCH));
                interference.note(&span(busy_ms, 10.0, EPOCH));
            }
            interference.price()
        };
        assert_eq!(price(90.0), 0.0);
        assert_eq!(price(150.0), 2.0);
    }

    #[test]
    fn spans_that_are_not_alike_are_not_compared() {
        let mut interference = Interference::default();
        let steps = |num_steps| Shape {
            num_steps,
            is_end: false,
        };
        for _ in 0..9 {
            interference.note(&span(100.0, 0.0, EPOCH));
            interference.note(&span(10.0, 10.0, steps(3)));
            interference.note(&Span {
                shape: None,
                ..span(1e6, 0.0, EPOCH)
            });
        }
        assert!(!interference.is_measured());
    }

    #[test]
    fn after_much_work_alone_there_should_be_a_rest() {
        let mut interference = Interference::default();
        for index in 0..16 {
            assert!(!interference.wants_rest(), "{index}");
            interference.note(&span(100.0, 10.0, EPOCH));
        }
        assert!(interference.wants_rest());
        interference.note(&span(100.0, 1.0, EPOCH));
        assert!(!interference.wants_rest());
        let mut idle = Interference::default();
        (0..50).for_each(|_| idle.note(&span(100.0, 0.0, EPOCH)));
        assert!(!idle.wants_rest());
    }
}
