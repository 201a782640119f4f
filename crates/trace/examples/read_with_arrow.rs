//! Reads a run with Arrow alone: how long the weights of each neuron are, epoch by epoch.
//!
//! ```sh
//! cargo run --example read_with_arrow -- traces/digits
//! ```
//!
//! The commits say which files the run has, so nothing is listed; each file is held against its checksum
//! before a row of it is believed.
#![allow(clippy::print_stdout, reason = "a program: results on stdout")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, Int32Type};
use trace::{Catalog, PartFile, PartReader, RunDir, Table};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 1024;

/// The Euclidean length of each neuron's weights, by layer and neuron, in the order of the captures.
type Lengths = BTreeMap<(String, i32), Vec<f32>>;

fn main() -> Result<(), Box<dyn Error>> {
    let run = std::env::args_os().nth(1).ok_or("name a run's directory")?;
    for ((layer, neuron), lengths) in lengths(Path::new(&run))? {
        let lengths: Vec<String> = lengths
            .iter()
            .map(|length| format!("{length:.3}"))
            .collect();
        println!("{layer} {neuron}: {}", lengths.join(" "));
    }
    Ok(())
}

fn lengths(run: &Path) -> Result<Lengths, Box<dyn Error>> {
    let run = RunDir::open(run)?;
    let catalog = Catalog::load(&run)?;
    let reader = PartReader::checked(Table::Weights, &["neuron", "weights"], BATCH_ROWS)?;
    let mut lengths = Lengths::new();
    // In the order of the commits, which is that of the captures.
    for index in catalog.select(Table::Weights.name(), |epoch, _| epoch >= 0) {
        let file = catalog.file(index);
        let layer = file.layer.ok_or("weights are of a layer")?;
        for rows in reader.open(PartFile::committed(&run, &file))? {
            let rows = rows?;
            let neurons = rows.column(0).as_primitive::<Int32Type>();
            let weights = rows.column(1).as_list::<i32>();
            for (neuron, weights) in neurons.values().iter().zip(weights.iter()) {
                // Null where only statistics were recorded.
                let Some(weights) = weights else { continue };
                let squares = weights.as_primitive::<Float32Type>().values().iter();
                let length = squares.map(|weight| weight * weight).sum::<f32>().sqrt();
                let of_neuron = lengths.entry((layer.to_owned(), *neuron));
                of_neuron.or_default().push(length);
            }
        }
    }
    Ok(lengths)
}
