use burn::module::AutodiffModule as _;

use super::super::testing::{of, tied};
use super::*;

#[test]
fn a_topology_that_is_given_states_the_order() {
    let layers = of(&tied());
    let mut given = layers.topology().layers().to_vec();
    given.reverse();
    let mut first_neuron = 0;
    for (index, layer) in given.iter_mut().enumerate() {
        layer.layer_index = index as u32;
        layer.first_neuron = first_neuron;
        first_neuron += layer.num_units as i32;
    }
    let given = Topology::try_new(given).unwrap();
    let layers = layers.with_topology(given.clone()).unwrap();
    assert_eq!(layers.topology(), &given);
    let module = tied().valid();
    let sizes: Vec<_> = layers
        .handles(&module, &[true; 3])
        .unwrap()
        .iter()
        .map(|handles| (handles.layer, handles.weight.num_values()))
        .collect();
    assert_eq!(sizes, [(0, 6), (1, 3), (2, 9)]);

    let mut fewer = given.layers().to_vec();
    fewer.pop();
    let error = of(&tied())
        .with_topology(Topology::try_new(fewer).unwrap())
        .unwrap_err();
    assert!(
        error.to_string().contains("it has 2 layers, the network 3"),
        "{error}"
    );
    let mut other = given.layers().to_vec();
    other[1].module_path = "elsewhere".to_owned();
    let error = of(&tied())
        .with_topology(Topology::try_new(other).unwrap())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the network has no \"elsewhere\""),
        "{error}"
    );
}
