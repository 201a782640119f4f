//! What a run's `run.json` was, where it is missing or was changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;

use arrow::array::RecordBatch;
use serde::Deserialize;
use serde_json::Value;

use super::RepairError;
use super::one_byte;
use super::orphans::{Key, key_of};
use super::parts::{self, Refusal, Trust};
use super::survey::{MAX_CORRECTED_BYTES, Survey, Survivors};
use crate::checksum::Crc32c;
use crate::commit::FileEntry;
use crate::id::{LayerLabel, Nonce, Rank};
use crate::number;
use crate::part::PartPath;
use crate::part_file::PartFile;
use crate::place::RUN_FILE;
use crate::regular;
use crate::run::{FORMAT_VERSION, FormatVersion, OpenRunError, RunDir, RunInfo};
use crate::table::Table;
use crate::time;
use crate::topology::{Layer, Topology};

/// Who is said to have created a run whose `run.json` says nothing.
const CREATED_BY: &str = concat!("stratigraph repair ", env!("CARGO_PKG_VERSION"));

/// The kind of a layer of which nobody knows it, and a device.
const UNKNOWN: &str = "unknown";

/// What a run is, and how it is known.
#[derive(Debug)]
pub(super) struct RunFile {
    pub(super) info: RunInfo,
    pub(super) json: Vec<u8>,
    pub(super) origin: Origin,
}

/// How what a run is is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// By its `run.json` as it is.
    AsItIs,
    /// By that, in which one byte was changed.
    Corrected,
    /// By a copy in the records.
    Copied,
    /// By its records and part files.
    Rebuilt,
}

/// Finds out what a run is, and which of the records that were found are its.
pub(super) fn find(
    root: &Path,
    survey: &mut Survey,
    on_disk: &[PartPath],
    unchecked: bool,
) -> Result<(RunFile, Survivors), RepairError> {
    let path = root.join(RUN_FILE);
    let json = match regular::read(&path) {
        Ok(json) => Some(json),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if regular::is_irregular(&error) => None,
        Err(error) => return Err(RepairError::io("read", &path)(error)),
    };
    if json.is_none() && on_disk.is_empty() && survey.run_ids().is_empty() {
        // There is nothing of which it could be rebuilt: why it is no run is said as always.
        return Err(match RunDir::open(root) {
            Err(error) => error.into(),
            Ok(_) => OpenRunError::NotARun {
                path: root.to_owned(),
            }
            .into(),
        });
    }
    let found = json.as_deref().and_then(parse);
    let ids = survey.run_ids();
    let run_id = match &found {
        Some(info) if ids.is_empty() || ids.contains(&info.run_id) => Some(info.run_id.clone()),
        _ => ids.into_iter().next(),
    };
    let survivors = survey.survivors(run_id.as_ref());
    let records = || survivors.records.values().map(|found| &found.record);
    let committed = records().rev().find_map(|record| record.run_crc32c);
    if let Some(json) = &json
        && committed.is_none_or(|committed| committed == Crc32c::of(json))
    {
        refuse_newer(root, json)?;
    }
    let is_of_run = |info: &RunInfo| run_id.as_ref().is_none_or(|run_id| info.run_id == *run_id);
    if let (Some(json), Some(info)) = (&json, found)
        && is_of_run(&info)
        && committed.is_none_or(|committed| committed == Crc32c::of(json))
    {
        let (json, origin) = (json.clone(), Origin::AsItIs);
        return Ok((RunFile { info, json, origin }, survivors));
    }
    if let Some(committed) = committed {
        let corrected = json.as_deref().and_then(|json| corrected(json, committed));
        let copies = records().filter_map(|record| record.run_json.as_ref());
        let copy = copies.map(|text| text.as_bytes().to_vec());
        let mut copy = copy.filter(|json| Crc32c::of(json) == committed);
        let known = [
            (Origin::Corrected, corrected),
            (Origin::Copied, copy.next()),
        ];
        for (origin, json) in known {
            if let Some(json) = json
                && let Some(info) = parse(&json).filter(|info| is_of_run(info))
            {
                return Ok((RunFile { info, json, origin }, survivors));
            }
        }
    }
    let trust = Trust {
        topology: None,
        unchecked,
    };
    let info = rebuilt(root, run_id, &survivors, on_disk, trust)?;
    let mut json = serde_json::to_vec_pretty(&info).expect("all keys are text");
    json.push(b'\n');
    let origin = Origin::Rebuilt;
    Ok((RunFile { info, json, origin }, survivors))
}

/// What a `run.json` says, if it can be understood.
fn parse(json: &[u8]) -> Option<RunInfo> {
    serde_json::from_slice(json).ok()
}

