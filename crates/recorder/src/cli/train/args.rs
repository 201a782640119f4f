//! The options of `recorder train`, and what they ask for.

use std::num::NonZeroU32;
use std::path::PathBuf;

use bytesize::ByteSize;
use capture::parse_part_size;
use clap::Args;
use recorder::{
    ActivationDetail, DEFAULT_ACTIVATION_SAMPLES, DatasetError, DeviceChoice, ImageShape,
    LayerSelection, Limits, MaxOverhead, OnError, Phases, Precision, Recorded, SaveEvery, Schedule,
    SessionOptions, TrainConfig, WeightDetail, WhenFull,
};
use sink::{Compress, MaxPartBytes};
use trace::Rank;

use super::data::DataArgs;
use super::tables::RecordedTables;

#[derive(Debug, Args)]
pub(in crate::cli) struct TrainArgs {
    /// A TOML file with options of this command by their names, as epochs = 20; what the command
    /// line says goes before what the file says
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The run's directory, which must not exist or be empty unless --resume goes on with it
    /// [default: traces/<dataset>, or traces/<dataset>-2 and so on where that is taken]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// The network: linear layers alone, or convolutions of 3x3 before them, each with the largest of
    /// every 2x2 positions going on
    #[arg(long, value_enum, default_value_t, value_name = "mlp|cnn")]
    pub(super) model: Model,
    /// Of a cnn, the channels of each convolution [default: 8,16]
    #[arg(long, value_delimiter = ',', value_name = "CHANNELS,...")]
    pub(super) channels: Option<Vec<usize>>,
    /// Of a cnn, what image the inputs of a sample are, as 28x28, or 3x32x32 with channels before
    /// [default: what digits and idx data say]
    #[arg(long, value_name = "[CHANNELSx]HEIGHTxWIDTH")]
    pub(super) image: Option<ImageShape>,
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
    pub(super) record: RecordedTables,
    /// When to capture the network, metrics being recorded every epoch: an interval, as 5epochs (or
    /// 5) and 100steps, or log (epochs 0, 1, 2, 4, 8, ...) and logsteps, all with the last epoch; or
    /// the epochs, as 0,1,2,5,10. An interval from 100 up to and without 200 is 5epochs@100..200;
    /// several are joined by commas, as 1epoch@..10,10epochs
    #[arg(long, default_value_t, value_name = "SCHEDULE")]
    pub(super) every: Schedule,
    /// Capture the untrained network too, as epoch -1; named queries show it with --param
    /// initial=true
    #[arg(long)]
    pub(super) record_initial: bool,
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
    /// Gradients and moments: raw values and statistics, or statistics alone
    #[arg(long, default_value = "raw", value_name = "raw|stats")]
    pub(super) gradients: Detail,
    /// Of which samples to record activations: the held-out ones, the first training batch of the
    /// epoch as the captured network sees it, or both
    #[arg(long, default_value_t, value_name = "eval|train|eval,train")]
    pub(super) phases: Phases,
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
    /// digits, so that they compress to about half; statistics are of the values as they were
    #[arg(long, default_value = "f32", value_name = "f32|f16")]
    precision: Bits,
    /// Histograms of each layer's weights and held-out activations, with so many bins, in the table
    /// histograms [default: none]
    #[arg(long, value_name = "BINS", value_parser = clap::value_parser!(u32).range(1..=MAX_BINS))]
    pub(super) histograms: Option<u32>,
    /// Memory for what waits to be written, values and the rows that are made of them, as 64MiB
    /// [default: room for 4 captures, at least 1MiB and at most 256MiB]
    #[arg(long, value_name = "SIZE")]
    channel_bytes: Option<ByteSize>,
    /// What to compress: auto is what becomes a fifth smaller or more, as activations behind a ReLU do; size is
    /// what becomes smaller by 3% or more, as weights do by a sixth, which every query has to unpack; none is nothing
    /// [default: auto; with --resume what the run's last session compressed]
    #[arg(long, value_name = "auto|size|none")]
    compress: Option<Compress>,
    /// How much of a layer to put into one part file, its values as 32-bit floats, as 64MiB, 4KiB at least: a
    /// larger one is split by its units [default: 256MiB; with --resume what the run's last session said]
    #[arg(long, value_name = "SIZE", value_parser = parse_part_size)]
    max_part_bytes: Option<MaxPartBytes>,
    /// How often to write what training can go on from (parameters and the optimizer's state), at
    /// the end of an epoch; also at the end of training, and of the last whole epoch after Ctrl-C, but
    /// for never. Only the newest is kept
    #[arg(long, default_value_t, value_name = "30s|Nepochs|never")]
    checkpoint_every: SaveEvery,
    /// Go on with the run in --out from its newest checkpoint, or from the beginning where there is
    /// none; the other options must be those that it was begun with, save that --epochs may be more: a
    /// finished run is trained for longer. What was recorded after that moment is recorded anew
    #[arg(long)]
    pub(super) resume: bool,
    /// This process among those that record the run, from 0: all train the same network, and each
    /// records its share of the layers; rank 0 creates the run
    #[arg(long, default_value_t = 0, value_name = "R")]
    pub(super) rank: u32,
    /// How many processes record the run; each is started with the same options, but for its --rank
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(trace::MAX_WORLD_SIZE))
    )]
    pub(super) world_size: u32,
    /// What happens to a capture when the values of the one before are not on the host yet
    #[arg(long, value_enum, default_value_t, value_name = "block|thin|drop")]
    when_full: WhenFullArg,
    /// How much of the training time recording may cost, as 2%: captures that are due are thinned out
    /// to keep within it, the last epoch's is always taken [default: all captures are taken]
    #[arg(long, value_name = "SHARE")]
    max_overhead: Option<MaxOverhead>,
    /// How much of the disk the run may take, as 20GB: recording stops before a capture that might
    /// not fit, training goes on [default: what it takes]
    #[arg(long, value_name = "SIZE")]
    max_disk: Option<ByteSize>,
    /// Where to tell what is committed, as that happens: a line of JSON a commit (number, time, captures)
    /// at the end of this file, or on stdout by -; what a line says survives any crash. Whoever
    /// reads has to keep up, one that goes away does no harm
    #[arg(long, value_name = "FILE|-")]
    pub(super) commits: Option<PathBuf>,
    /// What happens to training when recording fails; in either case what was committed stays.
    /// With continue, a training that gets to its end exits with 0 and its summary says what was
    /// lost
    #[arg(long, value_enum, default_value_t, value_name = "stop|continue")]
    on_error: OnErrorArg,
}

