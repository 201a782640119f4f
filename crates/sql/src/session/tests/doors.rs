//! What SQL can say beside questions, and that all of it is refused.
//!
//! `tests/slt/read_only.slt` has the statements. Here they are held against every kind of statement that there is
//! in the parser's types, and every kind of plan that does something: what a later DataFusion adds does not compile
//! until it is told here what it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{DdlStatement, Statement as PlannedStatement, WriteOp};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast;

use super::*;

/// The statements that are refused, with the words that tell why; what they name is in `dir`.
fn refused(dir: &Path) -> Vec<(String, String)> {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/slt/read_only.slt");
    let table = fs::read_to_string(table).unwrap();
    let table = table.replace("$__TEST_DIR__", dir.to_str().unwrap());
    let records = table.split("\n\n").filter_map(|record| {
        let (words, sql) = record
            .trim()
            .strip_prefix("query error ")?
            .split_once('\n')?;
        Some((words.to_owned(), sql.to_owned()))
    });
    records.collect()
}

/// The names of an enumeration's variants, and which one a value is.
macro_rules! kinds {
    ($all:ident, $kind:ident, $of:path: $($variant:ident),* $(,)?) => {
        const $all: &[&str] = &[$(stringify!($variant)),*];

        fn $kind(of: &$of) -> &'static str {
            use $of as Of;
            match of {
                $(Of::$variant { .. } => stringify!($variant),)*
            }
        }
    };
}

kinds![STATEMENTS, statement_kind, ast::Statement:
        AlterCollation, AlterConnector, AlterFunction, AlterIndex, AlterOperator,
        AlterOperatorClass, AlterOperatorFamily, AlterPolicy, AlterRole, AlterSchema,
        AlterSession, AlterTable, AlterType, AlterUser, AlterView, Analyze, Assert,
        AttachDatabase, AttachDuckDBDatabase, Cache, Call, Case, Close, Comment, Commit,
        Copy, CopyIntoSnowflake, CreateCollation, CreateConnector, CreateDatabase,
        CreateDomain, CreateExtension, CreateFunction, CreateIndex, CreateMacro,
        CreateOperator, CreateOperatorClass, CreateOperatorFamily, CreatePolicy,
        CreateProcedure, CreateRole, CreateSchema, CreateSecret, CreateSequence,
        CreateServer, CreateStage, CreateTable, CreateTrigger, CreateType, CreateUser,
        CreateView, CreateVirtualTable, Deallocate, Declare, Delete, Deny,
        DetachDuckDBDatabase, Directory, Discard, Drop, DropConnector, DropDomain,
        DropExtension, DropFunction, DropOperator, DropOperatorClass, DropOperatorFamily,
        DropPolicy, DropProcedure, DropSecret, DropTrigger, Execute, Explain, ExplainTable,
        ExportData, Fetch, Flush, Grant, If, Insert, Install, Kill, LISTEN, List, Load,
        LoadData, Lock, LockTables, Merge, Msck, NOTIFY, Open, OptimizeTable, Pragma,
        Prepare, Print, Query, RaisError, Raise, ReleaseSavepoint, Remove, RenameTable,
        Reset, Return, Revoke, Rollback, Savepoint, Set, ShowCatalogs, ShowCharset,
        ShowCollation, ShowColumns, ShowCreate, ShowDatabases, ShowFunctions, ShowObjects,
        ShowProcessList, ShowSchemas, ShowStatus, ShowTables, ShowVariable, ShowVariables,
        ShowViews, StartTransaction, Throw, Truncate, UNCache, UNLISTEN, Unload,
        UnlockTables, Update, Use, Vacuum, WaitFor, While,
];

kinds![DDL, ddl_kind, DdlStatement:
    CreateExternalTable, CreateMemoryTable, CreateView, CreateCatalogSchema, CreateCatalog, CreateIndex,
    DropTable, DropView, DropCatalogSchema, CreateFunction, DropFunction,
];

kinds![PLANNED, planned_kind, PlannedStatement:
    TransactionStart, TransactionEnd, SetVariable, ResetVariable, Prepare, Execute, Deallocate,
];

const WRITES: &[&str] = &[
    "Insert",
    "Delete",
    "Update",
    "Ctas",
    "Truncate",
    "MergeInto",
];

fn write_kind(of: &WriteOp) -> &'static str {
    match of {
        WriteOp::Insert(_) => "Insert",
        WriteOp::Delete => "Delete",
        WriteOp::Update => "Update",
        WriteOp::Ctas => "Ctas",
        WriteOp::Truncate => "Truncate",
        WriteOp::MergeInto(_) => "MergeInto",
        other => panic!("{other:?} is not known here: add it, and a statement that makes it"),
    }
}

