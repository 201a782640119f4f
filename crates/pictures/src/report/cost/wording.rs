//! What recording cost, in words, tables and pictures.

use std::collections::BTreeMap;

use bytesize::ByteSize;

use super::{Disk, Found, HAND_OFF, Size, Times, total};
use crate::chart::{Axis, Chart, Content, Line, Panel, number};
use crate::report::prose::{counted, grouped, percent};
use crate::report::section::{Part, Section};

pub(in crate::report) const HEADING: &str = "What recording cost";

/// Whose time the picture shows: its name, and the figures that make it up.
const TIMES: [(&str, &[&str]); 3] = [
    ("training thread", &[HAND_OFF]),
    (
        "copying, statistics and rows",
        &["recorder.read_back_ms", "recorder.rows_ms"],
    ),
    (
        "encoding and publishing",
        &["sink.encode_ms", "sink.publish_ms"],
    ),
];

pub(super) fn section(found: &Found) -> Section {
    let mut parts = vec![Part::text(
        "Recording hands a snapshot of the network over; all else is done by other threads while training goes on. \
         Training lost what its thread spent on it, and, where it trains on the same processor, what the others \
         took from it.",
    )];
    if found.times.is_empty() {
        parts.push(Part::missing(
            "Times were not recorded: `recorder train --record metrics` does.",
        ));
    } else {
        parts.push(Part::grid("Time", &["what", "spent"], summary(found)));
        parts.extend(picture(&found.times));
    }
    parts.push(match &found.disk {
        Some(found) => disk(found),
        None => Part::missing(
            "What the run takes on disk is told by its commits, which this copy lacks.",
        ),
    });
    Section {
        heading: HEADING,
        parts,
        commands: vec!["sql RUN \"SELECT * FROM metrics WHERE name LIKE 'recorder.%'\""],
    }
}

fn disk(found: &Disk) -> Part {
    let line = |what: &str, size: &Size| {
        vec![
            what.to_owned(),
            grouped(size.num_files),
            grouped(size.num_rows),
            ByteSize(size.num_bytes).to_string(),
        ]
    };
    let tables = found.tables.iter();
    let mut rows: Vec<Vec<String>> = tables.map(|(table, size)| line(table, size)).collect();
    rows.push(line("all", &found.all));
    Part::grid("Disk", &["table", "files", "rows", "size"], rows)
}

fn summary(found: &Found) -> Vec<Vec<String>> {
    let times = &found.times;
    let total = |name: &str| total(times, name);
    let captures = total("sink.num_captures").filter(|count| *count > 0.0);
    let mut rows = Vec::new();
    let mut add = |what: &str, told: String| rows.push(vec![what.to_owned(), told]);
    if found.num_ranks > 1 {
        add(
            "processes",
            format!("{}; what follows is the mean of them", found.num_ranks),
        );
    }
    let ms = |value: f64| format!("{} ms", number(value));
    if let Some(captures) = captures {
        add("captures", grouped(captures as u64));
    }
    if let Some(hand_off) = total(HAND_OFF) {
        let each = captures.map(|captures| format!(", {} a capture", ms(hand_off / captures)));
        add("training thread", ms(hand_off) + &each.unwrap_or_default());
        if let Some(wall) = found.wall_ms {
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
        ("recorder.rows_ms", "statistics and rows (all threads)"),
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
        (
            "recorder.lost_captures",
            "lost, since recording failed or they could not be made",
        ),
    ] {
        if let Some(count @ 1.0..) = total(name) {
            add(what, counted(count as u64, "capture"));
        }
    }
    rows
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
        Part::still(Chart {
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
