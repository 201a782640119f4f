//! How data is asked for.

use super::*;
use crate::dataset::DatasetSource;

#[test]
fn options_that_do_not_go_together_are_refused() {
    let csv = FileSpec::new(FileFormat::Csv, "data.csv", &["y"]);
    assert!(csv.check().is_ok());
    let idx = FileSpec::new(FileFormat::Idx, "mnist", &[]);
    assert!(idx.check().is_ok());
    let some = |path: &str| Some(PathBuf::from(path));
    for (spec, named) in [
        (
            FileSpec::new(FileFormat::Csv, "data.csv", &[]),
            "needs --target",
        ),
        (
            FileSpec::new(FileFormat::Csv, "data.csv", &["y", "y"]),
            "named twice",
        ),
        (
            FileSpec::new(FileFormat::Idx, "mnist", &["y"]),
            "no columns",
        ),
        (
            FileSpec {
                ignored: vec!["y".to_owned()],
                ..csv.clone()
            },
            "both a target and ignored",
        ),
        (
            FileSpec {
                labels: some("labels"),
                ..csv.clone()
            },
            "for idx data",
        ),
        (
            FileSpec {
                held_out_labels: some("labels"),
                ..idx
            },
            "goes with --held-out FILE",
        ),
        (
            of_task(
                FileSpec::new(FileFormat::Csv, "data.csv", &["y", "z"]),
                Task::Classification,
            ),
            "takes one --target",
        ),
    ] {
        let refusal = spec.check().unwrap_err().to_string();
        assert!(refusal.contains(named), "{refusal}");
        assert!(load(&spec, 1).is_err());
    }
}

#[test]
fn what_is_typed_is_understood_or_told() {
    let source = |text: &str| text.parse::<DatasetSource>();
    for text in [
        "digits",
        "csv:a:b.csv",
        "parquet:/data/x.parquet",
        "idx:mnist",
    ] {
        assert_eq!(source(text).unwrap().to_string(), text);
    }
    for wrong in ["cifar", "csv:", "csv", "tsv:x"] {
        let error = source(wrong).unwrap_err().to_string();
        assert!(error.contains(&format!("no data set {wrong:?}")), "{error}");
    }
    let meant = |text: &str| source(text).unwrap_err().to_string();
    assert!(meant("data/d.csv").ends_with("; did you mean csv:data/d.csv?"));
    assert!(meant("d.tsv.gz").ends_with("; did you mean csv:d.tsv.gz?"));
    assert!(meant("d.parquet").ends_with("; did you mean parquet:d.parquet?"));
    // As other programs call standard input.
    assert_eq!(source("csv:-").unwrap().to_string(), "csv:/dev/stdin");
    let rule = |text: &str| text.parse::<HeldOutRule>();
    let percent = rule("20%").unwrap_err().to_string();
    assert!(
        percent.ends_with("give a number between 0 and 1, as 0.2"),
        "{percent}"
    );
    assert_eq!(rule("0.25").unwrap(), HeldOutRule::Share(0.25));
    assert_eq!(
        rule("test.csv").unwrap(),
        HeldOutRule::File("test.csv".into())
    );
    for wrong in ["0", "1", "-0.5", "300", "nan", ""] {
        assert!(rule(wrong).is_err(), "{wrong:?}");
    }
    for task in Task::ALL {
        assert_eq!(task.as_str().parse::<Task>().unwrap(), task);
        let json = serde_json::to_value(task).unwrap();
        assert_eq!(json, task.as_str());
    }
    for scale in Scale::ALL {
        assert_eq!(scale.as_str().parse::<Scale>().unwrap(), scale);
    }
    assert!("clustering".parse::<Task>().is_err() && "log".parse::<Scale>().is_err());
}

#[test]
fn a_run_is_called_after_its_data() {
    let name = |text: &str| {
        let spec = match text.parse().unwrap() {
            DatasetSource::BuiltIn(kind) => DatasetSpec::BuiltIn(kind),
            DatasetSource::File(format, path) => FileSpec::new(format, path, &[]).into(),
        };
        spec.run_name()
    };
    assert_eq!(name("digits"), "digits");
    assert_eq!(name("csv:data/iris.csv"), "iris");
    assert_eq!(name("idx:/data/mnist"), "mnist");
    assert_eq!(name("idx:/"), "data");
}
