use std::fs;

use super::*;
use crate::commit::tests::record;
use crate::log::Segment;

#[test]
fn retired_files_are_no_longer_part_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..3 {
        // Record 2 retires a file of record 0.
        fs::write(
            dir.path().join(Segment::record(number).file_name()),
            record(number, 3).encode(),
        )
        .unwrap();
    }
    let catalog = Catalog::load_dir(dir.path()).unwrap();
    assert_eq!(catalog.num_files(), 8);
    assert!(
        catalog
            .files()
            .all(|f| f.path != "weights/epoch=0/layer=l1/step-1-r0-g0.parquet")
    );
    let file = catalog.file(1);
    assert_eq!(
        (file.epoch, file.layer, file.rows, file.bytes),
        (0, Some("l2"), 2, 102)
    );
    assert_eq!(file.crc32c, Crc32c::of(&[2]));
    assert_eq!(
        catalog.select("weights", |epoch, layer| epoch > 0 && layer == Some("l2")),
        [4, 7]
    );
    assert!(catalog.select("gradients", |_, _| true).is_empty());
}
