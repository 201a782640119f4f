//! What is said once a session has ended.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use capture::cli::{QUERY, write_next_steps};
use indicatif::{HumanBytes, HumanCount};
use recorder::{RecordSummary, SessionError, SessionSummary};
use trace::{Catalog, RunDir, Table};

/// What a session that failed leaves on the disk, if it was recorded.
pub(super) fn what_is_safe(error: &SessionError) -> Option<String> {
    let run = error.run()?;
    let catalog = RunDir::open(run)
        .ok()
        .and_then(|run| Catalog::load(&run).ok())?;
    let epochs = catalog.captures().iter().map(|capture| capture.id.epoch);
    Some(match (epochs.clone().min(), epochs.max()) {
        (Some(first), Some(last)) => format!(
            "safe on disk: {} committed captures, epochs {first} to {last}, in {}",
            catalog.captures().len(),
            run.display()
        ),
        _ => format!(
            "safe on disk: no capture was committed in {}",
            run.display()
        ),
    })
}

/// A session that came to its end, or was interrupted.
pub(super) fn describe(summary: &SessionSummary) -> Result<String, fmt::Error> {
    let mut text = String::new();
    let seconds = summary.elapsed.as_secs_f64();
    match &summary.last_epoch {
        Some(last) => writeln!(
            text,
            "{} {} epochs ({} steps) in {seconds:.2} s: held-out loss {:.4}, {}",
            if summary.interrupted {
                "interrupted after"
            } else {
                "trained"
            },
            last.train.epoch.0 + 1,
            HumanCount(last.train.step.0.cast_unsigned()),
            last.eval_loss,
            last.eval_score,
        )?,
        None => writeln!(text, "interrupted before the first epoch was whole")?,
    }
    if let (true, Some(next)) = (summary.interrupted, summary.resumes_with) {
        writeln!(
            text,
            "recorder train --resume, with the same options, goes on with epoch {}",
            next.0 + 1
        )?;
    }
    match &summary.recorded {
        None => writeln!(text, "recorded nothing, as asked")?,
        Some((run, recorded)) => describe_run(&mut text, summary.elapsed, run, recorded)?,
    }
    Ok(text)
}

/// What a run holds, what it lacks, what that cost, and what to ask of it.
fn describe_run(
    text: &mut String,
    elapsed: Duration,
    run: &Path,
    recorded: &RecordSummary,
) -> fmt::Result {
    // Counted while it was written: reading the commits of a long run back takes memory.
    let sink = &recorded.sink;
    let written = match recorded.lost_captures {
        0 => "",
        // Those that were written when recording stopped are counted as well.
        _ => "with what was lost, ",
    };
    writeln!(
        text,
        "kept {} captures in {}: {written}{} rows, {}, {} files",
        HumanCount(recorded.num_captures),
        run.display(),
        HumanCount(sink.num_rows),
        HumanBytes(sink.part_bytes),
        HumanCount(sink.num_parts),
    )?;
    write_left_out(text, recorded)?;
    let tables = write_tables(text, recorded)?;
    write_cost(text, elapsed, recorded)?;
    write_next_steps(text, QUERY, run, &tables, recorded.num_captures)
}

/// Which captures that were due are not there.
fn write_left_out(text: &mut String, recorded: &RecordSummary) -> fmt::Result {
    let left_out = [
        (
            recorded.thinned_captures,
            "were thinned out, to keep within the overhead allowed",
        ),
        (
            recorded.over_disk_captures,
            "were left out, the run had reached --max-disk",
        ),
        (recorded.dropped_captures, "were dropped, there was no room"),
        (
            recorded.lost_captures,
            "were lost, recording had failed or they could not be made",
        ),
    ];
    for (num_captures, why) in left_out {
        if num_captures > 0 {
            writeln!(text, "{} captures {why}", HumanCount(num_captures))?;
        }
    }
    Ok(())
}

/// Rows and bytes of each table; gives the tables that have any.
fn write_tables(text: &mut String, recorded: &RecordSummary) -> Result<Vec<Table>, fmt::Error> {
    let mut tables = Vec::new();
    for (table, (rows, bytes)) in Table::ALL.into_iter().zip(recorded.sink.by_table) {
        if rows > 0 {
            tables.push(table);
            writeln!(
                text,
                "  {:<16}{:>12} rows {:>12}",
                table.name(),
                HumanCount(rows).to_string(),
                HumanBytes(bytes).to_string()
            )?;
        }
    }
    Ok(tables)
}

/// What recording took of the time that the session went on.
fn write_cost(text: &mut String, elapsed: Duration, recorded: &RecordSummary) -> fmt::Result {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let cost = recorded.training_thread();
    writeln!(
        text,
        "cost: {:.1} ms of the training thread ({:.2}% of the time): {:.1} ms handing over ({:.1} ms of it waiting), {:.1} ms until all was committed; elsewhere {:.1} ms encoding, {:.1} ms publishing in {} commits",
        ms(cost),
        100.0 * cost.as_secs_f64() / elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
        ms(recorded.hand_off),
        ms(recorded.stall),
        ms(recorded.finish),
        recorded.sink.encode_ms,
        recorded.sink.publish_ms,
        recorded.sink.num_publishes,
    )
}