/// The most bins of a histogram: more would be as long as the values themselves.
const MAX_BINS: i64 = 1 << 16;

/// The channels of a network's convolutions, unless told otherwise.
const DEFAULT_CHANNELS: [usize; 2] = [8, 16];

/// The units of the hidden layer behind them, unless told otherwise.
const DEFAULT_CNN_HIDDEN: usize = 64;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Model {
    #[default]
    Mlp,
    Cnn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Detail {
    Raw,
    Stats,
}

impl From<Detail> for WeightDetail {
    fn from(argument: Detail) -> Self {
        match argument {
            Detail::Raw => Self::Raw,
            Detail::Stats => Self::Statistics,
        }
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Bits {
    F32,
    F16,
}

/// `--when-full`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum WhenFullArg {
    /// Training waits for room: nothing is ever left out
    #[default]
    Block,
    /// Training waits for room, and fewer captures are taken, so that what recording costs is
    /// within --max-overhead, 2% unless it is given
    Thin,
    /// The capture is dropped and counted, its metrics are kept; the last epoch's is waited for
    Drop,
}

impl From<WhenFullArg> for WhenFull {
    fn from(argument: WhenFullArg) -> Self {
        match argument {
            WhenFullArg::Block => Self::Block,
            WhenFullArg::Thin => Self::Thin,
            WhenFullArg::Drop => Self::Drop,
        }
    }
}

/// `--on-error`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum OnErrorArg {
    /// Training stops with the error
    #[default]
    Stop,
    /// The error is said once, training goes on, and later captures are lost and counted. Where there was no
    /// room, recording goes on as soon as there is. A failure of the device stops training all the same
    Continue,
}

impl From<OnErrorArg> for OnError {
    fn from(argument: OnErrorArg) -> Self {
        match argument {
            OnErrorArg::Stop => Self::Stop,
            OnErrorArg::Continue => Self::Continue,
        }
    }
}

impl TrainArgs {
    /// The session that is asked for.
    ///
    /// # Errors
    /// If options of the data do not go together.
    pub(super) fn session(&self) -> Result<SessionOptions, DatasetError> {
        Ok(SessionOptions {
            out: self.out.clone(),
            dataset: self.data.spec()?,
            train: self.train_config(),
            device: self.device,
            recorded: self.recorded(),
            schedule: self.every.clone(),
            record_initial: self.record_initial,
            layers: self.layers.clone().unwrap_or_default(),
            channel_bytes: self.channel_bytes.map(|size| size.as_u64()),
            compress: self.compress,
            max_part_bytes: self.max_part_bytes,
            save_every: self.checkpoint_every,
            resume: self.resume,
            rank: Rank(self.rank.cast_signed()),
            world_size: self.world_size,
            limits: self.limits(),
            on_commit: None,
        })
    }

    pub(super) fn train_config(&self) -> TrainConfig {
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

    pub(super) fn limits(&self) -> Limits {
        Limits {
            when_full: self.when_full.into(),
            on_error: self.on_error.into(),
            max_overhead: self.max_overhead,
            max_disk: self.max_disk.map(|size| size.as_u64()),
        }
    }

    /// `None` where nothing is recorded.
    fn recorded(&self) -> Option<Recorded> {
        let tables = self.record;
        (tables != RecordedTables::default()).then(|| Recorded {
            weights: tables.weights.then_some(self.weights.into()),
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
            gradient_detail: self.gradients.into(),
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::{Cli, Verb};

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
