//! Files that no record names, in a run that has lost records: which of them were committed.
//!
//! A record is durable after its files, and a writer removes what it retires before it writes anything
//! else. So what is there and whole was most likely committed; what cannot have been is told by the records
//! that survive.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use super::RepairError;
use super::parts::{self, Refusal, Trust};
use super::survey::Survivors;
use crate::commit::{CaptureId, FileEntry};
use crate::id::{Generation, LayerLabel, Rank, Step};
use crate::layers::{self, Held, HeldOfLayer, Lacking, Recorded};
use crate::part::{PartPath, cmp_part_files};
use crate::place::STAGING_DIR;
use crate::run::RunInfo;
use crate::table::Table;

/// A run that was resumed so often is none.
pub(super) const MAX_SESSIONS: u32 = 1 << 16;

/// A part of a capture, by who recorded it and when.
pub(super) type Key = (Rank, CaptureId, Generation);

/// The capture that a file is of.
pub(super) fn key_of(part: &PartPath) -> Key {
    let id = CaptureId {
        epoch: part.epoch,
        step: part.step,
    };
    (part.rank, id, part.generation)
}

/// What is known of the run but for its files that no record names.
pub(super) struct Known<'a> {
    pub(super) root: &'a Path,
    pub(super) info: &'a RunInfo,
    pub(super) survivors: &'a Survivors,
    /// The files that records name and none retires, whether they are whole or not.
    pub(super) named: &'a [PartPath],
}

/// Files that are named again, by the capture that they are of or the moment that they tell of.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub(super) files: BTreeMap<Key, Vec<FileEntry>>,
    /// The keys among these that are captures.
    pub(super) captures: BTreeSet<Key>,
    /// Files of derived tables, each the only one of its commit.
    pub(super) derived: Vec<FileEntry>,
    /// Files that are not named again.
    pub(super) rejected: Vec<Rejected>,
    /// Files that may have been the run's, and of which nobody can tell whether they are whole.
    pub(super) unchecked: Vec<PartPath>,
}

/// A file that is not named again.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) part: PartPath,
    pub(super) reason: String,
    /// Whether it may have been the run's: something is lost with it.
    pub(super) is_lost: bool,
}

/// Files that no record names, and what was found of each: what a commit would say, or what is wrong.
#[derive(Debug, Default)]
pub(super) struct Examined {
    whole: Vec<(PartPath, FileEntry)>,
    unchecked: Vec<PartPath>,
    bad: Vec<(PartPath, String)>,
}

impl Examined {
    /// The files that are whole: they alone say anything of the run.
    pub(super) fn whole(&self) -> impl Iterator<Item = &PartPath> {
        self.whole.iter().map(|(part, _)| part)
    }
}

/// Opens every file that no record names and none retires, and holds it against its own checksums.
///
/// # Errors
/// If one cannot be read just now.
pub(super) fn examine(
    root: &Path,
    info: &RunInfo,
    on_disk: &[PartPath],
    known: &HashSet<String>,
    unchecked: bool,
) -> Result<Examined, RepairError> {
    let mut examined = Examined::default();
    let trust = Trust {
        topology: Some(&info.layers),
        unchecked,
    };
    for part in on_disk {
        if known.contains(&part.to_string()) {
            continue;
        }
        if part.generation.0 >= MAX_SESSIONS {
            let reason = format!("a run has fewer than {MAX_SESSIONS} sessions");
            examined.bad.push((part.clone(), reason));
            continue;
        }
        match parts::entry_of(root, part, trust) {
            Ok(entry) => examined.whole.push((part.clone(), entry)),
            Err(Refusal::Unchecked) => examined.unchecked.push(part.clone()),
            Err(Refusal::Bad(reason)) => examined.bad.push((part.clone(), reason)),
            Err(Refusal::Unreadable(source)) => {
                let path = root.join(part.to_string());
                return Err(RepairError::io("read", &path)(source));
            }
        }
    }
    Ok(examined)
}

/// The first step of each session that is told by its files.
pub(super) struct Sessions(BTreeMap<(Rank, Generation), Step>);

