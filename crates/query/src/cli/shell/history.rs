//! What was typed in earlier shells.

use std::fs;
use std::path::{Path, PathBuf};

/// How many statements are kept.
pub(super) const MAX_ENTRIES: usize = 1_000;

/// `~/.local/state/stratigraph/query-history`, or wherever the user keeps such things; none where
/// there is no place for it, as without a home or on a disk that cannot be written.
pub(super) fn file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let dir = directory(set("XDG_STATE_HOME"), set("HOME"))?;
    match fs::create_dir_all(&dir) {
        Ok(()) => Some(dir.join("query-history")),
        Err(error) => {
            tracing::debug!(path = %dir.display(), %error, "there will be no history");
            None
        }
    }
}

/// The XDG base directory specification: a path that is not absolute is as if it were not set.
fn directory(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: Option<PathBuf>| path.filter(|path| path.is_absolute());
    let of_home = |home: PathBuf| home.join(Path::new(".local/state"));
    let state = absolute(state).or_else(|| absolute(home).map(of_home))?;
    Some(state.join("stratigraph"))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::directory;

    #[test]
    fn the_state_directory_is_that_of_the_user() {
        let path = |text: &str| Some(PathBuf::from(text));
        for (state, home, expected) in [
            (path("/state"), path("/home/u"), Some("/state/stratigraph")),
            (
                path("state"),
                path("/home/u"),
                Some("/home/u/.local/state/stratigraph"),
            ),
            (
                None,
                path("/home/u"),
                Some("/home/u/.local/state/stratigraph"),
            ),
            (None, path("u"), None),
            (None, None, None),
        ] {
            assert_eq!(directory(state, home).as_deref(), expected.map(Path::new));
        }
    }
}
