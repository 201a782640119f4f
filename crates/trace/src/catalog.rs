//! The files of a run, as its commits name them: columns, because a long run has many.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::checksum::Crc32c;
use crate::column_checksums::Footer;
use crate::commit::{CaptureId, CommitRecord, FileEntry};
use crate::encode::Compress;
use crate::history::{self, HistoryFaults, Log, Position, ReadCommitsError};
use crate::id::Rank;
use crate::max_part_bytes::MaxPartBytes;
use crate::part::PartPath;
use crate::part_file::{BadFileError, FileProblem, PartFile};
use crate::run::{RunDir, RunInfo};
use crate::store::Store;
use crate::table::Table;
use crate::time;

/// Every committed file and capture of a run at one moment, without what was retired.
///
/// Where several ranks record a run, a capture is whole when each of them has committed its part.
/// [`Catalog::load`] leaves out what belongs to captures that are not, and
/// [`Catalog::load_with_partial`] has them.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    commits: Vec<CommitInfo>,
    captures: Vec<CommittedCapture>,
    partial: Vec<PartialCapture>,
    /// What each rank committed of captures, where there are several ranks.
    parts: Vec<CommittedCapture>,
    sessions: Vec<Session>,
    recorded: BTreeMap<Rank, Recorded>,
    endings: BTreeMap<Rank, Ending>,
    /// The newest record that has the checksum of `run.json`, and that.
    run_file: Option<(u64, Crc32c)>,
    /// How far the commits were read; none where what comes later cannot simply be added, since something that was
    /// committed is left out.
    position: Option<Position>,
    names: Names,
    table: Vec<u32>,
    commit: Vec<u32>,
    epoch: Vec<i32>,
    layer: Vec<u32>,
    rows: Vec<u64>,
    bytes: Vec<u64>,
    crc32c: Vec<u32>,
    /// 0 where a file has no checksum of its footer.
    footer_bytes: Vec<u64>,
    footer_crc32c: Vec<u32>,
    /// The column chunks' checksums of files whose footers have none, by the file's index.
    columns: BTreeMap<usize, Arc<[Crc32c]>>,
    paths: String,
    path_ends: Vec<usize>,
}

/// What was read, and the paths that were retired in it.
type Visited = (Catalog, HashSet<String>);

/// Stands for "no layer" in the column of layers.
const NO_LAYER: u32 = u32::MAX;

/// A commit, without its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitInfo {
    /// Position in the run's total order.
    pub number: u64,
    /// When it was written, in milliseconds since 1970.
    pub time_ms: i64,
    /// The process that wrote it.
    pub rank: Rank,
}

/// A capture that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommittedCapture {
    /// Epoch and step.
    pub id: CaptureId,
    /// The process that recorded it; of several, the one that made it whole.
    pub rank: Rank,
    /// The number of the commit that made it whole.
    pub commit: u64,
}

/// A capture of which some ranks have not committed their part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialCapture {
    /// Epoch and step.
    pub id: CaptureId,
    /// The ranks that have, in ascending order.
    pub ranks: Vec<Rank>,
}

/// A capture that a rank has committed twice, by what nothing retires: two recorders were at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoubledCapture {
    /// Epoch and step.
    pub id: CaptureId,
    /// The process that recorded it.
    pub rank: Rank,
    /// The number of the first commit that names it.
    pub first: u64,
    /// That of the next one; the same where one names it twice.
    pub again: u64,
}

/// What one process was told when it began to record into the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The process.
    pub rank: Rank,
    /// Its configuration.
    pub config: serde_json::Value,
}

/// Whether a session has ended as it should, with everything recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its last record says so: whoever recorded ended in order, and everything that was captured is committed.
    /// That training came to its last epoch it does not say: who is stopped by Ctrl-C ends in order.
    Finished,
    /// Its last record says nothing of the kind: it goes on, was interrupted or broken off by a failure, or its
    /// last records are gone.
    NotFinished,
    /// Nothing was recorded, or by a program of format 1.4 or before, which did not say.
    Unknown,
}

