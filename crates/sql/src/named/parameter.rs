//! From the text of a parameter to its value, with the words that the run gives a meaning.
//!
//! Every named query and every picture comes here: what a parameter can be is said in its header, and
//! held against the run in this one place.

use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use words::{closest, did_you_mean};

use super::Defaults;
use super::header::{Parameter, ParameterType};
use super::known::{KnownRun, RunSet};
use crate::run::error::QueryError;

/// The widest rows that are padded without being asked for: a wider table is hardly meant.
pub const MAX_AUTO_WIDTH: u32 = 65_536;

/// How a header, and a user, says that a filter is off.
const NULL: &str = "NULL";
/// The word for the same.
const ALL: &str = "all";

impl Parameter {
    /// The value that `text` stands for in this run.
    ///
    /// Words are resolved here, before planning, so that the plan has literals and files are
    /// pruned by them.
    ///
    /// # Errors
    /// If the parameter cannot be that; the error says what it can be.
    pub(crate) fn resolve(&self, text: &str, run: KnownRun<'_>) -> Result<ScalarValue, QueryError> {
        // Where the filter cannot be off, NULL would leave nothing.
        if text == NULL && (self.default == NULL || self.has_all()) {
            return self.null();
        }
        match self.values.of_run() {
            Some(set) => self.of_run(set, text, run),
            None if self.is_of_words() => self.word(text),
            None if self.values.has_word(text) => self.number_word(text, run),
            None => self.number(text),
        }
    }

    /// What stands for it if it is not given.
    pub(super) fn default(&self, defaults: Defaults) -> &str {
        // A query that shows the last epoch shows, as a table, that of every epoch.
        let is_of_epochs = self.values.of_run() == Some(RunSet::Epoch) && self.has_all();
        match defaults {
            Defaults::Table if is_of_epochs => ALL,
            _ => &self.default,
        }
    }

    /// Whether the parameter is a filter that can be off, for which there is a word.
    pub(super) fn has_all(&self) -> bool {
        let is_plain_word = self.is_of_words() && self.values.of_run().is_none();
        self.values.has_word(ALL) && !is_plain_word
    }

    fn is_of_words(&self) -> bool {
        matches!(self.data_type, ParameterType::Utf8 | ParameterType::Boolean)
    }

    fn arrow_type(&self) -> DataType {
        match (self.data_type, self.values.of_run()) {
            (_, Some(RunSet::Layers)) => {
                DataType::List(Field::new_list_field(DataType::Utf8, true).into())
            }
            (ParameterType::Boolean, _) => DataType::Boolean,
            (ParameterType::Int32, _) => DataType::Int32,
            (ParameterType::Int64, _) => DataType::Int64,
            (ParameterType::Float64, _) => DataType::Float64,
            (ParameterType::Utf8, _) => DataType::Utf8,
        }
    }

    fn null(&self) -> Result<ScalarValue, QueryError> {
        Ok(ScalarValue::try_new_null(&self.arrow_type())?)
    }

    fn bad(&self, problem: String) -> QueryError {
        QueryError::BadParameter {
            name: self.name.clone(),
            problem,
        }
    }

    fn of_run(
        &self,
        set: RunSet,
        text: &str,
        run: KnownRun<'_>,
    ) -> Result<ScalarValue, QueryError> {
        let utf8 = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
        let bad = |problem| self.bad(problem);
        // A layer may be called as a word is: names come first, and its words with them.
        match set {
            RunSet::Layer if text != ALL || !self.has_all() => {
                return Ok(utf8(run.snapshot.known_layer(text)?));
            }
            RunSet::Layers if text != ALL || run.snapshot.topology().layer(ALL).is_some() => {
                let layers: Vec<ScalarValue> = run.layers(text)?.into_iter().map(utf8).collect();
                let layers = ScalarValue::new_list_nullable(&layers, &DataType::Utf8);
                return Ok(ScalarValue::List(layers));
            }
            _ => {}
        }
        if self.values.has_word(text) {
            return match text {
                "first" | "last" => {
                    let (first, last) = run.snapshot.epochs().ok_or(QueryError::NothingCaptured)?;
                    let epoch = if text == "first" { first } else { last };
                    Ok(ScalarValue::Int32(Some(epoch)))
                }
                _ => self.null(),
            };
        }
        match set {
            RunSet::Class => Ok(ScalarValue::Int32(Some(run.class(text).map_err(bad)?))),
            RunSet::Output => Ok(ScalarValue::Int32(Some(run.output(text).map_err(bad)?))),
            RunSet::Neurons => Ok(utf8(&run.neurons(text).map_err(bad)?)),
            _ => {
                let number = self.number(text)?;
                match (set, &number) {
                    (RunSet::Epoch | RunSet::ReportedEpoch, ScalarValue::Int32(Some(epoch))) => {
                        if run.snapshot.epochs().is_none() {
                            return Err(QueryError::NothingCaptured);
                        }
                        let is_reported = set == RunSet::ReportedEpoch;
                        run.epoch(*epoch, is_reported).map_err(bad)?;
                    }
                    (RunSet::Neuron, ScalarValue::Int32(Some(neuron))) => {
                        run.neuron(*neuron).map_err(bad)?;
                    }
                    (RunSet::Sample, ScalarValue::Int64(Some(sample))) => {
                        run.sample(*sample).map_err(bad)?;
                    }
                    _ => {}
                }
                Ok(number)
            }
        }
    }

    /// One of a few words, or any text where none are declared.
    fn word(&self, text: &str) -> Result<ScalarValue, QueryError> {
        if self.values.is_any() || self.values.has_word(text) {
            let value = ScalarValue::try_from_string(text.to_owned(), &self.arrow_type());
            return Ok(value?);
        }
        Err(self.bad(format!(
            "is {text:?}, it can be {}{}",
            self.values.describe(),
            did_you_mean(closest(text, self.values.words()))
        )))
    }

    /// A word in the place of a number.
    fn number_word(&self, word: &str, run: KnownRun<'_>) -> Result<ScalarValue, QueryError> {
        match word {
            "auto" => self.auto_width(run),
            _ => self.null(),
        }
    }

    fn number(&self, text: &str) -> Result<ScalarValue, QueryError> {
        let can_be = || match self.values.is_any() {
            true => String::new(),
            false => format!(", it can be {}", self.values.describe()),
        };
        let value = ScalarValue::try_from_string(text.to_owned(), &self.arrow_type());
        let value = value.map_err(|_| {
            let suggested = did_you_mean(closest(text, self.values.words()));
            self.bad(format!(
                "is {text:?}, which is no {}{}{suggested}",
                self.data_type,
                can_be()
            ))
        })?;
        let is_in = self.values.range().is_none_or(|range| match &value {
            ScalarValue::Int32(Some(number)) => range.contains_whole((*number).into()),
            ScalarValue::Int64(Some(number)) => range.contains_whole(*number),
            ScalarValue::Float64(Some(number)) => range.contains(*number),
            _ => true,
        });
        match is_in {
            true => Ok(value),
            false => Err(self.bad(format!("is {text}{}", can_be()))),
        }
    }

    fn auto_width(&self, run: KnownRun<'_>) -> Result<ScalarValue, QueryError> {
        match run.snapshot.recorded_width() {
            width if width > MAX_AUTO_WIDTH => Err(self.bad(format!(
                "has to be given: a neuron has up to {width} weights, and rows are widened by \
                 themselves up to {MAX_AUTO_WIDTH} only"
            ))),
            width => Ok(ScalarValue::Int64(Some(width.into()))),
        }
    }
}
