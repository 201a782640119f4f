//! How much memory queries may hold, and how they do with less.

use std::fs;

use datafusion::common::Result;
use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::prelude::SessionConfig;

/// How many bytes queries may hold where nobody says: three quarters of what is available just now; no limit
/// where that is not known.
pub fn default_memory() -> Option<usize> {
    // Linux alone has the file.
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = default_bytes(&meminfo)?;
    Some(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Three quarters of what is available: the rest is for what queries do not account for.
fn default_bytes(meminfo: &str) -> Option<u64> {
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = available.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024) / 4 * 3)
}

/// With a file of its own for each batch that a `RepartitionExec` has no memory for.
///
/// Its readers take the files that it spills to in the order in which they were begun. A file of
/// several batches stays open, and its writers use whichever is free. So a reader may wait at a file
/// for a batch that was put into the next, while the writers wait until that batch is taken: the
/// query never ends (<https://github.com/apache/datafusion/issues/24883>, which DataFusion 55 has).
pub(crate) fn spilling_batch_by_batch(mut config: SessionConfig) -> Result<SessionConfig> {
    config.options_mut().execution.max_spill_file_size_bytes = ConfigNonZeroUsize::try_new(1)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::catalog::memory::MemorySourceConfig;
    use datafusion::execution::SendableRecordBatchStream;
    use datafusion::physical_expr::expressions::Column;
    use datafusion::physical_plan::repartition::RepartitionExec;
    use datafusion::physical_plan::{ExecutionPlan, Partitioning, execute_stream_partitioned};
    use fixtures::tiny;
    use futures::TryStreamExt;
    use tempfile::TempDir;
    use tokio::task::JoinSet;

    use super::*;
    use crate::{QuerySession, Run, SessionOptions};

    const NUM_BATCHES: usize = 100;

    /// Longer than anything takes here.
    const LONG: Duration = Duration::from_secs(60);

    /// What two threads deal out to two partitions.
    fn dealing_out(session: &QuerySession) -> Arc<RepartitionExec> {
        let rows = session.context.copied_config().batch_size();
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
        let numbers = Int64Array::from_iter_values(0..rows as i64);
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(numbers)]).unwrap();
        let inputs = [vec![batch.clone(); NUM_BATCHES], vec![batch; NUM_BATCHES]];
        let input = MemorySourceConfig::try_new_exec(&inputs, schema, None).unwrap();
        let to_two = Partitioning::Hash(vec![Arc::new(Column::new("k", 0))], 2);
        Arc::new(RepartitionExec::try_new(input, to_two).unwrap())
    }

    fn read_apart(
        plan: &Arc<RepartitionExec>,
        session: &QuerySession,
    ) -> Vec<SendableRecordBatchStream> {
        let plan = Arc::clone(plan) as Arc<dyn ExecutionPlan>;
        execute_stream_partitioned(plan, session.context.task_ctx()).unwrap()
    }

    async fn rows_of(stream: SendableRecordBatchStream) -> usize {
        let count = |rows, batch: RecordBatch| async move { Ok(rows + batch.num_rows()) };
        stream.try_fold(0, count).await.unwrap()
    }

    fn session(dir: &TempDir) -> QuerySession {
        tiny::write(&dir.path().join("run")).unwrap();
        let options = SessionOptions {
            memory_bytes: Some(1),
            spill_dir: Some(dir.path().join("spilled")),
            ..SessionOptions::default()
        };
        let run = Run::open(&dir.path().join("run")).unwrap();
        run.session(options).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_two_threads_spill_is_read_by_two_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let session = session(&dir);
        for _ in 0..10 {
            let plan = dealing_out(&session);
            let mut readers = JoinSet::new();
            for stream in read_apart(&plan, &session) {
                readers.spawn(rows_of(stream));
            }
            let read = tokio::time::timeout(LONG, readers.join_all());
            let read = read.await.expect("a reader waits for what nobody writes");
            let num_rows = 2 * NUM_BATCHES * session.context.copied_config().batch_size();
            assert_eq!(read.iter().sum::<usize>(), num_rows);
            assert_eq!(plan.metrics().unwrap().spilled_rows(), Some(num_rows));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn files_that_wait_to_be_read_are_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let session = session(&dir);
        let plan = dealing_out(&session);
        let mut streams = read_apart(&plan, &session).into_iter();
        let first = tokio::time::timeout(LONG, rows_of(streams.next().unwrap()));
        assert!(first.await.unwrap() > 0);
        // All that is for the second is spilled.
        let spilled = dir.path().join("spilled").canonicalize().unwrap();
        let in_it = fs::read_dir(&spilled).unwrap().next().unwrap();
        let in_it = in_it.unwrap().path();
        let num_files = fs::read_dir(in_it).unwrap().count();
        assert!(num_files > NUM_BATCHES / 2, "{num_files}");
        let open = fs::read_dir("/proc/self/fd").unwrap();
        let open = open.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        assert_eq!(open.filter(|path| path.starts_with(&spilled)).count(), 0);
        let second = tokio::time::timeout(LONG, rows_of(streams.next().unwrap()));
        assert!(second.await.unwrap() > 0);
    }

    #[test]
    fn a_quarter_of_what_is_available_is_left() {
        let meminfo = "MemTotal:       24000 kB\nMemFree:         1000 kB\n\
                       MemAvailable:    8000 kB\nBuffers:          100 kB\n";
        assert_eq!(default_bytes(meminfo), Some(6000 * 1024));
    }

    #[test]
    fn without_a_figure_there_is_no_limit() {
        assert_eq!(default_bytes("MemTotal:       24000 kB\n"), None);
        assert_eq!(default_bytes("MemAvailable:    plenty\n"), None);
    }
}
