//! The rows of an answer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ffi::FFI_ArrowSchema;
use arrow::ffi_stream::FFI_ArrowArrayStream;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::prelude::DataFrame;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList};
use sql::{QuerySession, first_rows};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::served;
use super::values;
use super::work::{Threads, finish, finish_on, is_in_time, signalled, wait};
use crate::error::{QueryError, query, words};

/// The most bytes of rows that are kept for whoever reads them again.
const MAX_KEPT: usize = 64 << 20;

/// How many batches wait for whoever reads.
const BATCHES_AHEAD: usize = 2;

type Opening = BoxFuture<'static, Result<SendableRecordBatchStream, sql::QueryError>>;

/// How rows are had, as often as they are asked for.
type Open = Arc<dyn Fn() -> Opening + Send + Sync>;

/// Rows that were all read.
type Kept = Arc<Mutex<Option<Arc<Vec<RecordBatch>>>>>;

/// The rows of an answer, which are worked out as they are read.
///
/// They can be read several times. What was read to its end once, and is of 64 MiB at most, is kept; other
/// rows are worked out anew each time, of the run as it was when it was opened, or as it is by
/// then if files that they are read from were taken back meanwhile.
#[pyclass(module = "stratigraph_nn._native", frozen)]
pub(super) struct Rows {
    schema: SchemaRef,
    open: Open,
    kept: Kept,
    notes: Vec<String>,
    /// How long reading may take, beside what becomes of the rows.
    timeout: Option<Duration>,
    /// The question itself, for whoever asks for a part of its rows.
    query: Option<(QuerySession, DataFrame)>,
}

impl Rows {
    fn new(
        schema: SchemaRef,
        timeout: Option<Duration>,
        open: impl Fn() -> Opening + Send + Sync + 'static,
    ) -> Self {
        Self {
            schema,
            open: Arc::new(open),
            kept: Kept::default(),
            notes: Vec::new(),
            timeout,
            query: None,
        }
    }

    /// The rows of a question, which is put whenever they are read.
    pub(super) fn of(
        session: QuerySession,
        timeout: Option<Duration>,
        schema: SchemaRef,
        question: impl Fn(QuerySession) -> Opening + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::new(schema, timeout, move || {
            let (session, question) = (session.clone(), question.clone());
            Box::pin(async move {
                let first = |session| {
                    let rows = question(session);
                    async move { first_rows(rows.await?).await }.boxed()
                };
                session.ask(first, |_, _| ()).await
            })
        })
    }

    /// Rows that are there already, with what is to be said of them.
    pub(super) fn ready(schema: SchemaRef, batches: Vec<RecordBatch>, notes: Vec<String>) -> Self {
        let batches = Arc::new(batches);
        let of = (Arc::clone(&schema), Arc::clone(&batches));
        Self {
            schema,
            open: Arc::new(move || {
                let (schema, batches) = of.clone();
                Box::pin(async move { in_memory(schema, &batches) })
            }),
            kept: Arc::new(Mutex::new(Some(batches))),
            notes,
            timeout: None,
            query: None,
        }
    }

    /// The same rows, which are those of a query as it is: others may ask for a part of them.
    pub(super) fn of_query(self, session: QuerySession, query: DataFrame) -> Self {
        Self {
            query: Some((session, query)),
            ..self
        }
    }

    /// The rows as a table of another engine's. What was no query is worked out now, as a whole.
    fn table(&self, py: Python<'_>, threads: &Handle) -> PyResult<Arc<dyn TableProvider>> {
        let mut names = HashSet::new();
        let mut fields = self.schema.fields().iter();
        if let Some(twice) = fields.find(|field| !names.insert(field.name())) {
            let text = format!(
                "two columns are called {}: a table has each name once (AS)",
                twice.name()
            );
            return Err(QueryError::new_err(text));
        }
        if let Some((session, frame)) = &self.query {
            return Ok(session.served_table(frame, threads));
        }
        let (schema, batches) = self.batches(py)?;
        let table = MemTable::try_new(schema, vec![batches]).map_err(query)?;
        Ok(Arc::new(table))
    }

