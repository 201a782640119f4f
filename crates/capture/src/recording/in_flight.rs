//! How much of the channel's budget is free.

use std::sync::{Arc, Weak};

use arrow::array::Array;
use sink::Part;

/// Parts that were sent to the sink, and what of the channel's budget they leave.
///
/// A part holds its share as long as somebody has its rows: they are let go of once they are
/// encoded.
#[derive(Debug)]
pub(super) struct InFlight {
    budget_bytes: u64,
    parts: Vec<(Weak<dyn Array>, u64)>,
}

impl InFlight {
    pub(super) fn new(budget_bytes: u64) -> Self {
        Self {
            budget_bytes,
            parts: Vec::new(),
        }
    }

    /// Notes a part that is about to be sent.
    pub(super) fn add(&mut self, part: &Part) {
        if let Some(column) = part.rows.columns().first() {
            self.parts
                .push((Arc::downgrade(column), part.memory_bytes()));
        }
    }

    /// What the parts that are not encoded yet leave of the budget.
    pub(super) fn free_bytes(&mut self) -> u64 {
        self.parts.retain(|(rows, _)| rows.strong_count() > 0);
        let used = self.parts.iter().map(|(_, bytes)| bytes).sum();
        self.budget_bytes.saturating_sub(used)
    }
}

#[cfg(test)]
mod tests {
    use trace::{CaptureId, Epoch, Generation, PartPath, Rank, Step, Table};

    use super::*;
    use crate::rows::{self, RowKey};

    fn part() -> Part {
        let id = CaptureId {
            epoch: Epoch(0),
            step: Step(1),
        };
        let rank = Rank::default();
        Part {
            path: PartPath {
                table: Table::Metrics,
                epoch: id.epoch,
                layer: None,
                step: id.step,
                rank,
                generation: Generation::default(),
                sequence: 0,
                nonce: None,
            },
            rows: rows::metrics(RowKey { id, rank }, &[]),
        }
    }

    #[test]
    fn a_part_holds_its_bytes_until_its_rows_are_gone() {
        let (first, second) = (part(), part());
        let bytes = first.memory_bytes();
        assert!(bytes > 0);
        let mut in_flight = InFlight::new(2 * bytes + 1);
        in_flight.add(&first);
        in_flight.add(&second);
        assert_eq!(in_flight.free_bytes(), 1);
        drop(first);
        assert_eq!(in_flight.free_bytes(), bytes + 1);
        in_flight.add(&part());
        assert_eq!(in_flight.free_bytes(), bytes + 1);
        drop(second);
        assert_eq!(in_flight.free_bytes(), 2 * bytes + 1);
    }

    #[test]
    fn a_part_larger_than_the_budget_leaves_nothing() {
        let part = part();
        let mut in_flight = InFlight::new(part.memory_bytes() - 1);
        in_flight.add(&part);
        assert_eq!(in_flight.free_bytes(), 0);
    }
}
