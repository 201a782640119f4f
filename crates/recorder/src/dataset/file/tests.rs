use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;
use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray,
};
use arrow::datatypes::{Float32Type, Int32Type};
use flate2::Compression as GzipLevel;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::dataset::{DatasetSpec, MAX_INFERRED_CLASSES, Task};

mod dialects;
mod exact;
mod index;
mod missing;
mod places;
mod quotes;

/// A directory with files to read.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn csv(&self, text: &str, targets: &[&str]) -> FileSpec {
        FileSpec::new(FileFormat::Csv, self.write("data.csv", text), targets)
    }

    /// What is said of data that is refused, without the directory.
    fn refusal(&self, spec: &FileSpec) -> String {
        let message = load(spec, 1).unwrap_err().to_string();
        let directory = format!("{}/", self.0.path().display());
        message.replace(&directory, "")
    }
}

fn of_task(spec: FileSpec, task: Task) -> FileSpec {
    FileSpec {
        task: Some(task),
        ..spec
    }
}

fn held_out_in(spec: FileSpec, file: PathBuf) -> FileSpec {
    FileSpec {
        held_out: Some(HeldOutRule::File(file)),
        ..spec
    }
}

fn unscaled(spec: FileSpec) -> FileSpec {
    FileSpec {
        scale: Some(Scale::None),
        ..spec
    }
}

fn trained_on(dataset: &Dataset) -> &Samples {
    match &dataset.training {
        Training::Fixed(samples) => samples,
        Training::Drawn(_) => panic!("a file's samples are fixed"),
    }
}

/// 30 flowers, ten of each kind, the kinds taking turns.
fn flowers() -> String {
    let mut text = "length, width,kind\n".to_owned();
    for row in 0..30 {
        let kind = ["virginica", "setosa", "versicolor"][row % 3];
        text.push_str(&format!("{row}.5, {},{kind}\n", 2 * row));
    }
    text
}

