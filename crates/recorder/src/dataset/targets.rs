//! What the columns mean that are to be predicted.

use std::collections::HashMap;

use super::decimal::{Decimal, is_code};
use super::raw::{RawTable, TextColumn, number};
use super::{DatasetError, TargetRows, Targets, Task};

/// Whole numbers are taken for classes where there are no more than this many different ones.
pub const MAX_INFERRED_CLASSES: usize = 20;

/// Whether the texts of a column are numbers, one or all: with a zero before its digits, one is the
/// code of something, and so are the others.
fn are_codes(target: &TextColumn) -> bool {
    target.values.iter().any(|value| is_code(value))
}

/// What the targets look like.
pub(super) fn infer(table: &RawTable) -> Result<Task, DatasetError> {
    let num_classes = |target: &TextColumn| Classes::of(target).names.len();
    let is_whole = |value: &String| number(value).is_ok_and(|value| value.fract() == 0.0);
    if let (Some(_), [target]) = (&table.target_file, &table.targets[..])
        && target.values.iter().all(is_whole)
    {
        // Labels in a file of their own, as of IDX, number classes, however many.
        return Ok(match num_classes(target) {
            2 => Task::Binary,
            _ => Task::Classification,
        });
    }
    if let [target] = &table.targets[..]
        && are_codes(target)
    {
        return Ok(match num_classes(target) {
            2 => Task::Binary,
            _ => Task::Classification,
        });
    }
    let is_number = |value: &String| number(value).is_ok();
    for target in &table.targets {
        let numbers = target
            .values
            .iter()
            .filter(|value| is_number(value))
            .count();
        let text = target.values.iter().position(|value| !is_number(value));
        if let (Some(code), true) = (text, numbers > 0 || table.targets.len() > 1) {
            let value = &target.values[code];
            // What a number lacks is more to the point than that it is none.
            let is_numeral = value.parse::<f64>().is_ok();
            let problem = match (table.targets.len(), number(value)) {
                (1, Err(problem)) if is_numeral => {
                    format!("{problem}: if they are classes, say --task classification")
                }
                (1, _) => format!(
                    "{value:?} is no number, as others in the column are: if they are classes, \
                     say --task classification"
                ),
                _ => format!(
                    "{value:?} is no number: several targets are numbers, or labels that are 0 or 1"
                ),
            };
            return Err(table.refuse_value(target, code, problem));
        }
    }
    let all = |of_value: fn(f64) -> bool| {
        let mut values = table.targets.iter().flat_map(|target| &target.values);
        values.all(|value| number(value).is_ok_and(of_value))
    };
    if let [target] = &table.targets[..] {
        let num_classes = num_classes(target);
        let whole = all(|value| value.fract() == 0.0) && num_classes <= MAX_INFERRED_CLASSES;
        let texts = !target.values.iter().all(is_number);
        return Ok(match num_classes {
            _ if !whole && !texts => Task::Regression,
            2 => Task::Binary,
            _ => Task::Classification,
        });
    }
    Ok(match all(|value| value == 0.0 || value == 1.0) {
        true => Task::MultiLabel,
        false => Task::Regression,
    })
}

/// How texts become targets: follows from the samples that are trained on.
pub(super) enum Scheme {
    Classes(Classes),
    /// Two classes; none for probabilities.
    Binary(Option<Classes>),
    Labels,
    Values,
}

/// What the network should say of each row, before numbers are scaled.
#[derive(Debug)]
pub(super) enum RawTargets {
    Ready(Targets),
    /// Numbers to come close to, row-major.
    Values {
        values: Vec<f64>,
        width: usize,
    },
}

/// Classes in their order: numbers by size, texts by their letters.
pub(super) struct Classes {
    pub(super) names: Vec<String>,
    pub(super) are_numbers: bool,
    index: HashMap<Key, i32>,
}

/// What two texts have in common that are of one class: 1 and 1.0 are one.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Number(Decimal),
    Text(String),
}

impl Classes {
    pub(super) fn of(target: &TextColumn) -> Self {
        let numbers: Option<Vec<Decimal>> = match are_codes(target) {
            true => None,
            false => target
                .values
                .iter()
                .map(|value| Decimal::parse(value))
                .collect(),
        };
        let are_numbers = numbers.is_some();
        let names: Vec<String> = match numbers {
            Some(numbers) => {
                let mut named: Vec<_> = numbers.into_iter().zip(&target.values).collect();
                named.sort_by(|(a, _), (b, _)| a.cmp(b));
                // The text of the first row that has the number.
                named.dedup_by(|(a, _), (b, _)| a == b);
                named.into_iter().map(|(_, name)| name.clone()).collect()
            }
            None => {
                let mut names = target.values.clone();
                names.sort();
                names
            }
        };
        let mut classes = Self {
            names,
            are_numbers,
            index: HashMap::new(),
        };
        let keys = classes.names.iter().zip(0..);
        let keys = keys.map(|(name, class)| (classes.key(name), class));
        classes.index = keys.collect();
        classes
    }

