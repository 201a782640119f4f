//! Character-separated values.

mod dialect;
mod records;

use std::path::Path;

use csv::StringRecord;

use super::columns::{Columns, Role};
use super::missing::{is_missing, is_missing_number};
use super::raw::{InputKind, Numbers, ReadFile, TextColumn, as_argument, number};
use super::table::{empty_table, finish};
use super::text::decode;
use super::{DatasetError, FileSpec, Place};
use dialect::{DecimalPoint, Dialect};
use records::Records;

/// Reads a file of that name from its bytes: a line of column names, then a line a sample.
///
/// # Errors
/// The first line that is no sample, or the columns that lack values.
pub(super) fn read(file: &Path, bytes: Vec<u8>, spec: &FileSpec) -> Result<ReadFile, DatasetError> {
    let text = decode(file, bytes)?;
    let dialect = Dialect::of(&text, spec);
    let mut records = Records::new(file, &text, &dialect);
    let mut record = StringRecord::new();
    let names: Vec<String> = match records.read(&mut record)? {
        Some(_) => record.iter().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    if !names.is_empty() && names.iter().all(|name| name.parse::<f64>().is_ok()) {
        let problem = "it has only numbers: the first line has to name the columns";
        return Err(DatasetError::Refused {
            file: file.to_owned(),
            place: Some(Place::Line(records.first_line())),
            column: None,
            problem: problem.to_owned(),
        });
    }
    let mut columns = Columns::assign(file, names, spec, &[])?;
    if Columns::any_text_is_a_category(spec) {
        take_texts_for_categories(file, &text, &dialect, &mut columns)?;
    }
    let mut point = DecimalPoint::new(&dialect, spec.decimal);
    let mut table = empty_table(file, &columns, spec);
    let mut places = Vec::new();
    let mut numbers = Vec::new();
    while let Some(line) = records.read(&mut record)? {
        check_record(file, &record, line, &columns, &records)?;
        let refused = |column: &str, problem: String| DatasetError::Refused {
            file: file.to_owned(),
            place: Some(Place::Line(line)),
            column: Some(column.to_owned()),
            problem,
        };
        let row = places.len();
        let mut inputs = table.inputs.iter_mut();
        for ((text, role), name) in record.iter().zip(&columns.roles).zip(&columns.names) {
            match *role {
                Role::Ignored => {}
                Role::Number => {
                    let column = inputs.next().expect("an input has a column");
                    if is_missing_number(text) {
                        column.gaps.push(row, text);
                        numbers.push(f64::NAN);
                        continue;
                    }
                    let value = point.read(text, line).and_then(|numeral| {
                        number(&numeral).map_err(|problem| problem + &advice(text, name, &dialect))
                    });
                    let value = value.map_err(|problem| refused(name, problem))?;
                    numbers.push(value);
                }
                Role::Category => {
                    let column = inputs.next().expect("an input has a column");
                    if let InputKind::Category(texts) = &mut column.kind {
                        push(texts, text, spec);
                    }
                }
                Role::Target(target) => {
                    let text = point.read(text, line);
                    let text = text.map_err(|problem| refused(name, problem))?;
                    push(&mut table.targets[target], &text, spec);
                }
            }
        }
        places.push(Place::Line(line));
    }
    table.places = Some(places);
    table.numbers = Numbers::Double(numbers);
    let decimal = point.settled(file)?;
    let read = finish(table, columns, spec, dialect.note(decimal))?;
    Ok(ReadFile {
        resolved: FileSpec {
            delimiter: Some(char::from(dialect.delimiter)),
            decimal: Some(decimal),
            ..read.resolved
        },
        ..read
    })
}

fn push(column: &mut TextColumn, text: &str, spec: &FileSpec) {
    match is_missing(text, spec) {
        true => column.push_gap(text),
        false => column.push(text),
    }
}

/// Looks through the file for inputs that are not numbers throughout.
fn take_texts_for_categories(
    file: &Path,
    text: &str,
    dialect: &Dialect,
    columns: &mut Columns,
) -> Result<(), DatasetError> {
    let mut records = Records::new(file, text, dialect);
    let mut record = StringRecord::new();
    records.read(&mut record)?;
    while let Some(line) = records.read(&mut record)? {
        check_record(file, &record, line, columns, &records)?;
        for (text, role) in record.iter().zip(&mut columns.roles) {
            let is_number = || is_missing_number(text) || dialect.reads_as_number(text);
            if *role == Role::Number && !is_number() {
                *role = Role::Category;
            }
        }
    }
    Ok(())
}

/// Checks that a record is a row: neither shorter nor longer, nor several that a quote made one.
fn check_record(
    file: &Path,
    record: &StringRecord,
    line: u64,
    columns: &Columns,
    records: &Records<'_>,
) -> Result<(), DatasetError> {
    let refused = |problem: String| DatasetError::Refused {
        file: file.to_owned(),
        place: Some(Place::Line(line)),
        column: None,
        problem,
    };
    if let Some(swallowed) = records.swallowed_line(columns) {
        return Err(refused(format!(
            "a quote that opens here takes in line {swallowed}, which looks like a row of its own: \
             close the quote, or write it twice where it is part of a value"
        )));
    }
    if record.len() != columns.names.len() {
        return Err(refused(format!(
            "it has {} values, the first line names {} columns",
            record.len(),
            columns.names.len()
        )));
    }
    Ok(())
}

/// What can be done about a text in a column of numbers.
fn advice(text: &str, column: &str, dialect: &Dialect) -> String {
    if text.is_empty() || text.parse::<f64>().is_ok() {
        return format!(" (--ignore {} leaves the column out)", as_argument(column));
    }
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    let only = |others: &str| {
        let fits = |c: char| c.is_ascii_digit() || others.contains(c);
        has_digit && text.chars().all(fits)
    };
    if only("+-.:/TZ ") && text.matches(['-', ':', '/']).count() >= 2 {
        return format!(
            ": a date or a time has to become a number, as of seconds, or go (--ignore {})",
            as_argument(column)
        );
    }
    if only("+-.,%\u{a0} ") && text.contains('%') {
        return ": write percentages without the sign".to_owned();
    }
    if only("+-.,'_ \u{a0}") {
        let decimal = match dialect.delimiter {
            b',' if text.matches(',').count() == 1 => {
                ", or, if the comma is the decimal point, say --decimal ,"
            }
            _ => "",
        };
        return format!(": write numbers without separators of thousands{decimal}");
    }
    let column = as_argument(column);
    format!(
        ": --categorical {column} takes the column as categories (--categorical alone every column \
         of texts), --ignore {column} leaves it out"
    )
}
