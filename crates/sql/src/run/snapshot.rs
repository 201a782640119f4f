//! The files of a run at one moment, as a query sees them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use trace::{
    CaptureId, Catalog, Crc32c, Creation, Epoch, Footer, Links, PartPath, RunDir, Step, Table,
    Topology, cmp_part_files, visit_files, with_causes,
};
use words::{closest, did_you_mean, further};

use crate::run::error::{OpenError, QueryError};
use crate::run::scope::{Captures, Scope};

/// What a line about damage begins with that says what was left out.
pub(crate) const LEFT_OUT: &str = "left out: ";

/// A run, and which files belonged to it when it was looked at.
#[derive(Debug)]
pub(crate) struct Snapshot {
    run: RunDir,
    files: Files,
    /// What was found to be damaged; none where nothing may be.
    salvaged: Option<Salvaged>,
    /// Step of the last committed capture of each epoch.
    last_steps: OnceLock<HashMap<i32, i64>>,
}

/// What is known of a run of which something is damaged.
#[derive(Debug)]
struct Salvaged {
    /// What lay in `commits/` before it was read.
    commits: CommitFiles,
    /// A line about each thing that is wrong.
    damage: Vec<String>,
}

/// The names in `commits/`, with sizes in bytes and times of change.
type CommitFiles = BTreeMap<OsString, (u64, Option<SystemTime>)>;

#[derive(Debug)]
enum Files {
    Committed(Box<Catalog>),
    /// What a directory without `commits/` was found to hold.
    Listed(Vec<(PartPath, String, u64)>),
}

/// One file of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TraceFile<'a> {
    pub(crate) epoch: i32,
    pub(crate) layer: Option<&'a str>,
    pub(crate) step: Option<i64>,
    pub(crate) path: &'a str,
    pub(crate) bytes: u64,
    /// Known where the file is committed.
    pub(crate) rows: Option<u64>,
    pub(crate) crc32c: Option<Crc32c>,
    pub(crate) footer: Option<Footer>,
    pub(crate) columns: Option<&'a Arc<[Crc32c]>>,
}

impl Snapshot {
    pub(crate) fn load(run: RunDir) -> Result<Self, OpenError> {
        let files = if run.commits_dir().is_dir() {
            let catalog = Catalog::load(&run)?;
            require_commits(&run, &catalog)?;
            Files::Committed(Box::new(catalog))
        } else {
            Files::Listed(list(run.path()).map_err(|source| OpenError::List {
                path: run.path().to_owned(),
                source,
            })?)
        };
        Ok(Self::of(run, files, None))
    }

    /// As [`Snapshot::load`], of whatever is whole: see [`Snapshot::damage`]. Reads every byte of the run.
    pub(crate) fn salvage(run: RunDir) -> Result<Self, OpenError> {
        if !run.commits_dir().is_dir() {
            return Self::load(run);
        }
        let commits = list_commits(&run)?;
        let (catalog, faults) = Catalog::salvage(&run)?;
        if faults.left_out.is_empty() {
            require_commits(&run, &catalog)?;
        }
        let (catalog, mut bad) = catalog.without_partial().whole_files(&run);
        bad.sort_by(|one, other| one.path.cmp(&other.path));
        let left_out = faults.left_out.iter().map(|error| with_causes(error));
        let left_out = left_out.chain(bad.iter().map(|error| with_causes(error)));
        let left_out = left_out.map(|line| format!("{LEFT_OUT}{line}"));
        let doubtful = faults.doubtful.iter().map(|error| with_causes(error));
        let doubtful = doubtful.map(|line| format!("in doubt, and used: {line}"));
        let damage = left_out.chain(doubtful).collect();
        let salvaged = Salvaged { commits, damage };
        Ok(Self::of(
            run,
            Files::Committed(Box::new(catalog)),
            Some(salvaged),
        ))
    }

    /// The same run as it is now, opened in the same way. Of its commits those are read that are new; what was
    /// salvaged is read again only if `commits/` has changed.
    pub(crate) fn reload(self: &Arc<Self>) -> Result<Arc<Self>, OpenError> {
        let run = self.run.clone();
        let reloaded = match (&self.salvaged, &self.files) {
            (Some(salvaged), _) if salvaged.commits == list_commits(&run)? => {
                return Ok(Arc::clone(self));
            }
            (Some(_), _) => Self::salvage(run)?,
            (None, Files::Committed(catalog)) if run.commits_dir().is_dir() => {
                let Some(catalog) = catalog.reload(&run)? else {
                    return Ok(Arc::clone(self));
                };
                require_commits(&run, &catalog)?;
                Self::of(run, Files::Committed(Box::new(catalog)), None)
            }
            (None, _) => Self::load(run)?,
        };
        Ok(Arc::new(reloaded))
    }

    fn of(run: RunDir, files: Files, salvaged: Option<Salvaged>) -> Self {
        Self {
            run,
            files,
            salvaged,
            last_steps: OnceLock::new(),
        }
    }

