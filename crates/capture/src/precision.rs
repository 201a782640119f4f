//! In how many bits the values of lists are kept.

use half::f16;
use serde::{Deserialize, Serialize};
use trace::RunInfo;

/// In how many bits the values in `weights` and `activations` are kept. Statistics are of the values
/// as they were, and biases are kept as they are.
///
/// The columns hold 32-bit floats either way, since engines read byte-split pages of these alone:
/// of a value that was rounded the low bytes are the same everywhere, and compress to nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits: as they are.
    #[default]
    F32,
    /// 16 bits (IEEE 754 binary16): 11 significant bits, which is 3 decimal digits. What is larger
    /// than 65,504 becomes infinite, what is smaller than 6e-8 becomes 0.
    F16,
}

impl Precision {
    /// In what precision a run's lists are, by the configuration in its `run.json`.
    pub fn of_run(run: &RunInfo) -> Self {
        let said = &run.config["record"]["precision"];
        Self::deserialize(said).unwrap_or_default()
    }

    /// Rounds to the nearest value that there is, of two equally near ones to the even one.
    pub(crate) fn round(self, mut values: Vec<f32>) -> Vec<f32> {
        if self == Self::F16 {
            for value in &mut values {
                *value = f16::from_f32(*value).to_f32();
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_has_eleven_significant_bits() {
        // 2^11 is where whole numbers end; 1 + 2^-11 lies between two values, the even one is 1.
        let values = vec![
            2047.0,
            2049.0,
            1.0 + 2f32.powi(-11),
            1.0 + 3.0 * 2f32.powi(-11),
        ];
        let rounded = Precision::F16.round(values.clone());
        assert_eq!(rounded, [2047.0, 2048.0, 1.0, 1.0 + 2f32.powi(-9)]);
        assert_eq!(Precision::F32.round(values.clone()), values);
        let extremes = vec![65_504.0, 1e6, 1e-9, f32::NEG_INFINITY];
        let rounded = Precision::F16.round(extremes);
        assert_eq!(rounded, [65_504.0, f32::INFINITY, 0.0, f32::NEG_INFINITY]);
        assert!(Precision::F16.round(vec![f32::NAN])[0].is_nan());
    }
}
