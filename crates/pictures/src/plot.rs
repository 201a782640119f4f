//! The pictures that are asked for often: which there are, and what each is made of.
//!
//! A kind asks the run a few questions and makes a [`Chart`] of the answers; how that is drawn is
//! [`crate::chart`]'s business. Many neurons, epochs or classes are put together into bins, never drawn
//! one over the other, and the chart's notes say so.

mod ablation;
pub(crate) mod association;
mod cartography;
mod confusion;
mod correlation;
mod curves;
mod distributions;
mod embedding;
mod network;
pub(crate) mod rows;
mod weights;

use std::ops::Range;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::common::ScalarValue;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use sql::{Arguments, NotFinite, Parameter, QueryError, QuerySession};
use studies::ValuesOf;
use trace::{DerivedError, Layer, RunInfo, Table};

use crate::chart::html::{self, Frame};
use crate::chart::{BETWEEN, Chart, DrawError, Theme};

/// A kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlotKind {
    /// Loss and accuracy by epoch.
    Curves,
    /// Which class was taken for which.
    Confusion,
    /// A layer's weights by unit and epoch.
    Weights,
    /// How a layer's values are spread, epoch after epoch.
    Distributions,
    /// Which neurons go with which class.
    Association,
    /// Which neurons of a layer respond alike.
    Correlation,
    /// Neurons as points, near each other where they are alike.
    Embedding,
    /// The strongest connections.
    Network,
    /// Which samples were easy, hard or ambiguous.
    Cartography,
    /// What the network loses without some of its neurons.
    Ablation,
}

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// A vector image.
    Svg,
    /// A raster image.
    Png,
    /// A page that can be zoomed into and pointed at, and needs no network.
    Html,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The run could not be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// What was worked out from the run before cannot be read.
    #[error(transparent)]
    Derived(#[from] DerivedError),
    /// What the picture shows was not recorded.
    #[error("{kind} draws {what}, of which this run has none: {remedy}")]
    NotRecorded {
        /// The picture.
        kind: &'static str,
        /// What it draws.
        what: String,
        /// What can be done.
        remedy: String,
    },
    /// It was recorded, but not of this epoch or layer.
    #[error("{kind} draws {what}, which this run has of epochs {first} to {last}, not of {epoch}")]
    NotOfEpoch {
        /// The picture.
        kind: &'static str,
        /// What it draws.
        what: String,
        /// The epoch that was asked for.
        epoch: i64,
        /// The first epoch that there is.
        first: i32,
        /// The last epoch that there is.
        last: i32,
    },
    /// It was recorded, but training had diverged.
    #[error("{kind} has nothing to draw: {reason}; training has diverged")]
    NotFinite {
        /// The picture.
        kind: &'static str,
        /// What is not finite, and since when.
        reason: NotFinite,
    },
    /// The picture could not be drawn.
    #[error(transparent)]
    Draw(#[from] DrawError),
}

impl PlotError {
    /// Whether the run, or the epoch that was asked for, has nothing of what the picture shows.
    pub(crate) fn is_nothing_to_draw(&self) -> bool {
        use PlotError::{NotFinite, NotOfEpoch, NotRecorded};
        matches!(
            self,
            NotRecorded { .. } | NotOfEpoch { .. } | NotFinite { .. }
        )
    }
}

impl Picture {
    /// How a picture is written whose file has that suffix.
    pub fn from_suffix(path: &Path) -> Option<Self> {
        Some(
            match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
                "svg" => Picture::Svg,
                "png" => Picture::Png,
                "html" | "htm" => Picture::Html,
                _ => return None,
            },
        )
    }

    /// The bytes of a file with a chart; `scale` is how many pixels a raster image has to one of the
    /// picture's 960 across.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub fn draw(self, chart: &Chart, theme: Theme, scale: u8) -> Result<Vec<u8>, PlotError> {
        Ok(match self {
            Picture::Svg => chart.svg(theme).into_bytes(),
            Picture::Png => chart.png(theme, scale)?,
            Picture::Html => html::page(chart, theme).into_bytes(),
        })
    }
}

