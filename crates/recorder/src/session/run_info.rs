//! What `run.json` says of a session's run.

use burn::tensor::backend::AutodiffBackend;
use capture::Recorded;
use trace::{FORMAT_VERSION, Nonce, RunInfo, Topology};

use super::Session;
use super::error::SessionError;
use super::model_json::model_json;
use crate::evaluation::DEFAULT_EVALUATION_BATCH_SIZE;

impl<B: AutodiffBackend> Session<'_, B> {
    /// What the run is if it is begun now, with these layers.
    pub(super) fn run_info(
        &self,
        recorded: Recorded,
        layers: Topology,
    ) -> Result<RunInfo, SessionError> {
        let model = self.trainer.model_config();
        Ok(RunInfo {
            format: FORMAT_VERSION,
            run_id: Nonce::draw().map_err(SessionError::Nonce)?,
            created: trace::now(),
            created_by: crate::CREATED_BY.to_owned(),
            seed: Some(self.options.train.seed),
            device: self.resolution.device.to_string(),
            world_size: self.options.world_size,
            model: model_json(model),
            dataset: Some(self.dataset.info().clone()),
            evaluation_batch_size: Some(DEFAULT_EVALUATION_BATCH_SIZE as u64),
            class_names: self.dataset.class_names().to_vec(),
            layers,
            config: serde_json::json!({
                "dataset": self.options.dataset.source().to_string(),
                "data": self.options.dataset.file(),
                "device": self.options.device.to_string(),
                "train": self.options.train,
                "record": recorded,
                "every": self.options.schedule.to_string(),
                "record_initial": self.options.record_initial,
                "layers": self.options.layers,
                "channel_bytes": self.options.channel_bytes,
                "compress": self.options.compress.unwrap_or_default(),
                "checkpoint_every": self.options.save_every.to_string(),
                "limits": self.options.limits,
                "max_part_bytes": self.options.max_part_bytes.unwrap_or_default().0,
            }),
        })
    }
}