#[test]
fn texts_become_classes_in_the_order_of_their_letters() {
    let files = Files::new();
    let spec = unscaled(files.csv(&flowers(), &["kind"]));
    let flowers = load(&spec, 1).unwrap();
    assert_eq!(flowers.task(), Task::Classification);
    assert_eq!(flowers.class_names(), ["setosa", "versicolor", "virginica"]);
    assert_eq!(flowers.target_names(), ["kind"]);
    assert_eq!((flowers.num_inputs(), flowers.num_outputs()), (2, 3));
    assert_eq!((flowers.num_train(), flowers.held_out().len()), (24, 6));
    let info = flowers.info();
    assert_eq!(info.kind, "csv");
    assert_eq!(info.held_out, "0.2 drawn with the seed, by class");
    assert_eq!(info.source, spec.path.display().to_string());

    // Every sample is on one side, with its own class; each class gives a fifth.
    let mut seen = Vec::new();
    for (samples, of_class) in [(trained_on(&flowers), 8), (flowers.held_out(), 2)] {
        let Targets::Classes(classes) = samples.targets() else {
            panic!("{samples:?}")
        };
        for class in 0..3 {
            let count = classes.iter().filter(|&&c| c == class).count();
            assert_eq!(count, of_class, "class {class}");
        }
        let rows = samples.inputs().chunks(2).zip(classes);
        for (inputs, &class) in rows {
            let row = inputs[1] as usize / 2;
            assert_eq!(inputs[0], row as f32 + 0.5);
            assert_eq!(class, [2, 0, 1][row % 3]);
            seen.push(row);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
}

#[test]
fn the_split_follows_from_the_seed() {
    let files = Files::new();
    let spec = files.csv(&flowers(), &["kind"]);
    let held_out = |seed| load(&spec, seed).unwrap().held_out().clone();
    assert_eq!(held_out(1), held_out(1));
    assert_ne!(held_out(1), held_out(2));
    let half = FileSpec {
        held_out: Some(HeldOutRule::Share(0.5)),
        ..spec.clone()
    };
    assert_eq!(load(&half, 1).unwrap().held_out().len(), 15);
}

#[test]
fn small_classes_keep_a_sample_to_train_on() {
    // 1, 2 and 7 of 10: a half each are 0.5, 1 and 3.5, together 5; the first two have one to keep.
    let strata = vec![vec![0], vec![1, 2], (3..10).collect()];
    let drawn = draw_held_out(strata, 0.5, 7);
    let among = |rows: std::ops::Range<usize>| drawn.iter().filter(|r| rows.contains(r)).count();
    assert_eq!((among(0..1), among(1..3), among(3..10)), (0, 1, 4));
    assert!(drawn.is_sorted());
    assert!(draw_held_out(vec![vec![0], vec![1]], 0.5, 7).is_empty());
}

#[test]
fn inputs_are_standardised_by_the_samples_that_are_trained_on() {
    let files = Files::new();
    let test = files.write("test.csv", "a,b,y\n5,9,1\n");
    // Of a: mean 3, standard deviation 2. Of b: always 7.
    let spec = files.csv("a,b,y\n1,7,0\n5,7,1\n", &["y"]);
    let dataset = load(&held_out_in(spec, test.clone()), 1).unwrap();
    assert_eq!(trained_on(&dataset).inputs(), [-1.0, 0.0, 1.0, 0.0]);
    assert_eq!(dataset.held_out().inputs(), [1.0, 2.0]);
    assert_eq!(
        dataset.info().held_out,
        format!("all of {}", test.display())
    );
    let details = dataset.info().details.as_ref().unwrap();
    let expected = serde_json::json!({"names": ["a", "b"], "mean": [3.0, 7.0], "std": [2.0, 1.0]});
    assert_eq!(details["inputs"], expected);

    let pixels = FileSpec {
        scale: Some(Scale::Pixels),
        ..held_out_in(
            files.csv("a,y\n255,0\n51,1\n", &["y"]),
            files.write("t.csv", "a,y\n0,1\n"),
        )
    };
    let pixels = load(&pixels, 1).unwrap();
    assert_eq!(trained_on(&pixels).inputs(), [1.0, 0.2]);
}

#[test]
fn numbers_that_are_predicted_are_standardised_with_the_inputs() {
    let files = Files::new();
    let test = files.write("test.csv", "a,price,tax\n0,700.5,0\n");
    let spec = files.csv("a,price,tax\n1,100.5,1\n2,300.5,3\n", &["tax", "price"]);
    let dataset = load(&held_out_in(spec.clone(), test.clone()), 1).unwrap();
    assert_eq!(dataset.task(), Task::Regression);
    assert_eq!(dataset.target_names(), ["tax", "price"]);
    assert!(dataset.class_names().is_empty());
    // Tax: mean 2, deviation 1. Price: mean 200.5, deviation 100. In the order of --target.
    let values = |values: &[f32]| {
        Targets::Values(TargetRows {
            values: values.to_vec(),
            width: 2,
        })
    };
    assert_eq!(
        *trained_on(&dataset).targets(),
        values(&[-1.0, -1.0, 1.0, 1.0])
    );
    assert_eq!(*dataset.held_out().targets(), values(&[-2.0, 5.0]));
    let details = dataset.info().details.as_ref().unwrap();
    assert_eq!(details["targets"]["mean"], serde_json::json!([2.0, 200.5]));

    let raw = load(&unscaled(held_out_in(spec, test)), 1).unwrap();
    assert_eq!(*raw.held_out().targets(), values(&[0.0, 700.5]));
}

#[test]
fn the_task_is_what_the_targets_look_like() {
    let files = Files::new();
    // Each value twice, so that classes have samples on both sides.
    let task = |values: &[&str], targets: &[&str]| {
        let header = "x,".to_owned() + &targets.join(",");
        let rows = values.iter().cycle().take(2 * values.len());
        let rows: Vec<String> = rows.enumerate().map(|(i, v)| format!("{i},{v}")).collect();
        let spec = files.csv(&format!("{header}\n{}\n", rows.join("\n")), targets);
        load(&spec, 1).unwrap().task()
    };
    let counted = |num: usize| -> Vec<String> { (0..num).map(|n| n.to_string()).collect() };
    let whole = |num: usize| {
        let values = counted(num);
        task(
            &values.iter().map(String::as_str).collect::<Vec<_>>(),
            &["y"],
        )
    };
    assert_eq!(task(&["no", "yes"], &["y"]), Task::Binary);
    assert_eq!(task(&["True", "False"], &["y"]), Task::Binary);
    assert_eq!(task(&["a", "b", "c"], &["y"]), Task::Classification);
    assert_eq!(whole(2), Task::Binary);
    assert_eq!(whole(MAX_INFERRED_CLASSES), Task::Classification);
    assert_eq!(whole(MAX_INFERRED_CLASSES + 1), Task::Regression);
    assert_eq!(task(&["0.5", "1", "2"], &["y"]), Task::Regression);
    assert_eq!(task(&["0,1", "1,1", "1,0"], &["y", "z"]), Task::MultiLabel);
    assert_eq!(task(&["0,true", "1,false"], &["y", "z"]), Task::MultiLabel);
    assert_eq!(task(&["0,2", "1,1", "1,0"], &["y", "z"]), Task::Regression);
}

#[test]
fn a_task_that_is_named_is_taken() {
    let files = Files::new();
    let spec = |text: &str| files.csv(text, &["y"]);
    let classes = of_task(spec("x,y\n1,10\n2,9\n3,9.0\n4,10\n"), Task::Classification);
    let classes = load(&classes, 1).unwrap();
    // By size, not by letters, and 9.0 is 9.
    assert_eq!(classes.class_names(), ["9", "10"]);
    let soft = of_task(spec("x,y\n1,0.25\n2,0.5\n3,1\n4,0\n"), Task::Binary);
    let soft = load(&soft, 1).unwrap();
    assert_eq!(soft.class_names(), ["0", "1"]);
    assert_eq!(soft.info().held_out, "0.2 drawn with the seed");
    let Targets::Soft(values) = trained_on(&soft).targets() else {
        panic!("{soft:?}")
    };
    assert!(values.iter().all(|p| [0.25, 0.5, 1.0, 0.0].contains(p)));
    let binary = of_task(spec("x,y\n1,no\n2,yes\n3,yes\n4,no\n"), Task::Binary);
    let binary = load(&binary, 1).unwrap();
    assert_eq!(binary.class_names(), ["no", "yes"]);
    assert_eq!(binary.num_outputs(), 1);
    let numbers = of_task(spec("x,y\n1,0\n2,1\n3,1\n"), Task::Regression);
    assert_eq!(load(&numbers, 1).unwrap().task(), Task::Regression);
    let labels = of_task(spec("x,y\n1,0\n2,1\n3,0.5\n"), Task::MultiLabel);
    assert_eq!(load(&labels, 1).unwrap().task(), Task::MultiLabel);
}

#[test]
fn csv_that_cannot_be_learned_from_is_refused_with_line_column_and_reason() {
    let files = Files::new();
    for (text, refusal) in [
        (
            "a,y\n1,0\n,1\n",
            "data.csv, line 3, column \"a\": it is empty (1 of 2 samples lack it): --missing drop \
             leaves such samples out, --missing mean puts the mean of the samples that are trained \
             on in their place",
        ),
        (
            "a,y\n1,0\n2,\n",
            "data.csv, line 3, column \"y\": it is empty (1 of 2 samples lack it): --missing drop \
             leaves such samples out",
        ),
        (
            "a,y\n1,0\nred,1\n",
            "data.csv, line 3, column \"a\": \"red\" is no number: --categorical a takes the column \
             as categories (--categorical alone every column of texts), --ignore a leaves it out",
        ),
        (
            "a,y\n1,1\nNaN,0\n",
            "data.csv, line 3, column \"a\": NaN stands for a missing value (1 of 2 samples lack \
             it): --missing drop leaves such samples out, --missing mean puts the mean of the \
             samples that are trained on in their place",
        ),
        (
            "a,y\n1e39,0\n",
            "data.csv, line 2, column \"a\": 1e39 is not finite, or too large for a 32-bit float \
             (--ignore a leaves the column out)",
        ),
        (
            "a,y\n\"1\n\",0\n2\n",
            "data.csv, line 4: it has 1 values, the first line names 2 columns",
        ),
        (
            "a,y\n1,0,3\n",
            "data.csv, line 2: it has 3 values, the first line names 2 columns",
        ),
        (
            "a,a,y\n1,2,3\n",
            "data.csv: there are two columns \"a\": give each a name of its own, since options and \
             results name columns",
        ),
        (
            "1,2\n3,4\n",
            "data.csv, line 1: it has only numbers: the first line has to name the columns",
        ),
        ("y\n1\n", "data.csv: no column is left to learn from"),
        ("a,y\n", "data.csv: it has no samples"),
        ("", "data.csv: there is no column \"y\" (columns: )"),
        (
            "a,z\n1,1\n",
            "data.csv: there is no column \"y\" (columns: a, z)",
        ),
        (
            "a,y\n1,0\n2,0\n",
            "data.csv, column \"y\": all samples are of one class, \"0\"",
        ),
        (
            "a,y\n1,a\n2,b\n3,c\n",
            "data.csv, column \"y\": no two samples are of one class: there is nothing to learn",
        ),
        (
            "a,y\n1,1.5\n2,o\n3,2.5\n",
            "data.csv, line 3, column \"y\": \"o\" is no number, as others in the column are: if \
             they are classes, say --task classification",
        ),
        (
            "a,y\n1,0\n2,1\n",
            "data.csv: it has too few samples to hold any of them out",
        ),
    ] {
        assert_eq!(files.refusal(&files.csv(text, &["y"])), refusal, "{text:?}");
    }
    let not_text = files.write("data.csv", b"a,y\n1,0\n\xff,1\n");
    let refusal = files.refusal(&FileSpec::new(FileFormat::Csv, not_text, &["y"]));
    assert!(
        refusal.starts_with("data.csv, line 3: it is no UTF-8 text"),
        "{refusal}"
    );
}

#[test]
fn a_column_that_is_not_there_is_told_with_the_one_that_is_meant() {
    let files = Files::new();
    let spec = files.csv(&flowers(), &["kinds"]);
    assert_eq!(
        files.refusal(&spec),
        "data.csv: there is no column \"kinds\"; did you mean kind? (columns: length, width, kind)"
    );
    let ignored = |ignored: &str| FileSpec {
        ignored: vec![ignored.to_owned()],
        ..files.csv(&flowers(), &["kind"])
    };
    assert!(
        files
            .refusal(&ignored("widht"))
            .contains("did you mean width?")
    );
    let narrow = load(&ignored("width"), 1).unwrap();
    assert_eq!(narrow.num_inputs(), 1);
    // What is left out may be anything.
    let mut named = ignored("name");
    fs::write(&named.path, "name,a,y\nx,1,0\n,2,1\nz,3,0\nz,4,1\n").unwrap();
    named.targets = vec!["y".to_owned()];
    assert_eq!(load(&named, 1).unwrap().num_inputs(), 1);
}

#[test]
fn targets_that_do_not_fit_the_task_are_refused() {
    let files = Files::new();
    let refusal = |text: &str, targets: &[&str], task| {
        files.refusal(&of_task(files.csv(text, targets), task))
    };
    assert_eq!(
        refusal("a,y\n1,0\n2,1\n3,2\n", &["y"], Task::Binary),
        "data.csv, line 4, column \"y\": \"2\" is no probability, and there are 3 different values: \
         binary needs two classes, or probabilities"
    );
    assert_eq!(
        refusal("a,y,z\n1,0,1\n2,1,3\n", &["y", "z"], Task::MultiLabel),
        "data.csv, line 3, column \"z\": 3 is no label: it has to be 0 or 1, or a probability \
         between them"
    );
    assert_eq!(
        refusal("a,y\n1,0\n2,high\n", &["y"], Task::Regression),
        "data.csv, line 3, column \"y\": \"high\" is no number"
    );
    assert_eq!(
        files.refusal(&files.csv("a,y,z\n1,0,1\n2,1,b\n", &["y", "z"])),
        "data.csv, line 3, column \"z\": \"b\" is no number: several targets are numbers, or labels \
         that are 0 or 1"
    );
}

#[test]
fn held_out_samples_have_the_columns_and_classes_of_those_that_are_trained_on() {
    let files = Files::new();
    let refusal = |test: &str| {
        let test = files.write("test.csv", test);
        files.refusal(&held_out_in(files.csv(&flowers(), &["kind"]), test))
    };
    assert_eq!(
        refusal("length,width,kind\n1,2,setosa\n1,2,setossa\n"),
        "test.csv, line 3, column \"kind\": no sample that is trained on is of class \"setossa\"; \
         did you mean setosa?"
    );
    let refused = refusal("width,length,kind\n1,2,setosa\n");
    assert!(
        refused.starts_with("test.csv: column \"width\" stands where "),
        "{refused}"
    );
    let refused = refusal("length,kind\n1,setosa\n");
    assert!(
        refused.starts_with("test.csv: a sample has 1 inputs, in "),
        "{refused}"
    );
    assert_eq!(
        refusal("length,width,kind\n"),
        "test.csv: it has no samples"
    );
}

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
    let source = |text: &str| text.parse::<crate::dataset::DatasetSource>();
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

fn parquet_bytes(columns: Vec<(&str, ArrayRef)>, compression: Compression) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn parquet_says_the_same_as_csv_whatever_its_types_and_compression() {
    let files = Files::new();
    let csv = "a,b,c,y\n1,0.5,true,no\n-2,1.5,false,yes\n3,2.5,true,no\n4,-1,false,yes\n";
    let from_csv = load(&files.csv(csv, &["y"]), 1).unwrap();
    let kinds: DictionaryArray<Int32Type> = ["no", "yes", "no", "yes"].into_iter().collect();
    let texts = StringArray::from(vec!["no", "yes", "no", "yes"]);
    let targets: [ArrayRef; 2] = [Arc::new(kinds), Arc::new(texts)];
    let codecs = [Compression::SNAPPY, Compression::LZ4_RAW];
    for (target, compression) in targets.into_iter().zip(codecs) {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a", Arc::new(Int64Array::from(vec![1, -2, 3, 4]))),
            ("b", Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5, -1.0]))),
            (
                "c",
                Arc::new(BooleanArray::from(vec![true, false, true, false])),
            ),
            ("y", target),
        ];
        let file = files.write("data.parquet", parquet_bytes(columns, compression));
        let spec = FileSpec::new(FileFormat::Parquet, file, &["y"]);
        let dataset = load(&spec, 1).unwrap();
        assert_eq!(dataset.held_out(), from_csv.held_out());
        assert_eq!(trained_on(&dataset), trained_on(&from_csv));
        assert_eq!(dataset.class_names(), ["no", "yes"]);
    }
}

