//! From rows as a file has them to what the network sees: categories become inputs of their own,
//! missing values and scales are filled in by what the samples that are trained on are like.

use serde::{Deserialize, Serialize};

use super::raw::{InputKind, NO_VALUE, RawTable, as_argument};
use super::targets::Classes;
use super::{DatasetError, Missing, Scale};

/// What pixels are divided by.
const MAX_PIXEL: f64 = 255.0;

/// Categories may become so many values, each an input of a sample, or so many for every byte of the files: where
/// nearly every sample has a category of its own they grow with the square of the samples.
const MAX_CATEGORY_VALUES: u64 = 4 << 20;
const MAX_CATEGORY_VALUES_A_BYTE: u64 = 100;

/// How the values of a file were taken before anything was done to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Taken {
    /// Rounded to 32 bits, as versions did that do not say it.
    #[default]
    F32,
    /// As 64-bit floats.
    F64,
}

/// Means and standard deviations, column by column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Standard {
    pub(super) mean: Vec<f64>,
    /// 1 where all values are the same.
    pub(super) std: Vec<f64>,
}

impl Standard {
    /// Of rows of `width` values, which `row_of` writes; those that are missing are taken for the mean
    /// of the others. Of a column without any the mean is NaN.
    pub(super) fn fit(
        width: usize,
        rows: &[usize],
        mut row_of: impl FnMut(usize, &mut [f64]),
    ) -> Self {
        // Sums of what is left of the first value lose no digits to a large mean, and none at all
        // where all values are the same.
        let mut first = vec![f64::NAN; width];
        let mut largest = vec![0.0f64; width];
        let mut mean = vec![0.0; width];
        let mut counts = vec![0u64; width];
        let mut row = vec![0.0; width];
        for &index in rows {
            row_of(index, &mut row);
            for (column, &value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
                if counts[column] == 0 {
                    first[column] = value;
                }
                counts[column] += 1;
                mean[column] += value - first[column];
                largest[column] = largest[column].max(value.abs());
            }
        }
        for (mean, &count) in mean.iter_mut().zip(&counts) {
            *mean /= count as f64;
        }
        let mut std = vec![0.0; width];
        for &index in rows {
            row_of(index, &mut row);
            for (column, &value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
                std[column] += (value - first[column] - mean[column]).powi(2);
            }
        }
        for ((std, largest), (mean, first)) in std
            .iter_mut()
            .zip(&largest)
            .zip(mean.iter_mut().zip(&first))
        {
            *mean += first;
            let deviation = (*std / rows.len() as f64).sqrt();
            // Less is what arithmetic leaves of values that should be the same.
            let is_constant = deviation <= f64::EPSILON * largest;
            *std = if is_constant { 1.0 } else { deviation };
        }
        Self { mean, std }
    }

    /// Standardises rows of a width.
    pub(super) fn apply(&self, values: &mut [f64]) {
        for row in values.chunks_exact_mut(self.mean.len()) {
            for ((value, mean), std) in row.iter_mut().zip(&self.mean).zip(&self.std) {
                *value = (*value - mean) / std;
            }
        }
    }
}

/// What inputs the columns become.
pub(super) struct Layout {
    columns: Vec<LayoutColumn>,
    width: usize,
    has_names: bool,
}

struct LayoutColumn {
    name: String,
    /// The categories, of each of which an input says whether it is there; none of a number.
    categories: Option<Classes>,
}

impl Layout {
    /// Of the samples that are trained on.
    pub(super) fn of(table: &RawTable) -> Self {
        let columns: Vec<LayoutColumn> = table
            .inputs
            .iter()
            .map(|column| LayoutColumn {
                name: column.name.clone(),
                categories: match &column.kind {
                    InputKind::Number(_) => None,
                    InputKind::Category(texts) => Some(Classes::of(texts)),
                },
            })
            .collect();
        let width = columns.iter().map(LayoutColumn::width).sum();
        Self {
            columns,
            width,
            // Pixels have none.
            has_names: table.target_file.is_none(),
        }
    }