impl PlotKind {
    /// Every kind, in the order in which documents list them.
    pub const ALL: [PlotKind; 10] = [
        PlotKind::Curves,
        PlotKind::Confusion,
        PlotKind::Weights,
        PlotKind::Distributions,
        PlotKind::Association,
        PlotKind::Correlation,
        PlotKind::Embedding,
        PlotKind::Network,
        PlotKind::Cartography,
        PlotKind::Ablation,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            PlotKind::Curves => "curves",
            PlotKind::Confusion => "confusion",
            PlotKind::Weights => "weights",
            PlotKind::Distributions => "distributions",
            PlotKind::Association => "association",
            PlotKind::Correlation => "correlation",
            PlotKind::Embedding => "embedding",
            PlotKind::Network => "network",
            PlotKind::Cartography => "cartography",
            PlotKind::Ablation => "ablation",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        PlotKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What it shows.
    pub fn purpose(self) -> &'static str {
        match self {
            PlotKind::Curves => "loss and accuracy by epoch, in training and on the held-out set",
            PlotKind::Confusion => "how many held-out samples of each class were taken for which",
            PlotKind::Weights => "a heat map of a layer's weights, by unit and epoch",
            PlotKind::Distributions => {
                "how a layer's weights or activations are spread, as a ridge an epoch"
            }
            PlotKind::Association => {
                "how strongly each neuron goes with each class that the network predicts"
            }
            PlotKind::Correlation => {
                "which neurons of a layer respond alike, those that do beside each other"
            }
            PlotKind::Embedding => {
                "neurons as points, near each other where they are alike (in 3-D as rows: `query embed`)"
            }
            PlotKind::Network => "the strongest connections, from the inputs to the outputs",
            PlotKind::Cartography => {
                "which held-out samples were easy, hard or ambiguous while the network learned"
            }
            PlotKind::Ablation => "what the network loses without some of its neurons, by class",
        }
    }

    /// The parameters that it takes.
    pub fn parameters(self) -> Vec<Parameter> {
        let declared = match self {
            PlotKind::Curves => curves::PARAMETERS,
            PlotKind::Confusion => confusion::PARAMETERS,
            PlotKind::Weights => weights::PARAMETERS,
            PlotKind::Distributions => distributions::PARAMETERS,
            PlotKind::Association => association::PARAMETERS,
            PlotKind::Correlation => correlation::PARAMETERS,
            PlotKind::Embedding => embedding::PARAMETERS,
            PlotKind::Network => network::PARAMETERS,
            PlotKind::Cartography => cartography::PARAMETERS,
            PlotKind::Ablation => ablation::PARAMETERS,
        };
        let declared = declared.iter();
        declared
            .map(|text| Parameter::parse(text).expect("a test reads the parameters of all kinds"))
            .collect()
    }

    /// Asks a run for what the picture shows.
    ///
    /// # Errors
    /// If a parameter is unknown or cannot have its value, the run lacks what the picture shows, or it
    /// cannot be read.
    pub async fn chart(
        self,
        session: &QuerySession,
        arguments: &Arguments,
    ) -> Result<Chart, PlotError> {
        if session.is_empty() {
            return Err(QueryError::NothingCaptured.into());
        }
        let asked = Asked::try_new(self, session, arguments)?;
        let chart = match self {
            PlotKind::Curves => curves::chart(&asked).await,
            PlotKind::Confusion => confusion::chart(&asked).await,
            PlotKind::Weights => weights::chart(&asked).await,
            PlotKind::Distributions => distributions::chart(&asked).await,
            PlotKind::Association => association::chart(&asked).await,
            PlotKind::Correlation => correlation::chart(&asked).await,
            PlotKind::Embedding => embedding::chart(&asked).await,
            PlotKind::Network => network::chart(&asked).await,
            PlotKind::Cartography => cartography::chart(&asked).await,
            PlotKind::Ablation => ablation::chart(&asked),
        };
        asked.told_not_finite(chart).await
    }

