use super::*;

fn containers(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn names_become_kinds() {
    assert_eq!(snake_case("ConvTranspose2d"), "conv_transpose2d");
    assert_eq!(snake_case("Linear"), "linear");
}

#[test]
fn a_linear_layer_is_named_for_what_it_stands_in() {
    let of = |names: &[&str]| kind(&containers(names));
    assert_eq!(of(&["Network", "Linear"]), "linear");
    assert_eq!(of(&["Lstm", "GateController", "Linear"]), "recurrent");
    assert_eq!(of(&["CrossAttention", "Linear"]), "attention");
    assert_eq!(
        of(&["Block", "MultiHeadAttention", "Vec", "Linear"]),
        "attention"
    );
    // What else stands in them is what it is anywhere.
    assert_eq!(of(&["MultiHeadAttention", "LayerNorm"]), "layer_norm");
    assert_eq!(of(&[]), KIND_PARAMETER);
}

#[test]
fn every_kind_of_a_type_says_the_axis_that_the_type_has() {
    let channels = [
        "Conv1d",
        "Conv3d",
        "ConvTranspose2d",
        "DeformConv2d",
        "BatchNorm",
        "GroupNorm",
        "InstanceNorm",
        "ConvBlock",
    ];
    for name in channels {
        assert_eq!(
            unit_axis(&kind(&containers(&[name]))),
            UnitAxis::First,
            "{name}"
        );
    }
    let others = ["Linear", "Embedding", "LayerNorm", "RmsNorm", "Block"];
    for name in others {
        assert_eq!(
            unit_axis(&kind(&containers(&[name]))),
            UnitAxis::Last,
            "{name}"
        );
    }
    for kind in [KIND_PARAMETER, KIND_BUFFER, "recurrent", "attention"] {
        assert_eq!(unit_axis(kind), UnitAxis::Last, "{kind}");
    }
}

#[test]
fn a_weight_of_another_rank_than_its_type_has_is_rows_as_they_are() {
    let of = |name: &str, shape: &[usize]| layout(&containers(&[name]), shape, Some(6));
    assert_eq!(of("Linear", &[4, 6]), Layout::Columns);
    assert_eq!(of("Linear", &[6]), Layout::Rows);
    assert_eq!(
        of("ConvTranspose1d", &[8, 3, 2]),
        Layout::ByGroup { groups: 2 }
    );
    assert_eq!(of("ConvTranspose1d", &[8, 3]), Layout::Rows);
    assert_eq!(of("Conv1d", &[6, 3, 2]), Layout::Rows);
}
