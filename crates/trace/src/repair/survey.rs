//! What can be read of a damaged history, each file by itself: a record is known by what it says, not by
//! the name of the file that it is in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::RepairError;
use super::one_byte::{self, Change};
use crate::causes::with_causes;
use crate::checksum::Crc32c;
use crate::commit::{CHECKSUM_KEY, CommitRecord};
use crate::history::Segment;
use crate::id::{Nonce, Rank};
use crate::lost_history;
use crate::number::MAX_COUNT;
use crate::regular;
use crate::rollup;

/// The longest file of which a byte that changed is looked for: in more bytes a change of several can be
/// taken for one of one.
pub(super) const MAX_CORRECTED_BYTES: usize = 64 << 10;

/// A record, and where it was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) record: CommitRecord,
    pub(super) crc32c: Option<Crc32c>,
    /// The file in `commits/` that it is in.
    file: Arc<str>,
    /// How much speaks for it where another has its number.
    weight: u8,
}

/// A record of the run that another one has the number of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubled {
    pub(super) number: u64,
    /// The file in `commits/` that it is in.
    pub(super) file: Arc<str>,
}

/// A file in `commits/` that is no part of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadCommits {
    pub(super) name: String,
    pub(super) reason: String,
}

/// What `commits/` holds.
#[derive(Debug, Default)]
pub(super) struct Survey {
    found: Vec<Found>,
    pub(super) bad: Vec<BadCommits>,
    /// Files of which one byte was put right.
    pub(super) corrected: Vec<String>,
    /// Files that readers pass over, since they are called as no record is.
    pub(super) strays: Vec<String>,
    /// First and last numbers that the names of bad files promise.
    promised: Vec<(u64, u64)>,
}

/// The history, as far as it survives.
#[derive(Debug, Default)]
pub(super) struct Survivors {
    pub(super) records: BTreeMap<u64, Found>,
    /// First and last numbers of records that are lost.
    pub(super) lost: Vec<(u64, u64)>,
    /// The numbers of records that the next one does not follow.
    pub(super) broken: Vec<u64>,
    /// Records that are left out, since more speaks for others that have their numbers.
    pub(super) doubled: Vec<Doubled>,
}

impl Survivors {
    /// Whether a record may be lost that a rank wrote after the last one of a capture that survives.
    pub(super) fn lost_after(&self, rank: Rank) -> bool {
        let of_rank = self.records.values().rev();
        let mut of_rank = of_rank.map(|found| &found.record);
        let last = of_rank.find(|record| record.rank == rank && !record.captures.is_empty());
        match last {
            None => true,
            Some(last) => {
                let mut doubled = self.doubled.iter();
                self.lost.iter().any(|(_, lost)| *lost > last.number)
                    || doubled.any(|doubled| doubled.number >= last.number)
            }
        }
    }

    /// Whether a record may have said something that those which survive do not.
    pub(super) fn lack_records(&self) -> bool {
        !self.lost.is_empty() || !self.broken.is_empty() || !self.doubled.is_empty()
    }

    /// How many records are lost.
    pub(super) fn num_lost(&self) -> u64 {
        let lengths = self.lost.iter().map(|(first, last)| last - first + 1);
        lengths.fold(0, u64::saturating_add)
    }
}

/// Reads every file in a directory of commits; one that is not there is empty.
pub(super) fn survey(dir: &Path) -> Result<Survey, RepairError> {
    let list_error = RepairError::io("list", dir);
    let mut names = Vec::new();
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(list_error(error)),
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(RepairError::io("list", dir))?;
                names.extend(entry.file_name().to_str().map(str::to_owned));
            }
        }
    }
    names.sort_unstable();
    let mut survey = Survey::default();
    for name in names {
        survey.read(dir, name)?;
    }
    Ok(survey)
}

