//! What sqllogictest needs to ask a run.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use sql::{QueryError, QuerySession};
use sqllogictest::{DB, DBOutput, DefaultColumnType};
use tokio::runtime::Runtime;

pub struct Asked {
    session: Arc<QuerySession>,
    runtime: Arc<Runtime>,
}

impl Asked {
    pub fn new(session: Arc<QuerySession>, runtime: Arc<Runtime>) -> Self {
        Self { session, runtime }
    }

    async fn ask(&self, text: &str) -> Result<DBOutput<DefaultColumnType>, QueryError> {
        let rows = match text.trim().strip_prefix("run ") {
            None => self.session.sql(text).await?,
            Some(named) => {
                let mut words = named.split_whitespace();
                let name = words.next().unwrap_or_default();
                let arguments: Vec<(String, String)> = words
                    .filter_map(|word| word.split_once('='))
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect();
                self.session.named(name, &arguments).await?
            }
        };
        let fields = rows.schema().fields().iter();
        let types = fields.map(|field| column_type(field.data_type())).collect();
        let batches = rows.collect().await?;
        let mut rows = Vec::new();
        for batch in &batches {
            rows.extend(cells(batch)?);
        }
        Ok(DBOutput::Rows { types, rows })
    }
}

impl DB for Asked {
    type Error = QueryError;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, text: &str) -> Result<DBOutput<DefaultColumnType>, QueryError> {
        self.runtime.block_on(self.ask(text))
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        _ if data_type.is_integer() => DefaultColumnType::Integer,
        _ if data_type.is_floating() => DefaultColumnType::FloatingPoint,
        DataType::Utf8 => DefaultColumnType::Text,
        _ => DefaultColumnType::Any,
    }
}

fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>, QueryError> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![Vec::new(); batch.num_rows()];
    for column in batch.columns() {
        let formatter = ArrayFormatter::try_new(column, &options)?;
        for (index, row) in rows.iter_mut().enumerate() {
            // A record's columns are told apart by blanks.
            row.push(formatter.value(index).to_string().replace(' ', ""));
        }
    }
    Ok(rows)
}
