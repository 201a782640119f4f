//! A run that was opened.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use analysis::{Half, Linkage, Measure};
use futures::{FutureExt as _, StreamExt as _};
use pictures::chart::Theme;
use pictures::{PlotKind, Report, ReportOptions};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use sql::output::{OutputFile, widened};
use sql::{QuerySession, SessionOptions, default_memory};
use studies::{
    EmbedOptions, Embedder, EmbeddingMethod, EmbeddingRows, Epochs, FindOptions, LabelOptions,
    MetaOptions, ValuesOf,
};

use super::arguments::{chosen, parsed, seconds};
use super::chart::Chart;
use super::rows::{Rows, of_plan};
use super::served;
use super::structures::{ToldLayer, ToldPower, ToldStructure, neurons, told, told_layer, unit};
use super::work::{Threads, finish, finish_blocking};
use crate::error::query;

/// A figure of a note, as people read it.
fn short(value: f64) -> String {
    format!("{value:.3}")
}

/// A run, as it was when it was opened, and SQL over it.
#[pyclass(module = "stratigraph_nn._native", frozen)]
pub(super) struct Run {
    session: QuerySession,
    options: SessionOptions,
    /// How long an answer may take.
    timeout: Option<Duration>,
}

impl Run {
    fn of(
        run: &sql::Run,
        options: SessionOptions,
        timeout: Option<Duration>,
    ) -> Result<Self, sql::QueryError> {
        let session = run.session(options.clone())?;
        Ok(Self {
            session,
            options,
            timeout,
        })
    }

    fn run(&self) -> &sql::Run {
        self.session.run()
    }

    /// The run's directory.
    pub(super) fn dir(&self) -> trace::RunDir {
        self.run().dir().clone()
    }

    /// The first epoch that was captured, the untrained network aside.
    pub(super) fn first_epoch(&self) -> Option<i32> {
        self.run().captured_epochs().first().copied()
    }

    /// The number of the class of that number or name.
    pub(super) fn class(&self, text: &str) -> PyResult<i32> {
        self.run().class(text).map_err(query)
    }

    fn asked(&self) -> PyResult<()> {
        match self.session.is_empty() {
            true => Err(query(sql::QueryError::NothingCaptured)),
            false => Ok(()),
        }
    }
}

