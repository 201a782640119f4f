//! `sink verify RUN`.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use crate::{Check, Problem, VerifyProgress, VerifyReport, verify};
use anyhow::Result;
use console::{Console, Pace};
use indicatif::{BinaryBytes, HumanDuration};
use trace::{Activity, COMMITS_DIR, Ending, Rank, RunDir};
use words::printable;

/// How often a log is told how far it is, where there is no terminal to draw a bar on.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Uncommitted files, and partial captures, that are listed one by one.
const LISTED_UNCOMMITTED: usize = 20;

pub(super) fn run(run: &RunDir, console: &Console) -> Result<ExitCode> {
    let report = match console.is_terminal() {
        true => verify_with_bar(run, console)?,
        false => verify_with_lines(run, console)?,
    };
    let mut text = Vec::new();
    print(run, &report, &mut text)?;
    // Whoever reads it, as `head`, may have had enough.
    console::print(&String::from_utf8_lossy(&text))?;
    Ok(if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn verify_with_bar(run: &RunDir, console: &Console) -> Result<VerifyReport> {
    console.draw_bar(
        "verifying {bar:30} {binary_bytes}/{binary_total_bytes}, {msg} files, {eta} left",
    );
    let bar = console.bar();
    let report = verify(run, &|progress| {
        bar.set_length(progress.bytes);
        bar.set_position(progress.bytes_done);
        bar.set_message(format!(
            "{}/{}",
            progress.num_files_done, progress.num_files
        ));
    });
    bar.finish_and_clear();
    Ok(report?)
}

fn verify_with_lines(run: &RunDir, console: &Console) -> Result<VerifyReport> {
    let pace = Mutex::new(Pace::later(LOG_INTERVAL));
    let say = |progress: VerifyProgress| {
        let Ok(mut pace) = pace.lock() else { return };
        if pace.is_due() {
            console.say(&format!(
                "verified {} of {} files, {} of {}",
                progress.num_files_done,
                progress.num_files,
                BinaryBytes(progress.bytes_done),
                BinaryBytes(progress.bytes),
            ));
        }
    };
    Ok(verify(run, &say)?)
}

fn print(run: &RunDir, report: &VerifyReport, out: &mut impl Write) -> Result<()> {
    for problem in &report.problems {
        let line = format!(
            "{}: {}: expected {}, found {}",
            problem.path, problem.check, problem.expected, problem.found
        );
        writeln!(out, "{}", printable(&line))?;
    }
    print_uncommitted(report, out)?;
    print_partial(run, report, out)?;
    if report.ending == Ending::NotFinished {
        writeln!(
            out,
            "not finished: the last session goes on, was interrupted or lost something, or its last commits are \
             gone; what is here was committed"
        )?;
    }
    if !report.is_proven {
        writeln!(
            out,
            "not checked: whether run.json is as it was, and whether a commit is missing at the end or was replaced: \
             commits of format 1.4 and before do not say it"
        )?;
    }
    if report.problems.iter().any(is_repaired) {
        writeln!(
            out,
            "`sink repair` makes it whole again, as far as that goes; `query sql`, `run` and `shell` answer from \
             what is whole with --salvage, and say what they leave out"
        )?;
    }
    for remedy in remedies(&report.problems) {
        writeln!(out, "{remedy}")?;
    }
    let verdict = match report.problems.len() {
        0 => "whole".to_owned(),
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    };
    writeln!(
        out,
        "{}: {verdict}; {} captures in {} commits, {} files, {} rows, {}",
        run.path().display(),
        report.num_captures,
        report.num_commits,
        report.num_files,
        report.num_rows,
        BinaryBytes(report.num_bytes),
    )?;
    Ok(())
}

/// Whether a repair is of use. It holds files against what the commits say of their bytes, and captures against the
/// layers that the run records. Of a run that was never begun there is nothing to repair.
fn is_repaired(problem: &Problem) -> bool {
    match problem.check {
        Check::History | Check::Size | Check::Checksum | Check::Footer | Check::Layers => true,
        Check::Presence => problem.path != COMMITS_DIR,
        Check::Unique
        | Check::Format
        | Check::Columns
        | Check::Rows
        | Check::Name
        | Check::Order
        | Check::Units
        | Check::Parameters => false,
    }
}

/// What to do about problems that a repair leaves as they are.
fn remedies(problems: &[Problem]) -> Vec<&'static str> {
    let has = |is_one: fn(Check) -> bool| problems.iter().any(|problem| is_one(problem.check));
    let mut remedies = Vec::new();
    if has(|check| check == Check::Unique) {
        remedies.push(
            "`sink repair` leaves what was committed twice, since nobody can tell which of the two is the run's: bring \
             a copy back from before, or record it anew, with one recorder at a time",
        );
    }
    if has(|check| {
        matches!(
            check,
            Check::Format
                | Check::Columns
                | Check::Rows
                | Check::Name
                | Check::Order
                | Check::Units
        )
    }) {
        remedies.push(
            "`sink repair` leaves files that have the bytes that were committed, whatever their rows say: whoever wrote \
             them wrote them so, and queries answer from them; do not trust what they say, and record the run anew",
        );
    }
    if has(|check| check == Check::Parameters) {
        remedies.push(
            "`sink repair` leaves ranks that held other weights than rank 0: their training was not in step, and is to \
             be run again",
        );
    }
    remedies
}

/// What is said of a run's leftovers: who is to blame for them.
fn reason(report: &VerifyReport) -> String {
    if report.lacks_commits {
        return "what is missing may be in a commit that is missing or damaged: see above"
            .to_owned();
    }
    if report.num_commits == 0 {
        return "nothing was committed: whoever resumes the run removes them, so keep a copy if you know better"
            .to_owned();
    }
    match report.activity {
        Some(Activity::Recording { since_last }) => format!(
            "by a recorder that goes on, or was interrupted after its last commit, {} ago",
            HumanDuration(since_last)
        ),
        Some(Activity::Ended | Activity::Silent { .. }) | None => {
            "left by a recorder that was interrupted, unless somebody changed the run by hand"
                .to_owned()
        }
    }
}

fn print_partial(run: &RunDir, report: &VerifyReport, out: &mut impl Write) -> Result<()> {
    let num_captures = report.partial.len();
    if num_captures == 0 {
        return Ok(());
    }
    let captures = if num_captures == 1 {
        "capture is"
    } else {
        "captures are"
    };
    writeln!(
        out,
        "{num_captures} {captures} not whole, since ranks are missing ({}):",
        reason(report)
    )?;
    for capture in report.partial.iter().take(LISTED_UNCOMMITTED) {
        let num_missing = run.info().world_size as usize - capture.ranks.len();
        let mut missing: Vec<String> = (0..run.info().world_size)
            .map(|rank| Rank(rank.cast_signed()))
            .filter(|rank| !capture.ranks.contains(rank))
            .take(LISTED_UNCOMMITTED)
            .map(|rank| rank.to_string())
            .collect();
        if num_missing > missing.len() {
            missing.push(format!("and {} more", num_missing - missing.len()));
        }
        writeln!(
            out,
            "  epoch {}, step {}: missing rank {}",
            capture.id.epoch,
            capture.id.step,
            missing.join(", ")
        )?;
    }
    if num_captures > LISTED_UNCOMMITTED {
        writeln!(out, "  ... and {} more", num_captures - LISTED_UNCOMMITTED)?;
    }
    Ok(())
}

fn print_uncommitted(report: &VerifyReport, out: &mut impl Write) -> Result<()> {
    let num_files = report.uncommitted.len();
    if num_files == 0 {
        return Ok(());
    }
    let files = if num_files == 1 {
        "file is"
    } else {
        "files are"
    };
    if report.lacks_commits {
        writeln!(
            out,
            "{num_files} {files} named by no commit that can be read, and may belong to one that is missing or \
             damaged (see above): keep what is listed here"
        )?;
    } else {
        writeln!(
            out,
            "{num_files} {files} not committed and no part of the run ({}):",
            reason(report)
        )?;
    }
    for file in report.uncommitted.iter().take(LISTED_UNCOMMITTED) {
        writeln!(out, "  {} ({})", file.path, BinaryBytes(file.bytes))?;
    }
    if num_files > LISTED_UNCOMMITTED {
        writeln!(out, "  ... and {} more", num_files - LISTED_UNCOMMITTED)?;
    }
    Ok(())
}
