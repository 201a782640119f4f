//! Which files a query opens.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use arrow::array::AsArray;
use sql::{QueryError, QuerySession, SessionOptions};
use tempfile::TempDir;

use super::{session, session_with};

/// The physical plan of a query as text.
async fn physical_plan(session: &QuerySession, sql: &str) -> Result<String> {
    let batches = session
        // VERBOSE, because a plan names no more than five groups of five files otherwise.
        .sql(&format!("EXPLAIN VERBOSE {sql}"))
        .await?
        .collect()
        .await?;
    let mut plan = None;
    for batch in &batches {
        let (kinds, plans) = (
            batch.column(0).as_string::<i32>(),
            batch.column(1).as_string::<i32>(),
        );
        for (kind, text) in kinds.iter().zip(plans) {
            if kind == Some("physical_plan") {
                plan = text.map(str::to_owned);
            }
        }
    }
    plan.context("no physical plan")
}

/// The part files that the physical plan of a query names, in the order of their names.
async fn files(session: &QuerySession, sql: &str) -> Result<Vec<String>> {
    let plan = physical_plan(session, sql).await?;
    let mut files: Vec<String> = plan
        .split(['[', ']', ' ', ','])
        .filter(|word| word.ends_with(".parquet"))
        .map(str::to_owned)
        .collect();
    files.sort_unstable();
    Ok(files)
}

#[tokio::test]
async fn an_epoch_and_a_layer_open_one_file() -> Result<()> {
    let (_dir, session) = session()?;
    let sql = "SELECT * FROM weights WHERE epoch = 2 AND layer = 'L_output'";
    assert_eq!(
        files(&session, sql).await?,
        ["weights/epoch=2/layer=L_output/step-6-r0-g0.parquet"]
    );
    Ok(())
}

fn session_of(partitions: usize) -> Result<(TempDir, QuerySession)> {
    session_with(SessionOptions {
        target_partitions: Some(partitions),
        ..SessionOptions::default()
    })
}

#[tokio::test]
async fn whatever_is_said_of_partitions_prunes() -> Result<()> {
    // However many cores there are: all files in one group, or one in each.
    let [(_one, one), (_many, many)] = [session_of(1)?, session_of(16)?];
    for (filter, expected) in [
        ("epoch IN (1, 2)", 4),
        ("epoch BETWEEN 1 AND 2 AND layer LIKE '%hidden'", 2),
        ("epoch = 1 OR layer = 'L_output'", 6),
        ("epoch % 2 = 0 AND epoch >= 0", 6),
        ("epoch = 7", 0),
        ("layer = 'L_output' AND neuron = 2", 5),
        // Both sides of an OR have to be of partitions.
        ("epoch = 1 OR neuron = 2", 10),
    ] {
        let sql = format!("SELECT neuron FROM weights WHERE {filter}");
        for session in [&one, &many] {
            assert_eq!(files(session, &sql).await?.len(), expected, "{filter}");
        }
    }
    Ok(())
}

/// As (SELECT max(epoch) FROM weights) cannot, which is known once all files were read.
#[tokio::test]
async fn the_first_and_the_last_epoch_prune_as_numbers_do() -> Result<()> {
    let [(_one, one), (_many, many)] = [session_of(1)?, session_of(16)?];
    for (filter, expected) in [
        ("epoch = last_epoch()", 2),
        ("epoch = first_epoch()", 4),
        ("epoch >= last_epoch() - 1", 4),
        (
            "epoch BETWEEN first_epoch() AND 1 AND layer = 'L_output'",
            3,
        ),
        ("epoch = last_epoch() + 1", 0),
    ] {
        let sql = format!("SELECT neuron FROM weights WHERE {filter}");
        for session in [&one, &many] {
            assert_eq!(files(session, &sql).await?.len(), expected, "{filter}");
        }
    }
    let sql = "SELECT * FROM connections WHERE epoch = last_epoch() AND layer = 'L_hidden'";
    assert_eq!(
        files(&one, sql).await?,
        ["weights/epoch=2/layer=L_hidden/step-6-r0-g0.parquet"]
    );
    Ok(())
}

#[tokio::test]
async fn a_filter_on_a_named_query_prunes() -> Result<()> {
    let (_dir, session) = session()?;
    let sql = "SELECT * FROM connections WHERE epoch = 1 AND layer = 'L_hidden'";
    assert_eq!(
        files(&session, sql).await?,
        ["weights/epoch=1/layer=L_hidden/step-4-r0-g0.parquet"]
    );
    Ok(())
}

/// An epoch's drift is told by its files, those before, and the first.
#[tokio::test]
async fn drift_opens_the_captures_that_it_is_told_from() -> Result<()> {
    let (_dir, session) = session_of(2)?;
    let sql = "SELECT * FROM successive_weights() WHERE epoch = 2 AND layer = 'L_output'";
    assert_eq!(
        files(&session, sql).await?,
        [
            "weights/epoch=-1/layer=L_output/step-0-r0-g0.parquet",
            "weights/epoch=1/layer=L_output/step-4-r0-g0.parquet",
            "weights/epoch=2/layer=L_output/step-6-r0-g0.parquet",
        ]
    );
    let all = "SELECT * FROM weight_drift ORDER BY epoch";
    assert_eq!(files(&session, all).await?.len(), 6);
    let plan = physical_plan(&session, all).await?;
    assert!(!plan.contains("SortExec"), "{plan}");
    Ok(())
}