    /// A line about each thing that is wrong with a run that was salvaged: what it is, and whether it was
    /// left out or is used.
    pub(crate) fn damage(&self) -> &[String] {
        self.salvaged
            .as_ref()
            .map_or(&[], |salvaged| &salvaged.damage)
    }

    pub(crate) fn run(&self) -> &RunDir {
        &self.run
    }

    /// How the run was recorded, as its newest session was told: it may have been trained for longer
    /// than `run.json` says.
    pub(crate) fn config(&self) -> &serde_json::Value {
        let newest = self.catalog().and_then(|catalog| catalog.sessions().last());
        newest.map_or(&self.run.info().config, |session| &session.config)
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.run.info().layers
    }

    /// The commits; none where the directory has none.
    pub(crate) fn catalog(&self) -> Option<&Catalog> {
        match &self.files {
            Files::Committed(catalog) => Some(catalog),
            Files::Listed(_) => None,
        }
    }

    pub(crate) fn num_files(&self) -> usize {
        match &self.files {
            Files::Committed(catalog) => catalog.num_files(),
            Files::Listed(files) => files.len(),
        }
    }

    pub(crate) fn file(&self, index: usize) -> TraceFile<'_> {
        match &self.files {
            Files::Committed(catalog) => {
                let file = catalog.file(index);
                TraceFile {
                    epoch: file.epoch,
                    layer: file.layer,
                    step: file.step(),
                    path: file.path,
                    bytes: file.bytes,
                    rows: Some(file.rows),
                    crc32c: Some(file.crc32c),
                    footer: file.footer,
                    columns: file.columns,
                }
            }
            Files::Listed(files) => {
                let (part, path, bytes) = &files[index];
                TraceFile {
                    epoch: part.epoch.0,
                    layer: part.layer.as_ref().map(|layer| layer.as_str()),
                    step: Some(part.step.0),
                    path,
                    bytes: *bytes,
                    rows: None,
                    crc32c: None,
                    footer: None,
                    columns: None,
                }
            }
        }
    }

    /// The indices of a table's files in a partition that `keep` accepts.
    pub(crate) fn select(
        &self,
        table: Table,
        mut keep: impl FnMut(i32, Option<&str>) -> bool,
    ) -> Vec<usize> {
        match &self.files {
            Files::Committed(catalog) => catalog.select(table.name(), keep),
            Files::Listed(files) => (0..files.len())
                .filter(|&i| {
                    let part = &files[i].0;
                    let layer = part.layer.as_ref().map(|layer| layer.as_str());
                    part.table == table && keep(part.epoch.0, layer)
                })
                .collect(),
        }
    }

    /// Whether a file's rows are among the captures of `scope`.
    pub(crate) fn shows(&self, scope: Scope, table: Table, index: usize) -> bool {
        let file = self.file(index);
        if !scope.initial && file.epoch < 0 {
            return false;
        }
        if scope.captures == Captures::All || !table.is_of_captures() {
            return true;
        }
        file.step == self.last_steps().get(&file.epoch).copied()
    }

    fn last_steps(&self) -> &HashMap<i32, i64> {
        self.last_steps.get_or_init(|| {
            let captured = (0..self.num_files()).filter_map(|i| {
                let file = self.file(i);
                let is_captured = self.is_captured(i);
                file.step
                    .filter(|_| is_captured)
                    .map(|step| (file.epoch, step))
            });
            match &self.files {
                // In the order of the commits; what was retired has no files any more.
                Files::Committed(catalog) => {
                    let captured: HashSet<_> = captured.collect();
                    let ids = catalog.captures().iter();
                    ids.map(|capture| (capture.id.epoch.0, capture.id.step.0))
                        .filter(|capture| captured.contains(capture))
                        .collect()
                }
                Files::Listed(_) => {
                    let mut last = HashMap::new();
                    for (epoch, step) in captured {
                        let highest = last.entry(epoch).or_insert(step);
                        *highest = step.max(*highest);
                    }
                    last
                }
            }
        })
    }

    /// Whether a capture consists of a file and others, see [`Table::is_of_captures`].
    fn is_captured(&self, index: usize) -> bool {
        let path = self.file(index).path;
        let table = path.split_once('/').map_or(path, |(table, _)| table);
        // A later version of the format may have more tables.
        table.parse().map_or(true, Table::is_of_captures)
    }

    /// An epoch's capture: the last one that was committed.
    pub(crate) fn capture_of(&self, epoch: i32) -> Option<CaptureId> {
        let step = self.last_steps().get(&epoch)?;
        Some(CaptureId {
            epoch: Epoch(epoch),
            step: Step(*step),
        })
    }

    /// The first and the last epoch that was captured, or of which there are metrics at least. The
    /// untrained network aside.
    pub(crate) fn epochs(&self) -> Option<(i32, i32)> {
        let captured = self.last_steps().keys().copied();
        first_and_last(captured).or_else(|| first_and_last(self.epochs_of_files()))
    }

    /// The epoch of each file, of whatever table.
    pub(crate) fn epochs_of_files(&self) -> impl Iterator<Item = i32> + '_ {
        (0..self.num_files()).map(|index| self.file(index).epoch)
    }

    /// The epochs that were captured, in order, the untrained network aside.
    pub(crate) fn captured_epochs(&self) -> Vec<i32> {
        let captured = self.last_steps().keys().copied();
        let mut captured: Vec<i32> = captured.filter(|epoch| *epoch >= 0).collect();
        captured.sort_unstable();
        captured
    }

    /// The name of the layer that a word stands for: a layer's own, `first` or `last`.
    pub(crate) fn known_layer(&self, word: &str) -> Result<&str, QueryError> {
        let layers = self.topology().layers();
        let names = || layers.iter().map(|layer| layer.layer.as_str());
        let found = names().find(|name| *name == word).or_else(|| match word {
            "first" => names().next(),
            "last" => names().next_back(),
            _ => None,
        });
        found.ok_or_else(|| {
            let suggested = did_you_mean(closest(word, names()));
            let names: Vec<&str> = names().collect();
            QueryError::BadParameter {
                name: "layer".to_owned(),
                problem: format!(
                    "is {word:?}, which is no layer of this run{suggested} (layers: {})",
                    names.join(", ")
                ),
            }
        })
    }

    /// The largest fan-in among the layers whose weights were recorded.
    pub(crate) fn recorded_width(&self) -> u32 {
        let mut recorded = HashSet::new();
        self.select(Table::Weights, |_, layer| {
            recorded.extend(
                layer
                    .filter(|name| !recorded.contains(*name))
                    .map(str::to_owned),
            );
            false
        });
        let layers = self.topology().layers().iter();
        let recorded = layers.filter(|layer| recorded.contains(layer.layer.as_str()));
        recorded.map(|layer| layer.fan_in).max().unwrap_or(0)
    }

    /// Whether nothing was committed yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.num_files() == 0
    }
}

