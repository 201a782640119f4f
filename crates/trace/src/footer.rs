//! Parquet's footers, read by parquet once it is certain that it can: it makes room for as many row groups and children
//! as a footer says that there are, which may be more than any memory has, and calls itself for each level of the
//! schema. Neither ends in an error.

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{
    FooterTail, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
};
use parquet::file::reader::ChunkReader;

use crate::thrift::{Fields, Input, Kind, kind};

/// How deep groups of columns may lie in each other; a list is two of them.
const MAX_NESTING: usize = 64;

/// The most groups and columns that a file may have.
const MAX_ELEMENTS: u64 = 1 << 18;

/// The most row groups that parquet reads.
const MAX_ROW_GROUPS: u64 = 1 << 15;

const MALFORMED: &str = "its footer cannot be what a writer of Parquet wrote";

/// The bytes of a footer that can be read.
#[derive(Debug)]
pub(crate) struct CheckedFooter(Bytes);

impl CheckedFooter {
    /// Takes a file's footer, and looks through it.
    ///
    /// # Errors
    /// If there is none, or it would ask for more than it can have.
    pub(crate) fn of(input: &impl ChunkReader) -> Result<Self> {
        let num_bytes = input.len();
        let too_small = |needed: u64| {
            let problem = format!("Parquet file too small. Size is {num_bytes} but need {needed}");
            ParquetError::EOF(problem)
        };
        let Some(end) = num_bytes.checked_sub(FOOTER_SIZE as u64) else {
            return Err(too_small(FOOTER_SIZE as u64));
        };
        let tail = input.get_bytes(end, FOOTER_SIZE)?;
        let tail = FooterTail::try_from(&tail[..])?;
        if tail.is_encrypted_footer() {
            let problem = "its footer is encrypted, and no key is known here";
            return Err(ParquetError::General(problem.to_owned()));
        }
        let length = tail.metadata_length();
        let Some(start) = end.checked_sub(length as u64) else {
            return Err(too_small(length as u64 + FOOTER_SIZE as u64));
        };
        let bytes = input.get_bytes(start, length)?;
        check(&bytes).map_err(|problem| ParquetError::General(problem.to_owned()))?;
        Ok(Self(bytes))
    }

    /// What it says.
    ///
    /// # Errors
    /// If that is not what a footer says.
    pub(crate) fn read(&self, options: Option<&ParquetMetaDataOptions>) -> Result<ParquetMetaData> {
        ParquetMetaDataReader::decode_metadata_with_options(&self.0, options)
    }
}

/// Reads the footer of a Parquet file that may come from anywhere.
///
/// # Errors
/// If there is none, it is malformed, or it would ask for more than it can have.
pub fn read_footer(input: &impl ChunkReader) -> Result<ParquetMetaData> {
    CheckedFooter::of(input)?.read(None)
}

/// Fields of `FileMetaData` and `SchemaElement` that make room or nest.
const SCHEMA: i16 = 2;
const ROW_GROUPS: i16 = 4;
const NAME: i16 = 4;
const NUM_CHILDREN: i16 = 5;

/// What a part of a column's path takes beside its name.
const PART_BYTES: u64 = 48;

/// The most that the paths of all columns may take.
const MAX_PATH_BYTES: u64 = 64 << 20;

/// Looks through a footer: that every list is as long as it says, that every field is what parquet takes it for, and
/// that the schema is a tree of not too many levels.
///
/// # Errors
/// What is wrong with it.
fn check(footer: &[u8]) -> std::result::Result<(), &'static str> {
    let mut input = Input::new(footer);
    let mut field = 0;
    while let Some(kind) = input.field(&mut field).ok_or(MALFORMED)? {
        match field {
            SCHEMA => check_schema(&mut input, kind)?,
            ROW_GROUPS => {
                let length = input.list(kind, kind::STRUCT).ok_or(MALFORMED)?;
                if length > MAX_ROW_GROUPS {
                    return Err("it has more row groups than anybody reads");
                }
                for _ in 0..length {
                    input.fields(ROW_GROUP).ok_or(MALFORMED)?;
                }
            }
            _ => input.pass(kind, field, FILE_METADATA).ok_or(MALFORMED)?,
        }
    }
    Ok(())
}

