use arrow::array::{ArrayRef, AsArray, Int32Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{Field, Float32Type, Int32Type, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::config::ConfigOptions;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, lit};
use datafusion::physical_expr::{Partitioning, PhysicalExprRef};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlanProperties, displayable};
use proptest::prelude::*;

use super::*;

fn built_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int32, true),
        Field::new("name", DataType::Utf8, false),
    ]))
}

fn streamed_schema() -> SchemaRef {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int32, true),
        Field::new("values", DataType::List(item), true),
    ]))
}

/// Rows whose other column tells them apart.
fn built(keys: &[Option<i32>]) -> RecordBatch {
    let names = (0..keys.len()).map(|row| format!("row {row}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(keys.to_vec())),
        Arc::new(StringArray::from_iter_values(names)),
    ];
    RecordBatch::try_new(built_schema(), columns).unwrap()
}

fn streamed(keys: &[Option<i32>]) -> RecordBatch {
    let lists = (0..keys.len()).map(|row| Some(vec![Some(row as f32); 3]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(keys.to_vec())),
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(lists)),
    ];
    RecordBatch::try_new(streamed_schema(), columns).unwrap()
}

/// DataFusion's join of a side in any number of batches with batches that stream.
fn hash_join(
    join_type: JoinType,
    built: &[RecordBatch],
    streamed: &[RecordBatch],
    projection: Option<Vec<usize>>,
) -> HashJoinExec {
    let source = |batches: &[RecordBatch], schema| {
        MemorySourceConfig::try_new_exec(&[batches.to_vec()], schema, None).unwrap()
    };
    let key: PhysicalExprRef = Arc::new(Column::new("key", 0));
    HashJoinExec::try_new(
        source(built, built_schema()),
        source(streamed, streamed_schema()),
        vec![(Arc::clone(&key), key)],
        None,
        &join_type,
        projection,
        PartitionMode::CollectLeft,
        NullEquality::NullEqualsNothing,
        false,
    )
    .unwrap()
}

async fn rows(plan: &dyn ExecutionPlan) -> Vec<RecordBatch> {
    let rows = plan.execute(0, Arc::new(TaskContext::default())).unwrap();
    rows.try_collect().await.unwrap()
}

async fn looked_up(join: &HashJoinExec) -> Vec<RecordBatch> {
    rows(&LookupJoinExec::of(join).unwrap().unwrap()).await
}

/// The rows as text, in order of it.
fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn lists_of_rows_with_one_partner_go_on_uncopied() {
    let streamed = streamed(&[Some(7), Some(7), Some(3)]);
    let built = built(&[Some(3), Some(7), None]);
    let join = hash_join(
        JoinType::Inner,
        &[built],
        std::slice::from_ref(&streamed),
        None,
    );
    let joined = looked_up(&join).await;
    let [joined] = &joined[..] else {
        panic!("{} batches", joined.len());
    };
    let names: Vec<_> = joined.column(1).as_string::<i32>().iter().collect();
    assert_eq!(names, [Some("row 1"), Some("row 1"), Some("row 0")]);
    let values = |batch: &RecordBatch, column| {
        let lists = batch.column(column).as_list::<i32>();
        lists
            .values()
            .as_primitive::<Float32Type>()
            .values()
            .as_ptr()
    };
    assert_eq!(values(joined, 3), values(&streamed, 1));
}

#[tokio::test]
async fn what_has_no_partner_is_kept_with_nulls_or_dropped() {
    let streamed = [streamed(&[Some(1), None, Some(2)])];
    let built = [built(&[Some(2), None])];
    let outer = looked_up(&hash_join(JoinType::Right, &built, &streamed, None)).await;
    let names = |batch: &RecordBatch| -> Vec<Option<String>> {
        let names = batch.column(1).as_string::<i32>().iter();
        names.map(|name| name.map(str::to_owned)).collect()
    };
    assert_eq!(names(&outer[0]), [None, None, Some("row 0".to_owned())]);
    let inner = looked_up(&hash_join(JoinType::Inner, &built, &streamed, None)).await;
    assert_eq!(names(&inner[0]), [Some("row 0".to_owned())]);
}

/// Many partners of few rows go on in batches of the usual size.
#[tokio::test]
async fn rows_with_many_partners_are_split() {
    let batch_rows = TaskContext::default().session_config().batch_size();
    let built = [built(&vec![Some(0); batch_rows])];
    let streamed = [streamed(&[Some(0), Some(0), Some(0)])];
    let joined = looked_up(&hash_join(JoinType::Inner, &built, &streamed, None)).await;
    let num_rows: Vec<_> = joined.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(num_rows, [batch_rows; 3]);
}