#[test]
fn parquet_that_cannot_be_learned_from_is_refused_with_row_column_and_reason() {
    let files = Files::new();
    let ones: ArrayRef = Arc::new(Int64Array::from(vec![0, 1]));
    let refusal = |bytes: Vec<u8>| {
        let file = files.write("data.parquet", bytes);
        files.refusal(&FileSpec::new(FileFormat::Parquet, file, &["y"]))
    };
    let of_input = |input: ArrayRef| {
        let columns = vec![("a", input), ("y", Arc::clone(&ones))];
        refusal(parquet_bytes(columns, Compression::UNCOMPRESSED))
    };
    assert_eq!(
        of_input(Arc::new(Float64Array::from(vec![Some(1.0), None]))),
        "data.parquet, row 1 (from 0), column \"a\": it is null (1 of 2 samples lack it): --missing \
         drop leaves such samples out, --missing mean puts the mean of the samples that are trained \
         on in their place"
    );
    assert_eq!(
        of_input(Arc::new(Float64Array::from(vec![f64::NAN, 1.0]))),
        "data.parquet, row 0 (from 0), column \"a\": NaN stands for a missing value (1 of 2 samples \
         lack it): --missing drop leaves such samples out, --missing mean puts the mean of the \
         samples that are trained on in their place"
    );
    assert_eq!(
        of_input(Arc::new(Float64Array::from(vec![f64::INFINITY, 1.0]))),
        "data.parquet, row 0 (from 0), column \"a\": inf is not finite, or too large for a 32-bit \
         float"
    );
    assert_eq!(
        of_input(Arc::new(StringArray::from(vec!["1", "2"]))),
        "data.parquet, column \"a\": it is of type Utf8, inputs are numbers: --categorical a takes it \
         as categories (--categorical alone every column of texts), --ignore a leaves it out"
    );
    let lists = ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0)]); 2]);
    let list: ArrayRef = Arc::new(lists);
    assert!(of_input(Arc::clone(&list)).contains("inputs are numbers"));
    let columns = vec![("a", Arc::clone(&ones)), ("y", list)];
    let of_target = refusal(parquet_bytes(columns, Compression::UNCOMPRESSED));
    assert!(
        of_target.contains("what is predicted are numbers or texts"),
        "{of_target}"
    );
    let without = refusal(parquet_bytes(vec![("a", ones)], Compression::UNCOMPRESSED));
    assert!(without.contains("there is no column \"y\""), "{without}");
    let not_parquet = refusal(b"a,y\n1,0\n".to_vec());
    assert!(not_parquet.starts_with("data.parquet: "), "{not_parquet}");
}

