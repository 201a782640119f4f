//! What reads data sets: CSV, Parquet, IDX.

use std::fs;
use std::path::Path;

use recorder::{ALL_TEXTS, Dataset, DatasetSpec, FileFormat, FileSpec, Missing};
use trace::with_causes;

/// Labels of so many images are made.
const MAX_LABELS: usize = 4096;

/// A CSV file, whose last column is predicted.
pub fn csv(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default();
    let mut columns = line.rsplit([',', ';', '\t', '|']);
    let column = columns.next().unwrap_or_default();
    let target = column.trim().trim_matches('"').trim();
    open(FileFormat::Csv, "data.csv", bytes, &[target]);
}

/// A Parquet file, whose column `class` is predicted.
pub fn parquet(bytes: &[u8]) {
    open(FileFormat::Parquet, "data.parquet", bytes, &["class"]);
}

/// An IDX file of images, with as many labels as its first bytes ask for; and as labels of images.
pub fn idx(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let images = dir.path().join("train-images-idx3-ubyte");
    let labels = dir.path().join("train-labels-idx1-ubyte");
    let size = bytes.get(4..8).and_then(|size| size.try_into().ok());
    let num_labels = size.map_or(0, |size| u32::from_be_bytes(size) as usize);
    let num_labels = num_labels.min(MAX_LABELS);
    let mut of_labels = vec![0, 0, 8, 1];
    of_labels.extend((num_labels as u32).to_be_bytes());
    of_labels.extend((0..num_labels).map(|label| (label % 3) as u8));
    fs::write(&images, bytes).expect("a file in it");
    fs::write(&labels, &of_labels).expect("a file in it");
    read(&FileSpec::new(FileFormat::Idx, &images, &[]), bytes.len());

    let mut of_images = vec![0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2];
    of_images.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    fs::write(&images, of_images).expect("a file in it");
    fs::write(&labels, bytes).expect("a file in it");
    read(&FileSpec::new(FileFormat::Idx, &images, &[]), bytes.len());
}

fn open(format: FileFormat, name: &str, bytes: &[u8], targets: &[&str]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join(Path::new(name));
    fs::write(&path, bytes).expect("a file in it");
    read(&FileSpec::new(format, path, targets), bytes.len());
}

/// Reads a file as it looks, and in one of the other ways.
fn read(spec: &FileSpec, draw: usize) {
    let is_table = spec.format != FileFormat::Idx;
    let texts: &[&str] = if is_table { &[ALL_TEXTS] } else { &[] };
    let other = FileSpec {
        categorical: texts.iter().copied().map(str::to_owned).collect(),
        missing: match draw % 3 {
            _ if !is_table => Missing::Error,
            0 => Missing::Error,
            1 => Missing::Drop,
            _ => Missing::Mean,
        },
        ..spec.clone()
    };
    for spec in [spec.clone(), other] {
        match Dataset::open(&DatasetSpec::from(spec), 0, 1) {
            Ok(dataset) => {
                _ = format!("{:?} {:?}", dataset.info(), dataset.notes());
                // Whatever the file has, what a network is given are numbers.
                let inputs = dataset.held_out().inputs();
                assert!(inputs.iter().all(|value| value.is_finite()));
            }
            Err(error) => told(&error),
        }
    }
}

/// An error is told with its causes, as programs do.
fn told(error: &dyn std::error::Error) {
    _ = with_causes(error);
}
