use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use fixtures::{many, tiny};
use tempfile::TempDir;
use trace::{CommitRecord, FileEntry, RunDir};

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

/// Writes the records of a run anew, of which one says other things of a file.
fn claim(run: &RunDir, path: &str, change: impl Fn(&mut FileEntry)) {
    let records = fs::read_dir(run.commits_dir()).unwrap();
    let mut records: Vec<_> = records.map(|entry| entry.unwrap().path()).collect();
    records.sort();
    let (mut previous, mut num_changed) = (None, 0);
    for file in records {
        let mut record = CommitRecord::decode(&fs::read(&file).unwrap()).unwrap();
        for entry in &mut record.files {
            if entry.path.as_str() == path {
                change(entry);
                num_changed += 1;
            }
        }
        record.previous_crc32c = record.previous_crc32c.and(previous);
        let bytes = record.encode();
        previous = Some(CommitRecord::decode_with_checksum(&bytes).unwrap().1);
        fs::write(&file, bytes).unwrap();
    }
    assert_eq!(num_changed, 1);
}

/// A commit may be anybody's: rows that a file cannot have in its bytes are not made.
#[tokio::test]
async fn rows_that_a_file_has_no_room_for_are_not_counted() {
    let path = "weights/epoch=0/layer=L_hidden/step-1-r0-g0.parquet";
    let most = i32::MAX as u64;
    let truth = {
        let (_dir, session) = tiny_session();
        counted(&session).await.0.unwrap()
    };
    type Lie = fn(&mut FileEntry, u64);
    let lies: [(Lie, Option<&str>); 3] = [
        // Of rows alone: the file is opened.
        (|entry, most| entry.rows = most, None),
        // Of its size as well.
        (
            |entry, most| (entry.rows, entry.bytes) = (most, most),
            Some(path),
        ),
        // As few as are made in no time are believed; `sink verify` would tell.
        (|entry, _| entry.rows = 1000, None),
    ];
    for (nth, (lie, refused)) in lies.into_iter().enumerate() {
        let (_dir, session) = session(|dir| {
            let run = tiny::write(dir).unwrap();
            claim(&run, path, |entry| lie(entry, most));
            RunDir::open(dir).unwrap()
        });
        let start = Instant::now();
        let (answer, num_opened) = counted(&session).await;
        assert!(start.elapsed() < Duration::from_secs(5), "lie {nth}");
        match (answer, refused) {
            (Err(error), Some(path)) => {
                assert!(error.contains(path), "{error}");
                assert_eq!(num_opened, 1);
            }
            (Ok(rows), None) if nth == 0 => assert_eq!((rows, num_opened), (truth, 1)),
            (Ok(rows), None) => assert_eq!((rows > truth, num_opened), (true, 0)),
            (answer, _) => panic!("lie {nth}: {answer:?}"),
        }
    }
}

/// How many weights there are, counted one epoch at a time so that statistics do not answer; and how many files were
/// opened for that.
async fn counted(session: &QuerySession) -> (Result<i64, String>, usize) {
    let sql = "SELECT count(*) FROM weights GROUP BY epoch";
    let plan = planned(session, sql).await;
    let rows = collect(Arc::clone(&plan), session.context().task_ctx()).await;
    let counted = rows.map_err(|error| error.to_string()).map(|rows| {
        let counts = rows
            .iter()
            .flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec());
        counts.sum()
    });
    (counted, scans(&plan).iter().map(num_opened).sum())
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