    /// Asks a run for what the picture shows at each of several epochs, which ascend: of those of which
    /// there is one. Of an embedding each begins where the one before it ended.
    ///
    /// # Errors
    /// As [`PlotKind::chart`], or if there is a picture of none of the epochs.
    pub async fn film(
        self,
        session: &QuerySession,
        arguments: &Arguments,
        epochs: &[i32],
    ) -> Result<Vec<Frame>, PlotError> {
        if self == PlotKind::Embedding && !epochs.is_empty() {
            let asked = Asked::try_new(self, session, arguments)?;
            let frames = embedding::film(&asked, epochs).await?.into_iter();
            let frames = frames.map(|(epoch, chart)| Frame {
                at: epoch.into(),
                chart,
            });
            return Ok(frames.collect());
        }
        let mut frames = Vec::new();
        let mut missing = None;
        for &epoch in epochs {
            let of_epoch = ("epoch".to_owned(), epoch.to_string());
            let arguments = [&[of_epoch], arguments].concat();
            match self.chart(session, &arguments).await {
                Ok(chart) => frames.push(Frame {
                    at: epoch.into(),
                    chart,
                }),
                Err(error) if error.is_nothing_to_draw() => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(error) if frames.is_empty() => Err(error),
            _ => Ok(frames),
        }
    }
}

/// A picture that was asked for, of a run, with its parameters.
struct Asked<'a> {
    kind: PlotKind,
    session: &'a QuerySession,
    values: Vec<(String, ScalarValue)>,
}

impl<'a> Asked<'a> {
    fn try_new(
        kind: PlotKind,
        session: &'a QuerySession,
        arguments: &Arguments,
    ) -> Result<Self, PlotError> {
        let parameters = kind.parameters();
        let values = session.run().resolve(kind.name(), &parameters, arguments)?;
        Ok(Self {
            kind,
            session,
            values,
        })
    }

