//! What is recorded of a training loop that exists already, and where.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::path::PathBuf;

use burn::module::{AutodiffModule, Module};
use burn::tensor::backend::{AutodiffBackend, Backend};
use capture::{
    DEFAULT_ACTIVATION_SAMPLES, LayerSelection, Limits, MaxOverhead, OnError, Origin, Plan,
    RecordError, Recorded, ResumeError, Schedule, SelectLayersError, WhenFull, choose_units,
    resume_after,
};
use sink::{Compress, MaxPartBytes, OnCommit, SinkOptions};
use trace::{
    CaptureId, CreateRunError, Epoch, FORMAT_VERSION, Nonce, Rank, RunDir, RunInfo, Topology,
};

use super::{ModuleError, ModuleLayers, TraceRecorder, capture_id};
use crate::dataset::DATA_RULES;

/// Says what is recorded, when, and where to. Made by [`TraceRecorder::builder`].
#[derive(Debug, Clone)]
pub struct TraceRecorderBuilder<B: Backend> {
    run: PathBuf,
    recorded: Recorded,
    schedule: Schedule,
    selection: LayerSelection,
    labels: HashMap<String, String>,
    topology: Option<Topology>,
    num_epochs: Option<i32>,
    class_names: Vec<String>,
    seed: Option<u64>,
    channel_bytes: Option<u64>,
    compress: Option<Compress>,
    max_part_bytes: Option<MaxPartBytes>,
    limits: Limits,
    config: serde_json::Value,
    /// From which moment a run that is there is gone on with.
    after: Option<CaptureId>,
    on_commit: Option<OnCommit>,
    /// The backend of the network that `start` is given.
    backend: PhantomData<B>,
}

