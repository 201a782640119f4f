//! Programs of the system that tests want, and saying so where one is not there.

use stratigraph::announce;

/// Whether a program is on the path.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Says what is not tested here. What could be installed may not be missing where `CI` is set.
///
/// # Panics
/// If it is missing there.
pub fn skip<T>(what: &str, why: &str, could_be_installed: bool) -> Option<T> {
    let is_ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    assert!(!is_ci || !could_be_installed, "{what}: {why}");
    announce(&format!("SKIPPED {what}: {why}"));
    None
}
