use super::super::FILES;
use super::*;

#[test]
fn a_header_is_read_item_by_item() {
    let query = parse(
        "answer",
        "\
-- What it is.
-- Going on.
--
-- Parameters:
--   epoch Int32 = NULL: which one
--
-- Columns:
--   weights List(Float32): a list
--       of weights
SELECT 1 -- Columns:
",
    )
    .unwrap();
    assert_eq!(query.purpose, "What it is. Going on.");
    let epoch = &query.parameters[0];
    assert_eq!(
        (epoch.name.as_str(), epoch.default.as_str()),
        ("epoch", "NULL")
    );
    assert_eq!(
        (epoch.data_type, epoch.meaning.as_str()),
        (ParameterType::Int32, "which one")
    );
    let names: Vec<&str> = query.parameters.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["epoch", "captures", "initial"]);
    assert_eq!(
        query.columns,
        [Column {
            name: "weights".to_owned(),
            data_type: "List(Float32)".to_owned(),
            meaning: "a list of weights".to_owned(),
        }]
    );
}

#[test]
fn a_line_that_is_no_item_is_named() {
    let sql = "-- What.\n--\n-- Parameters:\n--   epoch = 1\nSELECT 1";
    let error = parse("answer", sql).err().unwrap();
    assert!(error.contains("epoch = 1"), "{error}");
}

/// `NamedQuery::all` relies on it.
#[test]
fn the_headers_of_all_queries_are_whole() {
    for (name, sql) in FILES {
        let query = parse(name, sql).unwrap();
        assert!(query.purpose.ends_with('.'), "{name}");
        assert!(!query.columns.is_empty(), "{name}");
        for parameter in &query.parameters {
            let used = sql.contains(&format!("${}", parameter.name));
            let common = ["captures", "initial"].contains(&parameter.name.as_str());
            assert!(used != common, "{name}: {}", parameter.name);
        }
    }
}

#[test]
fn every_file_in_queries_is_a_named_query() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries");
    let mut files: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort_unstable();
    let mut names: Vec<String> = FILES
        .iter()
        .map(|(name, _)| format!("{name}.sql"))
        .collect();
    names.sort_unstable();
    assert_eq!(files, names);
}
