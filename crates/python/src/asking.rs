//! Asking: a run that was opened, and what it answers, as Arrow speaks it.

mod ablation;
mod arguments;
mod catalog;
mod chart;
mod rows;
mod run;
mod served;
mod structures;
mod values;
mod work;

use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<run::Run>()?;
    module.add_class::<rows::Rows>()?;
    module.add_class::<chart::Chart>()?;
    module.add_class::<ablation::Ablation>()?;
    catalog::register(module)
}