/// When a rank wrote its records.
#[derive(Debug, Clone, Copy)]
struct Recorded {
    last_ms: i64,
    /// Between two records of one session, at most.
    longest_interval_ms: u64,
}

/// One committed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommittedFile<'a> {
    /// The commit that names it.
    pub commit: CommitInfo,
    /// The table's name.
    pub table: &'a str,
    /// The partition's epoch.
    pub epoch: i32,
    /// The partition's layer, decoded.
    pub layer: Option<&'a str>,
    /// Path below the run's directory, as on disk.
    pub path: &'a str,
    /// Number of rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Checksum of the whole file.
    pub crc32c: Crc32c,
    /// Its end, by which columns are checked without the rest; none where the commit does not say.
    pub footer: Option<Footer>,
    /// The checksums of its column chunks, where the commit has them, since the footer has none.
    pub columns: Option<&'a Arc<[Crc32c]>>,
}

impl PartFile {
    /// A committed file of a run.
    pub fn committed(run: &RunDir, file: &CommittedFile<'_>) -> Self {
        Self {
            store: Arc::clone(run.store()),
            path: file.path.to_owned(),
            num_bytes: file.bytes,
            crc32c: Some(file.crc32c),
            footer: file.footer,
            columns: file.columns.cloned(),
        }
    }

    /// A file as a record names it, of the run in a store.
    pub(crate) fn of_entry(store: &Arc<dyn Store>, entry: &FileEntry) -> Self {
        let columns = entry.column_crc32c.as_ref();
        Self {
            store: Arc::clone(store),
            path: entry.path.as_str().to_owned(),
            num_bytes: entry.bytes,
            crc32c: Some(entry.crc32c),
            footer: entry.footer(),
            columns: columns.map(|columns| columns.chunks().into()),
        }
    }
}

impl CommittedFile<'_> {
    /// The step that the file's name tells; none for a file that is not a capture's.
    pub fn step(&self) -> Option<i64> {
        let (_, name) = self.path.rsplit_once('/')?;
        let (step, _) = name.strip_prefix("step-")?.split_once("-r")?;
        step.parse().ok()
    }
}

#[derive(Debug, Default, Clone)]
struct Names {
    names: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Names {
    fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = u32::try_from(self.names.len()).expect("fewer than 2^32 tables and layers");
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }
}

impl Catalog {
    /// Reads the commits of a run: its whole captures, and files of no other.
    ///
    /// # Errors
    /// If anything that is committed cannot be read or trusted.
    pub fn load(run: &RunDir) -> Result<Self, ReadCommitsError> {
        Ok(Self::load_with_partial(run)?.without_partial())
    }

    /// As [`Catalog::load_with_partial`], of whatever can be trusted of the commits, and what is wrong with
    /// the others: what these named is missing, and what they retired may be there.
    ///
    /// # Errors
    /// If the directory of the commits cannot be listed.
    pub fn salvage(run: &RunDir) -> Result<(Self, HistoryFaults), ReadCommitsError> {
        let nothing = || (Self::default(), HashSet::new());
        let push = |visited: &mut Visited, record| Self::push_with_retired(visited, record, None);
        let salvaged = history::salvage(&Log::of(run), nothing, push);
        let ((mut catalog, retired), mut faults) = salvaged?;
        catalog.take_away(&retired);
        faults.doubtful.extend(catalog.check_run_file(run).err());
        catalog.set_partial_aside(run.info().world_size);
        Ok((catalog, faults))
    }

