//! What a plan takes of a run that has many files.

use fixtures::many;
use sql::{Run, SessionOptions};
use tempfile::TempDir;

use crate::HEAP;

const NUM_CAPTURES: u32 = 4_000;
const NUM_FILES: usize = NUM_CAPTURES as usize * many::LAYERS.len();

/// What a plan takes that has nothing to do with how many files there are, while it is made and afterwards.
const BESIDE: [usize; 2] = [8 << 20, 2 << 20];

/// What a scan may take of each file while it is planned: its index, its partition, and
/// its key to be sorted by.
const BYTES_A_FILE: usize = 128;

/// A file is an index of four bytes to the plan that is kept, and two more where several scans read it.
const KEPT_BYTES_A_FILE: usize = 6;

/// How many bytes planning a query takes at most, and how many its plan keeps.
async fn planned(run: &Run, sql: &str) -> (usize, usize) {
    let options = SessionOptions {
        target_partitions: Some(2),
        ..SessionOptions::default()
    };
    let session = run.session(options).unwrap();
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let plan = session.sql(sql).await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let peak = HEAP.peak_usage().saturating_sub(before);
    let kept = HEAP.current_usage().saturating_sub(before);
    drop(plan);
    (peak, kept)
}

/// Told by `main`'s test, which runs alone.
pub(crate) async fn a_scan_costs_next_to_nothing_a_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("run");
    many::write(&path, NUM_CAPTURES).unwrap();
    let run = Run::open(&path).unwrap();
    for (num_scans, sql) in [
        (1, "SELECT * FROM weights"),
        (
            1,
            "SELECT epoch, neuron FROM weights ORDER BY epoch, step, neuron",
        ),
        (
            1,
            "SELECT * FROM weights WHERE epoch % 3 > 0 AND layer LIKE 'L_%'",
        ),
        (
            1,
            "SELECT epoch, avg(vec_norm(weights)) FROM weights WHERE neuron > 3 GROUP BY epoch",
        ),
        (
            2,
            "SELECT a.epoch FROM weights AS a JOIN weights AS b USING (step, neuron) WHERE a.weight_l2 > b.weight_l2",
        ),
        (
            1,
            "SELECT epoch, previous_weights FROM successive_weights()",
        ),
    ] {
        let (peak, kept) = planned(&run, sql).await;
        let most = BESIDE[0] + num_scans * NUM_FILES * BYTES_A_FILE;
        assert!(peak < most, "{sql}: {peak} bytes at most, {most} allowed");
        let most = BESIDE[1] + num_scans * NUM_FILES * KEPT_BYTES_A_FILE;
        assert!(kept < most, "{sql}: {kept} bytes kept, {most} allowed");
    }
}
