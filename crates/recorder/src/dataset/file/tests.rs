use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use flate2::Compression as GzipLevel;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::dataset::{DatasetSpec, TargetRows, Targets, Task};

mod csv;
mod dialects;
mod exact;
mod hostile;
mod idx;
mod index;
mod missing;
mod options;
mod parquet;
mod places;
mod quotes;
mod scale;
mod split;
mod targets;

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

fn parquet_bytes(columns: Vec<(&str, ArrayRef)>, compression: Compression) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
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
