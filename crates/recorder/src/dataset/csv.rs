//! Comma-separated values.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::raw::{RawTable, Role, TargetColumn, number, refuse, roles};
use super::{DatasetError, FileSpec, Place};

/// Reads a file of that name from its bytes: a line of column names, then a line a sample.
///
/// # Errors
/// The first line that is no sample.
pub(super) fn read(file: &Path, bytes: &[u8], spec: &FileSpec) -> Result<RawTable, DatasetError> {
    // Lines of another length are told by us, with what is wrong.
    let mut reader = ReaderBuilder::new()
        .flexible(true)
        .trim(Trim::All)
        .from_reader(bytes);
    let header = reader.headers().map_err(|error| unreadable(file, &error))?;
    let columns: Vec<String> = header.iter().map(str::to_owned).collect();
    if columns.iter().all(|name| name.parse::<f64>().is_ok()) && !columns.is_empty() {
        let problem = "it has only numbers: the first line has to name the columns";
        return Err(DatasetError::Refused {
            file: file.to_owned(),
            place: Some(Place::Line(1)),
            column: None,
            problem: problem.to_owned(),
        });
    }
    let roles = roles(file, &columns, &spec.targets, &spec.ignored)?;
    let input_names = columns.iter().zip(&roles);
    let input_names = input_names.filter(|(_, role)| matches!(role, Role::Input(_)));
    let input_names: Vec<String> = input_names.map(|(name, _)| name.clone()).collect();
    let mut table = RawTable {
        file: file.to_owned(),
        target_file: None,
        lines: Vec::new(),
        num_inputs: input_names.len(),
        image: None,
        input_names,
        inputs: Vec::new(),
        targets: spec
            .targets
            .iter()
            .cloned()
            .map(TargetColumn::new)
            .collect(),
    };

    let mut record = StringRecord::new();
    while reader
        .read_record(&mut record)
        .map_err(|error| unreadable(file, &error))?
    {
        let line = record.position().map_or(0, csv::Position::line);
        let refused = |column: Option<&String>, problem: String| DatasetError::Refused {
            file: file.to_owned(),
            place: Some(Place::Line(line)),
            column: column.cloned(),
            problem,
        };
        if record.len() != columns.len() {
            let problem = format!(
                "it has {} values, the first line names {} columns",
                record.len(),
                columns.len()
            );
            return Err(refused(None, problem));
        }
        for ((text, role), column) in record.iter().zip(&roles).zip(&columns) {
            match *role {
                Role::Ignored => {}
                Role::Input(_) => {
                    let value = number(text).map_err(|problem| refused(Some(column), problem))?;
                    table.inputs.push(value);
                }
                Role::Target(_) if text.is_empty() => {
                    return Err(refused(Some(column), "it is empty".to_owned()));
                }
                Role::Target(target) => table.targets[target].push(text),
            }
        }
        table.lines.push(line);
    }
    Ok(table)
}

fn unreadable(file: &Path, error: &csv::Error) -> DatasetError {
    let problem = match error.kind() {
        csv::ErrorKind::Utf8 { err, .. } => format!("it is no UTF-8 text ({err})"),
        _ => error.to_string(),
    };
    match error.position() {
        Some(position) => DatasetError::Refused {
            file: file.to_owned(),
            place: Some(Place::Line(position.line())),
            column: None,
            problem,
        },
        None => refuse(file, problem),
    }
}
