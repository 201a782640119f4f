use super::*;
use crate::Table;

fn path(text: &str) -> Result<RunPath, serde_json::Error> {
    serde_json::from_value(text.into())
}

#[test]
fn paths_of_tables_files_are_read_as_they_are() {
    for text in [
        "weights/epoch=3/layer=L_hidden_1/step-96-r0-g0.parquet",
        "weights/epoch=-1/layer=block.0%2Fattn%20q%3D1%25/step-0-r0-g0.parquet",
        "novel_table2/whatever.bin",
    ] {
        let read = path(text).unwrap();
        assert_eq!(read.as_str(), text);
        assert_eq!(serde_json::to_value(&read).unwrap(), text);
    }
    assert_eq!(path("metrics/a").unwrap().table(), "metrics");
}

#[test]
fn no_path_leads_out_of_the_run() {
    for text in [
        "",
        "weights",
        "/usr/lib/a.parquet",
        "//usr",
        "../outside/weights/a.parquet",
        "weights/../../outside/a.parquet",
        "weights/..",
        "weights/./a.parquet",
        "weights//a.parquet",
        "weights/",
        "weights\\..\\..\\a.parquet",
        "C:\\a.parquet",
        "weights/a\0.parquet",
        "weights/a\n.parquet",
        "commits/00000000000000000000.json",
        ".staging/0123456789abcdef/0",
        "run.json",
        "./weights/a.parquet",
        "Weights/a.parquet",
    ] {
        let error = path(text).unwrap_err().to_string();
        assert!(error.contains("is no path of a table's file"), "{error}");
    }
    let long = format!("weights/{}", "a".repeat(MAX_PATH_BYTES));
    assert!(path(&long).is_err());
}

#[test]
fn a_tables_name_is_a_plain_word() {
    let name = |text: &str| serde_json::from_value::<TableName>(text.into());
    for table in Table::ALL {
        assert_eq!(&*name(table.name()).unwrap(), table.name());
        assert_eq!(TableName::from(table), name(table.name()).unwrap());
    }
    assert!(name("novel_table2").is_ok());
    for text in [
        "", "/usr", "..", "a/b", "Weights", "2d", "_a", "a b", "commits", "é",
    ] {
        assert!(name(text).is_err(), "{text:?}");
    }
    assert!(name(&"a".repeat(65)).is_err());
}
