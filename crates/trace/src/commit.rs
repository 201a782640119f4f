//! The commit record: one JSON object that names what a publish made durable.

use serde::{Deserialize, Serialize};

use crate::checksum::Crc32c;
use crate::column_checksums::{ColumnChecksums, Footer};
use crate::id::{Epoch, LayerLabel, Nonce, Rank, Step};
use crate::number;
use crate::place::{RunPath, TableName};

/// One publish: everything that became part of the run at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// Position in the run's total order, from 0.
    #[serde(deserialize_with = "number::count")]
    pub number: u64,
    /// Tells this record from another writer's under the same number.
    pub nonce: Nonce,
    /// The run that it is of; none in records of format 1.4 and before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<Nonce>,
    /// CRC-32C of the run's `run.json`; none in records of format 1.4 and before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_crc32c: Option<Crc32c>,
    /// The checksum of the record before; none in the first, in records of format 1.4 and before, and
    /// where one of these was rolled up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_crc32c: Option<Crc32c>,
    /// When it was written, RFC 3339 in UTC.
    pub time: String,
    /// The process that wrote it.
    pub rank: Rank,
    /// The configuration, in a session's first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<serde_json::Value>,
    /// The text of `run.json`, in a session's first record, if it is no longer than
    /// [`MAX_KEPT_RUN_BYTES`](crate::MAX_KEPT_RUN_BYTES): what repairs go by where that was damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_json: Option<String>,
    /// Whether the session of its rank has ended with it, and everything was recorded.
    #[serde(rename = "final", default, skip_serializing_if = "is_false")]
    pub is_final: bool,
    /// The captures that are whole with this record.
    pub captures: Vec<CaptureId>,
    /// The files that belong to the run from now on.
    pub files: Vec<FileEntry>,
    /// Paths of files that no longer belong to the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<RunPath>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What was recorded at one optimizer step. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CaptureId {
    /// The epoch it belongs to.
    pub epoch: Epoch,
    /// Optimizer steps done.
    pub step: Step,
}

/// A file as a commit record names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The table's name. A later format version may have more tables.
    pub table: TableName,
    /// The partition's epoch.
    pub epoch: Epoch,
    /// The partition's layer, decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerLabel>,
    /// Path below the run's directory, as it stands on disk.
    pub path: RunPath,
    /// Number of rows.
    #[serde(deserialize_with = "number::count")]
    pub rows: u64,
    /// Size in bytes.
    #[serde(deserialize_with = "number::count")]
    pub bytes: u64,
    /// Size of what comes behind the last column chunk; none in files of format 1.4 and before.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::optional_count"
    )]
    pub footer_bytes: Option<u64>,
    /// CRC-32C of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer_crc32c: Option<Crc32c>,
    /// The checksums of its column chunks, where they were worked out after the file was written: its
    /// footer has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column_crc32c: Option<ColumnChecksums>,
    /// CRC-32C of the whole file.
    pub crc32c: Crc32c,
}

impl FileEntry {
    /// The end of the file, where the columns' checksums are; none in files of format 1.4 and before.
    pub fn footer(&self) -> Option<Footer> {
        let (bytes, crc32c) = self.footer_bytes.zip(self.footer_crc32c)?;
        Some(Footer { bytes, crc32c })
    }
}

/// Why bytes are no commit record.
#[derive(Debug, thiserror::Error)]
pub enum DecodeCommitError {
    /// The checksum is missing: the file was cut off.
    #[error("it does not end in its checksum, so it was cut off or is no commit record")]
    NoChecksum,
    /// The bytes changed after they were written.
    #[error("its checksum is {written}, its bytes say {computed}: it was damaged")]
    Damaged {
        /// What the record says.
        written: String,
        /// What its bytes give.
        computed: Crc32c,
    },
    /// Whole, but not what this format version means by a record.
    #[error("it is whole, but no commit record of this format")]
    Malformed(#[from] serde_json::Error),
    /// A file lies elsewhere than its table's do.
    #[error("it is whole, but no commit record of this format")]
    Misplaced(#[from] MisplacedFileError),
}

/// A record names a file of another table's directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} is named as a file of table {table}, which lie in {table}/")]
pub struct MisplacedFileError {
    /// The file.
    pub path: RunPath,
    /// The table.
    pub table: TableName,
}

impl FileEntry {
    /// Checks that the file lies where its table's files do.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) fn check_place(&self) -> Result<(), MisplacedFileError> {
        match self.path.table() == &*self.table {
            true => Ok(()),
            false => Err(MisplacedFileError {
                path: self.path.clone(),
                table: self.table.clone(),
            }),
        }
    }
}

/// What stands between the checksummed bytes and the checksum's digits.
pub(crate) const CHECKSUM_KEY: &str = ",\"crc32c\":\"";

impl CommitRecord {
    /// The record as one line of JSON whose last key is the checksum of the bytes before it.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with_checksum().0
    }

    /// As [`CommitRecord::encode`], with the checksum.
    pub(crate) fn encode_with_checksum(&self) -> (Vec<u8>, Crc32c) {
        let mut bytes =
            serde_json::to_vec(self).expect("a record has no map with other keys than text");
        let closing = bytes.pop();
        debug_assert_eq!(closing, Some(b'}'));
        let crc = Crc32c::of(&bytes);
        bytes.extend_from_slice(format!("{CHECKSUM_KEY}{crc}\"}}\n").as_bytes());
        (bytes, crc)
    }

    /// Reads a record and checks its checksum.
    ///
    /// # Errors
    /// If the record was cut off, damaged, or is of another shape.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeCommitError> {
        Self::decode_with_checksum(bytes).map(|(record, _)| record)
    }

    /// As [`CommitRecord::decode`], with the checksum.
    pub fn decode_with_checksum(bytes: &[u8]) -> Result<(Self, Crc32c), DecodeCommitError> {
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeCommitError::NoChecksum)?;
        let key = text
            .rfind(CHECKSUM_KEY)
            .ok_or(DecodeCommitError::NoChecksum)?;
        let written = text[key + CHECKSUM_KEY.len()..]
            .trim_end()
            .strip_suffix("\"}")
            .ok_or(DecodeCommitError::NoChecksum)?;
        let computed = Crc32c::of(&bytes[..key]);
        if computed.to_string() != written {
            return Err(DecodeCommitError::Damaged {
                written: written.to_owned(),
                computed,
            });
        }
        let record: Self = serde_json::from_str(text)?;
        record.files.iter().try_for_each(FileEntry::check_place)?;
        Ok((record, computed))
    }
}

#[cfg(test)]
pub(crate) mod tests;