impl Survey {
    fn read(&mut self, dir: &Path, name: String) -> Result<(), RepairError> {
        let path = dir.join(&name);
        let is_parquet = name.ends_with(".parquet");
        if !is_parquet && !name.ends_with(".json") {
            return Ok(());
        }
        let segment = Segment::parse(&name);
        // A link is what it leads to, as for readers.
        let bad = match regular::read(&path) {
            Ok(bytes) => Ok(bytes),
            Err(error) if regular::is_irregular(&error) => Err(error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err("it is a link that leads nowhere".to_owned())
            }
            Err(error) => match RepairError::if_no_damage(&path, &error) {
                Some(error) => return Err(error),
                None => Err(format!("it cannot be read: {error}")),
            },
        };
        let num_bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if lost_history::is_stray(&name) {
            self.strays.push(name.clone());
        }
        let read = bad.and_then(|bytes| {
            // What a file is it says itself, unless its first byte is the one that changed.
            let is_rollup = bytes.starts_with(b"PAR1") || is_parquet && !bytes.starts_with(b"{");
            let whole = read_records(&bytes, is_rollup).map(|records| (records, false));
            let read = whole.or_else(|reason| {
                let corrected = corrected(&bytes, is_rollup);
                corrected.map(|records| (records, true)).ok_or(reason)
            });
            read.map(|(records, is_corrected)| (records, is_corrected, is_rollup))
        });
        match read {
            Ok((records, is_corrected, is_rollup)) => {
                let file: Arc<str> = name.as_str().into();
                if is_corrected {
                    self.corrected.push(name);
                }
                let is_named =
                    |number| segment.is_some_and(|s| (s.first..=s.last).contains(&number));
                let found = records.into_iter().map(|(record, crc32c)| Found {
                    weight: u8::from(is_rollup) + 2 * u8::from(is_named(record.number)),
                    record,
                    crc32c,
                    file: Arc::clone(&file),
                });
                self.found.extend(found);
            }
            Err(reason) => {
                // A file has no more records than bytes, whatever its name says.
                self.promised.extend(segment.map(|segment| {
                    let most = segment.first.saturating_add(num_bytes.max(1) - 1);
                    (segment.first, segment.last.min(most).min(MAX_COUNT))
                }));
                self.bad.push(BadCommits { name, reason });
            }
        }
        Ok(())
    }

    /// The names that records give their run, most frequent first.
    pub(super) fn run_ids(&self) -> Vec<Nonce> {
        let mut counts: BTreeMap<&str, (usize, &Nonce)> = BTreeMap::new();
        for id in self.found.iter().filter_map(|f| f.record.run_id.as_ref()) {
            counts.entry(id.as_str()).or_insert((0, id)).0 += 1;
        }
        let mut counts: Vec<(usize, &Nonce)> = counts.into_values().collect();
        counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        counts.into_iter().map(|(_, id)| id.clone()).collect()
    }

    /// The records of a run, each number once, and what is lost between and behind them. Other runs' become
    /// bad.
    pub(super) fn survivors(&mut self, run_id: Option<&Nonce>) -> Survivors {
        let is_ours = |found: &Found| match (&found.record.run_id, run_id) {
            (Some(found), Some(run_id)) => found == run_id,
            _ => true,
        };
        let (ours, foreign): (Vec<Found>, Vec<Found>) = std::mem::take(&mut self.found)
            .into_iter()
            .partition(is_ours);
        self.bad.extend(foreign.into_iter().map(|found| BadCommits {
            name: found.file.to_string(),
            reason: match found.record.run_id {
                Some(run_id) => format!("it is one of run {run_id}"),
                None => "it is one of another run".to_owned(),
            },
        }));
        // A roll-up may have many.
        self.bad.dedup();
        let mut by_number: BTreeMap<u64, Vec<Found>> = BTreeMap::new();
        for found in ours {
            by_number
                .entry(found.record.number)
                .or_default()
                .push(found);
        }
        // What the record after each number says that this one is.
        let follows: BTreeMap<u64, BTreeSet<u32>> = by_number
            .iter()
            .filter_map(|(number, found)| {
                let before = found.iter().filter_map(|f| f.record.previous_crc32c);
                Some((
                    number.checked_sub(1)?,
                    before.map(|crc32c| crc32c.0).collect(),
                ))
            })
            .collect();
        let mut records: BTreeMap<u64, Found> = BTreeMap::new();
        let mut doubled = Vec::new();
        for (number, mut found) in by_number {
            let before = number
                .checked_sub(1)
                .and_then(|before| records.get(&before));
            let before = before.and_then(|found| found.crc32c);
            let weight = |found: &Found| {
                let named_by_next = found.crc32c.is_some_and(|crc32c| {
                    follows
                        .get(&number)
                        .is_some_and(|named| named.contains(&crc32c.0))
                });
                let names_last = before.is_some() && found.record.previous_crc32c == before;
                found.weight + 4 * u8::from(named_by_next) + 4 * u8::from(names_last)
            };
            let heaviest = (0..found.len()).max_by_key(|index| weight(&found[*index]));
            let Some(heaviest) = heaviest.map(|index| found.swap_remove(index)) else {
                continue;
            };
            // One that was rolled up may be there by itself as well.
            let says = |found: &Found| found.record.encode_with_checksum().1;
            if !found.is_empty() {
                let kept = says(&heaviest);
                let others = found.iter().filter(|found| says(found) != kept);
                doubled.extend(others.map(|found| Doubled {
                    number,
                    file: Arc::clone(&found.file),
                }));
            }
            records.insert(number, heaviest);
        }
        let lost = lost(&records, &self.promised);
        let broken = broken(&records);
        Survivors {
            records,
            lost,
            broken,
            doubled,
        }
    }
}