/// Makes sure that a run which has no records has lost none: nothing of it would be answered from.
fn require_commits(run: &RunDir, catalog: &Catalog) -> Result<(), OpenError> {
    if !catalog.commits().is_empty() {
        return Ok(());
    }
    let creation = run.creation().map_err(|error| OpenError::List {
        path: error.path,
        source: error.source,
    })?;
    match creation {
        Creation::CommitsLost { example } => Err(OpenError::NoCommits {
            path: run.commits_dir(),
            example,
        }),
        Creation::Complete | Creation::Interrupted => Ok(()),
    }
}

fn list_commits(run: &RunDir) -> Result<CommitFiles, OpenError> {
    let path = run.commits_dir();
    let list = || {
        let mut files = CommitFiles::new();
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(file) => {
                    files.insert(entry.file_name(), (file.len(), file.modified().ok()));
                }
                // Rolled up meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    };
    list().map_err(|source| OpenError::List {
        path: path.clone(),
        source,
    })
}

fn first_and_last(epochs: impl Iterator<Item = i32>) -> Option<(i32, i32)> {
    epochs
        .filter(|epoch| *epoch >= 0)
        .fold(None, |found, epoch| match found {
            None => Some((epoch, epoch)),
            Some((first, last)) => Some((epoch.min(first), epoch.max(last))),
        })
}

/// The part files below a run's directory, by its tables' directories.
fn list(run: &Path) -> io::Result<Vec<(PartPath, String, u64)>> {
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for table in Table::shown() {
        if !run.join(table.name()).is_dir() {
            continue;
        }
        let visited = visit_files(
            run,
            Path::new(table.name()),
            Links::Follow,
            &mut |path, bytes| {
                let segments: Option<Vec<&str>> = path.iter().map(|s| s.to_str()).collect();
                let Some(Ok(part)) = segments.map(|s| s.join("/").parse::<PartPath>()) else {
                    others.push(path.to_owned());
                    return;
                };
                let spelled = part.to_string();
                files.push((part, spelled, bytes));
            },
        );
        visited.map_err(|error| error.source)?;
    }
    warn_of_others(run, others);
    files.sort_by(|(_, a, _), (_, b, _)| cmp_part_files(a, b));
    Ok(files)
}

/// How many files that are no part files are named.
const NAMED_OTHERS: usize = 10;

/// Says which files in a run's tables are no part files, and are left out.
fn warn_of_others(run: &Path, mut others: Vec<PathBuf>) {
    others.sort_unstable();
    for path in others.iter().take(NAMED_OTHERS) {
        let path = run.join(path);
        tracing::warn!(path = %path.display(), "left out: its name is no part file's");
    }
    if let Some(more) = further(others.len(), NAMED_OTHERS) {
        let run = run.display();
        tracing::warn!(%run, num_files = more, "left out: more files whose names are no part files'");
    }
}

/// A snapshot that tables share.
pub(crate) type SharedSnapshot = Arc<Snapshot>;
