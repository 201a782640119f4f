//! The trace format: what a run is on disk, and how it gets there durably.
//!
//! A run is a directory. [`RunDir`] is its identity (`run.json`, with the [`Topology`] of the
//! network), [`Table`] its tables and their Arrow schemas, [`PartPath`] the place of each part
//! file. A file is written through [`Staging`] and becomes part of the run by
//! [`Publisher::publish`], which makes a group of captures durable and names their files in a
//! [`CommitRecord`]. [`Catalog`] is how readers learn what is committed. What is worked out from a
//! run's captures goes into tables beside them by a [`DerivedWriter`].
//!
//! The format is specified in `schemas/README.md`, and tests hold this crate to it.

// Test helpers are shared with the crate `sink`, and name this one as it does.
#[cfg(test)]
extern crate self as trace;

mod catalog;
mod checkpoint;
mod columns;
mod commit;
mod derived;
mod durable;
mod encode;
mod fault;
mod id;
mod log;
mod neuron;
mod part;
mod printable;
mod publish;
mod run;
mod staging;
mod suggest;
mod table;
#[cfg(test)]
mod testing;
mod time;
mod topology;

pub use catalog::{Catalog, CommitInfo, CommittedCapture, CommittedFile, PartialCapture, Session};
pub use checkpoint::{ReadCheckpointError, checkpoint_schema};
pub use columns::{read_row_group, value_bytes, write_column};
pub use commit::{CaptureId, CommitRecord, Crc32c, DecodeCommitError, FileEntry};
pub use derived::{
    DerivedError, DerivedPart, DerivedWriter, derived_rows, publish_derived, read_derived,
};
pub use durable::{Durability, SLOW_BARRIER};
pub use encode::{
    EncodeError, LIST_PAGE_BYTES, MAX_COMPRESSION_RATIO, MIN_COMPRESSED_BYTES, ZSTD_LEVEL,
    encode_part,
};
pub use id::{
    Epoch, Generation, LayerLabel, LayerLabelError, MAX_ENCODED_LABEL_BYTES, Nonce, Rank, Step,
};
pub use log::ReadCommitsError;
pub use neuron::{NeuronName, ParseNeuronError, UnknownNeuronError, told_neurons};
pub use part::{ParsePartPathError, Part, PartPath};
pub use printable::printable;
pub use publish::{
    Group, MAX_CHECKPOINT_RECORD_BYTES, MAX_SEALED_SEGMENTS, PublishError, Publisher, ROLLUP_FANOUT,
};
pub use run::{
    COMMITS_DIR, CreateRunError, DatasetInfo, FORMAT_KEY, FORMAT_VERSION, FormatVersion,
    LockRunError, OpenRunError, RUN_FILE, RunDir, RunInfo, STAGING_DIR, WriterLock,
    partition_warning,
};
pub use staging::{PartWriter, StagedPart, Staging};
pub use suggest::{closest, did_you_mean};
pub use table::{
    EPOCH_COLUMN, LAYER_COLUMN, PARAMETERS_CRC32C, ParseTableError, Table, float_item, float_list,
};
pub use time::{now, parse_ms};
pub use topology::{Layer, LayerTensor, Source, SourceRange, Topology, TopologyError};
