//! The rules that change plans, at several numbers of partitions, against plans without them in one
//! partition: queries drawn at random have the same answers either way.
//!
//! `STRATIGRAPH_QUERIES=2000` asks so many in place of a few, `STRATIGRAPH_SEED` draws others.

mod queries;
mod random;
mod run;

use std::env;
use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use sql::{QuerySession, Run, SessionOptions};
use tempfile::TempDir;
use trace::RunDir;

use queries::{Compared, Kind, Queries, Query, Source};

/// How many queries are asked unless more are wanted.
const NUM_QUERIES: usize = 40;

/// What they are drawn with unless others are wanted.
const SEED: u64 = 1;

/// Tables, functions and named queries, and the columns that tell their rows apart.
const SOURCES: [(&str, &[&str]); 14] = [
    ("weights", &["epoch", "step", "neuron"]),
    ("weights", &["epoch", "step", "neuron"]),
    ("epochs.weights", &["epoch", "neuron"]),
    ("activations", &["epoch", "step", "phase", "neuron"]),
    ("classifications", &["epoch", "step", "sample"]),
    ("metrics", &["epoch", "step", "phase", "name"]),
    ("layers", &["layer"]),
    ("neurons", &["neuron"]),
    ("successive_weights()", &["epoch", "step", "neuron"]),
    ("connections()", &["epoch", "step", "neuron", "position"]),
    ("padded", &["epoch", "neuron"]),
    ("epoch_average", &[]),
    ("by_neuron", &["neuron"]),
    ("range(0, 9)", &["value"]),
];

/// A value that is the same in both answers, or a number that is nearly.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Text(String),
    Number(f64),
}

impl Cell {
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
                    // A deviation of equal numbers may be a rounding error.
                    || (a.abs() < 1e-6 && b.abs() < 1e-6)
            }
            (a, b) => a == b,
        }
    }
}

type Row = Vec<Cell>;

fn number(column: &dyn Array, row: usize) -> Option<f64> {
    match column.data_type() {
        DataType::Float32 => Some(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Some(column.as_primitive::<Float64Type>().value(row)),
        _ => None,
    }
}

fn rows(batches: &[RecordBatch]) -> Result<Vec<Row>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let mut of_batch = vec![Row::new(); batch.num_rows()];
        for column in batch.columns() {
            let formatter = ArrayFormatter::try_new(column, &options)?;
            for (index, row) in of_batch.iter_mut().enumerate() {
                let number = number(column, index).filter(|_| column.is_valid(index));
                row.push(match number {
                    Some(number) => Cell::Number(number),
                    None => Cell::Text(formatter.value(index).to_string()),
                });
            }
        }
        rows.append(&mut of_batch);
    }
    Ok(rows)
}

/// Rows in an order in which those that are nearly the same meet.
fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_cached_key(|row| {
        let mut key = String::new();
        for cell in row {
            if let Cell::Text(text) = cell {
                let _ = write!(key, "{text}\u{1}");
            }
        }
        for cell in row {
            if let Cell::Number(number) = cell {
                // What is not quite 0 is not told from it; what is rounded either way rarely is.
                let number = if number.abs() < 1e-6 { 0.0 } else { *number };
                let _ = write!(key, "{number:.5e}\u{1}");
            }
        }
        key
    });
    rows
}

/// What is different between two answers, if anything is.
fn difference(compared: Compared, ours: Vec<Row>, plain: Vec<Row>) -> Option<String> {
    if ours.len() != plain.len() {
        return Some(format!(
            "{} rows, and {} without our rules",
            ours.len(),
            plain.len()
        ));
    }
    let [ours, plain] = match compared {
        Compared::NumRows => return None,
        Compared::Sequence => [ours, plain],
        Compared::Multiset => [sorted(ours), sorted(plain)],
    };
    let is_like =
        |a: &Row, b: &Row| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_like(b));
    let mut pairs = ours.iter().zip(&plain);
    let (a, b) = pairs.find(|(a, b)| !is_like(a, b))?;
    Some(format!("{a:?}, and without our rules {b:?}"))
}

