//! Columns side by side, for people.

use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::UnicodeWidthStr;
use words::printable;

use super::{BatchWriter, Format, WriteRowsError};

/// How many rows a terminal is shown.
pub const SHOWN_ROWS: usize = 100;

/// How many elements of a list a terminal is shown.
const SHOWN_ELEMENTS: usize = 4;

/// How many characters of a text a terminal is shown.
const SHOWN_CHARACTERS: usize = 100;

/// Rows by whose widest cells the columns are laid out; a wider cell after them juts out.
const LAYOUT_ROWS: usize = 1000;

/// How much of the rows a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableStyle {
    /// Every row and cell in full: for files and pipes.
    Full,
    /// The first [`SHOWN_ROWS`] rows, with long lists and texts shortened: for a terminal.
    Short,
}

pub(super) struct TableWriter<'a> {
    out: &'a mut (dyn Write + Send),
    style: TableStyle,
    schema: SchemaRef,
    /// Rows that wait for the layout.
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
    num_rows: usize,
}

impl<'a> TableWriter<'a> {
    pub(super) fn new(
        schema: SchemaRef,
        style: TableStyle,
        out: &'a mut (dyn Write + Send),
    ) -> Self {
        Self {
            out,
            style,
            schema,
            waiting: Vec::new(),
            widths: None,
            num_rows: 0,
        }
    }

    /// How many more rows are shown.
    fn room(&self) -> usize {
        match self.style {
            TableStyle::Full => usize::MAX,
            TableStyle::Short => SHOWN_ROWS.saturating_sub(self.num_rows),
        }
    }

    fn lay_out(&mut self) -> std::io::Result<()> {
        if self.widths.is_some() {
            return Ok(());
        }
        let names: Vec<String> = self
            .schema
            .fields()
            .iter()
            .map(|f| shown(f.name()))
            .collect();
        let widths = (0..names.len()).map(|column| {
            let cells = self
                .waiting
                .iter()
                .map(|row| &row[column])
                .chain([&names[column]]);
            let lines = cells.flat_map(|cell| cell.lines());
            lines.map(UnicodeWidthStr::width).max().unwrap_or(0)
        });
        let widths: Vec<usize> = widths.collect();
        self.rule(&widths)?;
        self.row(&names, &widths)?;
        self.rule(&widths)?;
        for row in std::mem::take(&mut self.waiting) {
            self.row(&row, &widths)?;
        }
        self.widths = Some(widths);
        Ok(())
    }

    fn rule(&mut self, widths: &[usize]) -> std::io::Result<()> {
        for width in widths {
            write!(self.out, "+{}", "-".repeat(width + 2))?;
        }
        writeln!(self.out, "+")
    }

    /// A cell of several lines, as `EXPLAIN` has them, makes its row as high.
    fn row(&mut self, cells: &[String], widths: &[usize]) -> std::io::Result<()> {
        let height = cells.iter().map(|cell| cell.lines().count()).max();
        for line in 0..height.unwrap_or(0).max(1) {
            for ((cell, width), field) in cells.iter().zip(widths).zip(self.schema.fields()) {
                let text = cell.lines().nth(line).unwrap_or_default();
                // A list may be longer than the 65,535 characters to which `format!` aligns.
                let blanks = " ".repeat(width.saturating_sub(text.width()));
                match field.data_type().is_numeric() {
                    true => write!(self.out, "| {blanks}{text} ")?,
                    false => write!(self.out, "| {text}{blanks} ")?,
                }
            }
            writeln!(self.out, "|")?;
        }
        Ok(())
    }
}

impl BatchWriter for TableWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteRowsError> {
        let encode = |source| WriteRowsError::Encode {
            format: Format::Table,
            source,
        };
        let shown = batch.slice(0, batch.num_rows().min(self.room()));
        self.num_rows += batch.num_rows();
        for row in cells(&shown, self.style).map_err(encode)? {
            match &self.widths {
                None => self.waiting.push(row),
                Some(widths) => self.row(&row, &widths.clone())?,
            }
        }
        if self.waiting.len() >= LAYOUT_ROWS {
            self.lay_out()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), WriteRowsError> {
        self.lay_out()?;
        let widths = self.widths.take().expect("laid out above");
        self.rule(&widths)?;
        if self.style == TableStyle::Short {
            let shown = self.num_rows.min(SHOWN_ROWS);
            let rows = if self.num_rows == 1 { "row" } else { "rows" };
            match shown == self.num_rows {
                true => writeln!(self.out, "{} {rows}", self.num_rows)?,
                false => writeln!(
                    self.out,
                    "{} rows, the first {shown} shown (-o FILE writes all)",
                    self.num_rows
                )?,
            }
        }
        Ok(())
    }
}

fn cells(batch: &RecordBatch, style: TableStyle) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![Vec::with_capacity(batch.num_columns()); batch.num_rows()];
    for column in batch.columns() {
        let formatter = ArrayFormatter::try_new(column, &options)?;
        for (index, row) in rows.iter_mut().enumerate() {
            row.push(match style {
                TableStyle::Full => shown(&formatter.value(index).try_to_string()?),
                TableStyle::Short => match shortened_list(column, index, &options)? {
                    Some(cell) => shown(&cell),
                    None => shortened(&shown(&formatter.value(index).try_to_string()?)),
                },
            });
        }
    }
    Ok(rows)
}

/// A text whose columns are those that it is laid out by.
fn shown(text: &str) -> String {
    printable(text).replace('\t', "\\t")
}

/// The first elements of a list that is too long to be shown.
fn shortened_list(
    column: &ArrayRef,
    row: usize,
    options: &FormatOptions,
) -> Result<Option<String>, ArrowError> {
    if !matches!(column.data_type(), DataType::List(_)) || column.is_null(row) {
        return Ok(None);
    }
    let list = column.as_list::<i32>().value(row);
    if list.len() <= SHOWN_ELEMENTS + 1 {
        return Ok(None);
    }
    let formatter = ArrayFormatter::try_new(&list, options)?;
    let shown = (0..SHOWN_ELEMENTS).map(|index| formatter.value(index).try_to_string());
    let shown = shown.collect::<Result<Vec<_>, _>>()?.join(", ");
    Ok(Some(format!(
        "[{shown}, … {} more]",
        list.len() - SHOWN_ELEMENTS
    )))
}

/// A text whose lines are not longer than a terminal is wide enough for.
fn shortened(cell: &str) -> String {
    let shortened = cell
        .lines()
        .map(|line| match line.char_indices().nth(SHOWN_CHARACTERS) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line.to_owned(),
        });
    shortened.collect::<Vec<_>>().join("\n")
}
