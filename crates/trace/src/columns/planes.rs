//! The bytes of floats, as `BYTE_STREAM_SPLIT` has them: all first bytes, then all second ones, and so on;
//! as they are, or compressed plane by plane.

use std::cell::RefCell;
use std::io;

use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{
    CCtx, CParameter, InBuffer, OutBuffer, ResetDirective, compress_bound, get_error_name,
};

/// Most values of a page of lists of one length, unless one list has more. A byte plane is then a block of zstd.
pub const PAGE_VALUES: usize = 128 * 1024;

/// Level of the zstd compression.
pub const ZSTD_LEVEL: i32 = 1;

/// The parameters of zstd that differ from its level's.
///
/// What repeats in a plane are single bytes, as the exponents of weights, which zstd's entropy coder makes
/// short by itself. Looking for longer matches takes most of the time, and those that are found by accident
/// make the rest longer: so matches are long, and looked for in few places. Lists of zeros are still found.
/// Planes do not help each other, so none looks further back than one.
const PARAMETERS: [CParameter; 4] = [
    CParameter::CompressionLevel(ZSTD_LEVEL),
    CParameter::WindowLog(17),
    CParameter::HashLog(8),
    CParameter::MinMatch(7),
];

/// Values whose bytes are put into their planes at a time: what the nearest cache holds.
const VALUES_AT_ONCE: usize = 2048;

/// Bytes that a plane may need beside what zstd says that it needs at most: the heads of blocks.
const PLANE_HEAD_BYTES: usize = 64;

/// Appends the planes of values.
pub fn put_planes(values: &[f32], page: &mut Vec<u8>) {
    let start = page.len();
    page.resize(start + size_of_val(values), 0);
    let planes = &mut page[start..];
    for (nth, chunk) in values.chunks(VALUES_AT_ONCE).enumerate() {
        for byte in 0..size_of::<f32>() {
            let at = byte * values.len() + nth * VALUES_AT_ONCE;
            split(chunk, byte, &mut planes[at..][..chunk.len()]);
        }
    }
}

/// Writes one byte of each value; byte 0 is the lowest.
fn split(values: &[f32], byte: usize, plane: &mut [u8]) {
    let shift = 8 * byte;
    for (to, value) in plane.iter_mut().zip(values) {
        *to = (value.to_bits() >> shift) as u8;
    }
}

thread_local! {
    /// Kept between pages: setting it up takes longer than to compress a small one.
    static COMPRESSOR: RefCell<Option<Compressor>> = const { RefCell::new(None) };
}

/// Appends the planes of values as a frame of zstd, each plane in blocks of its own, if the frame has at most
/// so many bytes; returns whether it has. If not, nothing is appended.
pub fn put_compressed_planes(
    values: &[f32],
    most_bytes: usize,
    page: &mut Vec<u8>,
) -> io::Result<bool> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::try_new()?),
        };
        let start = page.len();
        let is_smaller = compressor.compress(values, most_bytes, page);
        if compressor.plane.capacity() > PAGE_VALUES {
            // Of a list that is longer than others: its memory is given back (ARCHITECTURE.md, invariant 9).
            compressor.plane = Vec::new();
        }
        if !matches!(is_smaller, Ok(true)) {
            page.truncate(start);
            // The frame was not ended.
            let reset = compressor.context.reset(ResetDirective::SessionOnly);
            reset.map_err(io_error)?;
        }
        is_smaller
    })
}

struct Compressor {
    context: CCtx<'static>,
    plane: Vec<u8>,
}

impl Compressor {
    fn try_new() -> io::Result<Self> {
        let mut context = CCtx::create();
        for parameter in PARAMETERS {
            context.set_parameter(parameter).map_err(io_error)?;
        }
        Ok(Self {
            context,
            plane: Vec::new(),
        })
    }

    fn compress(
        &mut self,
        values: &[f32],
        most_bytes: usize,
        page: &mut Vec<u8>,
    ) -> io::Result<bool> {
        const NUM_PLANES: usize = size_of::<f32>();
        let start = page.len();
        page.reserve(NUM_PLANES * (compress_bound(values.len()) + PLANE_HEAD_BYTES));
        let num_bytes = Some(size_of_val(values) as u64);
        self.context
            .set_pledged_src_size(num_bytes)
            .map_err(io_error)?;
        // Not a byte more than a page takes: what grows by doubling would be given back for no long list's sake.
        self.plane.clear();
        self.plane.reserve_exact(values.len());
        self.plane.resize(values.len(), 0);
        for byte in 0..NUM_PLANES {
            split(values, byte, &mut self.plane);
            let end = match byte + 1 {
                NUM_PLANES => ZSTD_EndDirective::ZSTD_e_end,
                _ => ZSTD_EndDirective::ZSTD_e_flush,
            };
            let at = page.len();
            let mut output = OutBuffer::around_pos(page, at);
            let mut input = InBuffer::around(&self.plane);
            let left = self
                .context
                .compress_stream2(&mut output, &mut input, end)
                .map_err(io_error)?;
            if left > 0 || page.len() - start > most_bytes {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn io_error(code: usize) -> io::Error {
    io::Error::other(get_error_name(code))
}

#[cfg(test)]
mod tests;
