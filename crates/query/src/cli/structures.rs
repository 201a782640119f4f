//! `query structures`: finding, naming and showing sets of neurons.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use datafusion::logical_expr::{col, lit};
use query::analysis::Measure;
use query::{FindOptions, QueryError, Structure, StructurePower};
use trace::Half;

use super::memory::MemoryArgs;
use super::{OutputArgs, answer, finish, open};

#[derive(Subcommand)]
pub(super) enum StructuresCommand {
    /// Find the neurons that go with each class more than chance explains, and keep them
    Find(Box<FindArgs>),
    /// Give a structure another name
    Label {
        /// The run's directory
        run: PathBuf,
        /// The structure's name
        name: String,
        /// The name that it gets
        label: String,
    },
    /// List the run's structures
    List {
        /// The run's directory
        run: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        memory: MemoryArgs,
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
        memory: MemoryArgs,
    },
}

#[derive(Args)]
pub(super) struct FindArgs {
    /// The run's directory
    run: PathBuf,
    /// The epoch at which neurons are looked for
    #[arg(long, default_value = "last")]
    epoch: String,
    /// Look for neurons of this class alone
    #[arg(long)]
    class: Option<i32>,
    /// Look for neurons in this layer alone
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
    memory: MemoryArgs,
}

pub(super) fn run(command: StructuresCommand) -> anyhow::Result<ExitCode> {
    match command {
        StructuresCommand::Find(args) => find(*args),
        StructuresCommand::Label { run, name, label } => {
            open(&run)?.label_structure(&name, &label)?;
            eprintln!("{name} is {label} now");
            Ok(ExitCode::SUCCESS)
        }
        StructuresCommand::List {
            run,
            output,
            memory,
        } => {
            const LIST: &str = "SELECT name, class, epoch, count(*) AS neurons,
                min(first_epoch) AS first_epoch, max(last_epoch) AS last_epoch,
                avg(score) AS mean_score, max(p_value) AS p_value, measure, half
                FROM structures GROUP BY name, class, epoch, measure, half ORDER BY class, name";
            let destination = output.destination().open()?;
            let session = open(&run)?.session(memory.session_options())?;
            finish(async {
                let rows = session.sql(LIST).await?;
                destination
                    .write(rows.execute_stream().await.map_err(QueryError::from)?)
                    .await
            })
        }
        StructuresCommand::Show {
            run,
            name,
            output,
            memory,
        } => {
            const SHOW: &str = "SELECT name, class, layer, neuron, first_epoch, last_epoch, score,
                p_value, measure, half, seed FROM structures ORDER BY abs(score) DESC, neuron";
            let opened = open(&run)?;
            opened.require_structure(&name)?;
            let destination = output.destination().open()?;
            let session = opened.session(memory.session_options())?;
            finish(async {
                let rows = session.sql(SHOW).await?;
                let rows = rows.filter(col("name").eq(lit(name.as_str())));
                let rows = rows.map_err(QueryError::from)?;
                let power = session.structure_power(&name).await?;
                destination
                    .write(rows.execute_stream().await.map_err(QueryError::from)?)
                    .await?;
                if let Some(power) = power {
                    eprintln!("{}", told(&power));
                }
                Ok(())
            })
        }
    }
}

fn find(args: FindArgs) -> anyhow::Result<ExitCode> {
    let run = open(&args.run)?;
    let session = run.session(args.memory.session_options())?;
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
    finish(async {
        let found = session.find_structures(&options).await?;
        if found.is_empty() {
            eprintln!("no neuron goes with a class more than chance explains");
            return Ok(());
        }
        if !args.dry_run {
            run.keep_structures(&found, args.force)?;
        }
        answer::print(&found.iter().map(line).collect::<String>())?;
        if !args.dry_run {
            eprintln!("kept {} structures in the table structures", found.len());
        }
        Ok(())
    })
}

/// `class_3: neurons 12, 140 (L_hidden_1, L_input), the first from epoch 2 on, score 0.81 to 0.55`
fn line(structure: &Structure) -> String {
    let neurons = &structure.neurons;
    let ids: Vec<String> = neurons.iter().map(|n| n.neuron.to_string()).collect();
    let layers: BTreeSet<&str> = neurons.iter().map(|n| n.layer.as_str()).collect();
    let layers: Vec<&str> = layers.into_iter().collect();
    let first = neurons.iter().map(|neuron| neuron.first_epoch).min();
    let score = |neuron: Option<&query::StructureNeuron>| neuron.map_or(0.0, |n| n.score);
    format!(
        "{}: neurons {} ({}), the first from epoch {} on, {} {:.3} to {:.3}\n",
        structure.name,
        ids.join(", "),
        layers.join(", "),
        first.unwrap_or(0),
        structure.measure.name(),
        score(neurons.first()),
        score(neurons.last()),
    )
}

fn told(power: &StructurePower) -> String {
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
