//! Runs named queries over a run and tells how long each took, as the program `query` runs them.
//!
//! A process has one allocator, and `query` has another than `recorder`: so `side_by_side`, which
//! trains as well, asks this program. It reads a JSON object a line, `{"query", "parquet"}`, with
//! the file to write or null for rows in memory, and prints the seconds it took.
#![allow(clippy::print_stdout, reason = "a program: results on stdout")]

#[path = "../crates/query/src/allocator.rs"]
mod allocator;

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;
use sql::output::{Format, OutputFile, TableStyle, write_rows};
use sql::{Run, SessionOptions};

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> Result<()> {
    let Some(run) = std::env::args_os().nth(1).filter(|arg| arg != "--bench") else {
        println!("does what it is asked on stdin; run the benchmark side_by_side instead");
        return Ok(());
    };
    allocator::keep_freed_memory();
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let query = asked["query"].as_str().context("a line names a query")?;
        let parquet = asked["parquet"].as_str().map(Path::new);
        println!("{}", seconds(run.as_ref(), query, parquet)?);
    }
    Ok(())
}

/// From the run's directory to the rows, threads and catalogue included.
fn seconds(run: &Path, query: &str, parquet: Option<&Path>) -> Result<f64> {
    let start = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let session = Run::open(run)?.session(SessionOptions::default())?;
    runtime.block_on(async {
        let rows = session.named(query, &[]).await?;
        let kept = match parquet {
            None => rows.collect().await?,
            Some(path) => {
                let mut file = OutputFile::create(path, false)?;
                let rows = rows.execute_stream().await?;
                write_rows(rows, Format::Parquet, TableStyle::Full, &mut file).await?;
                file.publish()?;
                Vec::new()
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        drop(kept);
        Ok(seconds)
    })
}
