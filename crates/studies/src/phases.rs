//! Phases of a training: stretches of epochs in which a layer keeps to one behaviour.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use analysis::{HiddenMarkov, Rows};
use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::cast::{as_float64_array, as_int32_array, as_string_array};
use futures::TryStreamExt;
use sql::{QueryError, QuerySession};

/// The most phases that are looked for unless told how many.
pub const MAX_AUTO_PHASES: usize = 6;

/// How many epochs there are at least for each phase that is looked for.
const EPOCHS_A_PHASE: usize = 3;

/// What a layer is watched by: a table, and a mean over the layer's neurons each.
const MEASURES: [(&str, [(&str, &str); 3]); 2] = [
    (
        "weights",
        [
            ("weight_mean", "weight_mean"),
            ("weight_std", "weight_std"),
            ("weight_l2", "weight_l2"),
        ],
    ),
    (
        "activations",
        [
            ("activation_mean", "activation_mean"),
            ("activation_std", "activation_std"),
            ("zeros", "CAST(zeros AS DOUBLE) / num_samples"),
        ],
    ),
];

/// How many measures there are.
const NUM_MEASURES: usize = MEASURES[0].1.len() + MEASURES[1].1.len();

/// The phases of a layer.
#[derive(Debug, Clone)]
pub struct LayerPhases {
    /// The layer.
    pub layer: String,
    /// The epochs, in order.
    pub epochs: Vec<i32>,
    /// The phase of each, from 0, in the order in which they come; one may come again.
    pub phases: Vec<usize>,
    /// How likely each is, given all epochs.
    pub probabilities: Vec<f64>,
    /// What the layer was watched by: what is known at every epoch and varies.
    pub measures: Vec<&'static str>,
    /// The logarithm of the likelihood of all measures, each with a mean of 0 and a variance of 1.
    pub log_likelihood: f64,
    /// The largest number of phases that was tried, where none was asked for. A steady change, which
    /// has no phases, is cut into as many.
    pub most_tried: Option<usize>,
}

impl LayerPhases {
    /// Whether each epoch is the first of a stretch.
    pub fn begins(&self) -> Vec<bool> {
        let changes = self.phases.windows(2).map(|pair| pair[0] != pair[1]);
        std::iter::once(true)
            .chain(changes)
            .take(self.phases.len())
            .collect()
    }

    /// How many phases there are.
    pub fn num_phases(&self) -> usize {
        self.phases.iter().max().map_or(0, |last| last + 1)
    }

    /// Whether there are as many phases as were tried, as of a steady change, which has none.
    pub fn is_perhaps_steady(&self) -> bool {
        let num_phases = self.num_phases();
        num_phases > 1 && self.most_tried == Some(num_phases)
    }

    /// The phases in a line: `L_input: 2 phases: epochs 0 to 4, 5 to 19; ...`.
    pub fn summary(&self) -> String {
        self.told(|value| value.to_string())
    }

    /// The same, its figures written by `number`.
    pub fn told(&self, number: impl Fn(f64) -> String) -> String {
        let num_phases = self.num_phases();
        let begins = self.begins();
        let firsts: Vec<usize> = (0..begins.len()).filter(|&at| begins[at]).collect();
        let ends = firsts.iter().skip(1).copied().chain([begins.len()]);
        let stretches = firsts.iter().zip(ends).map(|(&first, end)| {
            match (self.epochs[first], self.epochs[end - 1]) {
                (first, last) if first == last => format!("{first}"),
                (first, last) => format!("{first} to {last}"),
            }
        });
        let noun = match num_phases {
            1 => "phase",
            _ if self.is_perhaps_steady() => {
                "phases (as many as were tried: perhaps a steady change)"
            }
            _ => "phases",
        };
        format!(
            "{}: {num_phases} {noun}: epochs {}; by {}; log likelihood {}",
            self.layer,
            stretches.collect::<Vec<_>>().join(", "),
            match self.measures.is_empty() {
                true => "nothing that changes".to_owned(),
                false => self.measures.join(", "),
            },
            number(self.log_likelihood)
        )
    }
}

/// The phases of every layer, or of one, in the order of the topology, by a Gaussian hidden Markov
/// model a layer. What it watches are means over the layer's neurons of what the run keeps of each:
/// mean, standard deviation and L2 norm of its weights; mean, standard deviation and share of zeros
/// of its held-out activations. Of 1 to [`MAX_AUTO_PHASES`] phases those are taken whose number has
/// the smallest Bayesian information criterion (Schwarz, 1978), unless `num_phases` says how many.
///
/// # Errors
/// If there is no such layer, nothing was captured, or there are fewer epochs than phases.
pub async fn phases(
    session: &QuerySession,
    layer: Option<&str>,
    num_phases: Option<usize>,
) -> Result<Vec<LayerPhases>, QueryError> {
    if num_phases == Some(0) {
        return Err(QueryError::BadParameter {
            name: "phases".to_owned(),
            problem: "is at least 1".to_owned(),
        });
    }
    if session.captured_epochs().is_empty() {
        return Err(QueryError::NothingCaptured);
    }
    let layer = layer.map(|name| session.known_layer(name)).transpose()?;
    let mut watched = watch(session, layer.as_deref()).await?;
    let layers = session.info().layers.layers().iter();
    let memory = session.reservation("phases");
    let mut found = Vec::new();
    for layer in layers.map(|layer| layer.layer.as_str()) {
        let Some(epochs) = watched.remove(layer) else {
            continue;
        };
        if let Some(wanted) = num_phases.filter(|wanted| *wanted > epochs.len()) {
            return Err(QueryError::Mistake(format!(
                "layer {layer} was captured at {} epochs, which cannot be {wanted} phases",
                epochs.len()
            )));
        }
        let most = num_phases.unwrap_or(MAX_AUTO_PHASES);
        memory.try_resize(HiddenMarkov::num_bytes_of(epochs.len(), most))?;
        found.push(of_layer(layer, &epochs, num_phases));
    }
    Ok(found)
}

