use super::*;

/// A network of linear layers: `widths[0]` inputs, then a layer a further width.
fn chain(widths: &[u32]) -> Vec<Layer> {
    let mut first_neuron = 0;
    (1..widths.len())
        .map(|i| {
            let layer = Layer {
                layer_index: i as u32 - 1,
                layer: LayerLabel::try_new(&format!("fc{i}")).unwrap(),
                module_path: format!("layers.{}", i - 1),
                kind: "linear".to_owned(),
                shape: vec![widths[i].into(), widths[i - 1].into()],
                fan_in: widths[i - 1],
                num_units: widths[i],
                first_neuron,
                activation: None,
                trainable: true,
                source: Some(vec![SourceRange::all(
                    if i == 1 {
                        Source::Input
                    } else {
                        Source::Layer(LayerLabel::try_new(&format!("fc{}", i - 1)).unwrap())
                    },
                    widths[i - 1],
                )]),
                tensors: Vec::new(),
                recorded_units: None,
            };
            first_neuron += widths[i] as i32;
            layer
        })
        .collect()
}

#[test]
fn neurons_are_numbered_across_layers_without_wrapping() {
    let topology = Topology::try_new(chain(&[20, 10, 10, 1])).unwrap();
    assert_eq!(topology.num_neurons(), 21);
    assert_eq!(topology.width(), 20);
    assert_eq!(topology.layer("fc3").unwrap().first_neuron, 20);
    let layer_of = |neuron| topology.layer_of(neuron).map(|layer| layer.layer.as_str());
    let asked = [-1, 0, 9, 10, 20, 21].map(layer_of);
    let (a, b, c) = (Some("fc1"), Some("fc2"), Some("fc3"));
    assert_eq!(asked, [None, a, a, b, c, None]);
}

#[test]
fn ranges_expand_by_stride_and_repeat() {
    let range = SourceRange {
        from: Source::Input,
        start: 1,
        count: 3,
        stride: 2,
        repeat: 2,
    };
    assert_eq!(range.num_positions(), 6);
    assert_eq!(range.units().collect::<Vec<_>>(), [1, 1, 3, 3, 5, 5]);
}

#[test]
fn labels_that_differ_in_case_alone_clash() {
    let mut layers = chain(&[4, 3, 2]);
    layers[1].layer = LayerLabel::try_new("FC1").unwrap();
    assert_eq!(
        Topology::try_new(layers),
        Err(TopologyError::DuplicateLabel("FC1".to_owned()))
    );
}

#[test]
fn sources_must_add_up() {
    let mut layers = chain(&[4, 3, 2]);
    layers[1].source = Some(vec![SourceRange::all(Source::Input, 2)]);
    assert!(matches!(
        Topology::try_new(layers),
        Err(TopologyError::BadSource { .. })
    ));

    let mut layers = chain(&[4, 3, 2]);
    layers[1].source.as_mut().unwrap()[0].start = 1;
    let error = Topology::try_new(layers).unwrap_err().to_string();
    assert!(
        error.contains("names unit 3") && error.contains("has 3"),
        "{error}"
    );
}

#[test]
fn a_neuron_id_out_of_order_is_refused() {
    let mut layers = chain(&[4, 3, 2]);
    layers[1].first_neuron = 5;
    assert!(matches!(
        Topology::try_new(layers),
        Err(TopologyError::OutOfOrder {
            field: "first_neuron",
            found: 5,
            expected: 3,
            ..
        })
    ));
}

#[test]
fn json_spells_sources_as_words() {
    let topology = Topology::try_new(chain(&[2, 1, 1])).unwrap();
    let json = serde_json::to_value(&topology).unwrap();
    assert_eq!(json[0]["source"][0]["from"], "input");
    assert_eq!(json[1]["source"][0]["from"], "fc1");
    assert_eq!(serde_json::from_value::<Topology>(json).unwrap(), topology);
}

