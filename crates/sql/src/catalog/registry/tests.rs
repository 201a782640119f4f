use std::collections::BTreeSet;

use arrow::array::AsArray;
use datafusion::prelude::SessionContext;
use trace::Table;

use super::*;
use crate::functions::register_functions;
use crate::named::type_name;

fn found(asked: &str) -> Vec<(&'static str, &'static str)> {
    match find(asked).unwrap() {
        Found::Definitions(entries) => entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.kind.words()))
            .collect(),
        Found::Columns(columns) => columns
            .iter()
            .map(|(of, column)| (of.name.as_str(), column.data_type.as_str()))
            .collect(),
    }
}

#[test]
fn tables_have_the_columns_of_the_format_each_with_a_meaning() {
    for table in Table::shown() {
        let entry = named(table.name())[0];
        let fields = table.partition_fields().into_iter();
        let stored = table.schema();
        let stored = stored.fields().iter().map(|field| field.as_ref().clone());
        let expected: Vec<(String, String)> = fields
            .chain(stored)
            .map(|field| (field.name().clone(), type_name(field.data_type())))
            .collect();
        let described: Vec<(String, String)> = entry
            .columns
            .iter()
            .map(|column| (column.name.clone(), column.data_type.clone()))
            .collect();
        assert_eq!(described, expected, "{table}");
        for column in &entry.columns {
            assert!(!column.meaning.is_empty(), "{table}.{}", column.name);
        }
    }
}

#[test]
fn everything_is_described_and_what_is_ours_has_an_example() {
    let mut seen = HashSet::new();
    for entry in Definition::all() {
        let name = &entry.name;
        assert!(!entry.purpose.is_empty(), "{name}");
        // What DataFusion advises to set cannot be set.
        assert!(!entry.purpose.contains("datafusion."), "{name}");
        assert!(!entry.purpose.contains("]("), "{name}: {}", entry.purpose);
        assert!(entry.is_builtin || entry.example.is_some(), "{name}");
        for name in entry.names() {
            assert!(seen.insert((entry.kind, name)), "{name} is there twice");
        }
        if let Some(example) = &entry.example {
            assert!(
                entry.names().any(|name| example.contains(name)),
                "{name}: {example}"
            );
            assert!(entry.signature.starts_with(name.as_str()), "{name}");
        }
    }
}

#[test]
fn a_name_is_found_with_and_without_parentheses_case_and_schema() {
    assert_eq!(found("weights"), [("weights", "table")]);
    assert_eq!(found("epochs.weights"), [("weights", "table")]);
    assert_eq!(found("run.public.weights"), [("weights", "table")]);
    assert_eq!(found("weight_drift;"), [("weight_drift", "named query")]);
    for asked in ["vec_mean", "vec_mean()", "VEC_MEAN (weights)", "vec_avg"] {
        assert_eq!(
            found(asked),
            [("vec_mean", "aggregate function")],
            "{asked}"
        );
    }
    assert_eq!(found("connections()"), [("connections", "table function")]);
    assert_eq!(
        found("connections"),
        [
            ("connections", "named query"),
            ("connections", "table function")
        ]
    );
    assert_eq!(found("abs"), [("abs", "scalar function")]);
    assert_eq!(found("row_number()"), [("row_number", "window function")]);
    assert_eq!(
        found("list_distance"),
        [("array_distance", "scalar function")]
    );
}

#[test]
fn a_column_is_found_by_itself_and_after_its_table() {
    assert_eq!(
        found("bias"),
        [
            ("weights", "Float32"),
            ("gradients", "Float32"),
            ("gradients_applied", "Float32"),
            ("moments", "Float32")
        ]
    );
    assert_eq!(found("weights.bias"), [("weights", "Float32")]);
    assert_eq!(found("epochs.weights.bias"), [("weights", "Float32")]);
}

#[test]
fn what_is_not_there_names_what_is_near() {
    for (asked, near) in [
        ("wieghts", "weights"),
        ("vec_maen", "vec_mean"),
        ("conections()", "connections"),
        ("weightz", "weight"),
        ("activation_medain", "activation_median"),
    ] {
        let error = find(asked).unwrap_err().to_string();
        assert!(error.contains(&format!("did you mean {near}?")), "{error}");
    }
    let error = find("weights.nonsense").unwrap_err().to_string();
    assert!(error.contains("`query list all`"), "{error}");
}

/// What is said of DataFusion's functions is said of functions that it has, under the names it has.
#[test]
fn functions_of_datafusions_that_are_documented_are_its_own() {
    let session = SessionContext::new();
    register_functions(&session);
    let state = session.state();
    let known = state.scalar_functions();
    let documented = Definition::all().iter().filter(|entry| {
        let is_scalar = entry.kind == DefinitionKind::Function(FunctionKind::Scalar);
        entry.is_builtin && entry.example.is_some() && is_scalar
    });
    let documented: Vec<&Definition> = documented.collect();
    assert_eq!(documented.len(), 15);
    for entry in documented {
        let names: BTreeSet<&str> = entry.names().collect();
        let of_function = known.iter().filter(|(_, f)| f.name() == entry.name);
        let own: BTreeSet<&str> = of_function.map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, own);
    }
}

#[test]
fn show_functions_is_told_from_other_statements() {
    let shown = |sql: &str| show_functions(sql).unwrap();
    for sql in [
        "SHOW FUNCTIONS",
        "-- all\nshow functions like 'vec%'",
        "/* ours */ SHOW FUNCTIONS ILIKE 'VEC%';",
    ] {
        assert!(shown(sql).is_some(), "{sql}");
    }
    for sql in [
        "SHOW TABLES",
        "SELECT 'SHOW FUNCTIONS'",
        "SHOW FUNCTIONS; SELECT 1",
        "SHOW FUNCTIONS WHERE",
        "'",
    ] {
        assert!(shown(sql).is_none(), "{sql}");
    }
    let (rows, _) = shown("SHOW FUNCTIONS").unwrap();
    let names = rows.column(0).as_string::<i32>();
    for name in [
        "vec_mean",
        "vec_avg",
        "connections",
        "cosine_distance",
        "abs",
        "rank",
    ] {
        assert!(names.iter().any(|known| known == Some(name)), "{name}");
    }
}