    /// Checks that categories do not become absurdly many values of a table, which comes from files of so many
    /// bytes.
    ///
    /// # Errors
    /// The column that has most of them.
    pub(super) fn check(&self, table: &RawTable, num_bytes: u64) -> Result<(), DatasetError> {
        let categories = |column: &LayoutColumn| match &column.categories {
            Some(categories) => categories.names.len() as u64,
            None => 0,
        };
        let num_categories: u64 = self.columns.iter().map(categories).sum();
        let num_values = num_categories.saturating_mul(table.num_rows() as u64);
        let most = num_bytes.saturating_mul(MAX_CATEGORY_VALUES_A_BYTE);
        let widest = self.columns.iter().max_by_key(|column| categories(column));
        match widest {
            Some(column) if num_values > most.max(MAX_CATEGORY_VALUES) => {
                Err(DatasetError::Refused {
                    file: table.file.clone(),
                    place: None,
                    column: Some(column.name.clone()),
                    problem: format!(
                        "it has {} categories, each of which would become an input, and all of them \
                         {num_values} values: --ignore {} leaves it out",
                        categories(column),
                        as_argument(&column.name)
                    ),
                })
            }
            _ => Ok(()),
        }
    }

    /// Number of inputs.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Names of the inputs, a category's with its column's; empty where they have none.
    pub(super) fn names(&self) -> Vec<String> {
        if !self.has_names {
            return Vec::new();
        }
        let mut names = Vec::with_capacity(self.width);
        for column in &self.columns {
            match &column.categories {
                None => names.push(column.name.clone()),
                Some(categories) => {
                    let of_category = |name: &String| format!("{}={name}", column.name);
                    names.extend(categories.names.iter().map(of_category));
                }
            }
        }
        names
    }

    /// What somebody may want to know of the columns that became several inputs.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        const MAX_LISTED: usize = 10;
        self.columns.iter().filter_map(|column| {
            let names = &column.categories.as_ref()?.names;
            let mut listed: Vec<&str> = names.iter().take(MAX_LISTED).map(String::as_str).collect();
            if names.len() > MAX_LISTED {
                listed.push("...");
            }
            Some(format!(
                "column {:?} becomes {} inputs, of which each says 1 for one of its categories: {}",
                column.name,
                names.len(),
                listed.join(", ")
            ))
        })
    }

    /// For each input, whether it is a category's.
    fn of_categories(&self) -> impl Iterator<Item = bool> {
        let of_column = |column: &LayoutColumn| {
            std::iter::repeat_n(column.categories.is_some(), column.width())
        };
        self.columns.iter().flat_map(of_column)
    }

    /// The rows of a table that has these columns.
    ///
    /// # Errors
    /// The first category that no sample has that is trained on.
    pub(super) fn rows<'a>(&self, table: &'a RawTable) -> Result<Rows<'a>, DatasetError> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (layout, column) in self.columns.iter().zip(&table.inputs) {
            columns.push(match (&column.kind, &layout.categories) {
                (InputKind::Category(texts), Some(categories)) => {
                    let find = |(code, text): (usize, &String)| {
                        let found = categories.find(text);
                        let found = found.and_then(|found| usize::try_from(found).ok());
                        found.ok_or_else(|| {
                            let problem = format!(
                                "no sample that is trained on has {text:?}{}",
                                categories.did_you_mean(text)
                            );
                            table.refuse_value(texts, code, problem)
                        })
                    };
                    let found = texts.values.iter().enumerate().map(find);
                    RowColumn::Category {
                        codes: &texts.codes,
                        categories: found.collect::<Result<_, _>>()?,
                        width: layout.width(),
                    }
                }
                (InputKind::Number(index), _) => RowColumn::Number(*index),
                (InputKind::Category(_), None) => {
                    unreachable!("a held-out file's columns are read as those trained on")
                }
            });
        }
        Ok(Rows { table, columns })
    }
}

impl LayoutColumn {
    fn width(&self) -> usize {
        self.categories
            .as_ref()
            .map_or(1, |categories| categories.names.len())
    }
}

/// The rows of a table as inputs, before they are scaled; NaN where a value is missing.
pub(super) struct Rows<'a> {
    table: &'a RawTable,
    columns: Vec<RowColumn<'a>>,
}

enum RowColumn<'a> {
    Number(usize),
    Category {
        codes: &'a [u32],
        /// By code.
        categories: Vec<usize>,
        width: usize,
    },
}

impl Rows<'_> {
    /// The table whose rows they are.
    pub(super) fn table(&self) -> &RawTable {
        self.table
    }

    /// Writes a row.
    pub(super) fn write(&self, row: usize, inputs: &mut [f64]) {
        let mut at = 0;
        for column in &self.columns {
            match column {
                RowColumn::Number(index) => {
                    inputs[at] = self.table.number(row, *index);
                    at += 1;
                }
                RowColumn::Category {
                    codes,
                    categories,
                    width,
                } => {
                    let inputs = &mut inputs[at..at + width];
                    match codes[row] {
                        NO_VALUE => inputs.fill(f64::NAN),
                        code => {
                            inputs.fill(0.0);
                            inputs[categories[code as usize]] = 1.0;
                        }
                    }
                    at += width;
                }
            }
        }
    }
}