/// An IDX file of bytes.
fn idx_bytes(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0x08, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), GzipLevel::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx(path: PathBuf) -> FileSpec {
    FileSpec::new(FileFormat::Idx, path, &[])
}

#[test]
fn idx_files_are_found_by_their_usual_names_compressed_or_not() {
    let images = idx_bytes(&[3, 1, 2], &[0, 51, 255, 0, 102, 51]);
    let labels = idx_bytes(&[3], &[7, 3, 7]);
    let test_images = idx_bytes(&[1, 1, 2], &[255, 255]);
    let test_labels = idx_bytes(&[1], &[3]);
    for (separator, end) in [("-", ""), ("-", ".gz"), (".", ""), (".", ".gz")] {
        let files = Files::new();
        let write = |set: &str, what: &str, dimensions: u8, bytes: &[u8]| {
            let name = format!("{set}-{what}{separator}idx{dimensions}-ubyte{end}");
            match end {
                "" => files.write(&name, bytes),
                _ => files.write(&name, gzip(bytes)),
            }
        };
        let train = write("train", "images", 3, &images);
        write("train", "labels", 1, &labels);
        // With a test set, that is held out; without, a share.
        let spec = idx(files.0.path().to_owned());
        let shared = load(&spec, 1).unwrap();
        assert_eq!((shared.num_train(), shared.held_out().len()), (2, 1));
        let test = write("t10k", "images", 3, &test_images);
        write("t10k", "labels", 1, &test_labels);
        for spec in [spec, held_out_in(idx(train), test.clone())] {
            let dataset = load(&spec, 1).unwrap();
            assert_eq!((dataset.num_train(), dataset.held_out().len()), (3, 1));
            assert_eq!(
                dataset.info().held_out,
                format!("all of {}", test.display())
            );
            assert_eq!(
                trained_on(&dataset).inputs(),
                [0.0, 0.2, 1.0, 0.0, 0.4, 0.2]
            );
            assert_eq!(dataset.class_names(), ["3", "7"]);
            assert_eq!(dataset.held_out().targets(), &Targets::Soft(vec![0.0]));
            // The same bytes make the same data.
            let again = Dataset::from_info(dataset.info(), 1).unwrap();
            assert_eq!(again.held_out(), dataset.held_out());
        }
    }
}

