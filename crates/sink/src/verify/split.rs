//! Whether the files of a layer have all its units together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use trace::{Catalog, Generation, PartPath, Rank, RunDir, Step, Topology, UnitRows};

use super::content::PartOfLayer;
use super::{Check, Problem};

/// What the files of a layer of one capture have in common: their partition's directory, and who wrote them when.
type Key = (String, Step, Rank, Generation);

fn key_of(part: &PartPath) -> Key {
    let path = part.to_string();
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let directory = directory.to_owned();
    (directory, part.step, part.rank, part.generation)
}

/// The layers of which a capture has several files, or one that has not all units.
#[derive(Debug)]
pub(super) struct SplitLayers<'a> {
    topology: &'a Topology,
    /// Those that have several files.
    split: HashSet<Key>,
    /// Those of which a file cannot be read: what that one has is not known.
    left_out: HashSet<Key>,
    /// Their files, after their places in the catalogue.
    files: HashMap<Key, Vec<(usize, PartOfLayer)>>,
}

impl<'a> SplitLayers<'a> {
    pub(super) fn of(run: &'a RunDir, catalog: &Catalog) -> Self {
        let parts = catalog
            .files()
            .flat_map(|file| file.path.parse::<PartPath>());
        let further = parts.filter(|part| part.sequence > 0 && part.layer.is_some());
        Self {
            topology: &run.info().layers,
            split: further.map(|part| key_of(&part)).collect(),
            left_out: HashSet::new(),
            files: HashMap::new(),
        }
    }

    /// A file that was read.
    pub(super) fn add(&mut self, index: usize, file: PartOfLayer) {
        let Some(of_units) = self.of_units(&file.part) else {
            return;
        };
        let key = key_of(&file.part);
        let has_all = file.rows.iter().all(|rows| of_units.are_all(&rows.units));
        if !has_all || self.split.contains(&key) {
            self.files.entry(key).or_default().push((index, file));
        }
    }

    /// A file that could not be read.
    pub(super) fn leave_out(&mut self, path: &str) {
        if let Ok(part) = path.parse() {
            self.left_out.insert(key_of(&part));
        }
    }

    fn of_units(&self, part: &PartPath) -> Option<UnitRows> {
        UnitRows::of(part.table, part.layer.as_ref()?, self.topology)
    }

    /// The first thing that is wrong with each layer, at the place in the catalogue of the file where it shows.
    pub(super) fn problems(self) -> Vec<(usize, Problem)> {
        let known = self.files.iter();
        let known = known.filter(|(key, _)| !self.left_out.contains(*key));
        let problems = known.filter_map(|(_, files)| {
            let of_units = self.of_units(&files.first()?.1.part)?;
            let mut files: Vec<&(usize, PartOfLayer)> = files.iter().collect();
            files.sort_by_key(|(_, file)| file.part.sequence);
            first_problem(&of_units, &files)
        });
        problems.collect()
    }
}

/// The first thing that is wrong with files of one layer, which are in the order of their numbers.
fn first_problem(of_units: &UnitRows, files: &[&(usize, PartOfLayer)]) -> Option<(usize, Problem)> {
    /// The places of files, each with its units.
    type Placed = Vec<(usize, Range<u32>)>;
    let mut by_name: BTreeMap<(&str, i32), Placed> = BTreeMap::new();
    for (place, (_, file)) in files.iter().enumerate() {
        for rows in &file.rows {
            let of_name = by_name.entry((&rows.name, rows.batch)).or_default();
            of_name.push((place, rows.units.clone()));
        }
    }
    by_name.into_iter().find_map(|((name, _), parts)| {
        let units: Vec<Range<u32>> = parts.iter().map(|(_, units)| units.clone()).collect();
        let (at, expected, found) = of_units.check_whole(&units).err()?;
        let (index, file) = files[parts[at].0];
        let of_name = match name {
            "" => String::new(),
            name => format!(" of {name}"),
        };
        Some((
            *index,
            Problem {
                path: file.part.to_string(),
                check: Check::Units,
                expected: expected + &of_name,
                found,
            },
        ))
    })
}
