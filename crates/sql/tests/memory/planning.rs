//! What a plan takes of a run that has many files.

use fixtures::many;
use sql::{Run, SessionOptions};
use tempfile::TempDir;

use crate::HEAP;

/// Captures of a run, and of one that has more.
const NUM_CAPTURES: [u32; 2] = [4_000, 8_000];
const NUM_MORE_FILES: usize = (NUM_CAPTURES[1] - NUM_CAPTURES[0]) as usize * many::LAYERS.len();

/// By what two measurements of the same may differ.
const NOISE_BYTES: usize = 64 << 10;

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
    let runs = NUM_CAPTURES.map(|num_captures| {
        let path = dir.path().join(num_captures.to_string());
        many::write(&path, num_captures).unwrap();
        Run::open(&path).unwrap()
    });
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
        // What is made once, as tables of functions, is made before it counts.
        planned(&runs[0], sql).await;
        let few = planned(&runs[0], sql).await;
        let many = planned(&runs[1], sql).await;
        let more = [many.0.saturating_sub(few.0), many.1.saturating_sub(few.1)];
        let allowed = [BYTES_A_FILE, KEPT_BYTES_A_FILE]
            .map(|bytes| num_scans * NUM_MORE_FILES * bytes + NOISE_BYTES);
        assert!(
            more[0] <= allowed[0] && more[1] <= allowed[1],
            "{sql}: {NUM_MORE_FILES} files more take {more:?} bytes more at the peak and afterwards, {allowed:?} allowed"
        );
    }
}
