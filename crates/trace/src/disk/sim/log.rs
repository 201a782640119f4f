//! What was done to files and directories, by inode.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file or directory, whatever its names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Inode(pub(super) usize);

/// The directory at the root.
pub(super) const ROOT: Inode = Inode(0);

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) dir: Inode,
    pub(super) name: OsString,
}

/// What a sync is of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Synced<'a> {
    File(Inode),
    Directory(&'a Path),
    Everything,
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A name is given, or taken away.
    Entry { name: Name, inode: Option<Inode> },
    /// Bytes are written to a file's end.
    Write { inode: Inode, bytes: Vec<u8> },
    /// Everything that was written to a file is durable; or, where the sync failed, in doubt for good.
    SyncFile { inode: Inode, succeeded: bool },
    /// The names of a directory are durable.
    SyncDirectory { dir: Inode },
    /// Everything is durable; or, where the sync failed, the bytes of all files are in doubt for good.
    SyncAll { succeeded: bool },
}

/// The log, and what names there are now.
#[derive(Debug)]
pub(super) struct Log {
    root: PathBuf,
    /// Each with the number of operations by which it has happened.
    events: Vec<(usize, Event)>,
    is_dir: Vec<bool>,
    names: HashMap<Inode, BTreeMap<OsString, Inode>>,
}

impl Log {
    /// A log that begins with what is below a directory, all of it durable.
    pub(super) fn over(root: &Path) -> io::Result<Self> {
        let mut log = Self {
            root: root.to_owned(),
            events: Vec::new(),
            is_dir: vec![true],
            names: HashMap::from([(ROOT, BTreeMap::new())]),
        };
        log.adopt_below(ROOT, root)?;
        log.events.push((0, Event::SyncAll { succeeded: true }));
        Ok(log)
    }

