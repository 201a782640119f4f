//! What a repair does: decided before anything is changed.

mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::named::{
    Named, Renamed, drop_bad_states, drop_replaced, leftovers, misnamed, named, retired,
};
use super::orphans::{
    self, Examined, Key, Known, MAX_SESSIONS, Restored, Sessions, key_of, lacking_words,
};
use super::parts;
use super::run_file::{self, Origin, RunFile};
use super::survey::{self, Survey, Survivors};
use super::switch::{MAX_COPIES_BYTES, rechain};
use super::{MovedFile, RepairError, RepairReport};
use crate::catalog::is_derived;
use crate::commit::{CaptureId, CommitRecord, FileEntry};
use crate::disk::Disk;
use crate::history::{self, Log, ReadCommitsError};
use crate::id::{Generation, Nonce, Rank};
use crate::layers::{self, Held, Lacking, Recorded};
use crate::lost_history;
use crate::part::PartPath;
use crate::place::COMMITS_DIR;
use crate::store::LocalStore;
use crate::table::Table;
use told::{Told, told};

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// What `run.json` is to be; none where it stays as it is.
    pub(super) run_json: Option<Vec<u8>>,
    /// The history that takes the place of the old one; none where that stays.
    pub(super) records: Option<Vec<CommitRecord>>,
    /// Part files that are moved aside.
    pub(super) moved: Vec<MovedFile>,
    /// Files that get the names back by which records name them.
    pub(super) renamed: Vec<Renamed>,
    pub(super) actions: Vec<String>,
    pub(super) lost: Vec<String>,
    num_leftovers: usize,
}

impl Plan {
    pub(super) fn report(&self) -> RepairReport {
        RepairReport {
            actions: self.actions.clone(),
            moved: self.moved.clone(),
            lost: self.lost.clone(),
            moved_to: None,
            num_leftovers: self.num_leftovers,
        }
    }
}

