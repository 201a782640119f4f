//! What may be left of a disk whose power failed.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::log::{Event, Inode, Name, ROOT};

/// What becomes of something that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is there.
    Kept,
    /// It is not. A file has what it had at its last sync: at first, nothing.
    Lost,
    /// A file has the first half of what was not synced. A name is lost.
    Half,
    /// A file is as long as it was, with zeros in place of what was not synced. A name is lost.
    Zeroed,
}

impl Fate {
    const LOSSES: [Fate; 3] = [Fate::Lost, Fate::Half, Fate::Zeroed];
}

/// What is certain to be left when the power fails, and what may be lost, in the order in which it was done.
#[derive(Debug, Clone)]
pub struct Remains {
    entries: Vec<Entry>,
    files: BTreeMap<Inode, Data>,
    is_dir: Vec<bool>,
    open: Vec<Open>,
}

/// A name that was given, or taken away.
#[derive(Debug, Clone)]
struct Entry {
    name: Name,
    inode: Option<Inode>,
    is_durable: bool,
    /// What it is among what may be lost.
    open: Option<usize>,
}

/// A file's bytes.
#[derive(Debug, Clone, Default)]
struct Data {
    bytes: Vec<u8>,
    num_durable: usize,
    /// A sync of it failed.
    is_doubtful: bool,
    open: Option<usize>,
}

/// Something that may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Name,
    Bytes,
}

/// How many of the ways in which things may be lost are gone through.
#[derive(Debug, Clone, Copy)]
pub struct Choices {
    /// Of so many names and files, the newest that were not synced, each is lost alone, and kept alone.
    pub num_alone: usize,
    /// Of so many names and files, the newest that were not synced, every subset is lost, with those before
    /// once kept and once lost.
    pub num_newest: usize,
    /// So many more are drawn.
    pub num_drawn: usize,
    /// Decides what is drawn.
    pub seed: u64,
}

