//! What a session records into, and how it is ended.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::backend::Backend;
use capture::RecordSummary;
use trace::RunDir;

use super::error::{SessionError, record_error};
use crate::recording::TraceRecorder;

/// A run and who records into it.
pub(super) type Recording<B> = (RunDir, TraceRecorder<B>);

/// Ends the recording, however training ended: what was captured is committed either way.
pub(super) fn finish_recording<T, B: Backend>(
    trained: Result<T, SessionError>,
    recording: Option<Recording<B>>,
) -> Result<(T, Option<(PathBuf, RecordSummary)>), SessionError> {
    let Some((run, recorder)) = recording else {
        return Ok((trained?, None));
    };
    let finished = recorder.finish();
    match trained {
        Ok(trained) => {
            let summary = finished.map_err(|source| record_error(&run, source))?;
            Ok((trained, Some((run.path().to_owned(), summary))))
        }
        Err(SessionError::Train(source)) => Err(SessionError::TrainRecorded {
            run: run.path().to_owned(),
            source,
            recording: match finished {
                Ok(summary) => summary.failure,
                Err(error) => Some(Arc::new(error)),
            },
        }),
        // It was the recording that failed, and it has said why.
        Err(error) => Err(error),
    }
}
