mod doors;

use arrow::array::{Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::collect;
use datafusion::prelude::CsvReadOptions;
use object_store::ObjectStoreExt;

use super::*;
use crate::tables::functions::SQL_FUNCTIONS;
use fixtures::tiny;

/// What a query counts, in a session that is not ours.
async fn counted(context: &SessionContext, sql: &str) -> i64 {
    let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
    let counts = rows[0].column(0).as_any().downcast_ref::<Int64Array>();
    counts.unwrap().value(0)
}

#[tokio::test]
async fn a_session_of_somebody_elses_knows_a_run_that_is_registered() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let context = SessionContext::new();
    // Tables and options of its own do not change what a named query says.
    for sql in [
        "CREATE TABLE weights AS SELECT 1 AS one",
        "SET datafusion.sql_parser.enable_ident_normalization = false",
        "SET datafusion.sql_parser.parse_float_as_decimal = true",
    ] {
        context.sql(sql).await.unwrap();
    }
    Run::open(&dir.path().join("run"))
        .unwrap()
        .register(&context, "run")
        .unwrap();
    for (sql, count) in [
        ("SELECT count(*) FROM run.public.weights", 20),
        ("SELECT count(*) FROM run.epochs.weights", 12),
        ("SELECT count(*) FROM run.public.padded", 12),
        (
            "SELECT count(*) FROM padded(layer => 'last', captures => 'all')",
            8,
        ),
        ("SELECT count(*) FROM run.public.padded(1)", 4),
        (
            "SELECT count(*) FROM structure_scores(class => 'yes', permutations => 0)",
            2,
        ),
        (
            "SELECT count(*) FROM structure_onset(percent => 0.5, permutations => 9)",
            0,
        ),
        ("SELECT count(*) FROM connections()", 50),
        ("SELECT count(*) FROM connections(epoch => 'first')", 10),
        ("SELECT count(*) FROM weights", 1),
    ] {
        assert_eq!(counted(&context, sql).await, count, "{sql}");
    }
    let error = context
        .sql("SELECT * FROM padded(layer => 'L_hiden')")
        .await;
    let error = QueryError::from(error.map(|_| ()).unwrap_err()).to_string();
    assert!(error.contains("did you mean L_hidden?"), "{error}");
}

#[tokio::test]
async fn a_run_is_known_by_the_name_that_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let context = SessionContext::new();
    for (name, directory) in [("first", "a"), ("second", "b")] {
        let path = dir.path().join(directory);
        tiny::write(&path).unwrap();
        let run = Run::open(&path).unwrap();
        run.register(&context, name).unwrap();
    }
    for (sql, count) in [
        (
            "SELECT count(*) FROM first.public.weights AS a \
             JOIN second.epochs.weights AS b USING (step, neuron)",
            12,
        ),
        ("SELECT count(*) FROM first.public.padded", 12),
        (
            "SELECT count(*) FROM first.public.padded(layer => 'last')",
            6,
        ),
        (
            "SELECT count(*) FROM second.public.padded(layer => 'last')",
            6,
        ),
        ("SELECT count(*) FROM padded(layer => 'last')", 6),
    ] {
        assert_eq!(counted(&context, sql).await, count, "{sql}");
    }
    assert!(
        context
            .sql("SELECT * FROM run.public.weights")
            .await
            .is_err()
    );
}

/// The plans of a registered run are as fast as our own.
#[tokio::test]
async fn rules_come_with_a_run_that_is_registered() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let context = SessionContext::new();
    let run = Run::open(&dir.path().join("run")).unwrap();
    run.register(&context, "run").unwrap();
    let sql = "SELECT epoch, step, neuron, weights FROM run.public.weights \
               ORDER BY epoch, step, neuron";
    let plan = context.sql(sql).await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let shown = datafusion::physical_plan::displayable(plan.as_ref());
    let shown = shown.indent(false).to_string();
    assert!(shown.contains("SliceMergeExec"), "{shown}");
}

#[tokio::test]
async fn a_catalogue_needs_nothing_of_the_session_that_it_is_put_into() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let context = SessionContext::new();
    context.register_catalog("network", run.catalog());
    for (sql, count) in [
        ("SELECT count(*) FROM network.public.weights", 20),
        ("SELECT count(*) FROM network.epochs.weights", 12),
        ("SELECT count(*) FROM network.public.layers", 2),
        ("SELECT count(*) FROM network.public.padded", 12),
        // 12 rows and 4 averages, by functions that a session does not know by itself.
        ("SELECT count(*) FROM network.public.epoch_average", 16),
    ] {
        assert_eq!(counted(&context, sql).await, count, "{sql}");
    }
    let mut schemas = run.catalog().schema_names();
    schemas.sort_unstable();
    assert_eq!(schemas, ["captures", "epochs", "epochs_initial", "public"]);
}

