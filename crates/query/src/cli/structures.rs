//! `query structures`: finding, naming, showing and removing sets of neurons.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use analysis::{Half, Measure};
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use clap::{Args, Subcommand};
use sql::QueryError;
use studies::{
    FindOptions, LabelOptions, Structure, StructureNeuron, StructurePower, find_structures,
    keep_structures, label_structure, list_structures, named_structure, remove_structures,
    require_structure, structure_power, structure_rows,
};
use words::NeuronName;

use super::answer;
use super::answer::say;
use super::interrupt::exit_early;
use super::limits::LimitArgs;
use super::output::OutputArgs;
use super::session::{finish, finished, open};

#[derive(Subcommand)]
pub enum StructuresCommand {
    /// Find the neurons that go with each class more than chance explains, and keep them
    Find(Box<FindArgs>),
    /// Give a structure another name, or name neurons of your own choice
    #[command(override_usage = "query structures label <RUN> <NAME> <LABEL>
       query structures label <RUN> <NAME> --neurons <[LAYER:]N,...> [OPTIONS]")]
    Label(LabelArgs),
    /// Remove structures; the rows of ablations that silenced them stay
    Remove {
        /// The run's directory
        run: PathBuf,
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// List the run's structures
    List {
        /// The run's directory
        run: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// Show a structure's neurons, and how well they tell its class together
    Show {
        /// The run's directory
        run: PathBuf,
        /// The structure's name
        name: String,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        limits: LimitArgs,
    },
}

#[derive(Args)]
pub struct FindArgs {
    /// The run's directory
    run: PathBuf,
    /// The epoch at which neurons are looked for
    #[arg(long, default_value = "last")]
    epoch: String,
    /// Look for neurons of this class alone: its number or name
    #[arg(long)]
    class: Option<String>,
    /// Look for neurons in this layer alone, or in those that a glob fits
    #[arg(long)]
    layer: Option<String>,
    /// The most neurons of a structure
    #[arg(long, default_value_t = 5)]
    size: u32,
    /// Neurons that are more active with the class, less, or either
    #[arg(long, default_value = "positive", value_parser = PossibleValuesParser::new(["positive", "negative", "any"]))]
    sign: String,
    /// What neurons are ranked by: correlation, mutual_information or auc
    #[arg(long, default_value = "correlation")]
    measure: Measure,
    /// The held-out samples that are looked at: all, or one half of each class, so that the other
    /// can judge
    #[arg(long, default_value = "all")]
    half: Half,
    /// Seed of halves and permutations
    #[arg(long, default_value_t = 42, value_parser = clap::value_parser!(i64).range(0..))]
    seed: i64,
    /// How many permutations p-values are made of
    #[arg(long, default_value_t = 1000)]
    permutations: u32,
    /// What the structures' names begin with; their class follows
    #[arg(long, default_value = "class_")]
    prefix: String,
    /// Replace structures of the same names
    #[arg(long)]
    force: bool,
    /// Show what would be found and keep nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Args)]
pub struct LabelArgs {
    /// The run's directory
    run: PathBuf,
    /// The structure's name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// The name that it gets
    #[arg(required_unless_present = "neurons", conflicts_with = "neurons", value_parser = NonEmptyStringValueParser::new())]
    label: Option<String>,
    /// Make a structure of these neurons: each by its number in the tables, as 17, or with its layer,
    /// as L_hidden_1:17
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "[LAYER:]N,...",
        allow_negative_numbers = true
    )]
    neurons: Vec<NeuronName>,
    /// The class that they go with: its number or name
    #[arg(long, requires = "neurons")]
    class: Option<String>,
    /// The epochs for which they belong to it, up to B and without it; either can be left out
    /// [default: all that were captured]
    #[arg(long, value_name = "A..B", requires = "neurons")]
    epochs: Option<EpochRange>,
    /// Replace a structure of the same name
    #[arg(long, requires = "neurons")]
    force: bool,
}

/// Epochs in a row; without a bound on either side where it is none.
#[derive(Debug, Clone, Copy, Default)]
struct EpochRange {
    first: Option<i32>,
    last: Option<i32>,
}

impl FromStr for EpochRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bound = |text: &str| match text {
            "" => Some(None),
            number => number.parse::<i32>().ok().map(Some),
        };
        let bounds = text.split_once("..");
        let bounds = bounds.and_then(|(first, until)| bound(first).zip(bound(until)));
        match bounds {
            Some((first, until)) if first.zip(until).is_none_or(|(a, b)| a < b) => Ok(Self {
                first,
                last: until.map(|until| until.saturating_sub(1)),
            }),
            _ => Err("expected epochs as 5..20, the second above the first".to_owned()),
        }
    }
}