    fn read(&self) -> impl Future<Output = Result<Reading, sql::QueryError>> + Send + 'static {
        let (open, kept) = (Arc::clone(&self.open), Arc::clone(&self.kept));
        let schema = Arc::clone(&self.schema);
        async move {
            let there = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let stream = match there {
                Some(batches) => {
                    // Those of the plan may say more than its rows do.
                    let schema = batches.first().map_or(schema, RecordBatch::schema);
                    in_memory(schema, &batches)?
                }
                None => open().await?,
            };
            Ok(Reading {
                stream,
                read: Some(Vec::new()),
                num_bytes: 0,
                kept,
            })
        }
    }

    /// All rows.
    fn batches(&self, py: Python<'_>) -> PyResult<(SchemaRef, Vec<RecordBatch>)> {
        let reading = self.read();
        finish(py, self.timeout, async move {
            let mut reading = reading.await.map_err(query)?;
            let schema = reading.stream.schema();
            let mut batches = Vec::new();
            while let Some(batch) = reading.next().await {
                batches.push(batch.map_err(query)?);
            }
            Ok::<_, PyErr>((schema, batches))
        })
    }
}

fn in_memory(
    schema: SchemaRef,
    batches: &[RecordBatch],
) -> Result<SendableRecordBatchStream, sql::QueryError> {
    let stream = MemoryStream::try_new(batches.to_vec(), schema, None)?;
    Ok(Box::pin(stream))
}

#[pymethods]
impl Rows {
    /// The names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        let fields = self.schema.fields().iter();
        fields.map(|field| field.name().clone()).collect()
    }

    /// The types of the columns, as Arrow names them.
    #[getter]
    fn types(&self) -> Vec<String> {
        let fields = self.schema.fields().iter();
        fields
            .map(|field| sql::type_name(field.data_type()))
            .collect()
    }

    /// What is to be said of the answer beside its rows.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.schema.as_ref()).map_err(of_arrow)?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    /// A stream of the rows, as they come. Another schema than theirs is not made of them.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let reading = self.read();
        // Another call may retire them meanwhile, and what is read goes on where it was begun.
        let threads = Threads::current()?;
        let opening = async move { reading.await.map_err(query) };
        let began = Instant::now();
        let mut reading = finish_on(&threads, py, self.timeout, opening)?;
        let taken = began.elapsed();
        let schema = reading.stream.schema();
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let working = threads.spawn(async move {
            while let Some(batch) = reading.next().await {
                let is_last = batch.is_err();
                if sender.send(batch).await.is_err() || is_last {
                    break;
                }
            }
        });
        let reader = Reader {
            schema,
            batches,
            working,
            threads,
            thread: thread::current().id(),
            taken,
            timeout: self.timeout,
        };
        capsule(py, Box::new(reader))
    }

    /// The rows as a table of the package `datafusion`, for whose session `session` is or speaks.
    fn __datafusion_table_provider__<'py>(
        &self,
        session: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let threads = Threads::lasting()?;
        let table = self.table(session.py(), &threads)?;
        served::table(&session, table, threads)
    }

    /// The same of rows that are all there before it begins: for whoever reads with Python's lock held.
    fn whole<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let (schema, batches) = self.batches(py)?;
        let batches = batches.into_iter().map(Ok);
        capsule(
            py,
            Box::new(arrow::array::RecordBatchIterator::new(batches, schema)),
        )
    }

    /// How many rows there are. All of them are worked out.
    fn num_rows(&self, py: Python<'_>) -> PyResult<usize> {
        let reading = self.read();
        finish(py, self.timeout, async move {
            let mut reading = reading.await.map_err(query)?;
            let mut num_rows = 0;
            while let Some(batch) = reading.next().await {
                num_rows += batch.map_err(query)?.num_rows();
            }
            Ok::<_, PyErr>(num_rows)
        })
    }

    /// The first rows, as tuples of Python's values, and whether these are all.
    #[pyo3(signature = (at_most=None))]
    fn head<'py>(
        &self,
        py: Python<'py>,
        at_most: Option<usize>,
    ) -> PyResult<(Bound<'py, PyList>, bool)> {
        let (_, batches, is_all) = self.first(py, at_most.unwrap_or(usize::MAX))?;
        let rows = PyList::empty(py);
        for batch in &batches {
            values::append_rows(&rows, batch)?;
        }
        Ok((rows, is_all))
    }
}

