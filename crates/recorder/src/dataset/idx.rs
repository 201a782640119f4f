//! IDX, the format of MNIST's own files (<http://yann.lecun.com/exdb/mnist/>): a magic number that
//! says the type and the number of dimensions, their sizes, and the values, all big-endian; often
//! compressed with gzip.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::raw::{
    Gaps, InputColumn, InputKind, MAX_INPUTS, Numbers, RawTable, TextColumn, not_finite, refuse,
};
use super::{DatasetError, FileSpec, HeldOutRule, ImageShape, Place, packed};

/// What MNIST calls the file of images and that of labels; the separator before `idx` may be a dot.
const IMAGES: [&str; 2] = ["images-idx3-ubyte", "images.idx3-ubyte"];
/// How many files an error lists.
const MAX_LISTED: usize = 10;
/// Sets that may be held out, as their files begin.
const TEST_SETS: [&str; 2] = ["t10k", "test"];

/// An image file with its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) images: PathBuf,
    pub(super) labels: PathBuf,
}

/// Finds the files: those that are trained on, and those that are held out, if that is a file's.
///
/// # Errors
/// If one is not there.
pub(super) fn find(spec: &FileSpec) -> Result<(Pair, Option<Pair>), DatasetError> {
    let in_directory = spec.path.is_dir();
    let images = match in_directory {
        true => find_images(&spec.path, "train").ok_or_else(|| {
            let problem = format!(
                "the directory has no train-images-idx3-ubyte, nor one ending in .gz: name the file \
                 of images itself{}",
                those_of_images(&spec.path)
            );
            refuse(&spec.path, problem)
        })?,
        false => spec.path.clone(),
    };
    let train = pair(images, spec.labels.as_ref(), "--labels")?;
    let of_test_set = || {
        TEST_SETS
            .iter()
            .find_map(|set| find_images(&spec.path, set))
    };
    let held_out = match &spec.held_out {
        Some(HeldOutRule::File(images)) => Some(images.clone()),
        None if in_directory => of_test_set(),
        Some(HeldOutRule::Share(_)) | None => None,
    };
    let labels = spec.held_out_labels.as_ref();
    let held_out = held_out.map(|images| pair(images, labels, "--held-out-labels"));
    Ok((train, held_out.transpose()?))
}

fn find_images(directory: &Path, set: &str) -> Option<PathBuf> {
    let names = IMAGES
        .iter()
        .flat_map(|name| ["", ".gz"].map(|end| format!("{set}-{name}{end}")));
    names
        .map(|name| directory.join(name))
        .find(|file| file.is_file())
}

/// The files in a directory whose names say that they have images, as a part of a sentence.
fn those_of_images(directory: &Path) -> String {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.contains("images")).collect();
    names.sort();
    names.truncate(MAX_LISTED);
    match names.is_empty() {
        true => String::new(),
        false => format!(" (it has {})", names.join(", ")),
    }
}

fn pair(images: PathBuf, labels: Option<&PathBuf>, option: &str) -> Result<Pair, DatasetError> {
    let labels = match labels {
        Some(labels) => labels.clone(),
        None => labels_of(&images).ok_or_else(|| {
            refuse(
                &images,
                format!("there is no file of labels that goes with its name: give {option} FILE"),
            )
        })?,
    };
    Ok(Pair { images, labels })
}

/// The file whose name says `labels` where this one's says `images`, compressed or not.
fn labels_of(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let (before, after) = name.rsplit_once("images")?;
    let after = after.replace("idx3", "idx1");
    let plain = format!(
        "{before}labels{}",
        after.strip_suffix(".gz").unwrap_or(&after)
    );
    let names = [format!("{plain}.gz"), plain];
    let files = names.map(|name| images.with_file_name(name));
    files.into_iter().find(|file| file.is_file())
}

/// What image the dimensions behind the samples' are.
fn image(sizes: &[usize]) -> Option<ImageShape> {
    let (channels, height, width) = match *sizes {
        [height, width] => (1, height, width),
        [channels, height, width] => (channels, height, width),
        _ => return None,
    };
    Some(ImageShape {
        channels,
        height,
        width,
    })
}

/// Reads images and labels from their bytes: a sample an image, whose values are taken as they are.
///
/// # Errors
/// If a file is not what its first bytes say, or they do not belong together.
pub(super) fn read(pair: &Pair, images: &[u8], labels: &[u8]) -> Result<RawTable, DatasetError> {
    let decoded = decode(&pair.images, images)?;
    if decoded.sizes.len() < 2 {
        return Err(refuse(
            &pair.images,
            "it has one dimension, as labels have: images have more (are the two files swapped?)",
        ));
    }
    let labelled = decode(&pair.labels, labels)?;
    if labelled.sizes.len() != 1 {
        let problem = format!(
            "it has {} dimensions, labels have one",
            labelled.sizes.len()
        );
        return Err(refuse(&pair.labels, problem));
    }
    let (num_images, num_labels) = (decoded.sizes[0], labelled.sizes[0]);
    if num_images != num_labels {
        let images = pair.images.display();
        let problem = format!("it has {num_labels} labels, {images} has {num_images} images");
        return Err(refuse(&pair.labels, problem));
    }
    let mut target = TextColumn::new("label".to_owned());
    for label in 0..num_labels {
        target.push(&labelled.values.get(label).to_string());
    }
    let num_numbers = decoded.sizes[1..].iter().product();
    if num_numbers > MAX_INPUTS {
        let problem = format!("an image of it has {num_numbers} values, more than {MAX_INPUTS}");
        return Err(refuse(&pair.images, problem));
    }
    let inputs = (0..num_numbers).map(|index| InputColumn {
        name: String::new(),
        kind: InputKind::Number(index),
        gaps: Gaps::default(),
    });
    Ok(RawTable {
        file: pair.images.clone(),
        target_file: Some(pair.labels.clone()),
        places: None,
        inputs: inputs.collect(),
        image: image(&decoded.sizes[1..]),
        numbers: decoded.values,
        num_numbers,
        targets: vec![target],
        notes: Vec::new(),
    })
}

