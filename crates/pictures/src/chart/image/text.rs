//! Text in a picture: fonts, widths, lines.

use kuva::render::color::Color;
use kuva::render::render::{Primitive, TextAnchor};

use crate::chart::BETWEEN;

/// The fonts of an SVG, of which a viewer takes the first that it has; widths are measured in the first,
/// which is the one of PNGs.
pub(super) const FONTS: &str = "DejaVu Sans, Verdana, Liberation Sans, Arial, sans-serif";

/// A text at a place; without a colour it has the picture's.
pub(super) fn text(
    x: f64,
    y: f64,
    content: &str,
    size: u32,
    anchor: TextAnchor,
    colour: Option<&str>,
) -> Primitive {
    Primitive::Text {
        x,
        y,
        content: plain(content),
        size,
        anchor,
        rotate: None,
        bold: false,
        color: colour.map(Color::from),
    }
}

/// The lines of a text that fit into so many pixels; parts of a subtitle stay whole where they can.
pub(super) fn wrapped(text: &str, size: u32, room: f64) -> Vec<String> {
    let room = room / (f64::from(size) * CHARACTER_WIDTH);
    let length = |text: &str| text.chars().count() as f64;
    let last = text.split(BETWEEN).count() - 1;
    let mut lines: Vec<String> = Vec::new();
    let mut add = |piece: &str| match lines.last_mut() {
        Some(line) if length(line) + 1.0 + length(piece) <= room => {
            line.push(' ');
            line.push_str(piece);
        }
        _ => lines.push(piece.to_owned()),
    };
    for (index, part) in text.split(BETWEEN).enumerate() {
        let between = if index < last { BETWEEN.trim_end() } else { "" };
        let part = format!("{part}{between}");
        match length(&part) <= room {
            true if part.is_empty() => {}
            true => add(&part),
            false => part.split_whitespace().for_each(&mut add),
        }
    }
    lines
}

/// How wide a character is on average, in parts of its font's size.
const CHARACTER_WIDTH: f64 = 0.58;

/// How wide a text is at most, in pixels.
pub(super) fn text_width(text: &str, size: u32) -> f64 {
    text.chars().count() as f64 * f64::from(size) * (CHARACTER_WIDTH + 0.05)
}

/// A text that kuva takes as it is: what stands between dollar signs would be a formula.
pub(super) fn plain(text: &str) -> String {
    text.replace('$', "\\$")
}
