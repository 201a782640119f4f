use std::fs;

use tempfile::TempDir;

use super::*;

/// A file of so many bytes, opened to read parts of it.
fn parts(num_bytes: usize) -> (TempDir, Vec<u8>, CheckedParts) {
    let dir = TempDir::new().unwrap();
    let bytes: Vec<u8> = (0..num_bytes).map(|n| (n % 251) as u8).collect();
    let path = dir.path().join("part");
    fs::write(&path, &bytes).unwrap();
    let parts = CheckedParts::new(Arc::new(fs::File::open(path).unwrap()), num_bytes as u64);
    (dir, bytes, parts)
}

fn stretch(bytes: &[u8], range: Range<u64>) -> Stretch {
    let of_range = &bytes[range.start as usize..range.end as usize];
    Stretch {
        crc32c: Crc32c::of(of_range),
        range,
        name: "middle".to_owned(),
    }
}

fn read(parts: &CheckedParts, start: u64, length: usize) -> Option<Vec<u8>> {
    let mut found = vec![0; length];
    let by_read = parts.get_read(start).ok().and_then(|mut reader| {
        let read = reader.read_exact(&mut found);
        read.is_ok().then_some(found)
    });
    let at_once = parts.get_bytes(start, length).ok();
    assert_eq!(by_read.as_deref(), at_once.as_deref());
    by_read
}

const LIMIT: u64 = WHOLE_FILE_BYTES;

#[test]
fn what_was_checked_is_read_and_nothing_else() {
    let (_dir, bytes, mut parts) = parts(3 * LIMIT as usize);
    let ranges = [10..20, 20..30, 100..LIMIT + 200, 2 * LIMIT..2 * LIMIT + 50];
    let stretches = ranges.clone().map(|range| stretch(&bytes, range));
    parts.read(Vec::from(stretches)).unwrap();
    assert!(!parts.is_in_memory(), "one is too large");
    for Range { start, end } in ranges {
        let length = (end - start) as usize;
        let (from, to) = (start as usize, end as usize);
        assert_eq!(read(&parts, start, length).unwrap(), bytes[from..to]);
        assert_eq!(read(&parts, end - 1, 1).unwrap(), bytes[to - 1..to]);
    }
    assert_eq!(
        read(&parts, 10, 20).unwrap(),
        bytes[10..30],
        "neighbours are read together"
    );
    for (start, length) in [
        (9, 1),
        (30, 1),
        (29, 2),
        (LIMIT + 199, 2),
        (2 * LIMIT - 1, 1),
    ] {
        assert_eq!(read(&parts, start, length), None, "{length} from {start}");
    }
}

#[test]
fn a_stretch_that_is_another_is_named() {
    for end in [2_000, LIMIT + 2_000] {
        let (_dir, mut bytes, mut parts) = parts(end as usize + 10);
        bytes[1_500] ^= 1;
        let written = stretch(&bytes, 1_000..end);
        let written_crc32c = written.crc32c;
        let problem = parts.read(vec![written]).unwrap_err();
        let FileProblem::DamagedStretch {
            stretch,
            found,
            written,
        } = problem
        else {
            panic!("{problem}");
        };
        assert_eq!((stretch.as_str(), written), ("middle", written_crc32c));
        bytes[1_500] ^= 1;
        assert_eq!(found, Crc32c::of(&bytes[1_000..end as usize]));
    }
}

#[test]
fn a_file_that_ends_too_early_is_told_by_its_size() {
    for end in [2_000, LIMIT + 2_000] {
        let (_dir, bytes, _) = parts(end as usize);
        let (_shorter, _, mut parts) = parts(end as usize - 1);
        parts.num_bytes = end;
        let problem = parts.read(vec![stretch(&bytes, 1_000..end)]).unwrap_err();
        assert!(
            matches!(problem, FileProblem::Size { found, committed } if (found, committed) == (end - 1, end)),
            "{problem}"
        );
    }
}
