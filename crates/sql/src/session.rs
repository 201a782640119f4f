//! A run opened for queries, and the SQL session over it.

mod asking;
pub(crate) mod memory;
mod not_finite;
mod planning;
mod served;
mod spill;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::catalog::CatalogProvider;
use datafusion::catalog::information_schema::INFORMATION_SCHEMA;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SQLOptions, SessionConfig, SessionContext};
use trace::{Activity, CaptureId, RunDir, RunInfo, Table};

use crate::catalog::registry::show_functions;
use crate::catalog::suggest::{Known, explain};
use crate::catalog::{register, register_alone, unattached};
use crate::exec::rules::physical_optimizer_rules;
use crate::named::{
    Arguments, Defaults, KnownRun, NamedQuery, Parameter, StateFunctions, resolved,
};
use crate::run::batch::batch_rows;
use crate::run::error::{OpenError, QueryError};
use crate::run::scope::{CATALOG, Scope};
use crate::run::snapshot::{LEFT_OUT, SharedSnapshot, Snapshot};
use crate::scan::StockScans;
use crate::tables::functions::is_run_function;
use crate::tables::{FACTS, recorded_table};

pub use asking::{AskError, first_rows};
pub use memory::default_memory;
pub use not_finite::NotFinite;
pub use planning::MAX_DEPTH;

use not_finite::KnownNotFinite;
use spill::SpillFiles;

/// How a session uses the machine.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// How many parts of a query run at once; as many as there are cores if not given.
    pub target_partitions: Option<usize>,
    /// How many bytes queries may hold before they spill to disk; no limit if not given.
    pub memory_bytes: Option<usize>,
    /// Where they spill to; in the system's directory for temporary files if not given.
    pub spill_dir: Option<PathBuf>,
    /// Leaves plans as DataFusion makes them, of its own file scans. Answers are the
    /// same and take longer, since lists are copied, and planning takes kilobytes a file.
    pub plain_plans: bool,
}

/// A run, with what was committed when it was opened.
#[derive(Debug, Clone)]
pub struct Run {
    snapshot: SharedSnapshot,
}

