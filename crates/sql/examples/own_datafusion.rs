//! A run in a DataFusion program of one's own, joined with a CSV file.
//!
//! ```sh
//! cargo run -p sql --example own_datafusion -- traces/digits
//! ```
//!
//! The file says which epochs belong to which phase of the training; the run knows nothing of it. What is
//! asked is how long the weights of a neuron are in each phase, layer by layer.
#![allow(clippy::print_stdout, reason = "a program: results on stdout")]

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use datafusion::prelude::{CsvReadOptions, SessionContext};
use sql::Run;

const QUESTION: &str = "
    SELECT phases.phase, layer, count(DISTINCT epoch) AS epochs, avg(vec_norm(weights)) AS length
    FROM run.epochs.weights JOIN phases USING (epoch)
    GROUP BY phases.phase, layer
    ORDER BY layer, min(epoch)";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let run = std::env::args_os().nth(1).ok_or("name a run's directory")?;
    let run = Run::open(Path::new(&run))?;

    // Tables of any kind, and the run among them.
    let context = SessionContext::new();
    let dir = tempfile::tempdir()?;
    let csv = dir.path().join("phases.csv");
    std::fs::write(&csv, phases(&run.captured_epochs())?)?;
    let csv = csv
        .to_str()
        .ok_or("the temporary directory has a strange name")?;
    context
        .register_csv("phases", csv, CsvReadOptions::new())
        .await?;
    run.register(&context, "run")?;

    println!("{}", context.sql(QUESTION).await?.to_string().await?);
    Ok(())
}

/// A line an epoch: the first half is `early`, the second one `late`.
fn phases(epochs: &[i32]) -> Result<String, std::fmt::Error> {
    let mut csv = String::from("epoch,phase\n");
    for (place, epoch) in epochs.iter().enumerate() {
        let phase = if 2 * place < epochs.len() {
            "early"
        } else {
            "late"
        };
        writeln!(csv, "{epoch},{phase}")?;
    }
    Ok(csv)
}
