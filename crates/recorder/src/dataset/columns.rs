//! What the columns of a file are for.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::raw::{InputKind, MAX_INPUTS, RawTable, as_argument, refuse};
use super::{ALL_TEXTS, DatasetError, FileSpec};

/// How many columns an error or a note lists.
const MAX_LISTED: usize = 20;
/// How many columns that look like numbers of the rows are named.
const MAX_SUSPECTS: usize = 5;
/// Fewer rows than these rise from one to the next by chance.
const MIN_SUSPECT_ROWS: usize = 10;

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// An input that is a number.
    Number,
    /// An input that is one of some texts.
    Category,
    /// The target of that number.
    Target(usize),
    /// Nothing.
    Ignored,
}

/// The columns of a file, as they were asked for.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    pub(super) roles: Vec<Role>,
    /// Those that are left out because they are known to be an index, for which nobody asked.
    pub(super) index: Vec<String>,
    /// Those to be ignored that are not there, with what is to be said of it.
    pub(super) unknown: Vec<(String, DatasetError)>,
}

impl Columns {
    /// Tells for each of a file's columns what it is for. `index` are those that the file's own
    /// metadata calls an index.
    ///
    /// # Errors
    /// If a name is there twice, one that is needed is not there, or nothing is left to learn from.
    pub(super) fn assign(
        file: &Path,
        names: Vec<String>,
        spec: &FileSpec,
        index: &[String],
    ) -> Result<Self, DatasetError> {
        if names.len() > MAX_INPUTS {
            let problem = format!("it has {} columns, more than {MAX_INPUTS}", names.len());
            return Err(refuse(file, problem));
        }
        let mut seen = HashSet::with_capacity(names.len());
        for name in names.iter().filter(|name| !name.is_empty()) {
            if !seen.insert(name.as_str()) {
                let problem = format!(
                    "there are two columns {name:?}: give each a name of its own, since options \
                     and results name columns"
                );
                return Err(refuse(file, problem));
            }
        }
        if names.iter().any(String::is_empty) {
            seen.insert("");
        }
        let categories = spec.categorical.iter().filter(|name| *name != ALL_TEXTS);
        for wanted in spec.targets.iter().chain(&spec.kept).chain(categories) {
            if !seen.contains(wanted.as_str()) {
                return Err(no_column(file, &names, wanted));
            }
        }
        let unknown = spec.ignored.iter();
        let unknown = unknown.filter(|wanted| !seen.contains(wanted.as_str()));
        let unknown = unknown.map(|wanted| (wanted.clone(), no_column(file, &names, wanted)));
        let unknown = unknown.collect();

        let set = |names: &[String]| names.iter().cloned().collect::<HashSet<String>>();
        let targets = spec.targets.iter().enumerate();
        let targets: HashMap<&str, usize> = targets.map(|(i, name)| (name.as_str(), i)).collect();
        let (ignored, kept, categories) =
            (set(&spec.ignored), set(&spec.kept), set(&spec.categorical));
        let is_settled = spec.left_out.is_some();
        let left_out = set(spec.left_out.as_deref().unwrap_or_default());
        let index = set(index);
        let mut found = Vec::new();
        let roles: Vec<Role> = names
            .iter()
            .map(|name| {
                let is_index = || {
                    !is_settled
                        && !kept.contains(name)
                        && (index.contains(name) || is_pandas_index(name))
                };
                if let Some(&target) = targets.get(name.as_str()) {
                    Role::Target(target)
                } else if ignored.contains(name) || left_out.contains(name) {
                    Role::Ignored
                } else if is_index() {
                    found.push(name.clone());
                    Role::Ignored
                } else if categories.contains(name) {
                    Role::Category
                } else {
                    Role::Number
                }
            })
            .collect();
        let is_input = |role: &Role| matches!(role, Role::Number | Role::Category);
        if !roles.iter().any(is_input) {
            return Err(refuse(file, nothing_left(&found)));
        }
        Ok(Self {
            names,
            roles,
            index: found,
            unknown,
        })
    }

    /// Whether an input is a text wherever that is what it looks like.
    pub(super) fn any_text_is_a_category(spec: &FileSpec) -> bool {
        spec.categorical.iter().any(|name| name == ALL_TEXTS)
    }
}

fn nothing_left(left_out: &[String]) -> String {
    match left_out {
        [] => "no column is left to learn from".to_owned(),
        [first, ..] => format!(
            "no column is left to learn from: {} is left out as an index (--keep {} takes it)",
            described(first),
            as_argument(first)
        ),
    }
}

/// The error that a column is which is not there.
pub(super) fn no_column(file: &Path, columns: &[String], wanted: &str) -> DatasetError {
    let names = || columns.iter().map(String::as_str);
    let listed: Vec<&str> = names().take(MAX_LISTED).collect();
    let more = match columns.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let hint = if columns.first().is_some_and(|first| first.starts_with('#')) {
        ": what stands before the line that names the columns has to go"
    } else if names().any(|name| name.parse::<f64>().is_ok()) {
        ": the first line has numbers, and has to name the columns"
    } else {
        ""
    };
    let problem = format!(
        "there is no column {wanted:?}{} (columns: {}{more}){hint}",
        words::did_you_mean(words::closest(wanted, names())),
        listed.join(", ")
    );
    refuse(file, problem)
}

