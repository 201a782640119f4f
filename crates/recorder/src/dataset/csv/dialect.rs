//! How a file separates its values, and the digits of its numbers.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::super::raw::{number, refuse};
use super::super::{ALL_TEXTS, DatasetError, FileSpec};

/// What may stand between values.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// How values are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// Bytes before the line that names the columns: those of a line that names the delimiter.
    pub(super) start: usize,
    decimal: Option<char>,
}

impl Dialect {
    /// What is asked for, or what the first lines show: what a line `sep=;` says, as spreadsheets
    /// write it, else the delimiter by which the first line names the columns that are asked for.
    pub(super) fn of(text: &str, spec: &FileSpec) -> Self {
        let first = text.split('\n').next().unwrap_or_default();
        let said = first.trim_matches(['\r', ' ', '"']);
        let said = said.get(..4).filter(|sep| sep.eq_ignore_ascii_case("sep="));
        let said = said.and_then(|_| first.trim_matches(['\r', ' ', '"']).get(4..));
        let said = said.filter(|said| said.len() == 1 && first.len() < text.len());
        let start = said.map_or(0, |_| first.len() + 1);
        let asked = spec
            .delimiter
            .and_then(|delimiter| u8::try_from(delimiter).ok());
        let said = said.map(|said| said.as_bytes()[0]);
        let delimiter = asked
            .or(said)
            .unwrap_or_else(|| shown(&text[start..], spec));
        Self {
            delimiter,
            start,
            decimal: spec.decimal,
        }
    }

    /// The reader of records of so much text.
    pub(super) fn reader<R: std::io::Read>(&self, text: R) -> csv::Reader<R> {
        reader(self.delimiter, text)
    }

    /// Whether a text is a number, whatever its decimal point.
    pub(super) fn reads_as_number(&self, text: &str) -> bool {
        let mut point = DecimalPoint::new(self, self.decimal);
        point.read(text, 0).and_then(|text| number(&text)).is_ok()
    }

    /// What there is to say of a dialect other than commas between values.
    pub(super) fn note(&self, decimal: char) -> Option<String> {
        let delimiter = match self.delimiter {
            b'\t' => "a tab".to_owned(),
            other => char::from(other).to_string(),
        };
        match (self.delimiter, decimal) {
            (b',', '.') => None,
            (_, '.') => Some(format!("values are read as separated by {delimiter}")),
            _ => Some(format!(
                "values are read as separated by {delimiter}, numbers with a {decimal} as the decimal \
                 point"
            )),
        }
    }
}

fn reader<R: std::io::Read>(delimiter: u8, text: R) -> csv::Reader<R> {
    // Lines of another length are told by us, with what is wrong.
    ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text)
}

/// The delimiter that makes most of the columns that are asked for, then most columns; a comma where
/// none is better.
fn shown(text: &str, spec: &FileSpec) -> u8 {
    let named = [&spec.targets, &spec.ignored, &spec.kept, &spec.categorical];
    let named = || {
        let named = named.into_iter().flatten();
        named.filter(|name| *name != ALL_TEXTS)
    };
    let mut best = (DELIMITERS[0], (0, 0));
    for delimiter in DELIMITERS {
        let mut header = StringRecord::new();
        if !matches!(
            reader(delimiter, text.as_bytes()).read_record(&mut header),
            Ok(true)
        ) {
            continue;
        }
        let columns: HashSet<&str> = header.iter().collect();
        let found = named().filter(|name| columns.contains(name.as_str()));
        let score = (found.count(), header.len());
        if score > best.1 {
            best = (delimiter, score);
        }
    }
    best.0
}

/// Reads numbers of which it may not be known whether their decimal point is a comma.
#[derive(Debug)]
pub(super) struct DecimalPoint {
    decimal: Option<char>,
    /// The first number with a point, and the first with a comma, each with its line.
    seen: [Option<(u64, String)>; 2],
}

impl DecimalPoint {
    pub(super) fn new(dialect: &Dialect, asked: Option<char>) -> Self {
        // Where commas stand between values, a number with one is an accident.
        let default = (dialect.delimiter == b',').then_some('.');
        Self {
            decimal: asked.or(default),
            seen: [None, None],
        }
    }

    /// A number as everybody writes it; any other text as it is.
    ///
    /// # Errors
    /// If it is a number with the other decimal point.
    pub(super) fn read<'t>(&mut self, text: &'t str, line: u64) -> Result<Cow<'t, str>, String> {
        if self.decimal == Some('.') || !text.contains(['.', ',']) {
            return Ok(Cow::Borrowed(text));
        }
        let (has_point, num_commas) = (text.contains('.'), text.matches(',').count());
        if num_commas == 1 && !has_point {
            let with_point = text.replace(',', ".");
            if with_point.parse::<f64>().is_ok() {
                self.seen[1].get_or_insert_with(|| (line, text.to_owned()));
                return Ok(Cow::Owned(with_point));
            }
        } else if has_point && num_commas == 0 && text.parse::<f64>().is_ok() {
            if self.decimal == Some(',') {
                // It may be a thousand.
                return Err(format!(
                    "{text} has a point, and the decimal point is a comma: --decimal says which it is"
                ));
            }
            self.seen[0].get_or_insert_with(|| (line, text.to_owned()));
        }
        Ok(Cow::Borrowed(text))
    }

    /// What the decimal point was.
    ///
    /// # Errors
    /// If it was both.
    pub(super) fn settled(self, file: &Path) -> Result<char, DatasetError> {
        match (self.decimal, self.seen) {
            (Some(decimal), _) => Ok(decimal),
            (None, [Some((point_line, point)), Some((comma_line, comma))]) => {
                let problem = format!(
                    "line {comma_line} has the number {comma}, line {point_line} has {point}: \
                     --decimal says which of the two is the decimal point"
                );
                Err(refuse(file, problem))
            }
            (None, [_, Some(_)]) => Ok(','),
            (None, [_, None]) => Ok('.'),
        }
    }
}
