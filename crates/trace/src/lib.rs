//! The trace format: what a run is on disk, how it gets there durably, and how it is read back.
//!
//! It knows tables, paths, files and commits, and nothing of what makes rows or asks for them: no Burn,
//! no DataFusion, no channels.
//!
//! A run is a directory. [`RunDir`] is its identity (`run.json`, with the [`Topology`] of the
//! network), [`Table`] its tables and their Arrow schemas, [`PartPath`] the place of each part
//! file. A file is written through [`Staging`] and becomes part of the run by
//! [`Publisher::publish`], which makes a group of captures durable and names their files in a
//! [`CommitRecord`]. [`Catalog`] is how readers learn what is committed. What is worked out from a
//! run's captures goes into tables beside them by a [`DerivedWriter`]. [`PartReader`] reads part files
//! back, held against what was committed of them.
//!
//! All of this goes through the [`Store`] that a run lies in: a directory ([`LocalStore`]), unless somebody
//! says otherwise ([`RunDir::create_in`]).
//!
//! The format is specified in `schemas/README.md`, and tests hold this crate to it.

// Test helpers are shared with the crate `sink`, and name this one as it does.
#[cfg(test)]
extern crate self as trace;

mod activity;
mod catalog;
mod caught;
mod causes;
mod checksum;
mod column_checksums;
mod columns;
mod commit;
mod derived;
mod disk;
mod durable;
mod encode;
mod footer;
mod history;
mod holders;
mod id;
mod layers;
mod lock_file;
mod lost;
mod lost_history;
mod max_part_bytes;
mod number;
mod part;
mod part_file;
mod part_reader;
mod place;
mod publish;
mod regular;
mod repair;
mod rollup;
mod room;
mod run;
mod staging;
mod store;
mod table;
#[cfg(test)]
mod testing;
mod thrift;
mod time;
mod topology;
mod unit_rows;
mod upgrade;
mod walk;

pub use activity::{Activity, MIN_YOUNG, YOUNG_INTERVALS};
pub use catalog::{
    Catalog, CommitInfo, CommittedCapture, CommittedFile, DoubledCapture, Ending, PartialCapture,
    Session,
};
pub use caught::{PanickedError, caught};
pub use causes::with_causes;
pub use checksum::Crc32c;
pub use column_checksums::{COLUMN_CRC32C_KEY, ColumnChecksums, Footer};
pub use columns::{RowFilter, check_pages};
pub use commit::{CaptureId, CommitRecord, DecodeCommitError, FileEntry, MisplacedFileError};
pub use derived::{
    DerivedError, DerivedPart, DerivedWriter, derived_rows, publish_derived, read_derived,
};
pub use disk::{
    Choices, Disk, DiskFile, DiskTree, Fate, Fault, FileSystem, Listed, LocalDisk, Operation,
    Point, Remains, SimDisk, Subject,
};
pub use encode::{
    Compress, EncodeError, Encoded, LIST_PAGE_BYTES, MAX_COMPRESSION_RATIO,
    MAX_COMPRESSION_RATIO_FOR_SIZE, MIN_COMPRESSED_BYTES, ParseCompressError, ZSTD_LEVEL,
    encode_part,
};
pub use footer::read_footer;
pub use history::{HistoryFaults, ReadCommitsError};
pub use holders::Holders;
pub use id::{
    Epoch, Generation, IdError, LayerLabel, LayerLabelError, MAX_ENCODED_LABEL_BYTES, Nonce, Rank,
    Step,
};
pub use layers::LackingCapture;
pub use lost::lost_captures;
pub use max_part_bytes::MaxPartBytes;
pub use number::{MAX_COUNT, MAX_WORLD_SIZE};
pub use part::{ParsePartPathError, Part, PartPath, cmp_part_files, is_later_part};
pub use part_file::{
    BadFileError, CheckedParts, FileProblem, PartFile, SMALL_FILE_BYTES, WHOLE_FILE_BYTES,
};
pub use part_reader::{PartReader, PartRows};
pub use place::{
    COMMITS_DIR, MAX_PATH_BYTES, RUN_FILE, RunPath, RunPathError, STAGING_DIR, TableName,
    TableNameError,
};
pub use publish::{
    Group, MAX_ROLLUP_RECORD_BYTES, MAX_SEALED_SEGMENTS, PublishError, PublishStepError, Publisher,
    ROLLUP_FANOUT,
};
pub use repair::{
    DAMAGED_DIR, MovedFile, REPAIR_REPORT_FILE, RepairError, RepairOptions, RepairReport, repair,
    repair_on,
};
pub use rollup::{ReadRollupError, rollup_schema};
pub use room::{Room, is_no_room, with_room};
pub use run::{
    CreateRunError, DatasetInfo, FORMAT_KEY, FORMAT_VERSION, FormatVersion, LockRunError,
    MAX_KEPT_RUN_BYTES, OpenRunError, RunDir, RunInfo, WriterLock, partition_warning,
};
pub use staging::{PartWriter, StagedPart, Staging};
pub use store::{
    BeginError, Creation, LocalStore, MemoryFault, MemoryStore, NewRunError, PartOutput, PartToPut,
    StagedBytes, Store, StoreError, StoreLock, StoreWriter, StoredGroup, StoredPart, Vacancy,
};
pub use table::{
    EPOCH_COLUMN, LAYER_COLUMN, PARAMETERS_CRC32C, ParseTableError, Table, float_item, float_list,
};
pub use time::now;
pub use topology::{Layer, LayerTensor, Source, SourceRange, Topology, TopologyError};
pub use unit_rows::{RowsOf, UnitRows};
pub use upgrade::{UpgradeReport, upgrade, upgrade_on};
pub use walk::{Links, ListFilesError, visit_files};
