//! Rolling records up, so that whoever opens a run reads few files, and a publish
//! lists few.

use std::collections::BTreeMap;
use std::io;

use super::{PublishError, PublishStepError, Publisher, io_error};
use crate::checksum::Crc32c;
use crate::history::{self, Listing, Log, ReadCommitsError, Segment};
use crate::rollup;

/// How many segments of one level are rolled up into a roll-up of the next.
pub const ROLLUP_FANOUT: usize = 16;

/// With no more segments than this, [`Publisher::seal`] leaves them as they are.
pub const MAX_SEALED_SEGMENTS: usize = 4;

/// The most that a roll-up rolls up, in bytes of the records as JSON: about 40,000 files, in
/// about 0.8 MB on disk. The roll-up is held as it is on disk while it is made and read, so
/// this bounds what rolling up takes, however long the run (`ARCHITECTURE.md`, invariant 9).
pub const MAX_ROLLUP_RECORD_BYTES: u64 = 8 * 1024 * 1024;

/// How many times larger records are as JSON than in a roll-up, about. In one without compression it is less, so that
/// such a one is taken for larger than it is, and has fewer records: what it takes is bounded all the same.
const ROLLUP_COMPRESSION: u64 = 10;

impl Publisher {
    /// Rolls the records up so far that whoever opens the run reads few files.
    ///
    /// # Errors
    /// If a roll-up cannot be written; the records that it would cover then stay as they are.
    pub fn seal(&mut self) -> Result<(), PublishError> {
        let live = self.list()?.live;
        if live.len() > MAX_SEALED_SEGMENTS {
            self.write_rollups(&live)?;
        }
        Ok(self.remove_covered()?)
    }

    /// Rolls up the newest segments of a level once there are [`ROLLUP_FANOUT`] of them; `live` is
    /// what there is.
    pub(super) fn roll_up(&mut self, live: &[Segment]) -> Result<(), PublishStepError> {
        // What is more than half full is closed, and nothing before it grows any more: of two
        // segments that are open, one can always be made, so that there is progress.
        let is_full = |segment: &Segment| self.record_bytes(*segment) > self.max_rollup_bytes / 2;
        let open = live.iter().rposition(is_full).map_or(0, |full| full + 1);
        let Some(start) = rollup_start(&live[open..]) else {
            return Ok(());
        };
        self.write_rollups(&live[open + start..])?;
        self.remove_covered()
    }

    /// Writes as few roll-ups for the segments as may cover them.
    fn write_rollups(&mut self, segments: &[Segment]) -> Result<(), PublishStepError> {
        let mut rest = segments;
        while !rest.is_empty() {
            let (stretch, behind) = rest.split_at(self.num_fitting(rest));
            if stretch.len() > 1 {
                self.write_rollup(stretch)?;
            }
            rest = behind;
        }
        Ok(())
    }

    /// How many of the first segments one roll-up may cover; at least one.
    fn num_fitting(&self, segments: &[Segment]) -> usize {
        let mut bytes = 0;
        let fits = |segment: &&Segment| -> bool {
            bytes += self.record_bytes(**segment);
            bytes <= self.max_rollup_bytes
        };
        segments.iter().take_while(fits).count().max(1)
    }

    /// How large the segment's records are as JSON, about. Of one that is gone, nothing.
    fn record_bytes(&self, segment: Segment) -> u64 {
        let file_bytes = self
            .run
            .store()
            .log_bytes(&segment.file_name())
            .unwrap_or(0);
        if segment.is_rollup {
            file_bytes * ROLLUP_COMPRESSION
        } else {
            file_bytes
        }
    }

