//! Tables of files that have columns: how they begin, and what is done once all rows were read.

use std::path::Path;

use super::columns::{Columns, Role, leave_out_index};
use super::missing;
use super::raw::{Gaps, InputColumn, InputKind, Numbers, RawTable, ReadFile, TextColumn, refuse};
use super::{DatasetError, FileSpec};

/// A table of those columns without a row.
pub(super) fn empty_table(file: &Path, columns: &Columns, spec: &FileSpec) -> RawTable {
    let mut num_numbers = 0;
    let mut inputs = Vec::new();
    for (name, role) in columns.names.iter().zip(&columns.roles) {
        let kind = match role {
            Role::Number => {
                num_numbers += 1;
                InputKind::Number(num_numbers - 1)
            }
            Role::Category => InputKind::Category(Box::new(TextColumn::new(name.clone()))),
            Role::Target(_) | Role::Ignored => continue,
        };
        inputs.push(InputColumn {
            name: name.clone(),
            kind,
            gaps: Gaps::default(),
        });
    }
    RawTable {
        file: file.to_owned(),
        target_file: None,
        places: None,
        inputs,
        image: None,
        numbers: Numbers::Double(Vec::new()),
        num_numbers,
        targets: spec.targets.iter().cloned().map(TextColumn::new).collect(),
        notes: Vec::new(),
    }
}

/// What a file says of which all rows were read, by `spec`: columns that are an index are left out,
/// and missing values are done with as was asked for. `note` says how the file was taken, if that is
/// to be said.
///
/// # Errors
/// If there is no row, or values are missing that may not be.
pub(super) fn finish(
    mut table: RawTable,
    columns: Columns,
    spec: &FileSpec,
    note: Option<String>,
) -> Result<ReadFile, DatasetError> {
    if table.num_rows() == 0 {
        return Err(refuse(&table.file, "it has no samples"));
    }
    let left_out = leave_out_index(&mut table, spec, columns.index)?;
    table.notes.extend(note);
    missing::settle(&mut table, spec)?;
    let resolved = FileSpec {
        left_out: Some(spec.left_out.clone().unwrap_or(left_out)),
        categorical: categorical(&table),
        ..spec.clone()
    };
    Ok(ReadFile {
        table,
        resolved,
        unknown: columns.unknown,
    })
}

/// The names of the inputs that are categories.
fn categorical(table: &RawTable) -> Vec<String> {
    let categories = table
        .inputs
        .iter()
        .filter(|column| matches!(column.kind, InputKind::Category(_)));
    categories.map(|column| column.name.clone()).collect()
}
