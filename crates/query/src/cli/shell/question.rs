//! What is asked in a shell, and who works it out.

use anyhow::Context as _;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use futures::{FutureExt as _, StreamExt as _};
use sql::{QueryError, QuerySession};
use tokio::task::JoinSet;

use crate::cli::session::rows_of;

/// What is asked of a run.
#[derive(Debug, Clone)]
pub(super) enum Question {
    Sql(String),
    Named {
        name: String,
        arguments: Vec<(String, String)>,
    },
}

impl Question {
    async fn put(self, session: QuerySession) -> Result<SendableRecordBatchStream, QueryError> {
        let rows = match &self {
            Question::Sql(sql) => session.sql(sql).await?,
            Question::Named { name, arguments } => session.named(name, arguments).await?,
        };
        Ok(rows.execute_stream().await?)
    }
}

/// How many batches wait to be written.
const BATCHES_AHEAD: usize = 2;

/// The rows of an answer that is worked out on other threads: who writes them notices at once that nobody wants
/// them any more. Dropped, they are not worked out.
pub(super) async fn elsewhere(
    session: QuerySession,
    question: Question,
) -> anyhow::Result<SendableRecordBatchStream> {
    let mut asking = JoinSet::new();
    asking.spawn(async move {
        rows_of(&session, |session| question.clone().put(session).boxed()).await
    });
    let asked = asking.join_next().await.expect("it has one task");
    let mut rows = asked.context("asking failed")??;
    let mut ahead = RecordBatchReceiverStreamBuilder::new(rows.schema(), BATCHES_AHEAD);
    let batches = ahead.tx();
    ahead.spawn(async move {
        while let Some(batch) = rows.next().await {
            if batches.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    });
    Ok(ahead.build())
}
