//! What the threads of a sink share: the run, the figures, the channel's budget, and the first failure.

use trace::{CommitRecord, RunDir};

use crate::budget::ByteBudget;
use crate::error::SinkError;
use crate::on_commit::OnCommit;
use crate::stats::Counters;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What the threads of a sink share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) run: RunDir,
    pub(crate) counters: Counters,
    on_commit: Option<OnCommit>,
    budget: Arc<ByteBudget>,
    failure: OnceLock<SinkError>,
    /// The worst that came after it ([`SinkError::severity`]).
    worse: Mutex<Option<SinkError>>,
    /// Whether a caller was told of the failure.
    is_returned: AtomicBool,
    /// Whether who closed the sink says that everything was sent.
    is_finished: AtomicBool,
}

impl Shared {
    pub(crate) fn new(run: RunDir, channel_bytes: u64, on_commit: Option<OnCommit>) -> Self {
        Self {
            run,
            counters: Counters::default(),
            on_commit,
            budget: ByteBudget::new(channel_bytes),
            failure: OnceLock::new(),
            worse: Mutex::default(),
            is_returned: AtomicBool::new(false),
            is_finished: AtomicBool::new(false),
        }
    }

    /// The channel's budget.
    pub(crate) fn budget(&self) -> &Arc<ByteBudget> {
        &self.budget
    }

    /// Tells whoever wants to know of a commit that is durable.
    pub(crate) fn committed(&self, record: &CommitRecord) {
        if let Some(on_commit) = &self.on_commit {
            on_commit.tell(record);
        }
    }

    /// The first failure of any thread.
    pub(crate) fn failure(&self) -> Option<&SinkError> {
        self.failure.get()
    }

    /// Notes a failure, unless there was one before, and sends home who waits for room.
    pub(crate) fn fail(&self, error: SinkError) {
        match self.failure.set(error) {
            Ok(()) => self.budget.close(),
            Err(later) => {
                let mut worse = self.worse.lock().unwrap_or_else(PoisonError::into_inner);
                let is_worst = worse
                    .as_ref()
                    .is_none_or(|worse| later.severity() > worse.severity());
                if is_worst {
                    *worse = Some(later);
                }
            }
        }
    }

    /// What the sink came to, once its threads have ended: its first failure, or a later one after which less may
    /// be done.
    pub(crate) fn outcome(&self) -> Result<(), SinkError> {
        let first = self.check();
        let worse = self.worse.lock().unwrap_or_else(PoisonError::into_inner);
        match (&first, &*worse) {
            (Err(error), Some(worse)) if worse.severity() > error.severity() => Err(worse.clone()),
            _ => first,
        }
    }

    /// Notes that everything was sent, before the threads are ended.
    pub(crate) fn finish(&self) {
        self.is_finished.store(true, Ordering::Release);
    }

    /// Whether everything was sent, as who closed the sink says.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished.load(Ordering::Acquire)
    }

    /// Returns the first failure, for a caller to return.
    pub(crate) fn check(&self) -> Result<(), SinkError> {
        let Some(error) = self.failure() else {
            return Ok(());
        };
        self.is_returned.store(true, Ordering::Relaxed);
        Err(error.clone())
    }

    /// The first failure, if no caller was told of it.
    pub(crate) fn unreturned_failure(&self) -> Option<&SinkError> {
        self.failure()
            .filter(|_| !self.is_returned.load(Ordering::Relaxed))
    }
}
