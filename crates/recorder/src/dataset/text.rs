//! From a file's bytes to its text: compression and encodings.

use std::io::Read as _;
use std::path::Path;

use super::packed::{self, GZIP};
use super::raw::refuse;
use super::{DatasetError, Place};

const UTF_8_MARK: &str = "\u{feff}";

/// What else may have the ending of a text, by its first bytes.
const NO_TEXTS: [(&[u8], &str); 8] = [
    (
        b"PK\x03\x04",
        "a ZIP archive, as .xlsx files are: take the text out of it, or export it as CSV",
    ),
    (
        b"\xd0\xcf\x11\xe0",
        "an old Office document: export it as CSV",
    ),
    (b"PAR1", "Parquet: --dataset parquet:FILE"),
    (b"ARROW1", "an Arrow file: write it as CSV or Parquet"),
    (b"BZh", "compressed by bzip2: unpack it, or use gzip"),
    (b"\xfd7zXZ", "compressed by xz: unpack it, or use gzip"),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed by zstd: unpack it, or use gzip",
    ),
    (b"\x89HDF", "HDF5: write it as CSV or Parquet"),
];

/// The text of a file of that name: unpacked if gzip packed it, without a byte order mark, and with
/// lines that end in a line feed.
///
/// # Errors
/// If it is no text, with what it seems to be.
pub(super) fn decode(file: &Path, bytes: Vec<u8>) -> Result<String, DatasetError> {
    let text = if bytes.starts_with(GZIP) {
        let mut unpacked = Vec::new();
        packed::reader(&bytes).read_to_end(&mut unpacked).map_err(
            |error| match packed::is_too_much(&error) {
                true => refuse(file, error.to_string()),
                false => refuse(file, format!("it is damaged or cut off: {error}")),
            },
        )?;
        if unpacked.starts_with(GZIP) {
            return Err(refuse(file, "gzip packed it twice: unpack it once"));
        }
        to_text(file, unpacked)?
    } else {
        to_text(file, bytes)?
    };
    check(file, &text)?;
    Ok(match text.contains('\n') {
        true => text,
        // As old Macintosh programs end lines.
        false => text.replace('\r', "\n"),
    })
}

fn to_text(file: &Path, bytes: Vec<u8>) -> Result<String, DatasetError> {
    if let Some((_, what)) = NO_TEXTS.iter().find(|(first, _)| bytes.starts_with(first)) {
        return Err(refuse(file, format!("it is no text but {what}")));
    }
    let wide = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => Some((u16::from_le_bytes as fn([u8; 2]) -> u16, rest)),
        [0xfe, 0xff, rest @ ..] => Some((u16::from_be_bytes as fn([u8; 2]) -> u16, rest)),
        _ => None,
    };
    if let Some((to_unit, rest)) = wide {
        let (pairs, odd) = rest.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| to_unit(*pair)).collect();
        return match String::from_utf16(&units) {
            Ok(text) if odd.is_empty() => Ok(text),
            _ => Err(refuse(file, "it begins as UTF-16 text and is none")),
        };
    }
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            if text.starts_with(UTF_8_MARK) {
                text.drain(..UTF_8_MARK.len());
            }
            Ok(text)
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            let problem = format!(
                "it is no UTF-8 text (a byte {:#04x}): convert the file, as by iconv -f \
                 WINDOWS-1252 -t UTF-8",
                bytes[at]
            );
            Err(on_line(file, &bytes[..at], problem))
        }
    }
}

fn check(file: &Path, text: &str) -> Result<(), DatasetError> {
    if let Some(at) = text.find('\0') {
        let problem = "it has a byte of 0: the file is damaged, no text, or UTF-16 without a byte \
                       order mark"
            .to_owned();
        return Err(on_line(file, &text.as_bytes()[..at], problem));
    }
    let start = text.trim_start().as_bytes();
    for tag in ["<!doctype", "<html"] {
        let begins = start.get(..tag.len());
        if begins.is_some_and(|begins| begins.eq_ignore_ascii_case(tag.as_bytes())) {
            let problem = "it is an HTML page, perhaps of a download that failed, and no table";
            return Err(refuse(file, problem));
        }
    }
    Ok(())
}

/// The error on the line that comes after so much of the file.
fn on_line(file: &Path, before: &[u8], problem: String) -> DatasetError {
    let line = before.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
    DatasetError::Refused {
        file: file.to_owned(),
        place: Some(Place::Line(line)),
        column: None,
        problem,
    }
}
