//! IDX.

use super::*;

#[test]
fn idx_files_are_found_by_their_usual_names_compressed_or_not() {
    let images = idx_bytes(&[3, 1, 2], &[0, 51, 255, 0, 102, 51]);
    let labels = idx_bytes(&[3], &[7, 3, 7]);
    let test_images = idx_bytes(&[1, 1, 2], &[255, 255]);
    let test_labels = idx_bytes(&[1], &[3]);
    for (separator, end) in [("-", ""), ("-", ".gz"), (".", ""), (".", ".gz")] {
        let files = Files::new();
        let write = |set: &str, what: &str, dimensions: u8, bytes: &[u8]| {
            let name = format!("{set}-{what}{separator}idx{dimensions}-ubyte{end}");
            match end {
                "" => files.write(&name, bytes),
                _ => files.write(&name, gzip(bytes)),
            }
        };
        let train = write("train", "images", 3, &images);
        write("train", "labels", 1, &labels);
        // With a test set, that is held out; without, a share.
        let spec = idx(files.0.path().to_owned());
        let shared = load(&spec, 1).unwrap();
        assert_eq!((shared.num_train(), shared.held_out().len()), (2, 1));
        let test = write("t10k", "images", 3, &test_images);
        write("t10k", "labels", 1, &test_labels);
        for spec in [spec, held_out_in(idx(train), test.clone())] {
            let dataset = load(&spec, 1).unwrap();
            assert_eq!((dataset.num_train(), dataset.held_out().len()), (3, 1));
            assert_eq!(
                dataset.info().held_out,
                format!("all of {}", test.display())
            );
            assert_eq!(
                trained_on(&dataset).inputs(),
                [0.0, 0.2, 1.0, 0.0, 0.4, 0.2]
            );
            assert_eq!(dataset.class_names(), ["3", "7"]);
            assert_eq!(dataset.held_out().targets(), &Targets::Soft(vec![0.0]));
            // The same bytes make the same data.
            let again = Dataset::from_info(dataset.info(), 1).unwrap();
            assert_eq!(again.held_out(), dataset.held_out());
        }
    }
}

#[test]
fn idx_of_every_type_is_read() {
    let files = Files::new();
    let labels = files.write("labels", idx_bytes(&[4], &[0, 1, 0, 1]));
    let numbers = [-2i8, -1, 1, 2];
    let typed: [(u8, Vec<u8>); 5] = [
        (0x09, numbers.iter().flat_map(|n| n.to_be_bytes()).collect()),
        (
            0x0b,
            numbers
                .iter()
                .flat_map(|&n| i16::from(n).to_be_bytes())
                .collect(),
        ),
        (
            0x0c,
            numbers
                .iter()
                .flat_map(|&n| i32::from(n).to_be_bytes())
                .collect(),
        ),
        (
            0x0d,
            numbers
                .iter()
                .flat_map(|&n| f32::from(n).to_be_bytes())
                .collect(),
        ),
        (
            0x0e,
            numbers
                .iter()
                .flat_map(|&n| f64::from(n).to_be_bytes())
                .collect(),
        ),
    ];
    for (kind, values) in typed {
        let mut bytes = idx_bytes(&[4, 1], &values);
        bytes[2] = kind;
        let spec = FileSpec {
            labels: Some(labels.clone()),
            ..unscaled(idx(files.write("numbers", bytes)))
        };
        let dataset = load(&spec, 1).unwrap();
        let sides = [trained_on(&dataset).inputs(), dataset.held_out().inputs()];
        let mut values = sides.concat();
        values.sort_by(f32::total_cmp);
        assert_eq!(values, [-2.0, -1.0, 1.0, 2.0], "{kind:#x}");
    }
}

