use super::*;

fn guessed(name: &str) -> Result<(Option<u64>, Option<u64>), String> {
    let (numbers, _) = guess(Path::new(name)).map_err(|problem| problem.to_string())?;
    Ok((numbers.epoch, numbers.step))
}

#[test]
fn words_beside_numbers_tell() {
    for (name, numbers) in [
        ("epoch=3-step=96.safetensors", (Some(3), Some(96))),
        ("epoch=00-val_loss=0.50.safetensors", (Some(0), None)),
        ("model_Epoch12-v2.safetensors", (Some(12), None)),
        ("epoch3step96.safetensors", (Some(3), Some(96))),
        ("global_step500.safetensors.index.json", (None, Some(500))),
        ("steps-20.safetensors", (None, Some(20))),
        ("llama7b-500steps.safetensors", (None, Some(500))),
        ("3epochs-lr1e-05.safetensors", (Some(3), None)),
        ("epoch_003_100.safetensors", (Some(3), None)),
        ("epoch_3-best_epoch_3.safetensors", (Some(3), None)),
        ("epoch=1-00001-of-00001.safetensors", (Some(1), None)),
    ] {
        assert_eq!(guessed(name), Ok(numbers), "{name}");
    }
}

#[test]
fn an_only_number_is_the_epoch() {
    for (name, epoch) in [
        ("ckpt-3.safetensors", 3),
        ("net_v2-07.safetensors", 7),
        ("ep003.safetensors", 3),
        ("a/12.safetensors", 12),
        ("timestep1000.safetensors", 1000),
    ] {
        assert_eq!(guessed(name), Ok((Some(epoch), None)), "{name}");
    }
}

#[test]
fn what_would_be_a_guess_is_refused() {
    for (name, problem) in [
        ("checkpoint-500/model.safetensors", "it has no number"),
        (
            "weights.01-0.83.safetensors",
            "it has several numbers, none",
        ),
        ("ep001-acc0.913.safetensors", "it has several numbers, none"),
        ("resnet50-3.safetensors", "it has several numbers, none"),
        ("2024-01-05.safetensors", "it has several numbers, none"),
        ("net_step1k.safetensors", "1k in it is a number with a unit"),
        ("step=1e5.safetensors", "1e in it is a number with a unit"),
        (
            "tokens-10B.safetensors",
            "10b in it is a number with a unit",
        ),
        ("ckpt-a3f.safetensors", "3f in it is a number with a unit"),
        ("model-0.83.safetensors", "0.83 in it is no whole number"),
        ("epoch=1.5.safetensors", "1.5 in it is no whole number"),
        (
            "step_10_000.safetensors",
            "10_000 in it may be one number or two",
        ),
        (
            "step-1,000,000.safetensors",
            "1,000,000 in it may be one number or two",
        ),
        ("epoch=-1.safetensors", "-1 in it is negative"),
        ("last-v1.safetensors", "v1 in it is the number of a version"),
        (
            "train_epoch=1-val_epoch=2.safetensors",
            "several numbers beside the word epoch",
        ),
        (
            "m-99999999999999999999.safetensors",
            "99999999999999999999 in it is too large",
        ),
    ] {
        let message = guessed(name).unwrap_err();
        assert!(message.contains(problem), "{name}: {message}");
    }
}

/// What is proposed for the first of some names.
fn suggested(names: &[&str]) -> Vec<(String, String)> {
    let files: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
    PatternSuggestions::of(&files[0], &files).0
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |&(a, b): &(&str, &str)| (a.to_owned(), b.to_owned());
    expected.iter().map(own).collect()
}

#[test]
fn patterns_are_proposed_with_what_they_make_of_the_files() {
    let keras = [
        "d/weights.01-0.83.safetensors",
        "d/weights.02-0.64.safetensors",
        "d/weights.03-0.71.safetensors",
    ];
    let expected = [("weights.{epoch}-*.safetensors", "epoch 1, 2, 3")];
    assert_eq!(suggested(&keras), pairs(&expected));

    let two = ["m2-1-100.safetensors", "m2-2-200.safetensors"];
    let expected = [
        ("m{epoch}-*-*.safetensors", "epoch 2"),
        ("m2-{epoch}-*.safetensors", "epoch 1, 2"),
        ("m2-*-{epoch}.safetensors", "epoch 100, 200"),
    ];
    assert_eq!(suggested(&two), pairs(&expected));
    let both = suggested(&["m-1-100.safetensors", "m-2-200.safetensors"]);
    let expected = ("m-{epoch}-{step}.safetensors", "epoch 1, 2; step 100, 200");
    assert_eq!(both[2..], pairs(&[expected]));

    let units = [
        "net_step1k.safetensors",
        "net_step2k.safetensors",
        "net_step500.safetensors",
    ];
    let expected = [(
        "net_step{step}k.safetensors",
        "step 1, 2; 1 of 3 do not fit",
    )];
    assert_eq!(suggested(&units), pairs(&expected));

    let directories: Vec<String> = (1..=9)
        .map(|n| format!("out/checkpoint-{n}00/model.safetensors.index.json"))
        .collect();
    let directories: Vec<&str> = directories.iter().map(String::as_str).collect();
    let expected = [(
        "checkpoint-{step}/model.safetensors",
        "step 100, 200, 300, ..., 900",
    )];
    assert_eq!(suggested(&directories), pairs(&expected));

    assert_eq!(suggested(&["last.safetensors"]), []);
    assert_eq!(suggested(&["{1}-2.safetensors"]), []);
}

#[test]
fn every_pattern_that_is_proposed_can_be_typed() {
    let files = [PathBuf::from("it's-1-2.safetensors")];
    let text = PatternSuggestions::of(&files[0], &files).to_string();
    assert!(
        text.starts_with(
            r"
  --pattern 'it'\''s-{epoch}-*.safetensors' makes of them: epoch 1"
        ),
        "{text}"
    );
}
