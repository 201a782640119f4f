//! `sink upgrade RUN`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use trace::{UpgradeReport, upgrade};

pub(super) fn run(run: &Path, dry_run: bool) -> Result<ExitCode> {
    let report = upgrade(run, dry_run)?;
    console::print(&said(run, dry_run, &report))?;
    Ok(ExitCode::SUCCESS)
}

fn said(run: &Path, dry_run: bool, report: &UpgradeReport) -> String {
    let run = run.display();
    if !report.is_needed() {
        return format!("{run}: nothing to upgrade\n");
    }
    let finished = match report.finished.is_empty() {
        true => "",
        false => ", that it is finished",
    };
    let end = match dry_run {
        true => "; nothing was changed",
        false => "",
    };
    let now = match dry_run {
        true => "would say",
        false => "say now",
    };
    format!(
        "{run}: {} of {} commits {now} which run they are of and which comes before{finished}, and of the columns \
         of {} files what their checksums are{end}\n",
        report.num_changed, report.num_records, report.num_files
    )
}
