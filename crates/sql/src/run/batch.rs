//! How many rows a batch has, which is by how long the lists of a row are.

use trace::RunInfo;

/// How large a batch of rows may become by its lists.
pub const BATCH_BYTES: usize = 16 << 20;

/// The most rows a batch has.
pub const MAX_BATCH_ROWS: usize = 8192;

/// The fewest rows a batch has, however long its lists.
pub const MIN_BATCH_ROWS: usize = 16;

/// Of how many held-out samples activations are kept where a run does not say it.
const SAMPLES: u64 = 512;

/// Fewer rows a batch where a run's lists are long: 8,192 rows of 11,008 floats are 361 MB.
pub(crate) fn batch_rows(info: &RunInfo) -> usize {
    rows_of(longest_row(info))
}

fn rows_of(num_values: u64) -> usize {
    let num_values = usize::try_from(num_values).unwrap_or(usize::MAX);
    let row_bytes = num_values.max(1).saturating_mul(size_of::<f32>());
    (BATCH_BYTES / row_bytes).clamp(MIN_BATCH_ROWS, MAX_BATCH_ROWS)
}

/// How many values the lists of a row are likely to have at most, whichever table it is of.
fn longest_row(info: &RunInfo) -> u64 {
    let recorded = &info.config["record"];
    let kept = &recorded["activations"]["raw"]["samples"];
    let kept = kept.as_u64().unwrap_or(SAMPLES);
    let num_held_out = info.dataset.as_ref().map(|dataset| dataset.num_held_out);
    let held_out = num_held_out.map_or(kept, |held_out| held_out.min(kept));
    // Of a training step there is a list of its batch's samples.
    let phases = recorded["phases"].as_str().unwrap_or_default();
    let of_training = &info.config["train"]["batch_size"];
    let trained = match phases.contains("train") {
        true => of_training.as_u64().unwrap_or(0),
        false => 0,
    };
    // What the network made of a sample, and what was expected.
    let outputs = info
        .layers
        .output_layer()
        .map_or(0, |layer| layer.num_units);
    let classified = u64::from(outputs).max(info.class_names.len() as u64) * 2;
    // Edges of bins, and counts in them.
    let histogram = recorded["histograms"]
        .as_u64()
        .map_or(0, |bins| bins.saturating_mul(2).saturating_add(1));
    let longest = [held_out, trained, classified, histogram].into_iter().max();
    longest.unwrap_or(0).max(info.layers.width().into())
}

#[cfg(test)]
mod tests;
