use std::io;

use arrow::error::ArrowError;
use console::is_closed_pipe;
use datafusion::error::DataFusionError;
use parquet::errors::ParquetError;

#[test]
fn a_closed_pipe_is_found_below_what_writers_make_of_it() {
    let of_kind = |kind: io::ErrorKind| {
        let io = || io::Error::from(kind);
        let arrow = || ArrowError::IoError(io().to_string(), io());
        let errors: [anyhow::Error; 6] = [
            io().into(),
            arrow().into(),
            ArrowError::ExternalError(Box::new(io())).into(),
            ParquetError::External(Box::new(io())).into(),
            DataFusionError::ArrowError(Box::new(arrow()), None).into(),
            anyhow::Error::from(io()).context("cannot write to stdout"),
        ];
        errors.map(|error| is_closed_pipe(error.as_ref()))
    };
    assert_eq!(of_kind(io::ErrorKind::BrokenPipe), [true; 6]);
    assert_eq!(of_kind(io::ErrorKind::StorageFull), [false; 6]);
}
