//! The digits: a CSV file in the binary, see `data/README.md`.

use trace::{Crc32c, DatasetInfo};

use super::{Dataset, DatasetError, DatasetKind, ImageShape, Samples, Targets, Training};

const FILE: &str = "data/digits.csv";
const CSV: &str = include_str!("../../data/digits.csv");

const IMAGE: ImageShape = ImageShape {
    channels: 1,
    height: 8,
    width: 8,
};
const NUM_PIXELS: usize = IMAGE.height * IMAGE.width;
const NUM_CLASSES: i32 = 10;
/// Pixels are whole numbers from 0 to this.
const MAX_PIXEL: u8 = 16;
const NUM_HELD_OUT: usize = 297;

pub(super) fn load() -> Result<Dataset, DatasetError> {
    let mut samples = parse(CSV)?;
    let held_out = samples.split_off(samples.len() - NUM_HELD_OUT);
    let info = DatasetInfo {
        kind: DatasetKind::Digits.to_string(),
        source: "built-in".to_owned(),
        crc32c: Crc32c::of(CSV.as_bytes()),
        num_train: samples.len() as u64,
        num_held_out: held_out.len() as u64,
        held_out: format!("last {NUM_HELD_OUT}"),
        details: None,
    };
    Ok(Dataset {
        info,
        training: Training::Fixed(samples),
        held_out,
        class_names: (0..NUM_CLASSES).map(|class| class.to_string()).collect(),
        target_names: Vec::new(),
        image: Some(IMAGE),
        notes: Vec::new(),
    })
}

/// Reads lines of 64 pixels and a label after a header.
pub(super) fn parse(csv: &str) -> Result<Samples, DatasetError> {
    let mut inputs = Vec::new();
    let mut classes = Vec::new();
    for (index, line) in csv.lines().enumerate().skip(1) {
        let malformed = |problem| DatasetError::Malformed {
            file: FILE,
            line: index + 1,
            problem,
        };
        let (pixels, label) = line
            .rsplit_once(',')
            .ok_or_else(|| malformed("it has no label".to_owned()))?;
        let num_before = inputs.len();
        for pixel in pixels.split(',') {
            let value: u8 = pixel
                .parse()
                .ok()
                .filter(|&value| value <= MAX_PIXEL)
                .ok_or_else(|| malformed(format!("{pixel:?} is no pixel from 0 to {MAX_PIXEL}")))?;
            inputs.push(f32::from(value) / f32::from(MAX_PIXEL));
        }
        let num_pixels = inputs.len() - num_before;
        if num_pixels != NUM_PIXELS {
            return Err(malformed(format!(
                "it has {num_pixels} pixels, not {NUM_PIXELS}"
            )));
        }
        let class = label
            .parse()
            .ok()
            .filter(|class| (0..NUM_CLASSES).contains(class))
            .ok_or_else(|| malformed(format!("{label:?} is no label from 0 to 9")))?;
        classes.push(class);
    }
    Ok(Samples::new(inputs, NUM_PIXELS, Targets::Classes(classes)))
}
