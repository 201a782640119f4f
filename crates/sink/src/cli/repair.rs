//! `sink repair RUN`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use trace::{REPAIR_REPORT_FILE, RepairOptions, RepairReport, repair};
use words::{further, printable};

/// What is listed one by one; the report has all.
const LISTED: usize = 20;

pub(super) fn run(run: &Path, options: RepairOptions) -> Result<ExitCode> {
    let report = repair(run, options)?;
    let mut text = String::new();
    say(run, options, &report, &mut text)?;
    console::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn say(
    run: &Path,
    options: RepairOptions,
    report: &RepairReport,
    text: &mut String,
) -> std::fmt::Result {
    if report.num_leftovers > 0 {
        let (files, them) = match report.num_leftovers {
            1 => ("1 file is".to_owned(), "it"),
            several => (format!("{several} files are"), "them"),
        };
        writeln!(
            text,
            "{files} named by no commit: a recorder was killed before it committed {them}; whoever resumes the run \
             removes {them}"
        )?;
    }
    if report.actions.is_empty() {
        return writeln!(text, "{}: nothing to repair", run.display());
    }
    let (done, moved, end) = match options.dry_run {
        true => ("would be done", "would be moved to", "nothing was changed"),
        false => (
            "done",
            "moved to",
            "repaired; `sink verify` says what the run is now",
        ),
    };
    writeln!(text, "{done}:")?;
    list(&report.actions, text)?;
    if !report.lost.is_empty() {
        writeln!(text, "lost:")?;
        list(&report.lost, text)?;
    }
    let below = report.moved_to.as_deref();
    let below = below.map(|damaged| damaged.strip_prefix(run).unwrap_or(damaged));
    if let Some(below) = below {
        let what = match report.moved.is_empty() {
            true => " what was replaced",
            false => "",
        };
        writeln!(text, "{moved} {}:{what}", below.display())?;
    }
    list(&report.moved, text)?;
    let lengths = [report.actions.len(), report.lost.len(), report.moved.len()];
    let is_cut = lengths.iter().any(|length| *length > LISTED);
    if let Some(below) = below.filter(|_| is_cut && !options.dry_run) {
        let told = below.join(REPAIR_REPORT_FILE);
        writeln!(text, "{} has all of it", told.display())?;
    }
    writeln!(text, "{}: {end}", run.display())
}

fn list(lines: &[impl ToString], text: &mut String) -> std::fmt::Result {
    for line in lines.iter().take(LISTED) {
        writeln!(text, "  {}", printable(&line.to_string()))?;
    }
    match further(lines.len(), LISTED) {
        None => Ok(()),
        Some(more) => writeln!(text, "  ... and {more} more"),
    }
}
