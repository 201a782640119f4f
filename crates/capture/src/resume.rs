//! Recording into a run that is there: going on after an interruption or for more epochs, and joining
//! as a rank.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use trace::{
    CaptureId, Catalog, Compress, Crc32c, DatasetInfo, Generation, LockRunError, MaxPartBytes,
    OpenRunError, PartPath, Rank, ReadCommitsError, RunDir, RunInfo, Step, Table, WriterLock,
};

use crate::cancel::CancelToken;
use crate::recording::{Origin, in_todays_words};
use crate::saved_state::{ReadStateError, SavedState};

/// How long a rank waits for rank 0 to create the run.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it looks.
const JOIN_POLL: Duration = Duration::from_millis(20);

/// What of `config` may differ between sessions and ranks: it changes nothing that is recorded, but
/// for limits, which say when less is. Of the device, as it was asked for, the kind that it turned
/// out to be is compared.
/// `training` is what somebody's own training loop says of itself, `held_out` what its samples are known by.
const OPERATIONAL: [&str; 8] = [
    "channel_bytes",
    "checkpoint_every",
    "compress",
    "device",
    "held_out",
    "limits",
    "max_part_bytes",
    "training",
];

/// What of `config` says how the data was asked for: what came of it is compared, since paths change
/// and data does not.
const OF_DATA: [&str; 2] = ["dataset", "data"];

/// Why training cannot go on with a run, or record into it beside others.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// There is no run, or it cannot be understood.
    #[error(transparent)]
    Open(#[from] OpenRunError),
    /// Another process has the rank.
    #[error(transparent)]
    Lock(#[from] LockRunError),
    /// What is committed cannot be told.
    #[error(transparent)]
    Commits(#[from] ReadCommitsError),
    /// What training would go on from cannot be read.
    #[error(transparent)]
    State(#[from] ReadStateError),
    /// The options are not those of the run.
    #[error(
        "{} was begun with other options: {key} is {then} there, and {now} here; give the options \
         that it was begun with",
        run.display()
    )]
    Changed {
        /// The run.
        run: PathBuf,
        /// What differs, as `config.train.hidden`.
        key: String,
        /// In the run.
        then: Value,
        /// As asked now.
        now: Value,
    },
    /// The data is not that which the run was begun with.
    #[error(
        "the data is not that which {} was begun with: its checksum is {now}, there it is {then}; \
         give the data as it was (--data says where it is)",
        run.display()
    )]
    DataChanged {
        /// The run.
        run: PathBuf,
        /// The checksum in the run.
        then: Crc32c,
        /// That of the data now.
        now: Crc32c,
    },
    /// There is nothing left to train.
    #[error(
        "{} is finished: all {num_epochs} epochs are recorded; ask for more epochs to go on with it",
        run.display()
    )]
    Finished {
        /// The run.
        run: PathBuf,
        /// How many there are.
        num_epochs: i32,
    },
    /// A run that is finished has nothing from which it could be trained for more epochs.
    #[error(
        "{} is finished, with {num_epochs} epochs, and kept nothing to go on from (it had no \
         checkpoints, or its recorder removed the last one, as those of format 1.3 and before did): record a training \
         of more epochs into another directory",
        run.display()
    )]
    NothingKept {
        /// The run.
        run: PathBuf,
        /// How many epochs it has.
        num_epochs: i64,
    },
    /// Rank 0 did not create the run in time.
    #[error(
        "rank {rank} waited {} s in vain for rank 0 to create {}",
        JOIN_TIMEOUT.as_secs(),
        run.display()
    )]
    NeverCreated {
        /// Who waited.
        rank: Rank,
        /// The run.
        run: PathBuf,
    },
    /// The rank has recorded before, so this is no new run.
    #[error(
        "rank {rank} has recorded into {} before: --resume goes on with it, or name another \
         directory",
        run.display()
    )]
    Recorded {
        /// The rank.
        rank: Rank,
        /// The run.
        run: PathBuf,
    },
}

/// What of a run's data is compared where the run is gone on with, which only who reads data knows.
#[derive(Debug, Clone, Copy)]
pub struct DataRules {
    /// Whether data of a kind ([`DatasetInfo::kind`]) comes from files: then a checksum that differs is
    /// said before anything else.
    pub is_files: fn(kind: &str) -> bool,
    /// The data without the places of its files, which may change.
    pub without_places: fn(&DatasetInfo) -> DatasetInfo,
}