#[test]
fn idx_of_every_type_is_read() {
    let files = Files::new();
    let labels = files.write("labels", idx_bytes(&[4], &[0, 1, 0, 1]));
    let numbers = [-2i8, -1, 1, 2];
    let typed: [(u8, Vec<u8>); 5] = [
        (0x09, numbers.iter().flat_map(|n| n.to_be_bytes()).collect()),
        (
            0x0b,
            numbers
                .iter()
                .flat_map(|&n| i16::from(n).to_be_bytes())
                .collect(),
        ),
        (
            0x0c,
            numbers
                .iter()
                .flat_map(|&n| i32::from(n).to_be_bytes())
                .collect(),
        ),
        (
            0x0d,
            numbers
                .iter()
                .flat_map(|&n| f32::from(n).to_be_bytes())
                .collect(),
        ),
        (
            0x0e,
            numbers
                .iter()
                .flat_map(|&n| f64::from(n).to_be_bytes())
                .collect(),
        ),
    ];
    for (kind, values) in typed {
        let mut bytes = idx_bytes(&[4, 1], &values);
        bytes[2] = kind;
        let spec = FileSpec {
            labels: Some(labels.clone()),
            ..unscaled(idx(files.write("numbers", bytes)))
        };
        let dataset = load(&spec, 1).unwrap();
        let sides = [trained_on(&dataset).inputs(), dataset.held_out().inputs()];
        let mut values = sides.concat();
        values.sort_by(f32::total_cmp);
        assert_eq!(values, [-2.0, -1.0, 1.0, 2.0], "{kind:#x}");
    }
}