/// Why recording cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The network cannot be described.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The layers to record make no sense.
    #[error(transparent)]
    Layers(#[from] SelectLayersError),
    /// The operating system has no randomness for the run's name.
    #[error("cannot draw a name for the run")]
    Nonce(#[source] std::io::Error),
    /// The run cannot be created.
    #[error(transparent)]
    CreateRun(#[from] CreateRunError),
    /// The run cannot be gone on with.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// The recorder cannot be started.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl<B: Backend> TraceRecorderBuilder<B> {
    pub(super) fn new(run: PathBuf) -> Self {
        Self {
            run,
            recorded: Recorded::DEFAULT,
            schedule: Schedule::default(),
            selection: LayerSelection::default(),
            labels: HashMap::new(),
            topology: None,
            num_epochs: None,
            class_names: Vec::new(),
            seed: None,
            channel_bytes: None,
            compress: None,
            max_part_bytes: None,
            limits: Limits::default(),
            config: serde_json::Value::Null,
            after: None,
            on_commit: None,
            backend: PhantomData,
        }
    }

    /// What of each capture is recorded; everything unless it is said.
    pub fn record(mut self, recorded: Recorded) -> Self {
        self.recorded = recorded;
        self
    }

    /// When the network is captured; at the end of every epoch unless it is said.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Of which layers weights and activations are recorded; of all unless it is said. The topology
    /// in `run.json` has all of them either way.
    pub fn layers(mut self, layers: LayerSelection) -> Self {
        self.selection = layers;
        self
    }

    /// Names the layer of the module at `module_path`, as `encoder.layers.0`, which is its name
    /// unless another is given.
    pub fn label(mut self, module_path: impl Into<String>, label: impl Into<String>) -> Self {
        self.labels.insert(module_path.into(), label.into());
        self
    }

    /// Describes the layers: labels, forward order, non-linearities, and where connections come
    /// from. A module says none of these but the labels. Every layer has to be there, under the
    /// path that [`TraceRecorder::topology`] has for it.
    pub fn topology(mut self, topology: Topology) -> Self {
        self.topology = Some(topology);
        self
    }

    /// How many epochs there will be. Intervals then capture the last one, too.
    pub fn num_epochs(mut self, num_epochs: u32) -> Self {
        self.num_epochs = Some(i32::try_from(num_epochs).unwrap_or(i32::MAX));
        self
    }

    /// Names of the classes, by class.
    pub fn class_names<I: IntoIterator<Item: Into<String>>>(mut self, names: I) -> Self {
        self.class_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// The seed that the training loop uses, for whoever reads the run.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Memory for what waits to be written, values and the rows that are made of them, in bytes;
    /// [`Recorded::default_channel_bytes`] unless it is said.
    pub fn channel_bytes(mut self, bytes: u64) -> Self {
        self.channel_bytes = Some(bytes);
        self
    }

    /// Which columns are compressed; [`Compress::Auto`] unless it is said, in a run that is gone on with those that
    /// its last session compressed.
    pub fn compress(mut self, compress: Compress) -> Self {
        self.compress = Some(compress);
        self
    }

    /// How much of a layer goes into one part file, in bytes of its values as 32-bit floats: a layer that has more is
    /// split by its units. [`MaxPartBytes::default`] unless it is said, in a run that is gone on with what its last
    /// session put into one.
    pub fn max_part_bytes(mut self, bytes: u64) -> Self {
        self.max_part_bytes = Some(MaxPartBytes(bytes));
        self
    }

    /// What happens to a capture for which there is no room; training waits unless it is said.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.limits.when_full = when_full;
        self
    }

    /// What recording may cost training, as a share of its time: on the thread that trains, and by what
    /// the recorder's threads take from it. Captures that are due are then thinned out. All are taken
    /// unless it is said.
    pub fn max_overhead(mut self, max_overhead: MaxOverhead) -> Self {
        self.limits.max_overhead = Some(max_overhead);
        self
    }

    /// How many bytes the run may take: recording stops before a capture that might not fit, and
    /// training goes on. It may take what it takes unless it is said.
    pub fn max_disk(mut self, bytes: u64) -> Self {
        self.limits.max_disk = Some(bytes);
        self
    }

    /// What happens to training where recording fails; the next call returns the error unless it is
    /// said.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.limits.on_error = on_error;
        self
    }

    /// Who is told of what was committed, as that happens; nobody unless it is said.
    pub fn on_commit(mut self, on_commit: OnCommit) -> Self {
        self.on_commit = Some(on_commit);
        self
    }

    /// The training loop's own configuration, for whoever reads the run.
    pub fn config(mut self, config: serde_json::Value) -> Self {
        self.config = config;
        self
    }

    /// Goes on with the run in the directory, in place of creating one: training begins again at the
    /// end of `epoch`, after `step` optimizer steps, as the training loop's own checkpoint has it.
    ///
    /// What was recorded after that moment no longer belongs to the run, and is removed before
    /// anything is recorded anew; what was recorded before stays, so that the run ends up as one that
    /// nobody interrupted, if training goes on as it would have. A run that is finished is extended by
    /// its last epoch and step. The network, the seed and what is recorded of it have to be those that
    /// the run was begun with; [`TraceRecorderBuilder::config`] and limits may differ.
    ///
    /// ```
    /// # use burn::backend::{Autodiff, Flex};
    /// # use burn::nn::LinearConfig;
    /// # use recorder::TraceRecorder;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let traces = directory.path().join("linear");
    /// # let model = LinearConfig::new(4, 3).init::<Autodiff<Flex>>(&Default::default());
    /// # let _ = model.forward(burn::tensor::Tensor::<_, 2>::zeros([1, 4], &Default::default()));
    /// # let mut recorder = TraceRecorder::builder(&traces).start(&model)?;
    /// # for epoch in 0..3 {
    /// #     recorder.capture(&model, epoch, 100 * (i64::from(epoch) + 1))?;
    /// # }
    /// # recorder.finish()?;
    /// // Training had come to epoch 2 when it was killed; its own last checkpoint is of epoch 1.
    /// let mut recorder = TraceRecorder::builder(&traces).resume(1, 200).start(&model)?;
    /// recorder.capture(&model, 2, 300)?;
    /// # recorder.finish()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(mut self, epoch: i32, step: i64) -> Self {
        self.after = Some(capture_id(epoch, step));
        self
    }

    /// Creates the run, or goes on with it ([`TraceRecorderBuilder::resume`]), and starts to record
    /// the network.
    ///
    /// No value of the network is looked at: what training draws stays what it was
    /// (ARCHITECTURE.md, invariant 1).
    ///
    /// # Errors
    /// If a layer or glob is not there, the run's directory is not empty, or it cannot be written. Of
    /// a run that is gone on with: if there is none, or it is another network's.
    pub fn start<A, M>(self, model: &M) -> Result<TraceRecorder<B>, StartError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        let layers = ModuleLayers::of(model, true, &self.labels)?;
        self.start_described(layers)
    }

    /// As [`TraceRecorderBuilder::start`], of a module without autodiff.
    ///
    /// # Errors
    /// As for [`TraceRecorderBuilder::start`].
    pub fn start_inner<M: Module<B>>(self, model: &M) -> Result<TraceRecorder<B>, StartError> {
        let layers = ModuleLayers::of(model, false, &self.labels)?;
        self.start_described(layers)
    }

    fn start_described(self, layers: ModuleLayers) -> Result<TraceRecorder<B>, StartError> {
        let layers = match self.topology {
            Some(topology) => layers.with_topology(topology)?,
            None => layers,
        };
        let topology = layers.topology().clone();
        let seed = self.seed.unwrap_or(0);
        let layers = layers.with_topology(choose_units(topology, self.recorded.units, seed))?;
        let topology = layers.topology();
        let selected = self.selection.select(topology)?;
        let channel_bytes = self.channel_bytes.unwrap_or_else(|| {
            let num_samples = DEFAULT_ACTIVATION_SAMPLES;
            self.recorded.default_channel_bytes(topology, num_samples)
        });
        let mut compress = self.compress.unwrap_or_default();
        let mut max_part_bytes = self.max_part_bytes.unwrap_or_default();
        let mut config = serde_json::json!({
            "record": self.recorded,
            "every": self.schedule.to_string(),
            "layers": self.selection,
            "channel_bytes": channel_bytes,
            "compress": compress,
            "limits": self.limits,
            "max_part_bytes": max_part_bytes.0,
            "training": self.config,
        });
        let info = RunInfo {
            format: FORMAT_VERSION,
            run_id: Nonce::draw().map_err(StartError::Nonce)?,
            created: trace::now(),
            created_by: crate::CREATED_BY.to_owned(),
            seed: self.seed,
            device: layers.device().to_owned(),
            world_size: 1,
            model: serde_json::Value::Null,
            dataset: None,
            evaluation_batch_size: None,
            class_names: self.class_names,
            layers: topology.clone(),
            config: config.clone(),
        };
        let (run, origin, resume) = match self.after {
            None => {
                let run = RunDir::create(&self.run, info)?;
                if let Some(warning) = trace::partition_warning(run.path()) {
                    tracing::warn!("{warning}");
                }
                (run, Origin::default(), None)
            }
            Some(after) => {
                let rank = Rank::default();
                let mut resumed = resume_after(&self.run, &info, rank, after, DATA_RULES)?;
                let origin = resumed.take_origin();
                compress = resumed.choose_compress(self.compress, &mut config);
                max_part_bytes = resumed.choose_max_part_bytes(self.max_part_bytes, &mut config);
                (resumed.run, origin, Some(resumed.sink))
            }
        };
        let plan = Plan {
            recorded: self.recorded,
            selected,
            schedule: self.schedule,
            last_epoch: self.num_epochs.map(|num_epochs| Epoch(num_epochs - 1)),
            origin,
            limits: self.limits,
            owner_reports: false,
        };
        let sink_options = SinkOptions {
            channel_bytes,
            session: Some(config),
            resume,
            on_commit: self.on_commit,
            compress,
            max_part_bytes,
            ..SinkOptions::default()
        };
        Ok(TraceRecorder::start(&run, layers, plan, sink_options)?)
    }
}

#[cfg(test)]
mod tests;
