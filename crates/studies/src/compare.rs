//! Two runs side by side, layer by layer.

use std::collections::HashMap;
use std::sync::Arc;

use analysis::{linear_cka, relative_distance};
use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use sql::{QueryError, QuerySession};
use trace::DatasetInfo;

use crate::layer_values::{Epochs, LayerValues, ValuesOf, layer_values};

/// Two runs compared.
#[expect(missing_debug_implementations, reason = "a stream has nothing to show")]
pub struct Comparison {
    /// A row an epoch and layer that both runs have, in the order of the epochs and of the first
    /// run's topology: `epoch`, `layer`, `cka`, `num_samples`, `weight_distance`.
    pub rows: SendableRecordBatchStream,
    /// What keeps the runs from being compared in full, in words.
    pub notes: Vec<String>,
}

fn schema() -> SchemaRef {
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    Arc::new(Schema::new(vec![
        field("epoch", DataType::Int32, false),
        field("layer", DataType::Utf8, false),
        field("cka", DataType::Float64, true),
        field("num_samples", DataType::Int64, true),
        field("weight_distance", DataType::Float64, true),
    ]))
}

/// Compares two runs by the epochs that both captured and the layers that both have.
///
/// - `cka` is the linear centred kernel alignment of the held-out activations, between 0 and 1
///   (Kornblith et al., ICML 2019), over the `num_samples` samples whose values both kept. The
///   layers may have different numbers of units.
/// - `weight_distance` is ‖A - B‖ / ‖A‖ in Frobenius norms, with A the first run's weights. It holds
///   unit against unit, and so says little of networks that did not begin as the same.
///
/// Either is null where a run has not recorded it, the shapes do not fit, or a norm is 0 or not
/// finite; `cka` as well where the runs held out other samples, or do not say which: with `same_samples` whoever
/// asks says that they are the same. One capture of each run is in memory.
///
/// # Errors
/// If the runs have no epoch or no layer in common, or there is no such epoch or layer.
pub fn compare(
    run: QuerySession,
    other: QuerySession,
    epochs: Epochs,
    layer: Option<&str>,
    same_samples: bool,
) -> Result<Comparison, QueryError> {
    let captured = [&run, &other].map(QuerySession::captured_epochs);
    if captured.iter().any(Vec::is_empty) {
        return Err(QueryError::NothingCaptured);
    }
    let [mut common, theirs] = captured;
    common.retain(|epoch| theirs.contains(epoch));
    if common.is_empty() {
        return Err(QueryError::Mistake(
            "the runs have no captured epoch in common".to_owned(),
        ));
    }
    let epochs = epochs.among(&common)?;
    let layer = layer.map(|name| run.known_layer(name)).transpose()?;
    let layers = common_layers(&run, &other, layer.as_deref())?;
    let mut notes = Vec::new();
    let told = match same_samples {
        true => Some(true),
        false => hold_out_the_same(&run, &other),
    };
    match told {
        Some(true) => {}
        Some(false) => notes.push(
            "the runs did not hold out the same samples, so that their activations cannot be \
             compared: cka is null"
                .to_owned(),
        ),
        None => notes.push(
            "the runs do not say which samples they held out, so that it is not known whether their \
             activations can be compared: cka is null; same_samples says that they are the same"
                .to_owned(),
        ),
    }
    let same_samples = told == Some(true);
    let sides = Arc::new(Sides {
        memory: [&run, &other].map(|run| run.reservation("compare")),
        run,
        other,
        layer,
        layers,
        same_samples,
    });
    let rows = stream::iter(epochs.into_iter().map(Ok));
    let rows = futures::StreamExt::then(rows, move |epoch: Result<i32, DataFusionError>| {
        let sides = Arc::clone(&sides);
        async move {
            let compared = sides.at(epoch?).await;
            compared.map_err(|error| DataFusionError::External(Box::new(error)))
        }
    });
    Ok(Comparison {
        rows: Box::pin(RecordBatchStreamAdapter::new(schema(), rows)),
        notes,
    })
}

/// The layers that both runs have, or the one of them that is asked for.
fn common_layers(
    run: &QuerySession,
    other: &QuerySession,
    layer: Option<&str>,
) -> Result<Vec<String>, QueryError> {
    let theirs = &other.info().layers;
    let layers = run.info().layers.layers().iter();
    let layers: Vec<String> = layers
        .map(|layer| layer.layer.as_str())
        .filter(|name| theirs.layer(name).is_some() && layer.is_none_or(|only| only == *name))
        .map(str::to_owned)
        .collect();
    match (layers.is_empty(), layer) {
        (false, _) => Ok(layers),
        (true, Some(layer)) => Err(QueryError::Mistake(format!(
            "the other run has no layer {layer:?}"
        ))),
        (true, None) => Err(QueryError::Mistake(
            "the runs have no layer in common: layers are the same if they have the same label"
                .to_owned(),
        )),
    }
}