/// Looks through a schema: a list of its groups and columns, each before what is in it.
fn check_schema(input: &mut Input<&[u8]>, kind: u8) -> std::result::Result<(), &'static str> {
    let length = input.list(kind, kind::STRUCT).ok_or(MALFORMED)?;
    if length > MAX_ELEMENTS {
        return Err("it has more columns than anybody reads");
    }
    // Of each group that lies around what comes next, how much of it is still to come, and its part of a path; and
    // of all of them.
    let mut open: Vec<(u64, u64)> = Vec::new();
    let (mut to_come, mut path_bytes, mut all_path_bytes) = (1_u64, 0_u64, 0_u64);
    for index in 0..length {
        to_come = to_come.checked_sub(1).ok_or(MALFORMED)?;
        while let Some((0, part)) = open.last() {
            path_bytes -= part;
            open.pop();
        }
        if let Some((left, _)) = open.last_mut() {
            *left -= 1;
        }
        let element = schema_element(input).ok_or(MALFORMED)?;
        let part = PART_BYTES + element.name_bytes;
        if element.num_children > 0 {
            open.push((element.num_children, part));
            path_bytes += part;
            to_come = to_come.saturating_add(element.num_children);
        } else {
            // parquet keeps of every column the names of all that it lies in.
            all_path_bytes = all_path_bytes.saturating_add(path_bytes + part);
            if all_path_bytes > MAX_PATH_BYTES {
                return Err("its columns have longer names than anybody reads");
            }
        }
        if to_come >= length - index {
            return Err(MALFORMED);
        }
        if open.len() > MAX_NESTING {
            return Err("its columns lie deeper in each other than anybody reads");
        }
    }
    Ok(())
}

/// What an element of a schema asks for.
struct Element {
    /// How many others lie in it.
    num_children: u64,
    name_bytes: u64,
}

/// Passes over an element of a schema.
fn schema_element(input: &mut Input<&[u8]>) -> Option<Element> {
    let mut element = Element {
        num_children: 0,
        name_bytes: 0,
    };
    let mut field = 0;
    while let Some(kind) = input.field(&mut field)? {
        let start = input.num_bytes();
        match field {
            NUM_CHILDREN => element.num_children = input.size(kind)?,
            _ => input.pass(kind, field, SCHEMA_ELEMENT)?,
        }
        if field == NAME {
            element.name_bytes = input.num_bytes() - start;
        }
    }
    // Of a struct in which there was nothing.
    (field != 0).then_some(element)
}

// What parquet reads of a footer, as parquet.thrift has it. What is looked at above is left out.

const FILE_METADATA: Fields = &[
    (1, Kind::Int),
    (3, Kind::Int),
    (5, Kind::List(&Kind::Struct(KEY_VALUE))),
    (6, Kind::Binary),
    (7, Kind::List(&Kind::Struct(COLUMN_ORDER))),
    (8, Kind::Struct(ENCRYPTION)),
    (9, Kind::Binary),
];

/// By which of two algorithms, and what that needs.
const ENCRYPTION: Fields = &[(1, Kind::Struct(AES)), (2, Kind::Struct(AES))];

const AES: Fields = &[(1, Kind::Binary), (2, Kind::Binary), (3, Kind::Bool)];

const SCHEMA_ELEMENT: Fields = &[
    (1, Kind::Int),
    (2, Kind::Int),
    (3, Kind::Int),
    (4, Kind::Binary),
    (6, Kind::Int),
    (7, Kind::Int),
    (8, Kind::Int),
    (9, Kind::Int),
    (10, Kind::Struct(LOGICAL_TYPE)),
];

const EMPTY: Fields = &[];

const LOGICAL_TYPE: Fields = &[
    (1, Kind::Struct(EMPTY)),
    (2, Kind::Struct(EMPTY)),
    (3, Kind::Struct(EMPTY)),
    (4, Kind::Struct(EMPTY)),
    // A decimal number: its scale and precision.
    (5, Kind::Struct(&[(1, Kind::Int), (2, Kind::Int)])),
    (6, Kind::Struct(EMPTY)),
    (7, Kind::Struct(TIME)),
    (8, Kind::Struct(TIME)),
    // A number: its width, and whether it has a sign.
    (10, Kind::Struct(&[(1, Kind::Byte), (2, Kind::Bool)])),
    (11, Kind::Struct(EMPTY)),
    (12, Kind::Struct(EMPTY)),
    (13, Kind::Struct(EMPTY)),
    (14, Kind::Struct(EMPTY)),
    (15, Kind::Struct(EMPTY)),
    (16, Kind::Struct(&[(1, Kind::Byte)])),
    // Places: their coordinates, and how lines run between them.
    (17, Kind::Struct(&[(1, Kind::Binary)])),
    (18, Kind::Struct(&[(1, Kind::Binary), (2, Kind::Int)])),
];

