use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use futures::FutureExt as _;
use trace::{Catalog, Group, Publisher, Rank};

use super::*;
use crate::session::SessionOptions;

/// Reads a column of each file: epochs alone are known from the commits.
const EPOCHS: &str =
    "SELECT DISTINCT epoch::BIGINT AS epoch FROM weights WHERE neuron >= 0 ORDER BY epoch";

fn session(dir: &Path) -> QuerySession {
    fixtures::tiny::write(dir).unwrap();
    let run = Run::open(dir).unwrap();
    run.session(SessionOptions::default()).unwrap()
}

async fn rows(session: &QuerySession) -> Result<SendableRecordBatchStream, QueryError> {
    first_rows(session.sql(EPOCHS).await?.execute_stream().await?).await
}

async fn epochs(mut rows: SendableRecordBatchStream) -> Vec<i64> {
    let mut epochs = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.unwrap();
        epochs.extend(batch["epoch"].as_primitive::<Int64Type>().values());
    }
    epochs
}

/// Takes the last epoch back, as a recorder does that goes on with the run.
fn take_back(run: &Run) {
    let mut publisher = Publisher::try_new(run.dir(), Rank(0), None).unwrap();
    let catalog = Catalog::load(run.dir()).unwrap();
    let last = catalog.files().filter(|file| file.epoch == 2);
    let retired = last.map(|file| file.path.to_owned()).collect();
    let group = Group {
        retired,
        ..Group::default()
    };
    publisher.publish(group).unwrap();
}

#[tokio::test]
async fn what_was_taken_back_meanwhile_is_asked_of_the_run_as_it_is_then() {
    let dir = tempfile::tempdir().unwrap();
    let session = session(&dir.path().join("run"));
    let answer = session
        .ask(
            |session| async move { rows(&session).await }.boxed(),
            |_, _| (),
        )
        .await;
    assert_eq!(epochs(answer.unwrap()).await, [-1, 0, 1, 2]);
    let num_asked = Arc::new(AtomicUsize::new(0));
    let num_commits = session.run().num_commits();
    let mut told = Vec::new();
    let answer = session
        .ask(
            |session| {
                let num_asked = Arc::clone(&num_asked);
                async move {
                    if num_asked.fetch_add(1, Ordering::Relaxed) == 0 {
                        take_back(session.run());
                    }
                    rows(&session).await
                }
                .boxed()
            },
            |before, now| told.push((before.num_commits(), now.num_commits())),
        )
        .await;
    assert_eq!(epochs(answer.unwrap()).await, [-1, 0, 1]);
    assert_eq!(num_asked.load(Ordering::Relaxed), 2);
    assert_eq!(told, [(num_commits, num_commits + 1)]);
}

#[tokio::test]
async fn a_file_that_is_gone_and_was_not_taken_back_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let session = session(&dir.path().join("run"));
    let catalog = Catalog::load(session.run().dir()).unwrap();
    let gone = catalog.files().find(|file| file.table == "weights");
    let gone = gone.unwrap().path.to_owned();
    std::fs::remove_file(session.run().path().join(&gone)).unwrap();
    let num_asked = Arc::new(AtomicUsize::new(0));
    let answer = session
        .ask(
            |session| {
                let num_asked = Arc::clone(&num_asked);
                async move {
                    num_asked.fetch_add(1, Ordering::Relaxed);
                    rows(&session).await
                }
                .boxed()
            },
            |_, _| (),
        )
        .await;
    assert!(answer.map(|_| ()).unwrap_err().to_string().contains(&gone));
    assert_eq!(num_asked.load(Ordering::Relaxed), 1);
}
