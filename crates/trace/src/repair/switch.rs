//! A history written anew: its records linked, written beside the old one, and put in its place at once.

use std::io;
use std::path::Path;

use super::{MAX_LOG_BYTES, RepairError};
use crate::checksum::Crc32c;
use crate::commit::CommitRecord;
use crate::disk::{Disk, Subject, retried};
use crate::durable;
use crate::encode::Compress;
use crate::history::Segment;
use crate::id::Nonce;
use crate::publish::MAX_SEALED_SEGMENTS;
use crate::rollup;
use crate::run::kept_text;

/// Where an upgrade writes the new history, in the run's directory.
pub(crate) const UPGRADE_DIR: &str = ".upgrade";

/// What is said where names cannot be exchanged: there would be a moment without a history.
const CANNOT_EXCHANGE: &str = "this file system cannot exchange two names at once: copy the run to one that can, as \
                               ext4, XFS or Btrfs, and do it there";

/// The most that a new history has of one text again and again, as of `run.json`: sessions may be many.
pub(super) const MAX_COPIES_BYTES: usize = 64 << 20;

/// Numbers records from 0 on, and links each to the one before and to `run.json`. What an earlier version
/// wrote is linked, too, and says of its run what it said.
pub(crate) fn rechain(records: &mut [CommitRecord], run_id: &Nonce, json: &[u8]) {
    let run_crc32c = Crc32c::of(json);
    let text = kept_text(json);
    let mut copied_bytes = 0;
    let mut previous = None;
    for (number, record) in records.iter_mut().enumerate() {
        record.number = number as u64;
        record.previous_crc32c = previous;
        if record.run_id.is_some() {
            record.run_id = Some(run_id.clone());
            record.run_crc32c = Some(run_crc32c);
        }
        let copy = text.as_deref().filter(|text| {
            record.session.is_some() && copied_bytes + text.len() <= MAX_COPIES_BYTES
        });
        copied_bytes += copy.map_or(0, str::len);
        record.run_json = copy.map(str::to_owned);
        previous = Some(record.encode_with_checksum().1);
    }
}

/// Writes a history to a directory that is made for it: few records as they are, more as roll-ups. All of it
/// but that directory's name is durable when this returns.
///
/// # Errors
/// If there is such a directory, or the file system refuses.
pub(crate) fn write_log(
    disk: &dyn Disk,
    dir: &Path,
    records: &[CommitRecord],
) -> Result<(), RepairError> {
    let subject = Subject::History;
    // Nobody needs its name before it is put in place, and its names there are synced then.
    durable::create_missing_dirs(disk, subject, dir, &mut Vec::new())
        .map_err(RepairError::io("make", dir))?;
    let encoded: Vec<(Vec<u8>, Crc32c)> = records
        .iter()
        .map(CommitRecord::encode_with_checksum)
        .collect();
    // As the last session would.
    let sessions = records.iter().rev();
    let mut sessions = sessions.filter_map(|record| record.session.as_ref());
    let compress = sessions.find_map(Compress::of_config).unwrap_or_default();
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
            RepairError::io("encode", &path)(io::Error::other(error))
        };
        let mut rollup = rollup::Encoder::try_new(compress).map_err(encode_error)?;
        for index in stretch {
            let pushed = rollup.push(&records[index], Some(encoded[index].1));
            pushed.map_err(encode_error)?;
        }
        write(segment, &rollup.finish().map_err(encode_error)?)?;
    }
    durable::sync_directory(disk, subject, dir).map_err(RepairError::io("sync", dir))
}

/// Puts what is at `new` at `path`, durably. What was there is at `new` then: there is something at `path` all
/// the time, the old one or the new one.
///
/// # Errors
/// If the file system cannot exchange two names, and nothing was changed; or it refuses.
pub(crate) fn switch(
    disk: &dyn Disk,
    subject: Subject,
    new: &Path,
    path: &Path,
) -> Result<(), RepairError> {
    let moved = RepairError::io("put in place", path);
    let switched = match durable::is_taken(path) {
        false => disk.rename_new(subject, new, path),
        true => disk
            .exchange(subject, new, path)
            .and_then(|is_done| match is_done {
                true => Ok(()),
                false => Err(io::Error::new(io::ErrorKind::Unsupported, CANNOT_EXCHANGE)),
            }),
    };
    switched.map_err(moved)?;
    for changed in [path, new] {
        let dir = durable::directory_above(changed);
        let synced = durable::sync_directory(disk, subject, &dir);
        synced.map_err(RepairError::io("sync", &dir))?;
    }
    Ok(())
}