impl Remains {
    pub(super) fn of<'a>(events: impl Iterator<Item = &'a Event>, is_dir: &[bool]) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut files: BTreeMap<Inode, Data> = BTreeMap::new();
        let settle_file = |file: &mut Data, succeeded: bool| {
            let is_written = file.num_durable == file.bytes.len();
            file.is_doubtful |= !succeeded && !is_written;
            if !file.is_doubtful {
                file.num_durable = file.bytes.len();
            }
        };
        for event in events {
            match event {
                Event::Entry { name, inode } => {
                    if let Some(inode) = inode
                        && !is_dir[inode.0]
                    {
                        files.entry(*inode).or_default();
                    }
                    entries.push(Entry {
                        name: name.clone(),
                        inode: *inode,
                        is_durable: false,
                        open: None,
                    });
                }
                Event::Write { inode, bytes } => {
                    files.entry(*inode).or_default().bytes.extend(bytes);
                }
                Event::SyncFile { inode, succeeded } => {
                    settle_file(files.entry(*inode).or_default(), *succeeded);
                }
                Event::SyncDirectory { dir } => {
                    for entry in entries.iter_mut().filter(|entry| entry.name.dir == *dir) {
                        entry.is_durable = true;
                    }
                }
                Event::SyncAll { succeeded } => {
                    for entry in &mut entries {
                        entry.is_durable |= *succeeded;
                    }
                    for file in files.values_mut() {
                        settle_file(file, *succeeded);
                    }
                }
            }
        }
        let mut remains = Self {
            entries,
            files,
            is_dir: is_dir.to_vec(),
            open: Vec::new(),
        };
        remains.number();
        remains
    }

    /// Numbers what may be lost: a file's bytes right behind its first name.
    fn number(&mut self) {
        let open = &mut self.open;
        let mut next = |what| {
            open.push(what);
            Some(open.len() - 1)
        };
        for entry in &mut self.entries {
            if !entry.is_durable {
                entry.open = next(Open::Name);
            }
            if let Some(file) = entry.inode.and_then(|inode| self.files.get_mut(&inode))
                && file.open.is_none()
                && file.num_durable < file.bytes.len()
            {
                file.open = next(Open::Bytes);
            }
        }
    }

    /// How many names and files may be lost.
    pub fn num_open(&self) -> usize {
        self.open.len()
    }

    /// The disk that is left where each of what may be lost has its fate; those that are not named are kept.
    pub fn tree(&self, fates: &[Fate]) -> DiskTree {
        let fate = |open: Option<usize>| {
            let fate = open.and_then(|open| fates.get(open));
            fate.copied().unwrap_or(Fate::Kept)
        };
        let mut names: HashMap<Inode, BTreeMap<OsString, Inode>> = HashMap::new();
        for entry in &self.entries {
            if fate(entry.open) != Fate::Kept {
                continue;
            }
            let names = names.entry(entry.name.dir).or_default();
            match entry.inode {
                Some(inode) => names.insert(entry.name.name.clone(), inode),
                None => names.remove(&entry.name.name),
            };
        }
        let mut tree = DiskTree::default();
        let mut dirs = vec![(ROOT, PathBuf::new())];
        while let Some((dir, path)) = dirs.pop() {
            for (name, inode) in names.get(&dir).into_iter().flatten() {
                let path = path.join(name);
                if self.is_dir[inode.0] {
                    tree.0.insert(path.clone(), None);
                    dirs.push((*inode, path));
                    continue;
                }
                let bytes = self.files.get(inode).map(|file| file.left(fate(file.open)));
                tree.0.insert(path, Some(bytes.unwrap_or_default()));
            }
        }
        tree
    }

    /// Fates for [`Remains::tree`]: nothing lost, all of it, and what `choices` says beside. The same may come
    /// twice.
    pub fn fates(&self, choices: Choices) -> Vec<Vec<Fate>> {
        let num_open = self.num_open();
        let mut all = vec![vec![Fate::Kept; num_open], vec![Fate::Lost; num_open]];
        for (index, what) in self.open.iter().enumerate().rev().take(choices.num_alone) {
            let losses = match what {
                Open::Name => &Fate::LOSSES[..1],
                Open::Bytes => &Fate::LOSSES[..],
            };
            for loss in losses {
                let mut alone = vec![Fate::Kept; num_open];
                alone[index] = *loss;
                all.push(alone);
            }
            let mut alone = vec![Fate::Lost; num_open];
            alone[index] = Fate::Kept;
            all.push(alone);
        }
        let num_newest = choices.num_newest.min(num_open);
        for before in [Fate::Kept, Fate::Lost] {
            for subset in 0..1_u64 << num_newest {
                let mut fates = vec![before; num_open];
                for (bit, fate) in fates.iter_mut().rev().take(num_newest).enumerate() {
                    *fate = match (subset >> bit) & 1 {
                        0 => Fate::Kept,
                        _ => Fate::Lost,
                    };
                }
                all.push(fates);
            }
        }
        let mut drawn = Drawn(choices.seed);
        for _ in 0..choices.num_drawn {
            let draw = |_| match drawn.next() % 8 {
                0..4 => Fate::Kept,
                4 => Fate::Half,
                5 => Fate::Zeroed,
                _ => Fate::Lost,
            };
            all.push((0..num_open).map(draw).collect());
        }
        all
    }
}

impl Data {
    fn left(&self, fate: Fate) -> Vec<u8> {
        let (durable, open) = self.bytes.split_at(self.num_durable);
        match fate {
            Fate::Kept => self.bytes.clone(),
            Fate::Lost => durable.to_owned(),
            Fate::Half => [durable, &open[..open.len() / 2]].concat(),
            Fate::Zeroed => [durable, &vec![0; open.len()][..]].concat(),
        }
    }
}

/// What a disk holds: paths below its root, with the bytes of files, and none of directories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct DiskTree(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl DiskTree {
    /// The paths, each before those below it.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Writes it into a directory that is there and empty.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write_to(&self, root: &Path) -> io::Result<()> {
        for (path, bytes) in &self.0 {
            let path = root.join(path);
            match bytes {
                None => fs::create_dir(path)?,
                Some(bytes) => fs::write(path, bytes)?,
            }
        }
        Ok(())
    }
}

/// Random numbers, the same from a seed each time (SplitMix64).
struct Drawn(u64);

impl Drawn {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
