//! Part files as they lie there, whatever the commits say: what they say of themselves.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use parquet::file::metadata::ParquetMetaData;

use super::RepairError;
use crate::caught::caught;
use crate::causes::with_causes;
use crate::checksum::Crc32c;
use crate::column_checksums::{self, ColumnChecksums, Footer};
use crate::commit::FileEntry;
use crate::encode::check_sorted;
use crate::footer::read_footer;
use crate::part::PartPath;
use crate::part_file::{BadFileError, FileProblem, PartFile, checksum, chunk_ranges};
use crate::part_reader::{PartReader, minor_version};
use crate::place::RunPath;
use crate::regular;
use crate::store::{LocalStore, Store};
use crate::table::Table;
use crate::topology::Topology;
use crate::unit_rows::UnitRows;
use crate::walk::{Links, visit_files};

/// Rows that are decoded at once, at most.
const BATCH_ROWS: usize = 8192;

/// Parquet's magic bytes, which come before the first column.
const MAGIC_BYTES: u64 = 4;

/// What is asked of files before they are taken for the run's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trust<'a> {
    /// The run's layers; none where these are what files are asked for.
    pub(super) topology: Option<&'a Topology>,
    /// Whether files are believed that have no checksums of their own.
    pub(super) unchecked: bool,
}

/// Why nothing is made of a file.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It cannot be read just now: nothing is known of it.
    Unreadable(io::Error),
    /// It has no checksums of its own, so that nobody can tell whether it is whole.
    Unchecked,
    /// It is not what it should be.
    Bad(String),
}

impl Refusal {
    /// A file that is gone, or in a sector that is, is damaged; one that may not be read is not.
    fn of(error: io::Error) -> Self {
        if regular::is_irregular(&error) {
            return Self::Bad(error.to_string());
        }
        let is_gone = error.kind() == io::ErrorKind::NotFound;
        let is_damaged = error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
        match is_gone || is_damaged {
            true => Self::Bad(format!("it cannot be read: {error}")),
            false => Self::Unreadable(error),
        }
    }

    pub(super) fn of_file(error: BadFileError) -> Self {
        match error.problem {
            FileProblem::Unreadable(error) => Self::of(error),
            problem => Self::Bad(format!("it {problem}")),
        }
    }
}

impl From<String> for Refusal {
    fn from(problem: String) -> Self {
        Self::Bad(problem)
    }
}

/// Where the run's files are read.
pub(super) fn store(root: &Path) -> Arc<dyn Store> {
    Arc::new(LocalStore::new(root))
}

/// Every part file below the tables' directories, in order.
pub(super) fn on_disk(root: &Path) -> Result<Vec<PartPath>, RepairError> {
    let mut parts = Vec::new();
    for table in Table::ALL {
        visit_files(
            root,
            Path::new(table.name()),
            Links::Keep,
            &mut |path, _| {
                let path = path.to_str().and_then(|path| path.parse().ok());
                parts.extend(path);
            },
        )?;
    }
    parts.sort_by_cached_key(PartPath::to_string);
    Ok(parts)
}

/// What a commit would say of a file that none names, once all that it says of itself was found right;
/// else what is wrong with it.
pub(super) fn entry_of(
    root: &Path,
    part: &PartPath,
    trust: Trust<'_>,
) -> Result<FileEntry, Refusal> {
    let described = caught(|| described(root, part, trust));
    described.unwrap_or_else(|panicked| Err(panicked.to_string().into()))
}

fn described(root: &Path, part: &PartPath, trust: Trust<'_>) -> Result<FileEntry, Refusal> {
    let path = root.join(part.to_string());
    let sums = sums(&path)?;
    let file = PartFile {
        store: store(root),
        path: part.to_string(),
        num_bytes: sums.bytes,
        crc32c: Some(sums.crc32c),
        footer: sums.footer,
        columns: None,
    };
    file.open_whole().map_err(Refusal::of_file)?;
    let rows = check_rows(&file, part, trust.topology)?;
    // What is none of the run's files in any case is told as that.
    if !sums.has_checksums && !trust.unchecked {
        return Err(Refusal::Unchecked);
    }
    Ok(FileEntry {
        table: part.table.into(),
        epoch: part.epoch,
        layer: part.layer.clone(),
        path: RunPath::from(part),
        rows,
        bytes: sums.bytes,
        footer_bytes: sums.footer.filter(|_| sums.has_checksums).map(|f| f.bytes),
        footer_crc32c: sums.footer.filter(|_| sums.has_checksums).map(|f| f.crc32c),
        column_crc32c: None,
        crc32c: sums.crc32c,
    })
}

