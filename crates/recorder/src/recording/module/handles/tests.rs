use std::collections::HashMap;

use burn::backend::Flex;
use burn::module::AutodiffModule as _;
use burn::nn::LinearConfig;

use super::super::testing::{Trained, described, of, tied, zoo};
use super::*;

#[test]
fn values_come_with_the_layer_that_they_belong_to() {
    let module = zoo::<Trained>().valid();
    let layers = ModuleLayers::of(&module, false, &HashMap::new()).unwrap();
    let all = vec![true; layers.topology().layers().len()];
    let handles = layers.handles(&module, &all).unwrap();
    assert_eq!(handles.len(), all.len());
    for (index, handles) in handles.iter().enumerate() {
        let layer = &layers.topology().layers()[index];
        assert_eq!(handles.layer, index);
        let num_weights = layer.num_units * layer.fan_in;
        assert_eq!(handles.weight.num_values(), num_weights as usize);
        if let Some(bias) = &handles.bias {
            assert_eq!(
                bias.num_values(),
                layer.num_units as usize,
                "{}",
                layer.layer
            );
        }
        let has_bias = !["embedding", "buffer", "parameter"].contains(&layer.kind.as_str())
            && layer.layer.as_str() != "head";
        assert_eq!(handles.bias.is_some(), has_bias, "{}", layer.layer);
    }
    let some: Vec<bool> = all
        .iter()
        .enumerate()
        .map(|(index, _)| index == 4)
        .collect();
    let handles = layers.handles(&module, &some).unwrap();
    assert_eq!(handles.iter().map(|h| h.layer).collect::<Vec<_>>(), [4]);
}

#[test]
fn a_shared_parameter_is_recorded_once() {
    let module = tied();
    let layers = of(&module);
    let labels: Vec<_> = described(&layers).iter().map(|layer| layer.0).collect();
    // The decoder's bias is its own.
    assert_eq!(labels, ["encoder", "decoder.bias", "frozen"]);
    let module = module.valid();
    let handles = layers.handles(&module, &[true; 3]).unwrap();
    assert_eq!(handles.len(), 3);
    assert!(handles[1].bias.is_none());
}

#[test]
fn another_module_is_refused() {
    let device = Default::default();
    let layers = of(&LinearConfig::new(3, 2).init::<Trained>(&device));
    assert_eq!(
        described(&layers),
        [("weight", "linear", &[2, 3][..], 2, 3)]
    );
    let other = LinearConfig::new(2, 3).init::<Flex>(&device);
    let error = layers.handles(&other, &[true]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the weight of layer weight had shape [3, 2] when the recorder was started, now it has \
         [2, 3]"
    );
    let other = LinearConfig::new(3, 2)
        .with_bias(false)
        .init::<Flex>(&device);
    let error = layers.handles(&other, &[true]).unwrap_err().to_string();
    assert!(
        error.starts_with("the network had 2 parameter tensors"),
        "{error}"
    );
}