/// It needs no store that only a session of ours would have.
#[tokio::test]
async fn a_data_frame_of_ours_runs_in_a_session_of_somebody_elses() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    let sql = "SELECT w.step, w.neuron, w.weights, p.weights \
               FROM weights AS w JOIN padded AS p USING (epoch, neuron) ORDER BY 1, 2";
    let in_one = |rows: Vec<RecordBatch>| concat_batches(&rows[0].schema(), &rows).unwrap();
    let expected = session.sql(sql).await.unwrap().collect().await.unwrap();
    let expected = in_one(expected);
    // Every capture of an epoch beside its last one.
    assert_eq!(expected.num_rows(), 16);
    let theirs = SessionContext::new();
    let frame = session.sql(sql).await.unwrap();
    let plan = frame.clone().create_physical_plan().await.unwrap();
    let rows = collect(plan, theirs.task_ctx()).await.unwrap();
    assert_eq!(in_one(rows), expected);
    let (_, plan) = frame.into_parts();
    let frame = theirs.execute_logical_plan(plan).await.unwrap();
    assert_eq!(in_one(frame.collect().await.unwrap()), expected);
}

#[tokio::test]
async fn a_run_is_joined_with_a_csv_file() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let csv = dir.path().join("notes.csv");
    std::fs::write(&csv, "epoch,note\n0,warm\n2,done\n7,never\n").unwrap();
    let context = SessionContext::new();
    let run = Run::open(&dir.path().join("run")).unwrap();
    run.register(&context, "run").unwrap();
    let path = csv.to_str().unwrap();
    let options = CsvReadOptions::new();
    context.register_csv("notes", path, options).await.unwrap();
    let sql = "SELECT count(*) FROM run.epochs.weights JOIN notes USING (epoch)";
    assert_eq!(counted(&context, sql).await, 8);
}

/// A session of ours can name files of its run, if any.
#[tokio::test]
async fn no_file_but_those_of_the_run_can_be_named() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let csv = dir.path().join("notes.csv");
    std::fs::write(&csv, "epoch,note\n0,warm\n").unwrap();
    let csv = csv.to_str().unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    for sql in [
        format!("SELECT * FROM '{csv}'"),
        format!("CREATE EXTERNAL TABLE notes STORED AS CSV LOCATION '{csv}'"),
        format!("COPY (SELECT 1) TO '{csv}'"),
    ] {
        assert!(session.sql(&sql).await.is_err(), "{sql}");
    }
    // Nor is there a store that would read it.
    let local = ObjectStoreUrl::local_filesystem();
    let store = session
        .context()
        .runtime_env()
        .object_store(&local)
        .unwrap();
    let named = |path: &str| object_store::path::Path::from_absolute_path(path).unwrap();
    assert!(store.head(&named(csv)).await.is_err());
    assert!(
        store
            .head(&object_store::path::Path::from("run.json"))
            .await
            .is_ok()
    );
    assert!(object_store::path::Path::parse("../notes.csv").is_err());
}

/// Its answers are those of the run that was opened, or none.
#[test]
fn another_run_in_the_place_of_one_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    for commits in [true, false] {
        tiny::write(&path).unwrap();
        let run = Run::open(&path).unwrap();
        assert!(run.reload().is_ok());
        std::fs::remove_dir_all(&path).unwrap();
        // Without commits, nothing but run.json says which run it is.
        match commits {
            true => tiny::write(&path).unwrap(),
            false => tiny::write_empty(&path).unwrap(),
        };
        let error = run.reload().map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("another run is in"), "{error}");
        assert!(error.contains("open it anew"), "{error}");
        std::fs::remove_dir_all(&path).unwrap();
    }
}

/// Whether the session is ours or somebody else's.
#[test]
fn a_run_whose_directory_is_gone_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    tiny::write(&path).unwrap();
    let run = Run::open(&path).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    assert!(run.session(SessionOptions::default()).is_err());
    assert!(run.register(&SessionContext::new(), "run").is_err());
}

