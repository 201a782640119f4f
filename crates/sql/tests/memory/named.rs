//! Every named query, with as much memory as it likes and with little.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt as _;
use sql::{NamedQuery, QueryError, QuerySession};
use tempfile::TempDir;

use crate::wide::{self, Width};
use crate::{BESIDE, HEAP};

/// 24 epochs of 48 neurons with 400 weights each, 1.8 MiB, and of what they make of 200 samples, 0.9 MiB.
const WIDTH: Width = Width {
    inputs: 400,
    neurons: 48,
    samples: 200,
    classes: 4,
    epochs: 24,
};

/// What some can do with, and others cannot.
const LIMIT: usize = 1 << 20;

/// Rows that come in the order of files are made before they are asked for, up to 4 MiB of each of two partitions.
const AHEAD: usize = 8 << 20;

/// With `STRATIGRAPH_LONG`: from what most can do with to what few can.
const LIMITS: [usize; 3] = [64 << 20, LIMIT, 64 << 10];

/// Less work than by default, of the same kind.
const LESS: [(&str, &str); 4] = [
    ("permutations", "19"),
    ("bootstraps", "9"),
    ("trees", "9"),
    ("top", "1000"),
];

/// What an answer says, in so many rows.
#[derive(Debug, PartialEq)]
struct Answer {
    num_rows: usize,
    hash: u64,
}

/// What a query says, and how often it wrote what it held to the disk for that.
async fn answer(session: &QuerySession, query: &NamedQuery) -> Result<(Answer, usize), QueryError> {
    let known = |name: &str| {
        query
            .parameters()
            .iter()
            .any(|parameter| parameter.name == name)
    };
    let arguments = LESS.iter().filter(|(name, _)| known(name));
    let arguments: Vec<(String, String)> = arguments
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let query = session.named(query.name(), &arguments).await?;
    let context = Arc::new(query.task_ctx());
    let plan = query.create_physical_plan().await?;
    let mut rows = execute_stream(Arc::clone(&plan), context)?;
    let mut num_rows = 0;
    let mut hasher = DefaultHasher::new();
    // None is kept: what is held is the query's.
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        num_rows += batch.num_rows();
        hash(&batch, &mut hasher);
    }
    let answer = Answer {
        num_rows,
        hash: hasher.finish(),
    };
    Ok((answer, num_spills(&*plan)))
}

/// How often the nodes of a plan wrote what they held to the disk.
fn num_spills(plan: &dyn ExecutionPlan) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.spill_count());
    let below = plan.children().into_iter().map(|plan| num_spills(&**plan));
    own.unwrap_or(0) + below.sum::<usize>()
}

/// Rows as they are read, however they come in batches.
fn hash(batch: &RecordBatch, hasher: &mut DefaultHasher) {
    let options = FormatOptions::default();
    let columns = batch.columns().iter();
    let columns = columns.map(|column| ArrayFormatter::try_new(column, &options).unwrap());
    let columns: Vec<ArrayFormatter<'_>> = columns.collect();
    for row in 0..batch.num_rows() {
        for column in &columns {
            column.value(row).to_string().hash(hasher);
        }
    }
}

/// Whether a text names a number of bytes, as `64.0 KB`.
fn names_a_size(text: &str) -> bool {
    let units = [" B", " KB", " MB", " GB", " bytes", "MiB", "KiB"];
    let behind = |unit: &str| {
        let digit = |(at, _)| text[..at].ends_with(|before: char| before.is_ascii_digit());
        text.match_indices(unit).any(digit)
    };
    units.into_iter().any(behind)
}

/// With less than it needs a query spills, and answers the same, or says what to do. What it holds beside `--memory`
/// is a matter of megabytes, whatever it is asked: of a run as small as this that says little more than that no
/// query holds many times what it reads.
pub async fn every_named_query_answers_or_says_what_to_do() {
    let dir = TempDir::new().unwrap();
    wide::write(&dir.path().join("run"), WIDTH).unwrap();
    let limits: &[usize] = match std::env::var_os("STRATIGRAPH_LONG") {
        Some(_) => &LIMITS,
        None => &[LIMIT],
    };
    for &limit in limits {
        let (mut num_answered, mut num_refused) = (0, 0);
        for query in NamedQuery::all() {
            match answer_within(&dir, query, limit).await {
                Some(_) => num_answered += 1,
                None => num_refused += 1,
            }
        }
        assert!(num_answered > 0, "{limit}");
        assert!(num_refused > 0 || limit > LIMIT, "{limit}");
    }
}

/// Averages of 512 neurons' activations, which each of two partitions has of most of them: 2 MiB each, and as much
/// for what they are made of.
const SPILLED: Width = Width {
    inputs: 8,
    neurons: 512,
    samples: 1000,
    classes: 4,
    epochs: 4,
};

/// 10 MiB of it are kept for the sort at the end.
const SPILLED_LIMIT: usize = 22 << 20;

/// What a query holds goes to the disk, and the answer is the same.
pub async fn a_named_query_spills() {
    let dir = TempDir::new().unwrap();
    wide::write(&dir.path().join("run"), SPILLED).unwrap();
    let mut queries = NamedQuery::all().iter();
    let query = queries.find(|query| query.name() == "by_neuron_activations");
    let num_spills = answer_within(&dir, query.unwrap(), SPILLED_LIMIT).await;
    assert!(num_spills > Some(0), "{num_spills:?}");
}

/// How often a query spilled for an answer with so much memory, which is then that of one with more; none if it has
/// no answer.
async fn answer_within(dir: &TempDir, query: &NamedQuery, limit: usize) -> Option<usize> {
    let name = query.name();
    let session = crate::session(dir, Some(limit));
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let found = answer(&session, query).await;
    let held = HEAP.peak_usage().saturating_sub(before);
    assert!(
        held < limit + BESIDE + AHEAD,
        "{name}: {held} bytes held with {limit} allowed"
    );
    match found {
        Ok((found, num_spills)) => {
            let (expected, _) = answer(&crate::session(dir, None), query).await.unwrap();
            assert_eq!(found, expected, "{name} with {limit} bytes");
            Some(num_spills)
        }
        Err(error @ QueryError::Resources(_)) => {
            let error = error.to_string();
            assert!(error.contains("`--memory`"), "{name}: {error}");
            assert!(names_a_size(&error), "{name}: {error}");
            None
        }
        Err(error) => panic!("{name} with {limit} bytes: {error}"),
    }
}
