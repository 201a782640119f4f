//! Whether records are gone of which nothing is left: a history that is empty is that of a run of which nothing
//! was committed, unless something is there that comes after a commit alone.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::history::Segment;
use crate::lost;
use crate::part::PartPath;
use crate::part_file::PartFile;
use crate::place::COMMITS_DIR;
use crate::run::RunDir;
use crate::store::{Creation, Store};
use crate::table::Table;
use crate::walk::ListFilesError;

/// The metric by which a recorder says how many commits it wrote since the last time.
const NUM_COMMITS: &str = "sink.num_publishes";

impl RunDir {
    /// How far the run's creation has come.
    ///
    /// # Errors
    /// If a table's directory cannot be listed.
    pub fn creation(&self) -> Result<Creation, ListFilesError> {
        let creation = self.store().creation()?;
        if creation != Creation::Complete {
            return Ok(creation);
        }
        Ok(match proof_of_loss(self.store())? {
            None => Creation::Complete,
            Some(example) => Creation::CommitsLost { example },
        })
    }

    /// The files of the log that are called as no record and no roll-up is, though nearly: readers pass over them,
    /// and records may be in them. Paths below the run's directory, in order.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub fn stray_commits(&self) -> Result<Vec<String>, ListFilesError> {
        let mut names = self.store().list_log().map_err(|source| ListFilesError {
            path: self.commits_dir(),
            source,
        })?;
        names.retain(|name| is_stray(name));
        names.sort_unstable();
        let paths = names
            .into_iter()
            .map(|name| format!("{COMMITS_DIR}/{name}"));
        Ok(paths.collect())
    }
}

/// A part file that proves that something was committed, of a run whose log has no records; none where it has some,
/// or all that is there may be what a recorder left that was killed in its first commit.
///
/// # Errors
/// If a directory cannot be listed.
pub(crate) fn proof_of_loss(store: &Arc<dyn Store>) -> Result<Option<String>, ListFilesError> {
    let names = || {
        store.list_log().map_err(|source| ListFilesError {
            path: store.path().join(COMMITS_DIR),
            source,
        })
    };
    let has_records = |names: &[String]| names.iter().any(|name| Segment::parse(name).is_some());
    let listed = names()?;
    if has_records(&listed) {
        return Ok(None);
    }
    // Our writers make no other names there: this was a record's.
    let has_other = listed.iter().any(|name| !name.starts_with('.'));
    let paths = store.list_parts().map_err(|error| ListFilesError {
        path: error.path,
        source: error.source,
    })?;
    let parts = paths.iter().flat_map(|path| path.parse::<PartPath>());
    let mut parts: Vec<PartPath> = parts.collect();
    // What is latest most likely tells.
    parts.sort_unstable_by_key(|part| Reverse((part.generation, part.step, part.sequence)));
    let is_proof =
        |part: &&PartPath| has_other || part.generation.0 > 0 || tells_of_commits(store, part);
    let proof = parts.iter().find(is_proof).map(PartPath::to_string);
    // A listing that is taken while records are rolled up may have neither these nor their roll-up, and a first record
    // may have come meanwhile.
    match proof.is_some() && has_records(&names()?) {
        true => Ok(None),
        false => Ok(proof),
    }
}

/// Whether a file of metrics says that commits were written before it was. What cannot be read says nothing.
fn tells_of_commits(store: &Arc<dyn Store>, part: &PartPath) -> bool {
    if part.table != Table::Metrics {
        return false;
    }
    let path = part.to_string();
    let opened = store.open_part(&path).and_then(|part| part.num_bytes());
    let sum = opened.ok().and_then(|num_bytes| {
        let file = PartFile {
            store: Arc::clone(store),
            path,
            num_bytes,
            crc32c: None,
            footer: None,
            columns: None,
        };
        lost::sum_of_metric(file, NUM_COMMITS).ok()
    });
    sum.is_some_and(|sum| sum > 0.0)
}

/// Whether a name in the directory of commits looks like that of records, and is none.
pub(crate) fn is_stray(name: &str) -> bool {
    let is_like = name.ends_with(".json") || name.ends_with(".parquet");
    is_like && !name.starts_with('.') && Segment::parse(name).is_none()
}