    fn key(&self, text: &str) -> Key {
        match Decimal::parse(text) {
            Some(number) if self.are_numbers => Key::Number(number),
            _ => Key::Text(text.to_owned()),
        }
    }

    pub(super) fn find(&self, text: &str) -> Option<i32> {
        self.index.get(&self.key(text)).copied()
    }

    /// The class that somebody may have meant, as a part of a sentence; a number close to another is
    /// no misspelling.
    pub(super) fn did_you_mean(&self, text: &str) -> String {
        let names = self.names.iter().filter(|_| !self.are_numbers);
        words::did_you_mean(words::closest(text, names.map(String::as_str)))
    }
}

impl Scheme {
    pub(super) fn derive(task: Task, table: &RawTable) -> Result<Self, DatasetError> {
        let target = &table.targets[0];
        let classes = || {
            let classes = Classes::of(target);
            match classes.names.len() {
                1 => {
                    let problem = format!("all samples are of one class, {:?}", target.values[0]);
                    Err(table.refuse_column(target, problem))
                }
                num if num == table.num_rows() && num > 2 => {
                    let problem = "no two samples are of one class: there is nothing to learn";
                    Err(table.refuse_column(target, problem.to_owned()))
                }
                _ => Ok(classes),
            }
        };
        Ok(match task {
            Task::Classification => Self::Classes(classes()?),
            Task::Binary => {
                let fraction = |text: &String| number(text).is_ok_and(|n| n.fract() != 0.0);
                let beyond = target
                    .values
                    .iter()
                    .position(|text| probability(text).is_err());
                match beyond {
                    _ if Classes::of(target).names.len() <= 2
                        && !target.values.iter().any(fraction) =>
                    {
                        Self::Binary(Some(classes()?))
                    }
                    None => Self::Binary(None),
                    Some(code) => {
                        let problem = format!(
                            "{:?} is no probability, and there are {} different values: binary \
                             needs two classes, or probabilities",
                            target.values[code],
                            target.values.len()
                        );
                        return Err(table.refuse_value(target, code, problem));
                    }
                }
            }
            Task::MultiLabel => Self::Labels,
            Task::Regression => Self::Values,
        })
    }

    pub(super) fn encode(&self, table: &RawTable) -> Result<RawTargets, DatasetError> {
        let target = &table.targets[0];
        let rows = |of_text: fn(&str) -> Result<f64, String>| {
            let columns = table
                .targets
                .iter()
                .map(|target| by_row(table, target, of_text));
            let columns: Vec<Vec<f64>> = columns.collect::<Result<_, _>>()?;
            let row = |row: usize| columns.iter().map(move |column| column[row]);
            let values: Vec<f64> = (0..table.num_rows()).flat_map(row).collect();
            Ok((values, columns.len()))
        };
        let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Ok(RawTargets::Ready(match self {
            Self::Classes(classes) => Targets::Classes(classes_by_row(table, target, classes)?),
            Self::Binary(Some(classes)) => {
                let classes = classes_by_row(table, target, classes)?;
                Targets::Soft(classes.into_iter().map(|class| class as f32).collect())
            }
            Self::Binary(None) => Targets::Soft(single(by_row(table, target, probability)?)),
            Self::Labels => {
                let (values, width) = rows(probability)?;
                let values = single(values);
                Targets::Labels(TargetRows { values, width })
            }
            Self::Values => {
                let (values, width) = rows(number)?;
                return Ok(RawTargets::Values { values, width });
            }
        }))
    }

    pub(super) fn class_names(&self) -> Vec<String> {
        match self {
            Self::Classes(classes) | Self::Binary(Some(classes)) => classes.names.clone(),
            Self::Binary(None) => vec!["0".to_owned(), "1".to_owned()],
            Self::Labels | Self::Values => Vec::new(),
        }
    }
}

fn probability(text: &str) -> Result<f64, String> {
    match number(text)? {
        value if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err(format!(
            "{text} is no label: it has to be 0 or 1, or a probability between them"
        )),
    }
}

/// What a target's texts mean, row by row.
fn by_row<T: Copy>(
    table: &RawTable,
    target: &TextColumn,
    of_text: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, DatasetError> {
    let values = target.values.iter().enumerate().map(|(code, text)| {
        of_text(text).map_err(|problem| table.refuse_value(target, code, problem))
    });
    let values: Vec<T> = values.collect::<Result<_, _>>()?;
    Ok(target
        .codes
        .iter()
        .map(|&code| values[code as usize])
        .collect())
}

fn classes_by_row(
    table: &RawTable,
    target: &TextColumn,
    classes: &Classes,
) -> Result<Vec<i32>, DatasetError> {
    by_row(table, target, |text| {
        classes.find(text).ok_or_else(|| {
            format!(
                "no sample that is trained on is of class {text:?}{}",
                classes.did_you_mean(text)
            )
        })
    })
}
