//! The files that records name: whether they are what was committed, and where they are. And those that none names
//! where no record is lost.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use super::RepairError;
use super::damaged;
use super::orphans::{Key, Sessions, is_whole_state, key_of};
use super::parts;
use super::run_file::RunFile;
use super::survey::Survivors;
use crate::commit::FileEntry;
use crate::id::{Rank, Step};
use crate::part::PartPath;
use crate::part_file::{FileProblem, PartFile, checksum};
use crate::regular;
use crate::table::Table;

/// A file that a record names by another path, at which nothing is.
#[derive(Debug, Clone)]
pub(super) struct Renamed {
    pub(super) from: String,
    pub(super) to: String,
}

/// A file that a surviving record names and none retires.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// None of a table that this version does not know.
    pub(super) part: Option<PartPath>,
    pub(super) entry: FileEntry,
    /// Why it does not stay.
    pub(super) bad: Option<String>,
    pub(super) is_there: bool,
    /// Whether it does not stay since a record that is lost retired it.
    pub(super) is_replaced: bool,
}

pub(super) fn retired(survivors: &Survivors) -> HashSet<String> {
    let records = survivors.records.values();
    let retired = records.flat_map(|found| &found.record.retired);
    retired.map(|path| path.as_str().to_owned()).collect()
}

/// The files that records name and none retires, each once and held against its checksums.
pub(super) fn named(
    root: &Path,
    survivors: &Survivors,
    retired: &HashSet<String>,
) -> Result<Vec<Named>, RepairError> {
    let mut seen = HashSet::new();
    let store = parts::store(root);
    let records = survivors.records.values();
    let entries = records.flat_map(|found| &found.record.files);
    let entries = entries.filter(|entry| !retired.contains(entry.path.as_str()));
    let entries = entries.filter(|entry| seen.insert(entry.path.as_str()));
    let named = entries.map(|entry| {
        let problem = PartFile::of_entry(&store, entry).open_whole().err();
        let problem = problem.map(|error| error.problem);
        if let Some(FileProblem::Unreadable(error)) = &problem
            && let Some(error) = RepairError::if_no_damage(&root.join(entry.path.as_str()), error)
        {
            return Err(error);
        }
        Ok(Named {
            part: entry.path.parse().ok(),
            entry: entry.clone(),
            is_there: problem.is_none() || is_movable(&root.join(entry.path.as_str())),
            bad: problem.map(|problem| format!("it {problem}")),
            is_replaced: false,
        })
    });
    named.collect()
}

/// Whether there is something that can have a second name: a directory cannot, and stays where it is.
fn is_movable(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_dir())
}

/// Finds files that are missing under other names that no record has: they are theirs then.
pub(super) fn misnamed(
    root: &Path,
    on_disk: &[PartPath],
    named: &mut [Named],
    retired: &HashSet<String>,
) -> Vec<Renamed> {
    let is_free =
        |named: &Named| fs::symlink_metadata(root.join(named.entry.path.as_str())).is_err();
    let mut free: Vec<&mut Named> = Vec::new();
    let mut is_named: HashSet<String> = HashSet::new();
    for named in named.iter_mut() {
        is_named.insert(named.entry.path.as_str().to_owned());
        if is_free(named) {
            free.push(named);
        }
    }
    if free.is_empty() {
        return Vec::new();
    }
    let sizes: HashSet<u64> = free.iter().map(|named| named.entry.bytes).collect();
    let mut strays: HashMap<(u64, u32), Vec<String>> = HashMap::new();
    for path in on_disk.iter().map(PartPath::to_string) {
        if is_named.contains(&path) || retired.contains(&path) {
            continue;
        }
        let is_of_size = |bytes: &u64| sizes.contains(bytes);
        if let Some(key) = size_and_checksum(&root.join(&path), is_of_size) {
            strays.entry(key).or_default().push(path);
        }
    }
    let mut renamed = Vec::new();
    for named in free {
        let key = (named.entry.bytes, named.entry.crc32c.0);
        if let Some(from) = strays.get_mut(&key).and_then(Vec::pop) {
            named.bad = None;
            named.is_there = true;
            renamed.push(Renamed {
                from,
                to: named.entry.path.as_str().to_owned(),
            });
        }
    }
    renamed
}