/// Looks at everything, and decides.
pub(super) fn plan(
    disk: &Arc<dyn Disk>,
    root: &Path,
    unchecked: bool,
) -> Result<Plan, RepairError> {
    let log_dir = root.join(COMMITS_DIR);
    if log_dir.exists() && !log_dir.is_dir() {
        let why =
            "is no directory: move it out of the run first; what is whole is named again then";
        return Err(RepairError::immovable(&log_dir, why));
    }
    let on_disk = parts::on_disk(root)?;
    let mut survey = survey::survey(&log_dir)?;
    let (run_file, survivors) = run_file::find(root, &mut survey, &on_disk, unchecked)?;
    let store = LocalStore::on(Arc::clone(disk), root);
    let log = Log::in_store(Arc::new(store), Some(run_file.info.run_id.clone()));
    let is_read = is_read(&log, &survey)?;
    // What lies beside an empty history is of a recorder that was killed before it committed anything.
    let is_gone = match log.dir.exists() {
        false => !on_disk.is_empty(),
        true => {
            survivors.records.is_empty()
                && lost_history::proof_of_loss(&parts::store(root))?.is_some()
        }
    };
    let has_lost = survivors.lack_records() || !is_read && !survey.bad.is_empty() || is_gone;
    let retired = retired(&survivors);
    let mut named = named(root, &survivors, &retired)?;
    let renamed = misnamed(root, &on_disk, &mut named, &retired);
    let parts_of = |named: &[Named]| -> Vec<PartPath> {
        named
            .iter()
            .filter_map(|named| named.part.clone())
            .collect()
    };
    let mut known: HashSet<String> = retired.clone();
    known.extend(
        named
            .iter()
            .map(|named| named.entry.path.as_str().to_owned()),
    );
    known.extend(renamed.iter().map(|renamed| renamed.from.clone()));
    let examined = match has_lost {
        true => orphans::examine(root, &run_file.info, &on_disk, &known, unchecked)?,
        false => Examined::default(),
    };
    let sessions = Sessions::of(parts_of(&named).iter().chain(examined.whole()));
    if has_lost {
        drop_replaced(&mut named, &sessions);
    }
    let mut captures = Captures::new(&survivors, &named, &run_file);
    captures.drop_bad(&mut named, &retired_keys(&retired));
    drop_bad_states(&mut named, &run_file);
    let known = Known {
        root,
        info: &run_file.info,
        survivors: &survivors,
        named: &parts_of(&named),
    };
    let restored = orphans::decide(&known, &sessions, examined);
    if let Some(example) = restored.unchecked.first() {
        return Err(RepairError::Unchecked {
            num_files: restored.unchecked.len(),
            example: example.to_string(),
        });
    }
    let is_new = !is_read
        || !survey.strays.is_empty()
        || has_lost
        || run_file.origin == Origin::Rebuilt
        || named.iter().any(|named| named.bad.is_some())
        || !captures.dropped.is_empty();
    let planned = Planned {
        survivors: &survivors,
        run_file: &run_file,
        named: &named,
        captures: &captures,
        restored: &restored,
        retired: &retired,
        sessions: &sessions,
    };
    let records = is_new.then(|| planned.records()).transpose()?;
    let records =
        records.filter(|records| !records.is_empty() || !survivors.records.is_empty() || !is_read);
    let given_back: HashSet<&str> = renamed.iter().map(|renamed| renamed.to.as_str()).collect();
    let is_elsewhere = |named: &&Named| given_back.contains(named.entry.path.as_str());
    let mut moved: Vec<MovedFile> = named
        .iter()
        .filter(|named| named.is_there && !is_elsewhere(named))
        .filter_map(|named| {
            Some(MovedFile {
                path: named.entry.path.as_str().to_owned(),
                reason: named.bad.clone()?,
            })
        })
        .collect();
    moved.extend(restored.rejected.iter().map(|rejected| MovedFile {
        path: rejected.part.to_string(),
        reason: rejected.reason.clone(),
    }));
    let leftovers = match has_lost {
        true => Vec::new(),
        false => leftovers(root, &on_disk, &named, &renamed, &retired)?,
    };
    let num_leftovers = leftovers
        .iter()
        .filter(|(_, reason)| reason.is_none())
        .count();
    let leftovers = leftovers.into_iter();
    moved.extend(leftovers.filter_map(|(path, reason)| {
        Some(MovedFile {
            path,
            reason: reason?,
        })
    }));
    // What is taken out in the end needs no name again.
    let good: HashSet<&str> = named
        .iter()
        .filter(|named| named.bad.is_none())
        .map(|named| named.entry.path.as_str())
        .collect();
    let (renamed, taken_out): (Vec<Renamed>, Vec<Renamed>) = renamed
        .into_iter()
        .partition(|renamed| good.contains(renamed.to.as_str()));
    moved.extend(taken_out.into_iter().map(|renamed| MovedFile {
        reason: format!("it is {}, which is taken out", renamed.to),
        path: renamed.from,
    }));
    moved.extend(renamed.iter().map(|renamed| MovedFile {
        path: renamed.from.clone(),
        reason: format!("it is {}, and has its name again", renamed.to),
    }));
    moved.sort_by(|a, b| a.path.cmp(&b.path));
    moved.dedup_by(|a, b| a.path == b.path);
    let (actions, lost) = told(&Told {
        survey: &survey,
        planned: &planned,
        records: records.as_deref(),
        moved: &moved,
        renamed: &renamed,
    });
    Ok(Plan {
        run_json: (run_file.origin != Origin::AsItIs).then(|| run_file.json.clone()),
        records,
        moved,
        renamed,
        actions,
        lost,
        num_leftovers,
    })
}

/// Whether readers read the history as it is.
///
/// # Errors
/// If something cannot be read that could be a moment ago.
fn is_read(log: &Log, survey: &Survey) -> Result<bool, RepairError> {
    match history::visit_commits(log, || (), |(), _, _| ()) {
        Ok(()) => Ok(true),
        Err(ReadCommitsError::Io { path, source }) => {
            let name = path.file_name().and_then(|name| name.to_str());
            let is_bad = survey.bad.iter().any(|bad| Some(bad.name.as_str()) == name);
            match is_bad {
                true => Ok(false),
                false => Err(ReadCommitsError::Io { path, source }.into()),
            }
        }
        Err(_) => Ok(false),
    }
}

