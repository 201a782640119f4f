//! `--max-disk`: whether what is to be written still fits.

use std::io;
use std::path::{Path, PathBuf};

use trace::{Links, MaxPartBytes, Topology, visit_files};

use super::{Capture, RecordError};

/// More than a part file has beside its values (footer, page headers, dictionaries), and than its
/// entry in the commits takes.
const PART_BYTES: u64 = 16 << 10;
/// More than a row has beside its list.
const ROW_BYTES: u64 = 128;

/// How much a run may take, and does.
#[derive(Debug)]
pub(super) struct DiskBudget {
    run: PathBuf,
    max_bytes: u64,
    /// What the run's files took when they were last looked at.
    used_bytes: u64,
    /// The most that was written since.
    since_bytes: u64,
}

impl DiskBudget {
    pub(super) fn new(run: &Path, max_bytes: u64) -> Result<Self, RecordError> {
        let mut budget = Self {
            run: run.to_owned(),
            max_bytes,
            used_bytes: 0,
            since_bytes: 0,
        };
        budget.look()?;
        Ok(budget)
    }

    /// Whether `bytes` more fit, and then counts them. Nothing is looked at while they fit for
    /// certain; else `flush` has to write all that waits.
    pub(super) fn takes(
        &mut self,
        bytes: u64,
        flush: impl FnOnce() -> Result<(), RecordError>,
    ) -> Result<bool, RecordError> {
        // What is written at the end, whatever happens.
        let needed = bytes + 2 * PART_BYTES;
        if self.used_bytes + self.since_bytes + needed > self.max_bytes {
            flush()?;
            self.look()?;
        }
        let fits = self.used_bytes + self.since_bytes + needed <= self.max_bytes;
        if fits {
            self.since_bytes += bytes;
        }
        Ok(fits)
    }

    fn look(&mut self) -> Result<(), RecordError> {
        self.used_bytes = size(&self.run).map_err(|source| RecordError::DiskSize {
            run: self.run.clone(),
            source,
        })?;
        self.since_bytes = 0;
        Ok(())
    }
}

/// Bytes of all files below a directory. Some may be removed meanwhile.
fn size(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let visited = visit_files(dir, Path::new(""), Links::Keep, &mut |_, of_file| {
        bytes += of_file;
    });
    visited.map_err(|error| error.source)?;
    Ok(bytes)
}

/// More than a capture will take.
pub(super) fn most_bytes(
    capture: &Capture,
    topology: &Topology,
    num_bins: u64,
    max_part_bytes: MaxPartBytes,
) -> u64 {
    let parts = capture.network.as_ref().map(|source| source.parts());
    let written = parts.iter().flatten().filter(|part| part.is_written());
    let num_parts = written.clone().count() as u64;
    let parts = written.map(|part| {
        let num_rows = part.most_rows(topology);
        let num_files = most_files(num_rows, part.num_bytes, max_part_bytes);
        // Lists may be there twice, as outputs and what was expected of them.
        2 * part.num_bytes + num_rows * ROW_BYTES + num_files * PART_BYTES
    });
    let histograms = num_parts * (num_bins * ROW_BYTES + PART_BYTES);
    let classifications = capture.classifications.as_ref().map_or(0, |rows| {
        let outputs = 2 * size_of_val(&rows.outputs[..]) as u64;
        outputs + rows.len() as u64 * ROW_BYTES + PART_BYTES
    });
    let metrics = (1 + capture.waiting_metrics.len() as u64) * PART_BYTES;
    parts.sum::<u64>() + histograms * u64::from(num_bins > 0) + classifications + metrics
}

/// At least as many files as rows become that hold so many bytes.
fn most_files(num_rows: u64, num_bytes: u64, MaxPartBytes(max): MaxPartBytes) -> u64 {
    // A part is at least half full, or has one row.
    (2 * num_bytes / max.max(1) + 1).min(num_rows.max(1))
}

/// More than the saved state of a network of so many parameters takes.
pub(super) fn most_bytes_of_state(topology: &Topology, max_part_bytes: MaxPartBytes) -> u64 {
    let layers = topology.layers().iter();
    let bytes = layers.map(|layer| {
        let values = u64::from(layer.num_units) * (u64::from(layer.fan_in) + 1);
        let num_rows = u64::from(layer.num_units);
        let num_files = most_files(num_rows, 4 * values, max_part_bytes);
        8 * values + num_rows * ROW_BYTES + num_files * PART_BYTES
    });
    // Parameters, and the two moments of each.
    3 * bytes.sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_layer_becomes_more_files_than_are_counted() {
        for max in [0, 1, 7, 8, 100, 4096, 1 << 20] {
            let max = MaxPartBytes(max);
            for (num_rows, length) in [(1_u32, 1), (3, 2), (100, 1), (64, 33), (1000, 1024)] {
                let num_bytes = 4 * u64::from(num_rows) * length;
                let num_files = num_rows.div_ceil(max.rows_per_part(num_rows, length));
                let most = most_files(num_rows.into(), num_bytes, max);
                assert!(u64::from(num_files) <= most, "{max:?} {num_rows} {length}");
            }
        }
        assert_eq!(most_files(1000, 4000, MaxPartBytes::default()), 1);
    }

    #[test]
    fn what_fits_for_certain_is_not_looked_at_and_the_end_is_kept_free() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("weights")).unwrap();
        std::fs::write(dir.path().join("weights/part"), [0; 1000]).unwrap();
        let mut budget = DiskBudget::new(dir.path(), 2000 + 2 * PART_BYTES).unwrap();
        let unflushed = || -> Result<(), RecordError> { panic!("it fits for certain") };
        assert!(budget.takes(600, unflushed).unwrap());
        // It might have taken 600, and took 100.
        let flush = || {
            std::fs::write(dir.path().join("weights/other"), [0; 100]).unwrap();
            Ok(())
        };
        assert!(budget.takes(900, flush).unwrap());
        assert!(!budget.takes(901, || Ok(())).unwrap());
        assert!(budget.takes(900, unflushed).unwrap());
    }
}
