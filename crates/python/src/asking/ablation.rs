//! What a network loses without some of its neurons: Python runs the network, and the rest is here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use analysis::Half;
use capture::{
    AblationFindings, AblationOptions, AblationPlan, CaptureChoice, CaptureFiles, ChosenNeurons,
    Judged, Loss, Silencing, Targets,
};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use trace::Epoch;

use super::arguments::parsed;
use super::rows::Rows;
use super::run::Run;
use super::structures::{ToldLayer, neurons, told_layer};
use super::work::finish_blocking;
use crate::error::query;
use crate::evaluation::{classified, loss_of, shape_of, targets_of};
use crate::tensor::HostTensor;

/// What is told of an ablation beside its rows.
const SHOWN: [&str; 9] = [
    "samples",
    "class",
    "num_samples",
    "metric",
    "before",
    "after",
    "random_mean",
    "random_std",
    "p_value",
];

/// An ablation: its name and commit, the structure, the class, the half of the samples, the seed, how many
/// samples they were, and a row a figure.
type Told = (
    String,
    u64,
    Option<String>,
    Option<i32>,
    &'static str,
    u64,
    usize,
    Rows,
);

/// An ablation that is made of what Python's network says.
#[pyclass(module = "stratigraph_nn._native", frozen)]
pub(super) struct Ablation {
    plan: AblationPlan,
    running: Mutex<Option<Running>>,
}

/// What is added to, once the network has said what it makes of the samples as it is.
struct Running {
    ablation: capture::Ablation,
    loss: Loss,
    num_outputs: usize,
    targets: Targets,
}

impl Ablation {
    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Ablation {
    /// Finds the neurons of a structure, or those that are named, in the network of an epoch.
    #[new]
    #[pyo3(signature = (run, epoch, structure, neurons_named, mode, factor, value, draws, seed, half, class_))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords")]
    fn new(
        py: Python<'_>,
        run: PyRef<'_, Run>,
        epoch: &str,
        structure: Option<String>,
        neurons_named: Vec<String>,
        mode: &str,
        factor: Option<f64>,
        value: Option<f64>,
        draws: usize,
        seed: Option<u64>,
        half: Option<&str>,
        class_: Option<&str>,
    ) -> PyResult<Self> {
        let epoch = match epoch {
            "last" => None,
            "first" => run.first_epoch().map(Epoch),
            number => Some(Epoch(parsed("epoch", number)?)),
        };
        let options = AblationOptions {
            capture: epoch.map(CaptureChoice::epoch).unwrap_or_default(),
            neurons: match structure {
                Some(name) => ChosenNeurons::Structure(name),
                None => ChosenNeurons::Named(neurons(&neurons_named)?),
            },
            silencing: Silencing::try_new(mode, factor, value).map_err(query)?,
            num_draws: draws,
            seed,
            half: half.map(|half| parsed::<Half>("half", half)).transpose()?,
            class: class_.map(|class| run.class(class)).transpose()?,
        };
        let run = run.dir();
        let plan = finish_blocking(py, move || {
            let capture = CaptureFiles::find(&run, options.capture).map_err(query)?;
            AblationPlan::new(&capture, &options).map_err(query)
        })?;
        Ok(Self {
            plan,
            running: Mutex::new(None),
        })
    }

    /// On which half of the held-out samples it is judged, or `all`.
    #[getter]
    fn half(&self) -> &'static str {
        self.plan.half().name()
    }

    /// Epoch and step of the capture.
    #[getter]
    fn capture(&self) -> (i32, i64) {
        let capture = self.plan.capture();
        (capture.epoch.0, capture.step.0)
    }

    /// What is silenced, by layer.
    #[getter]
    fn layers(&self) -> Vec<ToldLayer> {
        self.plan.layers().iter().map(told_layer).collect()
    }

    /// The ids of the silenced neurons, ascending.
    #[getter]
    fn neurons(&self) -> Vec<i32> {
        let layers = self.plan.layers().iter();
        layers.flat_map(|layer| layer.neurons()).collect()
    }