#[tokio::test]
async fn every_named_query_is_called_by_the_names_of_its_parameters() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    for query in NamedQuery::all() {
        let arguments = query.parameters().iter().map(|parameter| {
            let value = match parameter.default.parse::<f64>() {
                Ok(_) => parameter.default.clone(),
                Err(_) if parameter.default == "NULL" => "NULL".to_owned(),
                Err(_) => format!("'{}'", parameter.default),
            };
            (parameter.name.as_str(), value)
        });
        let arguments: Vec<(&str, String)> = arguments.collect();
        let by_name = arguments
            .iter()
            .map(|(name, value)| format!("{name} => {value}"));
        let by_name = by_name.collect::<Vec<_>>().join(", ");
        let by_place = arguments.iter().map(|(_, value)| value.clone());
        let by_place = by_place.collect::<Vec<_>>().join(", ");
        let name = query.name();
        let expected = session
            .named(name, &[])
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        let expected: usize = expected.iter().map(|batch| batch.num_rows()).sum();
        for arguments in [by_name, by_place] {
            // `connections()` has a name of its own, and takes nothing by place.
            if SQL_FUNCTIONS.contains(&name) && !arguments.contains("=>") {
                continue;
            }
            let sql = format!("SELECT count(*) FROM {name}({arguments})");
            assert_eq!(
                counted(&session.context, &sql).await,
                expected as i64,
                "{sql}"
            );
        }
    }
}

/// What another session says to a query, as text.
async fn told(context: &SessionContext, sql: &str) -> String {
    let rows = context.sql(sql).await.unwrap();
    rows.to_string().await.unwrap()
}

#[tokio::test]
async fn another_session_is_served_what_it_asks_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    let threads = tokio::runtime::Handle::current();
    let context = SessionContext::new();
    context.register_catalog("mine", session.served_catalog(&threads));
    let lengths = "SELECT epoch, step, layer, vec_norm(weights) AS length FROM weights";
    let lengths = session.sql(lengths).await.unwrap();
    let table = session.served_table(&lengths, &threads);
    context.register_table("lengths", table).unwrap();
    for (sql, count) in [
        ("SELECT count(*) FROM mine.public.weights", 20),
        ("SELECT count(*) FROM mine.epochs.weights", 12),
        ("SELECT count(*) FROM mine.public.padded", 12),
        ("SELECT count(*) FROM mine.public.layers", 2),
        ("SELECT count(*) FROM lengths WHERE epoch = 0", 8),
        ("SELECT count(*) FROM (SELECT * FROM lengths LIMIT 3)", 3),
        (
            "SELECT count(*) FROM lengths a JOIN lengths b ON a.step = b.step",
            80,
        ),
    ] {
        assert_eq!(counted(&context, sql).await, count, "{sql}");
    }
    let asked = "epoch, neuron, weight_l2 FROM {}weights WHERE step > 1 AND neuron < 3 \
                 ORDER BY step, neuron";
    let ours = asked.replace("{}", "");
    let ours = session.sql(&format!("SELECT {ours}")).await.unwrap();
    let theirs = asked.replace("{}", "mine.public.");
    let theirs = told(&context, &format!("SELECT {theirs}")).await;
    assert_eq!(theirs, ours.to_string().await.unwrap());
    // What the run does not have is not there.
    assert!(
        context
            .sql("SELECT * FROM mine.public.weighs")
            .await
            .is_err()
    );
    assert!(
        context
            .sql("SELECT * FROM mine.other.weights")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn what_is_served_stays_within_its_own_session() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let options = SessionOptions {
        memory_bytes: Some(1),
        ..SessionOptions::default()
    };
    let session = run.session(options).unwrap();
    let threads = tokio::runtime::Handle::current();
    let sorted = session.sql("SELECT * FROM weights ORDER BY weight_l2");
    let sorted = sorted.await.unwrap();
    let context = SessionContext::new();
    let table = session.served_table(&sorted, &threads);
    context.register_table("sorted", table).unwrap();
    let plan = told(
        &context,
        "EXPLAIN SELECT neuron FROM sorted WHERE epoch = 1",
    )
    .await;
    assert!(plan.contains("ServedExec"), "{plan}");
    assert!(!plan.contains("FilterExec"), "{plan}");
    let rows = context.sql("SELECT * FROM sorted").await.unwrap();
    let error = rows.collect().await.unwrap_err();
    let error = error.find_root().to_string();
    assert!(error.contains("Resources exhausted"), "{error}");
}