/// Whether pandas gives that name to an index without one.
fn is_pandas_index(name: &str) -> bool {
    let level = name.strip_prefix("__index_level_");
    let level = level.and_then(|rest| rest.strip_suffix("__"));
    level.is_some_and(|level| !level.is_empty() && level.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a column has no name, or the one that pandas gives to such.
fn is_unnamed(name: &str) -> bool {
    name.is_empty() || name.starts_with("Unnamed: ")
}

/// Whether a name is one that is given to numbers of rows.
fn is_called_index(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    const CALLED: [&str; 9] = [
        "id",
        "idx",
        "index",
        "row",
        "rowid",
        "row_id",
        "rownum",
        "row_number",
        "rownames",
    ];
    is_unnamed(&name) || CALLED.contains(&name.as_str()) || name.starts_with("unnamed: ")
}

fn described(name: &str) -> String {
    match name {
        "" => "the column without a name".to_owned(),
        name => format!("column {name:?}"),
    }
}

/// Leaves out what says no more of a sample than its place in the file, and names what merely looks
/// as if it did. Gives the names of those that are left out, with the ones that the file's metadata
/// says. Where the options say which are left out, those are all.
///
/// # Errors
/// If nothing is left, or several columns have no name.
pub(super) fn leave_out_index(
    table: &mut RawTable,
    spec: &FileSpec,
    known: Vec<String>,
) -> Result<Vec<String>, DatasetError> {
    let mut left_out = known;
    for name in &left_out {
        table.notes.push(format!(
            "{} is left out: it is the index that pandas wrote beside the data; --keep {} takes it \
             as an input",
            described(name),
            as_argument(name)
        ));
    }
    if spec.left_out.is_some() {
        // That was decided when the samples that are trained on were read.
        return Ok(left_out);
    }
    let num_rows = table.num_rows();
    let (mut notes, mut suspects) = (Vec::new(), Vec::new());
    let mut inputs = std::mem::take(&mut table.inputs);
    let mut num_unnamed = 0;
    inputs.retain(|column| {
        let name = &column.name;
        let InputKind::Number(index) = column.kind else {
            num_unnamed += usize::from(name.is_empty());
            return true;
        };
        let values = || (0..num_rows).map(|row| table.number(row, index));
        if !spec.kept.contains(name) {
            let why = if name.is_empty() && column.gaps.count == num_rows {
                Some("it is empty")
            } else if is_unnamed(name) && counts(values()) {
                Some("it counts the rows")
            } else {
                None
            };
            if let Some(why) = why {
                notes.push(format!(
                    "{} is left out: {why}; --keep {} takes it as an input",
                    described(name),
                    as_argument(name)
                ));
                left_out.push(name.clone());
                return false;
            }
            if num_rows >= MIN_SUSPECT_ROWS
                && (rises(values()) || (is_called_index(name) && are_distinct(values())))
            {
                suspects.push(name.clone());
            }
        }
        num_unnamed += usize::from(name.is_empty());
        true
    });
    table.inputs = inputs;
    table.notes.extend(notes);
    left_out.dedup();
    // An option names all of them at once.
    if num_unnamed > 1 || (num_unnamed == 1 && left_out.iter().any(String::is_empty)) {
        let problem = "there are several columns without a name: give each a name, or leave them \
                       out with --ignore ''";
        return Err(refuse(&table.file, problem));
    }
    if table.inputs.is_empty() {
        return Err(refuse(&table.file, nothing_left(&left_out)));
    }
    for name in suspects.iter().take(MAX_SUSPECTS) {
        table.notes.push(format!(
            "warning: {} may be nothing but a number of the row: if so, it gives away how the file \
             is sorted, and --ignore {} leaves it out",
            described(name),
            as_argument(name)
        ));
    }
    if suspects.len() > MAX_SUSPECTS {
        let more = suspects.len() - MAX_SUSPECTS;
        table.notes.push(format!("warning: so may {more} more"));
    }
    Ok(left_out)
}

/// Whether numbers are whole and each is one more than the last.
fn counts(mut values: impl Iterator<Item = f64>) -> bool {
    let Some(first) = values.next().filter(|first| first.fract() == 0.0) else {
        return false;
    };
    let mut next = first + 1.0;
    let mut is_more = false;
    values.all(|value| {
        is_more = true;
        let is_next = value == next;
        next += 1.0;
        is_next
    }) && is_more
}

/// Whether numbers are whole and each is larger than the last, or each smaller.
fn rises(values: impl Iterator<Item = f64> + Clone) -> bool {
    let pairs = || values.clone().zip(values.clone().skip(1));
    values.clone().all(|value| value.fract() == 0.0)
        && (pairs().all(|(a, b)| a < b) || pairs().all(|(a, b)| a > b))
}

/// Whether numbers are whole and no two are the same.
fn are_distinct(mut values: impl Iterator<Item = f64>) -> bool {
    let mut seen = HashSet::new();
    values.all(|value| value.fract() == 0.0 && seen.insert(value.to_bits()))
}