pub(super) fn run(command: StructuresCommand) -> anyhow::Result<ExitCode> {
    match command {
        StructuresCommand::Find(args) => find(*args),
        StructuresCommand::Label(args) => label(args),
        StructuresCommand::Remove { run, names } => {
            let names: BTreeSet<String> = names.into_iter().collect();
            remove_structures(&open(&run)?, &names)?;
            for name in &names {
                say!("{name} is no structure of the run any more");
            }
            Ok(ExitCode::SUCCESS)
        }
        StructuresCommand::List {
            run,
            output,
            limits,
        } => {
            let destination = output.destination()?.open(&limits)?;
            let session = open(&run)?.session(limits.session_options())?;
            finish(async {
                let rows = list_structures(&session).await?;
                destination
                    .write(rows.execute_stream().await.map_err(QueryError::from)?)
                    .await
            })
        }
        StructuresCommand::Show {
            run,
            name,
            output,
            limits,
        } => {
            let opened = open(&run)?;
            require_structure(&opened, &name)?;
            let destination = output.destination()?.open(&limits)?;
            let session = opened.session(limits.session_options())?;
            finish(async {
                let rows = structure_rows(&session, &name).await?;
                let power = structure_power(&session, &name).await;
                destination
                    .write(rows.execute_stream().await.map_err(QueryError::from)?)
                    .await?;
                match power {
                    Ok(Some(power)) => say!("{}", describe_power(&power)),
                    Ok(None) => {}
                    // What is kept of it is shown all the same.
                    Err(error) => {
                        say!("how well they tell their class cannot be said: {error}")
                    }
                }
                Ok(())
            })
        }
    }
}

fn label(args: LabelArgs) -> anyhow::Result<ExitCode> {
    let run = open(&args.run)?;
    if let Some(label) = args.label {
        label_structure(&run, &args.name, &label)?;
        say!("{} is {label} now", args.name);
        return Ok(ExitCode::SUCCESS);
    }
    let epochs = args.epochs.unwrap_or_default();
    let structure = named_structure(
        &run,
        &LabelOptions {
            name: args.name,
            neurons: args.neurons,
            class: args.class,
            first_epoch: epochs.first,
            last_epoch: epochs.last,
        },
    )?;
    keep_structures(&run, std::slice::from_ref(&structure), args.force)?;
    answer::print(&line(&structure))?;
    Ok(ExitCode::SUCCESS)
}

fn find(args: FindArgs) -> anyhow::Result<ExitCode> {
    let mut ends = exit_early()?;
    ends.count(&args.limits)?;
    let run = open(&args.run)?;
    let session = run.session(args.limits.session_options())?;
    let options = FindOptions {
        epoch: args.epoch,
        class: args.class,
        layer: args.layer,
        size: args.size,
        sign: args.sign,
        measure: args.measure,
        half: args.half,
        seed: args.seed,
        permutations: args.permutations,
        prefix: args.prefix,
    };
    let found = finished(async { Ok(find_structures(&session, &options).await?) })?;
    // What is kept is kept as a whole.
    drop(ends);
    if found.is_empty() {
        say!("no neuron goes with a class more than chance explains");
        return Ok(ExitCode::SUCCESS);
    }
    if !args.dry_run {
        keep_structures(&run, &found, args.force)?;
    }
    answer::print(&found.iter().map(line).collect::<String>())?;
    if !args.dry_run {
        say!("kept {} structures in the table structures", found.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// `class_3: neurons 12, 140 (L_hidden_1, L_input), the first from epoch 2 on, auc 0.981 to 0.955`, or,
/// of neurons that somebody named, `mine: neurons 12, 140 (L_hidden_1, L_input), epochs 0 to 19`
fn line(structure: &Structure) -> String {
    let neurons = &structure.neurons;
    let ids: Vec<String> = neurons.iter().map(|n| n.neuron.to_string()).collect();
    let layers: BTreeSet<&str> = neurons.iter().map(|n| n.layer.as_str()).collect();
    let layers: Vec<&str> = layers.into_iter().collect();
    let first = neurons.iter().map(|neuron| neuron.first_epoch).min();
    let first = first.unwrap_or(0);
    let score = |neuron: Option<&StructureNeuron>| neuron.and_then(|n| n.score).unwrap_or(0.0);
    let told = match structure.found {
        Some(found) => format!(
            "the first from epoch {first} on, {} {:.3} to {:.3}",
            found.measure.name(),
            score(neurons.first()),
            score(neurons.last()),
        ),
        None => {
            let last = neurons.last().map_or(first, |neuron| neuron.last_epoch);
            format!("epochs {first} to {last}")
        }
    };
    format!(
        "{}: neurons {} ({}), {told}\n",
        structure.name,
        ids.join(", "),
        layers.join(", "),
    )
}

fn describe_power(power: &StructurePower) -> String {
    let samples = match power.half {
        Half::All => "all held-out samples".to_owned(),
        half => format!("the {half} half of the held-out samples"),
    };
    format!(
        "together, at epoch {} on {samples}: {:.1}% right by a linear probe (without a look at them \
         {:.1}%), AUC {:.3}",
        power.epoch,
        100.0 * power.power.accuracy,
        100.0 * power.power.majority,
        power.power.auc,
    )
}
