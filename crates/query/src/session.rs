//! A run opened for queries, and the SQL session over it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use datafusion::catalog::information_schema::INFORMATION_SCHEMA;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DataFusionError, Result as DataFusionResult, internal_datafusion_err};
use datafusion::execution::SessionState;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryReservation};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SQLOptions, SessionConfig, SessionContext};
use object_store::local::LocalFileSystem;
use trace::{RunDir, RunInfo, Table};

use crate::batch::batch_rows;
use crate::call::{SQL_FUNCTIONS, SqlFunction, is_run_function, run_function};
use crate::error::{Known, QueryError, explain};
use crate::functions::{epoch_functions, register_functions};
use crate::named::{Arguments, Defaults, NamedQuery, NamedQueryCalls, StateFunctions};
use crate::not_finite::KnownNotFinite;
use crate::planning;
use crate::registry::show_functions;
use crate::rules::physical_optimizer_rules;
use crate::scope::Scope;
use crate::snapshot::{OpenError, SharedSnapshot, Snapshot};
use crate::table::RUN_STORE;
use crate::tables::{FACTS, recorded_table, table};

/// Name of the SQL catalogue.
pub(crate) const CATALOG: &str = "run";

/// How a session uses the machine.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// How many parts of a query run at once; as many as there are cores if not given.
    pub target_partitions: Option<usize>,
    /// How many bytes queries may hold before they spill to disk; no limit if not given.
    pub memory_bytes: Option<usize>,
    /// Where they spill to; in the system's directory for temporary files if not given.
    pub spill_dir: Option<PathBuf>,
    /// Leaves plans as DataFusion makes them. Answers are the same and take longer, since lists are
    /// copied.
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

    /// The run as it is now: what was committed since is part of it.
    ///
    /// # Errors
    /// If its commits cannot be read.
    pub fn reload(&self) -> Result<Self, OpenError> {
        let snapshot = Snapshot::load(self.snapshot.run().clone())?;
        Ok(Self {
            snapshot: Arc::new(snapshot),
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

    pub(crate) fn dir(&self) -> &RunDir {
        self.snapshot.run()
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
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

    /// How many commits it was opened with; 0 of a copy without `commits/`.
    pub fn num_commits(&self) -> usize {
        let catalog = self.snapshot.catalog();
        catalog.map_or(0, |catalog| catalog.commits().len())
    }

    /// Whether a process records the run just now.
    pub fn is_being_recorded(&self) -> bool {
        self.snapshot.run().is_being_recorded()
    }

    /// Makes the run known to a session of somebody else's: its tables in the catalogue `run`, list
    /// functions, `connections()` and `successive_weights()`, and calls of named queries, as
    /// `structure_scores(layer => 'L_input')`. The session knows one run at a time.
    ///
    /// # Errors
    /// If the run's directory is gone.
    pub fn register(&self, context: &SessionContext) -> Result<(), QueryError> {
        register(context, &self.snapshot)
    }

    /// Makes a SQL session over the run.
    ///
    /// # Errors
    /// If the run's directory is gone.
    pub fn session(&self, options: SessionOptions) -> Result<QuerySession, QueryError> {
        QuerySession::try_new(Arc::clone(&self.snapshot), options)
    }
}

/// SQL over one run. It reads, and reads nothing but the run: statements that would change
/// something are refused, and no other file can be named.
#[derive(Clone)]
pub struct QuerySession {
    context: SessionContext,
    snapshot: SharedSnapshot,
    not_finite: KnownNotFinite,
}

impl std::fmt::Debug for QuerySession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuerySession")
            .field("run", &self.snapshot.run().path())
            .finish_non_exhaustive()
    }
}

impl QuerySession {
    fn try_new(snapshot: SharedSnapshot, options: SessionOptions) -> Result<Self, QueryError> {
        // DataFusion takes the time of every query, and panics over one before 1970.
        if SystemTime::now() < UNIX_EPOCH {
            return Err(QueryError::Clock(trace::now()));
        }
        let mut config = SessionConfig::new()
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema(CATALOG, Scope::EVERYTHING.schema_name())
            .with_information_schema(true)
            .with_batch_size(batch_rows(snapshot.run().info()));
        if let Some(partitions) = options.target_partitions {
            config = config.with_target_partitions(partitions);
        }
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(bytes) = options.memory_bytes {
            runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
        }
        if let Some(dir) = options.spill_dir {
            let mode = DiskManagerMode::Directories(vec![dir]);
            let disk = DiskManagerBuilder::default().with_mode(mode);
            runtime = runtime.with_disk_manager_builder(disk);
        }
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime.build_arc()?)
            .with_default_features()
            .with_physical_optimizer_rules(physical_optimizer_rules(options.plain_plans))
            .build();
        let context = SessionContext::new_with_state(state);
        let everything = ObjectStoreUrl::parse("file://")?;
        context.deregister_object_store(everything.as_ref())?;
        register(&context, &snapshot)?;
        Ok(Self {
            context,
            snapshot,
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

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn known_not_finite(&self) -> &KnownNotFinite {
        &self.not_finite
    }

    /// Memory of the session's, for what is worked out beside its queries.
    pub(crate) fn reservation(&self, of: &str) -> MemoryReservation {
        MemoryConsumer::new(of).register(&self.context.runtime_env().memory_pool)
    }

    #[cfg(test)]
    pub(crate) fn context(&self) -> &SessionContext {
        &self.context
    }

    #[cfg(test)]
    pub(crate) fn shared_snapshot(&self) -> SharedSnapshot {
        Arc::clone(&self.snapshot)
    }

    /// Plans a named query.
    ///
    /// # Errors
    /// If there is no such query, or a parameter is unknown or cannot have its value.
    pub async fn named(&self, name: &str, arguments: &Arguments) -> Result<DataFrame, QueryError> {
        let query = NamedQuery::find(name)?;
        let state = self.context.state();
        let functions = StateFunctions(&state);
        let plan = query.plan(&functions, &self.snapshot, arguments, Defaults::Run)?;
        Ok(DataFrame::new(state, plan))
    }

    /// What `run.json` says.
    pub fn info(&self) -> &RunInfo {
        self.snapshot.run().info()
    }

    /// The epochs that were captured, in order, the untrained network aside.
    pub fn captured_epochs(&self) -> Vec<i32> {
        self.snapshot.captured_epochs()
    }

    /// The name of the layer that a word stands for: a layer's own, `first` or `last`.
    ///
    /// # Errors
    /// If there is no such layer.
    pub fn known_layer(&self, word: &str) -> Result<String, QueryError> {
        self.snapshot.known_layer(word).map(str::to_owned)
    }

    /// Whether nothing was committed yet when the run was opened.
    pub fn is_empty(&self) -> bool {
        self.snapshot.is_empty()
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

/// Makes a run known to a session: the catalogue with its tables, what reads their files, its functions
/// and calls of its named queries.
fn register(context: &SessionContext, snapshot: &SharedSnapshot) -> Result<(), QueryError> {
    let store = LocalFileSystem::new_with_prefix(snapshot.run().path());
    let store = store.map_err(DataFusionError::from)?;
    context.register_object_store(ObjectStoreUrl::parse(RUN_STORE)?.as_ref(), Arc::new(store));
    register_functions(context);
    for function in epoch_functions(snapshot.epochs()) {
        context.register_udf(function);
    }
    for name in SQL_FUNCTIONS {
        if let Some(function) = run_function(name, snapshot) {
            context.register_udtf(name, Arc::new(SqlFunction(function)));
        }
    }
    let calls = NamedQueryCalls::new(Arc::clone(snapshot));
    context.register_relation_planner(Arc::new(calls))?;
    let catalog = MemoryCatalogProvider::new();
    let state = context.state_weak_ref();
    let state = StateSource(Arc::new(move || Some(state.upgrade()?.read().clone())));
    for scope in Scope::ALL {
        let schema = RunSchema {
            snapshot: Arc::clone(snapshot),
            scope,
            state: state.clone(),
        };
        catalog.register_schema(scope.schema_name(), Arc::new(schema))?;
    }
    context.register_catalog(CATALOG, Arc::new(catalog));
    Ok(())
}

/// The tables of a run, restricted to the captures of a scope. With no restriction, the named
/// queries are tables as well; they are planned when they are first named.
#[derive(Debug)]
struct RunSchema {
    snapshot: SharedSnapshot,
    scope: Scope,
    state: StateSource,
}

/// The state of the session that a schema belongs to, without keeping it alive.
#[derive(Clone)]
struct StateSource(Arc<dyn Fn() -> Option<SessionState> + Send + Sync>);

impl std::fmt::Debug for StateSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StateSource")
    }
}

impl RunSchema {
    fn named(&self, name: &str) -> Option<&'static NamedQuery> {
        (self.scope == Scope::EVERYTHING).then(|| NamedQuery::get(name))?
    }

    /// Whether a named query is a table of this run.
    fn plans_at_defaults(&self, name: &str) -> bool {
        self.named(name)
            .is_some_and(|query| query.is_a_table_of(&self.snapshot))
    }
}

#[async_trait]
impl SchemaProvider for RunSchema {
    fn table_names(&self) -> Vec<String> {
        let tables = Table::shown().map(Table::name);
        let queries = NamedQuery::all().iter().map(NamedQuery::name);
        // Whoever lists tables plans them, so one that cannot be is not among them.
        let queries = queries.filter(|name| self.plans_at_defaults(name));
        tables
            .chain(FACTS)
            .chain(queries)
            .map(str::to_owned)
            .collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if let Some(table) = table(&self.snapshot, self.scope, name)? {
            return Ok(Some(table));
        }
        let Some(query) = self.named(name) else {
            return Ok(None);
        };
        let state = (self.state.0)();
        let state = state.ok_or_else(|| internal_datafusion_err!("the session is gone"))?;
        let functions = StateFunctions(&state);
        let view = query.view(&functions, &self.snapshot, &[], Defaults::Table);
        let view = view.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Some(Arc::new(view)))
    }

    fn table_exist(&self, name: &str) -> bool {
        let known = recorded_table(name).is_some() || FACTS.contains(&name);
        known || self.named(name).is_some()
    }
}

#[cfg(test)]
mod tests;
