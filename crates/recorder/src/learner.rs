//! burn-train's metrics, as rows of a trace.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::backend::Backend;
use burn_train::logger::MetricLogger;
use burn_train::metric::store::{EpochSummary, MetricsUpdate, Split};
use burn_train::metric::{MetricAttributes, MetricDefinition, MetricId, NumericEntry};

use crate::optimizer::SharedRecorder;
use capture::Metric;
use capture::rows::{PHASE_EVAL, PHASE_TRAIN};

/// A metric logger for burn-train's learner, which writes the numeric metrics of every epoch into a
/// run: `SupervisedTraining::with_metric_logger`.
///
/// Rows have the value over the whole epoch, phase `train` or `eval`, and the metric's name in lower
/// case with `_` for spaces; percentages become shares of 1, as ours are. Epochs count from 0,
/// burn-train's from 1.
pub struct LearnerMetrics<B: Backend> {
    shared: SharedRecorder<B>,
    definitions: HashMap<MetricId, Definition>,
    /// The last value of each metric by split, epoch and name: burn-train asks for them, to choose
    /// which checkpoints to keep.
    epochs: BTreeMap<(String, usize, String), NumericEntry>,
}

struct Definition {
    name: String,
    is_percentage: bool,
}

impl<B: Backend> SharedRecorder<B> {
    /// A metric logger for burn-train's learner.
    pub fn metric_logger(&self) -> LearnerMetrics<B> {
        LearnerMetrics {
            shared: self.clone(),
            definitions: HashMap::new(),
            epochs: BTreeMap::new(),
        }
    }
}

impl<B: Backend> LearnerMetrics<B> {
    /// The metric's row.
    fn row(&self, phase: &'static str, name: &str, entry: &NumericEntry) -> Metric {
        let definition = self.definitions.values().find(|d| d.name == name);
        let scale = match definition {
            Some(Definition {
                is_percentage: true,
                ..
            }) => 0.01,
            _ => 1.0,
        };
        Metric {
            phase: Some(phase),
            name: name.to_lowercase().replace(' ', "_"),
            value: scale * entry.current(),
        }
    }
}

impl<B: Backend> MetricLogger for LearnerMetrics<B> {
    fn log(&mut self, update: MetricsUpdate, epoch: usize, split: &Split) {
        for update in update.entries_numeric {
            if let Some(definition) = self.definitions.get(&update.entry.metric_id) {
                let key = (split.to_string(), epoch, definition.name.clone());
                self.epochs.insert(key, update.running_entry);
            }
        }
    }

    fn read_numeric(
        &mut self,
        name: &str,
        epoch: usize,
        split: &Split,
    ) -> Result<Vec<NumericEntry>, String> {
        let key = (split.to_string(), epoch, name.to_owned());
        Ok(self.epochs.get(&key).cloned().into_iter().collect())
    }

    fn log_metric_definition(&mut self, definition: MetricDefinition) {
        let unit = match definition.attributes {
            MetricAttributes::Numeric(numeric) => numeric.unit,
            MetricAttributes::None => None,
        };
        self.definitions.insert(
            definition.metric_id,
            Definition {
                name: definition.name,
                is_percentage: unit.as_deref() == Some("%"),
            },
        );
    }

    fn log_epoch_summary(&mut self, summary: EpochSummary) {
        let phase = match summary.split {
            Split::Train => PHASE_TRAIN,
            Split::Valid | Split::Test(_) => PHASE_EVAL,
        };
        let from = (
            summary.split.to_string(),
            summary.epoch_number,
            String::new(),
        );
        let of_epoch = self.epochs.range(from.clone()..);
        let of_epoch =
            of_epoch.take_while(|((split, epoch, _), _)| (split, *epoch) == (&from.0, from.1));
        let rows: Vec<Metric> = of_epoch
            .map(|((_, _, name), entry)| self.row(phase, name, entry))
            .collect();
        let epoch = i32::try_from(summary.epoch_number).map_or(i32::MAX, |number| number - 1);
        let end = self.shared.end_of(epoch);
        self.shared.keep(|recorder| {
            recorder.late_metrics(end, rows);
            Ok(())
        });
    }
}
