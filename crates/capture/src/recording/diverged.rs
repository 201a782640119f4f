//! Training that has diverged: the first loss or weight that is not finite is said, once.

use trace::{CaptureId, Topology};

use super::source::{TensorKind, Values};
use crate::rows::Metric;

/// The metric that learning makes small.
const LOSS: &str = "loss";

/// Looks for what is not finite, until there is something.
#[derive(Debug, Default)]
pub(super) struct Diverged {
    has_reported: bool,
    /// Layers of the capture in hand with a weight or bias that is not finite.
    layers: Vec<usize>,
}

impl Diverged {
    /// Looks at what was read of a capture.
    pub(super) fn look_at(&mut self, values: &Values) {
        let Values::Parameters {
            kind: TensorKind::Weights,
            layer,
            weight,
            bias,
        } = values
        else {
            return;
        };
        let are_finite = || are_finite(weight) && bias.as_ref().is_none_or(|bias| are_finite(bias));
        if !self.has_reported && !are_finite() {
            self.layers.push(*layer);
        }
    }

    /// What has become of the capture that was looked at, or of a moment of which there are metrics
    /// alone; none where all is finite, or it was said before.
    pub(super) fn found(
        &mut self,
        id: CaptureId,
        metrics: &[Metric],
        topology: &Topology,
    ) -> Option<String> {
        let mut layers = std::mem::take(&mut self.layers);
        layers.sort_unstable();
        let loss = metrics
            .iter()
            .filter(|metric| metric.name == LOSS && !metric.value.is_finite())
            .find_map(|metric| Some(format!("the loss ({})", metric.phase?)));
        let layers: Vec<&str> = layers
            .into_iter()
            .map(|layer| topology.layers()[layer].layer.as_str())
            .collect();
        let weights = (!layers.is_empty()).then(|| format!("weights of {}", layers.join(", ")));
        let found: Vec<String> = loss.into_iter().chain(weights).collect();
        if self.has_reported || found.is_empty() {
            return None;
        }
        self.has_reported = true;
        let be = if layers.is_empty() { "is" } else { "are" };
        Some(format!(
            "training has diverged: at epoch {}, step {}, {} {be} not finite any more; a lower learning \
             rate may help",
            id.epoch.0,
            id.step.0,
            found.join(" and ")
        ))
    }
}

/// Whether all are: counted by the thousand, as processors do it several at a time.
fn are_finite(values: &[f32]) -> bool {
    values.chunks(1024).all(|some| {
        let num_finite: usize = some.iter().map(|v| usize::from(v.is_finite())).sum();
        num_finite == some.len()
    })
}

#[cfg(test)]
mod tests {
    use trace::{Epoch, Layer, LayerLabel, Step};

    use super::*;

    fn capture_id(epoch: i32, step: i64) -> CaptureId {
        CaptureId {
            epoch: Epoch(epoch),
            step: Step(step),
        }
    }

    /// Two layers, A and B.
    fn topology() -> Topology {
        let layer = |index: u32, name: &str| Layer {
            layer_index: index,
            layer: LayerLabel::try_new(name).unwrap(),
            module_path: name.to_owned(),
            kind: "linear".to_owned(),
            shape: vec![1, 2],
            fan_in: 2,
            num_units: 1,
            first_neuron: index.cast_signed(),
            activation: None,
            trainable: true,
            source: None,
            tensors: Vec::new(),
            recorded_units: None,
        };
        Topology::try_new(vec![layer(0, "A"), layer(1, "B")]).unwrap()
    }

    fn weights(layer: usize, weight: &[f32], bias: Option<f32>) -> Values {
        Values::Parameters {
            kind: TensorKind::Weights,
            layer,
            weight: weight.to_vec(),
            bias: bias.map(|bias| vec![bias]),
        }
    }

    fn loss(phase: Option<&'static str>, value: f64) -> Metric {
        Metric {
            phase,
            name: LOSS.to_owned(),
            value,
        }
    }

    #[test]
    fn the_first_capture_that_is_not_finite_is_told_once_with_its_layers() {
        let topology = topology();
        let mut diverged = Diverged::default();
        diverged.look_at(&weights(0, &[1.0, 2.0], Some(0.0)));
        diverged.look_at(&weights(1, &[1.0, 2.0], None));
        let fine = [loss(Some("train"), 0.5)];
        assert_eq!(diverged.found(capture_id(0, 4), &fine, &topology), None);
        // A bias is one of a layer's parameters; layers are told in their order.
        diverged.look_at(&weights(1, &[f32::INFINITY, 2.0], None));
        diverged.look_at(&weights(0, &[1.0, 2.0], Some(f32::NAN)));
        let losses = [loss(Some("train"), f64::NAN), loss(Some("eval"), f64::NAN)];
        let told = diverged.found(capture_id(1, 8), &losses, &topology);
        assert_eq!(
            told.as_deref(),
            Some(
                "training has diverged: at epoch 1, step 8, the loss (train) and weights of A, B are not \
                 finite any more; a lower learning rate may help"
            )
        );
        diverged.look_at(&weights(0, &[f32::NAN, 2.0], None));
        assert_eq!(diverged.found(capture_id(2, 12), &losses, &topology), None);
    }

    #[test]
    fn a_loss_is_enough_and_figures_of_the_recorder_are_none() {
        let topology = topology();
        let mut diverged = Diverged::default();
        let own = [loss(None, f64::NAN)];
        assert_eq!(diverged.found(capture_id(0, 4), &own, &topology), None);
        let held_out = [loss(Some("eval"), f64::INFINITY)];
        let told = diverged.found(capture_id(3, 9), &held_out, &topology);
        let told = told.unwrap();
        assert!(
            told.contains("at epoch 3, step 9, the loss (eval) is not finite"),
            "{told}"
        );
    }
}
