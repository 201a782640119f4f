use arrow::array::{
    Array, ArrayRef, AsArray, Float32Builder, Int32Array, Int64Array, ListBuilder, RecordBatch,
    StringArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Int32Type};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use trace::float_item;

use super::*;

fn weights() -> SchemaRef {
    let stored = Table::Weights.schema();
    let partition = Table::Weights.partition_fields().into_iter().map(Arc::new);
    let fields = partition.chain(stored.fields().iter().cloned());
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let shown = SHOWN.map(|name| schema.index_of(name).unwrap());
    Arc::new(schema.project(&shown).unwrap())
}

/// Rows of a layer's capture at a step, which is of the epoch of the same number; of each neuron
/// the one weight.
fn capture(layer: &str, step: i32, rows: &[(i32, Option<f32>)]) -> RecordBatch {
    let num_rows = rows.len();
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(float_item());
    for (_, weight) in rows {
        lists.values().append_slice(weight.as_slice());
        lists.append(weight.is_some());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![step; num_rows])),
        Arc::new(StringArray::from(vec![layer; num_rows])),
        Arc::new(Int64Array::from(vec![i64::from(step); num_rows])),
        Arc::new(Int32Array::from(vec![0; num_rows])),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(lists.finish()),
    ];
    RecordBatch::try_new(weights(), columns).unwrap()
}

async fn run(batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let input = MemorySourceConfig::try_new_exec(&[batches.to_vec()], weights(), None)?;
    let columns = with_added(&weights())?;
    let projection = shown(None, &columns);
    let step = Arc::new(AddLists {
        columns,
        projection,
    });
    let plan = StepExec::try_new(step, Some(input))?;
    collect(Arc::new(plan), SessionContext::new().task_ctx()).await
}

/// Each row as `neuron: weight previous first`, a null as `-`.
fn told(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        let neurons = batch.column(4).as_primitive::<Int32Type>();
        for row in 0..batch.num_rows() {
            let list = |column: usize| {
                let lists = batch.column(column).as_list::<i32>();
                match lists.is_null(row) {
                    true => "-".to_owned(),
                    false => {
                        let list = lists.value(row);
                        list.as_primitive::<Float32Type>().value(0).to_string()
                    }
                }
            };
            let lists = [5, 6, 7].map(list).join(" ");
            rows.push(format!("{}: {lists}", neurons.value(row)));
        }
    }
    rows
}

#[tokio::test]
async fn each_layer_has_captures_of_its_own() {
    let batches = [
        capture("a", 1, &[(0, Some(1.0)), (1, Some(10.0))]),
        capture("b", 1, &[(2, Some(100.0))]),
        capture("a", 2, &[(0, Some(2.0)), (1, None)]),
        // `b` was not captured at step 2.
        capture("a", 3, &[(0, Some(3.0)), (1, Some(30.0))]),
        capture("b", 3, &[(2, Some(300.0))]),
    ];
    let expected = [
        "0: 1 - 1",
        "1: 10 - 10",
        "2: 100 - 100",
        "0: 2 1 1",
        "1: - 10 10",
        "0: 3 2 1",
        "1: 30 - 10",
        "2: 300 100 100",
    ];
    assert_eq!(told(&run(&batches).await.unwrap()), expected);
    // Whatever the batches.
    let one = concat_batches(&weights(), &batches).unwrap();
    assert_eq!(
        told(&run(std::slice::from_ref(&one)).await.unwrap()),
        expected
    );
    for size in [1, 3] {
        let starts = (0..one.num_rows()).step_by(size);
        let slices = starts.map(|start| one.slice(start, size.min(one.num_rows() - start)));
        let slices: Vec<RecordBatch> = slices.collect();
        assert_eq!(told(&run(&slices).await.unwrap()), expected, "{size}");
    }
}

#[tokio::test]
async fn a_neuron_that_was_not_there_has_nothing_before() {
    let batches = [
        capture("a", 1, &[(0, Some(1.0))]),
        capture("a", 2, &[(0, Some(2.0)), (1, Some(20.0))]),
        capture("a", 3, &[(1, Some(30.0))]),
        capture("a", 4, &[(0, Some(4.0)), (1, Some(40.0))]),
    ];
    assert_eq!(
        told(&run(&batches).await.unwrap()),
        [
            "0: 1 - 1",
            "0: 2 1 1",
            "1: 20 - -",
            "1: 30 20 -",
            "0: 4 - 1",
            "1: 40 30 -"
        ]
    );
}

#[tokio::test]
async fn captures_out_of_order_are_no_answer() {
    let batches = [
        capture("a", 2, &[(0, Some(2.0))]),
        capture("a", 1, &[(0, Some(1.0))]),
    ];
    let error = run(&batches).await.unwrap_err().to_string();
    assert!(error.contains("comes with (1, 1)"), "{error}");
}
