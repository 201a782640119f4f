//! Which samples of a file are trained on, and which are held out.

use crate::dataset::DatasetError;
use crate::dataset::raw::{RawTable, as_argument, refuse};
use crate::dataset::split::{draw_held_out, strata};
use crate::dataset::targets::RawTargets;

use super::open::absolute;

/// Which rows are trained on, and which are held out.
pub(super) struct Split {
    /// Of the table of training samples, ascending.
    pub(super) trained_on: Vec<usize>,
    /// Of the table of held-out samples where they have one, ascending.
    pub(super) held_out: Vec<usize>,
    /// In words, for `run.json`.
    pub(super) rule: String,
}

impl Split {
    /// All samples of two files.
    ///
    /// # Errors
    /// If they do not have the same columns.
    pub(super) fn of_files(train: &RawTable, held_out: &RawTable) -> Result<Self, DatasetError> {
        same_columns(train, held_out)?;
        Ok(Self {
            trained_on: (0..train.num_rows()).collect(),
            held_out: (0..held_out.num_rows()).collect(),
            rule: format!("all of {}", absolute(&held_out.file)?.display()),
        })
    }

    /// A share of one file's, drawn with the seed; of each class, where there are classes.
    ///
    /// # Errors
    /// If there are too few.
    pub(super) fn drawn(
        table: &RawTable,
        targets: &RawTargets,
        share: f64,
        seed: u64,
    ) -> Result<Self, DatasetError> {
        let num_rows = table.num_rows();
        let strata = strata(targets, num_rows);
        let by_class = if strata.len() > 1 { ", by class" } else { "" };
        let rule = format!("{share} drawn with the seed{by_class}");
        let drawn = draw_held_out(strata, share, seed);
        if drawn.is_empty() {
            let problem = "it has too few samples to hold any of them out";
            return Err(refuse(&table.file, problem));
        }
        let is_kept = |row: &usize| drawn.binary_search(row).is_err();
        Ok(Self {
            trained_on: (0..num_rows).filter(is_kept).collect(),
            held_out: drawn,
            rule,
        })
    }
}

fn same_columns(train: &RawTable, held_out: &RawTable) -> Result<(), DatasetError> {
    let source = train.file.display();
    if train.inputs.len() != held_out.inputs.len() {
        let (found, expected) = (held_out.inputs.len(), train.inputs.len());
        let problem = format!(
            "a sample has {found} inputs, in {source} it has {expected}{}",
            difference(train, held_out)
        );
        return Err(refuse(&held_out.file, problem));
    }
    let columns = held_out.inputs.iter().zip(&train.inputs);
    for (found, expected) in columns {
        let (found, expected) = (&found.name, &expected.name);
        if found != expected {
            let problem = format!(
                "column {found:?} stands where {source} has {expected:?}: both need the same columns \
                 in the same order"
            );
            return Err(refuse(&held_out.file, problem));
        }
    }
    Ok(())
}

/// Which column one of two tables has and the other has not, as a part of a sentence.
fn difference(train: &RawTable, held_out: &RawTable) -> String {
    let names = |table: &RawTable| -> std::collections::HashSet<String> {
        table
            .inputs
            .iter()
            .map(|column| column.name.clone())
            .collect()
    };
    let (of_train, of_held_out) = (names(train), names(held_out));
    let mut more = held_out.inputs.iter().map(|column| &column.name);
    let mut fewer = train.inputs.iter().map(|column| &column.name);
    let more = more.find(|name| !of_train.contains(*name));
    let fewer = fewer.find(|name| !of_held_out.contains(*name));
    match (more, fewer) {
        (Some(name), _) => format!(
            ": it has also {name:?}, which --ignore {} leaves out",
            as_argument(name)
        ),
        (None, Some(name)) => format!(": it has no {name:?}"),
        (None, None) => String::new(),
    }
}
