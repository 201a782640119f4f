//! What a run is, as text, without a look at its captures' values.

use std::fmt::Write;
use std::time::Duration;

use sql::Run;
use trace::Activity;

use crate::report::{Grid, Part, Section};

/// What a run is, in lines: how far it has come, its layers, data and settings.
pub fn info(run: &Run) -> String {
    let info = run.info();
    let mut text = format!("{}: {}\n", run.path().display(), captured(run));
    text.extend(lost(run));
    let identity = [
        ("run", info.run_id.to_string()),
        ("trace format", info.format.to_string()),
    ];
    let parts = Section::what_was_trained(info, run.config()).parts;
    let grids = parts.into_iter().filter_map(|part| match part {
        Part::Grid(grid) => Some(grid),
        _ => None,
    });
    for mut grid in grids {
        // Of facts, which have no more than a name and a value, the headings say nothing.
        let is_list = grid.columns.len() == 2;
        if is_list {
            let identity = identity.iter();
            grid.rows
                .extend(identity.map(|(what, value)| vec![(*what).to_owned(), value.clone()]));
        }
        text.push('\n');
        put(&mut text, &grid, !is_list);
    }
    text
}

/// How far the run has come.
fn captured(run: &Run) -> String {
    let epochs = run.captured_epochs();
    let captured = match epochs.as_slice() {
        [] => "nothing captured yet".to_owned(),
        [one] => format!("epoch {one} captured"),
        [first, .., last] => format!("{} epochs captured, {first} to {last}", epochs.len()),
    };
    match run.activity() {
        Some(Activity::Recording { since_last }) => {
            let age = age(since_last);
            format!("{captured}; it is being recorded, the last commit is {age} old")
        }
        Some(Activity::Silent { since_last }) => {
            let age = age(since_last);
            format!("{captured}; no commit for {age}: its recorder was interrupted, or is slow")
        }
        Some(Activity::Ended) | None => captured,
    }
}

/// A line about captures that were due and are in no commit, if there are some.
fn lost(run: &Run) -> Option<String> {
    match run.lost_captures() {
        Ok(0) => None,
        Ok(1) => Some("lost: 1 capture that was due is in no commit\n".to_owned()),
        Ok(lost) => Some(format!(
            "lost: {lost} captures that were due are in no commit\n"
        )),
        // What the run is can be told all the same.
        Err(error) => Some(format!("lost: not known, since {error}\n")),
    }
}

/// A time in its largest unit, as `5 minutes`.
fn age(time: Duration) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let seconds = time.as_secs();
    let (number, unit) = units
        .into_iter()
        .find(|(unit, _)| seconds >= 2 * unit)
        .map_or((seconds, "second"), |(unit, name)| (seconds / unit, name));
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

/// Writes a table with its columns below each other.
fn put(text: &mut String, grid: &Grid, has_header: bool) {
    let header = grid.columns.iter().map(|name| (*name).to_owned()).collect();
    let header: Vec<Vec<String>> = if has_header { vec![header] } else { Vec::new() };
    let lines: Vec<&Vec<String>> = header.iter().chain(&grid.rows).collect();
    let widths: Vec<usize> = (0..grid.columns.len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for line in lines {
        let mut padded = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            write!(padded, "{cell:<width$}  ").expect("a string takes everything");
        }
        writeln!(text, "{}", padded.trim_end()).expect("a string takes everything");
    }
}
