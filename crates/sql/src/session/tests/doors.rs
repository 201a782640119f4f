//! What SQL can say beside questions, and that all of it is refused.
//!
//! `tests/slt/read_only.slt` has the statements. Here they, and questions, are held against every kind of statement
//! and of plan that there is in the types of the parser and the planner: what a later DataFusion adds does not
//! compile until it is told here what becomes of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{DdlStatement, Statement as PlannedStatement, WriteOp};
use datafusion::sql::parser::{DFParser, Statement as Parsed};
use datafusion::sql::sqlparser::ast;
use fixtures::refusals;

use super::*;

/// What a session makes of a kind of statement, or of plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It asks, and has an answer; it is refused only where it names what is not there.
    Answered,
    Refused,
    /// No SQL in the session's dialect becomes one: the parser makes something else of it, or an error.
    Unreached,
}

use Verdict::{Answered, Refused, Unreached};

/// Says of each variant of an enumeration what becomes of it, and which one a value is. There is no arm for any
/// other: one that a later version adds does not compile until it is told here what it is.
macro_rules! verdicts {
    ($all:ident, $kind:ident, $of:path: $($verdict:ident [$($variant:ident),* $(,)?])*) => {
        const $all: &[(&str, Verdict)] = &[$($((stringify!($variant), $verdict),)*)*];

        fn $kind(of: &$of) -> &'static str {
            use $of as Of;
            match of {
                $($(Of::$variant { .. } => stringify!($variant),)*)*
            }
        }
    };
}

// What DataFusion's parser has beside SQL's own.
verdicts![PARSED, parsed_kind, Parsed:
    Answered [Statement, Explain]
    Refused [CreateExternalTable, CopyTo, Reset]
];

verdicts![STATEMENTS, statement_kind, ast::Statement:
    Answered [
        Query, Explain, ExplainTable, ShowColumns, ShowCreate, ShowFunctions, ShowTables,
        ShowVariable,
    ]
    Refused [
        AlterCollation, AlterConnector, AlterFunction, AlterIndex, AlterOperator,
        AlterOperatorClass, AlterOperatorFamily, AlterPolicy, AlterSchema, AlterTable, AlterType,
        AlterUser, AlterView, Analyze, Assert, AttachDatabase, Cache, Call, Case, Close, Comment,
        Commit, Copy, CreateCollation, CreateConnector, CreateDatabase, CreateDomain,
        CreateExtension, CreateFunction, CreateIndex, CreateMacro, CreateOperator,
        CreateOperatorClass, CreateOperatorFamily, CreatePolicy, CreateProcedure, CreateRole,
        CreateSchema, CreateSecret, CreateSequence, CreateServer, CreateTable, CreateTrigger,
        CreateType, CreateUser, CreateView, CreateVirtualTable, Deallocate, Declare, Delete, Deny,
        DetachDuckDBDatabase, Directory, Discard, Drop, DropConnector, DropDomain, DropExtension,
        DropFunction, DropOperator, DropOperatorClass, DropOperatorFamily, DropPolicy,
        DropProcedure, DropSecret, DropTrigger, Execute, ExportData, Fetch, Flush, Grant, If,
        Insert, Install, Kill, Load, Lock, Merge, Msck, Open, OptimizeTable, Pragma, Prepare, Print,
        RaisError, Raise, ReleaseSavepoint, RenameTable, Return, Revoke, Rollback, Savepoint, Set,
        ShowCatalogs, ShowCharset, ShowCollation, ShowDatabases, ShowProcessList, ShowSchemas,
        ShowStatus, ShowVariables, ShowViews, StartTransaction, Throw, Truncate, UNCache, Unload,
        Update, Use, Vacuum, WaitFor, While,
    ]
    Unreached [
        AlterRole, AlterSession, AttachDuckDBDatabase, CopyIntoSnowflake, CreateStage, LISTEN, List,
        LoadData, LockTables, NOTIFY, Remove, Reset, ShowObjects, UNLISTEN, UnlockTables,
    ]
];

verdicts![PLANS, plan_kind, LogicalPlan:
    Answered [
        Aggregate, Analyze, DescribeTable, Distinct, EmptyRelation, Explain, Filter, Join, Limit, Projection,
        RecursiveQuery, Sort, Subquery, SubqueryAlias, TableScan, Union, Unnest, Values, Window,
    ]
    Refused [Copy, Ddl, Dml, Statement]
    // Rules of the optimizer and other programs make them.
    Unreached [Extension, Repartition]
];

verdicts![DDL, ddl_kind, DdlStatement:
    Refused [
        CreateCatalog, CreateCatalogSchema, CreateExternalTable, CreateFunction, CreateIndex, CreateMemoryTable,
        CreateView, DropCatalogSchema, DropFunction, DropTable, DropView,
    ]
];

