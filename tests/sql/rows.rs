//! Which rows of large files are decoded.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Int32Type};
use fixtures::{HIDDEN, OUTPUT, Writer, layers, run_info, weights};
use sql::{QueryError, QuerySession, SessionOptions};
use trace::{RunDir, Topology};

use super::session_of;

/// Of neurons with so many weights there are 2 in a page and 69 in a batch: one page goes on in the next batch.
const NUM_INPUTS: usize = 60_000;
const NUM_HIDDEN: usize = 80;
const NUM_OUTPUTS: usize = 3;

/// The weight of an input of a neuron: of the first the neuron's number, of others what nobody compresses.
fn weight(neuron: usize, input: usize) -> f32 {
    let drawn = ((neuron << 16 | input) as u32).wrapping_mul(2_654_435_761);
    match input {
        0 => neuron as f32,
        _ => (drawn >> 8) as f32,
    }
}

/// A run of two captures. The hidden layer's files have several pages of lists; the others are small.
fn write(path: &Path) -> Result<RunDir> {
    let topology: Topology = layers(NUM_INPUTS, &[(HIDDEN, NUM_HIDDEN), (OUTPUT, NUM_OUTPUTS)])?;
    let info = run_info(topology, 1, &["a", "b", "c"])?;
    let mut writer = Writer::create(path, info)?.as_recorders();
    for epoch in 0..2 {
        let step = 10 * (i64::from(epoch) + 1);
        let rows = |first: usize, num_neurons: usize, fan_in: usize| {
            let neurons = first..first + num_neurons;
            let lists = neurons.map(|neuron| (0..fan_in).map(|at| weight(neuron, at)).collect());
            let lists: Vec<Vec<f32>> = lists.collect();
            weights(step, first as i32, lists.iter().map(|list| Some(&list[..])))
        };
        let hidden = rows(0, NUM_HIDDEN, NUM_INPUTS);
        let output = rows(NUM_HIDDEN, NUM_OUTPUTS, NUM_HIDDEN);
        writer.capture(
            epoch,
            step,
            [(Some(HIDDEN), hidden), (Some(OUTPUT), output)],
        )?;
    }
    Ok(writer.finish())
}

async fn ask(session: &QuerySession, sql: &str) -> Result<RecordBatch> {
    let rows = session.sql(sql).await?;
    let schema = rows.schema().inner().clone();
    let batches = rows.collect().await.map_err(QueryError::from)?;
    Ok(concat_batches(&schema, &batches)?)
}

#[tokio::test]
async fn rows_are_those_for_which_the_conditions_hold() -> Result<()> {
    let (_dir, session) = session_of(write, SessionOptions::default())?;
    let conditions = [
        ("neuron = 17", vec![17]),
        ("neuron = 17 AND weight_mean IS NULL", vec![17]),
        ("unit = 2 AND epoch >= 0", vec![2, 82]),
        ("neuron IN (0, 75, 78, 81)", vec![0, 75, 78, 81]),
        ("neuron BETWEEN 66 AND 71", vec![66, 67, 68, 69, 70, 71]),
        ("layer = 'L_output' OR neuron < 1", vec![0, 80, 81, 82]),
        ("neuron > 78 AND weights[1] > 79", vec![80, 81, 82]),
        ("neuron + 0 * random() >= 82", vec![82]),
        ("10 / (neuron - 83) <= -10", vec![82]),
        ("bias > 1000", vec![]),
    ];
    for (condition, expected) in conditions {
        let sql =
            format!("SELECT neuron, weights FROM weights WHERE {condition} ORDER BY epoch, neuron");
        let rows = ask(&session, &sql).await?;
        let neurons = rows.column(0).as_primitive::<Int32Type>().values();
        assert_eq!(neurons[..], expected.repeat(2), "{condition}");
        for (row, &neuron) in neurons.iter().enumerate() {
            let list = rows.column(1).as_list::<i32>().value(row);
            let values = list.as_primitive::<Float32Type>().values();
            let is_hidden = (neuron as usize) < NUM_HIDDEN;
            assert_eq!(
                values.len(),
                if is_hidden { NUM_INPUTS } else { NUM_HIDDEN }
            );
            let neuron = neuron as usize;
            let mut of_inputs = values.iter().enumerate();
            assert!(
                of_inputs.all(|(input, &value)| value == weight(neuron, input)),
                "{condition}"
            );
        }
    }
    // What a window sees, and what was there before, is of all rows.
    let sql = "SELECT before FROM (SELECT neuron, lag(neuron) OVER (PARTITION BY epoch ORDER BY neuron) \
               AS before FROM weights) WHERE neuron = 17";
    let rows = ask(&session, sql).await?;
    assert_eq!(
        rows.column(0).as_primitive::<Int32Type>().values()[..],
        [16, 16]
    );
    Ok(())
}

#[tokio::test]
async fn lists_of_a_layer_without_a_row_that_is_wanted_are_not_read() -> Result<()> {
    let (dir, session) = session_of(write, SessionOptions::default())?;
    let below = "run/weights/epoch=1/layer=L_hidden/step-20-r0-g0.parquet";
    let path = dir.path().join(below);
    let mut bytes = fs::read(&path)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes)?;
    let sql = "SELECT weights FROM weights WHERE neuron = 81";
    assert_eq!(ask(&session, sql).await?.num_rows(), 2);
    // Where one is, all of the column is held against its checksum.
    let sql = "SELECT weights FROM weights WHERE neuron = 0";
    let error = ask(&session, sql)
        .await
        .err()
        .context("the file was read")?;
    assert!(error.to_string().contains("was damaged"), "{error}");
    Ok(())
}
