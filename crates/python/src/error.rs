//! Errors as Python's exceptions: one family, with the words of the command line.

use std::error::Error;
use std::time::Duration;

use capture::RecordError;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use trace::CreateRunError;

use crate::spelling::{as_python, import_as_python};

create_exception!(
    stratigraph_nn,
    StratigraphError,
    PyException,
    "Anything that Stratigraph cannot do: the family of its exceptions."
);
create_exception!(
    stratigraph_nn,
    RecordingError,
    StratigraphError,
    "A run cannot be begun, or not be recorded any further."
);
create_exception!(
    stratigraph_nn,
    DeviceError,
    RecordingError,
    "The device has failed: nothing that was trained since the last capture can be relied on."
);
create_exception!(
    stratigraph_nn,
    NoRoomError,
    RecordingError,
    "There is no room for what is recorded, and nothing is in doubt: it can be tried again where there is."
);
create_exception!(
    stratigraph_nn,
    QueryError,
    StratigraphError,
    "A run cannot be opened, or a question not be answered."
);
create_exception!(
    stratigraph_nn,
    QueryTimeoutError,
    QueryError,
    "A question had no answer in the time that it may take."
);

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("StratigraphError", py.get_type::<StratigraphError>())?;
    module.add("RecordingError", py.get_type::<RecordingError>())?;
    module.add("DeviceError", py.get_type::<DeviceError>())?;
    module.add("NoRoomError", py.get_type::<NoRoomError>())?;
    module.add("QueryError", py.get_type::<QueryError>())?;
    module.add("QueryTimeoutError", py.get_type::<QueryTimeoutError>())
}

/// The words of an error, with those of its causes that it does not repeat, as Python has them.
pub(crate) fn words(error: &dyn Error) -> String {
    as_python(&of_library(error)).into_owned()
}

/// The same of an error of an import, whose `--resume` is a switch.
pub(crate) fn import_words(error: &dyn Error) -> String {
    import_as_python(&of_library(error)).into_owned()
}

fn of_library(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}

/// As a [`RecordingError`].
pub(crate) fn recording(error: impl Error) -> PyErr {
    RecordingError::new_err(words(&error))
}

/// As Python's exception: a failure of the device is told apart, since it is training's own.
pub(crate) fn record_error(error: RecordError) -> PyErr {
    match error {
        RecordError::Device(_) => DeviceError::new_err(words(&error)),
        error if error.is_for_want_of_room() => NoRoomError::new_err(words(&error)),
        error => recording(error),
    }
}

/// As Python's exception, of a run that could not be created.
pub(crate) fn create_error(error: CreateRunError) -> PyErr {
    match &error {
        CreateRunError::Io { source, .. } if trace::is_no_room(source) => {
            NoRoomError::new_err(words(&error))
        }
        _ => recording(error),
    }
}

/// As a [`QueryError`].
pub(crate) fn query(error: impl Error) -> PyErr {
    QueryError::new_err(words(&error))
}

/// That a question had no answer in time.
pub(crate) fn timed_out(timeout: Duration) -> PyErr {
    QueryTimeoutError::new_err(words(&sql::QueryError::TimedOut(timeout)))
}
