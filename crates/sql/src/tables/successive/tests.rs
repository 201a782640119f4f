use arrow::array::{
    Array, ArrayRef, AsArray, Float32Builder, Int32Array, Int64Array, ListBuilder, RecordBatch,
    StringArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Int32Type};
use datafusion::config::ConfigOptions;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
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

/// The plan over rows of some partitions, as whoever dealt them out has left it.
fn plan(partitions: &[Vec<RecordBatch>]) -> Result<Arc<dyn ExecutionPlan>> {
    let input = MemorySourceConfig::try_new_exec(partitions, weights(), None)?;
    let columns = with_added(&weights())?;
    let projection = shown(None, &columns);
    let step = Arc::new(AddLists::new(columns, projection));
    Ok(Arc::new(OperatorExec::try_new(step, Some(input))?))
}

async fn run(batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let plan = plan(&[batches.to_vec()])?;
    collect(plan, SessionContext::new().task_ctx()).await
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

/// A layer that is dealt out to two partitions would miss captures in both.
#[tokio::test]
async fn a_layer_in_two_partitions_is_no_answer() {
    let a = |step| capture("a", step, &[(0, Some(step as f32))]);
    let b = capture("b", 1, &[(1, Some(1.0))]);
    let split = [vec![a(1), a(3)], vec![b.clone(), a(2)]];
    let context = SessionContext::new().task_ctx();
    let error = collect(plan(&split).unwrap(), Arc::clone(&context)).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("layer \"a\" comes in partition"), "{error}");
    // Whole layers are, and again when the plan is executed again.
    let whole = plan(&[vec![a(1), a(2)], vec![b]]).unwrap();
    for _ in 0..2 {
        let mut rows = told(
            &collect(Arc::clone(&whole), Arc::clone(&context))
                .await
                .unwrap(),
        );
        rows.sort_unstable();
        assert_eq!(rows, ["0: 1 - 1", "0: 2 1 1", "1: 1 - 1"]);
    }
}

/// Some nodes ask on behind an error.
#[tokio::test]
async fn what_there_was_no_room_for_is_not_given_back() {
    let captures = (0..6).map(|step| capture("a", step, &[(0, Some(1.0))]));
    let plan = plan(&[captures.collect()]).unwrap();
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(1, 1.0);
    let context = TaskContext::default().with_runtime(runtime.build_arc().unwrap());
    let rows = plan.execute(0, Arc::new(context)).unwrap();
    let rows: Vec<_> = rows.collect().await;
    assert_eq!(rows.len(), 6);
    assert!(rows.iter().all(Result::is_err));
}

/// An input of which nothing is known is dealt out by layer and sorted.
#[tokio::test]
async fn what_it_needs_of_its_input_is_required() {
    let a = |step| capture("a", step, &[(0, Some(step as f32))]);
    let plan = plan(&[vec![a(3), a(1)], vec![a(2)]]).unwrap();
    let mut config = ConfigOptions::default();
    config.execution.target_partitions = 2;
    let plan = EnsureRequirements::new().optimize(plan, &config).unwrap();
    let mut rows = told(
        &collect(plan, SessionContext::new().task_ctx())
            .await
            .unwrap(),
    );
    rows.sort_unstable();
    assert_eq!(rows, ["0: 1 - 1", "0: 2 1 1", "0: 3 2 1"]);
}
