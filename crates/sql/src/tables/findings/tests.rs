//! What is not asked for is not done: work is counted, never timed.

#[path = "../../../tests/memory/wide.rs"]
mod wide;

use std::collections::BTreeMap;

use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, lit};
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::scalar::ScalarValue;
use tempfile::TempDir;

use crate::tables::call::{RunFunction, SqlFunction};
use crate::tables::{coactivation, linear_probe, meta_model, strongest_paths, structure_scores};
use crate::{Run, SessionOptions};

const WIDTH: wide::Width = wide::Width {
    inputs: 3,
    neurons: 6,
    samples: 60,
    classes: 3,
    epochs: 2,
};

/// Neurons, by classes, at both epochs.
const NUM_SCORED: usize = 2 * 6;

/// What a plan says that it did, by name.
type Done = BTreeMap<String, usize>;

fn add_up(plan: &dyn ExecutionPlan, done: &mut Done) {
    for metric in plan.metrics().iter().flat_map(|metrics| metrics.iter()) {
        // Other metrics are times and the like.
        if let MetricValue::Count { name, count } = metric.value() {
            *done.entry(name.to_string()).or_default() += count.value();
        }
    }
    for child in plan.children() {
        add_up(child.as_ref(), done);
    }
}

/// Asks a table function for some columns, or how many rows there are where there are none; returns
/// how many rows came, and what was done for them.
async fn ask(
    function: &'static RunFunction,
    arguments: &[Expr],
    columns: &[&str],
) -> (usize, Done) {
    let dir = TempDir::new().unwrap();
    let run = wide::write(&dir.path().join("run"), WIDTH).unwrap();
    let run = Run::open(run.path()).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    let context = session.context();
    let state = context.state();
    let arguments = TableFunctionArgs::new(arguments, &state);
    let snapshot = session.shared_snapshot();
    let function = SqlFunction { function, snapshot };
    let table = function.call_with_args(arguments).unwrap();
    let rows = context.read_table(table).unwrap();
    let rows = match columns {
        [] => rows.aggregate(vec![], vec![count(lit(1))]).unwrap(),
        columns => rows.select_columns(columns).unwrap(),
    };
    let task = rows.task_ctx().into();
    let plan = rows.create_physical_plan().await.unwrap();
    let batches = collect(plan.clone(), task).await.unwrap();
    let num_rows = match columns {
        [] => {
            let count = ScalarValue::try_from_array(batches[0].column(0), 0).unwrap();
            let ScalarValue::Int64(Some(count)) = count else {
                panic!("{count} is no count");
            };
            count as usize
        }
        _ => batches.iter().map(|batch| batch.num_rows()).sum(),
    };
    let mut done = Done::new();
    add_up(plan.as_ref(), &mut done);
    (num_rows, done)
}

fn of(done: &Done, work: &str) -> usize {
    done.get(work).copied().unwrap_or(0)
}

fn null() -> Expr {
    lit(ScalarValue::Null)
}

#[tokio::test]
async fn samples_are_permuted_for_a_p_value_and_drawn_for_a_stability() {
    // The most that can be asked for: more than anybody waits for, if they were made.
    let many = [
        null(),
        null(),
        lit(1_000_000),
        null(),
        null(),
        lit(100_000),
        lit(2),
    ];
    let few = [null(), null(), lit(50), null(), null(), lit(20), lit(2)];
    /// What is asked and for which columns; how many scores, permutations and draws that takes.
    type Case<'a> = (&'a [Expr], &'a [&'a str], usize, usize, usize);
    let cases: [Case; 8] = [
        (&many, &[], 0, 0, 0),
        (&many, &["epoch", "layer", "neuron", "class"], 0, 0, 0),
        (&many, &["neuron", "score"], NUM_SCORED, 0, 0),
        (&many, &["rank", "correlation"], NUM_SCORED, 0, 0),
        (&many, &["mutual_information", "auc"], NUM_SCORED, 0, 0),
        (&few, &["p_value"], NUM_SCORED, 2 * 50, 0),
        (&few, &["stability"], NUM_SCORED, 0, 2 * 20),
        (&few, &["p_value", "stability"], NUM_SCORED, 2 * 50, 2 * 20),
    ];
    for (arguments, columns, scored, permutations, draws) in cases {
        let scores = &structure_scores::FUNCTION;
        let (num_rows, done) = ask(scores, arguments, columns).await;
        assert_eq!(num_rows, 2 * 6 * 3, "{columns:?}");
        assert_eq!(of(&done, "neurons_scored"), scored, "{columns:?}");
        assert_eq!(of(&done, "permutations"), permutations, "{columns:?}");
        assert_eq!(of(&done, "draws"), draws, "{columns:?}");
    }
}

