//! Two runs side by side: the tiny one, itself once more, and the irregular one.

use anyhow::Result;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use futures::TryStreamExt;
use sql::{QueryError, SessionOptions};
use studies::{Comparison, Epochs, compare};

use super::{session, session_of};

type Row = (i32, String, Option<f64>, Option<i64>, Option<f64>);

async fn rows(comparison: Comparison) -> Result<Vec<Row>> {
    let batches: Vec<_> = comparison.rows.try_collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        let number = |column: usize, row| {
            let column = batch.column(column).as_primitive::<Float64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        let counts = batch.column(3).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            rows.push((
                batch.column(0).as_primitive::<Int32Type>().value(row),
                batch.column(1).as_string::<i32>().value(row).to_owned(),
                number(2, row),
                counts.is_valid(row).then(|| counts.value(row)),
                number(4, row),
            ));
        }
    }
    Ok(rows)
}

#[tokio::test]
async fn a_run_is_itself() -> Result<()> {
    let [(_one, one), (_other, other)] = [session()?, session()?];
    let comparison = compare(one, other, Epochs::Last, None, false)?;
    assert_eq!(comparison.notes, Vec::<String>::new());
    let rows = rows(comparison).await?;
    // The output layer has no activations.
    let expected = [
        (2, "L_hidden".to_owned(), Some(1.0), Some(3), Some(0.0)),
        (2, "L_output".to_owned(), None, None, Some(0.0)),
    ];
    assert_eq!(rows, expected);
    Ok(())
}

#[tokio::test]
async fn what_one_run_has_not_is_null() -> Result<()> {
    let [(_one, one), (_other, other)] = [
        session()?,
        session_of(fixtures::irregular::write, SessionOptions::default())?,
    ];
    let rows = rows(compare(one, other, Epochs::All, None, false)?).await?;
    // At step 2 the output layer has 2.25, 1 and 0, -2; in the irregular run 1, -1 and 2, 3. There
    // neuron 1 has no list, so that the hidden layers' units are not the same.
    let distance = (34.5625f64 / 10.0625).sqrt();
    let expected = [
        (0, "L_hidden".to_owned(), None, None, None),
        (0, "L_output".to_owned(), None, None, Some(distance)),
        (1, "L_hidden".to_owned(), None, None, None),
    ];
    assert_eq!(rows, expected);
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_to_be_compared_is_told() -> Result<()> {
    let told = |epochs, layer| -> Result<String> {
        let [(_one, one), (_other, other)] = [session()?, session()?];
        let failed = compare(one, other, epochs, layer, false).map(|_| ());
        Ok(failed.map_or_else(|error: QueryError| error.to_string(), |()| String::new()))
    };
    assert_eq!(
        told(Epochs::Number(7), None)?,
        "epoch 7 was not captured: 3 epochs from 0 to 2 were, the nearest is 2"
    );
    assert!(told(Epochs::Last, Some("L_hiden"))?.contains("did you mean L_hidden?"));
    Ok(())
}