struct Decoded {
    sizes: Vec<usize>,
    values: Numbers,
}

fn decode(file: &Path, bytes: &[u8]) -> Result<Decoded, DatasetError> {
    if bytes.starts_with(packed::GZIP) {
        decode_from(file, packed::reader(bytes))
    } else {
        decode_from(file, bytes)
    }
}

fn decode_from(file: &Path, mut reader: impl Read) -> Result<Decoded, DatasetError> {
    let in_header = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => refuse(file, "it is cut off within its first bytes"),
        _ => refuse(file, format!("it is damaged: {error}")),
    };
    let mut magic = [0; 4];
    reader.read_exact(&mut magic).map_err(in_header)?;
    let [0, 0, kind, num_dimensions] = magic else {
        return Err(no_idx(file, magic));
    };
    let size_of_value = match kind {
        0x08 | 0x09 => 1,
        0x0b => 2,
        0x0c | 0x0d => 4,
        0x0e => 8,
        _ => return Err(no_idx(file, magic)),
    };
    if num_dimensions == 0 {
        return Err(no_idx(file, magic));
    }
    let mut sizes = Vec::new();
    for _ in 0..num_dimensions {
        let mut size = [0; 4];
        reader.read_exact(&mut size).map_err(in_header)?;
        sizes.push(u32::from_be_bytes(size) as usize);
    }
    let size_of_row = sizes[1..]
        .iter()
        .try_fold(size_of_value, |n: usize, &s| n.checked_mul(s));
    let num_bytes = size_of_row.and_then(|row| row.checked_mul(sizes[0]));
    let (Some(size_of_row @ 1..), Some(num_bytes)) = (size_of_row, num_bytes) else {
        let problem = format!(
            "its first bytes give it the impossible sizes {sizes:?}: it is damaged, get it anew"
        );
        return Err(refuse(file, problem));
    };

    let mut bytes = Vec::new();
    // One byte more would be one too many; a file that is much larger is not read to its end.
    let mut limited = reader.take(num_bytes as u64 + 1);
    let result = limited.read_to_end(&mut bytes);
    let cut_off = |num: usize| DatasetError::Refused {
        file: file.to_owned(),
        place: Some(Place::Row((num / size_of_row) as u64)),
        column: None,
        problem: format!(
            "the file is cut off here: it has {num} of {num_bytes} bytes of values; get it anew"
        ),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(cut_off(bytes.len().min(num_bytes)));
        }
        Err(error) if packed::is_too_much(&error) => return Err(refuse(file, error.to_string())),
        Err(error) => return Err(refuse(file, format!("it is damaged: {error}"))),
        Ok(num) if num < num_bytes => return Err(cut_off(num)),
        Ok(num) if num > num_bytes => {
            let problem = format!(
                "it goes on after the {num_bytes} bytes of values that its first bytes say"
            );
            return Err(refuse(file, problem));
        }
        Ok(_) => {}
    }
    let values = bytes
        .chunks_exact(size_of_value)
        .map(|value| to_float(kind, value));
    // In 32 bits, too, which the network computes in.
    let is_finite = |value: f64| (value as f32).is_finite();
    if let Some(index) = values.clone().position(|value| !is_finite(value)) {
        return Err(DatasetError::Refused {
            file: file.to_owned(),
            place: Some(Place::Row((index * size_of_value / size_of_row) as u64)),
            column: None,
            problem: not_finite("a value"),
        });
    }
    let values = match kind {
        // Of these, not every value is one of 32 bits.
        0x0c | 0x0e => Numbers::Double(values.collect()),
        _ => Numbers::Single(values.map(|value| value as f32).collect()),
    };
    Ok(Decoded { sizes, values })
}

/// A value of as many bytes as its type has.
fn to_float(kind: u8, bytes: &[u8]) -> f64 {
    match (kind, bytes) {
        (0x09, &[value]) => f64::from(value.cast_signed()),
        (0x0b, &[a, b]) => f64::from(i16::from_be_bytes([a, b])),
        (0x0c, &[a, b, c, d]) => f64::from(i32::from_be_bytes([a, b, c, d])),
        (0x0d, &[a, b, c, d]) => f64::from(f32::from_be_bytes([a, b, c, d])),
        (0x0e, &[a, b, c, d, e, f, g, h]) => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
        (_, bytes) => f64::from(bytes[0]),
    }
}

fn no_idx(file: &Path, magic: [u8; 4]) -> DatasetError {
    let remedy = match magic {
        [0x1f, 0x8b, ..] => ": it was packed by gzip twice, unpack it once",
        [b'<', ..] => ": it is a web page, get the file that it is about",
        [1..=4, 8..=14, 0, 0] => {
            ": its sizes have their lowest byte first, write the highest first"
        }
        _ => "",
    };
    let magic = magic.map(|byte| format!("{byte:02x}")).join(" ");
    refuse(
        file,
        format!(
            "it is no IDX file: it begins with {magic}, not with 00 00, a type (08 for bytes) and \
             the number of dimensions{remedy}"
        ),
    )
}