#[tokio::test]
async fn a_probe_is_fitted_for_what_it_says() {
    let cases: [(&[&str], usize); 5] = [
        (&[], 0),
        (&["layer_index", "layer", "neurons", "class"], 0),
        (&["majority"], 0),
        // Five folds of each class.
        (&["auc"], 2 * 3 * 5),
        (&["accuracy"], 2 * 3 * 5),
    ];
    for (columns, probes) in cases {
        let probe = &linear_probe::FUNCTION;
        let (num_rows, done) = ask(probe, &[], columns).await;
        assert_eq!(num_rows, 2 * 3, "{columns:?}");
        assert_eq!(of(&done, "probes"), probes, "{columns:?}");
    }
}

#[tokio::test]
async fn a_model_of_mistakes_is_fitted_for_what_it_says() {
    // Two epochs of five folds.
    let folds = 2 * 5;
    let cases: [(&[&str], usize, usize, usize); 8] = [
        (&[], 0, 0, 0),
        (&["layer", "neuron", "samples", "mistakes"], 0, 0, 0),
        (&["confidence_auc"], 0, 0, 0),
        (&["coefficient"], 0, 0, folds),
        (&["linear_auc_std"], 0, 0, folds),
        (&["forest_auc"], 4 * folds, 0, 0),
        (&["importance"], 4 * folds, 6 * folds, 0),
        (
            &["importance_std", "linear_auc"],
            4 * folds,
            6 * folds,
            folds,
        ),
    ];
    for (columns, trees, shuffles, regressions) in cases {
        let model = &meta_model::FUNCTION;
        let (num_rows, done) = ask(model, &[null(), lit(4)], columns).await;
        assert_eq!(num_rows, 2 * 6, "{columns:?}");
        assert_eq!(of(&done, "trees"), trees, "{columns:?}");
        assert_eq!(of(&done, "shuffles"), shuffles, "{columns:?}");
        assert_eq!(of(&done, "regressions"), regressions, "{columns:?}");
    }
}

#[tokio::test]
async fn neurons_are_correlated_for_which_pairs_there_are() {
    let cases: [(i64, &[&str], usize, usize); 5] = [
        (4, &[], 2 * 4, 0),
        // Six neurons are 15 pairs.
        (100, &["epoch", "step", "rank"], 2 * 15, 0),
        (4, &["neuron_a"], 2 * 4, 2 * 15),
        (4, &["layer_b", "rank"], 2 * 4, 2 * 15),
        (100, &["correlation"], 2 * 15, 2 * 15),
    ];
    for (top, columns, num_rows, correlated) in cases {
        let pairs = &coactivation::FUNCTION;
        let (found, done) = ask(pairs, &[lit(top)], columns).await;
        assert_eq!(found, num_rows, "{columns:?}");
        assert_eq!(of(&done, "pairs_correlated"), correlated, "{columns:?}");
    }
}

#[tokio::test]
async fn chains_are_walked_for_what_they_lead_through() {
    let cases: [(&[&str], usize); 4] = [
        (&[], 0),
        (&["epoch", "rank", "class"], 0),
        (&["strength"], 2 * 5),
        (&["path"], 2 * 5),
    ];
    for (columns, walked) in cases {
        let paths = &strongest_paths::FUNCTION;
        let (num_rows, done) = ask(paths, &[lit(5)], columns).await;
        assert_eq!(num_rows, 2 * 5, "{columns:?}");
        assert_eq!(of(&done, "chains_walked"), walked, "{columns:?}");
    }
}

#[tokio::test]
async fn weights_are_kept_for_the_captures_after_if_they_are_asked_for() {
    let dir = TempDir::new().unwrap();
    let run = wide::write(&dir.path().join("run"), WIDTH).unwrap();
    let session = Run::open(run.path()).unwrap();
    let session = session.session(SessionOptions::default()).unwrap();
    for (columns, is_kept) in [
        ("count(*)", false),
        ("max(neuron)", false),
        ("count(weights)", false),
        ("count(previous_weights)", true),
        ("count(first_weights)", true),
    ] {
        let sql = format!("SELECT {columns} FROM successive_weights() WHERE epoch = 1");
        let plan = session.sql(&sql).await.unwrap();
        let task = plan.task_ctx().into();
        let plan = plan.create_physical_plan().await.unwrap();
        let told = displayable(plan.as_ref()).indent(false).to_string();
        assert_eq!(
            told.contains("SuccessiveExec"),
            is_kept,
            "{columns}: {told}"
        );
        // Six neurons and three outputs, or all that have weights before.
        let rows = collect(plan, task).await.unwrap();
        let answer = ScalarValue::try_from_array(rows[0].column(0), 0).unwrap();
        let expected = if columns.starts_with("max") { "8" } else { "9" };
        assert_eq!(answer.to_string(), expected, "{columns}");
    }
}
