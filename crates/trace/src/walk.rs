//! The files below a directory, whatever the commits say.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A directory, or something in it, that cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot list {}", path.display())]
pub struct ListFilesError {
    /// The directory.
    pub path: PathBuf,
    /// What the file system said.
    pub source: io::Error,
}

/// What becomes of symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They are what they lead to. A directory that several lead to is listed once, so that none of them makes
    /// the list longer than there are files.
    Follow,
    /// They are small files.
    Keep,
}

/// Calls `visit` with the path below `base` and the size of every file below `base/dir`, or of that itself
/// where it is a link that is kept. A directory that is not there is empty. What vanishes meanwhile was moved by a
/// recorder, and is not told, unless links are followed: one that leads nowhere is an error.
///
/// # Errors
/// If a directory cannot be listed, or a link that is followed leads nowhere.
pub fn visit_files(
    base: &Path,
    dir: &Path,
    links: Links,
    visit: &mut dyn FnMut(&Path, u64),
) -> Result<(), ListFilesError> {
    if links == Links::Keep
        && let Ok(metadata) = fs::symlink_metadata(base.join(dir))
        && metadata.is_symlink()
    {
        visit(dir, metadata.len());
        return Ok(());
    }
    visit_below(base, dir, links, &mut HashSet::new(), visit)
}

/// As [`visit_files`]; `seen` are the directories that were listed, where links are followed.
fn visit_below(
    base: &Path,
    dir: &Path,
    links: Links,
    seen: &mut HashSet<PathBuf>,
    visit: &mut dyn FnMut(&Path, u64),
) -> Result<(), ListFilesError> {
    let path = base.join(dir);
    let list_error = |source| ListFilesError {
        path: path.clone(),
        source,
    };
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let entries = match fs::read_dir(&path) {
        Err(error) if is_gone(&error) => return Ok(()),
        entries => entries.map_err(list_error)?,
    };
    if links == Links::Follow && !seen.insert(fs::canonicalize(&path).map_err(list_error)?) {
        return Ok(());
    }
    for entry in entries {
        let entry = entry.map_err(list_error)?;
        let metadata = match links {
            Links::Follow => fs::metadata(entry.path()),
            Links::Keep => entry.metadata(),
        };
        let below = dir.join(entry.file_name());
        match metadata {
            Ok(metadata) if metadata.is_dir() => visit_below(base, &below, links, seen, visit)?,
            Ok(metadata) => visit(&below, metadata.len()),
            // A link that leads nowhere is no file that was moved.
            Err(error) if is_gone(&error) && links == Links::Keep => {}
            Err(error) => return Err(list_error(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(base: &Path, dir: &str, links: Links) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        visit_files(base, Path::new(dir), links, &mut |path, bytes| {
            found.push((path.to_str().unwrap().to_owned(), bytes));
        })
        .unwrap();
        found.sort();
        found
    }

    #[test]
    fn every_file_is_told_with_its_path_and_size() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("weights/epoch=0/empty")).unwrap();
        fs::write(dir.path().join("weights/epoch=0/a"), "abc").unwrap();
        fs::write(dir.path().join("weights/b"), "").unwrap();
        fs::write(dir.path().join("elsewhere"), "x").unwrap();
        let expected = [
            ("weights/b".to_owned(), 0),
            ("weights/epoch=0/a".to_owned(), 3),
        ];
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(found(dir.path(), "weights", Links::Keep), expected);
        assert_eq!(found(dir.path(), "metrics", Links::Keep), []);
    }

    /// Were each followed by itself, 2 to the power of 30 paths would lead to the file.
    #[cfg(unix)]
    #[test]
    fn links_that_lead_everywhere_make_no_list_that_is_endless() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        for level in 0..30 {
            let path = dir.path().join(format!("level-{level}"));
            fs::create_dir(&path).unwrap();
            for name in ["a", "b"] {
                symlink(format!("../level-{}", level + 1), path.join(name)).unwrap();
            }
        }
        let last = dir.path().join("level-30");
        fs::create_dir(&last).unwrap();
        fs::write(last.join("file"), "abc").unwrap();
        symlink("..", last.join("up")).unwrap();
        let found = found(dir.path(), "level-0", Links::Follow);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0.ends_with("/file"), "{found:?}");
    }

    #[cfg(unix)]
    #[test]
    fn what_a_directory_is_that_is_a_link_itself() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(dir.path().join("data/a"), "abc").unwrap();
        std::os::unix::fs::symlink("data", dir.path().join("weights")).unwrap();
        let followed = found(dir.path(), "weights", Links::Follow);
        assert_eq!(followed, [("weights/a".to_owned(), 3)]);
        let kept = found(dir.path(), "weights", Links::Keep);
        assert_eq!(kept, [("weights".to_owned(), 4)]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_where_that_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("data")).unwrap();
        fs::create_dir_all(dir.path().join("weights")).unwrap();
        fs::write(dir.path().join("data/a"), "abc").unwrap();
        std::os::unix::fs::symlink("../data", dir.path().join("weights/epoch=0")).unwrap();
        let followed = found(dir.path(), "weights", Links::Follow);
        assert_eq!(followed, [("weights/epoch=0/a".to_owned(), 3)]);
        let kept = found(dir.path(), "weights", Links::Keep);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].0, "weights/epoch=0");

        // What leads nowhere is missing, and not just small.
        fs::remove_file(dir.path().join("data/a")).unwrap();
        std::os::unix::fs::symlink("gone", dir.path().join("data/a")).unwrap();
        let mut ignore = |_: &Path, _| {};
        let weights = Path::new("weights");
        assert!(visit_files(dir.path(), weights, Links::Follow, &mut ignore).is_err());
        assert!(visit_files(dir.path(), weights, Links::Keep, &mut ignore).is_ok());
    }
}
