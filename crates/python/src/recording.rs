//! Recording: from what a Python training loop hands over to a [`capture::Recording`].

mod layers;
mod recorder;
mod settings;
mod source;

use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<recorder::Recorder>()?;
    module.add_function(wrap_pyfunction!(recorder::check, module)?)
}