/// What is done to the inputs of every sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaling {
    pub(super) taken: Taken,
    pub(super) scale: Scale,
    /// Where the scale is one.
    pub(super) standard: Option<Standard>,
    /// What stands in for missing values, before they are scaled.
    pub(super) fill: Option<Vec<f64>>,
}

impl Scaling {
    /// By the rows that are trained on. Categories stay 0 and 1.
    pub(super) fn fit(
        layout: &Layout,
        rows: &Rows<'_>,
        trained_on: &[usize],
        (scale, missing): (Scale, Missing),
    ) -> Self {
        let fitted = || {
            Standard::fit(layout.width(), trained_on, |row, inputs| {
                rows.write(row, inputs);
            })
        };
        let needs_fit = scale == Scale::Standard || missing == Missing::Mean;
        let fitted = needs_fit.then(fitted);
        let fill = fitted.as_ref().filter(|_| missing == Missing::Mean);
        let fill = fill.map(|standard| standard.mean.clone());
        let mut standard = fitted.filter(|_| scale == Scale::Standard);
        if let Some(Standard { mean, std }) = &mut standard {
            let categories = layout.of_categories().enumerate();
            for (input, _) in categories.filter(|(_, is_category)| *is_category) {
                (mean[input], std[input]) = (0.0, 1.0);
            }
        }
        Self {
            taken: Taken::F64,
            scale,
            standard,
            fill,
        }
    }

    /// The inputs of some rows as the network sees them, row-major.
    ///
    /// # Errors
    /// The first that is too large for 32 bits once it is scaled.
    pub(super) fn apply(
        &self,
        layout: &Layout,
        rows: &Rows<'_>,
        chosen: &[usize],
    ) -> Result<Vec<f32>, DatasetError> {
        let is_category: Vec<bool> = layout.of_categories().collect();
        let mut inputs = Vec::with_capacity(chosen.len() * layout.width());
        let mut row = vec![0.0; layout.width()];
        for &index in chosen {
            rows.write(index, &mut row);
            if self.taken == Taken::F32 {
                row.iter_mut()
                    .for_each(|value| *value = f64::from(*value as f32));
            }
            if let Some(fill) = &self.fill {
                for (value, fill) in row.iter_mut().zip(fill) {
                    if value.is_nan() {
                        *value = *fill;
                    }
                }
            }
            match (self.scale, &self.standard) {
                (Scale::Standard, Some(standard)) => standard.apply(&mut row),
                (Scale::Pixels, _) => {
                    let pixels = row.iter_mut().zip(&is_category);
                    for (value, _) in pixels.filter(|(_, is_category)| !**is_category) {
                        *value /= MAX_PIXEL;
                    }
                }
                _ => {}
            }
            let first = inputs.len();
            inputs.extend(row.iter().map(|&value| value as f32));
            if let Some(input) = inputs[first..].iter().position(|value| !value.is_finite()) {
                return Err(DatasetError::Refused {
                    file: rows.table.file.clone(),
                    place: Some(rows.table.place(index)),
                    column: layout.names().into_iter().nth(input),
                    problem: "scaled, it is too large for a 32-bit float: the samples that are \
                              trained on hardly differ in it, leave the column out with --ignore"
                        .to_owned(),
                });
            }
        }
        Ok(inputs)
    }
}

/// Names of inputs whose values differ and are the same once they have 32 bits, without having been
/// standardised.
pub(super) fn indistinct(layout: &Layout, rows: &Rows<'_>, num_rows: usize) -> Vec<String> {
    let mut row = vec![0.0; layout.width()];
    let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); layout.width()];
    for index in 0..num_rows {
        rows.write(index, &mut row);
        for ((least, most), &value) in ranges.iter_mut().zip(&row) {
            *least = least.min(value);
            *most = most.max(value);
        }
    }
    let names = layout.names();
    let named = names.into_iter().zip(ranges);
    let merged = named.filter(|(_, (least, most))| least < most && *least as f32 == *most as f32);
    merged.map(|(name, _)| name).collect()
}
