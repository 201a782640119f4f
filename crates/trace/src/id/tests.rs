use proptest::prelude::*;

use super::*;

#[test]
fn labels_that_engines_would_read_as_something_else_get_a_letter() {
    for (text, label) in [
        ("0", "L_0"),
        ("2024-01-01", "L_2024-01-01"),
        ("_x", "L__x"),
        ("conv1", "conv1"),
        ("é", "L_é"),
    ] {
        assert_eq!(LayerLabel::try_new(text).unwrap().as_str(), label);
    }
}

#[test]
fn labels_are_percent_encoded_outside_the_plain_characters() {
    let label = LayerLabel::try_new("block.0/attn q=1%").unwrap();
    assert_eq!(label.encoded(), "block.0%2Fattn%20q%3D1%25");
}

#[test]
fn words_that_engines_read_as_values_get_a_letter() {
    // polars makes a boolean of `true` and floats of `inf` and `NaN`, DuckDB dates of `inf` and
    // `epoch`.
    for text in [
        "true", "False", "inf", "Infinity", "NaN", "NULL", "epoch", "inf ", "now",
    ] {
        let label = LayerLabel::try_new(text).unwrap();
        assert_eq!(label.as_str(), format!("L_{text}"));
    }
    for text in ["trueish", "info", "epochs", "nan1", "true.weight"] {
        assert_eq!(LayerLabel::try_new(text).unwrap().as_str(), text);
    }
}

#[test]
fn labels_that_do_not_fit_a_directory_name_are_cut() {
    assert_eq!(LayerLabel::try_new(""), Err(LayerLabelError::Empty));
    // The checksums are by another implementation.
    for (text, label) in [
        ("a".repeat(200), "a".repeat(200)),
        ("a".repeat(201), format!("{}-a348f7b7", "a".repeat(191))),
        // Three bytes each once encoded.
        (
            format!("a{}", "/".repeat(67)),
            format!("a{}-7b3a754c", "/".repeat(63)),
        ),
        // Six.
        ("é".repeat(40), format!("L_{}-730dfd24", "é".repeat(31))),
    ] {
        let cut = LayerLabel::try_new(&text).unwrap();
        assert_eq!(cut.as_str(), label);
        assert!(cut.encoded().len() <= MAX_ENCODED_LABEL_BYTES);
        assert_eq!(LayerLabel::from_encoded(&cut.encoded()), Ok(cut));
    }
}

#[test]
fn labels_are_read_as_they_are() {
    // As writers that knew fewer words left them: the directory is called so.
    for text in ["true", "inf", "conv1"] {
        assert_eq!(LayerLabel::from_encoded(text).unwrap().as_str(), text);
        let json = format!("{text:?}");
        let label: LayerLabel = serde_json::from_str(&json).unwrap();
        assert_eq!(label.as_str(), text);
    }
    assert_eq!(
        LayerLabel::try_from("0".to_owned()),
        Err(LayerLabelError::NoLetter {
            label: "0".to_owned()
        })
    );
    assert!(matches!(
        LayerLabel::try_from("a".repeat(201)),
        Err(LayerLabelError::TooLong { bytes: 201, .. })
    ));
}

#[test]
fn another_spelling_of_a_label_is_not_read() {
    assert!(LayerLabel::from_encoded("a%62").is_err());
    assert!(LayerLabel::from_encoded("a%2f").is_err());
    assert!(LayerLabel::from_encoded("a%ff").is_err());
    assert!(LayerLabel::from_encoded("0").is_err());
}

proptest! {
    #[test]
    fn encoding_round_trips(text in "\\PC{1,30}") {
        if let Ok(label) = LayerLabel::try_new(&text) {
            prop_assert_eq!(LayerLabel::from_encoded(&label.encoded()).unwrap(), label);
        }
    }
}
