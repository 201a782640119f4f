//! Questions that are put once more where files went while they were answered.
//!
//! A recorder that goes on with a run, and whoever replaces a derived table, removes files that were
//! committed before. Where one is gone that is asked for, the question is put to the run as it is by then, unless
//! nothing was committed meanwhile.

use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};

use super::{QuerySession, Run};
use crate::run::error::QueryError;

/// How often a question is put at most.
const MAX_ATTEMPTS: usize = 3;

/// Why a question has no answer.
pub trait AskError: From<QueryError> {
    /// Whether a file is not what was committed, or is gone.
    fn is_of_bad_file(&self) -> bool;
}

impl AskError for QueryError {
    fn is_of_bad_file(&self) -> bool {
        matches!(self, QueryError::BadFile(_))
    }
}

impl QuerySession {
    /// The answer to a question that `question` puts to a session: this one, or one over the run as it is by
    /// then, if files that it reads were taken back meanwhile. `reloaded` is told the run before that and after
    /// it. Of rows the first belong to the answer ([`first_rows`]): what is missing after them is an error,
    /// since they were handed on.
    ///
    /// # Errors
    /// Those of the question, or if the run can no longer be read.
    pub async fn ask<T, E: AskError>(
        &self,
        question: impl Fn(QuerySession) -> BoxFuture<'static, Result<T, E>>,
        mut reloaded: impl FnMut(&Run, &Run),
    ) -> Result<T, E> {
        let mut session = self.clone();
        let mut attempts = 1..MAX_ATTEMPTS;
        loop {
            let error = match question(session.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !error.is_of_bad_file() || attempts.next().is_none() {
                return Err(error);
            }
            let run = session.run.reload().map_err(QueryError::from)?;
            if run.num_commits() == session.run.num_commits() {
                return Err(error);
            }
            tracing::info!(run = %run.path().display(), "files were taken back meanwhile: it is asked anew");
            reloaded(&session.run, &run);
            session = run.session(session.options)?;
        }
    }
}

/// Rows of which the first were worked out.
///
/// # Errors
/// If they cannot be.
pub async fn first_rows(
    mut rows: SendableRecordBatchStream,
) -> Result<SendableRecordBatchStream, QueryError> {
    let first = rows.next().await.transpose()?;
    let schema = rows.schema();
    let rows = stream::iter(first.map(Ok)).chain(rows);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

#[cfg(test)]
mod tests;
