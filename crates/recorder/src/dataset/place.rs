//! Where the data of a run is, which may not be where it was: its checksum decides, not its path.

use std::path::{Component, Path, PathBuf};

use trace::{Crc32c, DatasetInfo};

use super::DatasetError;
use super::file::Opened;
use super::spec::{FileFormat, FileSpec, HeldOutRule};

/// Where the data of a run is now, where that is not where the run says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataPlace {
    /// The samples: the file, or, of IDX, the directory; none for where they were, or near the run.
    pub data: Option<PathBuf>,
    /// The file of the held-out samples, where they have one; none for where it was, or beside the
    /// samples.
    pub held_out: Option<PathBuf>,
}

impl DataPlace {
    fn is_given(&self) -> bool {
        self.data.is_some() || self.held_out.is_some()
    }

    /// How the data is read there.
    fn applied(&self, options: &FileSpec) -> Result<FileSpec, DatasetError> {
        let mut options = options.clone();
        if let Some(data) = &self.data {
            options = beside(&options, data);
        }
        if let Some(held_out) = &self.held_out {
            if !matches!(options.held_out, Some(HeldOutRule::File(_))) {
                return Err(DatasetError::Options(
                    "the run's held-out samples are a share of its data, and have no file: \
                     --held-out has nothing to say here"
                        .to_owned(),
                ));
            }
            options.held_out = Some(HeldOutRule::File(held_out.clone()));
            // The one whose name goes with theirs.
            options.held_out_labels = None;
        }
        Ok(options)
    }
}

/// Opens the files of a run's data, and holds them against its checksum: where somebody says that they
/// are, else where they were, else where one of that name lies about the run or the working directory.
///
/// # Errors
/// If the data is not to be found, or is not the same any more.
pub(super) fn open(
    info: &DatasetInfo,
    options: &FileSpec,
    place: &DataPlace,
    run: Option<&Path>,
) -> Result<Opened, DatasetError> {
    let opened = Opened::open(&place.applied(options)?).and_then(|opened| {
        match opened.crc32c() == info.crc32c {
            true => Ok(opened),
            false => Err(changed(info, place, opened.crc32c())),
        }
    });
    let error = match opened {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    if place.is_given() {
        return Err(error);
    }
    for moved in candidates(options, run) {
        match Opened::open(&moved) {
            Ok(opened) if opened.crc32c() == info.crc32c => {
                tracing::info!(
                    recorded = %options.path.display(),
                    found = %moved.path.display(),
                    "the data has been moved"
                );
                return Ok(opened);
            }
            _ => {}
        }
    }
    Err(match error {
        DatasetError::Read { file, source } if run.is_some() => {
            DatasetError::Moved { file, source }
        }
        error => error,
    })
}

fn changed(info: &DatasetInfo, place: &DataPlace, found: Crc32c) -> DatasetError {
    let name = place.data.as_ref().map(|data| data.display().to_string());
    DatasetError::Changed {
        name: name.unwrap_or_else(|| info.source.clone()),
        field: "checksum",
        found: found.to_string(),
        expected: info.crc32c.to_string(),
        advice: "; --data FILE says where the data is as it was",
    }
}

/// The options with the samples at another place, and what lay beside or below them there as well, as
/// far as it is there.
fn beside(options: &FileSpec, data: &Path) -> FileSpec {
    let was = options.path.clone();
    let mut options = options.clone();
    let moved = |path: &Path| {
        let below = path.strip_prefix(&was).ok().map(|rest| data.join(rest));
        let siblings = || {
            let rest = path.strip_prefix(was.parent()?).ok()?;
            Some(data.parent()?.join(rest))
        };
        let moved = below.or_else(siblings)?;
        moved.exists().then_some(moved)
    };
    for path in options.paths_mut().skip(1) {
        if let Some(moved) = moved(path) {
            *path = moved;
        }
    }
    if options.format == FileFormat::Idx
        && !options
            .labels
            .as_ref()
            .is_some_and(|labels| labels.exists())
    {
        // The one whose name goes with the images'.
        options.labels = None;
    }
    options.path = data.to_owned();
    options
}

/// The options with all files moved together to where one of the samples' name is: about the run, from
/// its directory up, and about the working directory; the longest path that they have in common with
/// where they were first.
fn candidates(options: &FileSpec, run: Option<&Path>) -> Vec<FileSpec> {
    let near = |path: &Path| std::path::absolute(path).ok();
    let bases = [run.and_then(near), near(Path::new("."))];
    let parts: Vec<Component<'_>> = options.path.components().collect();
    let mut found: Vec<PathBuf> = Vec::new();
    let mut candidates = Vec::new();
    for base in bases.iter().flatten().flat_map(|base| base.ancestors()) {
        for num_left in 1..parts.len() {
            let was: PathBuf = parts[..num_left].iter().collect();
            let rest: PathBuf = parts[num_left..].iter().collect();
            let path = base.join(&rest);
            if path == options.path || found.contains(&path) || !path.exists() {
                continue;
            }
            let mut moved = options.clone();
            for path in moved.paths_mut() {
                if let Ok(rest) = path.strip_prefix(&was) {
                    *path = base.join(rest);
                }
            }
            found.push(path);
            candidates.push(moved);
        }
    }
    candidates
}
