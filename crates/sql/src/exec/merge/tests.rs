use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, AsArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::exec_err;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use futures::TryStreamExt;
use proptest::prelude::*;

use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int32, true),
        Field::new("from", DataType::Utf8, false),
    ]))
}

fn batch(keys: &[Option<i32>], from: &str) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(keys.to_vec())),
        Arc::new(StringArray::from(vec![from; keys.len()])),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// The merge of partitions of batches, by `key`, nulls last.
async fn merged(partitions: &[Vec<RecordBatch>]) -> Vec<RecordBatch> {
    let input = MemorySourceConfig::try_new_exec(partitions, schema(), None).unwrap();
    let key = PhysicalSortExpr::new_default(Arc::new(Column::new("key", 0)));
    let order = LexOrdering::new([key.asc().nulls_last()]).unwrap();
    let merge = SortPreservingMergeExec::new(order, input);
    let merge = SliceMergeExec::of(&merge).unwrap().unwrap();
    let rows = merge.execute(0, Arc::new(TaskContext::default())).unwrap();
    rows.try_collect().await.unwrap()
}

fn keys(batches: &[RecordBatch]) -> Vec<Option<i32>> {
    let keys = |batch: &RecordBatch| batch.column(0).as_primitive::<Int32Type>().clone();
    batches
        .iter()
        .flat_map(|batch| keys(batch).iter().collect::<Vec<_>>())
        .collect()
}

fn range(keys: std::ops::Range<i32>) -> Vec<Option<i32>> {
    keys.map(Some).collect()
}

/// Batches that do not overlap go on as they are, whichever partition they come from.
#[tokio::test]
async fn whole_batches_go_on_uncopied() {
    let a = vec![batch(&range(0..40), "a"), batch(&range(80..120), "a")];
    let b = vec![batch(&range(40..80), "b")];
    let merged = merged(&[a.clone(), b.clone()]).await;
    assert_eq!(merged, [a[0].clone(), b[0].clone(), a[1].clone()]);
    let values = |batch: &RecordBatch| batch.column(0).to_data().buffers()[0].as_ptr();
    assert_eq!(values(&merged[0]), values(&a[0]));
}

#[tokio::test]
async fn a_batch_that_overlaps_is_cut() {
    let a = vec![batch(&range(0..100), "a")];
    let b = vec![batch(&range(50..150), "b")];
    let merged = merged(&[a, b]).await;
    assert_eq!(merged[0], batch(&range(0..51), "a"));
    let mut expected: Vec<_> = range(0..100).into_iter().chain(range(50..150)).collect();
    expected.sort_unstable();
    assert_eq!(keys(&merged), expected);
}

#[tokio::test]
async fn small_slices_are_gathered() {
    let odd: Vec<_> = range(0..4000)
        .into_iter()
        .filter(|k| k.unwrap() % 2 == 1)
        .collect();
    let even: Vec<_> = range(0..4000)
        .into_iter()
        .filter(|k| k.unwrap() % 2 == 0)
        .collect();
    let merged = merged(&[vec![batch(&odd, "odd")], vec![batch(&even, "even")]]).await;
    assert_eq!(keys(&merged), range(0..4000));
    assert!(merged.len() <= 5, "{} batches", merged.len());
}

#[tokio::test]
async fn empty_batches_and_partitions_are_passed_over() {
    let empty = batch(&[], "a");
    let rows = batch(&[Some(1), None], "b");
    let merged = merged(&[vec![], vec![empty.clone(), rows.clone(), empty]]).await;
    assert_eq!(merged, [rows]);
}

#[tokio::test]
async fn nothing_is_asked_for_behind_an_error() {
    let num_asked = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&num_asked);
    let batches = stream::repeat_with(move || {
        asked.fetch_add(1, Ordering::Relaxed);
        exec_err!("no more")
    });
    let rows = RecordBatchStreamAdapter::new(schema(), batches.take(3));
    let rows: Vec<_> = ahead(Box::pin(rows)).collect().await;
    assert!(matches!(rows[..], [Err(_)]), "{rows:?}");
    assert_eq!(num_asked.load(Ordering::Relaxed), 1);
}

/// Sorted partitions, cut into batches.
fn partitions() -> impl Strategy<Value = Vec<Vec<Vec<Option<i32>>>>> {
    let key = prop::option::weighted(0.9, -50..50_i32);
    let partition =
        (prop::collection::vec(key, 0..120), 1_usize..50).prop_map(|(mut keys, size)| {
            keys.sort_unstable_by_key(|key| (key.is_none(), *key));
            keys.chunks(size).map(<[_]>::to_vec).collect()
        });
    prop::collection::vec(partition, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sorted_partitions_merge_into_their_sorted_rows(partitions in partitions()) {
        let batches: Vec<Vec<RecordBatch>> = partitions
            .iter()
            .map(|batches| batches.iter().map(|keys| batch(keys, "p")).collect())
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let merged = runtime.block_on(merged(&batches));
        let mut expected: Vec<_> = partitions.concat().concat();
        expected.sort_unstable_by_key(|key| (key.is_none(), *key));
        prop_assert_eq!(keys(&merged), expected);
    }
}
