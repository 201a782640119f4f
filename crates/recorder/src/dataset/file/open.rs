//! The files of a data set: their bytes, their checksum, and the tables that they hold.

use std::path::{Path, PathBuf};

use trace::Crc32c;

use crate::dataset::raw::{RawTable, ReadFile, refuse};
use crate::dataset::spec::{FileFormat, FileSpec, HeldOutRule};
use crate::dataset::{DatasetError, csv, idx, parquet};

/// The bytes of the files that are asked for.
pub(in crate::dataset) struct Opened {
    pub(super) spec: FileSpec,
    /// With every path absolute, and every file named.
    pub(super) resolved: FileSpec,
    /// Samples, their labels where those have a file, held-out ones, and theirs.
    files: Vec<(PathBuf, Vec<u8>)>,
    num_bytes: u64,
    crc32c: Crc32c,
}

/// What is trained on, and what is held out where that is a file's.
pub(super) type Tables = (RawTable, Option<RawTable>);

impl Opened {
    /// Reads the files.
    pub(in crate::dataset) fn open(spec: &FileSpec) -> Result<Self, DatasetError> {
        spec.check()?;
        let (mut resolved, paths) = find(spec)?;
        for path in resolved.paths_mut() {
            *path = absolute(path)?;
        }
        let mut crc32c = Crc32c::of(&[]);
        let mut num_bytes = 0;
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let bytes = read(&path)?;
            num_bytes += bytes.len() as u64;
            crc32c = crc32c.append(&bytes);
            files.push((path, bytes));
        }
        Ok(Self {
            spec: spec.clone(),
            resolved,
            files,
            num_bytes,
            crc32c,
        })
    }

    /// How many bytes the files have.
    pub(super) fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    /// The checksum of all bytes, one file after the other.
    pub(in crate::dataset) fn crc32c(&self) -> Crc32c {
        self.crc32c
    }

    /// What the files say.
    pub(super) fn tables(&mut self) -> Result<Tables, DatasetError> {
        let (train, held_out) = match self.spec.format {
            FileFormat::Idx => self.images()?,
            FileFormat::Csv => self.columns(csv::read)?,
            FileFormat::Parquet => {
                self.columns(|file, bytes, spec| parquet::read(file, bytes.into(), spec))?
            }
        };
        for table in [Some(&train), held_out.as_ref()].into_iter().flatten() {
            if table.num_rows() == 0 {
                return Err(refuse(&table.file, "it has no samples"));
            }
        }
        Ok((train, held_out))
    }

    /// What pairs of images and labels say.
    fn images(&mut self) -> Result<Tables, DatasetError> {
        let mut files = std::mem::take(&mut self.files).into_iter();
        let mut pair = || -> Result<Option<RawTable>, DatasetError> {
            let Some((images, of_images)) = files.next() else {
                return Ok(None);
            };
            let (labels, of_labels) = files.next().expect(EVERY_FILE);
            let pair = idx::Pair { images, labels };
            idx::read(&pair, &of_images, &of_labels).map(Some)
        };
        Ok((pair()?.expect(EVERY_FILE), pair()?))
    }

    /// What files of columns say: the one that is held out is read as the one that is trained on
    /// was, and a column to be ignored has to be in one of them.
    fn columns(
        &mut self,
        read: impl Fn(&Path, Vec<u8>, &FileSpec) -> Result<ReadFile, DatasetError>,
    ) -> Result<Tables, DatasetError> {
        let mut files = std::mem::take(&mut self.files).into_iter();
        let (file, bytes) = files.next().expect(EVERY_FILE);
        let ReadFile {
            table: train,
            resolved: how,
            mut unknown,
        } = read(&file, bytes, &self.spec)?;
        let held_out = match files.next() {
            Some((file, bytes)) => {
                let held_out = read(&file, bytes, &how)?;
                let is_unknown =
                    |name: &String| held_out.unknown.iter().any(|(unknown, _)| unknown == name);
                unknown.retain(|(name, _)| is_unknown(name));
                Some(held_out.table)
            }
            None => None,
        };
        if let Some((_, error)) = unknown.into_iter().next() {
            return Err(error);
        }
        self.resolved = FileSpec {
            path: std::mem::take(&mut self.resolved.path),
            held_out: self.resolved.held_out.take(),
            ..how
        };
        Ok((train, held_out))
    }
}

/// Why a file is there.
const EVERY_FILE: &str = "every file was opened";

/// The options with every file named, and the files in the order in which they are read.
fn find(spec: &FileSpec) -> Result<(FileSpec, Vec<PathBuf>), DatasetError> {
    let mut resolved = spec.clone();
    let mut paths = Vec::new();
    match spec.format {
        FileFormat::Idx => {
            let (train, held_out) = idx::find(spec)?;
            resolved.labels = Some(train.labels.clone());
            if let Some(pair) = &held_out {
                resolved.held_out = Some(HeldOutRule::File(pair.images.clone()));
                resolved.held_out_labels = Some(pair.labels.clone());
            }
            for pair in [Some(train), held_out].into_iter().flatten() {
                paths.extend([pair.images, pair.labels]);
            }
        }
        FileFormat::Csv | FileFormat::Parquet => {
            paths.push(spec.path.clone());
            if let Some(HeldOutRule::File(file)) = &spec.held_out {
                paths.push(file.clone());
            }
        }
    }
    Ok((resolved, paths))
}

fn read(path: &Path) -> Result<Vec<u8>, DatasetError> {
    if path.is_dir() {
        return Err(refuse(path, "it is a directory: name one file"));
    }
    std::fs::read(path).map_err(|source| DatasetError::Read {
        file: path.to_owned(),
        source,
    })
}

/// The path from the root, so that a replay finds the file from anywhere.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, DatasetError> {
    let absolute = std::path::absolute(path).map_err(|source| DatasetError::Read {
        file: path.to_owned(),
        source,
    })?;
    if absolute.to_str().is_none() {
        return Err(refuse(
            path,
            "the path is no UTF-8 text, which run.json needs",
        ));
    }
    Ok(absolute)
}
