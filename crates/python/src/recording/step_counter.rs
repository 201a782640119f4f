//! Counting an optimizer's steps, so that a step that nobody needs to be told of costs next to nothing.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use pyo3::prelude::*;
use pyo3::types::{PyAny, PyTuple};
use pyo3::{PyTraverseError, PyVisit, intern};

/// The hooks of one optimizer's steps. Those before a number are counted here; of others Python is told, which
/// then counts itself. What compiles Python does not look into it.
#[pyclass(module = "stratigraph_nn._native", frozen)]
pub(crate) struct StepCounter {
    /// Called before a step and after it, as PyTorch calls hooks.
    before: Py<PyAny>,
    after: Py<PyAny>,
    num_made: AtomicI64,
    quiet_until: AtomicI64,
}

#[pymethods]
impl StepCounter {
    #[new]
    fn new(before: Py<PyAny>, after: Py<PyAny>) -> Self {
        Self {
            before,
            after,
            num_made: AtomicI64::new(0),
            quiet_until: AtomicI64::new(0),
        }
    }

    /// How many steps the optimizer has made, the first having number 1.
    #[getter]
    fn num_made(&self) -> i64 {
        self.num_made.load(Relaxed)
    }

    #[setter]
    fn set_num_made(&self, number: i64) {
        self.num_made.store(number, Relaxed);
    }

    /// The first step that Python is told of again.
    #[getter]
    fn quiet_until(&self) -> i64 {
        self.quiet_until.load(Relaxed)
    }

    #[setter]
    fn set_quiet_until(&self, step: i64) {
        self.quiet_until.store(step, Relaxed);
    }

    /// Before a step.
    #[pyo3(signature = (*arguments))]
    fn about_to(&self, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
        if !self.is_quiet(self.num_made() + 1) {
            self.before.call1(arguments.py(), arguments)?;
        }
        Ok(())
    }

    /// After a step.
    #[pyo3(signature = (*arguments))]
    fn done(&self, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
        let py = arguments.py();
        let step = self.num_made() + 1;
        if self.is_quiet(step) && !may_leave_out(&arguments.get_item(0)?)? {
            self.num_made.store(step, Relaxed);
        } else {
            self.after.call1(py, arguments)?;
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.before)?;
        visit.call(&self.after)
    }
}

impl StepCounter {
    fn is_quiet(&self, step: i64) -> bool {
        step < self.quiet_until.load(Relaxed)
    }
}

/// Whether an optimizer may find by itself that it should not have made a step.
fn may_leave_out(optimizer: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = optimizer.py();
    optimizer
        .getattr(intern!(py, "__dict__"))?
        .contains(intern!(py, "found_inf"))
}
