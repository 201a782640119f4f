use std::cell::Cell;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use trace::{Catalog, Group, Publisher, Rank};

use super::*;

const EPOCHS: &str = "SELECT DISTINCT epoch::BIGINT AS epoch FROM weights ORDER BY epoch";

async fn asked(session: &QuerySession) -> anyhow::Result<SendableRecordBatchStream> {
    let rows = session.sql(EPOCHS).await?;
    Ok(rows.execute_stream().await.map_err(QueryError::from)?)
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

#[test]
fn what_was_taken_back_meanwhile_is_asked_of_the_run_as_it_is_then() {
    let dir = tempfile::tempdir().unwrap();
    fixtures::tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let options = SessionOptions::default();
    let num_asked = Cell::new(0);
    runtime().unwrap().block_on(async {
        let rows = rows_of(&run, &options, asked).await.unwrap();
        assert_eq!(epochs(rows).await, [-1, 0, 1, 2]);
        let rows = rows_of(&run, &options, async |session| {
            num_asked.set(num_asked.get() + 1);
            if num_asked.get() == 1 {
                take_back(session.run());
            }
            asked(session).await
        });
        assert_eq!(epochs(rows.await.unwrap()).await, [-1, 0, 1]);
    });
    assert_eq!(num_asked.get(), 2);
}

#[test]
fn a_file_that_is_gone_and_was_not_taken_back_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fixtures::tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let catalog = Catalog::load(run.dir()).unwrap();
    let gone = catalog.files().find(|file| file.table == "weights");
    let gone = gone.unwrap().path.to_owned();
    std::fs::remove_file(run.path().join(&gone)).unwrap();
    let num_asked = Cell::new(0);
    let rows = runtime().unwrap().block_on(async {
        let options = SessionOptions::default();
        let rows = rows_of(&run, &options, async |session| {
            num_asked.set(num_asked.get() + 1);
            asked(session).await
        });
        rows.await.map(|_| ())
    });
    assert!(rows.unwrap_err().to_string().contains(&gone));
    assert_eq!(num_asked.get(), 1);
}
