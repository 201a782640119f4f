//! A capture as a checkpoint, and checkpoints as a run.

mod import;
mod library;

use std::path::PathBuf;

use capture::CaptureChoice;
use pyo3::prelude::*;
use trace::{Epoch, RunDir, Step};

use crate::error::query;

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
    py.detach(|| {
        let run = RunDir::open(&run).map_err(query)?;
        let report = capture::export(&run, choice(epoch, step), &out, true).map_err(query)?;
        Ok((report.capture.epoch.0, report.capture.step.0))
    })
}

/// The same of the layers whose weights were recorded whole. Gives the labels of the others.
#[pyfunction]
#[pyo3(signature = (run, out, epoch = None, step = None))]
fn export_recorded(
    py: Python<'_>,
    run: PathBuf,
    out: PathBuf,
    epoch: Option<i32>,
    step: Option<i64>,
) -> PyResult<Vec<String>> {
    py.detach(|| {
        let run = RunDir::open(&run).map_err(query)?;
        let done = capture::export_recorded(&run, choice(epoch, step), &out);
        Ok(done.map_err(query)?.1)
    })
}

fn choice(epoch: Option<i32>, step: Option<i64>) -> CaptureChoice {
    CaptureChoice {
        step: step.map(Step),
        ..epoch
            .map(|epoch| CaptureChoice::epoch(Epoch(epoch)))
            .unwrap_or_default()
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(export_checkpoint, module)?)?;
    module.add_function(wrap_pyfunction!(export_recorded, module)?)?;
    import::register(module)
}
