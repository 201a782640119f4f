//! What is said of tables, named queries and functions, held to what they do.

use anyhow::Result;
use arrow::array::AsArray;
use sql::{Definition, DefinitionKind, FunctionKind, QuerySession, type_name};

use super::session;

async fn rows(session: &QuerySession, sql: &str) -> Result<Vec<String>> {
    let batches = session.sql(sql).await?.collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        let first = batch.column(0).as_string::<i32>();
        rows.extend(first.iter().map(|cell| cell.unwrap_or_default().to_owned()));
    }
    Ok(rows)
}

#[tokio::test]
async fn every_example_runs() -> Result<()> {
    let (_dir, session) = session()?;
    let mut num_examples = 0;
    for definition in Definition::all() {
        let Some(example) = &definition.example else {
            continue;
        };
        let name = &definition.name;
        let answered = match session.sql(example).await {
            Ok(answer) => answer.collect().await.map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        };
        let batches = answered.map_err(|error| anyhow::anyhow!("{name}: {example}: {error}"))?;
        // Of the tables some are empty in a run as small as this one.
        if matches!(definition.kind, DefinitionKind::Function(_)) {
            let num_rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
            assert!(num_rows > 0, "{name}: {example}");
        }
        num_examples += 1;
    }
    // 12 tables, 26 named queries, 17 functions of ours, 15 of DataFusion's, 4 table functions.
    assert!(num_examples >= 74, "{num_examples}");
    Ok(())
}

#[tokio::test]
async fn tables_and_table_functions_have_the_columns_that_are_described() -> Result<()> {
    let (_dir, session) = session()?;
    for definition in Definition::all() {
        let from = match definition.kind {
            DefinitionKind::Table => definition.name.clone(),
            DefinitionKind::Function(FunctionKind::Table) if !definition.is_builtin => {
                definition.signature.clone()
            }
            _ => continue,
        };
        let rows = session.sql(&format!("SELECT * FROM {from}")).await?;
        let fields = rows.schema().fields().iter();
        let planned: Vec<(String, String)> = fields
            .map(|field| (field.name().clone(), type_name(field.data_type())))
            .collect();
        let described = definition.columns.iter();
        let described: Vec<(String, String)> = described
            .map(|column| (column.name.clone(), column.data_type.clone()))
            .collect();
        assert_eq!(planned, described, "{from}");
    }
    Ok(())
}

#[tokio::test]
async fn every_function_and_table_of_a_session_is_described() -> Result<()> {
    let (_dir, session) = session()?;
    let described = |name: &str| {
        Definition::all()
            .iter()
            .any(|d| d.names().any(|n| n == name))
    };
    for name in session.function_names() {
        assert!(described(&name), "{name}");
    }
    for name in session.table_names() {
        assert!(described(name), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn show_functions_has_ours_and_those_whose_types_datafusion_does_not_know() -> Result<()> {
    let (_dir, session) = session()?;
    assert_eq!(
        rows(&session, "SHOW FUNCTIONS LIKE 'vec%'").await?,
        [
            "vec_avg",
            "vec_collect",
            "vec_corr",
            "vec_cosine",
            "vec_filter",
            "vec_l2_distance",
            "vec_max",
            "vec_mean",
            "vec_min",
            "vec_norm",
            "vec_sum",
            "vec_var",
            "vec_var_pop",
            "vec_var_samp",
        ]
    );
    assert_eq!(
        rows(&session, "SHOW FUNCTIONS ILIKE 'COSINE%'").await?,
        ["cosine_distance"]
    );
    assert_eq!(
        rows(&session, "SHOW FUNCTIONS LIKE 'successive%'").await?,
        ["successive_weights"]
    );
    // Named queries take their parameters as table functions do.
    assert_eq!(
        rows(&session, "SHOW FUNCTIONS LIKE 'weight_d%'").await?,
        ["weight_drift"]
    );
    // The same words are what DataFusion knows of ours.
    let sql = "SELECT description FROM information_schema.routines WHERE routine_name = 'vec_norm'";
    assert_eq!(rows(&session, sql).await?, ["Euclidean length of a list"]);
    Ok(())
}
