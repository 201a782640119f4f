use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array};
use trace::Rank;

use super::super::{VerifyReport, verify};
use super::*;
use crate::testing::{capture, create_run, metrics_rows, part_path};
use crate::{Part, Sink, SinkOptions};

/// A run of two ranks, of which each says its checksums at epochs 0, 1, ...; none where it says
/// nothing.
fn recorded(dir: &Path, said: [&[Option<u32>]; 2]) -> RunDir {
    let mut info = create_run(&dir.join("one")).info().clone();
    info.world_size = 2;
    let run = RunDir::create(&dir.join("two"), info).unwrap();
    for (rank, said) in (0..).zip(said) {
        let options = SinkOptions {
            rank: Rank(rank),
            ..SinkOptions::default()
        };
        let sink = Sink::start(&run, options).unwrap();
        for (epoch, crc32c) in (0..).zip(said) {
            let mut metrics = vec![("loss", 0.5)];
            metrics.extend(crc32c.map(|crc32c| (PARAMETERS_CRC32C, f64::from(crc32c))));
            let rows = metrics_rows(epoch, &metrics);
            let mut columns = rows.columns().to_vec();
            columns[1] = Arc::new(Int32Array::from_value(rank, rows.num_rows())) as ArrayRef;
            let rows = arrow::array::RecordBatch::try_new(rows.schema(), columns).unwrap();
            let mut path = part_path(Table::Metrics, epoch, None);
            path.rank = Rank(rank);
            let mut open = sink.begin(Some(capture(epoch)));
            open.send(Part { path, rows }).unwrap();
            open.end().unwrap();
        }
        sink.finish().unwrap();
    }
    run
}

fn report(run: &RunDir) -> VerifyReport {
    verify(run, &|_| {}).unwrap()
}

#[test]
fn ranks_that_hold_the_same_weights_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    // Also where some say nothing, as of an earlier version.
    let first = [Some(7), Some(u32::MAX), None, Some(9)];
    let second = [Some(7), Some(u32::MAX), Some(8), None];
    let report = report(&recorded(dir.path(), [&first, &second]));
    assert_eq!(report.problems, []);
    assert_eq!(report.num_captures, 4);
}

#[test]
fn a_rank_that_holds_other_weights_is_a_problem_of_each_such_capture() {
    let dir = tempfile::tempdir().unwrap();
    let first = [Some(7), Some(0xffff_fffe), Some(8)];
    let second = [Some(7), Some(0xffff_ffff), Some(9)];
    let report = report(&recorded(dir.path(), [&first, &second]));
    let [at_1, at_2] = &report.problems[..] else {
        panic!("{:?}", report.problems)
    };
    assert_eq!(at_1.check, Check::Parameters);
    assert_eq!(at_1.path, "metrics/epoch=1/step-48-r1-g0.parquet");
    assert_eq!(
        at_1.expected,
        "at epoch 1, step 48 the weights of rank 0, with checksum fffffffe"
    );
    assert_eq!(at_1.found, "weights of rank 1 with checksum ffffffff");
    assert_eq!(at_2.path, "metrics/epoch=2/step-72-r1-g0.parquet");
}

#[test]
fn a_file_that_is_damaged_says_nothing_of_weights() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(dir.path(), [&[Some(7)], &[Some(8)]]);
    std::fs::write(
        run.path().join("metrics/epoch=0/step-24-r0-g0.parquet"),
        "x",
    )
    .unwrap();
    let report = report(&run);
    let checks: Vec<Check> = report
        .problems
        .iter()
        .map(|problem| problem.check)
        .collect();
    assert_eq!(checks, [Check::Size]);
}
