//! What SQL over a run can name: the catalogue of its tables, with its functions and named queries, and
//! what is meant by a name that is not there.

pub(crate) mod registry;
pub(crate) mod suggest;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result as DataFusionResult, internal_datafusion_err};
use datafusion::execution::SessionState;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::SessionContext;
use object_store::local::LocalFileSystem;
use trace::Table;

use crate::functions::{epoch_functions, register_functions};
use crate::named::{Defaults, NamedQuery, NamedQueryCalls, StateFunctions};
use crate::run::error::QueryError;
use crate::run::scope::{CATALOG, Scope};
use crate::run::snapshot::SharedSnapshot;
use crate::scan::RUN_STORE;
use crate::tables::call::{SQL_FUNCTIONS, SqlFunction, run_function};
use crate::tables::{FACTS, recorded_table, table};

/// Makes a run known to a session: the catalogue with its tables, what reads their files, its functions
/// and calls of its named queries.
///
/// # Errors
/// If the run's directory is gone.
pub(crate) fn register(
    context: &SessionContext,
    snapshot: &SharedSnapshot,
) -> Result<(), QueryError> {
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
