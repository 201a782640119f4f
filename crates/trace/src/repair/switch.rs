//! A history written anew: its records linked, written beside the old one, and put in its place at once.

use std::path::Path;

use super::{MAX_LOG_BYTES, RepairError};
use crate::checksum::Crc32c;
use crate::commit::CommitRecord;
use crate::disk::{Disk, Subject, retried};
use crate::durable;
use crate::history::Segment;
use crate::id::Nonce;
use crate::publish::MAX_SEALED_SEGMENTS;
use crate::rollup;
use crate::run::kept_text;

/// Where an upgrade writes the new history, in the run's directory.
pub(crate) const UPGRADE_DIR: &str = ".upgrade";

/// Where in it the old one is until it is removed.
pub(crate) const OLD_COMMITS: &str = "commits.old";

/// Numbers records from 0 on, and links each to the one before and to `run.json`. What an earlier version
/// wrote is linked, too, and says of its run what it said.
pub(crate) fn rechain(records: &mut [CommitRecord], run_id: &Nonce, json: &[u8]) {
    let run_crc32c = Crc32c::of(json);
    let mut previous = None;
    for (number, record) in records.iter_mut().enumerate() {
        record.number = number as u64;
        record.previous_crc32c = previous;
        if record.run_id.is_some() {
            record.run_id = Some(run_id.clone());
            record.run_crc32c = Some(run_crc32c);
        }
        let copy = record.session.as_ref().and_then(|_| kept_text(json));
        record.run_json = copy.map(|text| (*text).to_owned());
        previous = Some(record.encode_with_checksum().1);
    }
}

/// Writes a history to a directory that is made for it: few records as they are, more as roll-ups. All of it
/// is durable when this returns.
///
/// # Errors
/// If there is such a directory, or the file system refuses.
pub(crate) fn write_log(
    disk: &dyn Disk,
    dir: &Path,
    records: &[CommitRecord],
) -> Result<(), RepairError> {
    let subject = Subject::History;
    durable::create_dir_all(disk, subject, dir).map_err(RepairError::io("make", dir))?;
    let encoded: Vec<(Vec<u8>, Crc32c)> = records
        .iter()
        .map(CommitRecord::encode_with_checksum)
        .collect();
    let write = |segment: Segment, bytes: &[u8]| {
        let path = dir.join(segment.file_name());
        let written = durable::write_new(disk, subject, &path, bytes)
            .and_then(|mut file| retried(|| file.sync()));
        written.map_err(RepairError::io("write", &path))
    };
    let mut rest = 0..records.len();
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.clone().take_while(|index| {
            bytes += encoded[*index].0.len() as u64;
            bytes <= MAX_LOG_BYTES
        });
        let num_fitting = fits.count().max(1);
        let stretch = rest.start..rest.start + num_fitting;
        rest.start = stretch.end;
        if records.len() <= MAX_SEALED_SEGMENTS || num_fitting == 1 {
            for index in stretch {
                write(Segment::record(index as u64), &encoded[index].0)?;
            }
            continue;
        }
        let segment = Segment::rollup(stretch.start as u64, stretch.end as u64 - 1);
        let encode_error = |error| {
            let path = dir.join(segment.file_name());
            RepairError::io("encode", &path)(std::io::Error::other(error))
        };
        let mut rollup = rollup::Encoder::try_new().map_err(encode_error)?;
        for index in stretch {
            let pushed = rollup.push(&records[index], Some(encoded[index].1));
            pushed.map_err(encode_error)?;
        }
        write(segment, &rollup.finish().map_err(encode_error)?)?;
    }
    durable::sync_directory(disk, subject, dir).map_err(RepairError::io("sync", dir))
}

/// Gives what is at `new` the name `path`, and what was there the name `old`, which nothing has. Both are on
/// one file system. There is something at `path` all the time, where the file system can exchange names.
///
/// # Errors
/// If the file system refuses: what is at `path` is then the old or the new one, or, where names cannot be
/// exchanged, there is nothing and the old one is at `old`.
pub(crate) fn switch(
    disk: &dyn Disk,
    subject: Subject,
    new: &Path,
    path: &Path,
    old: &Path,
) -> Result<(), RepairError> {
    let moved = RepairError::io("put in place", path);
    switch_names(disk, subject, new, path, old).map_err(moved)?;
    for changed in [new, path, old] {
        let dir = durable::directory_above(changed);
        let synced = durable::sync_directory(disk, subject, &dir);
        synced.map_err(RepairError::io("sync", &dir))?;
    }
    Ok(())
}

fn switch_names(
    disk: &dyn Disk,
    subject: Subject,
    new: &Path,
    path: &Path,
    old: &Path,
) -> std::io::Result<()> {
    if !path.exists() {
        return disk.rename_new(subject, new, path);
    }
    if disk.exchange(subject, new, path)? {
        return disk.rename_new(subject, new, old);
    }
    disk.rename_new(subject, path, old)?;
    disk.rename_new(subject, new, path)
}