/// Whether two runs evaluate the same samples; none where they do not say which.
fn hold_out_the_same(run: &QuerySession, other: &QuerySession) -> Option<bool> {
    if let (Some(ours), Some(theirs)) = (&run.info().dataset, &other.info().dataset) {
        let said = |info: &DatasetInfo| (info.crc32c, info.num_held_out, info.held_out.clone());
        // The recorder says so where it draws them.
        let is_drawn = ours.held_out.contains("drawn with the seed");
        let same_seed = run.info().seed == other.info().seed;
        return Some(said(ours) == said(theirs) && (!is_drawn || same_seed));
    }
    let ([samples, targets, inputs], theirs) = (held_out(run)?, held_out(other)?);
    if [samples, targets] != theirs[..2] {
        return Some(false);
    }
    match (&inputs, &theirs[2]) {
        (Some(ours), Some(theirs)) => Some(ours == theirs),
        // Logits that were handed over came of inputs that nobody saw.
        (None, None) => Some(true),
        _ => None,
    }
}

/// What a recorder that was handed its held-out samples knows them by: how many there are, and checksums of
/// targets and inputs. None where that is not known, or the run was gone on with by others.
fn held_out(run: &QuerySession) -> Option<[Option<String>; 3]> {
    let first = run.info().config.get("held_out")?;
    let newest = run.run().config().get("held_out")?;
    let told = |name: &str| first.get(name).map(ToString::to_string);
    (!first.is_null() && first == newest).then(|| ["samples", "targets", "inputs"].map(told))
}

struct Sides {
    run: QuerySession,
    other: QuerySession,
    layer: Option<String>,
    layers: Vec<String>,
    same_samples: bool,
    /// What a capture of either run takes.
    memory: [MemoryReservation; 2],
}

/// What two layers have in common.
#[derive(Debug, Default)]
struct Compared {
    cka: Option<f64>,
    num_samples: Option<i64>,
    weight_distance: Option<f64>,
}

impl Sides {
    /// The rows of an epoch: a layer each of which both have anything.
    async fn at(&self, epoch: i32) -> Result<RecordBatch, QueryError> {
        let mut found: HashMap<String, Compared> = HashMap::new();
        for (name, [ours, theirs]) in self.values(ValuesOf::Weights, epoch).await? {
            let fit =
                ours.units == theirs.units && ours.rows.num_columns() == theirs.rows.num_columns();
            found.entry(name).or_default().weight_distance = match fit {
                true => relative_distance(&ours.rows, &theirs.rows),
                false => None,
            };
        }
        if self.same_samples {
            for (name, [ours, theirs]) in self.values(ValuesOf::Activations, epoch).await? {
                let num_samples = ours.rows.num_columns().min(theirs.rows.num_columns());
                let compared = found.entry(name).or_default();
                compared.num_samples = Some(num_samples as i64);
                compared.cka = linear_cka(
                    ours.rows.first_columns(num_samples),
                    theirs.rows.first_columns(num_samples),
                );
            }
        }
        let layers = self.layers.iter().filter(|name| found.contains_key(*name));
        let layers: Vec<&String> = layers.collect();
        let compared = || layers.iter().map(|name| &found[*name]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![epoch; layers.len()])),
            Arc::new(StringArray::from_iter_values(&layers)),
            Arc::new(Float64Array::from_iter(compared().map(|c| c.cka))),
            Arc::new(Int64Array::from_iter(compared().map(|c| c.num_samples))),
            Arc::new(Float64Array::from_iter(
                compared().map(|c| c.weight_distance),
            )),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }

    /// What both runs recorded, by layer.
    async fn values(
        &self,
        of: ValuesOf,
        epoch: i32,
    ) -> Result<Vec<(String, [LayerValues; 2])>, QueryError> {
        let layer = self.layer.as_deref();
        // Those of the capture, or of the table, before are gone.
        let [our_memory, their_memory] = &self.memory;
        our_memory.free();
        their_memory.free();
        let ours = layer_values(&self.run, of, epoch, layer, our_memory).await?;
        let theirs = layer_values(&self.other, of, epoch, layer, their_memory);
        let theirs = theirs.await?;
        // What is compared is centred, transposed or cut to a common length in copies.
        our_memory.try_grow(2 * our_memory.size())?;
        their_memory.try_grow(2 * their_memory.size())?;
        let mut theirs: HashMap<String, LayerValues> = theirs
            .into_iter()
            .map(|values| (values.layer.clone(), values))
            .collect();
        let both = ours.into_iter().filter_map(|ours| {
            let theirs = theirs.remove(&ours.layer)?;
            Some((ours.layer.clone(), [ours, theirs]))
        });
        Ok(both.collect())
    }
}
