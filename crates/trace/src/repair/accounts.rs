//! Whether what is named again accounts for the records that are lost, as far as can be told: else a session that
//! said that it recorded everything may not have.

use std::collections::BTreeMap;

use super::orphans::{Restored, Sessions};
use super::survey::Survivors;
use crate::id::{Rank, Step};

/// What survives of a history, and what takes the place of the rest.
pub(super) struct Accounts<'a> {
    pub(super) survivors: &'a Survivors,
    pub(super) restored: &'a Restored,
    pub(super) sessions: &'a Sessions,
}

impl Accounts<'_> {
    /// Whether nothing seems to be missing that a lost record named. Each had something, of a moment or a derived
    /// table, or began a session; and captures come in no larger intervals where records are lost than elsewhere.
    pub(super) fn are_complete(&self, world_size: u32) -> bool {
        let Survivors { lost, broken, .. } = self.survivors;
        if lost.is_empty() && broken.is_empty() {
            return true;
        }
        broken.is_empty() && self.fill_ranges(world_size) && self.have_no_wide_interval()
    }

    /// Whether each stretch of lost records has as many things named again as it had records, at least.
    fn fill_ranges(&self, world_size: u32) -> bool {
        let mut moments: Vec<(Rank, Step, bool)> = self
            .restored
            .files
            .keys()
            .map(|key| (key.0, key.1.step, self.restored.captures.contains(key)))
            .collect();
        // What is told by no moment may have been in any of the stretches.
        let mut others = self.restored.derived.len() as u64 + self.num_begun(world_size);
        self.survivors.lost.iter().all(|&(first, last)| {
            let needed = (last - first).saturating_add(1);
            let mut found = 0;
            moments.retain(|&(rank, step, is_capture)| {
                let fits = found < needed && self.fits(first, last, rank, step, is_capture);
                found += u64::from(fits);
                !fits
            });
            let from_others = (needed - found).min(others);
            others -= from_others;
            found + from_others == needed
        })
    }

    /// How many later sessions are told by files whose first record is lost.
    fn num_begun(&self, world_size: u32) -> u64 {
        let counts = self.sessions.count(world_size).into_iter();
        let begun = counts.map(|(rank, count)| {
            let records = self.survivors.records.values();
            let known = records.filter(|f| f.record.rank == rank && f.record.session.is_some());
            let known = known.count();
            // The first session's first record names its first capture.
            count.saturating_sub(known.max(1)) as u64
        });
        begun.sum()
    }

    /// Whether a moment is between those of the records before and behind a stretch.
    fn fits(&self, first: u64, last: u64, rank: Rank, step: Step, is_capture: bool) -> bool {
        let captured = |number: u64| {
            let record = &self.survivors.records.get(&number)?.record;
            let steps = record.captures.iter().map(|id| id.step);
            (record.rank == rank).then_some(steps)
        };
        let numbers = || self.survivors.records.keys().copied();
        let before = numbers()
            .filter(|number| *number < first)
            .filter_map(captured);
        let behind = numbers()
            .filter(|number| *number > last)
            .filter_map(captured);
        let is_behind = before.flatten().all(|other| {
            if is_capture {
                other < step
            } else {
                other <= step
            }
        });
        is_behind
            && behind
                .flatten()
                .all(|other| step < other || !is_capture && step == other)
    }

    /// Whether no two captures are farther apart where records are lost than captures are elsewhere.
    fn have_no_wide_interval(&self) -> bool {
        let mut steps: BTreeMap<Rank, BTreeMap<Step, Option<u64>>> = BTreeMap::new();
        for (number, found) in &self.survivors.records {
            let of_rank = steps.entry(found.record.rank).or_default();
            of_rank.extend(
                found
                    .record
                    .captures
                    .iter()
                    .map(|id| (id.step, Some(*number))),
            );
        }
        for (rank, id, _) in &self.restored.captures {
            steps
                .entry(*rank)
                .or_default()
                .entry(id.step)
                .or_insert(None);
        }
        let is_between = |one: u64, other: u64| {
            let (first, last) = (one.min(other), one.max(other));
            let mut lost = self.survivors.lost.iter();
            lost.any(|(start, end)| *start <= last && first <= *end)
        };
        steps.into_values().all(|steps| {
            let pairs = steps.iter().zip(steps.iter().skip(1));
            let (mut known, mut doubtful) = (Vec::new(), Vec::new());
            for ((step, number), (next, next_number)) in pairs {
                let interval = next.0.saturating_sub(step.0);
                match number.zip(*next_number) {
                    Some((one, other)) if !is_between(one, other) => known.push(interval),
                    _ => doubtful.push(interval),
                }
            }
            // Where all is doubtful, the shortest is what intervals are.
            let usual = known.into_iter().max().or(doubtful.iter().copied().min());
            doubtful.iter().all(|interval| Some(*interval) <= usual)
        })
    }
}
