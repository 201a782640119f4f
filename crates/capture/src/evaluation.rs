//! What a network said of samples, and how well: plain functions of logits and targets.

mod classify;
mod loss;
mod score;
mod targets;

pub use classify::{Classifications, Logits, check_targets, classify, target_classes};
pub use loss::Loss;
pub use score::{Score, Spread, Sums};
pub use targets::{TargetRows, Targets};

#[cfg(test)]
mod tests;
