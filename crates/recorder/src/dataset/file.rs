//! From a file of data to samples: what is held out, what the network sees, and what `run.json` says
//! of it.

mod details;
mod open;
mod scale;
mod split;
mod targets;

use trace::DatasetInfo;

use super::raw::RawTable;
use super::scaling::{Layout, Rows};
use super::spec::{DEFAULT_HELD_OUT_SHARE, FileFormat, FileSpec, HeldOutRule, Scale};
use super::targets::{RawTargets, Scheme, infer};
use super::{Dataset, DatasetError, Samples, Training};
use scale::{rounding_warnings, scaling_of};
use split::Split;
use targets::{chosen_targets, standard_of};

pub(super) use details::{Details, details_of, without_places};
pub(super) use open::Opened;

pub(super) fn load(spec: &FileSpec, seed: u64) -> Result<Dataset, DatasetError> {
    Opened::open(spec)?.prepare(seed, None)
}

/// A data set as it was prepared for a run, where it is that run's and would be prepared otherwise today; else as
/// it is.
pub(super) fn prepared_as(
    dataset: Dataset,
    spec: &FileSpec,
    seed: u64,
    recorded: &DatasetInfo,
) -> Result<Dataset, DatasetError> {
    if dataset.info.crc32c != recorded.crc32c {
        return Ok(dataset);
    }
    match details_of(recorded) {
        Ok(then) if then.differs_in_rounding(&details_of(&dataset.info)?) => {
            Opened::open(spec)?.prepare(seed, Some(&then))
        }
        _ => Ok(dataset),
    }
}

impl Opened {
    /// Makes samples of what the files say: as `recorded` has it, where a run is read again.
    pub(super) fn prepare(
        mut self,
        seed: u64,
        recorded: Option<&Details>,
    ) -> Result<Dataset, DatasetError> {
        let (train, held_out) = self.tables()?;
        let task = self.spec.task.map_or_else(|| infer(&train), Ok)?;
        let scheme = Scheme::derive(task, &train)?;
        let targets = scheme.encode(&train)?;
        let layout = Layout::of(&train);
        for table in held_out.iter().chain([&train]) {
            layout.check(table, self.num_bytes())?;
        }
        let rows = layout.rows(&train)?;

        let split = match &held_out {
            Some(table) => Split::of_files(&train, table)?,
            None => {
                let share = match self.spec.held_out {
                    Some(HeldOutRule::Share(share)) => share,
                    _ => DEFAULT_HELD_OUT_SHARE,
                };
                self.resolved.held_out = Some(HeldOutRule::Share(share));
                Split::drawn(&train, &targets, share, seed)?
            }
        };
        let scaling = scaling_of(&self.spec, &layout, &rows, &split.trained_on, recorded)?;
        let of_file = match &held_out {
            Some(table) => Some((layout.rows(table)?, scheme.encode(table)?)),
            None => None,
        };
        let of_targets = match recorded {
            Some(details) => details.of_targets(),
            None => standard_of(&targets, &split.trained_on, self.spec.scale()),
        };
        let samples = |rows: &Rows<'_>, targets: &RawTargets, chosen: &[usize]| {
            let inputs = scaling.apply(&layout, rows, chosen)?;
            let targets = chosen_targets(targets, chosen, of_targets.as_ref(), scaling.taken);
            Ok::<_, DatasetError>(Samples::new(inputs, layout.width(), targets))
        };
        let training = samples(&rows, &targets, &split.trained_on)?;
        let (held_rows, held_targets) = match &of_file {
            Some((rows, targets)) => (rows, targets),
            None => (&rows, &targets),
        };
        let held_out_samples = samples(held_rows, held_targets, &split.held_out)?;

        let notes = notes(&self.spec, &rows, &layout, held_out.as_ref());
        let target_names: Vec<String> = train.targets.iter().map(|t| t.name.clone()).collect();
        let (crc32c, mut options) = (self.crc32c(), self.resolved);
        options.task = Some(task);
        options.scale = Some(self.spec.scale());
        let details = Details::new(options, &layout, scaling, target_names.clone(), of_targets);
        let (num_train, num_held_out) = (training.len(), held_out_samples.len());
        Ok(Dataset {
            info: details.into_info(crc32c, num_train, num_held_out, split.rule),
            training: Training::Fixed(training),
            held_out: held_out_samples,
            class_names: scheme.class_names(),
            target_names,
            image: train.image,
            notes,
        })
    }
}

/// What somebody may want to know of how the files were read, and of what the network sees.
fn notes(
    spec: &FileSpec,
    rows: &Rows<'_>,
    layout: &Layout,
    held_out: Option<&RawTable>,
) -> Vec<String> {
    let mut notes = rows.table().notes.clone();
    notes.extend(layout.notes());
    if let Some(table) = held_out {
        let prefix = |note: &String| format!("{}: {note}", table.file.display());
        notes.extend(table.notes.iter().map(prefix));
    }
    if spec.format != FileFormat::Idx && spec.scale() != Scale::Standard {
        notes.extend(rounding_warnings(layout, rows));
    }
    notes
}

#[cfg(test)]
mod tests;