    /// Takes what the network says as it is, as logits `[samples, outputs]`, draws random neurons, and gives
    /// the sets that are silenced one after the other: of each layer its units, the meant ones first.
    #[pyo3(signature = (loss, logits, targets, losses = None))]
    fn begin(
        &self,
        py: Python<'_>,
        loss: &str,
        logits: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyAny>,
        losses: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Vec<Vec<usize>>>> {
        let loss = loss_of(loss)?;
        let (logits, targets) = (HostTensor::import(logits)?, HostTensor::import(targets)?);
        let losses = losses.map(HostTensor::import).transpose()?;
        py.detach(|| {
            let (num_samples, num_outputs) = shape_of(&logits)?;
            let targets = targets_of(loss, num_samples, &targets)?;
            capture::check_targets(loss, num_samples, num_outputs, &targets)
                .map_err(crate::error::QueryError::new_err)?;
            let judged = Judged {
                loss,
                num_outputs,
                targets: &targets,
            };
            let mut ablation = self.plan.clone().begin(judged).map_err(query)?;
            let rows = classified(loss, &logits, &targets, losses.as_ref())?;
            ablation.add(0, 0, &rows);
            let of_sets = &ablation.sets()[1..];
            let of_layer = |place: usize| of_sets.iter().map(move |set| set[place].1.clone());
            let units = 0..self.plan.layers().len();
            let units = units.map(|place| of_layer(place).collect()).collect();
            *self.lock() = Some(Running {
                ablation,
                loss,
                num_outputs,
                targets,
            });
            Ok(units)
        })
    }

    /// Adds what the network says of all samples with a set silenced: the meant units are set 1.
    #[pyo3(signature = (set, logits, losses = None))]
    fn add(
        &self,
        py: Python<'_>,
        set: usize,
        logits: &Bound<'_, PyAny>,
        losses: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let logits = HostTensor::import(logits)?;
        let losses = losses.map(HostTensor::import).transpose()?;
        py.detach(|| {
            let mut running = self.lock();
            let running = running.as_mut().ok_or_else(not_begun)?;
            let (expected, found) = (
                (running.targets.len(), running.num_outputs),
                shape_of(&logits)?,
            );
            if found != expected || set >= running.ablation.sets().len() {
                return Err(PyRuntimeError::new_err(format!(
                    "set {set} has logits of shape {found:?}, not {expected:?}"
                )));
            }
            let rows = classified(running.loss, &logits, &running.targets, losses.as_ref())?;
            running.ablation.add(set, 0, &rows);
            Ok(())
        })
    }

    /// Keeps what was measured in the run.
    fn publish(&self, py: Python<'_>) -> PyResult<Told> {
        let running = self.lock().take().ok_or_else(not_begun)?;
        let findings = finish_blocking(py, move || running.ablation.publish().map_err(query))?;
        Ok(told(&findings))
    }
}

fn not_begun() -> PyErr {
    PyRuntimeError::new_err("the ablation was not begun, or has ended")
}

fn told(findings: &AblationFindings) -> Told {
    let rows = findings.rows();
    let shown = SHOWN.map(|name| rows.schema().index_of(name).expect("the table has it"));
    let rows = rows.project(&shown).expect("the columns were found");
    let mut notes = Vec::new();
    if let Some(found_on) = findings.flattered_by() {
        notes.push(format!(
            "the structure was found on some of these samples ({found_on}), which flatters it"
        ));
    }
    if findings.num_draws > 0 {
        notes.push(
            "p_value: the probability that as many random neurons of the same layers do at least as much harm"
                .to_owned(),
        );
    }
    (
        findings.id.as_str().to_owned(),
        findings.commit,
        findings.name.clone(),
        findings.of_class,
        findings.half.name(),
        findings.seed,
        findings.num_samples,
        Rows::ready(rows.schema(), vec![rows], notes),
    )
}
