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
fn labels_that_do_not_fit_a_directory_name_are_refused() {
    assert_eq!(LayerLabel::try_new(""), Err(LayerLabelError::Empty));
    assert!(LayerLabel::try_new(&"a".repeat(200)).is_ok());
    assert!(matches!(
        LayerLabel::try_new(&"a".repeat(201)),
        Err(LayerLabelError::TooLong { bytes: 201, .. })
    ));
    // Three bytes each once encoded.
    assert!(LayerLabel::try_new(&format!("a{}", "/".repeat(67))).is_err());
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