/// The size and the checksum of a file that has one of the sizes that are looked for; none of any other, and of what
/// cannot be read.
fn size_and_checksum(path: &Path, is_looked_for: impl Fn(&u64) -> bool) -> Option<(u64, u32)> {
    let bytes = fs::metadata(path).ok()?.len();
    if !is_looked_for(&bytes) {
        return None;
    }
    let mut file = regular::open(path).ok()?;
    let crc32c = checksum(&mut file, 0..bytes).ok()?;
    Some((bytes, crc32c.0))
}

/// Files that no record names where none is lost, and why they are moved aside; no reason for what a recorder
/// leaves that is killed.
pub(super) fn leftovers(
    root: &Path,
    on_disk: &[PartPath],
    named: &[Named],
    renamed: &[Renamed],
    retired: &HashSet<String>,
) -> Result<Vec<(String, Option<String>)>, RepairError> {
    let mut known: HashSet<&str> = named
        .iter()
        .map(|named| named.entry.path.as_str())
        .collect();
    known.extend(renamed.iter().map(|renamed| renamed.from.as_str()));
    let is_missing = |named: &Named| named.bad.is_some() && !named.is_there && !named.is_replaced;
    let has_missing = named.iter().any(is_missing);
    let earlier = damaged::earlier(root)?;
    let paths = on_disk.iter().map(PartPath::to_string);
    let leftovers = paths.filter(|path| !known.contains(path.as_str()));
    let with_reason = leftovers.map(|path| {
        let moved_to = earlier
            .iter()
            .find(|dir| damaged::is_same_file(&root.join(&path), &dir.join(&path)));
        let reason = match moved_to {
            Some(_) => Some("a repair that was interrupted had moved it".to_owned()),
            None if has_missing && !retired.contains(&path) => Some(
                "no record names it, and files that records name are missing: it may be one of them"
                    .to_owned(),
            ),
            None => None,
        };
        (path, reason)
    });
    Ok(with_reason.collect())
}

/// Drops files that a later session recorded anew: the record that retired them is lost.
pub(super) fn drop_replaced(named: &mut [Named], sessions: &Sessions) {
    for named in named.iter_mut() {
        if named
            .part
            .as_ref()
            .is_some_and(|part| sessions.has_replaced(part))
        {
            named.bad = Some("a later session recorded it anew".to_owned());
            named.is_replaced = true;
        }
    }
    // Of a rank's checkpoints the newest alone stays.
    let states = named.iter().filter_map(|named| named.part.as_ref());
    let states = states.filter(|part| part.table == Table::Resume);
    let mut newest: HashMap<Rank, Step> = HashMap::new();
    for part in states {
        let step = newest.entry(part.rank).or_insert(part.step);
        *step = part.step.max(*step);
    }
    for named in named.iter_mut().filter(|named| !named.is_there) {
        let part = named.part.as_ref();
        named.is_replaced |= part.is_some_and(|part| {
            part.table == Table::Resume
                && newest.get(&part.rank).is_some_and(|new| part.step < *new)
        });
    }
}

/// Drops saved states of which a file is bad: training cannot go on from what is left.
pub(super) fn drop_bad_states(named: &mut [Named], run_file: &RunFile) {
    let mut states: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    for (index, named) in named.iter().enumerate() {
        if let Some(part) = named
            .part
            .as_ref()
            .filter(|part| part.table == Table::Resume)
        {
            states.entry(key_of(part)).or_default().push(index);
        }
    }
    for indices in states.into_values() {
        let good = indices.iter().filter(|index| named[**index].bad.is_none());
        let good = good.filter_map(|index| {
            let named = &named[*index];
            Some((named.part.as_ref()?, named.entry.rows))
        });
        let good: Vec<(&PartPath, u64)> = good.collect();
        let is_whole =
            good.len() == indices.len() && is_whole_state(good.iter().copied(), &run_file.info);
        if is_whole || good.is_empty() || good.len() == indices.len() {
            continue;
        }
        for index in indices {
            let bad = &mut named[index].bad;
            bad.get_or_insert_with(|| "its checkpoint is not whole without the others".to_owned());
        }
    }
}