/// The tables that queries are drawn over, as a session has them.
async fn sources(session: &QuerySession) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for (name, key) in SOURCES {
        let rows = session.sql(&format!("SELECT * FROM {name}")).await?;
        let mut columns = Vec::new();
        for field in rows.schema().fields() {
            let kind = match field.data_type() {
                DataType::Utf8 | DataType::Utf8View => Kind::Text,
                DataType::Boolean => Kind::Bool,
                DataType::List(_) => Kind::List,
                data_type if data_type.is_floating() => Kind::Float,
                data_type if data_type.is_integer() => Kind::Int,
                _ => continue,
            };
            columns.push((field.name().clone(), kind));
        }
        sources.push(Source { name, columns, key });
    }
    Ok(sources)
}

async fn answer(session: &QuerySession, sql: &str) -> Result<Vec<Row>> {
    let batches = session.sql(sql).await?.collect().await?;
    rows(&batches)
}

/// What the answers of two sessions differ in, and whether there were any.
async fn compare(
    ours: &QuerySession,
    plain: &QuerySession,
    query: &Query,
) -> (Option<String>, bool) {
    match (
        answer(ours, &query.sql).await,
        answer(plain, &query.sql).await,
    ) {
        (Ok(ours), Ok(plain)) => (difference(query.compared, ours, plain), true),
        (Err(_), Err(_)) => (None, false),
        (Err(error), Ok(_)) => (Some(format!("only with our rules: {error:#}")), false),
        (Ok(_), Err(error)) => (Some(format!("only without our rules: {error:#}")), false),
    }
}

fn wanted<T: std::str::FromStr>(name: &str, default: T) -> Result<T> {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .ok()
            .with_context(|| format!("{name}={text} is no number")),
        Err(_) => Ok(default),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_change_plans_change_no_answer() -> Result<()> {
    let num_queries = wanted("STRATIGRAPH_QUERIES", NUM_QUERIES)?;
    let seed = wanted("STRATIGRAPH_SEED", SEED)?;
    let dir = TempDir::new()?;
    let run = run::write(&dir.path().join("run"))?;
    answers_agree(&run, num_queries, seed).await?;
    let split = fixtures::split::write(&run, &dir.path().join("split"))?;
    let split = answers_agree(&split, num_queries, seed).await;
    split.context("of a run whose layers are split")
}

async fn answers_agree(run: &RunDir, num_queries: usize, seed: u64) -> Result<()> {
    let run = Run::open(run.path())?;
    let session = |partitions, plain_plans| {
        run.session(SessionOptions {
            target_partitions: Some(partitions),
            plain_plans,
            ..SessionOptions::default()
        })
    };
    // Without our rules everything is done in one partition, where nothing can be dealt out wrongly.
    let plain = session(1, true)?;
    let mut sessions = Vec::new();
    for partitions in [1, 2, 7] {
        sessions.push((partitions, session(partitions, false)?));
    }
    let sources = sources(&plain).await?;

    let mut num_answered = 0;
    let mut nodes = [
        ("LookupJoinExec", 0),
        ("SliceMergeExec", 0),
        ("SuccessiveExec", 0),
    ];
    let mut differences = Vec::new();
    let mut queries = Queries::new(&sources, seed);
    for index in 0..num_queries {
        let query = queries.draw();
        let (partitions, ours) = &sessions[index % sessions.len()];
        let (difference, is_answered) = compare(ours, &plain, &query).await;
        num_answered += usize::from(is_answered);
        if let Some(difference) = difference {
            differences.push(format!(
                "query {index} of seed {seed}, {partitions} partitions, {:?}:\n{}\n{difference}\n",
                query.compared, query.sql
            ));
        }
        if is_answered {
            let plan = physical_plan(ours, &query.sql).await?;
            for (node, count) in &mut nodes {
                *count += usize::from(plan.contains(*node));
            }
        }
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    // Most are answered, and our rules have something to do.
    ensure!(
        10 * num_answered >= 9 * num_queries,
        "{num_answered} answered"
    );
    ensure!(nodes.iter().all(|(_, count)| *count > 0), "{nodes:?}");
    Ok(())
}

async fn physical_plan(session: &QuerySession, sql: &str) -> Result<String> {
    let batches = session
        .sql(&format!("EXPLAIN {sql}"))
        .await?
        .collect()
        .await?;
    let batch = batches.last().context("no plan")?;
    let plans = batch.column(1).as_string::<i32>();
    Ok(plans.value(plans.len() - 1).to_owned())
}
