//! Values that are missing: what stands for them, and what is done about them.

use super::raw::{Gaps, InputKind, RawTable, as_argument};
use super::{DatasetError, FileSpec, Missing};

/// Texts that stand for a missing value: those that pandas takes for one, R's and UCI's.
const TEXTS: [&str; 22] = [
    "", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "NAN", "-NaN", "-nan",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "NULL", "null", "None", "NaT", "?",
];
/// Those that do among numbers, besides.
const AMONG_NUMBERS: [&str; 5] = ["-", "--", ".", "na", "none"];

/// How many columns are named.
const MAX_NAMED: usize = 10;

/// Whether a text stands for a value that is missing.
pub(super) fn is_missing(text: &str, spec: &FileSpec) -> bool {
    TEXTS.contains(&text) && !spec.not_missing.iter().any(|value| value == text)
}

/// Whether a text in a column of numbers does.
pub(super) fn is_missing_number(text: &str) -> bool {
    TEXTS.contains(&text) || AMONG_NUMBERS.contains(&text)
}

/// A column that lacks values.
struct Lacking<'a> {
    name: &'a str,
    gaps: &'a Gaps,
    is_target: bool,
    has_texts: bool,
}

/// Does with missing values what was asked for; inputs that are to be means stay missing.
///
/// # Errors
/// If they are not allowed, or none of a column's values is there.
pub(super) fn settle(table: &mut RawTable, spec: &FileSpec) -> Result<(), DatasetError> {
    let inputs = table.inputs.iter().map(|column| {
        let (gaps, has_texts) = match &column.kind {
            InputKind::Number(_) => (&column.gaps, false),
            InputKind::Category(texts) => (&texts.gaps, true),
        };
        Lacking {
            name: &column.name,
            gaps,
            is_target: false,
            has_texts,
        }
    });
    let targets = table.targets.iter().map(|target| Lacking {
        name: &target.name,
        gaps: &target.gaps,
        is_target: true,
        has_texts: true,
    });
    let lacking: Vec<Lacking<'_>> = inputs
        .chain(targets)
        .filter(|column| column.gaps.count > 0)
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let is_empty = |column: &&Lacking<'_>| column.gaps.count == table.num_rows();
    if let Some(empty) = lacking.iter().find(is_empty) {
        return Err(refuse(table, &[empty], spec));
    }
    let refused: Vec<&Lacking<'_>> = match spec.missing {
        Missing::Error => lacking.iter().collect(),
        Missing::Mean => lacking.iter().filter(|column| column.is_target).collect(),
        Missing::Drop => Vec::new(),
    };
    if !refused.is_empty() {
        return Err(refuse(table, &refused, spec));
    }
    let listed = list(&lacking, |column| {
        format!("{:?} {}", column.name, column.gaps.count)
    });
    match spec.missing {
        Missing::Error => unreachable!("they were refused"),
        Missing::Mean => {
            let num: usize = lacking.iter().map(|column| column.gaps.count).sum();
            let note = format!(
                "the mean of its column, over the samples that are trained on, stands in for each of \
                 {num} missing values ({listed})"
            );
            table.notes.push(note);
        }
        Missing::Drop => {
            let is_kept = whole_rows(table);
            let num = is_kept.iter().filter(|kept| !**kept).count();
            let (file, all) = (table.file.clone(), is_kept.len());
            if num == all {
                let problem = format!("every sample lacks a value ({listed}): none is left");
                return Err(super::raw::refuse(&file, problem));
            }
            table.notes.push(format!(
                "{num} of {all} samples are left out since they lack a value ({listed})"
            ));
            table.retain_rows(&is_kept);
        }
    }
    Ok(())
}

/// For each row, whether it has all values.
fn whole_rows(table: &RawTable) -> Vec<bool> {
    use super::raw::NO_VALUE;
    let is_whole = |row: usize| {
        let of_inputs = table.inputs.iter().all(|column| match &column.kind {
            InputKind::Number(index) => !table.number(row, *index).is_nan(),
            InputKind::Category(texts) => texts.codes[row] != NO_VALUE,
        });
        of_inputs
            && table
                .targets
                .iter()
                .all(|target| target.codes[row] != NO_VALUE)
    };
    (0..table.num_rows()).map(is_whole).collect()
}

fn list(lacking: &[Lacking<'_>], of_column: impl Fn(&Lacking<'_>) -> String) -> String {
    let mut listed: Vec<String> = lacking.iter().take(MAX_NAMED).map(of_column).collect();
    if lacking.len() > MAX_NAMED {
        listed.push(format!("and {} more columns", lacking.len() - MAX_NAMED));
    }
    listed.join(", ")
}

/// What stands where a value should.
fn describe(text: &str) -> String {
    match text {
        "" => "it is empty".to_owned(),
        "null" => "it is null".to_owned(),
        text => format!("{text} stands for a missing value"),
    }
}

/// What can be done about columns that lack values.
fn advice(columns: &[&Lacking<'_>], spec: &FileSpec) -> String {
    let mut advice = "--missing drop leaves such samples out".to_owned();
    match (spec.missing, columns.iter().any(|column| column.is_target)) {
        (Missing::Error, false) => {
            advice += ", --missing mean puts the mean of the samples that are trained on in their \
                       place";
        }
        (Missing::Mean, true) => advice += ", --missing mean is for inputs alone",
        _ => {}
    }
    let texts = columns.iter().filter(|column| column.has_texts);
    let mut texts = texts.filter_map(|column| column.gaps.first.as_ref());
    if let Some((_, text)) = texts.find(|(_, text)| !text.is_empty() && text != "null") {
        let text = as_argument(text);
        advice += &format!(", and where it is a value after all, --not-missing {text} says so");
    }
    advice
}

fn refuse(table: &RawTable, columns: &[&Lacking<'_>], spec: &FileSpec) -> DatasetError {
    let num_rows = table.num_rows();
    let first = |column: &Lacking<'_>| {
        let (row, text) = column.gaps.first.as_ref().expect("it lacks a value");
        (table.place(*row), describe(text))
    };
    let (place, column, problem) = match columns {
        [column] if column.gaps.count == num_rows && !column.is_target => {
            let name = as_argument(column.name);
            let problem = format!("it has no value at all: --ignore {name} leaves the column out");
            (None, Some(column.name.to_owned()), problem)
        }
        [column] => {
            let (place, told) = first(column);
            let count = column.gaps.count;
            let advice = advice(columns, spec);
            let problem = format!("{told} ({count} of {num_rows} samples lack it): {advice}");
            (Some(place), Some(column.name.to_owned()), problem)
        }
        _ => {
            let listed: Vec<String> = columns
                .iter()
                .take(MAX_NAMED)
                .map(|column| {
                    let (place, told) = first(column);
                    format!(
                        "{:?} {} (first on {place}: {told})",
                        column.name, column.gaps.count
                    )
                })
                .collect();
            let more = match columns.len().saturating_sub(MAX_NAMED) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let problem = format!(
                "of {num_rows} samples, values are missing in {} columns: {}{more}: {}",
                columns.len(),
                listed.join(", "),
                advice(columns, spec)
            );
            (None, None, problem)
        }
    };
    DatasetError::Refused {
        file: table.file.clone(),
        place,
        column,
        problem,
    }
}
