//! The command line: arguments, printing, exit status.

mod ablate;
mod checkpoints;
mod config;
mod console;
mod data;
mod replay;
mod train;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use bytesize::ByteSize;
use capture::cli::{ChosenEpoch, EPOCH_HELP, ExportArgs, ImportArgs};
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand};
use recorder::{
    ActivationDetail, CheckpointEvery, DEFAULT_ACTIVATION_SAMPLES, DeviceChoice, ImageShape,
    LayerSelection, Limits, MaxOverhead, OnError, Phases, Precision, Recorded, Schedule,
    TrainConfig, WeightDetail, WhenFull,
};
use tracing_subscriber::EnvFilter;

use console::Console;
use data::DataArgs;

/// Exit status after Ctrl-C, as shells have it: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// Trains networks and records what happens inside them.
#[derive(Debug, Parser)]
#[command(name = "recorder", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Say more on stderr; twice for still more (RUST_LOG overrides it)
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Train a network, and record every layer, every neuron, every epoch
    ///
    /// Without options it trains a multi-layer perceptron on the handwritten digits and leaves a
    /// run in traces/digits.
    Train(Box<TrainArgs>),
    /// Rebuild the network of an epoch from its trace, run the held-out set, and compare with
    /// what was recorded
    Replay {
        /// The run's directory
        run: PathBuf,
        #[arg(long, help = EPOCH_HELP, value_name = "N|last", allow_negative_numbers = true)]
        epoch: ChosenEpoch,
        #[command(flatten)]
        place: data::PlaceArgs,
    },
    /// Silence neurons in the network of an epoch, and measure what it loses, by class
    ///
    /// The network is rebuilt from its trace and runs over the held-out samples: as it was, with the
    /// neurons silenced, and with as many random neurons of the same layers silenced instead. The
    /// results are kept in the run, as the table ablations.
    Ablate(ablate::AblateArgs),
    /// Make a run of a series of checkpoints, from PyTorch or any other framework
    Import(ImportArgs),
    /// Write an epoch's weights as a checkpoint that PyTorch's load_state_dict takes
    Export(ExportArgs),
}

impl Verb {
    /// Checks what clap cannot: values that belong together, or have no range of whole numbers.
    fn check(&self) -> Result<(), clap::Error> {
        let args = match self {
            Self::Train(args) => args,
            Self::Ablate(args) => return args.check(),
            Self::Replay { .. } | Self::Import(_) | Self::Export(_) => return Ok(()),
        };
        let config = args.train_config();
        let checked = args.data.spec().map_err(|error| error.to_string());
        let checked = checked.and_then(|_| config.validate().map_err(|error| error.to_string()));
        let checked = checked.and_then(|()| {
            let reached = args.every.check(config.last_epoch());
            reached.map_err(|error| error.to_string())
        });
        let checked = checked.and_then(|()| args.check_model());
        let checked = checked.and_then(|()| args.check_ranks());
        let checked = checked.and_then(|()| args.check_values());
        checked.map_err(|error| {
            let mut command = Cli::command();
            command.build();
            match command.find_subcommand_mut("train") {
                Some(train) => train.error(ErrorKind::ValueValidation, error),
                None => command.error(ErrorKind::ValueValidation, error),
            }
        })
    }
}