    /// The paths that the commits of a run retire just now, as far as these can be trusted. That a path is not named
    /// any more would not tell: the commit that names it may have become unreadable.
    ///
    /// # Errors
    /// If the directory of the commits cannot be listed.
    pub fn retired(run: &RunDir) -> Result<HashSet<String>, ReadCommitsError> {
        let push = |retired: &mut HashSet<String>, record: CommitRecord| {
            retired.extend(record.retired.iter().map(|path| path.as_str().to_owned()));
        };
        let log = Log::of(run);
        match history::visit_commits(&log, HashSet::new, |retired, record, _| {
            push(retired, record)
        }) {
            Ok(retired) => Ok(retired),
            Err(_) => Ok(history::salvage(&log, HashSet::new, push)?.0),
        }
    }

    /// The same commits with the files that are what was committed, their footers and columns included,
    /// and what is wrong with the others. Reads every byte. Of a layer whose units are in several files none is left if
    /// one of them is bad: an average over it would be one of some units.
    pub fn whole_files(&self, run: &RunDir) -> (Self, Vec<BadFileError>) {
        let mut bad = Vec::new();
        let mut whole = self.clone();
        whole.retain_files(|file| {
            let checked = PartFile::committed(run, &file).open_whole();
            checked.map_err(|error| bad.push(error)).is_ok()
        });
        whole.position = None;
        // A recorder may have retired some of them since the commits were read.
        if !bad.is_empty()
            && let Ok(retired) = Self::retired(run)
        {
            let below = |path: &Path| {
                path.strip_prefix(run.path())
                    .ok()?
                    .to_str()
                    .map(str::to_owned)
            };
            bad.retain(|error| {
                below(&error.path).is_none_or(|path| !retired.contains(path.as_str()))
            });
        }
        let in_part = bad.iter().filter_map(|error| {
            let below = error.path.strip_prefix(run.path()).ok()?;
            layer_of_one_capture(below.to_str()?)
        });
        let in_part: HashSet<PartPath> = in_part.collect();
        whole.retain_files(|file| {
            let is_left =
                layer_of_one_capture(file.path).is_none_or(|layer| !in_part.contains(&layer));
            if !is_left {
                bad.push(PartFile::committed(run, &file).bad(FileProblem::OfLayerInPart));
            }
            is_left
        });
        (whole, bad)
    }

    /// Without the files of captures that are not whole because a rank has not committed its part.
    #[must_use]
    pub fn without_partial(mut self) -> Self {
        if self.partial.is_empty() {
            return self;
        }
        let partial = std::mem::take(&mut self.partial).into_iter();
        let partial: HashSet<(i32, i64)> = partial
            .map(|capture| (capture.id.epoch.0, capture.id.step.0))
            .collect();
        self.retain_files(|file| {
            let step = file.step();
            step.is_none_or(|step| !partial.contains(&(file.epoch, step)))
        });
        self.position = None;
        self
    }

    /// The run as it is now, as [`Catalog::load`] has it, or nothing if no record came since this was loaded. Where no
    /// more has happened than that records came, only these are read.
    ///
    /// # Errors
    /// If anything that is committed cannot be read or trusted.
    pub fn reload(&self, run: &RunDir) -> Result<Option<Self>, ReadCommitsError> {
        // What is wrong is told by reading it all.
        let position = self.position.filter(|_| self.partial.is_empty());
        match position.map(|last| self.read_on(run, last)) {
            Some(Ok(Some(later))) => Ok(later.map(Self::without_partial)),
            Some(Ok(None) | Err(_)) | None => Self::load(run).map(Some),
        }
    }

    /// What came after the last record, if it is there still: nothing, or this with it.
    fn read_on(
        &self,
        run: &RunDir,
        last: Position,
    ) -> Result<Option<Option<Self>>, ReadCommitsError> {
        let mut later = Vec::new();
        let mut note = |record: CommitRecord, crc32c| later.push((record, crc32c));
        if !history::visit_commits_after(&Log::of(run), last, &mut note)? {
            return Ok(None);
        }
        if later.is_empty() {
            return Ok(Some(None));
        }
        let mut visited = (self.clone(), HashSet::new());
        if !visited.0.parts.is_empty() {
            visited.0.captures = std::mem::take(&mut visited.0.parts);
        }
        for (record, crc32c) in later {
            Self::push_with_retired(&mut visited, record, crc32c);
        }
        let (mut catalog, retired) = visited;
        catalog.take_away(&retired);
        catalog.check_run_file(run)?;
        catalog.set_partial_aside(run.info().world_size);
        Ok(Some(Some(catalog)))
    }