/// How a run is gone on with.
#[derive(Debug)]
pub struct Resumption {
    /// The run.
    pub run: RunDir,
    /// What our own trainer goes back to; none where it begins anew, or another trains.
    pub state: Option<SavedState>,
    /// The moment from which training goes on; none where it begins anew.
    pub after: Option<CaptureId>,
    /// Whether the run has a capture of that moment.
    pub is_captured: bool,
    /// How often the run was resumed.
    pub generation: Generation,
    /// For the sink: the lock, and what is recorded anew.
    pub sink: sink::Resume,
    /// The part files of the saved state, which the next one retires.
    pub state_files: Vec<String>,
    /// Captures that are recorded anew.
    pub num_retired: usize,
    /// Which columns the last session compressed, where it says so.
    compress: Option<Compress>,
    /// How much of a layer the last session put into one part file, where it says so.
    max_part_bytes: Option<MaxPartBytes>,
}

/// Looks at the run at `path` as `rank`, whose lock is held from here on, and decides from where
/// training goes on and what is recorded anew. `now` is what the run would be if it were begun
/// with the options at hand, `last` where training ends, which may be later than it was.
///
/// # Errors
/// If there is no such run, another process has the rank, the options or the data are others, or there is
/// nothing to go on from or to.
pub fn resume(
    path: &Path,
    now: &RunInfo,
    rank: Rank,
    last: CaptureId,
    data: DataRules,
) -> Result<Resumption, ResumeError> {
    let run = RunDir::open(path)?;
    check_unchanged(&run, now, data, Epochs::MayBeMore)?;
    let lock = Arc::new(run.lock_writer(rank)?);
    let catalog = Catalog::load_with_partial(&run)?;
    let state = SavedState::read_newest(&run, &catalog, rank)?;
    let is_finished = match &state {
        Some(state) => state.epoch >= last.epoch,
        // It keeps no state, or is of a version that removed the last one.
        None => has_recorded(&catalog, rank, last),
    };
    if is_finished {
        return Err(ResumeError::Finished {
            run: path.to_owned(),
            num_epochs: last.epoch.0 + 1,
        });
    }
    if state.is_none() {
        let steps_per_epoch = last.step.0 / (i64::from(last.epoch.0) + 1);
        for num_epochs in asked_epochs(&catalog, rank) {
            if end_of(num_epochs, steps_per_epoch)
                .is_some_and(|end| has_recorded(&catalog, rank, end))
            {
                let run = path.to_owned();
                return Err(ResumeError::NothingKept { run, num_epochs });
            }
        }
    }
    let after = state.as_ref().map(|state| CaptureId {
        epoch: state.epoch,
        step: state.step,
    });
    let resumption = go_on(run, lock, &catalog, rank, after);
    Ok(Resumption {
        state,
        ..resumption
    })
}

impl Resumption {
    /// Where a recorder begins, taken out of this.
    pub fn take_origin(&mut self) -> Origin {
        Origin {
            generation: self.generation,
            state_files: std::mem::take(&mut self.state_files),
            after: self.after,
            is_captured: self.is_captured,
        }
    }

    /// Which columns are compressed from here on: those that are asked for, else those that the rank's last
    /// session compressed. The session's configuration is made to say so.
    pub fn choose_compress(&self, asked: Option<Compress>, config: &mut Value) -> Compress {
        let compress = asked.or(self.compress).unwrap_or_default();
        compress.say_in(config);
        compress
    }

    /// How much of a layer goes into one part file from here on, likewise.
    pub fn choose_max_part_bytes(
        &self,
        asked: Option<MaxPartBytes>,
        config: &mut Value,
    ) -> MaxPartBytes {
        let max_part_bytes = asked.or(self.max_part_bytes).unwrap_or_default();
        max_part_bytes.say_in(config);
        max_part_bytes
    }
}

/// As [`resume`], where somebody else trains, and goes on from the moment `after` by means of their
/// own.
///
/// # Errors
/// As for [`resume`], but that training may go on from any moment.
pub fn resume_after(
    path: &Path,
    now: &RunInfo,
    rank: Rank,
    after: CaptureId,
    data: DataRules,
) -> Result<Resumption, ResumeError> {
    let run = RunDir::open(path)?;
    check_unchanged(&run, now, data, Epochs::MayBeMore)?;
    let lock = Arc::new(run.lock_writer(rank)?);
    let catalog = Catalog::load_with_partial(&run)?;
    Ok(go_on(run, lock, &catalog, rank, Some(after)))
}

