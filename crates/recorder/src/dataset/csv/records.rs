//! The records of a text, with the lines that they stand on, and with quotes that are never closed
//! found: the parser takes all that follows for one value.

use std::io::{Chain, Read as _};
use std::path::Path;

use csv::StringRecord;

use super::super::columns::{Columns, Role};
use super::super::missing::is_missing_number;
use super::super::raw::refuse;
use super::super::{DatasetError, Place};
use super::dialect::Dialect;

/// A line behind the text, in which nothing else has such a character: where it is not a record of
/// its own, a quote has taken it in.
const END: &str = "\n\0\n";

/// Reads records one after another.
pub(super) struct Records<'a> {
    file: &'a Path,
    /// From the line that names the columns on.
    text: &'a str,
    dialect: Dialect,
    reader: csv::Reader<Chain<&'a [u8], &'static [u8]>>,
    /// Lines before `text`.
    skipped_lines: u64,
    /// Where the last record stands in the text, and its first line.
    start: usize,
    end: usize,
    line: u64,
}

impl<'a> Records<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str, dialect: &Dialect) -> Self {
        let text = &text[dialect.start..];
        Self {
            file,
            text,
            dialect: *dialect,
            reader: dialect.reader(text.as_bytes().chain(END.as_bytes())),
            skipped_lines: u64::from(dialect.start > 0),
            start: 0,
            end: 0,
            line: 0,
        }
    }

    /// The line of the first record.
    pub(super) fn first_line(&self) -> u64 {
        self.skipped_lines + 1
    }

    /// Reads the next record, and gives its first line; none behind the last. Blank lines are none.
    ///
    /// # Errors
    /// If a quote is not closed.
    pub(super) fn read(&mut self, record: &mut StringRecord) -> Result<Option<u64>, DatasetError> {
        loop {
            let position = self.reader.position();
            let (mut start, mut line) = (position.byte() as usize, position.line());
            // What the last line ended in, and blank ones, belong to no record.
            while let Some(byte @ (b'\n' | b'\r')) = self.text.as_bytes().get(start) {
                line += u64::from(*byte == b'\n');
                start += 1;
            }
            let read = self.reader.read_record(record);
            let is_there = read.map_err(|error| refuse(self.file, error.to_string()))?;
            if !is_there || start >= self.text.len() {
                return Ok(None);
            }
            self.start = start;
            self.end = (self.reader.position().byte() as usize).min(self.text.len());
            self.line = line + self.skipped_lines;
            let last = record.iter().next_back().unwrap_or_default();
            if last.contains('\0') {
                let before = record.iter().take(record.len() - 1);
                let lines: usize = before.map(|value| value.matches('\n').count()).sum();
                return Err(DatasetError::Refused {
                    file: self.file.to_owned(),
                    place: Some(Place::Line(self.line + lines as u64)),
                    column: None,
                    problem: "a quote opens here and is never closed, so that all lines after it \
                              would be one value: close it, or write it twice where it is part of \
                              a value"
                        .to_owned(),
                });
            }
            // A line of blanks says nothing.
            if record.len() > 1 || !self.text[self.start..self.end].trim().is_empty() {
                return Ok(Some(self.line));
            }
        }
    }

    /// Of a record of several lines, the first behind its own that looks like a whole row: then a quote
    /// that somebody forgot has made one record of several. A text of several lines has none, or one
    /// at either end that is a row but for its quote.
    pub(super) fn swallowed_line(&self, columns: &Columns) -> Option<u64> {
        let raw = self.text[self.start..self.end].trim_end_matches(['\r', '\n']);
        if !raw.contains('\n') {
            return None;
        }
        let lines: Vec<&str> = raw.split('\n').collect();
        let rows: Vec<usize> = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| self.looks_like_a_row(line, columns))
            .map(|(index, _)| index)
            .collect();
        let inner = rows.iter().find(|&&row| row > 0 && row + 1 < lines.len());
        let swallowed = match (inner, rows.as_slice()) {
            (Some(inner), _) => *inner,
            (None, [_, second, ..]) => *second,
            (None, _) => return None,
        };
        Some(self.line + swallowed as u64)
    }

    fn looks_like_a_row(&self, line: &str, columns: &Columns) -> bool {
        let delimiter = char::from(self.dialect.delimiter);
        let values: Vec<&str> = line.split(delimiter).collect();
        if values.len() != columns.names.len() {
            return false;
        }
        let mut num_numbers = 0;
        let all_numbers = values.iter().zip(&columns.roles).all(|(value, role)| {
            let value = value.trim().trim_matches('"');
            num_numbers += usize::from(*role == Role::Number);
            *role != Role::Number || is_missing_number(value) || self.dialect.reads_as_number(value)
        });
        // Of two columns of texts, a sentence with a comma has as many.
        all_numbers && (num_numbers > 0 || values.len() > 2)
    }
}