#[test]
fn idx_that_cannot_be_learned_from_is_refused() {
    let files = Files::new();
    let images = idx_bytes(&[4, 2, 1], &[1, 2, 3, 4, 5, 6, 7, 8]);
    let labels = idx_bytes(&[4], &[0, 1, 0, 1]);
    let refusal = |images: &[u8], labels: &[u8]| {
        let images = files.write("images", images);
        files.write("labels", labels);
        files.refusal(&idx(images))
    };
    let changed = |at: usize, byte: u8| {
        let mut bytes = images.clone();
        bytes[at] = byte;
        bytes
    };
    let longer = [&images[..], &[9]].concat();
    for (images, refused) in [
        (
            b"\x89PNG\r\n".to_vec(),
            "images: it is no IDX file: it begins with 89 50 4e 47, not with 00 00, a type (08 for \
             bytes) and the number of dimensions",
        ),
        (
            gzip(&gzip(&images)),
            "images: it is no IDX file: it begins with 1f 8b 08 00, not with 00 00, a type (08 for \
             bytes) and the number of dimensions: it was packed by gzip twice, unpack it once",
        ),
        (
            b"<html>".to_vec(),
            "images: it is no IDX file: it begins with 3c 68 74 6d, not with 00 00, a type (08 for \
             bytes) and the number of dimensions: it is a web page, get the file that it is about",
        ),
        (
            vec![3, 8, 0, 0, 4, 0, 0, 0],
            "images: it is no IDX file: it begins with 03 08 00 00, not with 00 00, a type (08 for \
             bytes) and the number of dimensions: its sizes have their lowest byte first, write the \
             highest first",
        ),
        (
            changed(2, 0x07),
            "images: it is no IDX file: it begins with 00 00 07 03, not with 00 00, a type (08 for \
             bytes) and the number of dimensions",
        ),
        (
            images[..21].to_vec(),
            "images, row 2 (from 0): the file is cut off here: it has 5 of 8 bytes of values",
        ),
        (
            images[..9].to_vec(),
            "images: it is cut off within its first bytes",
        ),
        (
            longer,
            "images: it goes on after the 8 bytes of values that its first bytes say",
        ),
        (
            labels.clone(),
            "images: it has one dimension, as labels have: images have more",
        ),
        (
            idx_bytes(&[4, 0, 1], &[]),
            "images: its first bytes give it the impossible sizes [4, 0, 1]",
        ),
        (idx_bytes(&[0, 2, 1], &[]), "labels: it has 4 labels, "),
    ] {
        let refusal = refusal(&images, &labels);
        assert!(refusal.starts_with(refused), "{refusal}");
    }
    let few = refusal(&images, &idx_bytes(&[3], &[0, 1, 0]));
    assert_eq!(few, "labels: it has 3 labels, images has 4 images");
    let square = refusal(&images, &images);
    assert_eq!(square, "labels: it has 3 dimensions, labels have one");
    let mut cut = gzip(&images);
    cut.truncate(cut.len() / 2);
    let cut = refusal(&cut, &labels);
    assert!(
        cut.starts_with("images") && cut.contains("cut off"),
        "{cut}"
    );
    let mut damaged = gzip(&images);
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0xff);
    let damaged = refusal(&damaged, &labels);
    assert!(
        damaged.contains("damaged") || damaged.contains("cut off"),
        "{damaged}"
    );
    let none = refusal(&idx_bytes(&[0, 2, 1], &[]), &idx_bytes(&[0], &[]));
    assert_eq!(none, "images: it has no samples");

    // A label that no sample that is trained on has, and a file that has none.
    let train = files.write("train-images", &images);
    files.write("train-labels", &labels);
    let test = files.write("test-images", &images);
    files.write("test-labels", idx_bytes(&[4], &[0, 1, 10, 1]));
    assert_eq!(
        files.refusal(&held_out_in(idx(train), test)),
        "test-labels, row 2 (from 0): no sample that is trained on is of class \"10\""
    );
    let lonely = files.write("pictures", &images);
    assert_eq!(
        files.refusal(&idx(lonely)),
        "pictures: there is no file of labels that goes with its name: give --labels FILE"
    );
    let empty = TempDir::new().unwrap();
    let refused = load(&idx(empty.path().to_owned()), 1)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("has no train-images-idx3-ubyte"),
        "{refused}"
    );
}

