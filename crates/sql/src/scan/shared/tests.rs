use std::cell::Cell;

use arrow::array::{ArrayRef, Int32Array};
use datafusion::common::exec_err;

use super::*;

fn batch(num_rows: i32) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int32Array::from_iter_values(0..num_rows));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

/// Two files that so many scans read each, and one that one scan reads.
const A: u32 = 0;
const B: u32 = 1;
const ALONE: u32 = 2;

fn parts(num_scans: u16) -> SharedParts {
    SharedParts::new(vec![0], vec![num_scans, num_scans, 1])
}

/// How many files some scans have still to come to, and how many of these and what bytes wait for them.
fn held(parts: &SharedParts) -> (usize, usize, usize) {
    let state = parts.state();
    let left = state.num_left.iter().filter(|left| **left > 0);
    (left.count(), state.waiting.len(), state.bytes)
}

#[test]
fn a_file_is_decoded_once_and_gone_with_its_last_scan() {
    let parts = parts(3);
    let decoded = Cell::new(0);
    let decode = || {
        decoded.set(decoded.get() + 1);
        Ok(batch(5))
    };
    for scan in 1..=3 {
        let share = parts.take(A).unwrap();
        assert_eq!(share.rows(decode).unwrap(), Some(batch(5)), "scan {scan}");
    }
    assert_eq!(decoded.get(), 1);
    // Nothing of it is left; `b` was never asked for.
    assert_eq!(held(&parts), (1, 0, 0));
    assert!(parts.take(A).is_none());
}

#[test]
fn a_file_that_one_scan_alone_reads_is_not_shared() {
    assert!(parts(2).take(ALONE).is_none());
    assert!(parts(2).take(3).is_none());
}

/// Both have come to the file before either decoded it: the second one has nobody to keep it for.
#[test]
fn scans_that_meet_at_a_file_leave_nothing_behind() {
    let parts = parts(2);
    let (first, second) = (parts.take(A).unwrap(), parts.take(A).unwrap());
    assert_eq!(second.rows(|| Ok(batch(2))).unwrap(), Some(batch(2)));
    let unused = || -> Result<RecordBatch> { panic!("decoded twice") };
    assert_eq!(first.rows(unused).unwrap(), Some(batch(2)));
    assert_eq!(held(&parts), (1, 0, 0));
}

#[test]
fn a_failure_is_told_to_who_met_it_and_the_others_read_for_themselves() {
    let parts = parts(2);
    let failed = parts.take(A).unwrap().rows(|| exec_err!("damaged"));
    assert!(failed.unwrap_err().to_string().contains("damaged"));
    let next = parts.take(A).unwrap();
    assert_eq!(next.rows(|| Ok(batch(1))).unwrap(), None);
}

#[test]
fn what_waits_is_bounded() {
    let parts = parts(2);
    let large = batch((SHARED_BYTES / size_of::<i32>()) as i32);
    parts.take(A).unwrap().rows(|| Ok(large)).unwrap();
    // There is no room for another file, while the one that waits can still be taken.
    assert!(parts.take(B).is_none());
    assert!(parts.take(A).is_some());
    assert_eq!(held(&parts), (0, 0, 0));
}
