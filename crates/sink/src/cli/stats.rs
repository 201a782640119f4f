//! `sink stats RUN`.

use std::io::Write;
use std::process::ExitCode;

use crate::{Amount, RunStats, run_stats};
use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use trace::{RunDir, with_causes};
use words::printable;

const HEADER: [&str; 6] = ["table", "layer", "files", "rows", "bytes", "bytes/weight"];

/// The first columns are texts, to the left; the rest are numbers, to the right.
const NUM_TEXT_COLUMNS: usize = 2;

pub(super) fn run(run: &RunDir) -> Result<ExitCode> {
    let stats = run_stats(run)?;
    let mut out = std::io::stdout().lock();
    write!(
        out,
        "{}: {} captures in {} commits",
        run.path().display(),
        stats.num_captures,
        stats.num_commits
    )?;
    match stats.num_lost_captures {
        Ok(0) => {}
        Ok(1) => write!(out, " (and 1 capture that was due is lost)")?,
        Ok(lost) => write!(out, " (and {lost} captures that were due are lost)")?,
        Err(_) => write!(out, " (and nobody knows how many that were due are lost)")?,
    }
    match stats.epochs {
        Some((first, last)) => writeln!(out, ", epochs {first} to {last}\n")?,
        None => writeln!(out, ", nothing recorded yet\n")?,
    }
    writeln!(out, "{}", table(rows(&stats)).trim_fmt())?;
    match stats.num_lost_captures {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(bad) => {
            writeln!(
                out,
                "\n{}: `sink verify` says what else is damaged",
                printable(&with_causes(&bad))
            )?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn rows(stats: &RunStats) -> Vec<[String; HEADER.len()]> {
    let row = |table: &str, layer: &str, amount: &Amount, bytes_per_weight: Option<f64>| {
        [
            table.to_owned(),
            printable(layer).into_owned(),
            amount.num_files.to_string(),
            amount.num_rows.to_string(),
            amount.bytes.to_string(),
            bytes_per_weight.map_or(String::new(), |bytes| format!("{bytes:.2}")),
        ]
    };
    let mut rows: Vec<_> = stats
        .tables
        .iter()
        .map(|s| {
            let layer = s.layer.as_deref().unwrap_or("");
            row(&s.table, layer, &s.amount, s.bytes_per_weight())
        })
        .collect();
    rows.push(row("total", "", &stats.total, None));
    rows
}

fn table(rows: Vec<[String; HEADER.len()]>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(HEADER).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index >= NUM_TEXT_COLUMNS {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
