//! The notebook's data: random samples, so that there is nothing to learn but much to record.

use trace::DatasetInfo;

use super::{Dataset, DatasetKind, Samples, Targets, Training};
use capture::{HostRng, Purpose};

const NUM_INPUTS: usize = 20;
const NUM_HELD_OUT: usize = 100;

pub(super) fn load(seed: u64, num_train: usize) -> Dataset {
    let held_out = draw(
        &mut HostRng::for_run(seed, Purpose::HeldOutSamples),
        NUM_HELD_OUT,
    );
    let info = DatasetInfo {
        kind: DatasetKind::Notebook.to_string(),
        source: "drawn with the seed".to_owned(),
        crc32c: held_out.crc32c(),
        num_train: num_train as u64,
        num_held_out: NUM_HELD_OUT as u64,
        held_out: format!("{NUM_HELD_OUT} drawn with the seed"),
        details: None,
    };
    Dataset {
        info,
        training: Training::Drawn(num_train),
        held_out,
        class_names: vec!["0".to_owned(), "1".to_owned()],
        target_names: Vec::new(),
        image: None,
        notes: Vec::new(),
    }
}

/// Draws samples whose inputs and targets are uniform in `[0, 1)`: all inputs first.
pub(super) fn draw(rng: &mut HostRng, num_samples: usize) -> Samples {
    let inputs = (0..num_samples * NUM_INPUTS)
        .map(|_| rng.uniform())
        .collect();
    let targets = (0..num_samples).map(|_| rng.uniform()).collect();
    Samples::new(inputs, NUM_INPUTS, Targets::Soft(targets))
}
