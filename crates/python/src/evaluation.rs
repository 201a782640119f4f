//! What a network said of held-out samples, as Python hands it over.

use capture::{Classifications, Loss, TargetRows, Targets, classify};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::tensor::HostTensor;

/// The loss of a name in the trace's own words.
///
/// # Errors
/// If there is none.
pub(crate) fn loss_of(name: &str) -> PyResult<Loss> {
    match name {
        "softmax_cross_entropy" => Ok(Loss::SoftmaxCrossEntropy),
        "binary_cross_entropy" => Ok(Loss::BinaryCrossEntropy),
        "multi_label_cross_entropy" => Ok(Loss::MultiLabelCrossEntropy),
        "mean_squared_error" => Ok(Loss::MeanSquaredError),
        other => Err(PyValueError::new_err(format!(
            "no loss is called {other:?}"
        ))),
    }
}

/// How many samples and outputs logits are of.
///
/// # Errors
/// If they are not `[samples, outputs]`, or `[samples]` of one output.
pub(crate) fn shape_of(logits: &HostTensor) -> PyResult<(usize, usize)> {
    match *logits.shape() {
        [num_samples] => Ok((num_samples, 1)),
        [num_samples, num_outputs] => Ok((num_samples, num_outputs)),
        _ => {
            let shape = logits.shape();
            Err(PyValueError::new_err(format!(
                "logits are [samples, outputs], not {shape:?}"
            )))
        }
    }
}

/// The targets of samples, as the loss has them; [`capture::check_targets`] says whether they fit the logits.
///
/// # Errors
/// If they have to be classes, and are not.
pub(crate) fn targets_of(
    loss: Loss,
    num_samples: usize,
    targets: &HostTensor,
) -> PyResult<Targets> {
    let rows = |values: &HostTensor| TargetRows {
        values: values.to_floats(),
        width: values.num_values().checked_div(num_samples).unwrap_or(0),
    };
    Ok(match loss {
        Loss::SoftmaxCrossEntropy => Targets::Classes(targets.to_classes().ok_or_else(|| {
            PyValueError::new_err("targets of cross_entropy are classes: whole numbers from 0")
        })?),
        Loss::BinaryCrossEntropy => Targets::Soft(targets.to_floats()),
        Loss::MultiLabelCrossEntropy => Targets::Labels(rows(targets)),
        Loss::MeanSquaredError => Targets::Values(rows(targets)),
    })
}

/// What was said of the samples, by logits and targets that fit each other. `losses` are those of the samples,
/// where the network's own loss is another.
///
/// # Errors
/// If there is not a loss a sample.
pub(crate) fn classified(
    loss: Loss,
    logits: &HostTensor,
    targets: &Targets,
    losses: Option<&HostTensor>,
) -> PyResult<Classifications> {
    let mut rows = classify(loss, &logits.to_floats(), targets);
    if let Some(losses) = losses {
        if losses.num_values() != targets.len() {
            return Err(PyValueError::new_err("there is a loss a sample"));
        }
        rows.loss = losses.to_floats();
    }
    Ok(rows)
}