impl Sessions {
    pub(super) fn of<'a>(parts: impl Iterator<Item = &'a PartPath>) -> Self {
        let mut first = BTreeMap::new();
        let recorded = |part: &&PartPath| !part.table.is_derived() && part.table != Table::Resume;
        for part in parts.filter(recorded) {
            let step = first
                .entry((part.rank, part.generation))
                .or_insert(part.step);
            *step = part.step.min(*step);
        }
        Self(first)
    }

    /// Whether a later session recorded anew what the file tells: it retired it.
    pub(super) fn has_replaced(&self, part: &PartPath) -> bool {
        let next = Generation(part.generation.0.saturating_add(1));
        let later = self.0.range((part.rank, next)..);
        let of_rank = later.take_while(|((rank, _), _)| *rank == part.rank);
        !part.table.is_derived() && of_rank.into_iter().any(|(_, first)| *first <= part.step)
    }

    /// How many sessions of a rank of the run there were at least.
    pub(super) fn count(&self, world_size: u32) -> BTreeMap<Rank, usize> {
        let mut counts = BTreeMap::new();
        let of_run = |rank: &Rank| rank.0.cast_unsigned() < world_size;
        for (rank, generation) in self.0.keys().filter(|(rank, _)| of_run(rank)) {
            let count: &mut usize = counts.entry(*rank).or_default();
            *count = (*count).max(generation.0.min(MAX_SESSIONS) as usize + 1);
        }
        counts
    }
}

/// Decides about every file that no record names.
pub(super) fn decide(known: &Known<'_>, sessions: &Sessions, examined: Examined) -> Restored {
    let mut restored = Restored::default();
    let Examined {
        whole,
        mut unchecked,
        bad,
    } = examined;
    let mut refused = |part: &PartPath| {
        let reason = refusal(known, sessions, part);
        reason
            .map(|reason| restored.reject(part, reason, false))
            .is_some()
    };
    let bad: Vec<_> = bad.into_iter().filter(|(part, _)| !refused(part)).collect();
    let whole: Vec<_> = whole
        .into_iter()
        .filter(|(part, _)| !refused(part))
        .collect();
    unchecked.retain(|part| !refused(part));
    restored.unchecked = unchecked;
    for (part, reason) in bad {
        restored.reject(&part, format!("no record names it, and {reason}"), true);
    }
    let recorded = known.named.iter().chain(whole.iter().map(|(part, _)| part));
    let recorded = Recorded::of(recorded, known.info);
    let mut groups: BTreeMap<Key, Vec<(PartPath, FileEntry)>> = BTreeMap::new();
    let mut states: BTreeMap<(Rank, Step), Vec<(PartPath, FileEntry)>> = BTreeMap::new();
    for (part, entry) in whole {
        match part.table {
            Table::Resume => states
                .entry((part.rank, part.step))
                .or_default()
                .push((part, entry)),
            table if table.is_derived() => restored.derived.push(entry),
            _ => groups.entry(key_of(&part)).or_default().push((part, entry)),
        }
    }
    for (key, files) in groups {
        restored.take_capture(&recorded, key, files);
    }
    restored.take_states(known, states);
    restored
}

/// Why a file cannot have been committed, and not retired, by what the surviving records say.
fn refusal(known: &Known<'_>, sessions: &Sessions, part: &PartPath) -> Option<String> {
    if part.rank.0.cast_unsigned() >= known.info.world_size {
        return Some(format!(
            "no record names it, and the run has no rank {}",
            part.rank
        ));
    }
    if sessions.has_replaced(part) {
        return Some("no record names it, and a later session recorded it anew".to_owned());
    }
    if let Some(nonce) = &part.nonce {
        let staging = known.root.join(STAGING_DIR).join(nonce.as_str());
        return staging
            .exists()
            .then(|| "its writer was killed before it was committed".to_owned());
    }
    if known.survivors.lost_after(part.rank) {
        return None;
    }
    let records = known.survivors.records.values().map(|found| &found.record);
    let of_rank = records.filter(|record| record.rank == part.rank);
    let newest = of_rank
        .flat_map(|record| &record.captures)
        .map(|id| id.step)
        .max();
    let is_later = newest.is_none_or(|newest| part.step > newest);
    is_later.then(|| {
        "it is later than all that its rank committed: its recorder was killed before".to_owned()
    })
}

impl Restored {
    fn reject(&mut self, part: &PartPath, reason: String, is_lost: bool) {
        self.rejected.push(Rejected {
            part: part.clone(),
            reason,
            is_lost,
        });
    }