/// The captures that surviving records name.
#[derive(Debug)]
pub(super) struct Captures {
    dropped: BTreeMap<Key, Dropped>,
    /// By the record that names it, a capture, and its files there.
    listed: BTreeMap<(u64, CaptureId), Key>,
    recorded: Recorded,
}

/// A capture that is taken out.
#[derive(Debug)]
struct Dropped {
    reason: String,
    /// Whether that is as it should be: a later session recorded it anew.
    is_replaced: bool,
}

impl Captures {
    fn new(survivors: &Survivors, named: &[Named], run_file: &RunFile) -> Self {
        let mut listed = BTreeMap::new();
        for record in survivors.records.values().map(|found| &found.record) {
            let parts = record
                .files
                .iter()
                .flat_map(|file| file.path.parse::<PartPath>());
            let keys: Vec<Key> = parts
                .filter(|part| part.table != Table::Resume)
                .map(|part| key_of(&part))
                .collect();
            for id in &record.captures {
                let of_capture = keys
                    .iter()
                    .find(|(rank, of, _)| (rank, of) == (&record.rank, id));
                let nothing = (record.rank, *id, Generation::default());
                let key = of_capture.copied().unwrap_or(nothing);
                listed.insert((record.number, *id), key);
            }
        }
        let parts = named.iter().filter_map(|named| named.part.as_ref());
        Self {
            dropped: BTreeMap::new(),
            listed,
            recorded: Recorded::of(parts, &run_file.info),
        }
    }

    /// Takes out captures that are not whole, with all their files.
    fn drop_bad(&mut self, named: &mut [Named], retired: &HashSet<Key>) {
        let mut held: HashMap<Key, Held> = HashMap::new();
        let of_captures = |part: &&PartPath| part.table.is_of_captures();
        for named in named.iter() {
            let Some(part) = named.part.as_ref().filter(of_captures) else {
                continue;
            };
            match &named.bad {
                None => {
                    let held = held.entry(key_of(part)).or_default();
                    layers::add(held, part, named.entry.rows);
                }
                Some(bad) => {
                    self.dropped.entry(key_of(part)).or_insert_with(|| Dropped {
                        reason: format!("{}: {bad}", named.entry.path),
                        is_replaced: named.is_replaced,
                    });
                }
            }
        }
        let nothing = Held::new();
        for key in self.listed.values() {
            // A capture of which every file was retired does not exist any more.
            if !held.contains_key(key) && retired.contains(key) {
                continue;
            }
            let held = held.get(key).unwrap_or(&nothing);
            let mut lacking = self.recorded.lacking(key.0, held);
            // Files with the bytes that were committed stay, whatever their rows say.
            lacking.retain(Lacking::lacks_files);
            if !lacking.is_empty() {
                self.dropped.entry(*key).or_insert_with(|| Dropped {
                    reason: format!("it lacks {}", lacking_words(&lacking)),
                    is_replaced: false,
                });
            }
        }
        for named in named.iter_mut() {
            let Some(part) = named.part.as_ref().filter(of_captures) else {
                continue;
            };
            if let Some(dropped) = self.dropped.get(&key_of(part)) {
                let reason = format!("its capture is not whole ({})", dropped.reason);
                named.bad.get_or_insert(reason);
                named.is_replaced |= dropped.is_replaced;
            }
        }
    }

    /// Whether a capture that a record names is taken out.
    fn is_dropped(&self, number: u64, id: CaptureId) -> bool {
        let key = self.listed.get(&(number, id));
        key.is_some_and(|key| self.dropped.contains_key(key))
    }

    /// What is lost of captures.
    pub(super) fn lost(&self) -> impl Iterator<Item = (&Key, &str)> {
        let lost = self
            .dropped
            .iter()
            .filter(|(_, dropped)| !dropped.is_replaced);
        lost.map(|(key, dropped)| (key, dropped.reason.as_str()))
    }
}

/// The captures of which records retire files.
fn retired_keys(retired: &HashSet<String>) -> HashSet<Key> {
    let parts = retired.iter().flat_map(|path| path.parse::<PartPath>());
    let parts = parts.filter(|part| part.table.is_of_captures());
    parts.map(|part| key_of(&part)).collect()
}