/// Statements that ask: their refusals are those of what they name.
const QUESTIONS: [&str; 11] = [
    "Query",
    "Explain",
    "ExplainTable",
    "ShowColumns",
    "ShowCreate",
    "ShowFunctions",
    "ShowTables",
    "ShowVariable",
    "ShowVariables",
    "ShowDatabases",
    "ShowSchemas",
];

/// Statements that no SQL in the session's dialect becomes: the parser makes something else of it, or an error.
const UNPARSED: [&str; 15] = [
    "AlterRole",
    "AlterSession",
    "AttachDuckDBDatabase",
    "CopyIntoSnowflake",
    "CreateStage",
    "LISTEN",
    "List",
    "LoadData",
    "LockTables",
    "NOTIFY",
    "Remove",
    "Reset",
    "ShowObjects",
    "UNLISTEN",
    "UnlockTables",
];

/// The one that no plan is made with: `CREATE TABLE AS` is a [`DdlStatement`].
const UNPLANNED: [&str; 1] = ["Ctas"];

/// What of a plan does something, by name; nothing of one that only asks.
fn acts(plan: &LogicalPlan) -> Option<&'static str> {
    match plan {
        LogicalPlan::Ddl(ddl) => Some(ddl_kind(ddl)),
        LogicalPlan::Statement(statement) => Some(planned_kind(statement)),
        LogicalPlan::Dml(dml) => Some(write_kind(&dml.op)),
        LogicalPlan::Copy(_) => Some("Copy"),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::TableScan(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Extension(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => None,
    }
}

/// Every file below a directory, with what it holds.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => left.push(path),
                false => found.push((path.clone(), fs::read(path).unwrap())),
            }
        }
    }
    found.sort_unstable();
    found
}

/// Lets a file have been read long before it was changed, after which any system notes the next reading.
fn let_unread(path: &Path) {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let times = fs::FileTimes::new().set_accessed(long_ago);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_times(times).unwrap();
}

fn read_at(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().accessed().unwrap()
}

#[tokio::test]
async fn nothing_but_questions_is_answered_and_no_other_file_is_read_or_written() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    tiny::write(&dir.path().join("run")).unwrap();
    fs::create_dir(&outside).unwrap();
    let notes = outside.join("notes.csv");
    fs::write(&notes, "a\n7351\n").unwrap();
    let before = files(dir.path());
    let_unread(&notes);
    let unread = read_at(&notes);
    let run = Run::open(&dir.path().join("run")).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    let refused = refused(&outside);
    assert!(refused.len() > 200, "{}", refused.len());
    for (_, sql) in &refused {
        // Their words are held against the table by its own test.
        let error = session.sql(sql).await.map(|_| ()).unwrap_err();
        assert!(!error.to_string().contains("7351"), "{sql}: {error}");
        assert!(!matches!(error, QueryError::Internal(_)), "{sql}: {error}");
    }
    assert_eq!(read_at(&notes), unread, "a file outside was read");
    assert_eq!(files(dir.path()), before);
    // Nothing of them has stayed: neither tables, nor options, nor what was prepared.
    let rows = session.sql("SELECT count(*) FROM weights").await.unwrap();
    assert_eq!(rows.collect().await.unwrap()[0].num_rows(), 1);
    for sql in ["SELECT * FROM t", "SELECT * FROM v", "EXECUTE p"] {
        assert!(session.sql(sql).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn every_kind_of_statement_and_of_plan_is_among_what_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    let state = session.context().state();
    let mut statements = BTreeSet::new();
    let mut plans = BTreeSet::new();
    for (_, sql) in refused(dir.path()) {
        for statement in DFParser::parse_sql(&sql).unwrap_or_default() {
            if let Statement::Statement(statement) = &statement {
                statements.insert(statement_kind(statement));
            }
            // Planned, and neither verified nor carried out.
            if let Ok(plan) = state.statement_to_plan(statement).await {
                plan.apply_with_subqueries(|node| {
                    plans.extend(acts(node));
                    Ok(TreeNodeRecursion::Continue)
                })
                .unwrap();
            }
        }
    }
    let known = STATEMENTS.iter().copied();
    let missing: Vec<&str> = known
        .filter(|kind| !statements.contains(kind))
        .filter(|kind| !QUESTIONS.contains(kind) && !UNPARSED.contains(kind))
        .collect();
    assert!(
        missing.is_empty(),
        "no such statement is among them: {missing:?}"
    );
    let parsed = UNPARSED.iter().find(|kind| statements.contains(*kind));
    assert_eq!(parsed, None);
    let known = [DDL, PLANNED, WRITES, &["Copy"]].concat();
    let missing: Vec<&str> = known
        .into_iter()
        .filter(|kind| !plans.contains(kind) && !UNPLANNED.contains(kind))
        .collect();
    assert!(
        missing.is_empty(),
        "no such plan is among them: {missing:?}"
    );
}
