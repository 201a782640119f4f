use std::num::NonZeroU64;

use super::*;
use crate::interchange::testing::{floats, write};
use crate::interchange::{ImportOptions, TransposeGlobs, import};

#[test]
fn a_step_inside_the_last_epoch_is_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let checkpoint = |epoch: i32| {
        let name = dir.path().join(format!("epoch-{epoch}.safetensors"));
        write(&name, &[floats("fc.weight", &[1, 2], &[1.0, 2.0])])
    };
    let options = ImportOptions {
        checkpoints: (0..6).map(checkpoint).collect(),
        out: path.clone(),
        library: None,
        pattern: None,
        steps_per_epoch: NonZeroU64::new(24),
        lossy: false,
        transpose: TransposeGlobs::default(),
        strip_prefix: Vec::new(),
        compress: None,
        max_part_bytes: None,
        resume: false,
    };
    import(&options, &CancelToken::default(), &mut |_| {}).unwrap();
    let catalog = Catalog::load(&RunDir::open(&path).unwrap()).unwrap();
    let end = |step| CaptureId {
        epoch: trace::Epoch(5),
        step: Step(step),
    };
    let steps = catalog.captures().iter().map(|c| c.id.step.0);
    let last = steps.max().unwrap();
    assert!(has_recorded(&catalog, Rank::default(), end(last)));
    assert!(!has_recorded(&catalog, Rank::default(), end(last + 1)));
}

#[test]
fn the_last_capture_of_epochs_that_a_file_says() {
    let end = |num_epochs, steps| end_of(num_epochs, steps).map(|end| (end.epoch.0, end.step.0));
    assert_eq!(end(3, 7), Some((2, 21)));
    assert_eq!(end(1 << 31, 1), Some((i32::MAX, 1 << 31)));
    assert_eq!(end(1 << 31, i64::MAX), None);
    for none in [i64::MIN, (1 << 31) + 1, i64::MAX] {
        assert_eq!(end(none, 1), None);
    }
}
