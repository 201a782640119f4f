use arrow::array::{
    Array, ArrayRef, AsArray, Float32Builder, Int32Array, Int64Array, ListBuilder, RecordBatch,
    StringArray,
};
use arrow::datatypes::{Float32Type, Int32Type};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use trace::{Layer, LayerLabel, Source, SourceRange, Topology, float_item};

use super::*;

fn label(name: &str) -> LayerLabel {
    LayerLabel::try_new(name).unwrap()
}

/// Neurons 0 to 3 see inputs 1, 1, 4, 4; neurons 4 and 5 see neurons 0 and 2, then inputs 5 and 6;
/// what neuron 6 sees is not known.
fn topology() -> Topology {
    let layer = |index, name, first_neuron, num_units, fan_in: u32, source| Layer {
        layer_index: index,
        layer: label(name),
        module_path: name.to_owned(),
        kind: "test".to_owned(),
        shape: vec![num_units, fan_in.into()],
        fan_in,
        num_units: num_units as u32,
        first_neuron,
        activation: None,
        trainable: true,
        source,
        tensors: Vec::new(),
        recorded_units: None,
    };
    let range = |from, start, count, stride, repeat| SourceRange {
        from,
        start,
        count,
        stride,
        repeat,
    };
    let a = vec![range(Source::Input, 1, 2, 3, 2)];
    let b = vec![
        range(Source::Layer(label("A")), 0, 2, 2, 1),
        range(Source::Input, 5, 2, 1, 1),
    ];
    Topology::try_new(vec![
        layer(0, "A", 0, 4, 4, Some(a)),
        layer(1, "B", 4, 2, 4, Some(b)),
        layer(2, "C", 6, 1, 3, None),
    ])
    .unwrap()
}

/// Rows of `weights`, as a layer, a neuron and its weights each.
fn neurons(rows: &[(&str, i32, Option<&[f32]>)]) -> RecordBatch {
    let num_rows = rows.len();
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(float_item());
    for (_, _, list) in rows {
        lists.values().append_slice(list.unwrap_or_default());
        lists.append(list.is_some());
    }
    let layers = StringArray::from_iter_values(rows.iter().map(|(layer, _, _)| layer));
    let ids = Int32Array::from_iter_values(rows.iter().map(|(_, neuron, _)| *neuron));
    let columns: [(&str, ArrayRef, bool); 6] = [
        (
            "epoch",
            Arc::new(Int32Array::from(vec![3; num_rows])),
            false,
        ),
        ("layer", Arc::new(layers), false),
        ("step", Arc::new(Int64Array::from(vec![8; num_rows])), false),
        ("rank", Arc::new(Int32Array::from(vec![0; num_rows])), false),
        ("neuron", Arc::new(ids), false),
        ("weights", Arc::new(lists.finish()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// The connections of `neurons`, in batches of at most `batch_rows`.
async fn exploded(neurons: RecordBatch, batch_rows: usize) -> Result<Vec<RecordBatch>> {
    let input = MemorySourceConfig::try_new_exec(&[vec![neurons.clone()]], neurons.schema(), None)?;
    let operator = Unnest {
        sources: Arc::new(Sources::try_new(&topology())?),
        projection: shown(None, &schema()),
    };
    let plan = OperatorExec::try_new(Arc::new(operator), Some(input))?;
    let config = SessionConfig::new().with_batch_size(batch_rows);
    let context = SessionContext::new_with_config(config);
    collect(Arc::new(plan), context.task_ctx()).await
}

type Connection = (i32, i32, Option<String>, Option<i32>, Option<i32>, f32);

/// Neuron, position, source, source_input, source_neuron and weight.
fn connections(batch: &RecordBatch) -> Vec<Connection> {
    let int = |name: &str| {
        let column = batch.column_by_name(name).unwrap();
        column.as_primitive::<Int32Type>().clone()
    };
    let (neuron, position) = (int("neuron"), int("position"));
    let (input, source_neuron) = (int("source_input"), int("source_neuron"));
    let source = batch.column_by_name("source").unwrap().as_string::<i32>();
    let weight = batch.column_by_name("weight").unwrap();
    let weight = weight.as_primitive::<Float32Type>();
    let known = |column: &Int32Array, row| column.is_valid(row).then(|| column.value(row));
    (0..batch.num_rows())
        .map(|row| {
            (
                neuron.value(row),
                position.value(row),
                source.is_valid(row).then(|| source.value(row).to_owned()),
                known(&input, row),
                known(&source_neuron, row),
                weight.value(row),
            )
        })
        .collect()
}

fn from_input(neuron: i32, position: i32, input: i32, weight: f32) -> Connection {
    let source = Some(format!("input_{input}"));
    (neuron, position, source, Some(input), None, weight)
}

fn from_neuron(neuron: i32, position: i32, source: i32, weight: f32) -> Connection {
    let name = Some(format!("n_{source}"));
    (neuron, position, name, None, Some(source), weight)
}

#[tokio::test]
async fn neurons_are_cut_where_a_batch_is_full_and_layers_where_they_end() {
    let rows = neurons(&[
        ("A", 0, Some(&[0.0, 0.25, 0.5, 0.75])),
        ("A", 1, Some(&[1.0, 1.25, 1.5, 1.75])),
        ("A", 2, None),
        ("B", 4, Some(&[4.0, 4.25, 4.5, 4.75])),
        ("B", 5, Some(&[])),
        ("C", 6, Some(&[6.0, 6.25, 6.5])),
    ]);
    let batches = exploded(rows, 3).await.unwrap();
    let batches: Vec<Vec<Connection>> = batches.iter().map(connections).collect();
    let unknown = |position, weight| (6, position, None, None, None, weight);
    assert_eq!(
        batches,
        [
            vec![
                from_input(0, 0, 1, 0.0),
                from_input(0, 1, 1, 0.25),
                from_input(0, 2, 4, 0.5),
            ],
            vec![
                from_input(0, 3, 4, 0.75),
                from_input(1, 0, 1, 1.0),
                from_input(1, 1, 1, 1.25),
            ],
            vec![from_input(1, 2, 4, 1.5), from_input(1, 3, 4, 1.75)],
            vec![
                from_neuron(4, 0, 0, 4.0),
                from_neuron(4, 1, 2, 4.25),
                from_input(4, 2, 5, 4.5),
            ],
            vec![from_input(4, 3, 6, 4.75)],
            vec![unknown(0, 6.0), unknown(1, 6.25), unknown(2, 6.5)],
        ]
    );
}

#[tokio::test]
async fn a_batch_that_is_large_enough_has_a_whole_layer() {
    let rows = neurons(&[
        ("A", 0, Some(&[0.0; 4])),
        ("A", 1, Some(&[0.0; 4])),
        ("C", 6, Some(&[0.0; 3])),
    ]);
    let batches = exploded(rows, 100).await.unwrap();
    let num_rows: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(num_rows, [8, 3]);
}

#[tokio::test]
async fn weights_that_the_topology_does_not_explain_are_errors() {
    let failure = async |rows: RecordBatch| exploded(rows, 3).await.unwrap_err().to_string();
    let short = failure(neurons(&[("A", 0, Some(&[1.0, 2.0, 3.0]))])).await;
    assert!(
        short.contains("a neuron of layer \"A\" has 3 weights, its fan-in in run.json is 4"),
        "{short}"
    );
    let unlisted = failure(neurons(&[("D", 7, Some(&[1.0]))])).await;
    assert!(
        unlisted.contains("layer \"D\" has weights, but run.json does not list it"),
        "{unlisted}"
    );
}
