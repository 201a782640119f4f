use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use fixtures::{many, tiny};
use tempfile::TempDir;
use trace::RunDir;

use super::*;
use crate::session::{QuerySession, Run, SessionOptions};

/// A session over a run as it is written, whose queries have two partitions.
fn session(write: impl Fn(&Path) -> RunDir) -> (TempDir, QuerySession) {
    let dir = tempfile::tempdir().unwrap();
    let run = write(&dir.path().join("run"));
    let options = SessionOptions {
        target_partitions: Some(2),
        ..SessionOptions::default()
    };
    let session = Run::open(run.path()).unwrap().session(options).unwrap();
    (dir, session)
}

fn tiny_session() -> (TempDir, QuerySession) {
    session(|path| tiny::write(path).unwrap())
}

async fn planned(session: &QuerySession, sql: &str) -> Arc<dyn ExecutionPlan> {
    let query = session.sql(sql).await.unwrap();
    query.create_physical_plan().await.unwrap()
}

/// The scans of a plan.
fn scans(plan: &Arc<dyn ExecutionPlan>) -> Vec<PartScan> {
    let scan = plan.downcast_ref::<DataSourceExec>();
    let scan = scan.and_then(|scan| scan.data_source().downcast_ref::<PartScan>());
    let below = plan.children().into_iter().flat_map(scans);
    scan.cloned().into_iter().chain(below).collect()
}

fn num_opened(scan: &PartScan) -> usize {
    let metrics = scan.metrics().clone_inner();
    let opened = metrics.sum_by_name("files_opened");
    opened.map_or(0, |opened| opened.as_usize())
}

#[tokio::test]
async fn a_plan_says_how_many_files_are_read_and_names_some() {
    let (_dir, session) = session(|path| many::write(path, 20).unwrap());
    let plan = planned(&session, "SELECT epoch, neuron FROM weights").await;
    let shown = displayable(plan.as_ref()).indent(false).to_string();
    let path = |epoch, layer, step| {
        format!("weights/epoch={epoch}/layer=L_{layer}/step-{step}-r0-g0.parquet")
    };
    let first = [
        path(0, "first", 10),
        path(0, "third", 10),
        path(1, "second", 20),
        path(2, "first", 30),
        path(2, "third", 30),
    ];
    let expected = format!(
        "DataSourceExec: files=60, file_groups={{2 groups: [[{}, ...], [weights/",
        first.join(", ")
    );
    assert!(shown.contains(&expected), "{shown}");
    assert_eq!(shown.matches(".parquet").count(), 10, "{shown}");
    let rest = "projection=[epoch, neuron], output_ordering=[epoch@0 ASC NULLS LAST], \
                output_partitioning=UnknownPartitioning(2), file_type=part";
    assert!(shown.contains(rest), "{shown}");
    let shown = displayable(plan.as_ref()).indent(true).to_string();
    assert_eq!(shown.matches(".parquet").count(), 60, "{shown}");
    let shown = displayable(plan.as_ref()).tree_render().to_string();
    assert!(shown.contains("files") && shown.contains("60"), "{shown}");
}

#[tokio::test]
async fn no_file_is_opened_past_a_limit() {
    let (_dir, session) = tiny_session();
    let plan = planned(&session, "SELECT neuron FROM weights LIMIT 1").await;
    let [scan] = &scans(&plan)[..] else {
        panic!("{plan:?}");
    };
    assert_eq!(scan.fetch(), Some(1));
    let rows = collect(Arc::clone(&plan), session.context().task_ctx()).await;
    assert_eq!(
        rows.unwrap()
            .iter()
            .map(|rows| rows.num_rows())
            .sum::<usize>(),
        1
    );
    // Of each partition one at most, of ten.
    assert!((1..=2).contains(&num_opened(scan)), "{}", num_opened(scan));
}

/// None of the files is there: who asks how many rows there are is told what was committed.
#[tokio::test]
async fn who_counts_rows_has_no_file_opened() {
    let (_dir, session) = session(|path| many::write(path, 20).unwrap());
    for (sql, counts) in [
        ("SELECT count(*) FROM weights", vec![400]),
        (
            "SELECT count(*) FROM weights WHERE layer = 'L_third' AND epoch > 4",
            vec![60],
        ),
        (
            "SELECT count(*) FROM weights GROUP BY layer ORDER BY layer",
            vec![160, 160, 80],
        ),
        ("SELECT count(DISTINCT epoch) FROM weights", vec![20]),
        (
            "SELECT sum(epoch) FROM weights WHERE layer = 'L_third'",
            vec![190 * 4],
        ),
        (
            "SELECT count(*) FROM (SELECT epoch FROM weights LIMIT 7)",
            vec![7],
        ),
    ] {
        let plan = planned(&session, sql).await;
        let rows = collect(Arc::clone(&plan), session.context().task_ctx()).await;
        let rows = rows.unwrap();
        let counted = rows.iter().flat_map(|rows| {
            let counts = rows.column(0).as_primitive::<Int64Type>();
            counts.values().to_vec()
        });
        assert_eq!(counted.collect::<Vec<_>>(), counts, "{sql}");
        assert_eq!(
            scans(&plan).iter().map(num_opened).sum::<usize>(),
            0,
            "{sql}"
        );
    }
}

/// None of the files is there: the first says so, and is the last that is tried.
#[tokio::test]
async fn nothing_comes_behind_a_file_that_fails() {
    let (_dir, session) = session(|path| many::write(path, 20).unwrap());
    let plan = planned(&session, "SELECT neuron FROM weights").await;
    let rows = plan.execute(0, session.context().task_ctx()).unwrap();
    let rows: Vec<_> = rows.collect().await;
    assert!(matches!(rows[..], [Err(_)]), "{rows:?}");
    let opened: usize = scans(&plan).iter().map(num_opened).sum();
    assert_eq!(opened, 1);
}

#[tokio::test]
async fn scans_of_one_table_share_what_they_decode() {
    let (_dir, session) = tiny_session();
    let sql = "SELECT a.neuron, b.bias FROM weights AS a JOIN weights AS b USING (step, neuron) \
               JOIN (SELECT epoch, count(*) AS n FROM weights GROUP BY epoch) AS c ON c.epoch = a.epoch";
    let plan = planned(&session, sql).await;
    let scans = scans(&plan);
    assert_eq!(scans.len(), 3);
    // Who only counts decodes nothing that others could want.
    let shared: Vec<&Arc<SharedParts>> = scans
        .iter()
        .filter_map(|scan| scan.shared.as_ref())
        .collect();
    let [a, b] = shared[..] else {
        panic!("{} share", shared.len());
    };
    assert!(Arc::ptr_eq(a, b));
    let rows = collect(Arc::clone(&plan), session.context().task_ctx()).await;
    assert_eq!(
        rows.unwrap()
            .iter()
            .map(|rows| rows.num_rows())
            .sum::<usize>(),
        20
    );
    assert!(a.is_taken(), "{a:?}");
}

#[tokio::test]
async fn scans_of_other_tables_share_nothing() {
    let (_dir, session) = tiny_session();
    for sql in [
        "SELECT a.neuron FROM weights AS a JOIN activations AS b USING (step, neuron)",
        "SELECT neuron FROM weights",
    ] {
        let plan = planned(&session, sql).await;
        assert!(
            scans(&plan).iter().all(|scan| scan.shared.is_none()),
            "{sql}"
        );
    }
}
