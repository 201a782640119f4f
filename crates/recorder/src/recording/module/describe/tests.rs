use std::collections::HashMap;

use super::super::testing::{Trained, described, of, tied, tokens, zoo};
use super::*;

#[test]
fn a_layer_is_a_weight_tensor_with_the_bias_of_its_module() {
    let layers = of(&zoo::<Trained>());
    let described = described(&layers);
    assert_eq!(
        described[..7],
        [
            ("convolution", "conv2d", &[8, 3, 2, 5][..], 8, 30),
            ("norm", "batch_norm", &[8], 8, 1),
            ("norm.running_mean", "buffer", &[8], 8, 1),
            ("norm.running_var", "buffer", &[8], 8, 1),
            // Two groups of four inputs, of three units each.
            ("up", "conv_transpose2d", &[8, 3, 2, 2], 6, 16),
            ("tokens", "embedding", &[10, 4], 10, 4),
            ("blocks.0.attention.query", "attention", &[4, 4], 4, 4),
        ]
    );
    let of_kind = |kind| described.iter().filter(|layer| layer.1 == kind).count();
    assert_eq!(of_kind("attention"), 8);
    assert_eq!(of_kind("recurrent"), 8);
    assert!(described.contains(&("blocks.1.norm", "layer_norm", &[4], 4, 1)));
    assert!(described.contains(&("positions", "parameter", &[7, 4], 7, 4)));
    // Burn keeps [4, 5].
    let gate = "recurrent.forget_gate.input_transform";
    assert!(described.contains(&(gate, "recurrent", &[5, 4], 5, 4)));
    assert_eq!(
        described.last(),
        Some(&("head", "linear", &[2, 4][..], 2, 4))
    );
}

#[test]
fn describing_draws_nothing() {
    let module = zoo::<Trained>();
    let layers = of(&module);
    assert!(!module.convolution.weight.is_initialized());
    let error = layers.check(&module).unwrap_err().to_string();
    assert!(
        error.starts_with("the weight of layer convolution has no values yet"),
        "{error}"
    );
    assert!(!module.convolution.weight.is_initialized());
}

#[test]
fn what_the_optimizer_does_not_change_is_told() {
    let layers = of(&tied());
    let trainable: Vec<bool> = layers
        .topology()
        .layers()
        .iter()
        .map(|l| l.trainable)
        .collect();
    assert_eq!(trainable, [true, true, false]);
    let zoo = of(&zoo::<Trained>());
    let buffer = zoo.topology().layer("norm.running_mean").unwrap();
    assert!(!buffer.trainable);
}

#[test]
fn labels_can_be_given() {
    let labels = |path: &str, label: &str| HashMap::from([(path.to_owned(), label.to_owned())]);
    let tied = tied();
    let layers = ModuleLayers::of(&tied, true, &labels("frozen", "2024")).unwrap();
    assert_eq!(layers.topology().layers()[2].layer.as_str(), "L_2024");
    assert_eq!(layers.topology().layers()[2].module_path, "frozen");
    let error = ModuleLayers::of(&tied, true, &labels("frosen", "x")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no module \"frosen\" to label: there are encoder, decoder.bias, frozen"
    );
    // A label that fits no directory is cut, as any is.
    let layers = ModuleLayers::of(&tied, true, &labels("frozen", &"x".repeat(300))).unwrap();
    let label = layers.topology().layers()[2].layer.as_str();
    assert!(label.starts_with(&"x".repeat(191)), "{label}");
    assert_eq!(label.len(), 200);
    let error = ModuleLayers::of(&tied, true, &labels("frozen", "")).unwrap_err();
    assert!(
        error.to_string().starts_with("frozen needs a label"),
        "{error}"
    );
    let error = ModuleLayers::of(&tied, true, &labels("frozen", "Encoder")).unwrap_err();
    assert!(matches!(error, ModuleError::Labels(_)), "{error}");
}

#[test]
fn a_layer_called_as_the_inputs_are_gets_another_label() {
    let layers = ModuleLayers::of(&tokens(), false, &HashMap::new()).unwrap();
    let last = layers.topology().layers().last().unwrap();
    assert_eq!(
        (last.layer.as_str(), &*last.module_path),
        ("L_input_", "input")
    );

    // Who asks for it is told what to do.
    for label in ["Input", "tokens", "TOKENS"] {
        let labels = HashMap::from([("input".to_owned(), label.to_owned())]);
        let error = ModuleLayers::of(&tokens(), false, &labels).unwrap_err();
        assert!(matches!(error, ModuleError::Labels(_)), "{error}");
        assert!(error.to_string().contains("by `label`"), "{error}");
    }
}
