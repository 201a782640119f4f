//! The recorder that Python drives.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use capture::rows::{PHASE_EVAL, PHASE_TRAIN};
use capture::{
    Change, Decision, INITIAL, Loss, NetworkLayers, RecordError, RecordSummary, Recorded,
    Recording, Schedule, Source, TensorKind,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt as _;
use pyo3::types::PyTuple;
use trace::{CaptureId, Epoch, RunDir, Step};

use super::source::{Part, Parts};
use super::start;
use crate::error::{RecordingError, record_error, recording as recording_error};
use crate::evaluation::{classified, loss_of, shape_of, targets_of};
use crate::tensor::HostTensor;

/// Records a network, of which Python hands over tensors.
///
/// All methods let go of Python's lock while they copy, wait or write. In a process that was forked off,
/// a recorder has no threads: Python's side leaves it alone there.
#[pyclass(module = "stratigraph_nn._native", frozen)]
pub(super) struct Recorder {
    /// None once it was finished.
    recording: Mutex<Option<Recording>>,
    layers: Arc<NetworkLayers>,
    recorded: Recorded,
    schedule: Schedule,
    run: RunDir,
    /// The process that the recorder's threads are in.
    process: u32,
}

#[pymethods]
impl Recorder {
    /// Creates the run, or goes on with it, and starts the recorder's threads. `settings` is JSON.
    #[new]
    fn new(py: Python<'_>, settings: &str) -> PyResult<Self> {
        crate::log::start();
        let settings = start::parse(settings)?;
        let started = py.detach(|| start::start(settings))?;
        Ok(Self {
            recording: Mutex::new(Some(started.recording)),
            layers: started.layers,
            recorded: started.recorded,
            schedule: started.schedule,
            run: started.run,
            process: std::process::id(),
        })
    }

    /// The run's directory.
    #[getter]
    fn path(&self) -> std::path::PathBuf {
        self.run.path().to_owned()
    }

    /// The layers whose parameters a capture needs, each with what they go into it as.
    fn parameters(&self, py: Python<'_>) -> PyResult<Vec<(usize, &'static str)>> {
        self.with(py, |recording| {
            let layers = recording.topology().layers().len();
            let read = (0..layers).filter_map(|layer| {
                let kind = match recording.parameters_of(layer)? {
                    TensorKind::Checked => "checked",
                    _ => "weights",
                };
                Some((layer, kind))
            });
            Ok(read.collect())
        })
    }

    /// Which layers are recorded, by layer.
    fn selected(&self, py: Python<'_>) -> PyResult<Vec<bool>> {
        self.with(py, |recording| Ok(recording.selected().to_vec()))
    }

    /// Whether the schedule has a capture after a step. It may be left out.
    fn is_step_scheduled(&self, step: i64) -> bool {
        self.schedule.is_step_due(Step(step))
    }

    /// The first step after `step`, up to `last`, after which the schedule has a capture.
    fn next_scheduled_step(&self, step: i64, last: i64) -> Option<i64> {
        (step.saturating_add(1)..=last).find(|step| self.is_step_scheduled(*step))
    }

    /// Whether the network will be captured after a step.
    fn is_step_due(&self, py: Python<'_>, step: i64) -> PyResult<bool> {
        self.with(py, |recording| Ok(recording.is_step_due(step)))
    }

    /// Whether the network will be captured at the end of an epoch whose last step is `step`.
    fn is_end_due(&self, py: Python<'_>, epoch: i32, step: i64) -> PyResult<bool> {
        self.with(py, |recording| Ok(recording.is_end_due(id(epoch, step))))
    }

    /// What is done at a moment: `nothing`, `left_out`, `metrics` or `capture`; of the last three,
    /// [`Recorder::hand_over`] or [`Recorder::leave_out`] is called next.
    fn decide(
        &self,
        py: Python<'_>,
        epoch: i32,
        step: i64,
        is_end: bool,
    ) -> PyResult<&'static str> {
        self.with(py, |recording| {
            recording.begin_call();
            let decision = recording.decide(id(epoch, step), is_end);
            Ok(match decision.map_err(record_error)? {
                Decision::Nothing => "nothing",
                Decision::LeftOut => "left_out",
                Decision::Metrics => "metrics",
                Decision::Capture => "capture",
            })
        })
    }

    /// Leaves a capture out that is due.
    fn leave_out(&self, py: Python<'_>, epoch: i32, step: i64) -> PyResult<()> {
        self.with(py, |recording| {
            recording.leave_out(id(epoch, step), Instant::now());
            Ok(())
        })
    }

    /// Hands a moment over with what was noted: with parts of the network where it is captured. `seconds`
    /// is what Python spent on them. Says whether it was captured.
    #[pyo3(signature = (epoch, step, is_end, parts, seconds = 0.0))]
    fn hand_over(
        &self,
        py: Python<'_>,
        epoch: i32,
        step: i64,
        is_end: bool,
        parts: Option<Vec<Bound<'_, PyTuple>>>,
        seconds: f64,
    ) -> PyResult<bool> {
        let start = began(seconds);
        let parts = self.parts(parts)?;
        py.detach(|| {
            let source = copied(parts);
            self.with_detached(|recording| {
                let handed_over = recording.hand_over(id(epoch, step), is_end, source, start);
                handed_over.map_err(record_error)
            })
        })
    }

    /// Captures the untrained network.
    fn hand_over_initial(&self, py: Python<'_>, parts: Vec<Bound<'_, PyTuple>>) -> PyResult<()> {
        let start = Instant::now();
        let parts = self.parts(Some(parts))?;
        py.detach(|| {
            let source = copied(parts);
            self.with_detached(|recording| {
                recording.check_untrained().map_err(record_error)?;
                let handed_over = recording.hand_over(INITIAL, true, source, start);
                handed_over.map(drop).map_err(record_error)
            })
        })
    }

    /// As [`Recorder::hand_over`], of the moment that training ended with.
    fn hand_over_last(
        &self,
        py: Python<'_>,
        epoch: i32,
        step: i64,
        parts: Option<Vec<Bound<'_, PyTuple>>>,
    ) -> PyResult<bool> {
        let start = Instant::now();
        let parts = self.parts(parts)?;
        py.detach(|| {
            let source = copied(parts);
            self.with_detached(|recording| {
                let handed_over = recording.hand_over_last(id(epoch, step), source, start);
                handed_over.map_err(record_error)
            })
        })
    }

    /// Notes a figure for the next moment: `train`, `eval`, or neither's.
    fn metric(&self, py: Python<'_>, phase: Option<&str>, name: &str, value: f64) -> PyResult<()> {
        let phase = match phase {
            None => None,
            Some(PHASE_TRAIN) => Some(PHASE_TRAIN),
            Some(PHASE_EVAL) => Some(PHASE_EVAL),
            Some(other) => return Err(PyValueError::new_err(format!("no phase is {other:?}"))),
        };
        self.with(py, |recording| {
            recording.metric(phase, name, value);
            Ok(())
        })
    }

    /// Notes what the network said of all held-out samples, from logits `[samples, outputs]`, and the
    /// figures that follow from it, for the next capture. Gives the mean loss, and the figure's name and
    /// value. `losses` are those of the samples, where the network's own loss is another.
    #[pyo3(signature = (loss, logits, targets, losses = None))]
    fn classified(
        &self,
        py: Python<'_>,
        loss: &str,
        logits: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyAny>,
        losses: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(f64, &'static str, f64)> {
        let loss = loss_of(loss)?;
        let (logits, targets) = (HostTensor::import(logits)?, HostTensor::import(targets)?);
        let losses = losses.map(HostTensor::import).transpose()?;
        py.detach(|| self.classify(loss, &logits, &targets, losses.as_ref()))
    }

    /// Why recording failed for good, where training goes on without it.
    fn failure(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.with(py, |recording| {
            let is_for_good = !recording.waits_for_room();
            let failure = recording.failure().filter(|_| is_for_good);
            Ok(failure.map(|error| crate::error::words(error)))
        })
    }

    /// What has become of recording since this was asked last: `failed` and `waits` with the reason,
    /// `taken_up` with what was lost until then.
    fn take_changes(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, String)>> {
        self.with(py, |recording| {
            Ok(recording.take_changes().iter().map(words_of).collect())
        })
    }

    /// Counts the captures that the schedule names at the ends of epochs, and after steps, from a first up to
    /// another one: before there was room for the run.
    fn miss_scheduled(
        &self,
        py: Python<'_>,
        epochs: (i32, i32),
        steps: (i64, i64),
    ) -> PyResult<()> {
        self.with(py, |recording| {
            recording.miss_scheduled(epochs.0..epochs.1, steps.0..steps.1);
            Ok(())
        })
    }

    /// Counts a capture that was due and could not be made.
    fn miss(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |recording| {
            recording.miss();
            Ok(())
        })
    }

    /// Whether the run may take no more of the disk.
    fn is_disk_full(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |recording| Ok(recording.is_disk_full()))
    }

    /// Waits until everything is committed, and ends the recording. Gives the summary as JSON.
    fn finish(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| {
            let recording = self.lock().take();
            let recording = recording.ok_or_else(|| record_error(RecordError::Stopped))?;
            let summary = recording.finish().map_err(record_error)?;
            Ok(summary_json(&summary).to_string())
        })
    }
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, Option<Recording>> {
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls with the recording, in a call of Python's: its lock is let go of while another thread has the
    /// recording, which may need Python's lock to go on.
    fn with<T>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&mut Recording) -> PyResult<T>,
    ) -> PyResult<T> {
        let guard = self.recording.lock_py_attached(py);
        call_with(&mut guard.unwrap_or_else(PoisonError::into_inner), call)
    }

    /// As [`Recorder::with`], where Python's lock is not held.
    fn with_detached<T>(&self, call: impl FnOnce(&mut Recording) -> PyResult<T>) -> PyResult<T> {
        call_with(&mut self.lock(), call)
    }

    /// Parts that fit the network.
    fn parts(&self, parts: Option<Vec<Bound<'_, PyTuple>>>) -> PyResult<Option<VecDeque<Part>>> {
        let Some(parts) = parts else {
            return Ok(None);
        };
        let parts = parts.iter().map(|part| {
            let part = Part::extract(part)?;
            self.check(&part)?;
            Ok(part)
        });
        parts.collect::<PyResult<_>>().map(Some)
    }

    fn check(&self, part: &Part) -> PyResult<()> {
        let layers = self.layers.topology().layers();
        let Some(layer) = layers.get(part.layer()) else {
            return Err(PyValueError::new_err("there is no such layer"));
        };
        let (found, found_bias) = part.num_values();
        if part.is_of_parameters() {
            let expected = u64::from(layer.num_units) * u64::from(layer.fan_in);
            let fits_bias = found_bias == 0 || found_bias == u64::from(layer.num_units);
            if found != expected || !fits_bias {
                return Err(RecordingError::new_err(format!(
                    "layer {} had {expected} weights when the recorder was started, now it has {found}",
                    layer.layer.as_str(),
                )));
            }
            return Ok(());
        }
        let activated = self.layers.activated(part.layer());
        let num_units = activated.map_or(0, |layer| u64::from(layer.num_units));
        if num_units == 0 || !found.is_multiple_of(num_units) {
            return Err(RecordingError::new_err(format!(
                "activations of layer {} are [samples, {num_units}], not {found} values",
                layer.layer.as_str(),
            )));
        }
        let num_samples = usize::try_from(found / num_units).unwrap_or(usize::MAX);
        self.recorded
            .check_layer(layer, num_samples)
            .map_err(recording_error)
    }

    fn classify(
        &self,
        loss: Loss,
        logits: &HostTensor,
        targets: &HostTensor,
        losses: Option<&HostTensor>,
    ) -> PyResult<(f64, &'static str, f64)> {
        let (num_samples, num_outputs) = shape_of(logits)?;
        let targets = targets_of(loss, num_samples, targets)?;
        capture::check_targets(loss, num_samples, num_outputs, &targets)
            .map_err(RecordingError::new_err)?;
        let classifications = classified(loss, logits, &targets, losses)?;
        let (mean_loss, score) = (classifications.mean_loss(), classifications.score(loss));
        self.with_detached(|recording| {
            recording.classified(classifications);
            Ok((mean_loss, score.name(), score.value()))
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // The threads of the process that this one was forked off are not here: nobody could be joined, and who
        // had the lock does not give it back.
        if std::process::id() != self.process {
            let recording = self.recording.try_lock().ok();
            std::mem::forget(recording.and_then(|mut recording| recording.take()));
            return;
        }
        let Some(recording) = self.lock().take() else {
            return;
        };
        // They may need Python's lock to end.
        Python::attach(|py| py.detach(|| drop(recording)));
    }
}

fn call_with<T>(
    recording: &mut Option<Recording>,
    call: impl FnOnce(&mut Recording) -> PyResult<T>,
) -> PyResult<T> {
    match recording {
        Some(recording) => call(recording),
        None => Err(record_error(RecordError::Stopped)),
    }
}

/// Copies what training changes, right away.
fn copied(parts: Option<VecDeque<Part>>) -> Option<Box<dyn Source>> {
    let mut parts = parts?;
    parts.iter_mut().for_each(Part::copy);
    Some(Box::new(Parts(parts)))
}

/// When a call began that Python spent so many seconds on before.
fn began(seconds: f64) -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs_f64(seconds.max(0.0)))
        .unwrap_or(now)
}