/// Whether a time is that of UTC, and its unit.
const TIME: Fields = &[(1, Kind::Bool), (2, Kind::Struct(TIME_UNIT))];

const TIME_UNIT: Fields = &[
    (1, Kind::Struct(EMPTY)),
    (2, Kind::Struct(EMPTY)),
    (3, Kind::Struct(EMPTY)),
];

const KEY_VALUE: Fields = &[(1, Kind::Binary), (2, Kind::Binary)];

const COLUMN_ORDER: Fields = &[(1, Kind::Struct(EMPTY))];

const ROW_GROUP: Fields = &[
    (1, Kind::List(&Kind::Struct(COLUMN_CHUNK))),
    (2, Kind::Int),
    (3, Kind::Int),
    (4, Kind::List(&Kind::Struct(SORTING_COLUMN))),
    (5, Kind::Int),
    (6, Kind::Int),
    (7, Kind::Int),
];

const SORTING_COLUMN: Fields = &[(1, Kind::Int), (2, Kind::Bool), (3, Kind::Bool)];

const COLUMN_CHUNK: Fields = &[
    (1, Kind::Binary),
    (2, Kind::Int),
    (3, Kind::Struct(COLUMN_METADATA)),
    (4, Kind::Int),
    (5, Kind::Int),
    (6, Kind::Int),
    (7, Kind::Int),
    (8, Kind::Struct(COLUMN_ENCRYPTION)),
    (9, Kind::Binary),
];

/// With the key of the footer, or one of the column's own, which is named by the column's path.
const COLUMN_ENCRYPTION: Fields = &[
    (1, Kind::Struct(EMPTY)),
    (
        2,
        Kind::Struct(&[(1, Kind::List(&Kind::Binary)), (2, Kind::Binary)]),
    ),
];

const COLUMN_METADATA: Fields = &[
    (1, Kind::Int),
    (2, Kind::List(&Kind::Int)),
    (3, Kind::List(&Kind::Binary)),
    (4, Kind::Int),
    (5, Kind::Int),
    (6, Kind::Int),
    (7, Kind::Int),
    (8, Kind::List(&Kind::Struct(KEY_VALUE))),
    (9, Kind::Int),
    (10, Kind::Int),
    (11, Kind::Int),
    (12, Kind::Struct(STATISTICS)),
    (13, Kind::List(&Kind::Struct(PAGE_ENCODING))),
    (14, Kind::Int),
    (15, Kind::Int),
    (16, Kind::Struct(SIZE_STATISTICS)),
    (17, Kind::Struct(PLACE_STATISTICS)),
];

const STATISTICS: Fields = &[
    (1, Kind::Binary),
    (2, Kind::Binary),
    (3, Kind::Int),
    (4, Kind::Int),
    (5, Kind::Binary),
    (6, Kind::Binary),
    (7, Kind::Bool),
    (8, Kind::Bool),
];

const PAGE_ENCODING: Fields = &[(1, Kind::Int), (2, Kind::Int), (3, Kind::Int)];

const SIZE_STATISTICS: Fields = &[
    (1, Kind::Int),
    (2, Kind::List(&Kind::Int)),
    (3, Kind::List(&Kind::Int)),
];

const PLACE_STATISTICS: Fields = &[(1, Kind::Struct(BOX)), (2, Kind::List(&Kind::Int))];

const BOX: Fields = &[
    (1, Kind::Double),
    (2, Kind::Double),
    (3, Kind::Double),
    (4, Kind::Double),
    (5, Kind::Double),
    (6, Kind::Double),
    (7, Kind::Double),
    (8, Kind::Double),
];

#[cfg(test)]
mod tests;
