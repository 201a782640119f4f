use arrow::array::RecordBatch;
use sql::LINEAR_PROBE;
use trace::Table;

use super::column;
use crate::structures::find::STRUCTURE_ONSET;

#[test]
fn a_column_that_is_not_there_is_blamed_on_the_query_whose_rows_lack_it() {
    let rows = RecordBatch::new_empty(Table::Structures.schema());
    assert!(column(LINEAR_PROBE, &rows, "name").is_ok());
    let error = column(LINEAR_PROBE, &rows, "auc").unwrap_err().to_string();
    assert!(error.ends_with("linear_probe has no column auc"), "{error}");
    let error = column(STRUCTURE_ONSET, &rows, "percent")
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("structure_onset has no column percent"),
        "{error}"
    );
}
