//! One byte that changed, found by a checksum of what it is in.
//!
//! A checksum is linear: what one byte adds to it follows from its place and from how it changed alone.
//! So each place is looked at once, from the last byte to the first, whether a change there explains the
//! difference between the checksum that was written and the one that is found.

use crate::checksum::Crc32c;

/// The polynomial of CRC-32C, lowest bit first.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// What a byte becomes that goes through the checksum alone.
const TABLE: [u32; 256] = table();

/// The byte of which the table's entry has this highest byte: each has another.
const BY_HIGHEST: [u8; 256] = by_highest();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

const fn by_highest() -> [u8; 256] {
    let mut bytes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        bytes[(TABLE[byte] >> 24) as usize] = byte as u8;
        byte += 1;
    }
    bytes
}

/// A change of one byte: its place, and what it was changed by (exclusive or).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at: usize,
    pub(super) mask: u8,
}

impl Change {
    /// The bytes without the change.
    pub(super) fn undone(self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes[self.at] ^= self.mask;
        bytes
    }
}

/// The changes of one byte that make of so many bytes with the checksum `written` some with the checksum
/// `found`.
pub(super) fn changes(num_bytes: usize, found: Crc32c, written: Crc32c) -> Vec<Change> {
    let mut difference = found.0 ^ written.0;
    let mut changes = Vec::new();
    for at in (0..num_bytes).rev() {
        let mask = BY_HIGHEST[(difference >> 24) as usize];
        if mask != 0 && TABLE[usize::from(mask)] == difference {
            changes.push(Change { at, mask });
        }
        // As it was before the byte at this place went through.
        difference = ((difference ^ TABLE[usize::from(mask)]) << 8) | u32::from(mask);
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_of_a_byte_is_found_at_its_place() {
        let bytes: Vec<u8> = (0..700_u32).map(|i| (i * i % 251) as u8).collect();
        let written = Crc32c::of(&bytes);
        for at in (0..bytes.len()).step_by(3) {
            for mask in [1, 0x80, 0xff, at as u8 | 1] {
                let mut damaged = bytes.clone();
                damaged[at] ^= mask;
                let found = changes(bytes.len(), Crc32c::of(&damaged), written);
                assert_eq!(found, [Change { at, mask }]);
                assert_eq!(found[0].undone(&damaged), bytes);
            }
        }
        assert_eq!(changes(bytes.len(), written, written), []);
    }

    #[test]
    fn two_bytes_are_not_taken_for_one() {
        let bytes: Vec<u8> = (0..300_u32).map(|i| (i * 7 % 256) as u8).collect();
        let written = Crc32c::of(&bytes);
        let mut damaged = bytes.clone();
        damaged[10] ^= 1;
        damaged[200] ^= 4;
        assert_eq!(changes(bytes.len(), Crc32c::of(&damaged), written), []);
    }
}
