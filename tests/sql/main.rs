//! SQL over a run that is small enough for every answer to be worked out by hand.
//!
//! `tests/slt/*.slt` holds the questions, one file a topic and one a named query. Beside SQL, a
//! record may be `run NAME [KEY=VALUE ...]`, which asks a named query.

mod answers;
mod compare;
mod derived;
mod differential;
mod embed;
mod irregular;
mod planted;
mod pruning;
mod registry;
mod rows;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch};
use arrow::datatypes::Float32Type;
use fixtures::{HIDDEN, Writer, tiny};
use sql::{QuerySession, Run, SessionOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use trace::{CaptureId, Epoch, RunDir, Step, Table};

use answers::Asked;

/// A directory with the tiny run, and a session over it.
fn session() -> Result<(TempDir, QuerySession)> {
    session_with(SessionOptions::default())
}

fn session_with(options: SessionOptions) -> Result<(TempDir, QuerySession)> {
    session_of(tiny::write, options)
}

/// A directory with a run as it is written, and a session over it.
fn session_of(
    write: fn(&Path) -> Result<RunDir>,
    options: SessionOptions,
) -> Result<(TempDir, QuerySession)> {
    let dir = TempDir::new()?;
    let run = write(&dir.path().join("run"))?;
    let session = Run::open(run.path())?.session(options)?;
    Ok((dir, session))
}

/// How many parts of a query run at once: one, a few, and more than there are files of an epoch.
const PARTITIONS: [usize; 3] = [1, 2, 7];

/// Asks all records of a file, whatever the number of partitions.
fn check(file: &str) -> Result<()> {
    let write: fn(&Path) -> Result<RunDir> = match file {
        "ablation_effects.slt" | "derived.slt" => derived::write,
        "irregular.slt" => fixtures::irregular::write,
        "cartography.slt"
        | "class_selectivity.slt"
        | "correct_vs_incorrect.slt"
        | "dead_neurons.slt"
        | "layer_profile.slt" => fixtures::samples::write,
        "structure_onset.slt"
        | "class_changes.slt"
        | "rank_stability.slt"
        | "linear_probe.slt"
        | "meta_model.slt" => fixtures::planted::write,
        _ => tiny::write,
    };
    let dir = TempDir::new()?;
    let run = write(&dir.path().join("run"))?;
    ask(file, run.path())?;
    match UNSPLIT.contains(&file) {
        true => Ok(()),
        false => {
            let split = fixtures::split::write(&run, &dir.path().join("split"))?;
            ask(file, split.path()).context("of a run whose layers are split")
        }
    }
}

/// What is asked of files and commits themselves, and of derived tables.
const UNSPLIT: [&str; 3] = ["ablation_effects.slt", "derived.slt", "tables.slt"];

fn ask(file: &str, run: &Path) -> Result<()> {
    let run = Run::open(run)?;
    let runtime = Arc::new(Runtime::new()?);
    for partitions in PARTITIONS {
        let options = SessionOptions {
            target_partitions: Some(partitions),
            ..SessionOptions::default()
        };
        let session = Arc::new(run.session(options)?);
        let connect = || {
            let asked = Asked::new(Arc::clone(&session), Arc::clone(&runtime));
            std::future::ready(Ok(asked))
        };
        let mut runner = sqllogictest::Runner::new(connect);
        runner.with_column_validator(sqllogictest::strict_column_validator);
        runner.run_file(slt_dir().join(file)).map_err(|error| {
            anyhow::anyhow!("with {partitions} partitions: {}", error.display(false))
        })?;
    }
    Ok(())
}

fn slt_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt")
}

/// A test a file, and one that no file was forgotten.
macro_rules! slt {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() -> Result<()> {
                check(concat!(stringify!($name), ".slt"))
            }
        )*

        #[test]
        fn every_file_is_asked() -> Result<()> {
            let mut asked = vec![$(concat!(stringify!($name), ".slt")),*];
            asked.sort_unstable();
            let mut files = fs::read_dir(slt_dir())?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<Result<Vec<String>>>()?;
            files.sort_unstable();
            assert_eq!(files, asked);
            Ok(())
        }
    };
}

