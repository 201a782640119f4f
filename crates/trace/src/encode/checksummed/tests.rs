use super::*;

/// Bytes that are all different from those a little further on.
fn bytes(num_bytes: usize) -> Vec<u8> {
    (0..num_bytes).map(|n| (n % 251) as u8).collect()
}

/// Writes stretches of these lengths behind the magic bytes, some bytes at a time.
fn written(lengths: &[usize], at_once: usize) -> (Vec<u8>, Written<Vec<u8>>) {
    let all = bytes(4 + lengths.iter().sum::<usize>());
    let mut output = Checksummed::new(Vec::new());
    output.write_all(&all[..4]).unwrap();
    let mut start = 4;
    for length in lengths {
        for some in all[start..start + length].chunks(at_once) {
            output.write_all(some).unwrap();
        }
        output.flush().unwrap();
        start += length;
    }
    (all, output.finish().unwrap())
}

#[test]
fn every_stretch_and_the_whole_have_the_checksums_of_their_bytes() {
    let limit = READ_TWICE_BYTES as usize;
    let lengths = [1, limit - 1, limit, limit + 1, 5 * limit + 17, 3];
    for at_once in [1_000, limit, 10 * limit] {
        let (all, written) = written(&lengths, at_once);
        assert_eq!(written.output, all);
        assert_eq!(written.bytes, all.len() as u64);
        assert_eq!(written.crc32c, Crc32c::of(&all));
        let expected: Vec<usize> = [4].iter().chain(&lengths).copied().collect();
        let found = written.stretches.iter();
        let found: Vec<usize> = found
            .map(|s| (s.range.end - s.range.start) as usize)
            .collect();
        assert_eq!(found, expected);
        for Stretch { range, crc32c } in written.stretches {
            let of = Crc32c::of(&all[range.start as usize..range.end as usize]);
            assert_eq!(crc32c, of, "{range:?}");
        }
    }
}

#[test]
fn a_stretch_without_bytes_is_none() {
    let mut output = Checksummed::new(Vec::new());
    output.flush().unwrap();
    output.write_all(b"PAR1").unwrap();
    output.flush().unwrap();
    output.flush().unwrap();
    assert_eq!(output.finish().unwrap().stretches.len(), 1);
}

/// Takes so many bytes, then none.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As a buffer does that is dropped.
#[test]
fn an_error_that_nobody_asked_for_is_told_at_the_end() {
    let mut output = Checksummed::new(Full(0));
    assert!(output.write_all(&bytes(BUFFER_BYTES)).is_err());
    // There may be room again.
    output.output.get_mut().0 = usize::MAX;
    let error = output.finish().err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
