use std::fs;

use parquet::file::reader::ChunkReader as _;
use tempfile::TempDir;

use super::*;
use crate::store::LocalStore;

/// A file of so many bytes, as it was committed.
fn committed(num_bytes: usize) -> (TempDir, PartFile) {
    let dir = TempDir::new().unwrap();
    let bytes: Vec<u8> = (0..num_bytes).map(|n| (n % 251) as u8).collect();
    fs::write(dir.path().join("part.parquet"), &bytes).unwrap();
    let file = PartFile {
        store: Arc::new(LocalStore::new(dir.path())),
        path: "part.parquet".to_owned(),
        num_bytes: num_bytes as u64,
        crc32c: Some(Crc32c::of(&bytes)),
        footer: None,
        columns: None,
    };
    (dir, file)
}

/// Sizes that are read in one go and in several.
const SIZES: [usize; 2] = [1_000, WHOLE_FILE_BYTES as usize + 1];

fn problems(file: &PartFile) -> [Option<FileProblem>; 2] {
    let checked = file.open_checked().err();
    let content = file.content(true).err();
    [checked, content].map(|error| error.map(|error| error.problem))
}

#[test]
fn what_was_committed_is_read() {
    for size in SIZES {
        let (_dir, file) = committed(size);
        assert!(problems(&file).iter().all(Option::is_none));
        let mut bytes = Vec::new();
        let checked = file.open_checked().unwrap();
        let mut reader = checked.get_read(0).unwrap();
        reader.read_to_end(&mut bytes).unwrap();
        assert!(bytes == fs::read(file.location()).unwrap(), "{size}");
    }
}

#[test]
fn a_flipped_bit_is_noticed_in_files_of_any_size() {
    for size in SIZES {
        let (_dir, file) = committed(size);
        let mut bytes = fs::read(file.location()).unwrap();
        bytes[size - 1] ^= 1;
        fs::write(file.location(), &bytes).unwrap();
        let damaged = |problem: Option<FileProblem>| {
            matches!(problem, Some(FileProblem::Damaged { found, committed })
                if found == Crc32c::of(&bytes) && Some(committed) == file.crc32c)
        };
        assert!(problems(&file).into_iter().all(damaged));
    }
    // Whoever reads a part of it is told as well, where the commit has no checksum of that part.
    let (_dir, file) = committed(SIZES[1]);
    fs::write(file.location(), vec![0; SIZES[1]]).unwrap();
    let error = file.content(false).err().unwrap();
    assert!(matches!(error.problem, FileProblem::Damaged { .. }));
}

#[test]
fn what_is_shorter_or_gone_is_told_with_what_to_do() {
    for size in SIZES {
        let (_dir, file) = committed(size);
        let whole = fs::read(file.location()).unwrap();
        fs::write(file.location(), &whole[..size - 1]).unwrap();
        let told = |error: BadFileError| error.to_string();
        let shorter = format!(
            "{} is shorter than the {size} bytes that were committed; `sink verify` lists every bad file of \
             the run",
            file.location().display()
        );
        assert_eq!(told(file.open_checked().unwrap_err()), shorter);
        assert_eq!(file.content(true).err().map(told).unwrap(), shorter);
        fs::write(file.location(), [&whole[..], b"x"].concat()).unwrap();
        let longer = told(file.open_checked().unwrap_err());
        assert!(longer.contains(" is longer than the "), "{longer}");
        assert_eq!(file.content(true).err().map(told).unwrap(), longer);
        fs::remove_file(file.location()).unwrap();
        let gone = told(file.open_checked().unwrap_err());
        assert!(gone.contains(" is committed, but not there; "), "{gone}");
    }
}
