//! The programs from end to end, as somebody uses them who has just built them.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

mod ablate;
mod clock;
mod damaged;
mod data;
mod disk;
mod diverged;
mod foreign;
mod golden;
mod hostile;
mod interchange;
mod interrupt;
mod lock;
mod memory;
mod meta;
mod plot;
mod query;
mod repair;
mod replay;
mod report;
mod split;
mod structures;
mod train;
mod verify;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                files.insert(path, bytes);
            }
        }
    }
    files
}

/// The number that stands between two texts, as people read it: `1,234`.
fn number_between(text: &str, before: &str, after: &str) -> Option<u64> {
    let (_, rest) = text.split_once(before)?;
    let (number, _) = rest.split_once(after)?;
    number.replace(',', "").parse().ok()
}
