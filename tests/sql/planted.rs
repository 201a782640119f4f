//! What becomes of scores that take too much memory.

use anyhow::Result;
use sql::{QueryError, Run, SessionOptions};
use tempfile::TempDir;

#[tokio::test]
async fn scores_that_do_not_fit_into_memory_are_an_error() -> Result<()> {
    let dir = TempDir::new()?;
    let run = fixtures::planted::write(&dir.path().join("run"))?;
    for query in ["structure_scores", "linear_probe"] {
        // A capture's lists alone are four times 32 values.
        for (memory_bytes, fits) in [(256, false), (64 << 20, true)] {
            let options = SessionOptions {
                memory_bytes: Some(memory_bytes),
                target_partitions: Some(1),
                ..SessionOptions::default()
            };
            let session = Run::open(run.path())?.session(options)?;
            let rows = session.named(query, &[]).await?.collect().await;
            match rows.map_err(QueryError::from) {
                Ok(_) => assert!(fits, "{query} with {memory_bytes} bytes"),
                Err(QueryError::Resources(_)) => {
                    assert!(!fits, "{query} with {memory_bytes} bytes")
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
