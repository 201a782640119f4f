//! Changes inputs as whoever forges them would: with the structure of their format left whole, or just anywhere.

use serde_json::{Map, Value, json};

/// Nothing that a parser is given is longer.
pub const MAX_BYTES: usize = 64 << 10;

/// The most changes that are made to one input at once.
const MAX_CHANGES: usize = 5;

/// How deep lists are nested that stand for a value.
const MAX_DEPTH: usize = 200;

/// Of so many inputs one is changed anywhere, whatever its format.
const ANYWHERE: usize = 4;

/// A Parquet file's last bytes: the length of its metadata, and its sign.
const TAIL_BYTES: usize = 8;

/// A safetensors file's first bytes: the length of its header.
const LENGTH_BYTES: usize = 8;

/// How an input is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    /// JSON behind its length, and then anything.
    Safetensors,
    /// Anything, then metadata, their length and `PAR1`.
    Parquet,
    /// Big-endian numbers, and then anything.
    Idx,
    Text,
}

/// What stands for text that parsers have words for.
const WORDS: &[&str] = &[
    "",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\"",
    "\"\"",
    "'",
    "`",
    "\\",
    "/",
    "//",
    "..",
    "../",
    "=",
    "==",
    "%2e%2e%2f",
    "%00",
    "*",
    "**",
    "***",
    "?",
    "[",
    "]",
    "[!a-z]",
    "!",
    "{",
    "}",
    "{epoch}",
    "{step}",
    "<",
    ">",
    "<epoch>",
    "..",
    "@",
    "@..",
    "-1",
    "0",
    "00",
    "-0",
    "1e309",
    "-1e-400",
    "0x10",
    "NaN",
    "nan",
    "inf",
    "-Infinity",
    "NULL",
    "true",
    "2147483648",
    "4294967295",
    "9223372036854775807",
    "18446744073709551616",
    "0.1",
    "1_000",
    "1,000",
    ";",
    "|",
    "\u{feff}",
    "\u{202e}\u{0661}\u{4e2d}\u{0e01}\u{0301}",
    "\u{1f9e0}",
];

/// What stands for a number where it is one of bytes.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 48,
    i64::MAX as u64,
    u64::MAX,
];

/// Numbers that look drawn, and are the same for the same seed (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below another, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() % end as u64) as usize
    }

    fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Whether one of so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Another input of a format: one of `seeds` with some changes.
pub fn changed(format: Format, seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = rng.one_of(seeds).clone();
    let other = rng.one_of(seeds).clone();
    for _ in 0..=rng.below(MAX_CHANGES) {
        match format {
            _ if rng.once_in(ANYWHERE) => change_bytes(&mut bytes, &other, rng),
            Format::Json => change_json(&mut bytes, rng),
            Format::Safetensors => change_safetensors(&mut bytes, rng),
            Format::Parquet => change_parquet(&mut bytes, rng),
            Format::Idx => change_number(&mut bytes, rng, 20),
            Format::Text => change_text(&mut bytes, rng),
        }
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

/// A change of any bytes.
fn change_bytes(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let at = rng.below(bytes.len() + 1);
    let end = (at + 1 + rng.below(16)).min(bytes.len());
    match rng.below(8) {
        0 => bytes.truncate(at),
        1 => _ = bytes.drain(at.min(end)..end),
        2 => {
            let again = bytes[at.min(end)..end].to_vec();
            bytes.splice(at..at, again);
        }
        3 if !other.is_empty() => {
            let from = rng.below(other.len());
            let to = (from + 1 + rng.below(64)).min(other.len());
            bytes.splice(at..end.max(at), other[from..to].iter().copied());
        }
        4 => change_number(bytes, rng, usize::MAX),
        5 => _ = bytes.splice(at..at, rng.one_of(WORDS).bytes()),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
    }
}

/// A number of 1 to 8 bytes in the first `within` becomes another.
fn change_number(bytes: &mut [u8], rng: &mut Rng, within: usize) {
    let number = *rng.one_of(&NUMBERS);
    let size = 1 << rng.below(4);
    let end = bytes.len().min(within);
    let Some(last) = end.checked_sub(size) else {
        return;
    };
    let at = rng.below(last + 1);
    let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
    let number = match rng.once_in(2) {
        true => &little[..size],
        false => &big[8 - size..],
    };
    bytes[at..at + size].copy_from_slice(number);
}

fn change_text(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let place = |rng: &mut Rng| match ends.is_empty() {
        true => 0,
        false => *rng.one_of(&ends),
    };
    let (a, b) = (place(rng), place(rng));
    let (start, end) = (a.min(b), a.max(b));
    let (before, within, behind) = (&text[..start], &text[start..end], &text[end..]);
    let word = rng.one_of(WORDS);
    let times = 1 + rng.below(100);
    *bytes = match rng.below(6) {
        0 => format!("{before}{word}{within}{behind}"),
        1 => format!("{before}{word}{behind}"),
        2 => format!("{before}{within}{within}{behind}"),
        3 => format!("{before}{}{within}{behind}", word.repeat(times)),
        4 => {
            let mut lines: Vec<&str> = text.split('\n').collect();
            let (from, to) = (rng.below(lines.len()), rng.below(lines.len()));
            lines.swap(from, to);
            lines.join("\n")
        }
        _ => format!("{before}{}", within.repeat(times)),
    }
    .into_bytes();
    bytes.truncate(MAX_BYTES);
}

fn change_json(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else {
        return change_text(bytes, rng);
    };
    let mut pointers = Vec::new();
    list(&value, String::new(), &mut pointers);
    let pointer = rng.one_of(&pointers).clone();
    let from: &String = rng.one_of(&pointers);
    let other = value.pointer(from).cloned();
    let place = value.pointer_mut(&pointer).expect("it was listed");
    match (rng.below(6), place) {
        (0, Value::Object(object)) => {
            let key = object.keys().nth(rng.below(object.len().max(1))).cloned();
            _ = key.map(|key| object.remove(&key));
        }
        (1, Value::Object(object)) => {
            _ = object.insert((*rng.one_of(WORDS)).to_owned(), absurd(rng));
        }
        (0, Value::Array(items)) if !items.is_empty() => _ = items.remove(rng.below(items.len())),
        (1, Value::Array(items)) if !items.is_empty() => {
            let item = rng.one_of(items).clone();
            items.extend(vec![item; 1 + rng.below(4)]);
        }
        (2, place) => *place = other.unwrap_or_default(),
        (_, place) => *place = absurd(rng),
    }
    *bytes = value.to_string().into_bytes();
}

/// All places of a value.
fn list(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let key = key.replace('~', "~0").replace('/', "~1");
                list(value, format!("{at}/{key}"), pointers);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                list(item, format!("{at}/{index}"), pointers);
            }
        }
        _ => {}
    }
    pointers.push(at);
}

