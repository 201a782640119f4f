//! Directories for disks, in memory where there is a file system for that.

use std::path::Path;

use tempfile::TempDir;

/// An empty directory.
pub fn scratch() -> TempDir {
    let in_memory = Path::new("/dev/shm");
    match tempfile::tempdir_in(in_memory) {
        Ok(dir) => dir,
        Err(_) => tempfile::tempdir().unwrap(),
    }
}