slt![
    ablation_effects,
    by_layer,
    by_neuron,
    by_neuron_activations,
    calls,
    captures,
    cartography,
    class_selectivity,
    class_changes,
    classification_series,
    coactivation,
    confusion,
    connections,
    correct_vs_incorrect,
    dead_neurons,
    derived,
    epoch_average,
    epoch_average_activations,
    epochs,
    irregular,
    joins,
    layer_profile,
    learning_curve,
    linear_probe,
    meta_model,
    mistakes,
    orders,
    overhead,
    padded,
    parameters,
    rank_stability,
    read_only,
    strongest_paths,
    structure_onset,
    structure_scores,
    tables,
    views,
    weight_drift,
];

#[test]
fn every_named_query_has_a_file() {
    for query in sql::NamedQuery::all() {
        let file = slt_dir().join(query.name()).with_extension("slt");
        assert!(file.is_file(), "{} is missing", file.display());
    }
}

#[tokio::test]
async fn named_queries_return_the_columns_that_they_declare() -> Result<()> {
    let (_dir, session) = session()?;
    for query in sql::NamedQuery::all() {
        let rows = session.named(query.name(), &[]).await?;
        let planned: Vec<(String, String)> = rows
            .schema()
            .fields()
            .iter()
            .map(|field| (field.name().clone(), sql::type_name(field.data_type())))
            .collect();
        let declared: Vec<(String, String)> = query
            .columns()
            .iter()
            .map(|column| (column.name.clone(), column.data_type.clone()))
            .collect();
        assert_eq!(planned, declared, "{}", query.name());
        // What runs has them, too.
        for batch in rows.collect().await? {
            let schema = batch.schema();
            let fields = schema.fields().iter();
            let types: Vec<String> = fields.map(|f| sql::type_name(f.data_type())).collect();
            let declared: Vec<&str> = declared.iter().map(|(_, t)| t.as_str()).collect();
            assert_eq!(types, declared, "{}", query.name());
        }
    }
    Ok(())
}

#[test]
fn words_for_epochs_need_an_epoch() -> Result<()> {
    let dir = TempDir::new()?;
    let run = tiny::write_empty(&dir.path().join("run"))?;
    let run = Run::open(run.path())?;
    assert!(run.is_empty());
    let session = run.session(SessionOptions::default())?;
    let runtime = Runtime::new()?;
    let last = [("epoch".to_owned(), "last".to_owned())];
    let error = runtime
        .block_on(session.named("confusion", &last))
        .map(|_| ());
    let error = error.map_err(|error| error.to_string());
    assert_eq!(
        error,
        Err("the run has no committed capture yet".to_owned())
    );
    // Without rows, tables are still there.
    let padded = runtime.block_on(session.named("padded", &[]))?;
    assert_eq!(runtime.block_on(padded.count())?, 0);
    Ok(())
}

#[tokio::test]
async fn what_is_committed_later_is_seen_after_a_reload() -> Result<()> {
    let dir = TempDir::new()?;
    let path = dir.path().join("run");
    let written = tiny::write_empty(&path)?;
    let before = Run::open(&path)?;
    let parts = vec![(Some(HIDDEN), tiny::hidden_weights(2))];
    Writer::of(written)?.capture(0, 2, parts)?;
    let after = before.reload()?;
    assert!(before.is_empty() && !after.is_empty());
    Ok(())
}

#[test]
fn what_was_salvaged_is_read_again_where_its_commits_have_changed() -> Result<()> {
    let dir = TempDir::new()?;
    let path = dir.path().join("run");
    let written = tiny::write(&path)?;
    let catalog = trace::Catalog::load(&written)?;
    let file = path.join(catalog.file(catalog.num_files() - 1).path);
    let run = Run::salvage(&path)?;
    assert!(run.damage().is_empty());
    fs::remove_file(file)?;
    let same = run.reload()?;
    assert!(same.damage().is_empty(), "{:?}", same.damage());
    let mut commits: Vec<_> = fs::read_dir(path.join("commits"))?.collect::<Result<_, _>>()?;
    commits.sort_by_key(fs::DirEntry::path);
    let first = commits[0].path();
    let mut bytes = fs::read(&first)?;
    bytes.push(b'x');
    fs::write(&first, bytes)?;
    let changed = same.reload()?;
    let damage = changed.damage();
    assert_eq!(damage.len(), 2, "{damage:?}");
    assert!(damage.iter().all(|line| line.starts_with("left out: ")));
    Ok(())
}

