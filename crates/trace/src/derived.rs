//! Derived tables: what is worked out from a run's captures is kept beside them.
//!
//! Whoever asks for it writes it, while the run is being recorded or long after, through the same
//! commits: a [`DerivedWriter`] publishes as a writer of its own and never waits for the recorder.
//! Writers of one table take turns, since each may replace what another wrote.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;

use crate::catalog::Catalog;
use crate::commit::{CaptureId, CommitRecord};
use crate::encode::{EncodeError, encode_part};
use crate::history::{MAX_LISTINGS, ReadCommitsError};
use crate::id::{Epoch, Generation, Rank, Step};
use crate::part::{Part, PartPath};
use crate::part_file::{BadFileError, FileProblem, PartFile};
use crate::part_reader::PartReader;
use crate::publish::{Group, PublishError, Publisher};
use crate::run::RunDir;
use crate::store::StoreLock;
use crate::table::Table;

/// Rows that are decoded at once, at most.
const BATCH_ROWS: usize = 8192;

/// Why a derived table cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DerivedError {
    /// The table is a recorder's.
    #[error("table {0} is recorded, not derived")]
    NotDerived(Table),
    /// The run's commits cannot be read.
    #[error(transparent)]
    Commits(#[from] ReadCommitsError),
    /// The table's lock cannot be had.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The file that is locked.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A file is not what was committed.
    #[error(transparent)]
    BadFile(#[from] BadFileError),
    /// Rows say another step than that of the capture that they are published under.
    #[error("a row of table {table} says another step than {}", capture.step)]
    WrongStep {
        /// The table.
        table: Table,
        /// The capture.
        capture: CaptureId,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where it would have gone.
        path: PathBuf,
        /// What went wrong.
        source: EncodeError,
    },
    /// What was written cannot be made part of the run.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// A committed file of a derived table, with its rows.
#[derive(Debug, Clone)]
pub struct DerivedPart {
    /// Path below the run's directory: what [`DerivedWriter::publish`] retires it by.
    pub path: String,
    /// The capture that the rows were worked out from.
    pub capture: CaptureId,
    /// The rows, with the columns of [`Table::schema`].
    pub rows: RecordBatch,
}

/// Rows of a derived table: puts the columns that all tables have before the others.
///
/// # Errors
/// If the columns are not those of the table, or differ in length.
pub fn derived_rows(
    table: Table,
    capture: CaptureId,
    columns: Vec<ArrayRef>,
) -> Result<RecordBatch, ArrowError> {
    let num_rows = columns.first().map_or(0, |column| column.len());
    let mut all: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_value(capture.step.0, num_rows)),
        Arc::new(Int32Array::from_value(Rank::default().0, num_rows)),
    ];
    all.extend(columns);
    RecordBatch::try_new(table.schema(), all)
}

/// Everything that is committed of a derived table, in the order of the commits.
///
/// # Errors
/// If the table is not derived, or the commits or a file cannot be read or trusted.
pub fn read_derived(run: &RunDir, table: Table) -> Result<Vec<DerivedPart>, DerivedError> {
    require_derived(table)?;
    let mut gone = None;
    for _ in 0..MAX_LISTINGS {
        match read_once(run, table) {
            // Another writer replaced it meanwhile.
            Err(DerivedError::BadFile(error)) if matches!(error.problem, FileProblem::Missing) => {
                gone = Some(error);
            }
            result => return result,
        }
    }
    let gone = gone.expect("the loop ends early but for files that are gone");
    Err(gone.into())
}

/// Adds rows to a derived table; what is there stays.
///
/// # Errors
/// As [`DerivedWriter::publish`].
pub fn publish_derived(
    run: &RunDir,
    table: Table,
    capture: CaptureId,
    rows: RecordBatch,
) -> Result<CommitRecord, DerivedError> {
    let writer = DerivedWriter::begin(run, table)?;
    writer.publish(BTreeMap::from([(capture, rows)]), Vec::new())
}

/// The right to change a derived table of a run, which one process at a time has; given up when it
/// has published, when dropped, and when the process dies.
#[derive(Debug)]
pub struct DerivedWriter {
    run: RunDir,
    table: Table,
    _lock: Box<dyn StoreLock>,
}