    /// As [`Catalog::load`], with the files of captures that are not whole because a rank has not
    /// committed its part: see [`Catalog::partial_captures`].
    ///
    /// # Errors
    /// If anything that is committed cannot be read or trusted.
    pub fn load_with_partial(run: &RunDir) -> Result<Self, ReadCommitsError> {
        let mut catalog = Self::load_log(&Log::of(run))?;
        catalog.check_run_file(run)?;
        catalog.set_partial_aside(run.info().world_size);
        Ok(catalog)
    }

    /// Whether `run.json` is the one that the newest record was written under that says so. Nothing changes
    /// `run.json` after its creation, so that the records before say the same.
    fn check_run_file(&self, run: &RunDir) -> Result<(), ReadCommitsError> {
        match self.run_file {
            Some((number, committed)) => history::check_run_file(run, number, Some(committed)),
            None => Ok(()),
        }
    }

    fn load_log(log: &Log) -> Result<Self, ReadCommitsError> {
        let nothing = || (Self::default(), HashSet::new());
        let visited = history::visit_commits(log, nothing, Self::push_with_retired);
        let (mut catalog, retired) = visited?;
        catalog.take_away(&retired);
        Ok(catalog)
    }

    fn push_with_retired(visited: &mut Visited, record: CommitRecord, crc32c: Option<Crc32c>) {
        let (catalog, retired) = visited;
        retired.extend(record.retired.iter().map(|path| path.as_str().to_owned()));
        catalog.position = Position::of(&record, crc32c);
        catalog.push(record);
    }

    /// Puts the ranks' captures together, each under the commit that made it whole, and notes
    /// those that are not.
    fn set_partial_aside(&mut self, world_size: u32) {
        if world_size <= 1 {
            return;
        }
        let mut ranks: HashMap<CaptureId, BTreeSet<Rank>> = HashMap::new();
        let mut order = Vec::new();
        let mut whole = Vec::new();
        for capture in &self.captures {
            let have = ranks.entry(capture.id).or_insert_with(|| {
                order.push(capture.id);
                BTreeSet::new()
            });
            if have.insert(capture.rank) && have.len() == world_size as usize {
                whole.push(*capture);
            }
        }
        self.parts = std::mem::replace(&mut self.captures, whole);
        let partial = order.into_iter().filter_map(|id| {
            let ranks = ranks.remove(&id).expect("it was noted above");
            (ranks.len() < world_size as usize).then(|| PartialCapture {
                id,
                ranks: ranks.into_iter().collect(),
            })
        });
        self.partial = partial.collect();
    }

    /// The commits, in order.
    pub fn commits(&self) -> &[CommitInfo] {
        &self.commits
    }

    /// The whole captures, in the order in which they became so.
    pub fn captures(&self) -> &[CommittedCapture] {
        &self.captures
    }

    /// The captures that are not whole because a rank has not committed its part, in the order of
    /// their first commits; always empty after [`Catalog::load`], and where there is one rank.
    pub fn partial_captures(&self) -> &[PartialCapture] {
        &self.partial
    }