/// Refuses what a later version of the format wrote: it may say more than is known here.
pub(crate) fn refuse_newer(root: &Path, json: &[u8]) -> Result<(), RepairError> {
    #[derive(Deserialize)]
    struct Versioned {
        format: FormatVersion,
    }
    let known = (FORMAT_VERSION.major, FORMAT_VERSION.minor);
    match serde_json::from_slice(json) {
        Ok(Versioned { format }) if (format.major, format.minor) > known => {
            Err(RepairError::NewerFormat {
                path: root.to_owned(),
                found: format,
            })
        }
        _ => Ok(()),
    }
}

/// A `run.json` in which one byte was changed, as it was, if one change alone explains it.
fn corrected(json: &[u8], committed: Crc32c) -> Option<Vec<u8>> {
    if json.len() > MAX_CORRECTED_BYTES {
        return None;
    }
    let changes = one_byte::changes(json.len(), Crc32c::of(json), committed);
    let undone = changes.into_iter().map(|change| change.undone(json));
    let mut whole = undone.filter(|json| parse(json).is_some());
    let first = whole.next()?;
    whole.next().is_none().then_some(first)
}

/// What records and part files say of a run whose `run.json` is lost: its layers by their weights, how it
/// was recorded by its sessions. What it was trained on, and how its layers are joined, they do not say.
fn rebuilt(
    root: &Path,
    run_id: Option<Nonce>,
    survivors: &Survivors,
    on_disk: &[PartPath],
    trust: Trust<'_>,
) -> Result<RunInfo, RepairError> {
    let records = || survivors.records.values().map(|found| &found.record);
    let committed: BTreeMap<&str, &FileEntry> = records()
        .flat_map(|record| &record.files)
        .map(|file| (file.path.as_str(), file))
        .collect();
    let mut layers: BTreeMap<LayerLabel, Layer> = BTreeMap::new();
    let mut why = "there are no weights by which its layers could be told".to_owned();
    let captured = captured_layers(on_disk);
    let split: HashSet<&LayerLabel> = captured
        .iter()
        .filter(|(_, parts)| parts.len() > 1)
        .map(|(label, _)| *label)
        .collect();
    // Of a layer that is split a capture may have lost files, and captures are split differently: the one with most
    // rows says what there is.
    let says = |layer: &Layer| (layer.fan_in > 0, layer.num_recorded_units());
    for (label, parts) in captured {
        let known = layers.get(label).map(says);
        if known.is_some_and(|(has_weights, _)| has_weights) && !split.contains(label) {
            continue;
        }
        match layer_of(root, &parts, label, &committed, trust) {
            Ok(layer) if known.is_none_or(|known| says(&layer) > known) => {
                layers.insert(label.clone(), layer);
            }
            Ok(_) => {}
            Err((part, Refusal::Bad(problem))) => why = format!("{part}: {problem}"),
            Err((part, Refusal::Unchecked)) => {
                why = format!(
                    "{part}: it has no checksums of its own; --unchecked believes such files"
                );
            }
            Err((part, Refusal::Unreadable(source))) => {
                return Err(RepairError::io("read", &root.join(part.to_string()))(
                    source,
                ));
            }
        }
    }
    let cannot = |why: String| RepairError::NoRunFile {
        path: root.to_owned(),
        why,
    };
    if layers.is_empty() {
        return Err(cannot(why));
    }
    let layers = Topology::try_new(in_order(layers.into_values().collect()));
    let layers = layers.map_err(|error| cannot(error.to_string()))?;
    let mut ranks: BTreeSet<Rank> = records().map(|record| record.rank).collect();
    for part in on_disk {
        // A rank is one if a file of it is whole.
        if !ranks.contains(&part.rank) && parts::entry_of(root, part, trust).is_ok() {
            ranks.insert(part.rank);
        }
    }
    let last = ranks.last().map_or(0, |rank| rank.0.cast_unsigned());
    let world_size = last.saturating_add(1);
    if !number::is_world_size(world_size) {
        return Err(cannot(format!("nobody records a run as rank {last}")));
    }
    let config = records().rev().find_map(|record| record.session.clone());
    let config = config.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    Ok(RunInfo {
        format: FORMAT_VERSION,
        run_id: match run_id {
            Some(run_id) => run_id,
            None => Nonce::draw().map_err(RepairError::io("draw a name for", root))?,
        },
        created: records()
            .next()
            .map_or_else(time::now, |record| record.time.clone()),
        created_by: CREATED_BY.to_owned(),
        seed: config.pointer("/train/seed").and_then(Value::as_u64),
        device: UNKNOWN.to_owned(),
        world_size,
        model: Value::Null,
        dataset: None,
        evaluation_batch_size: None,
        class_names: Vec::new(),
        layers,
        config,
    })
}