    /// Writes a roll-up of the segments. Its bytes are durable, its name is not yet.
    pub(super) fn write_rollup(&mut self, segments: &[Segment]) -> Result<(), PublishStepError> {
        let dir = self.run.commits_dir();
        let (Some(first), Some(last)) = (
            segments.iter().map(|s| s.first).min(),
            segments.iter().map(|s| s.last).max(),
        ) else {
            return Ok(());
        };
        // What another writer's has in the place of records would be taken for these.
        let mut rolled_up = segments.iter().filter(|segment| segment.is_rollup);
        let is_own = rolled_up.all(|segment| self.own_rollups.contains(segment));
        let name = Segment::rollup(first, last).file_name();
        let path = dir.join(&name);
        let encode_error = |e| io_error("encode", &path)(io::Error::other(e));
        let mut rollup = rollup::Encoder::try_new(self.compress).map_err(encode_error)?;
        let mut pushed = Ok(());
        let log = Log::of(&self.run);
        let are_there = history::visit_segments(&log, segments, first, &mut |record, crc32c| {
            if pushed.is_ok() {
                pushed = rollup.push(&record, crc32c);
            }
        })?;
        pushed.map_err(encode_error)?;
        if !are_there {
            // Another writer rolled them up meanwhile.
            return Ok(());
        }
        let bytes = rollup.finish().map_err(encode_error)?;
        match self.staging.writer().create_rollup(&name, &bytes) {
            // Another writer's of the same cover: it is read before anything goes for it.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => {
                result.map_err(io_error("write", &path))?;
                if is_own {
                    self.own_rollups.insert(Segment::rollup(first, last));
                }
                Ok(())
            }
        }
    }

    /// Deletes what a durable roll-up covers.
    fn remove_covered(&mut self) -> Result<(), PublishStepError> {
        let Listing { live, mut covered } = self.list()?;
        // Once roll-ups could not be made durable, a later attempt that succeeds proves nothing about
        // them, and the records are all that is certain.
        if covered.is_empty() || self.rollups_in_doubt {
            return Ok(());
        }
        self.own_rollups.retain(|rollup| live.contains(rollup));
        let differing = self.not_covered(&live, &covered)?;
        covered.retain(|segment| !differing.contains(segment));
        let names: Vec<String> = covered.into_iter().map(Segment::file_name).collect();
        let removed = self.staging.writer().remove_covered(&names);
        self.rollups_in_doubt = removed.is_err();
        Ok(removed?)
    }
}

impl Publisher {
    /// Reads the roll-ups of other writers that are to stay in the place of others, and says what of these is not in
    /// them as it is: that stays.
    ///
    /// # Errors
    /// If a roll-up cannot be read or trusted.
    fn not_covered(
        &self,
        live: &[Segment],
        covered: &[Segment],
    ) -> Result<Vec<Segment>, PublishStepError> {
        let mut differing = Vec::new();
        for cover in live
            .iter()
            .filter(|cover| !self.own_rollups.contains(*cover))
        {
            let within = || {
                covered
                    .iter()
                    .copied()
                    .filter(move |segment| cover.covers(*segment))
            };
            if within().next().is_none() {
                continue;
            }
            let Some(held) = self.checksums(*cover)? else {
                // A wider one took its place, and is read next time.
                differing.extend(within());
                continue;
            };
            for segment in within() {
                // What is gone another writer removed, and what cannot be trusted the roll-up was not made of.
                let Ok(Some(found)) = self.checksums(segment) else {
                    differing.push(segment);
                    continue;
                };
                if found
                    .iter()
                    .any(|(number, crc32c)| held.get(number) != Some(crc32c))
                {
                    tracing::warn!(
                        record = %segment.file_name(),
                        rollup = %cover.file_name(),
                        "the roll-up has something else in the place of a record, which stays"
                    );
                    differing.push(segment);
                }
            }
        }
        Ok(differing)
    }

    /// The checksums of a segment's records as they are, by number; none if it is gone.
    ///
    /// # Errors
    /// If it cannot be read or trusted.
    fn checksums(
        &self,
        segment: Segment,
    ) -> Result<Option<BTreeMap<u64, Crc32c>>, ReadCommitsError> {
        let log = Log::of(&self.run);
        let mut checksums = BTreeMap::new();
        let is_there =
            history::visit_segments(&log, &[segment], segment.first, &mut |record, _| {
                checksums.insert(record.number, record.encode_with_checksum().1);
            })?;
        Ok(is_there.then_some(checksums))
    }
}

/// Where the newest segments begin that are to be rolled up: the lowest level of which there are
/// [`ROLLUP_FANOUT`] in a row at the end, so that every record is rewritten once a level.
fn rollup_start(segments: &[Segment]) -> Option<usize> {
    let level = |segment: &Segment| segment.len().ilog(ROLLUP_FANOUT as u64);
    let highest = segments.iter().map(level).max()?;
    (0..=highest).find_map(|at_most| {
        let num_trailing = segments
            .iter()
            .rev()
            .take_while(|s| level(s) <= at_most)
            .count();
        let of_level = segments
            .iter()
            .rev()
            .take(num_trailing)
            .filter(|s| level(s) == at_most)
            .count();
        (of_level >= ROLLUP_FANOUT).then(|| segments.len() - num_trailing)
    })
}

#[cfg(test)]
mod tests;
