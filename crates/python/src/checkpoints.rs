//! A capture as a checkpoint, and checkpoints as a run.

mod import;
mod library;

use std::path::PathBuf;

use capture::CaptureChoice;
use pyo3::prelude::*;
use trace::{Epoch, RunDir, Step};

use crate::error::{QueryError, words};

pub(crate) use library::TorchLibrary;

/// Writes the weights of a capture as safetensors, in place of a file that is there: of the last epoch, where
/// none is named. Gives the epoch and step.
#[pyfunction]
#[pyo3(signature = (run, out, epoch = None, step = None))]
fn export_checkpoint(
    py: Python<'_>,
    run: PathBuf,
    out: PathBuf,
    epoch: Option<i32>,
    step: Option<i64>,
) -> PyResult<(i32, i64)> {
    let error = |error: &dyn std::error::Error| QueryError::new_err(words(error));
    py.detach(|| {
        let run = RunDir::open(&run).map_err(|e| error(&e))?;
        let choice = CaptureChoice {
            step: step.map(Step),
            ..epoch
                .map(|epoch| CaptureChoice::epoch(Epoch(epoch)))
                .unwrap_or_default()
        };
        let report = capture::export(&run, choice, &out, true).map_err(|e| error(&e))?;
        Ok((report.capture.epoch.0, report.capture.step.0))
    })
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(export_checkpoint, module)?)?;
    import::register(module)
}
