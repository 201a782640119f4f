//! The extension module of the Python package: recording and asking, for Python.
//!
//! It knows Python's objects, and what becomes of them: tensors that speak DLPack become values of a
//! capture ([`capture::Source`]), descriptions of layers a topology, errors exceptions. What a training
//! loop, PyTorch or a notebook looks like is the business of the Python code in `python/`. It knows
//! nothing of Burn.

mod asking;
mod checkpoints;
mod cli;
mod error;
mod evaluation;
mod log;
mod recording;
mod spelling;
mod tensor;

use pyo3::prelude::*;

/// What `stratigraph_nn` is made of.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    asking::register(module)?;
    cli::register(module)?;
    error::register(module)?;
    log::register(module)?;
    recording::register(module)?;
    checkpoints::register(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