    /// Takes the files of a moment: of a capture all or, where it is not whole, none.
    fn take_capture(&mut self, recorded: &Recorded, key: Key, files: Vec<(PartPath, FileEntry)>) {
        let mut held = Held::new();
        let (of_capture, others): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|(part, _)| part.table.is_of_captures());
        let entries = |files: Vec<(PartPath, FileEntry)>| files.into_iter().map(|(_, entry)| entry);
        let mut taken: Vec<FileEntry> = entries(others).collect();
        if !of_capture.is_empty() {
            for (part, entry) in &of_capture {
                layers::add(&mut held, part, entry.rows);
            }
            let lacking = recorded.lacking(key.0, &held);
            match lacking.is_empty() {
                true => {
                    taken.extend(entries(of_capture));
                    self.captures.insert(key);
                }
                false => {
                    let reason = format!(
                        "no record names it, and its capture is not whole: it lacks {}",
                        lacking_words(&lacking)
                    );
                    for (part, _) in of_capture {
                        self.reject(&part, reason.clone(), true);
                    }
                }
            }
        }
        if !taken.is_empty() {
            taken.sort_by(|a, b| cmp_part_files(a.path.as_str(), b.path.as_str()));
            self.files.insert(key, taken);
        }
    }

    /// Takes the newest saved state of each rank, if it is whole and newer than the one that records name.
    fn take_states(
        &mut self,
        known: &Known<'_>,
        states: BTreeMap<(Rank, Step), Vec<(PartPath, FileEntry)>>,
    ) {
        let mut newest: HashMap<Rank, Step> = HashMap::new();
        for part in known
            .named
            .iter()
            .filter(|part| part.table == Table::Resume)
        {
            let step = newest.entry(part.rank).or_insert(part.step);
            *step = part.step.max(*step);
        }
        for ((rank, step), files) in states.into_iter().rev() {
            let is_newer = newest.get(&rank).is_none_or(|newest| step > *newest);
            let (reason, is_lost) = match () {
                () if !is_newer => ("no record names it, and there is a newer checkpoint", false),
                () if !is_whole_state(files.iter().map(|(part, e)| (part, e.rows)), known.info) => {
                    ("no record names it, and its checkpoint is not whole", true)
                }
                () => {
                    newest.insert(rank, step);
                    for (part, entry) in files {
                        self.files.entry(key_of(&part)).or_default().push(entry);
                    }
                    continue;
                }
            };
            for (part, _) in files {
                self.reject(&part, reason.to_owned(), is_lost);
            }
        }
    }
}

/// Whether a saved state has files of all layers, which are numbered without a hole, and rows of as many tensors of
/// each: files are given with how many rows they have.
pub(super) fn is_whole_state<'a>(
    files: impl Iterator<Item = (&'a PartPath, u64)>,
    info: &RunInfo,
) -> bool {
    let mut held: BTreeMap<&LayerLabel, HeldOfLayer> = BTreeMap::new();
    for (part, rows) in files {
        if let Some(layer) = &part.layer {
            held.entry(layer).or_default().add(part, rows);
        }
    }
    let mut num_tensors = BTreeSet::new();
    let layers = info
        .layers
        .layers()
        .iter()
        .filter(|layer| !layer.is_buffer());
    let mut layers = layers.filter(|layer| layer.fan_in > 0 && layer.num_units > 0);
    layers.all(|layer| {
        let of_layer = held.get(&layer.layer);
        let of_each = of_layer.and_then(|held| held.rows_a_unit(layer.num_units.into()));
        of_each.is_some_and(|of_each| {
            num_tensors.insert(of_each);
            true
        })
    }) && num_tensors.len() <= 1
}

/// What a capture lacks, in words.
pub(super) fn lacking_words(lacking: &[Lacking]) -> String {
    let names = |layers: &[LayerLabel]| {
        let names: Vec<&str> = layers.iter().map(LayerLabel::as_str).collect();
        names.join(", ")
    };
    let mut words = Vec::new();
    for Lacking {
        table,
        layers,
        partial,
    } in lacking
    {
        if !layers.is_empty() {
            words.push(format!("{table} of {}", names(layers)));
        }
        if !partial.is_empty() {
            words.push(format!("{table} of some units of {}", names(partial)));
        }
        if layers.is_empty() && partial.is_empty() {
            words.push(table.to_string());
        }
    }
    words.join("; ")
}