/// What is known of a layer at each epoch.
type Watched = BTreeMap<i32, [Option<f64>; NUM_MEASURES]>;

async fn watch(
    session: &QuerySession,
    layer: Option<&str>,
) -> Result<HashMap<String, Watched>, QueryError> {
    let mut watched: HashMap<String, Watched> = HashMap::new();
    let mut place = 0;
    for (table, measures) in MEASURES {
        let columns = measures
            .map(|(_, sql)| format!("avg(CAST({sql} AS DOUBLE))"))
            .join(", ");
        let mut sql = format!("SELECT epoch, layer, {columns} FROM epochs.{table} WHERE true");
        if table == "activations" {
            sql.push_str(" AND phase = 'eval'");
        }
        if let Some(layer) = layer {
            sql.push_str(&format!(" AND layer = '{}'", layer.replace('\'', "''")));
        }
        sql.push_str(" GROUP BY epoch, layer");
        let mut batches = session.sql(&sql).await?.execute_stream().await?;
        while let Some(batch) = batches.try_next().await? {
            let epochs = as_int32_array(batch.column(0))?;
            let layers = as_string_array(batch.column(1))?;
            for row in 0..batch.num_rows() {
                let known = watched.entry(layers.value(row).to_owned()).or_default();
                let known = known.entry(epochs.value(row)).or_default();
                for column in 0..measures.len() {
                    let values = as_float64_array(batch.column(2 + column))?;
                    known[place + column] = values.is_valid(row).then(|| values.value(row));
                }
            }
        }
        place += measures.len();
    }
    Ok(watched)
}

fn of_layer(layer: &str, watched: &Watched, num_phases: Option<usize>) -> LayerPhases {
    let names = MEASURES.iter().flat_map(|(_, measures)| measures);
    let columns: Vec<(&'static str, Vec<f64>)> = names
        .enumerate()
        .filter_map(|(place, (name, _))| {
            let values: Option<Vec<f64>> = watched.values().map(|known| known[place]).collect();
            Some((*name, standardized(values?)?))
        })
        .collect();
    let num_epochs = watched.len();
    let rows = (0..num_epochs).flat_map(|at| columns.iter().map(move |(_, values)| values[at]));
    let series = Rows::new(num_epochs, columns.len(), rows.collect());

    let most = MAX_AUTO_PHASES.min(num_epochs / EPOCHS_A_PHASE).max(1);
    let choices = match num_phases {
        Some(num_phases) => num_phases..=num_phases,
        None => 1..=most,
    };
    let fitted = choices.map(|num_phases| {
        let model = HiddenMarkov::fit(&series, num_phases);
        let decoded = model.decode(&series);
        let penalty = model.num_parameters() as f64 * (num_epochs as f64).ln();
        (penalty - 2.0 * decoded.log_likelihood, decoded)
    });
    let best = fitted.min_by(|(a, _), (b, _)| a.total_cmp(b));
    let (_, decoded) = best.expect("there is at least one choice");
    LayerPhases {
        layer: layer.to_owned(),
        epochs: watched.keys().copied().collect(),
        phases: decoded.states,
        probabilities: decoded.probabilities,
        measures: columns.into_iter().map(|(name, _)| name).collect(),
        log_likelihood: decoded.log_likelihood,
        most_tried: num_phases.is_none().then_some(most),
    }
}

/// Values with a mean of 0 and a variance of 1; none where they do not vary or are not finite.
fn standardized(mut values: Vec<f64>) -> Option<Vec<f64>> {
    let num_values = values.len() as f64;
    let mean = values.iter().sum::<f64>() / num_values;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / num_values;
    let varies = values.windows(2).any(|pair| pair[0] != pair[1]);
    if !varies || !variance.is_finite() || variance == 0.0 {
        return None;
    }
    values
        .iter_mut()
        .for_each(|x| *x = (*x - mean) / variance.sqrt());
    Some(values)
}

/// The columns of [`phase_rows`]: `layer`, `epoch`, `phase`, `probability`, `begins`.
fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        field("layer", DataType::Utf8),
        field("epoch", DataType::Int32),
        field("phase", DataType::Int32),
        field("probability", DataType::Float64),
        field("begins", DataType::Boolean),
    ]))
}

/// A row a layer and epoch: `layer`, `epoch`, `phase`, `probability`, and `begins`, whether a stretch
/// of the phase begins there.
///
/// # Errors
/// None that can be met: columns are of one length.
pub fn phase_rows(layers: &[LayerPhases]) -> Result<RecordBatch, QueryError> {
    let (mut names, mut epochs, mut phases) = (Vec::new(), Vec::new(), Vec::new());
    let (mut probabilities, mut begins) = (Vec::new(), Vec::new());
    for found in layers {
        names.extend(found.epochs.iter().map(|_| found.layer.as_str()));
        epochs.extend_from_slice(&found.epochs);
        phases.extend(found.phases.iter().map(|phase| *phase as i32));
        probabilities.extend_from_slice(&found.probabilities);
        begins.extend(found.begins());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(names)),
        Arc::new(Int32Array::from(epochs)),
        Arc::new(Int32Array::from(phases)),
        Arc::new(Float64Array::from(probabilities)),
        Arc::new(BooleanArray::from(begins)),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}