    /// The captures that a rank has committed twice, by files of which nothing retires all: in the order of the
    /// second commits.
    pub fn doubled_captures(&self) -> Vec<DoubledCapture> {
        let committed = match self.parts.is_empty() {
            true => &self.captures,
            false => &self.parts,
        };
        let mut first: HashMap<(Rank, CaptureId), u64> = HashMap::new();
        let mut doubled = Vec::new();
        for &CommittedCapture { id, rank, commit } in committed {
            if let Some(&first) = first.get(&(rank, id)) {
                doubled.push(DoubledCapture {
                    id,
                    rank,
                    first,
                    again: commit,
                });
            } else {
                first.insert((rank, id), commit);
            }
        }
        if !doubled.is_empty() {
            let held: HashSet<(u64, i32, Option<i64>)> = self
                .files()
                .map(|file| (file.commit.number, file.epoch, file.step()))
                .collect();
            let has_files =
                |id: CaptureId, commit| held.contains(&(commit, id.epoch.0, Some(id.step.0)));
            doubled.retain(|double| {
                has_files(double.id, double.first) && has_files(double.id, double.again)
            });
        }
        doubled
    }

    /// Whether a record has the checksum of `run.json`: those of format 1.4 and before have none, and none that
    /// says which record comes before.
    pub fn is_proven(&self) -> bool {
        self.run_file.is_some()
    }

    /// The run's sessions, first to last.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// Which columns the last session compressed that says so: of a rank, else of any, else as the run was begun, since
    /// a session that was killed early is in no commit. None where nobody says.
    pub fn last_compress(&self, run: &RunInfo, rank: Option<Rank>) -> Option<Compress> {
        self.last_told(run, rank, Compress::of_config)
    }

    /// How much the last session that says so put into one part file, likewise.
    pub fn last_max_part_bytes(&self, run: &RunInfo, rank: Option<Rank>) -> Option<MaxPartBytes> {
        self.last_told(run, rank, MaxPartBytes::of_config)
    }

    fn last_told<T>(
        &self,
        run: &RunInfo,
        rank: Option<Rank>,
        of_config: fn(&serde_json::Value) -> Option<T>,
    ) -> Option<T> {
        let told = |rank: Option<Rank>| {
            let sessions = self.sessions.iter().rev();
            let mut sessions =
                sessions.filter(|session| rank.is_none_or(|rank| session.rank == rank));
            sessions.find_map(|session| of_config(&session.config))
        };
        told(rank)
            .or_else(|| told(None))
            .or_else(|| of_config(&run.config))
    }

    /// When a recorder wrote its last record, in milliseconds since 1970; none if none has. What is
    /// derived counts for nothing.
    pub(crate) fn last_recorded_ms(&self) -> Option<i64> {
        self.recorded.values().map(|rank| rank.last_ms).max()
    }

    /// The longest time between two records that one session of a recorder wrote after each other.
    pub(crate) fn longest_interval(&self) -> Duration {
        let intervals = self.recorded.values().map(|rank| rank.longest_interval_ms);
        Duration::from_millis(intervals.max().unwrap_or(0))
    }

    /// Number of files.
    pub fn num_files(&self) -> usize {
        self.table.len()
    }