fn id(epoch: i32, step: i64) -> CaptureId {
    CaptureId {
        epoch: Epoch(epoch),
        step: Step(step),
    }
}

/// What has become of recording, in words.
fn words_of(change: &Change) -> (&'static str, String) {
    match change {
        Change::Stopped {
            error,
            waits_for_room,
        } => {
            let kind = if *waits_for_room { "waits" } else { "failed" };
            (kind, crate::error::words(&**error))
        }
        Change::TakenUp { lost_captures: 1 } => ("taken_up", "1 capture was lost".to_owned()),
        Change::TakenUp { lost_captures } => {
            ("taken_up", format!("{lost_captures} captures were lost"))
        }
    }
}

fn summary_json(summary: &RecordSummary) -> serde_json::Value {
    serde_json::json!({
        "captures": summary.num_captures,
        "thinned_captures": summary.thinned_captures,
        "dropped_captures": summary.dropped_captures,
        "over_disk_captures": summary.over_disk_captures,
        "lost_captures": summary.lost_captures,
        "is_disk_full": summary.is_disk_full,
        "changes": summary.changes.iter().map(words_of).collect::<Vec<_>>(),
        "failure": summary.failure.as_ref().map(|error| crate::error::words(&**error)),
        "part_bytes": summary.sink.part_bytes,
        "hand_off_seconds": summary.hand_off.as_secs_f64(),
        "stall_seconds": summary.stall.as_secs_f64(),
        "finish_seconds": summary.finish.as_secs_f64(),
    })
}