#[derive(Debug, Args)]
struct TrainArgs {
    /// A TOML file with options of this command by their names, as epochs = 20; what the command
    /// line says goes before what the file says
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The run's directory, which must not exist or be empty unless --resume goes on with it
    /// [default: traces/<dataset>, or traces/<dataset>-2 and so on where that is taken]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// The network: linear layers alone, or convolutions of 3x3 before them, each with the largest of
    /// every 2x2 positions going on
    #[arg(long, value_enum, default_value_t, value_name = "mlp|cnn")]
    model: Model,
    /// Of a cnn, the channels of each convolution [default: 8,16]
    #[arg(long, value_delimiter = ',', value_name = "CHANNELS,...")]
    channels: Option<Vec<usize>>,
    /// Of a cnn, what image the inputs of a sample are, as 28x28, or 3x32x32 with channels before
    /// [default: what digits and idx data say]
    #[arg(long, value_name = "[CHANNELSx]HEIGHTxWIDTH")]
    image: Option<ImageShape>,
    /// Units of each hidden layer [default: 128,64; cnn: 64; notebook: 10,10]
    #[arg(long, value_delimiter = ',', value_name = "UNITS,...")]
    hidden: Option<Vec<usize>>,
    /// How often to go through the training samples [default: 20; notebook: 100]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Samples of an optimizer step [default: 64; notebook: 5]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Adam's learning rate [default: 1e-3]
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Every random choice follows from it [default: 42]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where to train; auto takes CUDA where it works, else the CPU; vulkan is there in a program
    /// that was built with it
    #[arg(long, default_value_t = DeviceChoice::Auto, value_name = "auto|cpu|cuda[:N]|vulkan[:N]")]
    device: DeviceChoice,
    /// What to record: any of weights, classifications, activations, metrics, gradients (of the last
    /// step before a capture, as the backward pass made them), gradients_applied (as the optimizer used
    /// them), moments (Adam's); or none, which trains and evaluates and writes no run
    #[arg(
        long,
        default_value = "weights,classifications,activations,metrics",
        value_name = "TABLES|none",
        value_parser = RecordedTables::parse
    )]
    record: RecordedTables,
    /// When to capture the network, metrics being recorded every epoch: an interval, as 5epochs (or
    /// 5) and 100steps, or log (epochs 0, 1, 2, 4, 8, ...) and logsteps, all with the last epoch; or
    /// the epochs, as 0,1,2,5,10. An interval from 100 up to and without 200 is 5epochs@100..200;
    /// several are joined by commas, as 1epoch@..10,10epochs
    #[arg(long, default_value_t, value_name = "SCHEDULE")]
    every: Schedule,
    /// Capture the untrained network too, as epoch -1; named queries show it with --param
    /// initial=true
    #[arg(long)]
    record_initial: bool,
    /// Of which layers to record weights and activations, as 'L_hidden_*,!L_hidden_2': globs with
    /// commas between them, a ! before one takes layers out, the last that fits decides [default:
    /// all]
    #[arg(long, value_name = "GLOB,...")]
    layers: Option<LayerSelection>,
    /// Weights: raw values and statistics, or statistics alone, of which no network can be rebuilt
    #[arg(long, default_value = "raw", value_name = "raw|stats")]
    weights: Detail,
    /// Held-out activations: raw values and statistics, or statistics alone
    #[arg(long, default_value = "raw", value_name = "raw|stats")]
    activations: Detail,
    /// Of which samples to record activations: the held-out ones, the first training batch of the
    /// epoch as the captured network sees it, or both
    #[arg(long, default_value_t, value_name = "eval|train|eval,train")]
    phases: Phases,
    /// Samples whose raw activations are kept; statistics always cover all
    #[arg(
        long,
        default_value_t = DEFAULT_ACTIVATION_SAMPLES as u64,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    activation_samples: u64,
    /// Of layers with more units than this, record weights and activations of so many, drawn with
    /// the seed; such a network can be neither replayed nor exported [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    units: Option<u32>,
    /// In how many bits to keep the values of weights and activations: f16 rounds them to 3 decimal
    /// digits, in about half the bytes; statistics are of the values as they were
    #[arg(long, default_value = "f32", value_name = "f32|f16")]
    precision: Bits,
    /// Histograms of each layer's weights and held-out activations, with so many bins, in the table
    /// histograms [default: none]
    #[arg(long, value_name = "BINS", value_parser = clap::value_parser!(u32).range(1..=MAX_BINS))]
    histograms: Option<u32>,
    /// Memory for rows that wait to be written, as 64MiB [default: room for 4 captures, at least
    /// 1MiB and at most 256MiB]
    #[arg(long, value_name = "SIZE")]
    channel_bytes: Option<ByteSize>,
    /// How often to write what training can go on from (parameters and the optimizer's state), at
    /// the end of an epoch; also at the end of training, and of the last whole epoch after Ctrl-C, but
    /// for never. Only the newest is kept
    #[arg(long, default_value_t, value_name = "30s|Nepochs|never")]
    checkpoint_every: CheckpointEvery,
    /// Go on with the run in --out from its newest checkpoint, or from the beginning where there is
    /// none; the other options must be those that it was begun with, save that --epochs may be more: a
    /// finished run is trained for longer. What was recorded after that moment is recorded anew
    #[arg(long)]
    resume: bool,
    /// This process among those that record the run, from 0: all train the same network, and each
    /// records its share of the layers; rank 0 creates the run
    #[arg(long, default_value_t = 0, value_name = "R")]
    rank: u32,
    /// How many processes record the run; each is started with the same options, but for its --rank
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=MAX_WORLD_SIZE)
    )]
    world_size: u32,
    /// What happens to a capture when the values of the one before are not on the host yet
    #[arg(long, value_enum, default_value_t, value_name = "block|thin|drop")]
    when_full: WhenFull,
    /// How much of the training time recording may cost, as 2%: captures that are due are thinned out
    /// to keep within it, the last epoch's is always taken [default: all captures are taken]
    #[arg(long, value_name = "SHARE")]
    max_overhead: Option<MaxOverhead>,
    /// How much of the disk the run may take, as 20GB: recording stops before a capture that might
    /// not fit, training goes on [default: what it takes]
    #[arg(long, value_name = "SIZE")]
    max_disk: Option<ByteSize>,
    /// What happens to training when recording fails; in either case what was committed stays.
    /// With continue, a training that gets to its end exits with 0 and its summary says what was
    /// lost
    #[arg(long, value_enum, default_value_t, value_name = "stop|continue")]
    on_error: OnError,
}

