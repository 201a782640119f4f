use arrow::array::Int64Array;

use super::*;
use crate::tables::call::SQL_FUNCTIONS;
use fixtures::tiny;

/// What a query counts, in a session that is not ours.
async fn counted(context: &SessionContext, sql: &str) -> i64 {
    let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
    let counts = rows[0].column(0).as_any().downcast_ref::<Int64Array>();
    counts.unwrap().value(0)
}

#[tokio::test]
async fn a_session_of_somebody_elses_knows_a_run_that_is_registered() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let context = SessionContext::new();
    // Tables and options of its own do not change what a named query says.
    for sql in [
        "CREATE TABLE weights AS SELECT 1 AS one",
        "SET datafusion.sql_parser.enable_ident_normalization = false",
        "SET datafusion.sql_parser.parse_float_as_decimal = true",
    ] {
        context.sql(sql).await.unwrap();
    }
    Run::open(&dir.path().join("run"))
        .unwrap()
        .register(&context)
        .unwrap();
    for (sql, count) in [
        ("SELECT count(*) FROM run.public.weights", 20),
        ("SELECT count(*) FROM run.epochs.weights", 12),
        ("SELECT count(*) FROM run.public.padded", 12),
        (
            "SELECT count(*) FROM padded(layer => 'last', captures => 'all')",
            8,
        ),
        ("SELECT count(*) FROM run.public.padded(1)", 4),
        (
            "SELECT count(*) FROM structure_scores(class => 'yes', permutations => 0)",
            2,
        ),
        (
            "SELECT count(*) FROM structure_onset(percent => 0.5, permutations => 9)",
            0,
        ),
        ("SELECT count(*) FROM connections()", 50),
        ("SELECT count(*) FROM connections(epoch => 'first')", 10),
        ("SELECT count(*) FROM weights", 1),
    ] {
        assert_eq!(counted(&context, sql).await, count, "{sql}");
    }
    let error = context
        .sql("SELECT * FROM padded(layer => 'L_hiden')")
        .await;
    let error = QueryError::from(error.map(|_| ()).unwrap_err()).to_string();
    assert!(error.contains("did you mean L_hidden?"), "{error}");
}

#[tokio::test]
async fn every_named_query_is_called_by_the_names_of_its_parameters() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(&dir.path().join("run")).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    for query in NamedQuery::all() {
        let arguments = query.parameters().iter().map(|parameter| {
            let value = match parameter.default.parse::<f64>() {
                Ok(_) => parameter.default.clone(),
                Err(_) if parameter.default == "NULL" => "NULL".to_owned(),
                Err(_) => format!("'{}'", parameter.default),
            };
            (parameter.name.as_str(), value)
        });
        let arguments: Vec<(&str, String)> = arguments.collect();
        let by_name = arguments
            .iter()
            .map(|(name, value)| format!("{name} => {value}"));
        let by_name = by_name.collect::<Vec<_>>().join(", ");
        let by_place = arguments.iter().map(|(_, value)| value.clone());
        let by_place = by_place.collect::<Vec<_>>().join(", ");
        let name = query.name();
        let expected = session
            .named(name, &[])
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        let expected: usize = expected.iter().map(|batch| batch.num_rows()).sum();
        for arguments in [by_name, by_place] {
            // `connections()` has a name of its own, and takes nothing by place.
            if SQL_FUNCTIONS.contains(&name) && !arguments.contains("=>") {
                continue;
            }
            let sql = format!("SELECT count(*) FROM {name}({arguments})");
            assert_eq!(
                counted(&session.context, &sql).await,
                expected as i64,
                "{sql}"
            );
        }
    }
}