/// What nobody would write.
fn absurd(rng: &mut Rng) -> Value {
    match rng.below(8) {
        0 => json!(*rng.one_of(&NUMBERS)),
        1 => json!(-(rng.one_of(&NUMBERS).wrapping_shr(1) as i64)),
        2 => json!(*rng.one_of(&[1e300, -1e-300, 0.5, 4294967296.0])),
        3 => json!(rng.one_of(WORDS).repeat(1 + rng.below(20))),
        4 => [
            Value::Null,
            json!(true),
            json!([]),
            Value::Object(Map::new()),
        ][rng.below(4)]
        .clone(),
        5 => {
            // Deeper than parsers go that call themselves for each level.
            let depth = rng.below(MAX_DEPTH);
            (0..depth).fold(json!(0), |inner, _| json!([inner]))
        }
        6 => json!(format!("../{}", rng.one_of(WORDS))),
        _ => json!([rng.below(4), *rng.one_of(&NUMBERS)]),
    }
}

fn change_safetensors(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let length = bytes.first_chunk::<LENGTH_BYTES>();
    let length = length.map_or(u64::MAX, |length| u64::from_le_bytes(*length));
    let end = usize::try_from(length).ok();
    let end = end.and_then(|length| length.checked_add(LENGTH_BYTES));
    let Some(end) = end.filter(|end| *end <= bytes.len()) else {
        return change_number(bytes, rng, LENGTH_BYTES);
    };
    let mut header = bytes[LENGTH_BYTES..end].to_vec();
    match rng.once_in(4) {
        true => change_text(&mut header, rng),
        false => change_json(&mut header, rng),
    }
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header);
    changed.extend(&bytes[end..]);
    *bytes = changed;
}

/// A change of the metadata, whose length is then right, or of the pages.
fn change_parquet(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let Some((rest, tail)) = bytes.split_last_chunk::<TAIL_BYTES>() else {
        return;
    };
    let length = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
    let Some(start) = rest.len().checked_sub(length) else {
        return;
    };
    let (pages, metadata) = rest.split_at(start);
    let (mut pages, mut metadata) = (pages.to_vec(), metadata.to_vec());
    let part = match rng.once_in(2) {
        true => &mut pages,
        false => &mut metadata,
    };
    let at = rng.below(part.len() + 1);
    match rng.below(5) {
        // As Thrift writes a number, seven bits a byte.
        0 => {
            let end = (at + 1 + rng.below(4)).min(part.len());
            let mut number = *rng.one_of(&NUMBERS);
            let mut digits = Vec::new();
            while number >= 0x80 {
                digits.push(number as u8 | 0x80);
                number >>= 7;
            }
            digits.push(number as u8);
            part.splice(at.min(end)..end, digits);
        }
        1 => change_number(part, rng, usize::MAX),
        2 => {
            if let Some(byte) = part.get_mut(at) {
                *byte = byte.wrapping_add(if rng.once_in(2) { 1 } else { 0xff });
            }
        }
        3 => {
            if let Some(byte) = part.get_mut(at) {
                *byte = rng.draw() as u8;
            }
        }
        _ => {
            if let Some(byte) = part.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
    }
    let length = metadata.len() as u32;
    *bytes = pages;
    bytes.extend(metadata);
    bytes.extend(length.to_le_bytes());
    bytes.extend(b"PAR1");
}