#[pymethods]
impl Run {
    /// Opens a run. `memory` is how many bytes its queries may hold before they spill to disk, `timeout` how
    /// many seconds an answer may take.
    #[new]
    #[pyo3(signature = (path, memory=None, timeout=None))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        memory: Option<usize>,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        let timeout = timeout.map(seconds).transpose()?;
        finish_blocking(py, move || {
            let run = sql::Run::open(&path).map_err(query)?;
            let options = SessionOptions {
                memory_bytes: memory.or_else(default_memory),
                ..SessionOptions::default()
            };
            Self::of(&run, options, timeout).map_err(query)
        })
    }

    /// The run as it is now.
    fn reloaded(&self, py: Python<'_>) -> PyResult<Self> {
        let (run, options) = (self.run().clone(), self.options.clone());
        let timeout = self.timeout;
        finish_blocking(py, move || {
            let run = run.reload().map_err(query)?;
            Self::of(&run, options, timeout).map_err(query)
        })
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.run().path().to_owned()
    }

    #[getter]
    fn has_commits(&self) -> bool {
        self.run().has_commits()
    }

    #[getter]
    fn is_being_recorded(&self) -> bool {
        self.run().is_being_recorded()
    }

    #[getter]
    fn epochs(&self) -> Vec<i32> {
        self.run().captured_epochs()
    }

    #[getter]
    fn table_names(&self) -> Vec<&'static str> {
        self.session.table_names()
    }

    /// `run.json`, as JSON.
    fn info(&self) -> PyResult<String> {
        serde_json::to_string(self.run().info()).map_err(query)
    }

    /// How the run was recorded, as its newest session was told: JSON.
    fn config(&self) -> String {
        self.run().config().to_string()
    }

    /// What the run is, in lines.
    fn told(&self) -> String {
        pictures::info(self.run())
    }

    /// Plans a SQL query.
    fn sql(&self, py: Python<'_>, text: String) -> PyResult<Rows> {
        let (session, timeout) = (self.session.clone(), self.timeout);
        finish(py, timeout, async move {
            let rows = session.sql(&text).await.map_err(query)?;
            if session.is_empty() && session.reads_captures(&rows) {
                return Err(query(sql::QueryError::NothingCaptured));
            }
            let schema = Arc::new(rows.schema().as_arrow().clone());
            let asked = session.clone();
            let answer = Rows::of(session, timeout, schema, move |session| {
                let text = text.clone();
                async move { Ok(session.sql(&text).await?.execute_stream().await?) }.boxed()
            });
            Ok(answer.of_query(asked, rows))
        })
    }

    /// Plans a named query; `wide` writes a column a list element.
    fn query(
        &self,
        py: Python<'_>,
        name: String,
        parameters: Vec<(String, String)>,
        wide: bool,
    ) -> PyResult<Rows> {
        self.asked()?;
        let (session, timeout) = (self.session.clone(), self.timeout);
        finish(py, timeout, async move {
            let rows = session.named(&name, &parameters).await.map_err(query)?;
            let asked = (!wide).then(|| (session.clone(), rows.clone()));
            let schema = match wide {
                true => widened(rows).await.map_err(query)?.schema(),
                false => Arc::new(rows.schema().as_arrow().clone()),
            };
            let answer = Rows::of(session, timeout, schema, move |session| {
                let (name, parameters) = (name.clone(), parameters.clone());
                async move {
                    let rows = session.named(&name, &parameters).await?;
                    match wide {
                        true => widened(rows).await,
                        false => Ok(rows.execute_stream().await?),
                    }
                }
                .boxed()
            });
            Ok::<_, PyErr>(match asked {
                Some((session, rows)) => answer.of_query(session, rows),
                None => answer,
            })
        })
    }

    /// The run as a catalogue of the package `datafusion`, for whose session `session` is.
    fn __datafusion_catalog_provider__<'py>(
        &self,
        session: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let threads = Threads::lasting()?;
        let catalog = self.session.served_catalog(&threads);
        served::catalog(&session, catalog, threads)
    }

    /// What a picture shows.
    fn plot(
        &self,
        py: Python<'_>,
        kind: &str,
        parameters: Vec<(String, String)>,
    ) -> PyResult<Chart> {
        let kind = chosen("kind", kind, PlotKind::ALL, PlotKind::name)?;
        let session = self.session.clone();
        finish(py, self.timeout, async move {
            let draw = |session| {
                let parameters = parameters.clone();
                async move { kind.chart(&session, &parameters).await }.boxed()
            };
            let chart = session.ask(draw, |_, _| ()).await;
            chart.map(Chart).map_err(query)
        })
    }

    /// Writes the report.
    fn report(
        &self,
        py: Python<'_>,
        path: PathBuf,
        force: bool,
        theme: &str,
        epochs: usize,
        permutations: u32,
    ) -> PyResult<()> {
        let theme = chosen("theme", theme, Theme::ALL, Theme::name)?;
        let session = self.session.clone();
        finish(py, self.timeout, async move {
            // Whether the name is free is known before anybody waits; what is given up leaves no file.
            drop(OutputFile::create(&path, force).map_err(query)?);
            let options = ReportOptions {
                epochs,
                permutations,
            };
            let report = |session| {
                let options = options.clone();
                async move { Report::of(&session, &options, |_| ()).await }.boxed()
            };
            let report = session.ask(report, |_, _| ()).await;
            let page = report.map_err(query)?;
            let page = page.page(session.run().path(), theme, None);
            let mut file = OutputFile::create(&path, force).map_err(query)?;
            file.write_all(page.as_bytes()).map_err(query)?;
            file.publish().map_err(query)
        })
    }

    /// Two runs side by side.
    #[pyo3(signature = (other, epoch, layer=None, same_samples=false))]
    fn compare(
        &self,
        py: Python<'_>,
        other: PyRef<'_, Run>,
        epoch: &str,
        layer: Option<String>,
        same_samples: bool,
    ) -> PyResult<Rows> {
        let epoch: Epochs = parsed("epoch", epoch)?;
        let (run, other) = (self.session.clone(), other.session.clone());
        finish(py, self.timeout, async move {
            let compared = studies::compare(run, other, epoch, layer.as_deref(), same_samples);
            let mut compared = compared.map_err(query)?;
            let schema = compared.rows.schema();
            let mut batches = Vec::new();
            while let Some(batch) = compared.rows.next().await {
                batches.push(batch.map_err(|error| query(sql::QueryError::from(error)))?);
            }
            Ok::<_, PyErr>(Rows::ready(schema, batches, compared.notes))
        })
    }

    /// Neurons as points, and in clusters.
    #[expect(clippy::too_many_arguments, reason = "Python's keywords")]
    fn embed(
        &self,
        py: Python<'_>,
        of: &str,
        method: &str,
        dimensions: usize,
        perplexity: Option<f64>,
        seed: u64,
        epoch: &str,
        layer: Option<String>,
        linkage: &str,
        clusters: Option<usize>,
        rows: &str,
    ) -> PyResult<Rows> {
        let options = EmbedOptions {
            of: chosen("of", of, ValuesOf::ALL, ValuesOf::name)?,
            method: chosen(
                "method",
                method,
                EmbeddingMethod::ALL,
                EmbeddingMethod::name,
            )?,
            dimensions,
            perplexity,
            seed,
            epochs: parsed("epoch", epoch)?,
            layer,
            linkage: chosen("linkage", linkage, Linkage::ALL, Linkage::name)?,
            clusters,
            at_most: None,
        };
        let all = [EmbeddingRows::Neurons, EmbeddingRows::Merges];
        let shown = chosen("rows", rows, all, |rows| match rows {
            EmbeddingRows::Neurons => "neurons",
            EmbeddingRows::Merges => "merges",
        })?;
        let session = self.session.clone();
        finish(py, self.timeout, async move {
            let embedder = Embedder::try_new(session, options).map_err(query)?;
            let notes = Arc::new(std::sync::Mutex::new(Vec::new()));
            let said = Arc::clone(&notes);
            let mut rows = embedder.into_rows(shown, move |embedding| {
                let mut said = said
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                said.push(embedding.told(short));
            });
            let schema = rows.schema();
            let mut batches = Vec::new();
            while let Some(batch) = rows.next().await {
                batches.push(batch.map_err(|error| query(sql::QueryError::from(error)))?);
            }
            let notes = notes
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            Ok::<_, PyErr>(Rows::ready(schema, batches, notes.clone()))
        })
    }

    /// Phases of the training.
    #[pyo3(signature = (layer=None, phases=None))]
    fn phases(
        &self,
        py: Python<'_>,
        layer: Option<String>,
        phases: Option<usize>,
    ) -> PyResult<Rows> {
        let session = self.session.clone();
        finish(py, self.timeout, async move {
            let find = |session| {
                let layer = layer.clone();
                async move { studies::phases(&session, layer.as_deref(), phases).await }.boxed()
            };
            let found = session.ask(find, |_, _| ()).await.map_err(query)?;
            let mut notes: Vec<String> = found.iter().map(|layer| layer.told(short)).collect();
            let not_finite = session.all_not_finite().await.map_err(query)?;
            notes.extend(not_finite.iter().map(ToString::to_string));
            let rows = studies::phase_rows(&found).map_err(query)?;
            Ok::<_, PyErr>(Rows::ready(rows.schema(), vec![rows], notes))
        })
    }

    /// Whether the network is right, learned from its neurons.
    #[pyo3(signature = (epoch, top, trees, seed, layer=None))]
    fn meta(
        &self,
        py: Python<'_>,
        epoch: &str,
        top: String,
        trees: String,
        seed: String,
        layer: Option<String>,
    ) -> PyResult<Rows> {
        let options = MetaOptions {
            epochs: parsed("epoch", epoch)?,
            layer,
            top,
            trees,
            seed,
        };
        let session = self.session.clone();
        finish(py, self.timeout, async move {
            let learn = |session| {
                let options = options.clone();
                async move { studies::meta_model(&session, options).await }.boxed()
            };
            let learned = session.ask(learn, |_, _| ()).await;
            let learned = learned.map_err(query)?;
            Ok::<_, PyErr>(Rows::ready(learned.schema, learned.rows, learned.scores))
        })
    }

    /// Checks every committed file: JSON.
    fn verify(&self, py: Python<'_>) -> PyResult<String> {
        let run = self.run().dir().clone();
        finish_blocking(py, move || {
            let report = sink::verify(&run, &|_| ()).map_err(query)?;
            let problems = report.problems.iter().map(|problem| {
                serde_json::json!({
                    "path": problem.path,
                    "check": problem.check.to_string(),
                    "expected": problem.expected,
                    "found": problem.found,
                })
            });
            let uncommitted = report.uncommitted.iter();
            let uncommitted = uncommitted.map(|file| (&file.path, file.bytes));
            let partial = report.partial.iter();
            let partial = partial.map(|capture| (capture.id.epoch.0, capture.id.step.0));
            let told = serde_json::json!({
                "problems": problems.collect::<Vec<_>>(),
                "uncommitted": uncommitted.collect::<Vec<_>>(),
                "partial": partial.collect::<Vec<_>>(),
                "is_finished": match report.ending {
                    trace::Ending::Finished => Some(true),
                    trace::Ending::NotFinished => Some(false),
                    trace::Ending::Unknown => None,
                },
                "num_commits": report.num_commits,
                "num_captures": report.num_captures,
                "num_files": report.num_files,
                "num_rows": report.num_rows,
                "num_bytes": report.num_bytes,
            });
            Ok::<_, PyErr>(told.to_string())
        })
    }

    /// Finds structures, and keeps them unless `dry_run`.
    #[expect(clippy::too_many_arguments, reason = "Python's keywords")]
    fn find_structures(
        &self,
        py: Python<'_>,
        epoch: String,
        class_: Option<String>,
        layer: Option<String>,
        size: u32,
        sign: String,
        measure: &str,
        half: &str,
        seed: i64,
        permutations: u32,
        prefix: String,
        force: bool,
        dry_run: bool,
    ) -> PyResult<Vec<ToldStructure>> {
        let measure: Measure = parsed("measure", measure)?;
        let half: Half = parsed("half", half)?;
        if !["positive", "negative", "any"].contains(&sign.as_str()) {
            chosen("sign", &sign, ["positive", "negative", "any"], |sign| sign)?;
        }
        let options = FindOptions {
            epoch,
            class: class_,
            layer,
            size,
            sign,
            measure,
            half,
            seed,
            permutations,
            prefix,
        };
        let session = self.session.clone();
        finish(py, self.timeout, async move {
            let found = studies::find_structures(&session, &options).await;
            let found = found.map_err(query)?;
            if !dry_run && !found.is_empty() {
                studies::keep_structures(session.run(), &found, force).map_err(query)?;
            }
            let found = found.iter();
            Ok::<_, PyErr>(found.map(|one| told(session.run(), one)).collect())
        })
    }

    /// Gives a structure another name.
    fn label_structure(&self, py: Python<'_>, name: String, label: String) -> PyResult<()> {
        let run = self.run().clone();
        finish_blocking(py, move || {
            studies::label_structure(&run, &name, &label).map_err(query)
        })
    }

    /// Removes structures.
    fn remove_structures(&self, py: Python<'_>, names: BTreeSet<String>) -> PyResult<()> {
        let run = self.run().clone();
        finish_blocking(py, move || {
            studies::remove_structures(&run, &names).map_err(query)
        })
    }

    /// Neurons that can be silenced in a network, by layer.
    fn silenced_layers(&self, names: Vec<String>) -> PyResult<Vec<ToldLayer>> {
        let topology = &self.run().info().layers;
        let layers = capture::neurons_by_layer(topology, neurons(&names)?).map_err(query)?;
        Ok(layers.iter().map(told_layer).collect())
    }

    /// Makes a structure of neurons that somebody names.
    #[pyo3(signature = (name, of, class_, first_epoch, last_epoch, force))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords")]
    fn name_structure(
        &self,
        py: Python<'_>,
        name: String,
        of: Vec<String>,
        class_: Option<String>,
        first_epoch: Option<i32>,
        last_epoch: Option<i32>,
        force: bool,
    ) -> PyResult<ToldStructure> {
        let options = LabelOptions {
            name,
            neurons: neurons(&of)?,
            class: class_,
            first_epoch,
            last_epoch,
        };
        let run = self.run().clone();
        finish_blocking(py, move || {
            let structure = studies::named_structure(&run, &options).map_err(query)?;
            let one = std::slice::from_ref(&structure);
            studies::keep_structures(&run, one, force).map_err(query)?;
            Ok::<_, PyErr>(told(&run, &structure))
        })
    }

    /// The names of all structures.
    fn structure_names(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let run = self.run().clone();
        finish_blocking(py, move || {
            let names = studies::structure_names(&run).map_err(query)?;
            Ok::<_, PyErr>(names.into_iter().collect())
        })
    }

    /// A row a structure.
    fn list_structures(&self, py: Python<'_>) -> PyResult<Rows> {
        let (session, timeout) = (self.session.clone(), self.timeout);
        finish(py, timeout, async move {
            let rows = studies::list_structures(&session).await.map_err(query)?;
            Ok::<_, PyErr>(of_plan(rows, timeout))
        })
    }

    /// A row a neuron of a structure, the strongest first.
    fn structure_rows(&self, py: Python<'_>, name: String) -> PyResult<Rows> {
        let (session, timeout) = (self.session.clone(), self.timeout);
        finish(py, timeout, async move {
            studies::require_structure(session.run(), &name).map_err(query)?;
            let rows = studies::structure_rows(&session, &name).await;
            Ok::<_, PyErr>(of_plan(rows.map_err(query)?, timeout))
        })
    }

    /// How well a structure's neurons tell its class together; none where it has no class.
    fn structure_power(&self, py: Python<'_>, name: String) -> PyResult<Option<ToldPower>> {
        let session = self.session.clone();
        finish(py, self.timeout, async move {
            let power = studies::structure_power(&session, &name).await;
            let power = power.map_err(query)?.map(|found| {
                let power = &found.power;
                let half = found.half.to_string();
                (found.epoch, half, power.accuracy, power.majority, power.auc)
            });
            Ok::<_, PyErr>(power)
        })
    }

    /// Which unit of its layer a neuron is.
    fn unit(&self, neuron: i32) -> Option<u32> {
        unit(self.run(), neuron)
    }
}