#[test]
fn json_has_tensors_only_where_they_have_names_of_their_own() {
    let mut layers = chain(&[2, 1]);
    let json = serde_json::to_value(&layers).unwrap();
    assert_eq!(json[0].get("tensors"), None);
    assert_eq!(serde_json::from_value::<Vec<Layer>>(json).unwrap(), layers);

    layers[0].tensors = vec![LayerTensor {
        name: "fc.weight".to_owned(),
        dtype: "BF16".to_owned(),
        shape: vec![1, 2],
        transposed: false,
    }];
    let json = serde_json::to_value(&layers).unwrap();
    let tensors = serde_json::json!([{"name": "fc.weight", "dtype": "BF16", "shape": [1, 2]}]);
    assert_eq!(json[0]["tensors"], tensors);
    assert_eq!(serde_json::from_value::<Vec<Layer>>(json).unwrap(), layers);

    layers[0].tensors[0].transposed = true;
    let json = serde_json::to_value(&layers).unwrap();
    assert_eq!(json[0]["tensors"][0]["transposed"], true);
    assert_eq!(serde_json::from_value::<Vec<Layer>>(json).unwrap(), layers);
}

#[test]
fn json_has_recorded_units_only_where_they_are_not_all() {
    let mut layers = chain(&[2, 6]);
    assert_eq!(layers[0].num_recorded_units(), 6);
    assert_eq!(layers[0].units().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    let json = serde_json::to_value(&layers).unwrap();
    assert_eq!(json[0].get("recorded_units"), None);

    layers[0].recorded_units = Some(vec![1, 4]);
    assert_eq!(layers[0].num_recorded_units(), 2);
    assert_eq!(layers[0].units().collect::<Vec<_>>(), [1, 4]);
    let json = serde_json::to_value(&layers).unwrap();
    assert_eq!(json[0]["recorded_units"], serde_json::json!([1, 4]));
    assert_eq!(serde_json::from_value::<Vec<Layer>>(json).unwrap(), layers);

    for wrong in [&[1, 1][..], &[4, 1], &[5, 6]] {
        layers[0].recorded_units = Some(wrong.to_vec());
        let error = Topology::try_new(layers.clone()).unwrap_err();
        assert!(matches!(error, TopologyError::BadUnits { .. }), "{error}");
    }
}

#[test]
fn dimensions_of_embeddings_are_numbered_after_the_last_neuron() {
    // 5 tokens of 9 dimensions, 4 units, 2 tokens of 4 dimensions.
    let mut layers = chain(&[9, 5, 4, 2]);
    for embedding in [0, 2] {
        layers[embedding].kind = "embedding".to_owned();
        layers[embedding].source = None;
        layers[embedding].recorded_units = Some(vec![1]);
    }
    layers[1].fan_in = 5;
    let topology = Topology::try_new(layers).unwrap();
    assert_eq!(topology.num_neurons(), 11);
    let activated = |index| {
        let layer = topology.activated(index)?;
        Some((layer.first_neuron, layer.units().collect::<Vec<_>>()))
    };
    assert_eq!(activated(0), Some((11, (0..9).collect())));
    assert_eq!(activated(1), Some((5, (0..4).collect())));
    assert_eq!(activated(2), Some((20, (0..4).collect())));
    assert_eq!(activated(3), None);
    let layer_of = |neuron| topology.layer_of(neuron).map(|layer| layer.layer.as_str());
    let asked = [0, 4, 5, 10, 11, 19, 20, 23, 24].map(layer_of);
    let (a, b, c) = (Some("fc1"), Some("fc2"), Some("fc3"));
    assert_eq!(asked, [a, a, b, c, a, a, c, c, None]);
}

/// Were each of them counted, this test would take minutes.
#[test]
fn units_that_no_position_comes_from_are_not_counted_to() {
    let range = SourceRange {
        from: Source::Input,
        start: 0,
        count: u32::MAX,
        stride: 0,
        repeat: 0,
    };
    assert_eq!(range.num_positions(), 0);
    assert_eq!(range.units().next(), None);
}
