use std::path::PathBuf;
use std::sync::Arc;

use parquet::errors::ParquetError;

use super::*;

#[test]
fn a_bad_file_is_recognised_under_whatever_it_is_wrapped_in() {
    let bad = || BadFileError {
        path: PathBuf::from("weights/x.parquet"),
        problem: trace::FileProblem::Missing,
    };
    let parquet = || ParquetError::External(Box::new(bad()));
    let wrapped = [
        DataFusionError::External(Box::new(bad())),
        DataFusionError::ParquetError(Box::new(parquet())),
        DataFusionError::ArrowError(
            Box::new(ArrowError::ExternalError(Box::new(parquet()))),
            None,
        ),
        DataFusionError::Shared(Arc::new(DataFusionError::from(parquet()))).context("reading"),
    ];
    for error in wrapped {
        match QueryError::from(error) {
            QueryError::BadFile(message) => {
                assert!(
                    message.starts_with(
                        "weights/x.parquet is committed, but not there; `sink verify`"
                    )
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn errors_are_told_apart_by_whom_they_are_up_to() {
    let message = || "because".to_owned();
    let of = |error: DataFusionError| QueryError::from(error);
    assert!(matches!(
        of(DataFusionError::Plan(message())),
        QueryError::Mistake(_)
    ));
    assert!(matches!(
        of(DataFusionError::Execution(message())),
        QueryError::Execution(_)
    ));
    assert!(matches!(
        of(DataFusionError::Internal(message())),
        QueryError::Internal(_)
    ));
    let memory = DataFusionError::ResourcesExhausted(message()).context("sorting");
    assert!(matches!(of(memory), QueryError::Resources(_)));
    let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
    assert!(matches!(
        of(DataFusionError::IoError(full()).context("spilling")),
        QueryError::Io(_)
    ));
    let by_arrow = ArrowError::IoError("no space".to_owned(), full());
    assert!(matches!(of(by_arrow.into()), QueryError::Io(_)));
    // Planned as a table, a named query's own error stays what it is.
    let own = DataFusionError::External(Box::new(QueryError::NothingCaptured));
    assert!(matches!(of(own), QueryError::NothingCaptured));
}

/// DataFusion's advice to set something of its own is refused by SQL that only reads.
#[test]
fn what_is_advised_can_be_done() {
    let told = |message: &str| {
        let error = DataFusionError::ResourcesExhausted(message.to_owned());
        QueryError::from(error).to_string()
    };
    let prefix = "this query needs more memory than it may use (`--memory` sets how much): ";
    assert_eq!(
        told(
            "Not enough memory to continue external sort. Consider increasing the memory limit \
             config: 'datafusion.runtime.memory_limit', or decreasing the config: \
             'datafusion.execution.sort_spill_reservation_bytes'."
        ),
        format!("{prefix}Not enough memory to continue external sort.")
    );
    assert_eq!(
        told(
            "The used disk space during the spilling process has exceeded the allowable limit of \
             100.0 GB. Please try increasing the config: \
             `datafusion.runtime.max_temp_directory_size`."
        ),
        format!(
            "{prefix}The used disk space during the spilling process has exceeded the allowable \
             limit of 100.0 GB."
        )
    );
    assert_eq!(
        told("pad: lists of width 9 take 36 bytes in one batch"),
        format!("{prefix}pad: lists of width 9 take 36 bytes in one batch")
    );
}