#[test]
fn idx_that_cannot_be_learned_from_is_refused() {
    let files = Files::new();
    let images = idx_bytes(&[4, 2, 1], &[1, 2, 3, 4, 5, 6, 7, 8]);
    let labels = idx_bytes(&[4], &[0, 1, 0, 1]);
    let refusal = |images: &[u8], labels: &[u8]| {
        let images = files.write("images", images);
        files.write("labels", labels);
        files.refusal(&idx(images))
    };
    let changed = |at: usize, byte: u8| {
        let mut bytes = images.clone();
        bytes[at] = byte;
        bytes
    };
    let longer = [&images[..], &[9]].concat();
    for (images, refused) in [
        (
            b"\x89PNG\r\n".to_vec(),
            "images: it is no IDX file: it begins with 89 50 4e 47, not with 00 00, a type (08 for \
             bytes) and the number of dimensions",
        ),
        (
            gzip(&gzip(&images)),
            "images: it is no IDX file: it begins with 1f 8b 08 00, not with 00 00, a type (08 for \
             bytes) and the number of dimensions: it was packed by gzip twice, unpack it once",
        ),
        (
            b"<html>".to_vec(),
            "images: it is no IDX file: it begins with 3c 68 74 6d, not with 00 00, a type (08 for \
             bytes) and the number of dimensions: it is a web page, get the file that it is about",
        ),
        (
            vec![3, 8, 0, 0, 4, 0, 0, 0],
            "images: it is no IDX file: it begins with 03 08 00 00, not with 00 00, a type (08 for \
             bytes) and the number of dimensions: its sizes have their lowest byte first, write the \
             highest first",
        ),
        (
            changed(2, 0x07),
            "images: it is no IDX file: it begins with 00 00 07 03, not with 00 00, a type (08 for \
             bytes) and the number of dimensions",
        ),
        (
            images[..21].to_vec(),
            "images, row 2 (from 0): the file is cut off here: it has 5 of 8 bytes of values",
        ),
        (
            images[..9].to_vec(),
            "images: it is cut off within its first bytes",
        ),
        (
            longer,
            "images: it goes on after the 8 bytes of values that its first bytes say",
        ),
        (
            labels.clone(),
            "images: it has one dimension, as labels have: images have more",
        ),
        (
            idx_bytes(&[4, 0, 1], &[]),
            "images: its first bytes give it the impossible sizes [4, 0, 1]",
        ),
        (idx_bytes(&[0, 2, 1], &[]), "labels: it has 4 labels, "),
    ] {
        let refusal = refusal(&images, &labels);
        assert!(refusal.starts_with(refused), "{refusal}");
    }
    let few = refusal(&images, &idx_bytes(&[3], &[0, 1, 0]));
    assert_eq!(few, "labels: it has 3 labels, images has 4 images");
    let square = refusal(&images, &images);
    assert_eq!(square, "labels: it has 3 dimensions, labels have one");
    let mut cut = gzip(&images);
    cut.truncate(cut.len() / 2);
    let cut = refusal(&cut, &labels);
    assert!(
        cut.starts_with("images") && cut.contains("cut off"),
        "{cut}"
    );
    let mut damaged = gzip(&images);
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0xff);
    let damaged = refusal(&damaged, &labels);
    assert!(
        damaged.contains("damaged") || damaged.contains("cut off"),
        "{damaged}"
    );
    let none = refusal(&idx_bytes(&[0, 2, 1], &[]), &idx_bytes(&[0], &[]));
    assert_eq!(none, "images: it has no samples");

    // A label that no sample that is trained on has, and a file that has none.
    let train = files.write("train-images", &images);
    files.write("train-labels", &labels);
    let test = files.write("test-images", &images);
    files.write("test-labels", idx_bytes(&[4], &[0, 1, 10, 1]));
    assert_eq!(
        files.refusal(&held_out_in(idx(train), test)),
        "test-labels, row 2 (from 0): no sample that is trained on is of class \"10\""
    );
    let lonely = files.write("pictures", &images);
    assert_eq!(
        files.refusal(&idx(lonely)),
        "pictures: there is no file of labels that goes with its name: give --labels FILE"
    );
    let empty = TempDir::new().unwrap();
    let refused = load(&idx(empty.path().to_owned()), 1)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("has no train-images-idx3-ubyte"),
        "{refused}"
    );
}