    fn info(&self) -> &'a RunInfo {
        self.session.info()
    }

    fn value(&self, name: &str) -> &ScalarValue {
        let found = self.values.iter().find(|(known, _)| known == name);
        let (_, value) = found.expect("a kind asks for parameters that it declares");
        value
    }

    /// A text parameter.
    fn text(&self, name: &str) -> Option<&str> {
        self.value(name).try_as_str().flatten()
    }

    /// A whole-numbered parameter.
    fn number(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            ScalarValue::Int32(value) => value.map(i64::from),
            ScalarValue::Int64(value) => *value,
            _ => None,
        }
    }

    /// The epoch that is shown.
    fn epoch(&self) -> Result<i64, PlotError> {
        let epoch = self.number("epoch");
        epoch.ok_or_else(|| {
            self.bad(
                "epoch",
                "is one epoch: the picture shows no more".to_owned(),
            )
        })
    }

    /// A parameter that says how many, from 1 on.
    fn count(&self, name: &str) -> Result<usize, PlotError> {
        let value = self.number(name).unwrap_or(0);
        match usize::try_from(value) {
            Ok(count @ 1..) => Ok(count),
            _ => Err(self.bad(name, format!("is {value}, it has to be 1 or more"))),
        }
    }

    /// One of a few words; an error lists them.
    fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, PlotError> {
        let given = self.text(name).unwrap_or("");
        let found = choices.iter().find(|(word, _)| *word == given);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.bad(
                name,
                format!("is {given:?}, it can be {}", words.join(", ")),
            )
        })
    }

    fn bad(&self, name: &str, problem: String) -> PlotError {
        let name = name.to_owned();
        QueryError::BadParameter { name, problem }.into()
    }

    /// The layer of the parameter `layer`, if one was named.
    fn layer(&self) -> Option<&'a Layer> {
        self.info().layers.layer(self.text("layer")?)
    }

    /// What is drawn, of what: a run, and what else there is to say.
    fn subtitle(&self, parts: &[String]) -> String {
        let of_run = std::iter::once(of_run(self.session));
        let said: Vec<String> = of_run.chain(parts.iter().cloned()).collect();
        said.join(BETWEEN)
    }

    /// The name of a class, or its number.
    fn class_name(&self, class: usize) -> String {
        self.info().class_name(class as i64)
    }

    /// What a neuron is called: `n_7`, and for an output the class it stands for.
    fn neuron_name(&self, neuron: i64) -> String {
        let names = &self.info().class_names;
        match self.class_of_output(neuron) {
            Some(class) => format!("n_{neuron}: {}", names[class]),
            None => format!("n_{neuron}"),
        }
    }

    /// The class that a neuron stands for, if it is an output of which there is one a class.
    fn class_of_output(&self, neuron: i64) -> Option<usize> {
        let num_classes = self.info().class_names.len();
        let output = self.info().layers.output_layer()?;
        let unit = usize::try_from(neuron - i64::from(output.first_neuron)).ok()?;
        (output.num_units as usize == num_classes && unit < num_classes).then_some(unit)
    }

    /// Plans SQL, in which the picture's parameters are `$name`s.
    async fn sql(&self, sql: &str) -> Result<DataFrame, PlotError> {
        let planned = self.session.sql(sql).await?;
        let values = planned.with_param_values(self.values.clone());
        Ok(values.map_err(QueryError::from)?)
    }

    /// All rows that SQL gives.
    async fn rows(&self, sql: &str) -> Result<RecordBatch, PlotError> {
        collected(self.sql(sql).await?).await
    }

    /// All rows of a named query.
    async fn named(
        &self,
        name: &str,
        arguments: &[(&str, String)],
    ) -> Result<RecordBatch, PlotError> {
        let arguments = arguments
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        let arguments: Vec<(String, String)> = arguments.collect();
        collected(self.session.named(name, &arguments).await?).await
    }

    /// The tables whose values the picture is made of, as far as they may not be finite.
    fn values_of(&self) -> &'static [Table] {
        let activations = ValuesOf::Activations.tables();
        match self.kind {
            PlotKind::Curves => &[Table::Metrics],
            PlotKind::Confusion | PlotKind::Cartography => &[Table::Classifications],
            PlotKind::Weights | PlotKind::Network => ValuesOf::Weights.tables(),
            PlotKind::Association | PlotKind::Correlation => activations,
            PlotKind::Distributions | PlotKind::Embedding => match self.text("of") {
                Some("weights") => ValuesOf::Weights.tables(),
                _ => activations,
            },
            PlotKind::Ablation => &[],
        }
    }

    /// A parameter, if the picture has one of that name.
    fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(known, _)| known == name)
    }

    /// What the picture is made of that is not finite, if anything is by the epoch that is shown.
    async fn not_finite(&self) -> Result<Option<NotFinite>, QueryError> {
        let layer = if self.has("layer") {
            self.text("layer")
        } else {
            None
        };
        let epoch = if self.has("epoch") {
            self.number("epoch")
        } else {
            None
        };
        let (session, tables) = (self.session, self.values_of());
        match epoch.and_then(|epoch| i32::try_from(epoch).ok()) {
            Some(epoch) => session.not_finite_at(epoch, tables, layer).await,
            None => session.not_finite_in(tables, layer).await,
        }
    }

    /// A chart that says what of it is not finite, and since when; or that this is why there is none.
    async fn told_not_finite(&self, chart: Result<Chart, PlotError>) -> Result<Chart, PlotError> {
        match chart {
            Ok(mut chart) => {
                if let Some(reason) = self.not_finite().await? {
                    let mut note = reason.to_string();
                    note[..1].make_ascii_uppercase();
                    chart.notes.push(format!("{note}: training has diverged."));
                }
                Ok(chart)
            }
            Err(error @ PlotError::NotRecorded { .. }) => Err(match self.not_finite().await? {
                Some(reason) if self.shows_nothing_since(&reason) => PlotError::NotFinite {
                    kind: self.kind.name(),
                    reason,
                },
                _ => error,
            }),
            Err(error) => Err(error),
        }
    }

    /// Whether nothing finite is left of what is shown: of a picture of all epochs, if it began so.
    fn shows_nothing_since(&self, reason: &NotFinite) -> bool {
        let first = self.session.captured_epochs().first().copied();
        self.has("epoch") || first.is_none_or(|first| reason.since <= first)
    }

    /// Why a table has no rows for the epoch and layer that were asked for.
    fn nothing_of(&self, table: Table, what: &str, remedy: &str) -> PlotError {
        let kind = self.kind.name();
        let layer = if self.has("layer") {
            self.text("layer")
        } else {
            None
        };
        let mut epochs: Option<(i32, i32)> = None;
        self.session.run().has_files(table, |epoch, of| {
            if epoch >= 0 && (layer.is_none() || of.is_none() || layer == of) {
                let (first, last) = epochs.unwrap_or((epoch, epoch));
                epochs = Some((first.min(epoch), last.max(epoch)));
            }
            false
        });
        let what = match layer {
            Some(layer) => format!("{what} of {layer}"),
            None => what.to_owned(),
        };
        let epoch = if self.has("epoch") {
            self.number("epoch")
        } else {
            None
        };
        match (epochs, epoch) {
            (Some((first, last)), Some(epoch))
                if !(i64::from(first)..=i64::from(last)).contains(&epoch) =>
            {
                PlotError::NotOfEpoch {
                    kind,
                    what,
                    epoch,
                    first,
                    last,
                }
            }
            _ => PlotError::NotRecorded {
                kind,
                what,
                remedy: remedy.to_owned(),
            },
        }
    }
}