    /// The file at `index`, in the order of the commits.
    pub fn file(&self, index: usize) -> CommittedFile<'_> {
        let start = index.checked_sub(1).map_or(0, |i| self.path_ends[i]);
        CommittedFile {
            commit: self.commits[self.commit[index] as usize],
            table: &self.names.names[self.table[index] as usize],
            epoch: self.epoch[index],
            layer: self.layer_name(index),
            path: &self.paths[start..self.path_ends[index]],
            rows: self.rows[index],
            bytes: self.bytes[index],
            crc32c: Crc32c(self.crc32c[index]),
            footer: self.footer(index),
            columns: self.columns.get(&index),
        }
    }

    fn footer(&self, index: usize) -> Option<Footer> {
        let footer = Footer {
            bytes: self.footer_bytes[index],
            crc32c: Crc32c(self.footer_crc32c[index]),
        };
        (footer.bytes > 0).then_some(footer)
    }

    fn layer_name(&self, index: usize) -> Option<&str> {
        let id = self.layer[index];
        (id != NO_LAYER).then(|| self.names.names[id as usize].as_str())
    }

    /// All files, in the order of the commits.
    pub fn files(&self) -> impl Iterator<Item = CommittedFile<'_>> {
        (0..self.num_files()).map(|index| self.file(index))
    }

    /// The indices of a table's files for which `keep(epoch, layer)` holds, in the order of the
    /// commits. Asks once a file, without touching its path.
    pub fn select(
        &self,
        table: &str,
        mut keep: impl FnMut(i32, Option<&str>) -> bool,
    ) -> Vec<usize> {
        let Some(table) = self.names.ids.get(table) else {
            return Vec::new();
        };
        (0..self.num_files())
            .filter(|&i| self.table[i] == *table && keep(self.epoch[i], self.layer_name(i)))
            .collect()
    }

    /// Whether the run's sessions have ended, of so many ranks.
    pub fn ending(&self, world_size: u32) -> Ending {
        let endings: Vec<Ending> = self.endings.values().copied().collect();
        let all_there = endings.len() >= world_size as usize;
        match () {
            () if endings.contains(&Ending::NotFinished) => Ending::NotFinished,
            () if endings.is_empty() || endings.contains(&Ending::Unknown) => Ending::Unknown,
            () if all_there => Ending::Finished,
            () => Ending::NotFinished,
        }
    }

    fn push(&mut self, record: CommitRecord) {
        if let Some(crc32c) = record.run_crc32c {
            self.run_file = Some((record.number, crc32c));
        }
        let commit = CommitInfo {
            number: record.number,
            time_ms: time::parse_ms(&record.time).unwrap_or(0),
            rank: record.rank,
        };
        if !is_derived(&record) {
            self.note_time(&record, commit.time_ms);
            let ending = match &record {
                record if record.is_final => Ending::Finished,
                CommitRecord { run_id: None, .. } => Ending::Unknown,
                _ => Ending::NotFinished,
            };
            self.endings.insert(record.rank, ending);
        }
        self.captures
            .extend(record.captures.iter().map(|&id| CommittedCapture {
                id,
                rank: record.rank,
                commit: record.number,
            }));
        self.sessions.extend(record.session.map(|config| Session {
            rank: record.rank,
            config,
        }));
        self.commits.push(commit);
        for file in &record.files {
            self.push_file(file);
        }
    }

    /// Notes when a recorder wrote a record.
    fn note_time(&mut self, record: &CommitRecord, time_ms: i64) {
        let rank = self.recorded.entry(record.rank);
        let known = rank.or_insert(Recorded {
            last_ms: time_ms,
            longest_interval_ms: 0,
        });
        if record.session.is_none() {
            let interval = time_ms.saturating_sub(known.last_ms).max(0).unsigned_abs();
            known.longest_interval_ms = known.longest_interval_ms.max(interval);
        }
        known.last_ms = time_ms;
    }

    /// Appends a file of the newest commit.
    fn push_file(&mut self, file: &FileEntry) {
        let commit = self.commits.len() - 1;
        let layer = file
            .layer
            .as_ref()
            .map_or(NO_LAYER, |l| self.names.id(l.as_str()));
        let table = self.names.id(&file.table);
        self.table.push(table);
        self.commit
            .push(u32::try_from(commit).expect("fewer than 2^32 commits"));
        self.epoch.push(file.epoch.0);
        self.layer.push(layer);
        self.rows.push(file.rows);
        self.bytes.push(file.bytes);
        self.crc32c.push(file.crc32c.0);
        self.push_footer(file.footer());
        if let Some(columns) = &file.column_crc32c {
            self.columns
                .insert(self.path_ends.len(), columns.chunks().into());
        }
        self.paths.push_str(&file.path);
        self.path_ends.push(self.paths.len());
    }

    fn push_footer(&mut self, footer: Option<Footer>) {
        self.footer_bytes
            .push(footer.map_or(0, |footer| footer.bytes));
        self.footer_crc32c
            .push(footer.map_or(0, |footer| footer.crc32c.0));
    }

    /// Leaves out files that were retired, and captures of which every file was. (What training
    /// resumes from says nothing of a capture: it goes while the capture stays.)
    fn take_away(&mut self, retired: &HashSet<String>) {
        if retired.is_empty() {
            return;
        }
        let mut left = HashSet::new();
        let mut lost = HashSet::new();
        for file in self.files().filter(|f| f.table != Table::Resume.name()) {
            let capture = (file.commit.number, file.epoch, file.step());
            if retired.contains(file.path) {
                lost.insert(capture);
            } else {
                left.insert(capture);
            }
        }
        self.retain_files(|file| !retired.contains(file.path));
        self.captures.retain(|CommittedCapture { id, commit, .. }| {
            let capture = (*commit, id.epoch.0, Some(id.step.0));
            left.contains(&capture) || !lost.contains(&capture)
        });
    }

    /// Leaves out the files that `keep` does not accept.
    fn retain_files(&mut self, keep: impl FnMut(CommittedFile<'_>) -> bool) {
        let kept: Vec<bool> = self.files().map(keep).collect();
        retain(&mut self.table, &kept);
        retain(&mut self.commit, &kept);
        retain(&mut self.epoch, &kept);
        retain(&mut self.layer, &kept);
        retain(&mut self.rows, &kept);
        retain(&mut self.bytes, &kept);
        retain(&mut self.crc32c, &kept);
        retain(&mut self.footer_bytes, &kept);
        retain(&mut self.footer_crc32c, &kept);
        self.columns = renumbered(std::mem::take(&mut self.columns), &kept);
        let (mut start, mut num_kept, mut end) = (0, 0, 0);
        let mut paths = std::mem::take(&mut self.paths).into_bytes();
        for (index, is_kept) in kept.iter().enumerate() {
            let path = start..self.path_ends[index];
            start = path.end;
            if *is_kept {
                let num_bytes = path.len();
                paths.copy_within(path, end);
                end += num_bytes;
                self.path_ends[num_kept] = end;
                num_kept += 1;
            }
        }
        paths.truncate(end);
        self.path_ends.truncate(num_kept);
        self.paths = String::from_utf8(paths).expect("they are whole paths");
    }
}

