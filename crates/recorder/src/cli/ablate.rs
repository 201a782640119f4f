//! `recorder ablate`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use analysis::Half;
use anyhow::{Context as _, Result};
use capture::cli::{ChosenEpoch, EPOCH_HELP};
use capture::{
    AblationMetric, AblationOptions, ChosenNeurons, DEFAULT_DRAWS, Figure, Predicted, SampleGroup,
    Silencing, SilencingError,
};
use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use console::{Console, print};
use recorder::{AblationReport, ablate};
use trace::RunDir;
use words::NeuronName;

use super::place::PlaceArgs;
use super::rebuilt::write_rounding;

const EXAMPLES: &str = "\
Examples:
  recorder ablate traces/digits --epoch 19 --neurons 130,141 --class 3
  recorder ablate traces/digits --epoch last --structure threes --mode mean

What was measured is kept in the run:
  query sql traces/digits \"SELECT * FROM ablations\"";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AblateArgs {
    /// The run's directory
    run: PathBuf,
    #[arg(long, help = EPOCH_HELP, value_name = "N|last", allow_negative_numbers = true)]
    epoch: ChosenEpoch,
    /// The neurons to silence: each by its number in the tables, as 17, or with its layer, as
    /// L_hidden_1:17
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "[LAYER:]N,...",
        allow_negative_numbers = true,
        required_unless_present = "structure"
    )]
    neurons: Vec<NeuronName>,
    /// The structure to silence, by its name in the table structures
    #[arg(long, value_name = "NAME", conflicts_with = "neurons")]
    structure: Option<String>,
    /// What a silenced neuron says: nothing, its mean over all held-out samples, --factor times
    /// what it said, or --value
    #[arg(long, value_enum, default_value_t, value_name = "zero|mean|scale|set")]
    mode: Mode,
    /// What --mode scale multiplies by
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    factor: Option<f64>,
    /// What --mode set sets it to
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    value: Option<f64>,
    /// How often as many random neurons of the same layers are silenced instead, to compare with: no
    /// p-value is below 1 / (1 + N), so several that are corrected together take more
    #[arg(long, default_value_t = DEFAULT_DRAWS, value_name = "N")]
    draws: usize,
    /// The halves and the random neurons follow from it [default: the structure's, or the run's]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// On which held-out samples to judge [default: those that the structure was not found on, or
    /// all]
    #[arg(long, value_name = "first|second|all")]
    half: Option<Half>,
    /// The class that the neurons are said to go with, which is set against the others [default: the
    /// structure's]
    #[arg(long, value_name = "CLASS")]
    class: Option<i32>,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Mode {
    #[default]
    Zero,
    Mean,
    Scale,
    Set,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Mean => "mean",
            Self::Scale => "scale",
            Self::Set => "set",
        }
    }
}

impl AblateArgs {
    /// Checks that a factor and a value are given exactly where they are used.
    ///
    /// # Errors
    /// In words, if they are not.
    pub(super) fn check(&self) -> Result<(), String> {
        self.silencing().map(|_| ()).map_err(|error| match error {
            SilencingError::Missing { mode, number } => format!("--mode {mode} needs --{number}"),
            SilencingError::Unused { mode, number } => format!("--{number} needs --mode {mode}"),
            SilencingError::NotFinite(number) => format!("--{number} is no finite number"),
            error @ SilencingError::NoSuchMode(_) => error.to_string(),
        })
    }

    fn silencing(&self) -> Result<Silencing, SilencingError> {
        Silencing::try_new(self.mode.name(), self.factor, self.value)
    }

    fn options(&self) -> Result<AblationOptions, SilencingError> {
        Ok(AblationOptions {
            capture: self.epoch.choice(),
            neurons: match &self.structure {
                Some(name) => ChosenNeurons::Structure(name.clone()),
                None => ChosenNeurons::Named(self.neurons.clone()),
            },
            silencing: self.silencing()?,
            num_draws: self.draws,
            seed: self.seed,
            half: self.half,
            class: self.class,
        })
    }
}

pub(super) fn run(args: &AblateArgs, console: &Console) -> Result<ExitCode> {
    let run = RunDir::open(&args.run)?;
    console.draw_bar("{bar:24} pass {pos}/{len} eta {eta}");
    let (options, data) = (args.options()?, args.place.place());
    let report = ablate(&run, &options, &data, &mut |done, all| {
        console.bar().set_length(all as u64);
        console.bar().set_position(done as u64);
    });
    console.bar().finish_and_clear();
    let report = report?;
    let mut text = String::new();
    write_what(&mut text, &report)?;
    write_figures(&mut text, &report)?;
    let commit = report.findings.commit;
    writeln!(text, "kept in the table ablations (commit {commit})")?;
    print(&text).context("cannot write to stdout")?;
    Ok(ExitCode::SUCCESS)
}

