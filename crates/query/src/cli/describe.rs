//! `query describe`: what SQL over a run can name, and the pictures, told.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use pictures::PlotKind;
use sql::{Definition, DefinitionKind, described, put_parameters};

use super::answer::print;

#[derive(Args)]
pub struct DescribeArgs {
    /// Its name; of a column that stands in several tables also TABLE.COLUMN
    name: String,
}

pub(super) fn run(asked: DescribeArgs) -> anyhow::Result<ExitCode> {
    print(&described(&asked.name)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The functions, a line for the call and one for what it means; of those with `part` in a name.
pub(super) fn functions(part: &str) -> String {
    let part = part.to_lowercase();
    let is_shown = |entry: &&Definition| {
        matches!(entry.kind, DefinitionKind::Function(_))
            && entry.names().any(|name| name.contains(&part))
            // Whoever asks for all wants no hundreds; whoever asks for some wants each.
            && (entry.example.is_some() || !part.is_empty())
    };
    let mut text = String::new();
    for entry in Definition::all().iter().filter(is_shown) {
        writeln!(text, "{}\n    {}", entry.signature, entry.summary())
            .expect("a string takes everything");
    }
    if part.is_empty() {
        text.push_str(
            "(and DataFusion's own: .functions PART for those with PART in their name; .describe \
             NAME tells more)\n",
        );
    }
    text
}

/// What each kind of picture takes.
pub(super) fn plots() -> String {
    let mut text = String::from("Parameters (--param key=value)\n");
    for kind in PlotKind::ALL {
        let parameters = kind.parameters();
        if !parameters.is_empty() {
            writeln!(text, "\n{}", kind.name()).expect("a string takes everything");
            put_parameters(&mut text, &parameters);
        }
    }
    text
}
