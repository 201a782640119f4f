use std::path::Path;

use arrow::array::{Array as _, AsArray};
use arrow::datatypes::{Float32Type, Int32Type};
use capture::{
    ActivationDetail, CaptureChoice, LayerSelection, Limits, Recorded, SaveEvery, Schedule,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trace::{Catalog, Epoch, Rank, RunDir, Table};

use super::*;
use crate::dataset::DatasetKind;
use crate::device::DeviceChoice;
use crate::device::testing::devices;
use crate::model::NetworkParameters;
use crate::replay::replay;
use crate::testing::read_part;

mod cost;
mod detail;
mod failures;
mod optimizer;
mod replay;
mod resumed;
mod schedule;
mod weights;

const EVERYTHING: Recorded = Recorded {
    activations: Some(ActivationDetail::Raw { samples: 100 }),
    ..Recorded::DEFAULT
};

struct Silent;

impl SessionObserver for Silent {
    fn started(&mut self, _: &Resolution, _: Option<&Path>) {}
    fn epoch_done(&mut self, _: &EpochProgress) {}
}

fn options(out: &Path, recorded: Option<Recorded>) -> SessionOptions {
    SessionOptions {
        out: Some(out.to_owned()),
        dataset: DatasetKind::Digits.into(),
        train: TrainConfig {
            hidden: vec![24, 12],
            epochs: 3,
            ..TrainConfig::default_for(DatasetKind::Digits)
        },
        device: DeviceChoice::Cpu,
        recorded,
        layers: LayerSelection::default(),
        schedule: Schedule::default(),
        record_initial: false,
        channel_bytes: None,
        compress: None,
        max_part_bytes: None,
        save_every: SaveEvery::default(),
        resume: false,
        rank: Rank::default(),
        world_size: 1,
        limits: Limits::default(),
        on_commit: None,
    }
}

/// Runs a session and returns the network as it was at the end, and the summary.
fn final_parameters(options: &SessionOptions) -> (NetworkParameters, SessionSummary) {
    let resolution = options.device.resolve().unwrap();
    on_device!(resolution.device, final_parameters_on(options, &resolution))
}

fn final_parameters_on<B: Backend>(
    device: &B::Device,
    options: &SessionOptions,
    resolution: &Resolution,
) -> (NetworkParameters, SessionSummary) {
    let cancel = CancelToken::default();
    let mut session =
        Session::<Autodiff<B>>::try_new(options, resolution, device.clone(), &cancel).unwrap();
    let summary = session.run(&mut Silent).unwrap();
    (session.trainer.model().read_parameters().unwrap(), summary)
}

fn bits(parameters: &NetworkParameters) -> Vec<u32> {
    let values = |l: &crate::model::LayerParameters| [l.weights.clone(), l.bias.clone()].concat();
    parameters
        .layers
        .iter()
        .flat_map(values)
        .map(f32::to_bits)
        .collect()
}
