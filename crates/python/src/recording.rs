//! Recording: from what a Python training loop hands over to a [`capture::Recording`].

mod layers;
mod recorder;
mod settings;
mod source;
mod start;
mod step_counter;

use pyo3::prelude::*;

pub(crate) use settings::{chosen_compress, chosen_max_part_bytes};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<recorder::Recorder>()?;
    module.add_class::<step_counter::StepCounter>()?;
    module.add_function(wrap_pyfunction!(start::check, module)?)?;
    module.add_function(wrap_pyfunction!(start::is_unborn, module)?)
}