#[tokio::test]
async fn a_table_that_does_not_fit_into_memory_is_an_error() {
    let keys: Vec<_> = (0..10_000).map(Some).collect();
    let join = hash_join(JoinType::Inner, &[built(&keys)], &[streamed(&[None])], None);
    let join = LookupJoinExec::of(&join).unwrap().unwrap();
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(100_000, 1.0);
    let context = TaskContext::default().with_runtime(runtime.build_arc().unwrap());
    let rows = join.execute(0, Arc::new(context)).unwrap();
    let error = rows.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.to_string().contains("LookupJoinExec"), "{error}");
}

/// A join with two partitions, which look up in a side that is dealt out before, so that it can be read once.
fn join_of_two_partitions(keys: &[Option<i32>]) -> LookupJoinExec {
    let streamed = [vec![streamed(&[Some(1)])], vec![streamed(&[Some(2)])]];
    let streamed = MemorySourceConfig::try_new_exec(&streamed, streamed_schema(), None).unwrap();
    let built = [vec![built(keys)]];
    let built = MemorySourceConfig::try_new_exec(&built, built_schema(), None).unwrap();
    let dealt_out = RepartitionExec::try_new(built, Partitioning::RoundRobinBatch(1)).unwrap();
    let join = hash_join(JoinType::Inner, &[], &[], None);
    let join = join.builder();
    let join = join.with_new_children(vec![Arc::new(dealt_out), streamed]);
    LookupJoinExec::of(&join.unwrap().build().unwrap())
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn a_side_that_cannot_be_read_is_an_error_of_every_partition() {
    let keys: Vec<_> = (0..10_000).map(Some).collect();
    let join = join_of_two_partitions(&keys);
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(100_000, 1.0);
    let context = TaskContext::default().with_runtime(runtime.build_arc().unwrap());
    let context = Arc::new(context);
    for partition in 0..2 {
        let rows = join.execute(partition, Arc::clone(&context)).unwrap();
        let error = rows.try_collect::<Vec<_>>().await.unwrap_err();
        let root = error.find_root();
        assert!(
            matches!(root, DataFusionError::ResourcesExhausted(_)),
            "{root}"
        );
    }
}

#[tokio::test]
async fn a_partition_that_is_given_up_leaves_the_side_to_the_others() {
    let keys: Vec<_> = (0..10).map(Some).collect();
    let join = join_of_two_partitions(&keys);
    let context = Arc::new(TaskContext::default());
    let mut given_up = join.execute(0, Arc::clone(&context)).unwrap();
    // It begins to read, and waits for the task that deals out.
    assert!(given_up.next().now_or_never().is_none());
    drop(given_up);
    let rows = join.execute(1, context).unwrap();
    let rows = rows.try_collect::<Vec<_>>().await.unwrap();
    let num_rows: usize = rows.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(num_rows, 1);
}

/// A limit that the planner has put on the join is one of each partition of it.
#[tokio::test]
async fn a_limit_that_the_join_has_taken_over_is_kept() {
    let one_partner = [built(&[Some(0), Some(1)])];
    let several = [built(&[Some(0), Some(0), Some(0)])];
    let streamed = [streamed(&[Some(0), Some(1)]), streamed(&[Some(0), None])];
    for (built, all) in [(&one_partner, 3), (&several, 6)] {
        for fetch in [0, 1, 2, 4, 100] {
            let join = hash_join(JoinType::Inner, built, &streamed, None);
            let join = join.builder().with_fetch(Some(fetch)).build().unwrap();
            let num_rows: usize = looked_up(&join)
                .await
                .iter()
                .map(RecordBatch::num_rows)
                .sum();
            assert_eq!(num_rows, fetch.min(all), "{fetch} of {all}");
        }
    }
    let join = hash_join(JoinType::Inner, &one_partner, &streamed, None);
    let join = LookupJoinExec::of(&join).unwrap().unwrap();
    let limited = join.with_fetch(Some(2)).unwrap();
    assert_eq!(limited.fetch(), Some(2));
    assert!(
        displayable(&*limited)
            .one_line()
            .to_string()
            .contains("fetch=2")
    );
    let children = limited.children().into_iter().cloned().collect();
    let limited = replace_children_if_necessary(limited, children).unwrap();
    let num_rows: usize = rows(&*limited)
        .await
        .iter()
        .map(RecordBatch::num_rows)
        .sum();
    assert_eq!(num_rows, 2);
}

/// What the planner knows of the join is known of what replaces it.
#[test]
fn properties_and_statistics_are_those_of_the_join() {
    let join = hash_join(
        JoinType::Right,
        &[built(&[Some(1)])],
        &[streamed(&[Some(1)])],
        None,
    );
    let join = join.builder().with_fetch(Some(0)).build().unwrap();
    let by_lookup = LookupJoinExec::of(&join).unwrap().unwrap();
    let statistics = |plan: &dyn ExecutionPlan| {
        let context = StatisticsContext::new();
        context.compute(plan, &StatisticsArgs::new()).unwrap()
    };
    assert_eq!(statistics(&by_lookup).num_rows.get_value(), Some(&0));
    assert_eq!(statistics(&by_lookup), statistics(&join));
    // Of other children they are those of other children.
    let two = MemorySourceConfig::try_new_exec(
        &[vec![streamed(&[Some(1)])], vec![streamed(&[Some(2)])]],
        streamed_schema(),
        None,
    );
    let children = vec![
        Arc::clone(join.left()),
        two.unwrap() as Arc<dyn ExecutionPlan>,
    ];
    let by_lookup: Arc<dyn ExecutionPlan> = Arc::new(by_lookup);
    let of_two = replace_children_if_necessary(by_lookup, children).unwrap();
    assert!(of_two.is::<LookupJoinExec>());
    assert_eq!(of_two.output_partitioning().partition_count(), 2);
}

/// Whoever waits for the keys that were read gets them from DataFusion's join.
#[test]
fn a_join_that_narrows_its_input_is_left_alone() {
    let join = hash_join(
        JoinType::Inner,
        &[built(&[Some(1)])],
        &[streamed(&[Some(1)])],
        None,
    );
    let keys = join.on().iter().map(|(_, streamed)| Arc::clone(streamed));
    let filter = Arc::new(DynamicFilterPhysicalExpr::new(keys.collect(), lit(true)));
    let join = join.with_dynamic_filter_expr(Arc::clone(&filter)).unwrap();
    assert!(LookupJoinExec::of(&join).unwrap().is_some());
    let narrowed = FilterExec::try_new(filter, Arc::clone(join.right())).unwrap();
    let children = vec![
        Arc::clone(join.left()),
        Arc::new(narrowed) as Arc<dyn ExecutionPlan>,
    ];
    let join = join
        .builder()
        .with_new_children(children)
        .unwrap()
        .build()
        .unwrap();
    assert!(LookupJoinExec::of(&join).unwrap().is_none());
}

#[test]
fn joins_that_copy_no_lists_are_left_alone() {
    let batch = built(&[Some(1)]);
    let join = hash_join(JoinType::Inner, &[batch], &[streamed(&[])], None);
    let swapped = join.swap_inputs(PartitionMode::CollectLeft).unwrap();
    let plan = JOIN_BY_LOOKUP
        .optimize(Arc::clone(&swapped), &ConfigOptions::default())
        .unwrap();
    let mut is_left = false;
    plan.apply(|node| {
        is_left |= node.is::<HashJoinExec>();
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    assert!(is_left);
}

fn keys() -> impl Strategy<Value = Vec<Option<i32>>> {
    prop::collection::vec(prop::option::of(0..6), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_agrees_with_the_hash_join(
        built_keys in prop::collection::vec(keys(), 0..3),
        streamed_keys in prop::collection::vec(keys(), 0..4),
        keeps_unmatched: bool,
        projection in prop::option::of(prop::collection::vec(0_usize..4, 1..5)),
    ) {
        let built: Vec<_> = built_keys.iter().map(|keys| built(keys)).collect();
        let streamed: Vec<_> = streamed_keys.iter().map(|keys| streamed(keys)).collect();
        let join_type = if keeps_unmatched { JoinType::Right } else { JoinType::Inner };
        let join = hash_join(join_type, &built, &streamed, projection);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (expected, found) = runtime.block_on(async {
            (rows(&join).await, looked_up(&join).await)
        });
        // An empty answer has no schema to print.
        let num_rows = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        prop_assert_eq!(num_rows(&expected), num_rows(&found));
        if num_rows(&found) > 0 {
            prop_assert_eq!(sorted(&expected), sorted(&found));
        }
        // The order of the rows that stream is kept.
        let unprojected = hash_join(join_type, &built, &streamed, None);
        let found = runtime.block_on(looked_up(&unprojected));
        let firsts = |batches: &[RecordBatch], column: usize| -> Vec<Option<i32>> {
            let mut keys: Vec<_> = batches
                .iter()
                .flat_map(|batch| batch.column(column).as_primitive::<Int32Type>().iter().collect::<Vec<_>>())
                .collect();
            keys.dedup();
            keys
        };
        let kept = firsts(&found, 2);
        let mut all = firsts(&streamed, 0).into_iter();
        prop_assert!(kept.iter().all(|key| all.any(|next| next == *key)));
    }
}
