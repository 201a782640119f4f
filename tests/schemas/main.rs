//! `schemas/` says what the format is, and the code is held to it: columns, Parquet types, names
//! of metrics, JSON, checksums.
//!
//! The documents are what is expected. What they are compared with comes from the library's own
//! schemas where it declares them, and otherwise from a run that the recorder made.

mod json;
mod json_schema;
mod markdown;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::printer::print_schema;
use sink::Part;
use stratigraph::{binaries, run, workspace_root};
use tempfile::TempDir;
use trace::{
    CaptureId, Catalog, Epoch, FORMAT_KEY, FORMAT_VERSION, Generation, Group, LayerLabel, PartPath,
    Publisher, Rank, RunDir, Step, Table,
};

use markdown::Document;

/// A short run of the notebook's network, recorded with everything that there is to record.
fn record() -> Result<(TempDir, RunDir)> {
    let dir = TempDir::new()?;
    let path = dir.path().join("run");
    let arguments = [
        "train",
        "--dataset",
        "notebook",
        "--epochs",
        "3",
        "--device",
        "cpu",
    ];
    let mut recorder = Command::new(&binaries().recorder);
    run(recorder.args(arguments).arg("--out").arg(&path)).expect_success();
    Ok((dir, RunDir::open(&path)?))
}

/// A column's type as the documents spell it.
fn spelled(data_type: &DataType) -> String {
    match data_type {
        DataType::List(item) => {
            let null = if item.is_nullable() { "" } else { " not null" };
            format!("List<{}: {}{null}>", item.name(), spelled(item.data_type()))
        }
        DataType::Timestamp(TimeUnit::Millisecond, Some(zone)) => format!("Timestamp(ms, {zone})"),
        DataType::Boolean
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8 => data_type.to_string(),
        other => panic!("no document spells {other}"),
    }
}

/// Name, type and whether it may be null of every column.
fn columns(fields: &Fields) -> Vec<Vec<String>> {
    let cells = |field: &Arc<Field>| {
        let null = if field.is_nullable() { "yes" } else { "no" };
        vec![
            field.name().clone(),
            spelled(field.data_type()),
            null.to_owned(),
        ]
    };
    fields.iter().map(cells).collect()
}

/// A part file with one row.
fn part_file(table: Table) -> Result<File> {
    let schema = table.schema();
    let one = |field: &Arc<Field>| -> ArrayRef {
        match field.data_type() {
            DataType::Boolean => Arc::new(BooleanArray::from(vec![true])),
            DataType::Int32 => Arc::new(Int32Array::from(vec![1])),
            DataType::Int64 => Arc::new(Int64Array::from(vec![1])),
            DataType::Float32 => Arc::new(Float32Array::from(vec![0.5])),
            DataType::Float64 => Arc::new(Float64Array::from(vec![0.5])),
            DataType::Utf8 => Arc::new(StringArray::from(vec!["loss"])),
            DataType::List(item) => {
                let values = Arc::new(Float32Array::from(vec![0.5, 0.25]));
                let offsets = OffsetBuffer::from_lengths([2]);
                Arc::new(ListArray::new(Arc::clone(item), offsets, values, None))
            }
            other => panic!("no table has a column of type {other}"),
        }
    };
    let values = schema.fields().iter().map(one).collect();
    let layer = || LayerLabel::try_new("L_output");
    let path = PartPath {
        table,
        epoch: Epoch(0),
        layer: table.has_layer().then(layer).transpose()?,
        step: Step(1),
        rank: Rank(0),
        generation: Generation(0),
        sequence: 0,
        nonce: None,
    };
    let rows = RecordBatch::try_new(schema, values)?;
    let part = Part { path, rows };
    Ok(sink::encode_part(&part, sink::Compress::Auto, tempfile::tempfile()?)?.output)
}

fn footer(file: File) -> Result<ParquetMetaData> {
    Ok(SerializedFileReader::new(file)?.metadata().clone())
}

fn message(footer: &ParquetMetaData) -> Result<String> {
    let mut text = Vec::new();
    print_schema(&mut text, footer.file_metadata().schema());
    Ok(format!("{}\n", String::from_utf8(text)?.trim_end()))
}

fn footer_key<'a>(footer: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let pairs = footer.file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
}

#[test]
fn tables_have_the_documented_columns() -> Result<()> {
    for table in Table::ALL {
        let document = Document::read(&format!("{table}.md"))?;
        let stored = columns(table.schema().fields());
        assert_eq!(document.cells("Columns", 3)?, stored, "{table}");
        let in_the_path = columns(&table.partition_fields().into());
        assert_eq!(document.cells("Partitions", 3)?, in_the_path, "{table}");
    }
    Ok(())
}

