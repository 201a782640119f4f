//! Thrift's compact protocol, as far as Parquet's footers and page headers use it: read before parquet reads them, so
//! that it is known what it will be asked for.
//!
//! parquet goes by the numbers of fields and takes their types for granted, and takes no bytes where it passes over
//! booleans in a list or a map. Bytes that are one field here must not be others there: a field that it knows has to be of its
//! type, and what the two would read differently is refused.

use std::io::BufRead;

/// Types of the compact protocol.
pub(crate) mod kind {
    pub(crate) const TRUE: u8 = 1;
    pub(crate) const FALSE: u8 = 2;
    pub(crate) const BYTE: u8 = 3;
    pub(crate) const I16: u8 = 4;
    pub(crate) const I64: u8 = 6;
    pub(crate) const DOUBLE: u8 = 7;
    pub(crate) const BINARY: u8 = 8;
    pub(crate) const LIST: u8 = 9;
    pub(crate) const SET: u8 = 10;
    pub(crate) const MAP: u8 = 11;
    pub(crate) const STRUCT: u8 = 12;
    pub(crate) const UUID: u8 = 13;
}

/// How deep what nobody knows may nest.
const MAX_NESTING: usize = 8;

/// What a field is, or an element of a list.
#[derive(Debug)]
pub(crate) enum Kind {
    Bool,
    Byte,
    /// Of any width: all are written alike.
    Int,
    Double,
    Binary,
    List(&'static Kind),
    Struct(Fields),
}

/// The fields of a struct that are known, by their numbers.
pub(crate) type Fields = &'static [(i16, Kind)];

/// Reads the compact protocol. Every function gives none where the input ends, or is none of it.
#[derive(Debug)]
pub(crate) struct Input<R> {
    input: R,
    num_bytes: u64,
}

impl<R: BufRead> Input<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            num_bytes: 0,
        }
    }

    /// How many bytes were read.
    pub(crate) fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    /// The next field's type; none inside where the struct ends. `field` is the number of the one before, 0 at first,
    /// and becomes its own.
    pub(crate) fn field(&mut self, field: &mut i16) -> Option<Option<u8>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        *field = match head >> 4 {
            0 => i16::try_from(self.number()?).ok()?,
            delta => field.checked_add(delta.into())?,
        };
        Some(Some(head & 0xf))
    }

    /// Passes over a field of a struct that has these.
    pub(crate) fn pass(&mut self, kind: u8, field: i16, of: &[(i16, Kind)]) -> Option<()> {
        match of.iter().find(|(number, _)| *number == field) {
            Some((_, known)) => self.known(kind, known),
            None => self.skip(kind, MAX_NESTING),
        }
    }

    /// The number of elements of a field that is a list, which are of a type.
    pub(crate) fn list(&mut self, kind: u8, of: u8) -> Option<u64> {
        let (element, length) = self.list_head(kind)?;
        (length == 0 || element == of).then_some(length)
    }

    /// A field that is a number that is not negative, as parquet has it: of 32 bits, and of larger ones it would take
    /// the lower.
    pub(crate) fn size(&mut self, kind: u8) -> Option<u64> {
        if !is_int(kind) {
            return None;
        }
        let number = i32::try_from(self.number()?).ok()?;
        u64::try_from(number).ok()
    }

    /// Passes over a struct with these fields; there is at least one in it.
    pub(crate) fn fields(&mut self, of: &[(i16, Kind)]) -> Option<()> {
        let (mut field, mut is_empty) = (0, true);
        while let Some(kind) = self.field(&mut field)? {
            self.pass(kind, field, of)?;
            is_empty = false;
        }
        (!is_empty).then_some(())
    }

    /// Passes over a value of a type that is known.
    fn known(&mut self, kind: u8, known: &Kind) -> Option<()> {
        match (known, kind) {
            (Kind::Bool, kind::TRUE | kind::FALSE) => {}
            (Kind::Byte, kind::BYTE) => _ = self.byte()?,
            (Kind::Int, kind) if is_int(kind) => _ = self.number()?,
            (Kind::Double, kind::DOUBLE) => self.skip_bytes(8)?,
            (Kind::Binary, kind::BINARY) => self.binary()?,
            (Kind::List(of), kind) => {
                let (element, length) = self.list_head(kind)?;
                for _ in 0..length {
                    match of {
                        // Of a list nothing is asked before its elements are read, however little each takes.
                        Kind::Struct(of) if element == kind::STRUCT => self.fields(of)?,
                        of => self.known(element, of)?,
                    }
                }
            }
            (Kind::Struct(of), kind::STRUCT) => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.pass(kind, field, of)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Passes over a value of which nothing is known but its type.
    fn skip(&mut self, kind: u8, nesting: usize) -> Option<()> {
        let nesting = nesting.checked_sub(1)?;
        match kind {
            kind::TRUE | kind::FALSE => {}
            kind::BYTE => _ = self.byte()?,
            kind if is_int(kind) => _ = self.number()?,
            kind::DOUBLE => self.skip_bytes(8)?,
            kind::BINARY => self.binary()?,
            kind::LIST | kind::SET => {
                let (element, length) = self.list_head(kind)?;
                if is_bool(element) && length > 0 {
                    return None;
                }
                for _ in 0..length {
                    self.skip(element, nesting)?;
                }
            }
            // Parquet has neither yet; a version to come may.
            kind::MAP => {
                let length = self.varint()?;
                // Without entries there are no types.
                if length > 0 {
                    let types = self.byte()?;
                    let (key, value) = (types >> 4, types & 0xf);
                    if is_bool(key) || is_bool(value) {
                        return None;
                    }
                    for _ in 0..i32::try_from(length).ok()? {
                        self.skip(key, nesting)?;
                        self.skip(value, nesting)?;
                    }
                }
            }
            kind::UUID => self.skip_bytes(16)?,
            kind::STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, nesting)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// The type of a list's elements, and how many there are.
    fn list_head(&mut self, kind: u8) -> Option<(u8, u64)> {
        if !matches!(kind, kind::LIST | kind::SET) {
            return None;
        }
        let head = self.byte()?;
        let length = match head >> 4 {
            15 => self.varint()?,
            length => length.into(),
        };
        Some((head & 0xf, length))
    }

    fn binary(&mut self) -> Option<()> {
        let length = self.varint()?;
        self.skip_bytes(length)
    }

    /// A number with its sign in its lowest bit.
    fn number(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.input.fill_buf().ok()?.first()?;
        self.input.consume(1);
        self.num_bytes += 1;
        Some(byte)
    }

    fn skip_bytes(&mut self, length: u64) -> Option<()> {
        let mut left = length;
        while left > 0 {
            let there = self.input.fill_buf().ok()?.len();
            if there == 0 {
                return None;
            }
            let skipped = usize::try_from(left).map_or(there, |left| left.min(there));
            self.input.consume(skipped);
            self.num_bytes += skipped as u64;
            left -= skipped as u64;
        }
        Some(())
    }
}

fn is_bool(kind: u8) -> bool {
    matches!(kind, kind::TRUE | kind::FALSE)
}

fn is_int(kind: u8) -> bool {
    (kind::I16..=kind::I64).contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether bytes are a struct with these fields, and nothing else.
    fn is_struct(bytes: &[u8], of: Fields) -> bool {
        let mut input = Input::new(bytes);
        input.fields(of).is_some() && input.num_bytes() == bytes.len() as u64
    }

    const INNER: Fields = &[(1, Kind::Bool), (2, Kind::Byte)];
    const FIELDS: Fields = &[
        (1, Kind::Int),
        (2, Kind::Binary),
        (3, Kind::List(&Kind::Struct(INNER))),
        (4, Kind::Double),
        (5, Kind::List(&Kind::Int)),
    ];

    #[test]
    fn what_is_known_is_of_its_type() {
        let struct_of = |of: &[u8]| [of, &[0]].concat();
        for whole in [
            &[0x15, 6][..],
            &[0x14, 0x80, 1],
            &[0x28, 2, 9, 9],
            // Two structs, one with both fields and one with the second.
            &[0x39, 0x2c, 0x11, 0x13, 7, 0, 0x23, 7, 0],
            &[0x47, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x59, 0x35, 1, 2, 3],
            // An empty list, whatever its elements would be.
            &[0x59, 0],
            // What nobody knows, by a number of its own.
            &[0x08, 40, 1, 9],
            &[0x6c, 0x18, 1, 9, 0],
            // As maps: without entries, of texts by numbers, and of structs by maps of identifiers.
            &[0x6b, 0],
            &[0x6b, 2, 0x58, 2, 1, 9, 4, 0],
            &[
                0x6b, 1, 0xbc, 1, 0x3d, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
                0x15, 2, 0,
            ],
            // And identifiers, alone and in a list.
            &[0x6d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            &[
                0x69, 0x1d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
            ],
        ] {
            assert!(is_struct(&struct_of(whole), FIELDS), "{whole:?}");
            for end in 0..whole.len() {
                assert!(!is_struct(&whole[..end], FIELDS), "{whole:?} to {end}");
            }
        }
        for other in [
            // Bytes for a number, a number for bytes, a set's elements for a list's.
            &[0x18, 2, 9, 9][..],
            &[0x25, 6],
            &[0x35, 6],
            &[0x59, 0x38, 0, 0, 0],
            // A struct that lies in a list has something in it.
            &[0x39, 0x1c, 0],
            // An end that has a number, which parquet takes for one.
            &[0x10],
            &[0x15, 6, 0x20],
            // Booleans that parquet takes no bytes of, in lists and in maps.
            &[0x69, 0x12, 1],
            &[0x69, 0x11, 1],
            &[0x6b, 1, 0x13, 1, 1],
            &[0x6b, 1, 0x32, 1, 1],
            // A map of what is no type, and one for what is known.
            &[0x6b, 1, 0x3e, 1, 1],
            &[0x1b, 0],
            // An identifier that is too short.
            &[0x6d, 1, 2, 3],
            // Numbers of fields that are none.
            &[0x05, 0x80, 0x80, 4, 6],
        ] {
            assert!(!is_struct(&struct_of(other), FIELDS), "{other:?}");
        }
    }

    #[test]
    fn sizes_are_those_that_parquet_reads() {
        let size = |bytes: &[u8]| Input::new(bytes).size(5);
        assert_eq!(size(&[200, 1]), Some(100));
        assert_eq!(size(&[0xfe, 0xff, 0xff, 0xff, 0x0f]), Some(0x7fff_ffff));
        // 2³² + 100, of which it takes the lower half, and what is negative.
        assert_eq!(size(&[0xc8, 0x81, 0x80, 0x80, 0x20]), None);
        assert_eq!(size(&[1]), None);
        assert_eq!(Input::new(&[200, 1][..]).size(8), None);
    }

    #[test]
    fn nothing_nests_without_an_end() {
        assert!(!is_struct(&[0x9c; 1000], FIELDS));
        assert!(!is_struct(&[0x69; 1000], FIELDS));
        assert!(!is_struct(&[0x19; 1000], FIELDS));
        let maps = [&[0x6b][..], &[1, 0x3b, 7].repeat(1000)].concat();
        assert!(!is_struct(&maps, FIELDS));
    }

    /// However many entries a map says that it has, it is read no further than the bytes that there are.
    #[test]
    fn entries_that_are_not_there_are_not_counted() {
        let start = std::time::Instant::now();
        for length in [
            &[0xff, 0xff, 0xff, 0xff, 0x07][..],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            for types in [0x33, 0x88, 0x9c, 0xbb, 0xdd, 0] {
                let map = [&[0x6b][..], length, &[types, 0, 0, 0, 0]].concat();
                assert!(!is_struct(&map, FIELDS), "{map:?}");
            }
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(1));
    }
}