/// Leaves out the values for which `kept` is not set, which says so of each.
fn retain<T>(values: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    values.retain(|_| *kept.next().expect("it is as long"));
}

/// Values by the indices of files, in ascending order, by the indices that those have of which `kept` is set.
fn renumbered<T>(
    values: impl IntoIterator<Item = (usize, T)>,
    kept: &[bool],
) -> BTreeMap<usize, T> {
    let mut num_before = 0;
    let mut counted = 0;
    let mut renumber = |(index, value): (usize, T)| {
        num_before += kept[counted..index].iter().filter(|kept| **kept).count();
        counted = index;
        kept[index].then_some((num_before, value))
    };
    values.into_iter().filter_map(&mut renumber).collect()
}

/// What the files have in common that have the units of one layer, of one capture: the path of the first. None of a
/// table of which a file by itself is whole.
fn layer_of_one_capture(path: &str) -> Option<PartPath> {
    let part: PartPath = path.parse().ok()?;
    part.table.has_one_row_a_unit().then_some(PartPath {
        sequence: 0,
        ..part
    })
}

/// Whether a record is that of a derived table's writer, and not a recorder's.
pub(crate) fn is_derived(record: &CommitRecord) -> bool {
    let is_derived = |table: &str| table.parse::<Table>().is_ok_and(Table::is_derived);
    let of_retired = |path: &str| {
        path.split_once('/')
            .is_some_and(|(table, _)| is_derived(table))
    };
    let is_recorders = record.session.is_some() || !record.captures.is_empty();
    let is_empty = record.files.is_empty() && record.retired.is_empty();
    !is_recorders
        && !is_empty
        && record.files.iter().all(|file| is_derived(&file.table))
        && record.retired.iter().all(|path| of_retired(path))
}

#[cfg(test)]
mod tests;