/// Looks whether a run can be gone on with by [`resume_after`], before anything is done: `now` is what it would
/// be if it were begun with the options at hand.
///
/// # Errors
/// If the options or the data are others.
pub fn check_resumable(run: &RunDir, now: &RunInfo, data: DataRules) -> Result<(), ResumeError> {
    check_unchanged(run, now, data, Epochs::MayBeMore)
}

/// What is kept of a run that is trained on from the moment `after`, and what is recorded anew.
fn go_on(
    run: RunDir,
    lock: Arc<WriterLock>,
    catalog: &Catalog,
    rank: Rank,
    after: Option<CaptureId>,
) -> Resumption {
    let is_later = |step: Step| after.is_none_or(|after| step > after.step);
    let (mut retired, mut state_files) = (Vec::new(), Vec::new());
    for file in catalog.files() {
        let Ok(part) = file.path.parse::<PartPath>() else {
            continue;
        };
        if part.rank != rank {
            continue;
        }
        if is_later(part.step) {
            retired.push(file.path.to_owned());
        } else if part.table == Table::Resume {
            state_files.push(file.path.to_owned());
        }
    }
    let num_retired = captures_of(catalog, rank)
        .filter(|capture| is_later(capture.step))
        .count();
    let sessions = catalog.sessions().iter();
    let num_sessions = sessions.filter(|session| session.rank == rank).count();
    let compress = catalog.last_compress(run.info(), Some(rank));
    let max_part_bytes = catalog.last_max_part_bytes(run.info(), Some(rank));
    Resumption {
        run,
        state: None,
        after,
        is_captured: after.is_some_and(|after| captures_of(catalog, rank).any(|id| id == after)),
        generation: Generation(u32::try_from(num_sessions).unwrap_or(u32::MAX)),
        sink: sink::Resume { lock, retired },
        state_files,
        num_retired,
        compress,
        max_part_bytes,
    }
}

/// The last capture of so many epochs, which a file says; none where there is no such epoch.
fn end_of(num_epochs: i64, steps_per_epoch: i64) -> Option<CaptureId> {
    let last = i32::try_from(num_epochs.checked_sub(1)?).ok()?;
    Some(CaptureId {
        epoch: trace::Epoch(last),
        step: Step(num_epochs.checked_mul(steps_per_epoch)?),
    })
}

/// How many epochs the sessions of `rank` were to train.
fn asked_epochs(catalog: &Catalog, rank: Rank) -> impl Iterator<Item = i64> {
    let sessions = catalog.sessions().iter();
    let sessions = sessions.filter(move |session| session.rank == rank);
    sessions.filter_map(|session| session.config.pointer(EPOCHS)?.as_i64())
}

/// Waits until rank 0 has created the run at `path`, and joins it as `rank`.
///
/// # Errors
/// If the run is not there in time, is another one, or the rank has recorded into it before.
pub fn join(
    path: &Path,
    now: &RunInfo,
    rank: Rank,
    data: DataRules,
    cancel: &CancelToken,
    timeout: Duration,
) -> Result<RunDir, ResumeError> {
    let start = Instant::now();
    let run = loop {
        match RunDir::open(path) {
            Ok(run) => break run,
            // Rank 0 has not come so far.
            Err(
                OpenRunError::NotFound { .. }
                | OpenRunError::NotARun { .. }
                | OpenRunError::Unborn { .. },
            ) => {}
            Err(error) => return Err(error.into()),
        }
        if start.elapsed() >= timeout || cancel.is_cancelled() {
            return Err(ResumeError::NeverCreated {
                rank,
                run: path.to_owned(),
            });
        }
        std::thread::sleep(JOIN_POLL);
    };
    check_unchanged(&run, now, data, Epochs::AsMany)?;
    let catalog = Catalog::load_with_partial(&run)?;
    if catalog
        .sessions()
        .iter()
        .any(|session| session.rank == rank)
    {
        return Err(ResumeError::Recorded {
            rank,
            run: path.to_owned(),
        });
    }
    Ok(run)
}