/// What a new history is made of.
pub(super) struct Planned<'a> {
    pub(super) survivors: &'a Survivors,
    pub(super) run_file: &'a RunFile,
    pub(super) named: &'a [Named],
    pub(super) captures: &'a Captures,
    pub(super) restored: &'a Restored,
    retired: &'a HashSet<String>,
    sessions: &'a Sessions,
}

impl Planned<'_> {
    /// The records of the new history, in order and linked.
    fn records(&self) -> Result<Vec<CommitRecord>, RepairError> {
        let good: HashSet<&str> = self
            .named
            .iter()
            .filter(|named| named.bad.is_none())
            .map(|named| named.entry.path.as_str())
            .collect();
        let mut seen = HashSet::new();
        let survivors = self.survivors.records.values().filter_map(|found| {
            let was_derived = is_derived(&found.record);
            let mut record = found.record.clone();
            let number = record.number;
            record
                .captures
                .retain(|id| !self.captures.is_dropped(number, *id));
            // What a record retires stays named, and readers leave it out.
            record.files.retain(|file| {
                let path = file.path.as_str();
                seen.insert(path.to_owned()) && (good.contains(path) || self.retired.contains(path))
            });
            // Nothing would say any more that it is no recorder's.
            let is_emptied = record.files.is_empty() && record.retired.is_empty();
            (!was_derived || !is_emptied).then_some(record)
        });
        let mut records: Vec<CommitRecord> = survivors.collect();
        self.insert_restored(&mut records)?;
        self.insert_sessions(&mut records)?;
        self.take_back_endings(&mut records);
        rechain(
            &mut records,
            &self.run_file.info.run_id,
            &self.run_file.json,
        );
        Ok(records)
    }

    fn blank(&self, rank: Rank, time: String) -> Result<CommitRecord, RepairError> {
        Ok(CommitRecord {
            number: 0,
            nonce: Nonce::draw()
                .map_err(RepairError::io("draw a nonce for", Path::new(COMMITS_DIR)))?,
            run_id: Some(self.run_file.info.run_id.clone()),
            run_crc32c: None,
            previous_crc32c: None,
            time,
            rank,
            session: None,
            run_json: None,
            is_final: false,
            captures: Vec::new(),
            files: Vec::new(),
            retired: Vec::new(),
        })
    }

    /// When a record was written, as near as the one before it says.
    fn time_at(&self, records: &[CommitRecord], at: usize) -> String {
        let before = at.checked_sub(1).and_then(|before| records.get(before));
        before.map_or_else(
            || self.run_file.info.created.clone(),
            |record| record.time.clone(),
        )
    }

    /// Where the first record is missing behind the last one of a capture of a rank, and its number.
    fn gap(&self, records: &[CommitRecord], rank: Rank) -> (usize, u64) {
        let mut survivors = self
            .survivors
            .records
            .values()
            .map(|found| &found.record)
            .rev();
        let last = survivors.find(|record| record.rank == rank && !record.captures.is_empty());
        let last = last.map(|record| record.number);
        let mut lost = self.survivors.lost.iter();
        let gap = lost.find(|(_, end)| last.is_none_or(|last| *end > last));
        let number = gap.map_or(u64::MAX, |(first, _)| *first);
        let at = records.iter().position(|record| record.number > number);
        (at.unwrap_or(records.len()), number)
    }

    /// Puts what is named again before the first record of its rank that is later.
    fn insert_restored(&self, records: &mut Vec<CommitRecord>) -> Result<(), RepairError> {
        let mut groups: Vec<(&Key, &Vec<FileEntry>)> = self.restored.files.iter().collect();
        groups.sort_by_key(|((rank, id, generation), _)| (*generation, id.step, id.epoch, *rank));
        let mut last: Option<(Rank, Generation, usize)> = None;
        for ((rank, id, generation), files) in groups {
            let later = |record: &CommitRecord| {
                record.rank == *rank && record.captures.iter().any(|other| other.step > id.step)
            };
            let later = records.iter().position(later);
            let (at, number) = later.map_or_else(|| self.gap(records, *rank), |at| (at, 0));
            // What belongs together goes into one record.
            let index = match last {
                Some((of_rank, of_generation, index))
                    if (of_rank, of_generation) == (*rank, *generation) && index + 1 == at =>
                {
                    index
                }
                _ => {
                    let blank = self.blank(*rank, self.time_at(records, at))?;
                    records.insert(at, CommitRecord { number, ..blank });
                    at
                }
            };
            let record = &mut records[index];
            record.files.extend(files.iter().cloned());
            if self.restored.captures.contains(&(*rank, *id, *generation)) {
                record.captures.push(*id);
            }
            last = Some((*rank, *generation, index));
        }
        for file in &self.restored.derived {
            let time = self.time_at(records, records.len());
            let part: Option<PartPath> = file.path.parse().ok();
            let nonce = part.and_then(|part| part.nonce);
            let blank = self.blank(Rank::default(), time)?;
            records.push(CommitRecord {
                nonce: nonce.unwrap_or(blank.nonce),
                files: vec![file.clone()],
                ..blank
            });
        }
        Ok(())
    }

    /// Makes sure that there are as many sessions as there were, so that the next one does not call its
    /// files as one before called its own.
    fn insert_sessions(&self, records: &mut Vec<CommitRecord>) -> Result<(), RepairError> {
        let mut missing = self.sessions.count(self.run_file.info.world_size);
        // One that is left does not make room for one that no run has.
        let is_too_late = missing.values().any(|count| *count > MAX_SESSIONS as usize);
        for record in records.iter().filter(|record| record.session.is_some()) {
            if let Some(missing) = missing.get_mut(&record.rank) {
                *missing = missing.saturating_sub(1);
            }
        }
        let num_missing: usize = missing.values().sum();
        if is_too_late || num_missing > MAX_SESSIONS as usize {
            return Err(RepairError::TooManySessions { num_missing });
        }
        let config = self.lost_config(num_missing);
        for record in records.iter_mut() {
            let is_without = record.session.is_none() && !record.captures.is_empty();
            if is_without
                && let Some(missing) = missing.get_mut(&record.rank)
                && *missing > 0
            {
                record.session = Some(config.clone());
                *missing -= 1;
            }
        }
        let mut blanks = Vec::new();
        for (rank, missing) in missing {
            for _ in 0..missing {
                let blank = self.blank(rank, self.time_at(records, 0))?;
                blanks.push(CommitRecord {
                    session: Some(config.clone()),
                    ..blank
                });
            }
        }
        records.splice(0..0, blanks);
        Ok(())
    }

    /// What is said of sessions of which nothing is left: what the run's first one was to do, unless that would be
    /// said too often.
    fn lost_config(&self, num_missing: usize) -> Value {
        let config = &self.run_file.info.config;
        let num_bytes = config.to_string().len();
        match num_bytes.saturating_mul(num_missing) <= MAX_COPIES_BYTES {
            true => config.clone(),
            false => Value::Object(serde_json::Map::new()),
        }
    }

    /// A session of which something is lost has not recorded everything.
    fn take_back_endings(&self, records: &mut [CommitRecord]) {
        let dropped = self.captures.lost().map(|((rank, ..), _)| *rank);
        // What is derived is no part of what a session recorded.
        let is_recorded = |part: &&PartPath| !part.table.is_derived();
        let named = self.named.iter();
        let named = named.filter(|named| named.bad.is_some() && !named.is_replaced);
        let named = named.filter_map(|named| named.part.as_ref());
        let rejected = self.restored.rejected.iter();
        let rejected = rejected.filter(|rejected| rejected.is_lost);
        let rejected = rejected.map(|rejected| &rejected.part);
        let others = named.chain(rejected).filter(is_recorded);
        let mut ranks: BTreeSet<Rank> = dropped.chain(others.map(|part| part.rank)).collect();
        // What is named again need not be all that a record named that is lost.
        if self.survivors.lack_records() {
            ranks.extend(records.iter().map(|record| record.rank));
        }
        for rank in ranks {
            let newest = records
                .iter_mut()
                .rev()
                .find(|record| record.rank == rank && record.is_final);
            if let Some(record) = newest {
                record.is_final = false;
            }
        }
    }
}