impl Run {
    /// Opens a run.
    ///
    /// # Errors
    /// If there is none, a newer format version wrote it, or its commits cannot be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let snapshot = Snapshot::load(RunDir::open(path)?)?;
        Ok(Self {
            snapshot: Arc::new(snapshot),
        })
    }

    /// Opens whatever is whole of a run of which something is damaged; [`Run::damage`] tells what is not.
    /// Every byte of the run is read.
    ///
    /// # Errors
    /// If there is none, a newer format version wrote it, or nothing can be listed.
    pub fn salvage(path: &Path) -> Result<Self, OpenError> {
        let snapshot = Snapshot::salvage(RunDir::open(path)?)?;
        Ok(Self {
            snapshot: Arc::new(snapshot),
        })
    }

    /// What a line of [`Run::damage`] begins with about what was left out.
    pub const LEFT_OUT: &str = LEFT_OUT;

    /// A line about each thing that is wrong with a run that was salvaged: what was left out, by [`Run::LEFT_OUT`],
    /// commits before files and these by their names, then, by `in doubt, and used: `, what is used all the same. None
    /// of any other run.
    pub fn damage(&self) -> &[String] {
        self.snapshot.damage()
    }

    /// The run as it is now: what was committed since is part of it. A run that was salvaged is read again
    /// only if its commits have changed.
    ///
    /// # Errors
    /// If its commits cannot be read, or another run is in its place.
    pub fn reload(&self) -> Result<Self, OpenError> {
        // Where run.json cannot be read any more, it is the commits' to say what is wrong.
        if let Ok(there) = RunDir::open(self.path())
            && there.info().run_id != self.info().run_id
        {
            return Err(OpenError::Another {
                path: self.path().to_owned(),
                created: there.info().created.clone(),
            });
        }
        Ok(Self {
            snapshot: self.snapshot.reload()?,
        })
    }

    /// What `run.json` says.
    pub fn info(&self) -> &RunInfo {
        self.snapshot.run().info()
    }

    /// How the run was recorded, as its newest session was told: it may have been trained for longer
    /// than `run.json` says.
    pub fn config(&self) -> &serde_json::Value {
        self.snapshot.config()
    }

    /// The run's directory.
    pub fn path(&self) -> &Path {
        self.snapshot.run().path()
    }

    /// The run's directory, for what is not SQL's to do.
    pub fn dir(&self) -> &RunDir {
        self.snapshot.run()
    }

    /// Whether nothing was committed yet, so that every table of captures is empty.
    pub fn is_empty(&self) -> bool {
        self.snapshot.is_empty()
    }

    /// Whether files are known from commits. A copy without `commits/` is listed instead, and may
    /// show captures that are not whole.
    pub fn has_commits(&self) -> bool {
        self.snapshot.catalog().is_some()
    }

    /// The epochs that were captured, in order, the untrained network aside.
    pub fn captured_epochs(&self) -> Vec<i32> {
        self.snapshot.captured_epochs()
    }

    /// An epoch's capture: the last one that was committed; none if the epoch was not captured.
    pub fn capture_of(&self, epoch: i32) -> Option<CaptureId> {
        self.snapshot.capture_of(epoch)
    }

    /// Whether a table has a file whose epoch and layer, where it has one, `keep` accepts. It is asked of
    /// every file; none is opened.
    pub fn has_files(&self, table: Table, keep: impl FnMut(i32, Option<&str>) -> bool) -> bool {
        !self.snapshot.select(table, keep).is_empty()
    }

    /// The number of the class that a text names, by its number or its name.
    ///
    /// # Errors
    /// If the run knows no such class.
    pub fn class(&self, text: &str) -> Result<i32, QueryError> {
        let known = KnownRun {
            snapshot: &self.snapshot,
            initial: false,
        };
        known
            .class(text)
            .map_err(|problem| QueryError::BadParameter {
                name: "class".to_owned(),
                problem,
            })
    }

    /// The value of each parameter that `of` has, which is no named query: words that a run gives a
    /// meaning are resolved, what is not given is as it is by default.
    ///
    /// # Errors
    /// If there is no such parameter, one is given twice, or one cannot have its value.
    pub fn resolve(
        &self,
        of: &'static str,
        parameters: &[Parameter],
        arguments: &Arguments,
    ) -> Result<Vec<(String, ScalarValue)>, QueryError> {
        resolved(of, parameters, arguments, &self.snapshot)
    }

    /// How many commits it was opened with; 0 of a copy without `commits/`.
    pub fn num_commits(&self) -> usize {
        let catalog = self.snapshot.catalog();
        catalog.map_or(0, |catalog| catalog.commits().len())
    }

    /// How many captures were due and are in no commit, as its recorders say; see [`trace::lost_captures`].
    ///
    /// # Errors
    /// If a file of metrics is not what was committed.
    pub fn lost_captures(&self) -> Result<u64, trace::BadFileError> {
        let catalog = self.snapshot.catalog();
        catalog.map_or(Ok(0), |catalog| {
            trace::lost_captures(self.snapshot.run(), catalog)
        })
    }

    /// Whether a process records the run just now, as far as a reader can tell.
    pub fn is_being_recorded(&self) -> bool {
        self.activity().is_some_and(Activity::is_being_recorded)
    }

    /// What becomes of the run just now; none of a copy without `commits/`, or if they cannot be read.
    pub fn activity(&self) -> Option<Activity> {
        let run = self.has_commits().then(|| self.snapshot.run());
        run.and_then(|run| run.activity().ok())
    }

    /// Makes the run known to a session of somebody else's. Its tables are in a catalogue of that name,
    /// as `run.public.weights`. List functions, `connections()` and `successive_weights()` are there by
    /// their own names, as are calls of named queries, as `structure_scores(layer => 'L_input')`. Rules
    /// of the physical optimizer, which leave lists where they are, come to those of the session.
    ///
    /// Several runs have several names. What has no catalogue before its name is that of the run which
    /// was registered last. Statements that the session has prepared before are to be prepared anew.
    ///
    /// # Errors
    /// If the run's directory is gone.
    pub fn register(&self, context: &SessionContext, name: &str) -> Result<(), QueryError> {
        register(context, &self.snapshot, name)
    }

    /// The run's tables and named queries, for whoever wants nothing else: a schema for each
    /// [`Scope`], as `public`, which has everything. It needs nothing of the session that it is put into.
    pub fn catalog(&self) -> Arc<dyn CatalogProvider> {
        unattached(&self.snapshot)
    }

    /// Makes a SQL session over the run.
    ///
    /// # Errors
    /// If the run's directory is gone.
    pub fn session(&self, options: SessionOptions) -> Result<QuerySession, QueryError> {
        QuerySession::try_new(self.clone(), options)
    }
}

