//! What SQL over a run can name: the catalogue of its tables, with its functions and named queries, and
//! what is meant by a name that is not there.

pub(crate) mod registry;
pub(crate) mod suggest;
pub(crate) mod told;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result as DataFusionResult, internal_datafusion_err};
use datafusion::execution::SessionState;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::SessionContext;
use object_store::local::LocalFileSystem;
use trace::Table;

use crate::exec::rules::add_rules;
use crate::functions::{epoch_functions, register_functions};
use crate::named::{Defaults, NamedQuery, NamedQueryCalls, StateFunctions};
use crate::run::error::QueryError;
use crate::run::scope::Scope;
use crate::run::snapshot::{SharedSnapshot, Snapshot};
use crate::tables::call::SqlFunction;
use crate::tables::functions::{SQL_FUNCTIONS, run_function};
use crate::tables::{FACTS, recorded_table, table};

/// Makes a run known to a session of somebody else's, under the name of a catalogue, with the rules that
/// make plans over it fast.
///
/// # Errors
/// If the run's directory is gone.
pub(crate) fn register(
    context: &SessionContext,
    snapshot: &SharedSnapshot,
    name: &str,
) -> Result<(), QueryError> {
    let store = store_of(snapshot)?;
    let local = ObjectStoreUrl::local_filesystem();
    // A session that was to read no files can read those of the run, and no others.
    if context.runtime_env().object_store(&local).is_err() {
        context.register_object_store(local.as_ref(), Arc::new(store));
    }
    add_rules(context);
    register_names(context, snapshot, name)
}

/// Makes a run known to a session of ours, under the name of a catalogue. Of all files, the session can
/// name those of the run alone.
///
/// # Errors
/// If the run's directory is gone.
pub(crate) fn register_alone(
    context: &SessionContext,
    snapshot: &SharedSnapshot,
    name: &str,
) -> Result<(), QueryError> {
    let store = store_of(snapshot)?;
    let local = ObjectStoreUrl::local_filesystem();
    context.register_object_store(local.as_ref(), Arc::new(store));
    register_names(context, snapshot, name)
}

/// The files of a run's directory, and no others.
fn store_of(snapshot: &Snapshot) -> Result<LocalFileSystem, QueryError> {
    let store = LocalFileSystem::new_with_prefix(snapshot.run().path());
    Ok(store.map_err(DataFusionError::from)?)
}

/// The run's tables, its functions and the calls of its named queries.
fn register_names(
    context: &SessionContext,
    snapshot: &SharedSnapshot,
    name: &str,
) -> Result<(), QueryError> {
    register_scalars(context, snapshot);
    for name in SQL_FUNCTIONS {
        if let Some(function) = run_function(name) {
            let snapshot = Arc::clone(snapshot);
            context.register_udtf(name, Arc::new(SqlFunction { function, snapshot }));
        }
    }
    let calls = NamedQueryCalls::new(Arc::clone(snapshot), name);
    context.register_relation_planner(Arc::new(calls))?;
    let state = context.state_weak_ref();
    let state = StateSource(Arc::new(move || Some(state.upgrade()?.read().clone())));
    let catalog = RunCatalog::new(snapshot, &state);
    context.register_catalog(name, Arc::new(catalog));
    Ok(())
}

/// The functions that named queries are made of.
fn register_scalars(context: &SessionContext, snapshot: &Snapshot) {
    register_functions(context);
    for function in epoch_functions(snapshot.epochs()) {
        context.register_udf(function);
    }
}

/// A run's tables for a session that is not known: named queries are planned with functions of the
/// catalogue's own.
pub(crate) fn unattached(snapshot: &SharedSnapshot) -> Arc<dyn CatalogProvider> {
    let context = SessionContext::new();
    register_scalars(&context, snapshot);
    let state = context.state();
    let state = StateSource(Arc::new(move || Some(state.clone())));
    Arc::new(RunCatalog::new(snapshot, &state))
}

/// The tables of a run, a schema for each [`Scope`].
#[derive(Debug)]
struct RunCatalog {
    schemas: Vec<(Scope, Arc<dyn SchemaProvider>)>,
}

impl RunCatalog {
    fn new(snapshot: &SharedSnapshot, state: &StateSource) -> Self {
        let schemas = Scope::ALL.into_iter().map(|scope| {
            let schema: Arc<dyn SchemaProvider> = Arc::new(RunSchema {
                snapshot: Arc::clone(snapshot),
                scope,
                state: state.clone(),
            });
            (scope, schema)
        });
        Self {
            schemas: schemas.collect(),
        }
    }
}

impl CatalogProvider for RunCatalog {
    fn schema_names(&self) -> Vec<String> {
        let names = self.schemas.iter().map(|(scope, _)| scope.schema_name());
        names.map(str::to_owned).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let mut schemas = self.schemas.iter();
        let (_, schema) = schemas.find(|(scope, _)| scope.schema_name() == name)?;
        Some(Arc::clone(schema))
    }
}

/// The tables of a run, restricted to the captures of a scope. With no restriction, the named
/// queries are tables as well; they are planned when they are first named.
#[derive(Debug)]
struct RunSchema {
    snapshot: SharedSnapshot,
    scope: Scope,
    state: StateSource,
}

/// The state of a session whose functions named queries are planned with. That of the session which a
/// schema belongs to is not kept alive by it.
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
