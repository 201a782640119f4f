//! A picture that was asked for: its parameters, what a run says, and what things are called.

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::prelude::DataFrame;
use sql::{Arguments, QueryError, QuerySession};
use trace::{Layer, RunInfo};

use super::PlotKind;
use super::error::PlotError;
use super::rows::collected;
use crate::chart::BETWEEN;

/// A picture that was asked for, of a run, with its parameters.
pub(super) struct Asked<'a> {
    pub(super) kind: PlotKind,
    pub(super) session: &'a QuerySession,
    values: Vec<(String, ScalarValue)>,
}

impl<'a> Asked<'a> {
    pub(super) fn try_new(
        kind: PlotKind,
        session: &'a QuerySession,
        arguments: &Arguments,
    ) -> Result<Self, PlotError> {
        let parameters = kind.parameters();
        let values = session.run().resolve(kind.name(), &parameters, arguments)?;
        Ok(Self {
            kind,
            session,
            values,
        })
    }

    pub(super) fn info(&self) -> &'a RunInfo {
        self.session.info()
    }

    fn value(&self, name: &str) -> &ScalarValue {
        let found = self.values.iter().find(|(known, _)| known == name);
        let (_, value) = found.expect("a kind asks for parameters that it declares");
        value
    }

    /// A parameter, if the picture has one of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(known, _)| known == name)
    }

    /// The name of the layer that is shown, if the picture takes one and one was named.
    pub(super) fn layer_name(&self) -> Option<&str> {
        self.has("layer").then(|| self.text("layer")).flatten()
    }

    /// The epoch that is shown, if the picture takes one and one was named.
    pub(super) fn one_epoch(&self) -> Option<i64> {
        self.has("epoch").then(|| self.number("epoch")).flatten()
    }

    /// A text parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).try_as_str().flatten()
    }

    /// A whole-numbered parameter.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            ScalarValue::Int32(value) => value.map(i64::from),
            ScalarValue::Int64(value) => *value,
            _ => None,
        }
    }

    /// The epoch that is shown.
    pub(super) fn epoch(&self) -> Result<i64, PlotError> {
        let epoch = self.number("epoch");
        epoch.ok_or_else(|| {
            self.bad(
                "epoch",
                "is one epoch: the picture shows no more".to_owned(),
            )
        })
    }

    /// A parameter that says how many, from 1 on.
    pub(super) fn count(&self, name: &str) -> Result<usize, PlotError> {
        let value = self.number(name).unwrap_or(0);
        match usize::try_from(value) {
            Ok(count @ 1..) => Ok(count),
            _ => Err(self.bad(name, format!("is {value}, it has to be 1 or more"))),
        }
    }

    /// One of a few words; an error lists them.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<T, PlotError> {
        let given = self.text(name).unwrap_or("");
        let found = choices.iter().find(|(word, _)| *word == given);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.bad(
                name,
                format!("is {given:?}, it can be {}", words.join(", ")),
            )
        })
    }

    pub(super) fn bad(&self, name: &str, problem: String) -> PlotError {
        let name = name.to_owned();
        QueryError::BadParameter { name, problem }.into()
    }

    /// The layer of the parameter `layer`, if one was named.
    pub(super) fn layer(&self) -> Option<&'a Layer> {
        self.info().layers.layer(self.text("layer")?)
    }

    /// What is drawn, of what: a run, and what else there is to say.
    pub(super) fn subtitle(&self, parts: &[String]) -> String {
        let of_run = std::iter::once(of_run(self.session));
        let said: Vec<String> = of_run.chain(parts.iter().cloned()).collect();
        said.join(BETWEEN)
    }

    /// The name of a class, or its number.
    pub(super) fn class_name(&self, class: usize) -> String {
        self.info().class_name(class as i64)
    }

    /// What a neuron is called: `n_7`, and for an output the class it stands for.
    pub(super) fn neuron_name(&self, neuron: i64) -> String {
        let names = &self.info().class_names;
        match self.class_of_output(neuron) {
            Some(class) => format!("n_{neuron}: {}", names[class]),
            None => format!("n_{neuron}"),
        }
    }

    /// The class that a neuron stands for, if it is an output of which there is one a class.
    pub(super) fn class_of_output(&self, neuron: i64) -> Option<usize> {
        let num_classes = self.info().class_names.len();
        let output = self.info().layers.output_layer()?;
        let unit = usize::try_from(neuron - i64::from(output.first_neuron)).ok()?;
        (output.num_units as usize == num_classes && unit < num_classes).then_some(unit)
    }

    /// Plans SQL, in which the picture's parameters are `$name`s.
    pub(super) async fn sql(&self, sql: &str) -> Result<DataFrame, PlotError> {
        let planned = self.session.sql(sql).await?;
        let values = planned.with_param_values(self.values.clone());
        Ok(values.map_err(QueryError::from)?)
    }

    /// All rows that SQL gives.
    pub(super) async fn rows(&self, sql: &str) -> Result<RecordBatch, PlotError> {
        collected(self.sql(sql).await?).await
    }

    /// All rows of a named query.
    pub(super) async fn named(
        &self,
        name: &str,
        arguments: &[(&str, String)],
    ) -> Result<RecordBatch, PlotError> {
        let arguments = arguments
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        let arguments: Vec<(String, String)> = arguments.collect();
        collected(self.session.named(name, &arguments).await?).await
    }
}

/// What a subtitle begins with: which run it is, and its data.
pub(crate) fn of_run(session: &QuerySession) -> String {
    let run = format!("run {}", session.run().path().display());
    match &session.info().dataset {
        Some(dataset) => format!("{run}{BETWEEN}data set {}", dataset.kind),
        None => run,
    }
}