verdicts![PLANNED, planned_kind, PlannedStatement:
    Refused [
        Deallocate, Execute, Prepare, ResetVariable, SetVariable, TransactionEnd, TransactionStart,
    ]
];

/// What of a table's rows is changed. The compiler wants an arm for others here, so that it is the test that fails.
const WRITES: &[(&str, Verdict)] = &[
    ("Insert", Refused),
    ("Delete", Refused),
    ("Update", Refused),
    ("Truncate", Refused),
    ("MergeInto", Refused),
    // `CREATE TABLE AS` is a `DdlStatement`.
    ("Ctas", Unreached),
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

/// Questions of each kind that has an answer.
const QUESTIONS: &[&str] = &[
    "SELECT epoch, count(*) FROM weights WHERE epoch >= 0 GROUP BY epoch ORDER BY epoch LIMIT 1",
    "SELECT w.epoch, row_number() OVER (ORDER BY w.step) FROM weights AS w \
     JOIN (SELECT DISTINCT epoch FROM activations) AS a ON a.epoch = w.epoch",
    "SELECT 1 UNION ALL VALUES (2)",
    "SELECT unnest(weights) FROM weights WHERE epoch IN (SELECT max(epoch) FROM weights)",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "DESCRIBE SELECT 1",
    "DESCRIBE weights",
    "SHOW ALL",
    "SHOW COLUMNS FROM weights",
    "SHOW CREATE TABLE weights",
    "SHOW FUNCTIONS",
    "SHOW TABLES",
    "SHOW datafusion.execution.batch_size",
];

/// The kinds of statements and plans that some SQL has, each with the enumeration that it is of.
#[derive(Default)]
struct Kinds(BTreeSet<(&'static str, &'static str)>);

impl Kinds {
    /// Adds those of some SQL, which is planned, and neither verified nor carried out.
    async fn add(&mut self, session: &QuerySession, sql: &str) {
        let state = session.context().state();
        for statement in DFParser::parse_sql(sql).unwrap_or_default() {
            self.0.insert(("parsed", parsed_kind(&statement)));
            if let Parsed::Statement(statement) = &statement {
                self.0.insert(("statement", statement_kind(statement)));
            }
            if let Ok(plan) = state.statement_to_plan(statement).await {
                plan.apply_with_subqueries(|node| {
                    self.0.insert(("plan", plan_kind(node)));
                    self.0.extend(match node {
                        LogicalPlan::Ddl(ddl) => Some(("ddl", ddl_kind(ddl))),
                        LogicalPlan::Statement(planned) => Some(("planned", planned_kind(planned))),
                        LogicalPlan::Dml(dml) => Some(("write", write_kind(&dml.op))),
                        _ => None,
                    });
                    Ok(TreeNodeRecursion::Continue)
                })
                .unwrap();
            }
        }
    }
}

/// All kinds, each with the enumeration that it is of.
fn all() -> impl Iterator<Item = ((&'static str, &'static str), Verdict)> {
    let enumerations = [
        ("parsed", PARSED),
        ("statement", STATEMENTS),
        ("plan", PLANS),
        ("ddl", DDL),
        ("planned", PLANNED),
        ("write", WRITES),
    ];
    enumerations.into_iter().flat_map(|(of, kinds)| {
        let kinds = kinds.iter();
        kinds.map(move |(kind, verdict)| ((of, *kind), *verdict))
    })
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
    let refused = refusals(&outside).unwrap();
    assert!(refused.len() > 200, "{}", refused.len());
    for sql in refused.iter().map(|refusal| &refusal.sql) {
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
async fn every_kind_of_statement_and_of_plan_is_answered_or_refused_as_it_is_told_here() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    let mut refused = Kinds::default();
    for refusal in refusals(dir.path()).unwrap() {
        refused.add(&session, &refusal.sql).await;
    }
    let mut answered = Kinds::default();
    for sql in QUESTIONS {
        let rows = session.sql(sql).await.unwrap().collect().await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(rows.iter().any(|batch| batch.num_rows() > 0), "{sql}");
        answered.add(&session, sql).await;
    }
    for (kind, verdict) in all() {
        let found = (answered.0.contains(&kind), refused.0.contains(&kind));
        let as_told = match verdict {
            Answered => found.0,
            // The first says that there is a statement of the kind, the test above that it is refused.
            Refused => found == (false, true),
            Unreached => found == (false, false),
        };
        assert!(
            as_told,
            "{kind:?} is {verdict:?} here; among what is answered and what is refused it is {found:?}"
        );
    }
}
