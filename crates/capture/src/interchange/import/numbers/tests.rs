use std::num::NonZeroU64;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::interchange::TransposeGlobs;
use crate::interchange::testing::{Foreign, TestLibrary, floats, write};

/// The epoch and step of a file.
type Numbers = (Option<u64>, Option<u64>);

/// What files with these names tell that say such epochs and steps themselves, and how.
fn told(
    files: &[(&str, Option<u64>, Option<u64>)],
    pattern: Option<&str>,
    steps_per_epoch: u64,
) -> Result<(Vec<Numbers>, NumberSource), String> {
    let dir = TempDir::new().unwrap();
    let tensors = [floats("a", &[1], &[1.0])];
    let paths = files.iter().map(|&(name, epoch, step)| {
        let path = dir.path().join(name);
        match name.ends_with(".safetensors") {
            true => write(&path, &tensors),
            false => Foreign::new(&tensors).at(epoch, step).write(&path),
        }
    });
    let options = ImportOptions {
        checkpoints: Vec::new(),
        out: PathBuf::new(),
        library: Some(Arc::new(TestLibrary::default())),
        pattern: pattern.map(|pattern| pattern.parse().unwrap()),
        steps_per_epoch: NonZeroU64::new(steps_per_epoch),
        lossy: false,
        transpose: TransposeGlobs::default(),
        strip_prefix: Vec::new(),
        compress: None,
        max_part_bytes: None,
        resume: false,
    };
    let (told, how) = numbers(paths.collect(), &options).map_err(|error| error.to_string())?;
    let told = told.into_iter().map(|(_, told)| (told.epoch, told.step));
    Ok((told.collect(), how))
}

#[test]
fn names_that_do_not_tell_leave_it_to_the_files() {
    let files = [
        ("first.ckpt", Some(0), Some(10)),
        ("last.ckpt", Some(1), Some(20)),
    ];
    let expected = vec![(Some(0), Some(10)), (Some(1), Some(20))];
    assert_eq!(told(&files, None, 0), Ok((expected, Inside)));
    // Words in a name are surer than what is in its file.
    let files = [
        ("epoch=4-step=50.ckpt", Some(3), Some(49)),
        ("last.ckpt", Some(5), Some(60)),
    ];
    let expected = vec![(Some(4), Some(50)), (Some(5), Some(60))];
    assert_eq!(told(&files, None, 0), Ok((expected, Inside)));
}

#[test]
fn numbers_that_are_told_in_two_ways_are_not_mixed() {
    let files = [
        ("m-1.safetensors", None, None),
        ("last.ckpt", Some(1), Some(20)),
    ];
    let message = told(&files, None, 0).unwrap_err();
    assert!(message.contains("last.ckpt does not say"), "{message}");
    // Where all files tell, they do.
    let files = [
        ("m-1.ckpt", Some(0), Some(10)),
        ("last.ckpt", Some(1), Some(20)),
    ];
    let expected = vec![(Some(0), Some(10)), (Some(1), Some(20))];
    assert_eq!(told(&files, None, 0), Ok((expected, Inside)));
}

#[test]
fn what_all_names_leave_open_is_taken_from_the_files() {
    let files = [("m-1.pt", Some(0), Some(10)), ("m-2.pt", Some(1), Some(20))];
    let expected = vec![(Some(1), Some(10)), (Some(2), Some(20))];
    assert_eq!(told(&files, None, 0), Ok((expected, OnlyNumber)));
    // Steps of an epoch that were given go first.
    let expected = vec![(Some(1), None), (Some(2), None)];
    assert_eq!(told(&files, None, 7), Ok((expected, OnlyNumber)));
    let expected = vec![(Some(0), Some(1)), (Some(1), Some(2))];
    let by_pattern = told(&files, Some("m-{step}.pt"), 0);
    assert_eq!(by_pattern, Ok((expected, ByPattern)));
    // One of them does not say its step.
    let files = [("m-1.pt", Some(0), Some(10)), ("m-2.pt", Some(1), None)];
    let expected = vec![(Some(1), None), (Some(2), None)];
    assert_eq!(told(&files, None, 0), Ok((expected, OnlyNumber)));
}

#[test]
fn the_only_number_is_a_step_where_all_files_say_so() {
    let files = [
        ("m-10.pt", Some(0), Some(10)),
        ("m-20.pt", Some(1), Some(20)),
    ];
    let expected = vec![(Some(0), Some(10)), (Some(1), Some(20))];
    assert_eq!(told(&files, None, 0), Ok((expected, Inside)));
    let files = [
        ("m-10.pt", Some(10), Some(10)),
        ("m-20.pt", Some(20), Some(20)),
    ];
    let expected = vec![(Some(10), Some(10)), (Some(20), Some(20))];
    assert_eq!(told(&files, None, 0), Ok((expected, OnlyNumber)));
}

#[test]
fn a_name_that_a_pattern_does_not_fit_is_refused_whatever_is_in_the_file() {
    let files = [("last.ckpt", Some(1), Some(20))];
    let message = told(&files, Some("epoch={epoch}.ckpt"), 0).unwrap_err();
    assert!(message.contains("does not fit the pattern"), "{message}");
}