/// More samples than neurons make no larger side of what is a list a capture.
#[tokio::test]
async fn what_is_collected_by_capture_is_the_side_that_is_kept() -> Result<()> {
    let (_dir, session) = session_of(2)?;
    let collected = "(SELECT epoch, step, vec_collect(correct ORDER BY sample) AS correct \
                     FROM classifications GROUP BY epoch, step)";
    for join in [
        format!("activations AS a JOIN {collected} AS c"),
        format!("{collected} AS c JOIN activations AS a"),
        format!("activations AS a LEFT JOIN {collected} AS c"),
    ] {
        let sql = format!(
            "SELECT a.neuron, vec_filter(a.activations, c.correct) FROM {join} \
             ON a.epoch = c.epoch AND a.step = c.step"
        );
        let plan = physical_plan(&session, &sql).await?;
        let (_, sides) = plan.split_once("LookupJoinExec").context("no look-up")?;
        let kept = sides.find("classifications/").context("no classes")?;
        let streamed = sides.find("activations/").context("no activations")?;
        assert!(kept < streamed, "{plan}");
    }
    Ok(())
}

/// What DataFusion's own join and merge would copy is most of what a run holds.
#[tokio::test]
async fn lists_are_joined_and_merged_without_copies() -> Result<()> {
    let (_dir, session) = session_of(2)?;
    for query in ["padded", "epoch_average"] {
        let plan = physical_plan(&session, &format!("SELECT * FROM {query}")).await?;
        assert!(plan.contains("LookupJoinExec"), "{query}: {plan}");
        assert!(!plan.contains("HashJoinExec"), "{query}: {plan}");
    }
    // What is known of an epoch's samples is brought to its activations, which stay where they are.
    for query in [
        "epoch_average_activations",
        "correct_vs_incorrect",
        "class_selectivity",
    ] {
        let plan = physical_plan(&session, &format!("SELECT * FROM {query}")).await?;
        assert!(plan.contains("LookupJoinExec"), "{query}: {plan}");
        assert!(!plan.contains("HashJoinExec"), "{query}: {plan}");
    }
    let ordered = "SELECT * FROM weights ORDER BY epoch, step, neuron";
    let plan = physical_plan(&session, ordered).await?;
    assert!(plan.contains("SliceMergeExec"), "{plan}");
    assert!(!plan.contains("SortPreservingMergeExec"), "{plan}");
    Ok(())
}

#[tokio::test]
async fn files_that_are_pruned_are_not_read() -> Result<()> {
    let (dir, session) = session()?;
    let kept = Path::new("epoch=2/layer=L_output/step-6-r0-g0.parquet");
    let weights = dir.path().join("run/weights");
    let text = fs::read(weights.join(kept))?;
    fs::remove_dir_all(&weights)?;
    fs::create_dir_all(weights.join(kept).parent().context("a file's directory")?)?;
    fs::write(weights.join(kept), text)?;

    let rows = session.sql("SELECT * FROM weights WHERE epoch = 2 AND layer = 'L_output'");
    let batches = rows.await?.collect().await?;
    assert_eq!(
        batches.iter().map(|batch| batch.num_rows()).sum::<usize>(),
        2
    );
    let parameters = [("epoch", "last"), ("layer", "last")];
    let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let batches = session
        .named("padded", &parameters)
        .await?
        .collect()
        .await?;
    assert_eq!(
        batches.iter().map(|batch| batch.num_rows()).sum::<usize>(),
        2
    );
    Ok(())
}

#[tokio::test]
async fn a_bad_file_is_named() -> Result<()> {
    let (dir, session) = session()?;
    let path = dir
        .path()
        .join("run/weights/epoch=1/layer=L_hidden/step-4-r0-g0.parquet");
    let mut bytes = fs::read(&path)?;
    let ask = async || -> Result<String> {
        let rows = session
            .sql("SELECT weights FROM weights WHERE epoch = 1")
            .await?;
        let failed = rows.collect().await.err().context("the file was read")?;
        Ok(QueryError::from(failed).to_string())
    };

    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes)?;
    let message = ask().await?;
    assert!(
        message.contains("step-4-r0-g0.parquet was damaged"),
        "{message}"
    );
    assert!(message.contains("sink verify"), "{message}");

    fs::write(&path, &bytes[..middle])?;
    let message = ask().await?;
    assert!(
        message.contains("step-4-r0-g0.parquet is shorter than"),
        "{message}"
    );

    fs::remove_file(&path)?;
    let message = ask().await?;
    assert!(
        message.contains("step-4-r0-g0.parquet is committed, but not there"),
        "{message}"
    );
    Ok(())
}