#[test]
fn a_file_is_found_again_and_one_that_changed_is_told() {
    let files = Files::new();
    let spec = DatasetSpec::from(files.csv(&flowers(), &["kind"]));
    let recorded = Dataset::open(&spec, 7, 64).unwrap();
    let again = Dataset::from_info(recorded.info(), 7).unwrap();
    assert_eq!(again.held_out(), recorded.held_out());
    assert_eq!(again.info(), recorded.info());
    let path = &spec.file().unwrap().path;
    // What is left out of the samples counts as well: the bytes are compared.
    fs::write(path, flowers() + "\n").unwrap();
    assert!(matches!(
        Dataset::from_info(recorded.info(), 7),
        Err(DatasetError::Changed {
            field: "checksum",
            ..
        })
    ));
    fs::remove_file(path).unwrap();
    assert!(matches!(
        Dataset::from_info(recorded.info(), 7),
        Err(DatasetError::Read { .. })
    ));
    let mut info = recorded.info().clone();
    info.details = None;
    assert!(matches!(
        Dataset::from_info(&info, 7),
        Err(DatasetError::Options(_))
    ));
}

#[test]
fn a_run_is_called_after_its_data() {
    let name = |text: &str| {
        let spec = match text.parse().unwrap() {
            crate::dataset::DatasetSource::BuiltIn(kind) => DatasetSpec::BuiltIn(kind),
            crate::dataset::DatasetSource::File(format, path) => {
                FileSpec::new(format, path, &[]).into()
            }
        };
        spec.run_name()
    };
    assert_eq!(name("digits"), "digits");
    assert_eq!(name("csv:data/iris.csv"), "iris");
    assert_eq!(name("idx:/data/mnist"), "mnist");
    assert_eq!(name("idx:/"), "data");
}