#[tokio::test]
async fn a_copy_without_commits_is_listed() -> Result<()> {
    let (dir, _) = session()?;
    let path = dir.path().join("run");
    fs::remove_dir_all(path.join("commits"))?;
    // Not a part file's name: left out.
    fs::write(path.join("weights/epoch=0/notes.parquet"), "no parquet")?;
    let run = Run::open(&path)?;
    assert!(!run.has_commits());
    let session = run.session(SessionOptions::default())?;
    let averages = session.named("by_neuron", &[]).await?.collect().await?;
    let rows = averages.iter().map(|batch| batch.num_rows()).sum::<usize>();
    assert_eq!(rows, 4);
    let epochs = session
        .sql("SELECT DISTINCT epoch, step FROM epochs.weights")
        .await?;
    assert_eq!(epochs.count().await?, 3);
    Ok(())
}

#[tokio::test]
async fn too_little_memory_is_told_apart_from_a_mistake() -> Result<()> {
    let options = SessionOptions {
        memory_bytes: Some(1),
        ..SessionOptions::default()
    };
    let (_dir, session) = session_with(options)?;
    let rows = session
        .sql("SELECT neuron, vec_mean(weights) FROM weights GROUP BY neuron")
        .await?;
    let error = rows
        .collect()
        .await
        .map(|_| ())
        .map_err(sql::QueryError::from);
    assert!(
        matches!(error, Err(sql::QueryError::Resources(_))),
        "{error:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_sort_that_is_larger_than_its_memory_spills() -> Result<()> {
    // 300,000 rows of 168 bytes are 48 MiB, and being sorted they are held twice.
    let sql = "EXPLAIN ANALYZE SELECT value, range(value, value + 20) AS list \
               FROM range(0, 300000) ORDER BY value % 1000";
    for (memory_mib, spills) in [(64, true), (1024, false)] {
        let spilled = TempDir::new()?;
        let options = SessionOptions {
            target_partitions: Some(2),
            memory_bytes: Some(memory_mib << 20),
            spill_dir: Some(spilled.path().to_owned()),
            ..SessionOptions::default()
        };
        let (_dir, session) = session_with(options)?;
        let batches = session.sql(sql).await?.collect().await?;
        let plan = batches[0].column(1).as_string::<i32>().value(0);
        let (_, sort) = plan.split_once("SortExec:").context("no sort")?;
        let (_, count) = sort.split_once("spill_count=").context("no spill count")?;
        assert_eq!(!count.starts_with('0'), spills, "{memory_mib} MiB: {plan}");
    }
    Ok(())
}

/// A later minor version of the format may have more columns.
#[tokio::test]
async fn a_column_that_this_version_does_not_know_is_passed_over() -> Result<()> {
    let dir = TempDir::new()?;
    let run = tiny::write(&dir.path().join("run"))?;
    let mut writer = Writer::of(run.clone())?;
    let known = tiny::hidden_weights(8).build()?;
    let mut columns: Vec<(String, ArrayRef, bool)> = known
        .schema()
        .fields()
        .iter()
        .zip(known.columns())
        .map(|(field, column)| {
            (
                field.name().clone(),
                Arc::clone(column),
                field.is_nullable(),
            )
        })
        .collect();
    let unknown: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    columns.insert(3, ("unknown".to_owned(), unknown, true));
    let rows = RecordBatch::try_from_iter_with_nullable(columns)?;
    let part = writer.stage(Table::Weights, 3, 8, Some(HIDDEN), &rows, None)?;
    let capture = CaptureId {
        epoch: Epoch(3),
        step: Step(8),
    };
    writer.publish(vec![capture], vec![part])?;

    let session = Run::open(run.path())?.session(SessionOptions::default())?;
    let rows = session
        .sql("SELECT * FROM weights WHERE epoch = 3 ORDER BY neuron")
        .await?;
    let batches = rows.collect().await?;
    assert_eq!(batches.len(), 1);
    let weights = batches[0].column_by_name("weights").context("weights")?;
    let expected: &[f32] = &[8.0, 16.0, 24.0];
    let row = weights.as_list::<i32>().value(0);
    assert_eq!(row.as_primitive::<Float32Type>().values(), expected);
    assert!(batches[0].column_by_name("unknown").is_none());
    Ok(())
}
