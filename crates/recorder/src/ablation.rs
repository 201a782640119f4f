//! The causal test: the network of a capture is rebuilt from the trace, and runs over the held-out samples,
//! as a replay does, with neurons silenced. Which, and what comes of it, is the business of
//! [`capture::Ablation`].

mod silence;

use burn::tensor::backend::ExecutionError;
use trace::RunDir;

use crate::dataset::DataPlace;
use crate::device::{DeviceChoice, ParseDeviceError, ResolvedDevice, on_device};
use crate::model::ModelError;
use crate::rebuild::{RebuildError, Rebuilt};
use crate::training::TrainError;
use capture::{
    AblationError, AblationFindings, AblationOptions, AblationPlan, CaptureFiles, Judged,
    NeuronsError, Precision,
};

use silence::{Outcome, run_silenced};

/// What an ablation of a rebuilt network showed.
#[derive(Debug, Clone, PartialEq)]
pub struct AblationReport {
    /// What was silenced, and measured.
    pub findings: AblationFindings,
    /// The device that the network was rebuilt on.
    pub device: String,
    /// The device that was recorded on and why it could not be taken, where that is another.
    pub other_device: Option<String>,
    /// In what precision the weights were recorded.
    pub precision: Precision,
    /// Names of the classes; empty where there are none.
    pub class_names: Vec<String>,
}

/// Why neurons cannot be silenced.
#[derive(Debug, thiserror::Error)]
pub enum AblateError {
    /// The network cannot be rebuilt.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// What was asked cannot be, or not be kept.
    #[error(transparent)]
    Ablation(#[from] AblationError),
    /// `run.json` names no device.
    #[error(transparent)]
    ParseDevice(#[from] ParseDeviceError),
    /// The device failed.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl From<NeuronsError> for AblateError {
    fn from(error: NeuronsError) -> Self {
        Self::Ablation(error.into())
    }
}

impl From<ExecutionError> for AblateError {
    fn from(error: ExecutionError) -> Self {
        Self::Train(error.into())
    }
}

impl From<ModelError> for AblateError {
    fn from(error: ModelError) -> Self {
        Self::Rebuild(error.into())
    }
}

/// How far an ablation is: passes over a batch of samples, done and in all.
pub type AblationProgress<'a> = &'a mut dyn FnMut(usize, usize);

/// Silences neurons in the network of an epoch's capture, measures what that costs, and keeps it as
/// rows of the table `ablations`. An ablation that asked the same before is replaced. `data` is where the
/// run's data is, where that is not where it was.
///
/// Everything but the device's arithmetic follows from the options and the run, so the same
/// ablation gives the same figures. It is made on the device that was recorded on; where that is not
/// to be had, on the CPU.
///
/// # Errors
/// If the network cannot be rebuilt, there are no such neurons, class or samples, or the rows cannot
/// be published.
pub fn ablate(
    run: &RunDir,
    options: &AblationOptions,
    data: &DataPlace,
    progress: AblationProgress<'_>,
) -> Result<AblationReport, AblateError> {
    let capture = CaptureFiles::find(run, options.capture).map_err(RebuildError::from)?;
    let plan = AblationPlan::new(&capture, options)?;
    let rebuilt = Rebuilt::read(run, &capture, data)?;
    let targets = rebuilt.dataset.held_out().targets();
    let mut ablation = plan.begin(Judged {
        loss: rebuilt.config.loss,
        num_outputs: rebuilt.config.num_outputs,
        targets,
    })?;
    let recorded_on = &run.info().device;
    let (device, other_device) = match recorded_on.parse::<DeviceChoice>()?.resolve() {
        Ok(resolution) => (resolution.device, None),
        Err(error) => (ResolvedDevice::Cpu, Some(format!("{recorded_on}: {error}"))),
    };
    let device_name = device.to_string();
    let (sets, silencing) = (ablation.sets().to_vec(), options.silencing);
    let mut see = |outcome: Outcome| ablation.add(outcome.set, outcome.first_sample, &outcome.rows);
    on_device!(
        device,
        run_silenced(&rebuilt, &sets, silencing, &mut see, progress)
    )?;
    Ok(AblationReport {
        findings: ablation.publish()?,
        device: device_name,
        other_device,
        precision: rebuilt.precision,
        class_names: rebuilt.dataset.class_names().to_vec(),
    })
}

#[cfg(test)]
mod tests;