/// The most processes that record one run.
const MAX_WORLD_SIZE: i64 = 1 << 20;

/// The most bins of a histogram: more would be as long as the values themselves.
const MAX_BINS: i64 = 1 << 16;

/// The channels of a network's convolutions, unless told otherwise.
const DEFAULT_CHANNELS: [usize; 2] = [8, 16];

/// The units of the hidden layer behind them, unless told otherwise.
const DEFAULT_CNN_HIDDEN: usize = 64;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Model {
    #[default]
    Mlp,
    Cnn,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Detail {
    Raw,
    Stats,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Bits {
    F32,
    F16,
}

/// What `--record` names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct RecordedTables {
    weights: bool,
    classifications: bool,
    activations: bool,
    metrics: bool,
    gradients: bool,
    gradients_applied: bool,
    moments: bool,
}

impl RecordedTables {
    fn parse(text: &str) -> Result<Self, String> {
        let mut tables = Self::default();
        if text == "none" {
            return Ok(tables);
        }
        for name in text.split(',') {
            let table = match name {
                "weights" => &mut tables.weights,
                "classifications" => &mut tables.classifications,
                "activations" => &mut tables.activations,
                "metrics" => &mut tables.metrics,
                "gradients" => &mut tables.gradients,
                "gradients_applied" => &mut tables.gradients_applied,
                "moments" => &mut tables.moments,
                "none" => return Err("none stands alone".to_owned()),
                _ => {
                    return Err(format!(
                        "{name:?} cannot be recorded: name any of weights, classifications, \
                         activations, metrics, gradients, gradients_applied, moments, with commas between them, or none"
                    ));
                }
            };
            if std::mem::replace(table, true) {
                return Err(format!("{name} is named twice"));
            }
        }
        Ok(tables)
    }
}

impl TrainArgs {
    fn train_config(&self) -> TrainConfig {
        let mut default = TrainConfig::default_for(self.data.trained_as());
        if self.model == Model::Cnn {
            default.channels = DEFAULT_CHANNELS.to_vec();
            default.hidden = vec![DEFAULT_CNN_HIDDEN];
        }
        TrainConfig {
            channels: self.channels.clone().unwrap_or(default.channels),
            image: self.image,
            hidden: self.hidden.clone().unwrap_or(default.hidden),
            activation: default.activation,
            epochs: self.epochs.unwrap_or(default.epochs),
            batch_size: self.batch_size.unwrap_or(default.batch_size),
            learning_rate: self.lr.unwrap_or(default.learning_rate),
            seed: self.seed.unwrap_or(default.seed),
        }
    }

    fn check_model(&self) -> Result<(), String> {
        if self.model == Model::Mlp {
            let given = [
                ("--channels", self.channels.is_some()),
                ("--image", self.image.is_some()),
            ];
            if let Some((option, _)) = given.iter().find(|(_, is_given)| *is_given) {
                return Err(format!("{option} needs --model cnn"));
            }
        }
        Ok(())
    }

    /// Checks what ranks and resuming need.
    fn check_ranks(&self) -> Result<(), String> {
        let (rank, world_size) = (self.rank, self.world_size);
        if rank >= world_size {
            return Err(format!(
                "there is no rank {rank} among {world_size}: ranks are 0 to {}; --world-size says how \
                 many there are",
                world_size - 1
            ));
        }
        if world_size > 1 && self.out.is_none() {
            return Err("--world-size needs --out, the same for all ranks".to_owned());
        }
        if self.resume && self.out.is_none() {
            return Err("--resume needs --out, the run to go on with".to_owned());
        }
        if self.resume && self.record == RecordedTables::default() {
            return Err("--resume goes on with a run, and --record none writes none".to_owned());
        }
        if world_size > 1 && self.limits().leave_captures_out() {
            return Err(
                "--when-full thin, --when-full drop, --max-overhead and --max-disk need one process: ranks would \
                 leave out different captures"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits {
            when_full: self.when_full,
            on_error: self.on_error,
            max_overhead: self.max_overhead,
            max_disk: self.max_disk.map(|size| size.as_u64()),
        }
    }

    /// Checks that what is said of values is said of some that are recorded.
    fn check_values(&self) -> Result<(), String> {
        if self.phases != Phases::default() && !self.record.activations {
            return Err("--phases is of activations, which are not in --record".to_owned());
        }
        let has_values = self.record.weights || (self.record.activations && self.phases.eval);
        if self.histograms.is_some() && !has_values {
            let needed = "--histograms needs weights or held-out activations in --record";
            return Err(needed.to_owned());
        }
        Ok(())
    }

    /// `None` where nothing is recorded.
    fn recorded(&self) -> Option<Recorded> {
        let tables = self.record;
        (tables != RecordedTables::default()).then(|| Recorded {
            weights: tables.weights.then_some(match self.weights {
                Detail::Raw => WeightDetail::Raw,
                Detail::Stats => WeightDetail::Statistics,
            }),
            classifications: tables.classifications,
            activations: tables.activations.then_some(match self.activations {
                Detail::Raw => ActivationDetail::Raw {
                    // More than there can be is all of them.
                    samples: usize::try_from(self.activation_samples).unwrap_or(usize::MAX),
                },
                Detail::Stats => ActivationDetail::Statistics,
            }),
            metrics: tables.metrics,
            gradients: tables.gradients,
            gradients_applied: tables.gradients_applied,
            moments: tables.moments,
            units: self.units.and_then(NonZeroU32::new),
            histograms: self.histograms.and_then(NonZeroU32::new),
            phases: self.phases,
            precision: match self.precision {
                Bits::F32 => Precision::F32,
                Bits::F16 => Precision::F16,
            },
        })
    }
}

/// Runs the command line: 0 for done, 1 for failed, 2 for wrong usage, 130 after Ctrl-C.
pub(crate) fn main() -> ExitCode {
    let arguments = config::expand(&Cli::command(), std::env::args_os().collect());
    let cli = arguments.and_then(Cli::try_parse_from);
    let cli = cli.unwrap_or_else(|error| error.exit());
    if let Err(error) = cli.verb.check() {
        error.exit();
    }
    let console = Console::default();
    start_logging(cli.verbose, console.clone());
    let result = match &cli.verb {
        Verb::Train(args) => train::run(args, &console),
        Verb::Replay { run, epoch, place } => replay::run(run, *epoch, &place.place()),
        Verb::Ablate(args) => ablate::run(args, &console),
        Verb::Import(args) => checkpoints::import(args, &console),
        Verb::Export(args) => checkpoints::export(args),
    };
    result.unwrap_or_else(|error| {
        console.say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Prints a result; whoever reads it, as `head`, may have had enough.
fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    match std::io::stdout().write_all(trace::printable(text).as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn start_logging(verbose: u8, console: Console) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || console.clone())
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_to_record_is_a_list_or_none() {
        let all = RecordedTables {
            weights: true,
            classifications: true,
            activations: true,
            metrics: true,
            gradients: true,
            gradients_applied: true,
            moments: true,
        };
        let parsed = RecordedTables::parse(
            "weights,classifications,activations,metrics,gradients,gradients_applied,moments",
        );
        assert_eq!(parsed, Ok(all));
        assert_eq!(RecordedTables::parse("none"), Ok(RecordedTables::default()));
        for wrong in [
            "",
            "weight",
            "weights,none",
            "weights,weights",
            "weights, metrics",
        ] {
            assert!(RecordedTables::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_notebook_has_defaults_of_its_own() {
        let parse = |arguments: &[&str]| {
            let arguments = ["recorder", "train"].iter().chain(arguments);
            match Cli::try_parse_from(arguments).unwrap().verb {
                Verb::Train(args) => args.train_config(),
                _ => unreachable!("the verb is train"),
            }
        };
        let notebook = parse(&["--dataset", "notebook", "--lr", "0.5"]);
        assert_eq!((notebook.epochs, notebook.batch_size), (100, 5));
        assert_eq!(
            (notebook.hidden, notebook.learning_rate),
            (vec![10, 10], 0.5)
        );
        let digits = parse(&["--hidden", "3,2"]);
        assert_eq!((digits.epochs, digits.batch_size), (20, 64));
        assert_eq!((digits.hidden, digits.learning_rate), (vec![3, 2], 1e-3));
    }
}