/// What a subtitle begins with: which run it is, and its data.
pub(crate) fn of_run(session: &QuerySession) -> String {
    let run = format!("run {}", session.run().path().display());
    match &session.info().dataset {
        Some(dataset) => format!("{run}{BETWEEN}data set {}", dataset.kind),
        None => run,
    }
}

/// All rows of an answer; what they take is reserved while they come.
pub(crate) async fn collected(rows: DataFrame) -> Result<RecordBatch, PlotError> {
    let task = rows.task_ctx();
    let memory = MemoryConsumer::new("rows of a picture").register(task.memory_pool());
    Ok(collect(rows, &memory).await?)
}

async fn collect(rows: DataFrame, memory: &MemoryReservation) -> Result<RecordBatch, QueryError> {
    let schema = rows.schema().inner().clone();
    let mut stream = rows.execute_stream().await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        for column in batch.columns() {
            // They are put together into others.
            memory.try_grow(2 * column.to_data().get_slice_memory_size()?)?;
        }
        batches.push(batch);
    }
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok(concat_batches(&schema, &batches)?)
}

/// `count` things in at most `most` bins, as even as they can be, in order.
fn bins(count: usize, most: usize) -> Vec<Range<usize>> {
    let num_bins = count.min(most);
    (0..num_bins)
        .map(|bin| bin * count / num_bins..(bin + 1) * count / num_bins)
        .collect()
}

/// What a bin of numbered things is called: `7`, or `7–9`.
fn bin_name(bin: &Range<usize>, name: impl Fn(usize) -> String) -> String {
    match bin.len() {
        1 => name(bin.start),
        _ => format!("{}–{}", name(bin.start), name(bin.end - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_all_kinds_are_understood() {
        for kind in PlotKind::ALL {
            assert_eq!(PlotKind::from_name(kind.name()), Some(kind));
            // It panics where one is not.
            let parameters = kind.parameters();
            assert!(
                parameters
                    .iter()
                    .all(|parameter| !parameter.meaning.is_empty())
            );
        }
    }

    #[test]
    fn bins_hold_everything_once() {
        assert_eq!(bins(3, 5), [0..1, 1..2, 2..3]);
        assert_eq!(bins(7, 3), [0..2, 2..4, 4..7]);
        assert_eq!(bins(0, 3), Vec::<Range<usize>>::new());
        assert_eq!(bin_name(&(4..7), |unit| unit.to_string()), "4–6");
        assert_eq!(bin_name(&(4..5), |unit| unit.to_string()), "4");
    }
}
