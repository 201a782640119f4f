//! `sink repair RUN`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use trace::{RepairOptions, RepairReport, repair};
use words::printable;

/// Files that are listed one by one; the report beside them has all.
const LISTED_FILES: usize = 20;

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
        writeln!(
            text,
            "{} files are named by no commit: a recorder was killed before it committed them; whoever resumes \
             the run removes them",
            report.num_leftovers
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
    for action in &report.actions {
        writeln!(text, "  {}", printable(action))?;
    }
    if !report.lost.is_empty() {
        writeln!(text, "lost:")?;
        for lost in &report.lost {
            writeln!(text, "  {}", printable(lost))?;
        }
    }
    if let Some(damaged) = &report.moved_to {
        let below = damaged.strip_prefix(run).unwrap_or(damaged);
        let what = match report.moved.is_empty() {
            true => ", what was replaced",
            false => "",
        };
        writeln!(text, "{moved} {}{what}:", below.display())?;
    }
    for file in report.moved.iter().take(LISTED_FILES) {
        writeln!(text, "  {}", printable(&file.to_string()))?;
    }
    if report.moved.len() > LISTED_FILES {
        writeln!(text, "  ... and {} more", report.moved.len() - LISTED_FILES)?;
    }
    writeln!(text, "{}: {end}", run.display())
}