/// The numbers that are missing among records, and behind them those that bad files promise.
fn lost(records: &BTreeMap<u64, Found>, promised: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut lost = Vec::new();
    let mut next = 0;
    for &number in records.keys() {
        if number > next {
            lost.push((next, number - 1));
        }
        next = number + 1;
    }
    let last = promised.iter().map(|(_, last)| *last).max();
    if let Some(last) = last.filter(|last| *last >= next) {
        lost.push((next, last));
    }
    lost
}

/// The numbers of records of which the next one says that it follows another.
fn broken(records: &BTreeMap<u64, Found>) -> Vec<u64> {
    let pairs = records.iter().zip(records.iter().skip(1));
    let broken = pairs.filter(|((one, found), (next, follows))| {
        let named = follows.record.previous_crc32c;
        let is_other = named
            .zip(found.crc32c)
            .is_some_and(|(named, is)| named != is);
        **one + 1 == **next && is_other
    });
    broken.map(|((number, _), _)| *number).collect()
}

type Records = Vec<(CommitRecord, Option<Crc32c>)>;

fn read_records(bytes: &[u8], is_rollup: bool) -> Result<Records, String> {
    if is_rollup {
        let mut records = Vec::new();
        rollup::decode(bytes.to_vec(), &mut |record, crc32c| {
            records.push((record, crc32c));
        })
        .map_err(|error| with_causes(&error))?;
        return Ok(records);
    }
    let decoded = CommitRecord::decode_with_checksum(bytes);
    let (record, crc32c) = decoded.map_err(|error| with_causes(&error))?;
    Ok(vec![(record, Some(crc32c))])
}

/// The records of a file of which one byte was changed, if there is one change alone that explains it.
fn corrected(bytes: &[u8], is_rollup: bool) -> Option<Records> {
    if bytes.len() > MAX_CORRECTED_BYTES {
        return None;
    }
    let as_written = match is_rollup {
        true => corrected_rollups(bytes),
        false => corrected_records(bytes),
    };
    let mut whole = as_written.into_iter().filter_map(|bytes| {
        let records = read_records(&bytes, is_rollup).ok()?;
        // A roll-up's records have checksums of their own.
        let is_written = |(record, crc32c): &(CommitRecord, Option<Crc32c>)| {
            crc32c.is_some_and(|crc32c| record.encode_with_checksum().1 == crc32c)
        };
        (!is_rollup || records.iter().all(is_written)).then_some(records)
    });
    let first = whole.next()?;
    whole.next().is_none().then_some(first)
}

/// What a record may have been before one of its bytes was changed.
fn corrected_records(bytes: &[u8]) -> Vec<Vec<u8>> {
    let end = "\"}\n";
    let num_behind = CHECKSUM_KEY.len() + 8 + end.len();
    let Some(body) = bytes.len().checked_sub(num_behind) else {
        return Vec::new();
    };
    let (body, behind) = bytes.split_at(body);
    let found = Crc32c::of(body);
    // What stands behind the bytes that the checksum is of.
    let should = format!("{CHECKSUM_KEY}{found}{end}");
    let num_others = should.bytes().zip(behind).filter(|(a, b)| a != *b).count();
    if num_others <= 1 {
        return vec![[body, should.as_bytes()].concat()];
    }
    let written = behind
        .strip_prefix(CHECKSUM_KEY.as_bytes())
        .and_then(|rest| rest.strip_suffix(end.as_bytes()))
        .and_then(Crc32c::from_digits);
    let changes = written.map(|written| one_byte::changes(body.len(), found, written));
    let changes = changes.into_iter().flatten();
    changes.map(|change| change.undone(bytes)).collect()
}

/// What a roll-up may have been before one of its bytes was changed.
fn corrected_rollups(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Some((digits, written, found)) = rollup::checksums(bytes) else {
        return Vec::new();
    };
    let text = found.to_string();
    let others = text.bytes().zip(&bytes[digits.clone()]);
    if others.filter(|(a, b)| a != *b).count() == 1 {
        let mut bytes = bytes.to_vec();
        bytes[digits].copy_from_slice(text.as_bytes());
        return vec![bytes];
    }
    let changes = written.map(|written| one_byte::changes(bytes.len(), found, written));
    let changes = changes.into_iter().flatten();
    let changes = changes.filter(|change: &Change| !digits.contains(&change.at));
    changes.map(|change| change.undone(bytes)).collect()
}
