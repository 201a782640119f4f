//! What gzip packed: it may be a thousand times as much, which whoever packs zeros makes use of.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

/// How what gzip packed begins.
pub(super) const GZIP: &[u8] = &[0x1f, 0x8b];

/// What is packed may be so many times as much: tables and images become five to fifty times smaller.
const MAX_RATIO: u64 = 100;

/// Whatever it is packed in, it may be so many bytes.
const MIN_BYTES: u64 = 1 << 20;

/// More was packed than anybody packs.
#[derive(Debug, thiserror::Error)]
#[error(
    "gzip packed it to less than {} of itself: if it is what it should be, unpack it before",
    format_args!("1/{MAX_RATIO}")
)]
struct TooMuch;

/// Reads what gzip packed. Where it goes on after far more than was packed, that is an error.
pub(super) fn reader(packed: &[u8]) -> impl Read {
    let most = (packed.len() as u64).saturating_mul(MAX_RATIO);
    Unpacked {
        input: MultiGzDecoder::new(packed),
        num_left: most.max(MIN_BYTES),
    }
}

/// Whether an error says that there was more than anybody packs.
pub(super) fn is_too_much(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<TooMuch>())
}

struct Unpacked<R> {
    input: R,
    num_left: u64,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        let left = self.num_left.checked_sub(n as u64);
        self.num_left = left.ok_or_else(|| io::Error::other(TooMuch))?;
        Ok(n)
    }
}