    /// Takes over what is in a directory.
    fn adopt_below(&mut self, dir: Inode, path: &Path) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            self.adopt(dir, &entry.file_name(), &entry.path())?;
        }
        Ok(())
    }

    /// Takes over something that was made by others.
    fn adopt(&mut self, dir: Inode, name: &OsStr, path: &Path) -> io::Result<Inode> {
        let is_dir = fs::symlink_metadata(path)?.is_dir();
        let inode = self.add(0, dir, name, is_dir);
        if is_dir {
            self.adopt_below(inode, path)?;
        } else {
            let bytes = fs::read(path)?;
            self.write(0, inode, &bytes);
        }
        Ok(inode)
    }

    fn add(&mut self, time: usize, dir: Inode, name: &OsStr, is_dir: bool) -> Inode {
        let inode = Inode(self.is_dir.len());
        self.is_dir.push(is_dir);
        if is_dir {
            self.names.insert(inode, BTreeMap::new());
        }
        self.enter(time, dir, name, Some(inode));
        inode
    }

    /// Gives a name, or takes it away.
    fn enter(&mut self, time: usize, dir: Inode, name: &OsStr, inode: Option<Inode>) {
        let names = self.names.entry(dir).or_default();
        match inode {
            Some(inode) => names.insert(name.to_owned(), inode),
            None => names.remove(name),
        };
        let name = Name {
            dir,
            name: name.to_owned(),
        };
        self.events.push((time, Event::Entry { name, inode }));
    }

    /// The directory that a path lies in, and its name there.
    fn place<'a>(&mut self, path: &'a Path) -> io::Result<(Inode, &'a OsStr)> {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find(dir)?, name))
    }

    /// What lies at a path. What others made is taken over.
    fn find(&mut self, path: &Path) -> io::Result<Inode> {
        let below = path.strip_prefix(&self.root);
        let below = below.map_err(|_| {
            let (path, root) = (path.display(), self.root.display());
            io::Error::other(format!("{path} is not on the simulated disk {root}"))
        })?;
        let (mut inode, mut at) = (ROOT, self.root.clone());
        for name in below.iter() {
            at.push(name);
            let known = self
                .names
                .get(&inode)
                .and_then(|names| names.get(name).copied());
            inode = match known {
                Some(known) => known,
                None => self.adopt(inode, name, &at)?,
            };
        }
        Ok(inode)
    }

    pub(super) fn create(&mut self, time: usize, path: &Path, is_dir: bool) -> io::Result<Inode> {
        let (dir, name) = self.place(path)?;
        Ok(self.add(time, dir, name, is_dir))
    }

    pub(super) fn link(&mut self, time: usize, from: &Path, to: &Path) -> io::Result<()> {
        let (from_dir, from_name) = self.place(from)?;
        let known = self
            .names
            .get(&from_dir)
            .and_then(|names| names.get(from_name).copied());
        let inode = match known {
            Some(inode) => inode,
            // Under its new name, since a rename has taken the old one away.
            None => self.adopt(from_dir, from_name, to)?,
        };
        let (dir, name) = self.place(to)?;
        self.enter(time, dir, name, Some(inode));
        Ok(())
    }

    /// What lies at two paths.
    pub(super) fn find_both(&mut self, one: &Path, other: &Path) -> io::Result<[Inode; 2]> {
        Ok([self.find(one)?, self.find(other)?])
    }

    /// Gives two paths each what was `there` at the other.
    pub(super) fn exchange(
        &mut self,
        time: usize,
        one: &Path,
        other: &Path,
        there: [Inode; 2],
    ) -> io::Result<()> {
        let [at_one, at_other] = there;
        for (path, inode) in [(one, at_other), (other, at_one)] {
            let (dir, name) = self.place(path)?;
            self.enter(time, dir, name, Some(inode));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, time: usize, path: &Path) -> io::Result<()> {
        let (dir, name) = self.place(path)?;
        self.enter(time, dir, name, None);
        Ok(())
    }

    pub(super) fn write(&mut self, time: usize, inode: Inode, bytes: &[u8]) {
        let bytes = bytes.to_owned();
        self.events.push((time, Event::Write { inode, bytes }));
    }

    /// Notes a sync that succeeded, or failed for good.
    pub(super) fn sync(
        &mut self,
        time: usize,
        synced: Synced<'_>,
        succeeded: bool,
    ) -> io::Result<()> {
        let event = match synced {
            Synced::File(inode) => Event::SyncFile { inode, succeeded },
            // What is above the disk was there before it. Names that could not be synced may be yet.
            Synced::Directory(path) if !path.starts_with(&self.root) || !succeeded => return Ok(()),
            Synced::Directory(path) => Event::SyncDirectory {
                dir: self.find(path)?,
            },
            Synced::Everything => Event::SyncAll { succeeded },
        };
        self.events.push((time, event));
        Ok(())
    }

    /// The log as it was after the first `num_operations` operations, of a disk whose root is elsewhere.
    pub(super) fn moved(&self, num_operations: usize, root: &Path) -> Self {
        let events = self.events.iter();
        let events = events.take_while(|(time, _)| *time <= num_operations);
        let mut names: HashMap<Inode, BTreeMap<OsString, Inode>> = HashMap::new();
        let events = events.cloned().inspect(|(_, event)| {
            if let Event::Entry { name, inode } = event {
                let names = names.entry(name.dir).or_default();
                match inode {
                    Some(inode) => names.insert(name.name.clone(), *inode),
                    None => names.remove(&name.name),
                };
            }
        });
        Self {
            root: root.to_owned(),
            events: events.collect(),
            is_dir: self.is_dir.clone(),
            names,
        }
    }

    /// What happened by the first `num_operations` operations.
    pub(super) fn until(&self, num_operations: usize) -> impl Iterator<Item = &Event> {
        let events = self.events.iter();
        let events = events.take_while(move |(time, _)| *time <= num_operations);
        events.map(|(_, event)| event)
    }

    /// Of each inode whether it is a directory.
    pub(super) fn is_dir(&self) -> &[bool] {
        &self.is_dir
    }
}
