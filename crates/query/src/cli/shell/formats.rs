//! The formats that a shell writes.

use sql::output::Format;

/// The formats that a terminal can show.
pub(super) fn text_formats() -> impl Iterator<Item = &'static str> {
    let formats = Format::ALL.into_iter();
    formats
        .filter(|format| !format.is_binary())
        .map(Format::name)
}

/// `table, csv, json or jsonl`
pub(super) fn formats() -> String {
    let names: Vec<&str> = text_formats().collect();
    match names.split_last() {
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