fn write_what(text: &mut String, report: &AblationReport) -> std::fmt::Result {
    let findings = &report.findings;
    writeln!(
        text,
        "epoch {}, step {}, rebuilt on {}",
        findings.capture.epoch, findings.capture.step, report.device
    )?;
    if let Some(reason) = &report.other_device {
        writeln!(text, "  not on the device that was recorded on, {reason}")?;
    }
    write_rounding(text, report.precision)?;
    if let Some(name) = &findings.name {
        writeln!(text, "structure {name}")?;
    }
    for layer in &findings.layers {
        let neurons: Vec<String> = layer.neurons().map(|neuron| neuron.to_string()).collect();
        writeln!(
            text,
            "{} of the {} neurons of {} {}: {}",
            neurons.len(),
            layer.num_units,
            layer.layer,
            findings.silencing,
            neurons.join(", ")
        )?;
    }
    let which = match findings.half {
        Half::All => String::new(),
        half => format!(", the {half} half (seed {})", findings.seed),
    };
    writeln!(text, "{} held-out samples{which}", findings.num_samples)?;
    if let Some(found_on) = findings.flattered_by() {
        writeln!(
            text,
            "  the structure was found on some of these samples ({found_on}), which flatters it"
        )?;
    }
    Ok(())
}

fn write_figures(text: &mut String, report: &AblationReport) -> std::fmt::Result {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let findings = &report.findings;
    let random = format!("{} random", findings.num_draws);
    let has_classes = !report.class_names.is_empty();
    let mut header = vec![
        "samples",
        "",
        "metric",
        "before",
        "after",
        random.as_str(),
        "p",
    ];
    if has_classes {
        header.push("now taken for");
    }
    table.set_header(header);
    for column in [1, 3, 4, 5, 6] {
        let column = table.column_mut(column).expect("the table has it");
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut previous = None;
    for figure in &findings.figures {
        let (mut samples, mut num_samples) = (String::new(), String::new());
        if previous != Some(figure.samples) {
            samples = group_name(report, figure.samples);
            num_samples = figure.num_samples.to_string();
            previous = Some(figure.samples);
        }
        let random = figure.random_mean_and_std();
        let mut row = vec![
            samples,
            num_samples,
            figure.metric.name().replace('_', " "),
            value(figure.metric, figure.before),
            value(figure.metric, figure.after),
            random.map_or_else(String::new, |(mean, std)| {
                let (mean, std) = (value(figure.metric, mean), value(figure.metric, std));
                format!("{mean} ± {std}")
            }),
            figure
                .p_value()
                .map_or_else(String::new, |p| format!("{p:.4}")),
        ];
        if has_classes {
            row.push(taken_for(figure));
        }
        table.add_row(row);
    }
    for line in table.lines() {
        writeln!(text, "{}", line.trim_end())?;
    }
    if findings.num_draws > 0 {
        writeln!(
            text,
            "p: the probability that as many random neurons of the same layers do at least as much harm"
        )?;
    }
    Ok(())
}

fn group_name(report: &AblationReport, group: SampleGroup) -> String {
    let class_name = |class: i32| {
        let name = usize::try_from(class)
            .ok()
            .and_then(|class| report.class_names.get(class));
        match name {
            Some(name) if *name != class.to_string() => format!("class {class} ({name})"),
            _ => format!("class {class}"),
        }
    };
    match group {
        SampleGroup::All => "all".to_owned(),
        SampleGroup::Others => {
            let class = report.findings.of_class.map(class_name);
            format!("all but {}", class.unwrap_or_default())
        }
        SampleGroup::Class(class) => class_name(class),
    }
}

fn value(metric: AblationMetric, value: f64) -> String {
    match metric {
        AblationMetric::Score("r2") | AblationMetric::Loss => format!("{value:.4}"),
        AblationMetric::Score(_) | AblationMetric::AccuracyGap => format!("{:.1}%", 100.0 * value),
    }
}

/// The classes that samples of one are taken for more often than before, the most frequent first.
fn taken_for(figure: &Figure) -> String {
    let Some(Predicted { before, after, .. }) = &figure.predicted else {
        return String::new();
    };
    let own = figure.samples.class();
    let mut gained: Vec<(f64, usize)> = before
        .iter()
        .zip(after)
        .enumerate()
        .filter(|(class, (before, after))| Some(*class as i32) != own && after > before)
        .map(|(class, (_, after))| (*after, class))
        .collect();
    gained.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let told = gained
        .iter()
        .map(|(count, class)| format!("{class} ({count})"));
    told.collect::<Vec<_>>().join(", ")
}
