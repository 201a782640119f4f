//! Pictures of a run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use futures::FutureExt as _;
use pictures::chart::{DEFAULT_SCALE, MAX_SCALE, Theme};
use pictures::{Picture, PlotKind};
use sql::output::OutputFile;

use super::answer::say;
use super::describe;
use super::interrupt::exit_early;
use super::limits::LimitArgs;
use super::session::{finish, open, say_new_damage};
use super::usage::{UsageError, key_and_value};

#[derive(Args)]
#[command(after_long_help = describe::plots())]
pub struct PlotArgs {
    /// What is shown
    #[arg(value_parser = kind_parser())]
    kind: PlotKind,
    /// The run's directory
    run: PathBuf,
    /// Write to FILE (.svg, .png or .html)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,
    /// Dark on light, or light on dark
    #[arg(long, default_value = "light", value_parser = theme_parser())]
    theme: Theme,
    /// Of a .png: how many pixels it has to one of 960 across, 1 to 4
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SCALE, value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_SCALE)))]
    scale: u8,
    /// Set a parameter of the picture; may be given several times
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = key_and_value)]
    params: Vec<(String, String)>,
    #[command(flatten)]
    limits: LimitArgs,
}

fn kind_parser() -> impl TypedValueParser<Value = PlotKind> {
    let kinds = PlotKind::ALL.map(|kind| PossibleValue::new(kind.name()).help(kind.purpose()));
    PossibleValuesParser::new(kinds)
        .map(|name| PlotKind::from_name(&name).expect("one of the possible values"))
}

pub(super) fn theme_parser() -> impl TypedValueParser<Value = Theme> {
    PossibleValuesParser::new(Theme::ALL.map(Theme::name))
        .map(|name| Theme::from_name(&name).expect("one of the possible values"))
}

pub(super) fn run(asked: PlotArgs) -> anyhow::Result<ExitCode> {
    let picture = Picture::from_suffix(&asked.output).ok_or_else(|| {
        UsageError(format!(
            "a picture is an .svg, a .png or an .html, which {} is not",
            asked.output.display()
        ))
    })?;
    let mut ends = exit_early()?;
    let mut file = OutputFile::create(&asked.output, asked.force)?;
    ends.leave_no(file.staged_path());
    ends.count(&asked.limits)?;
    let session = open(&asked.run)?.session(asked.limits.session_options())?;
    let kind = asked.kind;
    finish(async {
        let draw = |session| {
            let params = asked.params.clone();
            async move { kind.chart(&session, &params).await }.boxed()
        };
        let chart = session.ask(draw, say_new_damage).await?;
        file.write_all(&picture.draw(&chart, asked.theme, asked.scale)?)?;
        file.publish()?;
        drop(ends);
        said(&asked.output);
        Ok(())
    })
}

fn said(path: &Path) {
    say!("picture written to {}", path.display());
}
