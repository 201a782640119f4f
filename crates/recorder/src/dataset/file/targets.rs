//! What the network should say of the samples of a file, numbers scaled as inputs are.

use crate::dataset::scaling::{Standard, Taken};
use crate::dataset::spec::Scale;
use crate::dataset::targets::RawTargets;
use crate::dataset::{TargetRows, Targets};

/// How numbers that are predicted are standardised, as inputs are: Adam would take long to come near
/// those that are far from 0.
pub(super) fn standard_of(
    targets: &RawTargets,
    trained_on: &[usize],
    scale: Scale,
) -> Option<Standard> {
    match (targets, scale) {
        (RawTargets::Values { values, width }, Scale::Standard) => {
            Some(Standard::fit(*width, trained_on, |row, out| {
                out.copy_from_slice(&values[row * width..(row + 1) * width]);
            }))
        }
        _ => None,
    }
}

/// The targets of some rows, numbers standardised where they are.
pub(super) fn chosen_targets(
    targets: &RawTargets,
    chosen: &[usize],
    standard: Option<&Standard>,
    taken: Taken,
) -> Targets {
    match targets {
        RawTargets::Ready(targets) => targets.select(chosen),
        RawTargets::Values { values, width } => {
            let row = |&row: &usize| &values[row * width..(row + 1) * width];
            let mut chosen: Vec<f64> = chosen.iter().flat_map(row).copied().collect();
            if taken == Taken::F32 {
                chosen
                    .iter_mut()
                    .for_each(|value| *value = f64::from(*value as f32));
            }
            if let Some(standard) = standard {
                standard.apply(&mut chosen);
            }
            Targets::Values(TargetRows {
                values: chosen.into_iter().map(|value| value as f32).collect(),
                width: *width,
            })
        }
    }
}
