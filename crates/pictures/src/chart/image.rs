//! Charts as SVG and PNG: axes, marks, legends and text by kuva, which has a font of its own.

mod dashes;
mod graph;
mod panel;
mod text;

use std::io::Cursor;

use kuva::backend::raster::RasterBackend;
use kuva::backend::svg::SvgBackend;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::{Chart, Theme};
use text::{FONTS, plain, text, wrapped};

/// A picture's width, in pixels at scale 1.
const WIDTH: f64 = 960.0;

/// Pixels of a PNG to one of a picture, unless told otherwise: sharp on today's screens and in print.
pub const DEFAULT_SCALE: u8 = 2;

/// The most of them.
pub const MAX_SCALE: u8 = 4;

const TITLE_SIZE: u32 = 22;
const SUBTITLE_SIZE: u32 = 14;
const NOTE_SIZE: u32 = 13;
const MARGIN: f64 = 24.0;

/// What a line of text has.
const ROOM: f64 = WIDTH - 2.0 * MARGIN;

/// Why a picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the picture: {0}")]
pub struct DrawError(String);

impl Chart {
    /// The picture as an SVG document.
    pub fn svg(&self, theme: Theme) -> String {
        let drawn = SvgBackend::new().render_scene(&scene(self, theme));
        drawn.replace(is_no_xml, "\u{fffd}")
    }

    /// The picture as a PNG file, 960 pixels wide at a `scale` of 1, up to [`MAX_SCALE`].
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn png(&self, theme: Theme, scale: u8) -> Result<Vec<u8>, DrawError> {
        let backend = RasterBackend::new().with_scale(f32::from(scale.clamp(1, MAX_SCALE)));
        let scene = dashes::as_lines(scene(self, theme));
        let drawn = backend.render_scene(&scene).map_err(DrawError)?;
        smaller(&drawn).map_err(|error| DrawError(error.to_string()))
    }
}

/// Whether a document cannot hold a character in any form (XML 1.0, 2.2).
fn is_no_xml(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => false,
        '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => true,
        _ => false,
    }
}

/// The same image in a quarter less room: without the channel that says what shines through, and with rows
/// as they are, since text and flat colours repeat themselves oftener than differences from pixel to pixel
/// do.
fn smaller(drawn: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut reader = png::Decoder::new(Cursor::new(drawn)).read_info()?;
    let size = reader
        .output_buffer_size()
        .ok_or("the image is too large")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels)?;
    let num_channels = frame.color_type.samples();
    let pixels = pixels[..frame.buffer_size()].chunks_exact(num_channels);
    let opaque: Vec<u8> = pixels.flat_map(|pixel| &pixel[..3]).copied().collect();
    let mut smaller = Vec::new();
    let mut encoder = png::Encoder::new(&mut smaller, frame.width, frame.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&opaque)?;
    writer.finish()?;
    Ok(smaller)
}

fn scene(chart: &Chart, theme: Theme) -> Scene {
    let mut scene = Scene::new(WIDTH, 0.0).with_background(Some(theme.ground()));
    scene.text_color = Some(theme.text().to_owned());
    scene.font_family = Some(FONTS.to_owned());
    let mut y = MARGIN + f64::from(TITLE_SIZE) * 0.8;
    for line in wrapped(&chart.title, TITLE_SIZE, ROOM) {
        scene.add(Primitive::Text {
            x: MARGIN,
            y,
            content: plain(&line),
            size: TITLE_SIZE,
            anchor: TextAnchor::Start,
            rotate: None,
            bold: true,
            color: None,
        });
        y += f64::from(TITLE_SIZE) * 1.25;
    }
    y = lines(&mut scene, &chart.subtitle, SUBTITLE_SIZE, theme, y);
    let mut notes = chart.notes.clone();
    for panel in &chart.panels {
        let (drawn, note) = panel::scene(panel, theme);
        notes.extend(note);
        // In the middle where it is narrower than the picture.
        let x = ((WIDTH - drawn.width) / 2.0).max(0.0).round();
        scene.defs.extend(drawn.defs);
        scene.add(Primitive::GroupStart {
            transform: Some(format!("translate({x},{})", y.round())),
            title: None,
            extra_attrs: None,
        });
        drawn.elements.into_iter().for_each(|e| scene.add(e));
        scene.add(Primitive::GroupEnd);
        y += drawn.height + 8.0;
    }
    y += f64::from(NOTE_SIZE);
    for note in &notes {
        y = lines(&mut scene, note, NOTE_SIZE, theme, y);
    }
    scene.height = (y + MARGIN / 2.0).round();
    scene
}

/// Writes a text in as many lines as it needs; returns where the next one goes.
fn lines(scene: &mut Scene, written: &str, size: u32, theme: Theme, mut y: f64) -> f64 {
    for line in wrapped(written, size, ROOM) {
        scene.add(text(
            MARGIN,
            y,
            &line,
            size,
            TextAnchor::Start,
            Some(theme.muted()),
        ));
        y += f64::from(size) * 1.4;
    }
    y
}