/// What `rank` has committed as captures.
fn captures_of(catalog: &Catalog, rank: Rank) -> impl Iterator<Item = CaptureId> {
    let whole = catalog.captures().iter().map(|capture| capture.id);
    let partial = catalog.partial_captures().iter();
    let partial = partial.filter(move |capture| capture.ranks.contains(&rank));
    whole.chain(partial.map(|capture| capture.id))
}

/// Whether `rank` has recorded anything of the end of training: a step inside the last epoch is not
/// its end.
fn has_recorded(catalog: &Catalog, rank: Rank, last: CaptureId) -> bool {
    catalog.files().any(|file| {
        let part = file.path.parse::<PartPath>();
        part.is_ok_and(|part| {
            part.rank == rank && part.epoch == last.epoch && part.step >= last.step
        })
    })
}

/// Where in a configuration it says how many epochs are trained.
const EPOCHS: &str = "/train/epochs";

/// How many epochs a session may train, as compared with the run's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Epochs {
    AsMany,
    MayBeMore,
}

/// Compares what a run is with what it would be if it were begun now.
fn check_unchanged(
    run: &RunDir,
    now: &RunInfo,
    data: DataRules,
    epochs: Epochs,
) -> Result<(), ResumeError> {
    let mut now = now.clone();
    let then = run.info().config.pointer(EPOCHS).and_then(Value::as_u64);
    if epochs == Epochs::MayBeMore
        && let (Some(then), Some(asked)) = (then, now.config.pointer_mut(EPOCHS))
        && asked.as_u64().is_some_and(|asked| asked > then)
    {
        *asked = then.into();
    }
    let comparable = |info: &RunInfo| {
        let mut config = info.config.clone();
        if let Some(config) = config.as_object_mut() {
            let is_compared = |key: &str| !OPERATIONAL.contains(&key) && !OF_DATA.contains(&key);
            config.retain(|key, _| is_compared(key));
            config.get_mut("record").map(in_todays_words);
        }
        let dataset = info.dataset.as_ref().map(data.without_places);
        let (data_kind, data) = match &dataset {
            Some(dataset) => {
                let details = dataset.details.as_ref();
                let options = details.and_then(|details| details.get("options"));
                (Some(dataset.kind.clone()), options.cloned())
            }
            None => (None, None),
        };
        let kind = info.device.split(':').next();
        // In the order in which a difference says most: the rest follows from the options.
        [
            ("world_size", info.world_size.into()),
            ("data.kind", serde_json::json!(data_kind)),
            ("data", serde_json::json!(data)),
            ("config", config),
            ("device", kind.into()),
            ("dataset", serde_json::json!(dataset)),
            ("model", info.model.clone()),
            ("layers", serde_json::json!(info.layers)),
            ("seed", serde_json::json!(info.seed)),
            (
                "evaluation_batch_size",
                serde_json::json!(info.evaluation_batch_size),
            ),
            ("class_names", serde_json::json!(info.class_names)),
        ]
    };
    if let (Some(then), Some(now)) = (&run.info().dataset, &now.dataset)
        && then.kind == now.kind
        && (data.is_files)(&now.kind)
        && then.crc32c != now.crc32c
    {
        return Err(ResumeError::DataChanged {
            run: run.path().to_owned(),
            then: then.crc32c,
            now: now.crc32c,
        });
    }
    for ((key, then), (_, now)) in comparable(run.info()).into_iter().zip(comparable(&now)) {
        if let Some((key, then, now)) = first_difference(key, &then, &now) {
            return Err(ResumeError::Changed {
                run: run.path().to_owned(),
                key,
                then,
                now,
            });
        }
    }
    Ok(())
}

/// The first place at which two values differ, and both values there.
fn first_difference(key: &str, then: &Value, now: &Value) -> Option<(String, Value, Value)> {
    if let (Value::Object(then), Value::Object(now)) = (then, now) {
        let mut keys: Vec<&String> = then.keys().chain(now.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        return keys.into_iter().find_map(|inner| {
            let of = |map: &serde_json::Map<_, _>| map.get(inner).cloned().unwrap_or(Value::Null);
            first_difference(&format!("{key}.{inner}"), &of(then), &of(now))
        });
    }
    (then != now).then(|| (key.to_owned(), then.clone(), now.clone()))
}

#[cfg(test)]
mod tests;
