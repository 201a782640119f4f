//! What a session is asked for.

use std::path::PathBuf;

use capture::{LayerSelection, Limits, Recorded, SaveEvery, Schedule};
use sink::{Compress, MaxPartBytes, OnCommit};
use trace::Rank;

use crate::dataset::DatasetSpec;
use crate::device::DeviceChoice;
use crate::training::TrainConfig;

/// What to train, on what, and what to record of it.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The run's directory; none for one below [`DEFAULT_ROOT`](crate::DEFAULT_ROOT).
    pub out: Option<PathBuf>,
    /// The data.
    pub dataset: DatasetSpec,
    /// The network and how it is trained.
    pub train: TrainConfig,
    /// The device.
    pub device: DeviceChoice,
    /// What is recorded; `None` trains and evaluates and writes nothing.
    pub recorded: Option<Recorded>,
    /// When the network is captured.
    pub schedule: Schedule,
    /// Whether the network is captured as epoch -1 before it is trained.
    pub record_initial: bool,
    /// Of which layers weights and activations are recorded.
    pub layers: LayerSelection,
    /// Budget of the channel to the sink; none for [`Recorded::default_channel_bytes`].
    pub channel_bytes: Option<u64>,
    /// Which columns are compressed; none for those that the last session of a run that is gone on with compressed,
    /// [`Compress::Auto`] in a run that is begun.
    pub compress: Option<Compress>,
    /// How much of a layer goes into one part file; none for what the last session of a run that is gone on with put
    /// into one, [`MaxPartBytes::default`] in a run that is begun.
    pub max_part_bytes: Option<MaxPartBytes>,
    /// How often what training can go on from is written; also at the end, and where the session is
    /// cancelled, unless it is never.
    pub save_every: SaveEvery,
    /// Whether to go on with the run in [`SessionOptions::out`], which may have been interrupted, or
    /// be finished and is now to be trained for more epochs.
    pub resume: bool,
    /// This process among those that record the run.
    pub rank: Rank,
    /// How many processes record the run, each as a rank from 0 on. Each trains the same network
    /// and records its share of the layers; rank 0 records the classifications and the figures of
    /// training, too.
    pub world_size: u32,
    /// What recording may take, and what happens where it cannot keep up or fails.
    pub limits: Limits,
    /// Who is told of what was committed, if anybody.
    pub on_commit: Option<OnCommit>,
}
