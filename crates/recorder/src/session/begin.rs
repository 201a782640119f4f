//! How the recording of a session begins: in a run of its own, beside other ranks, or where a run was
//! left.

use burn::tensor::backend::AutodiffBackend;
use capture::{JOIN_TIMEOUT, Origin, Plan, Recorded, choose_units};
use sink::SinkOptions;
use trace::{CaptureId, Epoch, Rank, RunDir, RunInfo, Step};

use super::Session;
use super::error::{SessionError, record_error};
use super::name::create_default;
use super::observer::SessionObserver;
use super::options::SessionOptions;
use super::recording::Recording;
use crate::dataset::DATA_RULES;
use crate::recording::{ModuleLayers, TraceRecorder};
use crate::training::TrainError;

/// What is recorded into, if anything is, and the epoch that is trained first.
pub(super) type Begun<B> = (Option<Recording<B>>, Epoch);

impl<B: AutodiffBackend> Session<'_, B> {
    /// Begins to record what is to be recorded, if anything is.
    pub(super) fn begin(
        &mut self,
        observer: &mut dyn SessionObserver,
    ) -> Result<Begun<B::InnerBackend>, SessionError> {
        let Some(recorded) = self.options.recorded else {
            return Ok((None, Epoch(0)));
        };
        if recorded.gradients || recorded.gradients_applied {
            self.trainer.keep_gradients();
        }
        // A run that died while it was created is begun again.
        let is_unborn = self.options.out.as_deref().is_some_and(RunDir::is_unborn);
        let (recording, first) = match self.options.resume && !is_unborn {
            true => self.resume_recording(recorded, observer)?,
            false => (self.start_recording(recorded)?, Epoch(0)),
        };
        Ok((Some(recording), first))
    }

    pub(super) fn start_recording(
        &self,
        recorded: Recorded,
    ) -> Result<Recording<B::InnerBackend>, SessionError> {
        let (info, layers, plan, sink_options) = self.prepare(recorded)?;
        let SessionOptions {
            rank, world_size, ..
        } = *self.options;
        let run = match &self.options.out {
            Some(path) if rank == Rank::default() => RunDir::create(path, info)?,
            Some(path) => capture::join(path, &info, rank, DATA_RULES, self.cancel, JOIN_TIMEOUT)?,
            None if world_size > 1 => return Err(SessionError::NoDirectory),
            None => create_default(&self.options.dataset, info)?,
        };
        let recorder = TraceRecorder::start(&run, layers, plan, sink_options)
            .map_err(|source| record_error(&run, source))?;
        Ok((run, recorder))
    }

    /// Goes back to the newest saved state of the run; gives the epoch that comes next.
    fn resume_recording(
        &mut self,
        recorded: Recorded,
        observer: &mut dyn SessionObserver,
    ) -> Result<(Recording<B::InnerBackend>, Epoch), SessionError> {
        let (info, layers, mut plan, mut sink_options) = self.prepare(recorded)?;
        let path = self.options.out.as_ref().ok_or(SessionError::NoDirectory)?;
        let epochs = self.options.train.epochs as i64;
        let steps_per_epoch = self.dataset.num_steps(self.options.train.batch_size) as i64;
        let last = CaptureId {
            epoch: self.options.train.last_epoch(),
            step: Step(epochs * steps_per_epoch),
        };
        let rank = self.options.rank;
        let mut resumption = capture::resume(path, &info, rank, last, DATA_RULES)?;
        let first = match resumption.state.take() {
            None => Epoch(0),
            Some(state) => {
                let next = Epoch(state.epoch.0 + 1);
                self.trainer.restore(state)?;
                next
            }
        };
        observer.resumed(first, resumption.num_retired);
        plan.origin = resumption.take_origin();
        let mut config = info.config;
        sink_options.compress = resumption.choose_compress(self.options.compress, &mut config);
        let max_part_bytes = self.options.max_part_bytes;
        sink_options.max_part_bytes = resumption.choose_max_part_bytes(max_part_bytes, &mut config);
        sink_options.session = Some(config);
        sink_options.resume = Some(resumption.sink);
        let run = resumption.run;
        let recorder = TraceRecorder::start(&run, layers, plan, sink_options)
            .map_err(|source| record_error(&run, source))?;
        Ok(((run, recorder), first))
    }

    /// What the run is if it is begun now, what this rank records of it, and how.
    fn prepare(
        &self,
        recorded: Recorded,
    ) -> Result<(RunInfo, ModuleLayers, Plan, SinkOptions), SessionError> {
        let topology = self.trainer.model_config().topology();
        let topology = topology.map_err(TrainError::from)?;
        let topology = choose_units(topology, recorded.units, self.options.train.seed);
        let info = self.run_info(recorded, topology)?;
        let mut selected = self.options.layers.select(&info.layers)?;
        let rank = self.options.rank;
        // Every so many layers are a rank's, so that each is recorded once.
        for (selected, index) in selected.iter_mut().zip(0..) {
            *selected &= index % self.options.world_size == rank.0.cast_unsigned();
        }
        let layers = ModuleLayers::of(&self.trainer.model(), false, &Default::default())
            .and_then(|layers| layers.with_topology(info.layers.clone()))
            .expect("the network's topology is its own");
        let num_held_out = self.dataset.held_out().len();
        recorded.check(&info.layers, num_held_out)?;
        let by_default = || recorded.default_channel_bytes(&info.layers, num_held_out);
        let sink_options = SinkOptions {
            channel_bytes: self.options.channel_bytes.unwrap_or_else(by_default),
            rank,
            session: Some(info.config.clone()),
            on_commit: self.options.on_commit.clone(),
            compress: self.options.compress.unwrap_or_default(),
            max_part_bytes: self.options.max_part_bytes.unwrap_or_default(),
            ..SinkOptions::default()
        };
        let plan = Plan {
            recorded: Recorded {
                classifications: recorded.classifications && rank == Rank::default(),
                ..recorded
            },
            selected,
            schedule: self.options.schedule.clone(),
            last_epoch: Some(self.options.train.last_epoch()),
            origin: Origin::default(),
            limits: self.options.limits,
            owner_reports: true,
        };
        Ok((info, layers, plan, sink_options))
    }
}
