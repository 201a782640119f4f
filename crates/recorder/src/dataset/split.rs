//! Which samples are held out.

use super::Targets;
use super::targets::RawTargets;
use capture::{HostRng, Purpose};

/// Rows of which each lot is held out by the same share: those of a class, where there are classes.
pub(super) fn strata(targets: &RawTargets, num_rows: usize) -> Vec<Vec<usize>> {
    let class = |row: usize| match targets {
        RawTargets::Ready(Targets::Classes(classes)) => classes[row] as usize,
        RawTargets::Ready(Targets::Soft(soft)) if soft.iter().all(|&p| p == 0.0 || p == 1.0) => {
            soft[row] as usize
        }
        _ => 0,
    };
    let mut strata = Vec::new();
    for row in 0..num_rows {
        let class = class(row);
        if strata.len() <= class {
            strata.resize_with(class + 1, Vec::new);
        }
        strata[class].push(row);
    }
    strata
}

/// Draws the share of all rows that is held out, in ascending order; each lot gives as near to that
/// share as whole samples allow, and keeps at least one.
pub(super) fn draw_held_out(strata: Vec<Vec<usize>>, share: f64, seed: u64) -> Vec<usize> {
    let num_rows: usize = strata.iter().map(Vec::len).sum();
    let wanted = ((num_rows as f64 * share).round() as usize).max(1);
    let most = |lot: &Vec<usize>| lot.len().saturating_sub(1);
    let mut quotas: Vec<usize> = strata
        .iter()
        .map(|lot| ((lot.len() as f64 * share) as usize).min(most(lot)))
        .collect();
    // What is left goes to those that came closest to one more; the first on a tie.
    let mut by_remainder: Vec<usize> = (0..strata.len()).collect();
    let remainder = |lot: &usize| (strata[*lot].len() as f64 * share).fract();
    by_remainder.sort_by(|a, b| remainder(b).total_cmp(&remainder(a)));
    let mut left = wanted.saturating_sub(quotas.iter().sum());
    for lot in by_remainder {
        if left > 0 && quotas[lot] < most(&strata[lot]) {
            quotas[lot] += 1;
            left -= 1;
        }
    }
    let mut rng = HostRng::for_run(seed, Purpose::HeldOutSplit);
    let mut drawn = Vec::with_capacity(wanted);
    for (lot, quota) in strata.iter().zip(quotas) {
        let order = rng.permutation(lot.len());
        drawn.extend(order[..quota].iter().map(|&index| lot[index]));
    }
    drawn.sort_unstable();
    drawn
}
