use proptest::prelude::*;

use super::*;

#[test]
fn paths_are_spelled_as_the_format_says() {
    let mut part = PartPath {
        table: Table::Weights,
        epoch: Epoch(3),
        layer: Some(LayerLabel::try_new("L_hidden_1").unwrap()),
        step: Step(96),
        rank: Rank(0),
        generation: Generation(0),
        sequence: 0,
        nonce: None,
    };
    assert_eq!(
        part.to_string(),
        "weights/epoch=3/layer=L_hidden_1/step-96-r0-g0.parquet"
    );
    part.table = Table::Metrics;
    part.layer = None;
    part.sequence = 1;
    assert_eq!(part.to_string(), "metrics/epoch=3/step-96-r0-g0-1.parquet");
    part.table = Table::Structures;
    part.sequence = 0;
    part.nonce = Some("0123456789abcdef".parse().unwrap());
    assert_eq!(
        part.to_string(),
        "structures/epoch=3/step-96-r0-g0-0123456789abcdef.parquet"
    );
}

#[test]
fn other_spellings_are_refused_with_a_reason() {
    for (path, reason) in [
        (
            "weights/epoch=005/layer=a/step-1-r0-g0.parquet",
            "would be spelled",
        ),
        ("metrics/epoch=5/step-1-r0-g0-0.parquet", "would be spelled"),
        ("metrics/epoch=5/layer=a/step-1-r0-g0.parquet", ".parquet"),
        ("weights/epoch=5/step-1-r0-g0.parquet", "layer="),
        ("gradient/epoch=5/layer=a/step-1-r0-g0.parquet", "no table"),
        ("metrics/epoch=x/step-1-r0-g0.parquet", "no number"),
        (
            "structures/epoch=1/step-1-r0-g0.parquet",
            "nonce is missing",
        ),
        ("structures/epoch=1/step-1-r0-g0-1.parquet", "no nonce"),
        (
            "structures/epoch=1/step-1-r0-g0-0123456789ABCDEF.parquet",
            "no nonce",
        ),
        (
            "metrics/epoch=1/step-1-r0-g0-0123456789abcdef.parquet",
            "no number",
        ),
        ("../metrics/epoch=1/step-1-r0-g0.parquet", "no table"),
    ] {
        let error = path.parse::<PartPath>().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn files_are_in_order_by_their_numbers() {
    let in_order = [
        "weights/epoch=10/layer=a/step-9-r0-g0.parquet",
        "weights/epoch=2/layer=a/no-part.parquet",
        "weights/epoch=2/layer=a/step-9-r0-g0.parquet",
        "weights/epoch=2/layer=a/step-9-r0-g0-1.parquet",
        "weights/epoch=2/layer=a/step-9-r0-g0-2.parquet",
        "weights/epoch=2/layer=a/step-9-r0-g0-10.parquet",
        "weights/epoch=2/layer=a/step-9-r0-g1.parquet",
        "weights/epoch=2/layer=a/step-9-r2-g0.parquet",
        "weights/epoch=2/layer=a/step-9-r10-g0.parquet",
        "weights/epoch=2/layer=a/step-10-r0-g0.parquet",
        "weights/epoch=2/layer=b/step-9-r0-g0.parquet",
    ];
    for (place, a) in in_order.iter().enumerate() {
        for (other, b) in in_order.iter().enumerate() {
            assert_eq!(cmp_part_files(a, b), place.cmp(&other), "{a} {b}");
        }
    }
    let later = |table, a: usize, b: usize| is_later_part(table, in_order[a], in_order[b]);
    assert!(later(Table::Weights, 2, 3) && later(Table::Gradients, 3, 5));
    // Its own, the one before, another generation's, rank's, step's and layer's.
    for (a, b) in [(3, 3), (3, 2), (2, 6), (2, 7), (2, 9), (2, 10)] {
        assert!(!later(Table::Weights, a, b), "{a} {b}");
    }
    // Of these a neuron may have a row in each.
    assert!(!later(Table::Moments, 2, 3) && !later(Table::Activations, 2, 3));
}

proptest! {
    #[test]
    fn paths_round_trip(
        table in 0..Table::ALL.len(), epoch in -1i32..100_000, layer in "[a-z][a-z/ .%=]{0,10}",
        step in 0i64..i64::MAX, rank in 0i32..4096, generation in 0u32..100, sequence in 0u32..10,
        nonce in "[0-9a-f]{16}",
    ) {
        let table = Table::ALL[table];
        let part = PartPath {
            table, epoch: Epoch(epoch),
            layer: table.has_layer().then(|| LayerLabel::try_new(&layer).unwrap()),
            step: Step(step), rank: Rank(rank), generation: Generation(generation),
            sequence: if table.is_derived() { 0 } else { sequence },
            nonce: table.is_derived().then(|| nonce.parse().unwrap()),
        };
        prop_assert_eq!(part.to_string().parse::<PartPath>().unwrap(), part);
    }
}