#[test]
fn part_files_have_the_documented_parquet_schema_and_order() -> Result<()> {
    for table in Table::ALL {
        let document = Document::read(&format!("{table}.md"))?;
        let footer = footer(part_file(table)?)?;
        assert_eq!(document.fenced("Parquet")?, message(&footer)?, "{table}");

        let leaves = footer.file_metadata().schema_descr().columns();
        let sorted_by: Vec<&str> = footer
            .row_group(0)
            .sorting_columns()
            .context("the footer does not say how the rows are sorted")?
            .iter()
            .map(|column| leaves[column.column_idx as usize].name())
            .collect();
        assert_eq!(document.words("Order")?, sorted_by, "{table}");
    }
    Ok(())
}

#[test]
fn rollups_have_the_documented_columns_and_parquet_schema() -> Result<()> {
    let document = Document::read("checkpoint.md")?;
    let schema = trace::rollup_schema();
    assert_eq!(document.cells("Columns", 3)?, columns(schema.fields()));

    let (_dir, run) = record()?;
    let footer = footer(File::open(rollup_file(&run)?)?)?;
    assert_eq!(document.fenced("Parquet")?, message(&footer)?);
    Ok(())
}

/// Commits as often as it takes until there is a roll-up.
fn rollup_file(run: &RunDir) -> Result<PathBuf> {
    let mut publisher = Publisher::try_new(run, Rank(0), None)?;
    for step in 0..=trace::MAX_SEALED_SEGMENTS as i64 {
        let id = CaptureId {
            epoch: Epoch(3),
            step: Step(step),
        };
        publisher.publish(Group {
            captures: vec![id],
            ..Group::default()
        })?;
    }
    publisher.seal()?;
    let files = commit_files(run, "parquet")?;
    files.into_iter().next().context("nothing was rolled up")
}

fn commit_files(run: &RunDir, extension: &str) -> Result<Vec<PathBuf>> {
    with_extension(&run.commits_dir(), extension)
}

/// The files of a directory that end in `.extension`, in order.
fn with_extension(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort_unstable();
    Ok(paths)
}

#[tokio::test]
async fn the_query_tables_have_the_documented_columns() -> Result<()> {
    let document = Document::read("query-tables.md")?;
    let (_dir, run) = record()?;
    let session = sql::Run::open(run.path())?.session(sql::SessionOptions::default())?;
    for table in ["layers", "neurons", "commits"] {
        let rows = session.sql(&format!("SELECT * FROM {table}")).await?;
        assert_eq!(
            document.cells(table, 3)?,
            columns(rows.schema().fields()),
            "{table}"
        );
    }
    Ok(())
}

#[test]
fn a_run_writes_the_documented_metrics() -> Result<()> {
    let (_dir, run) = record()?;
    let mut written = BTreeSet::new();
    for file in Catalog::load(&run)?
        .files()
        .filter(|f| f.table == "metrics")
    {
        let file = File::open(run.path().join(file.path))?;
        for rows in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
            let rows = rows?;
            let (phases, names) = (
                rows["phase"].as_string::<i32>(),
                rows["name"].as_string::<i32>(),
            );
            for (phase, name) in phases.iter().zip(names) {
                written.insert((
                    phase.unwrap_or("null").to_owned(),
                    name.context("a name")?.to_owned(),
                ));
            }
        }
    }

    let mut documented = BTreeSet::new();
    for row in Document::read("metrics.md")?.table("Names")? {
        let [name, phases, unit, _meaning] = &row[..] else {
            panic!("{row:?} is no name, phases, unit and meaning");
        };
        // A unit in a name is the unit.
        for (ending, of_ending) in [("_ms", "ms"), ("_bytes", "bytes")] {
            assert_eq!(name.ends_with(ending), unit == of_ending, "{name}");
        }
        documented.extend(
            phases
                .split(", ")
                .map(|phase| (phase.to_owned(), name.clone())),
        );
    }
    assert_eq!(documented, written);
    Ok(())
}

#[test]
fn the_documented_version_is_the_one_that_is_written() -> Result<()> {
    let says = format!("This is version **{FORMAT_VERSION}** of the format.");
    assert!(Document::read("README.md")?.text().contains(&says));
    for table in Table::ALL {
        let footer = footer(part_file(table)?)?;
        assert_eq!(
            footer_key(&footer, FORMAT_KEY),
            Some(FORMAT_VERSION.to_string().as_str())
        );
        // What is not there is documented, too.
        assert_eq!(footer_key(&footer, "ARROW:schema"), None);
    }
    Ok(())
}

#[test]
fn every_query_file_is_listed_and_tested() -> Result<()> {
    let stems = |dir: &str, extension: &str| -> Result<BTreeSet<String>> {
        let paths = with_extension(&workspace_root().join(dir), extension)?;
        let stem = |path: &PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
        Ok(paths.iter().filter_map(stem).collect())
    };
    let queries = stems("queries", "sql")?;
    assert!(!queries.is_empty());

    let list = run(Command::new(&binaries().query).arg("list")).expect_success();
    let listed = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    assert_eq!(listed.map(str::to_owned).collect::<BTreeSet<_>>(), queries);

    let tested = stems("tests/slt", "slt")?;
    let untested: Vec<_> = queries.difference(&tested).collect();
    assert!(
        untested.is_empty(),
        "{untested:?} have no file in tests/slt"
    );
    Ok(())
}