impl DerivedWriter {
    /// Waits for whoever is changing the table, and takes the right to.
    ///
    /// # Errors
    /// If the table is not derived, or the file system refuses.
    pub fn begin(run: &RunDir, table: Table) -> Result<Self, DerivedError> {
        require_derived(table)?;
        let lock = run.store().lock_table(table);
        let lock = lock.map_err(|error| DerivedError::Lock {
            path: error.path,
            source: error.source,
        })?;
        Ok(Self {
            run: run.clone(),
            table,
            _lock: lock,
        })
    }

    /// What is committed of the table: nobody changes it before this one is done.
    ///
    /// # Errors
    /// If the commits or a file cannot be read or trusted.
    pub fn parts(&self) -> Result<Vec<DerivedPart>, DerivedError> {
        read_once(&self.run, self.table)
    }

    /// Publishes rows by the capture that they were worked out from, in place of the files at
    /// `retired`: both at once, by one commit. Batches without rows make no file. What is compressed is what the
    /// run's last session compressed.
    ///
    /// # Errors
    /// If the rows are not of the table or the step, or the disk fails: the table then is as it was,
    /// unless that was after the commit.
    pub fn publish(
        self,
        rows: BTreeMap<CaptureId, RecordBatch>,
        retired: Vec<String>,
    ) -> Result<CommitRecord, DerivedError> {
        let compress = Catalog::load(&self.run)?
            .last_compress(self.run.info(), None)
            .unwrap_or_default();
        let mut publisher = Publisher::for_derived(&self.run)?.with_compress(compress);
        let mut parts = Vec::new();
        for (capture, rows) in rows {
            if rows.num_rows() == 0 {
                continue;
            }
            if !says_step(&rows, capture.step) {
                return Err(DerivedError::WrongStep {
                    table: self.table,
                    capture,
                });
            }
            let path = PartPath {
                table: self.table,
                epoch: capture.epoch,
                layer: None,
                step: capture.step,
                rank: Rank::default(),
                generation: Generation::default(),
                sequence: 0,
                nonce: Some(publisher.staging().nonce().clone()),
            };
            let write_error = |source| DerivedError::Write {
                path: self.run.path().join(path.to_string()),
                source,
            };
            let part = Part {
                path: path.clone(),
                rows,
            };
            let staged = publisher.staging().create_part(path.clone());
            let staged = staged.map_err(|error| write_error(EncodeError::Io(error)))?;
            let staged = encode_part(&part, compress, staged).map_err(write_error)?;
            let staged = staged.finish(part.rows.num_rows() as u64);
            parts.push(staged.map_err(|error| write_error(EncodeError::Io(error)))?);
        }
        Ok(publisher.publish(Group {
            captures: Vec::new(),
            parts,
            retired,
        })?)
    }
}

fn require_derived(table: Table) -> Result<(), DerivedError> {
    if table.is_derived() {
        return Ok(());
    }
    Err(DerivedError::NotDerived(table))
}

/// Whether all rows are of a step. (Of rows that are not of the table, encoding says so.)
fn says_step(rows: &RecordBatch, step: Step) -> bool {
    let steps = rows.column_by_name("step");
    let steps = steps.and_then(|steps| steps.as_primitive_opt::<Int64Type>());
    steps.is_none_or(|steps| steps.values().iter().all(|of_row| *of_row == step.0))
}

fn read_once(run: &RunDir, table: Table) -> Result<Vec<DerivedPart>, DerivedError> {
    let catalog = Catalog::load(run)?;
    let reader = PartReader::checked(table, &[], BATCH_ROWS);
    let reader = reader.expect("all columns of the table");
    let files = catalog.select(table.name(), |_, _| true).into_iter();
    files
        .map(|index| {
            let file = catalog.file(index);
            let part = PartFile::committed(run, &file);
            let step = file.step();
            let step = step.ok_or_else(|| part.bad(FileProblem::NoPartName))?;
            Ok(DerivedPart {
                path: file.path.to_owned(),
                capture: CaptureId {
                    epoch: Epoch(file.epoch),
                    step: Step(step),
                },
                rows: reader.read_whole(&part)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