/// A file's checksums, as they are worked out.
pub(crate) struct Sums {
    pub(crate) bytes: u64,
    pub(crate) crc32c: Crc32c,
    /// Its end; none where there is no column before it.
    pub(crate) footer: Option<Footer>,
    /// Those of its column chunks.
    pub(crate) columns: ColumnChecksums,
    /// Whether the footer has such.
    pub(crate) has_checksums: bool,
}

/// Works out the checksums of a part file.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn sums(path: &Path) -> Result<Sums, Refusal> {
    let mut file = regular::open(path).map_err(Refusal::of)?;
    let bytes = file.metadata().map_err(Refusal::of)?.len();
    // All of it is read first: what cannot be read is told as that.
    let crc32c = checksum(&mut file, 0..bytes).map_err(Refusal::of)?;
    let metadata = read_footer(&file)
        .map_err(|error| format!("it is no whole Parquet file: {}", with_causes(&error)))?;
    if minor_version(metadata.file_metadata()).is_none() {
        let problem = "its footer says no version of the format that is read here";
        return Err(problem.to_owned().into());
    }
    let ranges = chunk_ranges(&metadata, bytes).map_err(|error| with_causes(&error))?;
    let end = ranges.iter().map(|range| range.end).max();
    let columns = ranges.into_iter().map(|range| checksum(&mut file, range));
    let columns: Vec<Crc32c> = columns.collect::<Result<_, _>>().map_err(Refusal::of)?;
    let start = end.unwrap_or(MAGIC_BYTES).min(bytes);
    let footer = Footer {
        bytes: bytes - start,
        crc32c: checksum(&mut file, start..bytes).map_err(Refusal::of)?,
    };
    Ok(Sums {
        bytes,
        crc32c,
        footer: Some(footer),
        columns: ColumnChecksums::new(columns),
        has_checksums: has_checksums(&metadata),
    })
}

fn has_checksums(metadata: &ParquetMetaData) -> bool {
    column_checksums::of_chunks(metadata, None).is_some()
}

/// Decodes a file and holds its rows against its path; gives how many there are.
fn check_rows(
    file: &PartFile,
    part: &PartPath,
    topology: Option<&Topology>,
) -> Result<u64, Refusal> {
    let reader = PartReader::checked(part.table, &[], BATCH_ROWS).map_err(|e| e.to_string())?;
    let layer = part.layer.as_ref();
    let mut of_units = match (topology, layer) {
        (Some(topology), Some(layer)) => {
            if topology.layer(layer.as_str()).is_none() {
                let problem = format!("run.json has no layer {}", layer.as_str());
                return Err(problem.into());
            }
            UnitRows::of(part.table, layer, topology)
        }
        _ => None,
    };
    let others = |(expected, found): (String, String)| {
        format!("its rows are not those of its layer's units: expected {expected}, found {found}")
    };
    let mut rows: u64 = 0;
    for batch in reader.open(file.clone()).map_err(Refusal::of_file)? {
        let batch = batch.map_err(Refusal::of_file)?;
        let steps = batch["step"].as_primitive::<Int64Type>().values();
        let ranks = batch["rank"].as_primitive::<Int32Type>().values();
        if steps.iter().any(|step| *step != part.step.0) || ranks.iter().any(|r| *r != part.rank.0)
        {
            return Err("it has rows of another step or rank than its name says"
                .to_owned()
                .into());
        }
        if let Some(of_units) = &mut of_units {
            of_units.check(&batch).map_err(others)?;
        }
        check_sorted(part.table, &batch).map_err(|error| error.to_string())?;
        rows += batch.num_rows() as u64;
    }
    if let Some(of_units) = of_units {
        of_units.end().map_err(others)?;
    }
    Ok(rows)
}

/// The rows of a file of weights that say how large its layer is.
pub(super) fn weights_of(
    root: &Path,
    part: &PartPath,
    entry: &FileEntry,
) -> Result<RecordBatch, Refusal> {
    let file = PartFile {
        store: store(root),
        path: part.to_string(),
        num_bytes: entry.bytes,
        crc32c: Some(entry.crc32c),
        footer: None,
        columns: None,
    };
    let reader = PartReader::checked(Table::Weights, &["neuron", "unit", "weights"], BATCH_ROWS);
    let reader = reader.map_err(|error| error.to_string())?;
    reader.read_whole(&file).map_err(Refusal::of_file)
}

/// How many weights a row has; none where there are no values.
pub(super) fn fan_in(rows: &RecordBatch) -> Option<u32> {
    let weights = rows["weights"].as_list::<i32>();
    let row = (0..weights.len()).find(|row| weights.is_valid(*row))?;
    u32::try_from(weights.value_length(row)).ok()
}
