//! What recording cost.

use std::collections::BTreeMap;

use bytesize::ByteSize;

use super::{Part, Result, Section, Source, counted, grouped, percent, still};
use crate::chart::{Axis, Chart, Content, Line, Panel, number};
use crate::plot::rows::{floats, integers, texts};

pub(super) const HEADING: &str = "What recording cost";

/// Whose time the picture shows: its name, and the figures that make it up.
const TIMES: [(&str, &[&str]); 3] = [
    ("training thread", &["recorder.hand_off_ms"]),
    (
        "capture thread",
        &["recorder.read_back_ms", "recorder.rows_ms"],
    ),
    (
        "encoding and publishing",
        &["sink.encode_ms", "sink.publish_ms"],
    ),
];

/// The section, and how many bytes the run takes on disk, where that is known.
pub(super) async fn section(source: &Source<'_>) -> Result<(Section, Option<u64>)> {
    let mut parts = vec![Part::text(
        "Recording hands a snapshot of the network over; all else is done by other threads while training goes on. \
         Training lost what its thread spent on it, and, where it trains on the same processor, what the others \
         took from it.",
    )];
    let (disk, on_disk) = disk(source).await?;
    let times = times(source).await?;
    if times.is_empty() {
        parts.push(Part::Missing(
            "Times were not recorded: `recorder train --record metrics` does.".to_owned(),
        ));
    } else {
        parts.push(Part::grid(
            "Time",
            &["what", "spent"],
            summary(source, &times).await?,
        ));
        parts.extend(picture(&times));
    }
    parts.push(disk);
    let section = Section {
        heading: HEADING,
        parts,
        commands: vec!["sql RUN \"SELECT * FROM metrics WHERE name LIKE 'recorder.%'\""],
    };
    Ok((section, on_disk))
}

/// What each table takes, and all of them.
async fn disk(source: &Source<'_>) -> Result<(Part, Option<u64>)> {
    let rows = source
        .sql(
            "SELECT \"table\", count(*) AS files, sum(rows) AS rows, sum(bytes) AS bytes FROM commits \
             GROUP BY \"table\" ORDER BY bytes DESC",
        )
        .await?;
    let (tables, files) = (texts(&rows, "table"), integers(&rows, "files"));
    let [counts, bytes] = ["rows", "bytes"].map(|name| integers(&rows, name));
    if tables.is_empty() {
        let missing = "What the run takes on disk is told by its commits, which this copy lacks.";
        return Ok((Part::Missing(missing.to_owned()), None));
    }
    let line = |what: &str, files: i64, rows: i64, bytes: i64| {
        vec![
            what.to_owned(),
            grouped(files.unsigned_abs()),
            grouped(rows.unsigned_abs()),
            ByteSize(bytes.unsigned_abs()).to_string(),
        ]
    };
    let all: i64 = bytes.iter().sum();
    let mut grid: Vec<Vec<String>> = (0..tables.len())
        .map(|row| line(&tables[row], files[row], counts[row], bytes[row]))
        .collect();
    grid.push(line("all", files.iter().sum(), counts.iter().sum(), all));
    let part = Part::grid("Disk", &["table", "files", "rows", "size"], grid);
    Ok((part, Some(all.unsigned_abs())))
}

/// A figure of what recording cost, by epoch; of several processes the mean.
type Times = BTreeMap<String, BTreeMap<i64, f64>>;

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

async fn summary(source: &Source<'_>, times: &Times) -> Result<Vec<Vec<String>>> {
    let total = |name: &str| times.get(name).map(|of| of.values().sum::<f64>());
    let captures = total("sink.num_captures").filter(|count| *count > 0.0);
    let mut rows = Vec::new();
    let mut add = |what: &str, told: String| rows.push(vec![what.to_owned(), told]);
    let ranks = source.session.info().world_size;
    if ranks > 1 {
        add(
            "processes",
            format!("{ranks}; what follows is the mean of them"),
        );
    }
    let ms = |value: f64| format!("{} ms", number(value));
    if let Some(captures) = captures {
        add("captures", grouped(captures as u64));
    }
    if let Some(hand_off) = total("recorder.hand_off_ms") {
        let each = captures.map(|captures| format!(", {} a capture", ms(hand_off / captures)));
        add("training thread", ms(hand_off) + &each.unwrap_or_default());
        if let Some(wall) = wall_ms(source).await? {
            let told = format!(
                "{} of {} s",
                percent(hand_off / wall),
                number(wall / 1000.0)
            );
            add(
                "of the time from the run's creation to its last capture",
                told,
            );
        }
    }
    for (name, what) in [
        (
            "recorder.stall_ms",
            "of that, waiting for the capture before",
        ),
        (
            "recorder.read_back_ms",
            "capture thread, copying from the device",
        ),
        ("recorder.rows_ms", "capture thread, statistics and rows"),
        ("sink.encode_ms", "sink, encoding (all workers)"),
        ("sink.publish_ms", "sink, publishing"),
    ] {
        if let Some(value) = total(name) {
            add(what, ms(value));
        }
    }
    if let Some(of_epoch) = times.get("sink.queue_high_water_bytes") {
        let most = of_epoch.values().copied().fold(0.0, f64::max);
        add(
            "the channel held at most",
            ByteSize(most as u64).to_string(),
        );
    }
    for (name, what) in [
        (
            "recorder.thinned_captures",
            "thinned out to keep within the overhead allowed",
        ),
        (
            "recorder.dropped_captures",
            "dropped, since there was no room",
        ),
        (
            "recorder.over_disk_captures",
            "left out to keep within the disk allowed",
        ),
        ("recorder.lost_captures", "lost, since recording failed"),
    ] {
        if let Some(count @ 1.0..) = total(name) {
            add(what, counted(count as u64, "capture"));
        }
    }
    Ok(rows)
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

fn picture(times: &Times) -> Option<Part> {
    let lines = TIMES.iter().map(|(name, figures)| {
        let mut by_epoch: BTreeMap<i64, f64> = BTreeMap::new();
        for (epoch, value) in figures
            .iter()
            .filter_map(|figure| times.get(*figure))
            .flatten()
        {
            *by_epoch.entry(*epoch).or_default() += value;
        }
        Line {
            name: (*name).to_owned(),
            points: by_epoch
                .into_iter()
                .map(|(epoch, ms)| [epoch as f64, ms])
                .collect(),
        }
    });
    let lines: Vec<Line> = lines.filter(|line| !line.points.is_empty()).collect();
    (!lines.is_empty()).then(|| {
        still(Chart {
            title: "What recording took, epoch by epoch".to_owned(),
            subtitle: "by who spent it".to_owned(),
            panels: vec![Panel {
                title: None,
                x: Axis::whole("epoch"),
                y: Axis::numbers("milliseconds"),
                content: Content::Lines(lines),
            }],
            notes: vec![
                "What is encoded and published of a capture after its figures were taken is told by the next one."
                    .to_owned(),
            ],
        })
    })
}
