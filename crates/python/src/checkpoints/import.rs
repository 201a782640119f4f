//! A series of checkpoints becomes a run, while Python waits without its lock.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use capture::{
    CancelToken, ImportError, ImportOptions, ImportPlan, NamePattern, NumberSource, TransposeGlobs,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::library::TorchLibrary;
use crate::error::{RecordingError, import_words, recording};
use crate::recording::{chosen_compress, chosen_max_part_bytes};
use crate::spelling::import_as_python;

/// How often whoever waits looks whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(50);

/// Makes a run of checkpoints; without `out` nothing is created. What became of them, as JSON. On Ctrl-C the
/// checkpoint in hand is finished.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "they are the keywords of the call in Python"
)]
fn import_checkpoints(
    py: Python<'_>,
    checkpoints: Vec<PathBuf>,
    out: Option<PathBuf>,
    pattern: Option<String>,
    steps_per_epoch: Option<u64>,
    key: Option<String>,
    strip_prefix: Vec<String>,
    transpose: Vec<String>,
    lossy: bool,
    compress: Option<String>,
    max_part_bytes: Option<String>,
    resume: bool,
) -> PyResult<String> {
    let wrong = |error: &dyn std::error::Error| PyValueError::new_err(import_words(error));
    let pattern = pattern.map(|pattern| pattern.parse::<NamePattern>());
    let is_dry = out.is_none();
    let compress = chosen_compress(compress.as_deref())?;
    let max_part_bytes = chosen_max_part_bytes(max_part_bytes)?;
    let options = ImportOptions {
        checkpoints,
        out: out.unwrap_or_default(),
        library: Some(Arc::new(TorchLibrary::new(key))),
        pattern: pattern.transpose().map_err(|error| wrong(&error))?,
        steps_per_epoch: steps_per_epoch.and_then(NonZeroU64::new),
        lossy,
        transpose: TransposeGlobs::try_new(&transpose).map_err(|error| wrong(&error))?,
        strip_prefix,
        compress,
        max_part_bytes,
        resume,
    };
    let cancel = CancelToken::default();
    let (done, signal) = py.detach(|| {
        let (options, cancel) = (&options, &cancel);
        thread::scope(|scope| {
            let waiting = thread::current();
            let work = thread::Builder::new().name("stratigraph-import".to_owned());
            let working = work.spawn_scoped(scope, move || {
                let done = import(options, is_dry, cancel);
                waiting.unpark();
                done
            });
            let working = match working {
                Ok(working) => working,
                Err(error) => return (Err(recording(error)), None),
            };
            let mut signal = None;
            while !working.is_finished() {
                thread::park_timeout(LOOK);
                if let Err(raised) = Python::attach(|py| py.check_signals()) {
                    cancel.cancel();
                    signal.get_or_insert(raised);
                }
            }
            let done = working.join().unwrap_or_else(|_| {
                let message = "this is a mistake of Stratigraph's: the import panicked";
                Err(RecordingError::new_err(message))
            });
            (done, signal)
        })
    });
    match signal {
        Some(signal) => Err(signal),
        None => done,
    }
}

fn import(options: &ImportOptions, is_dry: bool, cancel: &CancelToken) -> PyResult<String> {
    let failed = |error: ImportError| RecordingError::new_err(import_words(&error));
    let plan = ImportPlan::try_new(options, cancel).map_err(failed)?;
    if !is_dry {
        plan.run(cancel, &mut |_| {}).map_err(failed)?;
    }
    let captures = plan.captures().iter();
    let captures = captures.map(|(path, id)| {
        let path = path.to_string_lossy();
        serde_json::json!([path, id.epoch, id.step])
    });
    let numbers_by = match plan.number_source() {
        NumberSource::ByPattern => "pattern",
        NumberSource::ByWord => "words",
        NumberSource::OnlyNumber => "number",
        NumberSource::Inside => "inside",
    };
    let notes = plan.notes().iter();
    let notes = notes.map(|note| import_as_python(&note.to_string()).into_owned());
    let told = serde_json::json!({
        "captures": captures.collect::<Vec<_>>(),
        "numbers_by": numbers_by,
        "notes": notes.collect::<Vec<_>>(),
    });
    Ok(told.to_string())
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(import_checkpoints, module)?)
}
