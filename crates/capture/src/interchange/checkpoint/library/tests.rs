use std::path::PathBuf;

use safetensors::Dtype;
use tempfile::TempDir;

use super::super::{Checkpoint, CheckpointError};
use super::*;
use crate::interchange::testing::{Foreign, TestLibrary, floats, tensor, write, write_index};

fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open(path, Some(&TestLibrary::default()))
}

fn refused(path: &Path) -> String {
    open(path).unwrap_err().to_string()
}

fn files() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("m-1.pt");
    (dir, path)
}

#[test]
fn values_are_those_that_the_library_hands_over() {
    let (_dir, path) = files();
    let bf16 = [0x80, 0x3f, 0xc0, 0x7f];
    Foreign::new(&[
        floats("a", &[2, 1], &[1.5, f32::NEG_INFINITY]),
        tensor("b", Dtype::BF16, &[2], &bf16),
    ])
    .at(Some(3), None)
    .write(&path);
    let checkpoint = open(&path).unwrap();
    assert_eq!(checkpoint.tensor("a").unwrap().shape, [2, 1]);
    assert_eq!(checkpoint.tensor("b").unwrap().dtype, Dtype::BF16);
    assert_eq!(checkpoint.file_of("b"), Some(path.as_path()));
    let numbers = checkpoint.numbers().unwrap();
    assert_eq!((numbers.epoch, numbers.step), (Some(3), None));
    let mut values = checkpoint.values(false);
    let b = values.read("b").unwrap();
    assert_eq!((b[0], b[1].to_bits()), (1.0, 0x7fc0_0000));
    assert_eq!(values.read("a").unwrap(), [1.5, f32::NEG_INFINITY]);
}

#[test]
fn shards_may_be_of_both_kinds() {
    let dir = TempDir::new().unwrap();
    write(
        &dir.path().join("one.safetensors"),
        &[floats("a", &[1], &[1.0])],
    );
    Foreign::new(&[floats("b", &[1], &[2.0])]).write(&dir.path().join("two.bin"));
    let index = dir.path().join("m-1.bin.index.json");
    write_index(&index, &[("a", "one.safetensors"), ("b", "two.bin")]);
    let checkpoint = open(&index).unwrap();
    let mut values = checkpoint.values(false);
    assert_eq!(values.read("a").unwrap(), [1.0]);
    assert_eq!(values.read("b").unwrap(), [2.0]);
    assert!(checkpoint.numbers().is_none());
}

#[test]
fn what_the_library_does_not_read_is_told_with_the_file() {
    let (_dir, path) = files();
    std::fs::write(&path, b"PK\x03\x04 torn and more").unwrap();
    let torn = format!("{}: it is torn, save it again", path.display());
    assert_eq!(refused(&path), torn);
    Foreign::new(&[floats("a", &[1], &[])]).write(&path);
    let checkpoint = open(&path).unwrap();
    let gone = checkpoint.values(false).read("a").unwrap_err().to_string();
    assert_eq!(gone, format!("{}: tensor a: it is gone", path.display()));
}

#[test]
fn a_type_that_cannot_be_recorded_is_told_with_the_tensor() {
    let (_dir, path) = files();
    let mut foreign = Foreign::new(&[floats("a", &[1], &[1.0])]);
    foreign.tensors[0].1 = "torch.odd".to_owned();
    foreign.write(&path);
    let message = refused(&path);
    assert!(
        message.contains("tensor a is of type torch.odd, which cannot be recorded"),
        "{message}"
    );
}

#[test]
fn without_a_library_its_files_are_refused_with_what_reads_them() {
    let (_dir, path) = files();
    Foreign::new(&[]).write(&path);
    let message = Checkpoint::open(&path, None).unwrap_err().to_string();
    assert!(
        message.contains("is a zip file, as torch.save"),
        "{message}"
    );
    assert!(
        message.contains("stratigraph_nn.import_checkpoints"),
        "{message}"
    );
}

#[test]
fn what_no_library_reads_is_neither() {
    let (dir, path) = files();
    std::fs::write(&path, [7u8; 600]).unwrap();
    let message = refused(&path);
    assert!(
        message.contains("is neither a safetensors file nor one that torch.save wrote"),
        "{message}"
    );
    // Its name says what it should be.
    let named = dir.path().join("m-1.safetensors");
    std::fs::write(&named, [7u8; 600]).unwrap();
    assert!(refused(&named).contains("is no safetensors file"));
}

#[test]
fn a_file_that_was_written_to_since_is_refused() {
    let (_dir, path) = files();
    let foreign = Foreign::new(&[floats("a", &[1], &[1.0])]);
    foreign.write(&path);
    let checkpoint = open(&path).unwrap();
    foreign.at(Some(1000), None).write(&path);
    let error = checkpoint.values(false).read("a").unwrap_err();
    assert!(matches!(error, CheckpointError::Changed { .. }), "{error}");
    // The library hands over less than the shape says.
    Foreign::new(&[floats("a", &[2], &[1.0])]).write(&path);
    let checkpoint = open(&path).unwrap();
    let error = checkpoint.values(false).read("a").unwrap_err();
    assert!(matches!(error, CheckpointError::Changed { .. }), "{error}");
}