impl Rows {
    fn first(
        &self,
        py: Python<'_>,
        at_most: usize,
    ) -> PyResult<(SchemaRef, Vec<RecordBatch>, bool)> {
        let reading = self.read();
        finish(py, self.timeout, async move {
            let mut reading = reading.await.map_err(query)?;
            let schema = reading.stream.schema();
            let mut batches = Vec::new();
            let mut num_left = at_most;
            // What is read to its end is kept: one row more is looked for.
            while let Some(batch) = reading.next().await {
                let batch = batch.map_err(query)?;
                if batch.num_rows() > num_left {
                    batches.push(batch.slice(0, num_left));
                    return Ok((schema, batches, false));
                }
                num_left -= batch.num_rows();
                batches.push(batch);
            }
            Ok::<_, PyErr>((schema, batches, true))
        })
    }
}

fn of_arrow(error: ArrowError) -> PyErr {
    QueryError::new_err(error.to_string())
}

fn capsule(
    py: Python<'_>,
    reader: Box<dyn RecordBatchReader + Send>,
) -> PyResult<Bound<'_, PyCapsule>> {
    let stream = FFI_ArrowArrayStream::new(reader);
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

/// Rows that are read, and kept once that came to its end.
struct Reading {
    stream: SendableRecordBatchStream,
    /// What was read so far; none once that is too much.
    read: Option<Vec<RecordBatch>>,
    num_bytes: usize,
    kept: Kept,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<RecordBatch, sql::QueryError>> {
        let Some(batch) = self.stream.next().await else {
            if let Some(read) = self.read.take() {
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.get_or_insert_with(|| Arc::new(read));
            }
            return None;
        };
        match &batch {
            Ok(batch) => {
                self.num_bytes += batch.get_array_memory_size();
                if self.num_bytes > MAX_KEPT {
                    self.read = None;
                }
                if let Some(read) = &mut self.read {
                    read.push(batch.clone());
                }
            }
            Err(_) => self.read = None,
        }
        Some(batch.map_err(sql::QueryError::from))
    }
}

/// Rows for whoever reads an Arrow stream, on whatever thread.
struct Reader {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, sql::QueryError>>,
    working: JoinHandle<()>,
    threads: Arc<Threads>,
    /// The thread that asked for the stream. Others may wait for one that holds Python's lock, which is
    /// what looking for signals takes.
    thread: ThreadId,
    /// For how long rows were waited for.
    taken: Duration,
    /// How long that may be.
    timeout: Option<Duration>,
}

impl Iterator for Reader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_ours = thread::current().id() == self.thread;
        let (began, taken, timeout) = (Instant::now(), self.taken, self.timeout);
        let look = || {
            if is_ours {
                signalled()?;
            }
            is_in_time(taken + began.elapsed(), timeout)
        };
        let next = wait(std::pin::pin!(self.batches.recv()), look);
        self.taken += began.elapsed();
        match next {
            Ok(batch) => batch.map(|batch| batch.map_err(|error| told(words(&error)))),
            Err(signal) => {
                self.working.abort();
                self.threads.retire();
                // An error of a stream is a text: what was raised ends here.
                let raised = format!("interrupted: {signal}");
                Some(Err(told(raised.trim_end_matches(": ").to_owned())))
            }
        }
    }
}

impl RecordBatchReader for Reader {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.working.abort();
    }
}

/// An error of a stream.
fn told(text: String) -> ArrowError {
    ArrowError::ExternalError(text.into())
}

/// The rows of a plan, as often as they are asked for.
pub(super) fn of_plan(frame: DataFrame, timeout: Option<Duration>) -> Rows {
    let schema: &Schema = frame.schema().as_arrow();
    Rows::new(Arc::new(schema.clone()), timeout, move || {
        let frame = frame.clone();
        Box::pin(async move {
            let rows: Result<_, DataFusionError> = frame.execute_stream().await;
            Ok(rows?)
        })
    })
}