/// The files of weights, those of a layer and a capture together in the order of their numbers.
fn captured_layers(on_disk: &[PartPath]) -> Vec<(&LayerLabel, Vec<&PartPath>)> {
    let mut captured: Vec<(&LayerLabel, Vec<&PartPath>)> = Vec::new();
    let mut places: HashMap<(&LayerLabel, Key), usize> = HashMap::new();
    let of_weights = on_disk.iter().filter(|part| part.table == Table::Weights);
    for part in of_weights {
        let Some(label) = &part.layer else {
            continue;
        };
        let place = places.entry((label, key_of(part))).or_insert_with(|| {
            captured.push((label, Vec::new()));
            captured.len() - 1
        });
        captured[*place].1.push(part);
    }
    for (_, parts) in &mut captured {
        parts.sort_by_key(|part| part.sequence);
    }
    captured
}

/// What a layer's files of weights of one capture say of it; of a refusal, which file it is about.
fn layer_of<'a>(
    root: &Path,
    parts: &[&'a PartPath],
    label: &LayerLabel,
    committed: &BTreeMap<&str, &FileEntry>,
    trust: Trust<'_>,
) -> Result<Layer, (&'a PartPath, Refusal)> {
    let (mut neurons, mut units, mut fan_in) = (Vec::new(), Vec::new(), 0);
    for &part in parts {
        let rows = rows_of(root, part, committed, trust).map_err(|refusal| (part, refusal))?;
        let numbers = |name: &str| {
            use arrow::array::AsArray as _;
            use arrow::datatypes::Int32Type;
            rows[name].as_primitive::<Int32Type>().values().to_vec()
        };
        neurons.extend(numbers("neuron"));
        units.extend(numbers("unit"));
        fan_in = parts::fan_in(&rows).unwrap_or(fan_in);
    }
    let first = parts.first().expect("a capture has a file");
    told_by(label, &neurons, &units, fan_in).map_err(|problem| (*first, problem.into()))
}

/// The rows of a file of weights, if it can be believed.
fn rows_of(
    root: &Path,
    part: &PartPath,
    committed: &BTreeMap<&str, &FileEntry>,
    trust: Trust<'_>,
) -> Result<RecordBatch, Refusal> {
    let entry = match committed.get(part.to_string().as_str()) {
        Some(entry) => {
            let file = PartFile::of_entry(&parts::store(root), entry);
            file.open_whole().map_err(Refusal::of_file)?;
            (*entry).clone()
        }
        None => parts::entry_of(root, part, trust)?,
    };
    parts::weights_of(root, part, &entry)
}

/// The layer that has rows of these units.
fn told_by(
    label: &LayerLabel,
    neurons: &[i32],
    units: &[i32],
    fan_in: u32,
) -> Result<Layer, String> {
    let (Some(neuron), Some(unit), Some(last)) =
        (neurons.first(), units.first(), units.iter().max())
    else {
        return Err("it has no rows".to_owned());
    };
    let units: Option<Vec<u32>> = units.iter().map(|&unit| u32::try_from(unit).ok()).collect();
    let units = units.ok_or_else(|| "it has units below 0".to_owned())?;
    let num_units = u32::try_from(*last)
        .map_err(|e| e.to_string())?
        .saturating_add(1);
    let is_all = units.len() == num_units as usize;
    Ok(Layer {
        layer_index: 0,
        layer: label.clone(),
        module_path: label.as_str().to_owned(),
        kind: UNKNOWN.to_owned(),
        shape: vec![num_units.into(), fan_in.into()],
        fan_in,
        num_units,
        first_neuron: neuron
            .checked_sub(*unit)
            .ok_or_else(|| "it has no neurons".to_owned())?,
        activation: None,
        trainable: true,
        source: None,
        tensors: Vec::new(),
        recorded_units: (!is_all).then_some(units),
    })
}

/// Layers in the order of their neurons. What lies between one's last unit and the next one's first are
/// units of which there are no rows.
fn in_order(mut layers: Vec<Layer>) -> Vec<Layer> {
    layers.sort_by_key(|layer| layer.first_neuron);
    let firsts: Vec<i32> = layers.iter().map(|layer| layer.first_neuron).collect();
    for (index, layer) in layers.iter_mut().enumerate() {
        layer.layer_index = index as u32;
        let next = firsts
            .get(index + 1)
            .and_then(|next| next.checked_sub(layer.first_neuron));
        let Some(between) = next.and_then(|between| u32::try_from(between).ok()) else {
            continue;
        };
        if between > layer.num_units && layer.recorded_units.is_some() {
            layer.num_units = between;
            layer.shape[0] = between.into();
        }
    }
    layers
}
