//! What recording cost: what a run says of it.

mod wording;

use std::collections::BTreeMap;

use super::answers::Source;
use super::error::Result;
use super::section::Section;
use crate::plot::rows::{floats, integers, texts};

pub(super) use wording::HEADING;

/// The section, and how many bytes the run takes on disk, where that is known.
pub(super) async fn section(source: &Source<'_>) -> Result<(Section, Option<u64>)> {
    let found = found(source).await?;
    let on_disk = found.disk.as_ref().map(|disk| disk.all.num_bytes);
    Ok((wording::section(&found), on_disk))
}

/// What the section tells.
struct Found {
    /// None of a copy without commits.
    disk: Option<Disk>,
    times: Times,
    /// How many processes recorded the run.
    num_ranks: u32,
    /// Milliseconds from the run's creation to its last capture's commit, where that is asked for and known.
    wall_ms: Option<f64>,
}

/// What each table takes on disk, the most first, and all of them.
struct Disk {
    tables: Vec<(String, Size)>,
    all: Size,
}

/// What is on disk.
struct Size {
    num_files: u64,
    num_rows: u64,
    num_bytes: u64,
}

/// A figure of what recording cost, by epoch; of several processes the mean.
type Times = BTreeMap<String, BTreeMap<i64, f64>>;

/// All of a figure.
fn total(times: &Times, name: &str) -> Option<f64> {
    times.get(name).map(|of| of.values().sum::<f64>())
}

/// What the training thread spent.
const HAND_OFF: &str = "recorder.hand_off_ms";

async fn found(source: &Source<'_>) -> Result<Found> {
    let disk = disk(source).await?;
    let times = times(source).await?;
    let wall_ms = match total(&times, HAND_OFF) {
        Some(_) => wall_ms(source).await?,
        None => None,
    };
    Ok(Found {
        disk,
        times,
        num_ranks: source.session.info().world_size,
        wall_ms,
    })
}

async fn disk(source: &Source<'_>) -> Result<Option<Disk>> {
    let rows = source
        .sql(
            "SELECT \"table\", count(*) AS files, sum(rows) AS rows, sum(bytes) AS bytes FROM commits \
             GROUP BY \"table\" ORDER BY bytes DESC",
        )
        .await?;
    let tables = texts(&rows, "table");
    if tables.is_empty() {
        return Ok(None);
    }
    let [files, counts, bytes] = ["files", "rows", "bytes"].map(|name| integers(&rows, name));
    let size = |files: i64, rows: i64, bytes: i64| Size {
        num_files: files.unsigned_abs(),
        num_rows: rows.unsigned_abs(),
        num_bytes: bytes.unsigned_abs(),
    };
    let all = size(files.iter().sum(), counts.iter().sum(), bytes.iter().sum());
    let tables = tables.into_iter().enumerate();
    let tables = tables.map(|(row, table)| (table, size(files[row], counts[row], bytes[row])));
    Ok(Some(Disk {
        tables: tables.collect(),
        all,
    }))
}

async fn times(source: &Source<'_>) -> Result<Times> {
    let rows = source
        .sql(
            "SELECT name, epoch, CASE WHEN name LIKE '%_high_water_bytes' THEN max(value) \
             ELSE sum(value) / count(DISTINCT rank) END AS value FROM metrics WHERE name LIKE 'recorder.%' OR name LIKE 'sink.%' GROUP BY name, epoch",
        )
        .await?;
    let (names, epochs) = (texts(&rows, "name"), integers(&rows, "epoch"));
    let mut times = Times::new();
    for (row, value) in floats(&rows, "value").into_iter().enumerate() {
        if let Some(value) = value {
            let of_name = times.entry(names[row].clone()).or_default();
            of_name.insert(epochs[row], value);
        }
    }
    Ok(times)
}

/// Milliseconds from the run's creation to its last capture's commit.
async fn wall_ms(source: &Source<'_>) -> Result<Option<f64>> {
    let created = source.session.info().created.replace('\'', "''");
    let rows = source
        .sql(&format!(
            "SELECT CAST(max(time) AS BIGINT) - CAST(TRY_CAST('{created}' AS TIMESTAMP(3)) AS BIGINT) AS ms \
             FROM commits WHERE \"table\" IN ('weights', 'activations', 'classifications', 'metrics')"
        ))
        .await?;
    let ms = integers(&rows, "ms");
    // -1 stands for none: a copy has no commits.
    Ok(ms.first().filter(|&&ms| ms > 0).map(|&ms| ms as f64))
}