/// SQL over one run. It reads, and reads nothing but the run: statements that would change
/// something are refused, and no other file can be named.
#[derive(Clone)]
pub struct QuerySession {
    context: SessionContext,
    run: Run,
    options: SessionOptions,
    not_finite: KnownNotFinite,
}

impl std::fmt::Debug for QuerySession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuerySession")
            .field("run", &self.run.path())
            .finish_non_exhaustive()
    }
}

impl QuerySession {
    fn try_new(run: Run, options: SessionOptions) -> Result<Self, QueryError> {
        // DataFusion takes the time of every query, and panics over one before 1970.
        if SystemTime::now() < UNIX_EPOCH {
            return Err(QueryError::Clock(trace::now()));
        }
        let config = SessionConfig::new()
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema(CATALOG, Scope::EVERYTHING.schema_name())
            .with_information_schema(true)
            .with_batch_size(batch_rows(run.info()));
        let mut config = memory::spilling_batch_by_batch(config)?;
        if let Some(partitions) = options.target_partitions {
            config = config.with_target_partitions(partitions);
        }
        if options.plain_plans {
            config = config.with_extension(Arc::new(StockScans));
        }
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(bytes) = options.memory_bytes {
            runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
        }
        let files = SpillFiles::try_new(options.spill_dir.clone());
        let files = Arc::new(files.map_err(DataFusionError::from)?);
        let disk = DiskManagerBuilder::default().with_temp_file_factory(files);
        runtime = runtime.with_disk_manager_builder(disk);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime.build_arc()?)
            .with_default_features()
            .with_physical_optimizer_rules(physical_optimizer_rules(options.plain_plans))
            .build();
        let context = SessionContext::new_with_state(state);
        register_alone(&context, &run.snapshot, CATALOG)?;
        Ok(Self {
            context,
            run,
            options,
            not_finite: KnownNotFinite::default(),
        })
    }

    /// Plans a SQL query; it runs as its rows are asked for.
    ///
    /// # Errors
    /// If it cannot be understood, names what is not there, would change something, or nests deeper
    /// than [`MAX_DEPTH`](crate::MAX_DEPTH).
    pub async fn sql(&self, sql: &str) -> Result<DataFrame, QueryError> {
        if let Some((functions, filter)) = show_functions(sql)? {
            let rows = self.context.read_batch(functions)?;
            return Ok(match filter {
                Some(filter) => rows.filter(filter)?,
                None => rows,
            });
        }
        let options = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let planned = match planning::plan(&self.context.state(), sql, options).await {
            Ok(plan) => self.context.execute_logical_plan(plan).await,
            Err(error) => Err(error),
        };
        planned.map_err(|error| explain(error, &self.known_names()))
    }

    /// The run that is asked, as it was when it was opened.
    pub fn run(&self) -> &Run {
        &self.run
    }

    fn known_not_finite(&self) -> &KnownNotFinite {
        &self.not_finite
    }

    /// Memory of the session's, for what is worked out beside its queries.
    pub fn reservation(&self, of: &str) -> MemoryReservation {
        MemoryConsumer::new(of).register(&self.context.runtime_env().memory_pool)
    }

    #[cfg(test)]
    pub(crate) fn context(&self) -> &SessionContext {
        &self.context
    }

    #[cfg(test)]
    pub(crate) fn shared_snapshot(&self) -> SharedSnapshot {
        Arc::clone(&self.run.snapshot)
    }

    /// Plans a named query.
    ///
    /// # Errors
    /// If there is no such query, or a parameter is unknown or cannot have its value.
    pub async fn named(&self, name: &str, arguments: &Arguments) -> Result<DataFrame, QueryError> {
        let query = NamedQuery::find(name)?;
        let state = self.context.state();
        let functions = StateFunctions(&state);
        let plan = query.plan(&functions, &self.run.snapshot, arguments, Defaults::Run)?;
        Ok(DataFrame::new(state, plan))
    }

    /// What `run.json` says.
    pub fn info(&self) -> &RunInfo {
        self.run.snapshot.run().info()
    }

    /// The epochs that were captured, in order, the untrained network aside.
    pub fn captured_epochs(&self) -> Vec<i32> {
        self.run.snapshot.captured_epochs()
    }

    /// The name of the layer that a word stands for: a layer's own, `first` or `last`.
    ///
    /// # Errors
    /// If there is no such layer.
    pub fn known_layer(&self, word: &str) -> Result<String, QueryError> {
        self.run.snapshot.known_layer(word).map(str::to_owned)
    }

    /// Whether nothing was committed yet when the run was opened.
    pub fn is_empty(&self) -> bool {
        self.run.snapshot.is_empty()
    }

    /// Whether a query asks for anything that was recorded, and not only for what `run.json` says.
    pub fn reads_captures(&self, query: &DataFrame) -> bool {
        let is_recorded = |name: &str| {
            let function = name.strip_suffix("()").unwrap_or_default();
            recorded_table(name).is_some() || is_run_function(function)
        };
        let reads = query.logical_plan().exists(|node| {
            Ok(matches!(node, LogicalPlan::TableScan(scan) if is_recorded(scan.table_name.table())))
        });
        reads.expect("the closure returns no error")
    }

    /// The names of the tables that captures, facts and named queries can be read from.
    pub fn table_names(&self) -> Vec<&'static str> {
        let tables = Table::shown().map(Table::name);
        tables.chain(FACTS).collect()
    }

    /// The names of the functions that SQL can call, in order.
    pub fn function_names(&self) -> BTreeSet<String> {
        let state = self.context.state();
        let scalar = state.scalar_functions().keys();
        let aggregate = state.aggregate_functions().keys();
        let window = state.window_functions().keys();
        scalar.chain(aggregate).chain(window).cloned().collect()
    }

    fn known_names(&self) -> Known {
        let queries = NamedQuery::all().iter().map(NamedQuery::name);
        let tables = self.table_names().into_iter().chain(queries);
        let mut table_functions: Vec<String> = self
            .context
            .state()
            .table_functions()
            .keys()
            .cloned()
            .collect();
        table_functions.extend(
            NamedQuery::all()
                .iter()
                .map(|query| query.name().to_owned()),
        );
        table_functions.sort_unstable();
        table_functions.dedup();
        let schemas = Scope::ALL.map(Scope::schema_name);
        let schemas = schemas.into_iter().chain([INFORMATION_SCHEMA]);
        Known {
            schemas: schemas.map(str::to_owned).collect(),
            tables: tables.map(str::to_owned).collect(),
            functions: self.function_names().into_iter().collect(),
            table_functions,
        }
    }
}

#[cfg(test)]
mod tests;
