//! The functions' documentation.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float32Array, StringArray};
use datafusion::prelude::SessionContext;

use super::super::{FunctionKind, all_udafs, all_udfs, function_docs, register_functions};
use super::{batch, ints, lists, query};

#[test]
fn every_function_is_documented_once_as_what_it_is() {
    let documented = |kind| {
        let names = function_docs()
            .iter()
            .filter(|doc| doc.kind == kind)
            .map(|doc| doc.name.to_owned());
        names.collect::<BTreeSet<_>>()
    };
    let scalars = all_udfs()
        .iter()
        .map(|udf| udf.name().to_owned())
        .collect::<BTreeSet<_>>();
    let aggregates = all_udafs()
        .iter()
        .map(|udaf| udaf.name().to_owned())
        .collect::<BTreeSet<_>>();
    assert_eq!(documented(FunctionKind::Scalar), scalars);
    assert_eq!(documented(FunctionKind::Aggregate), aggregates);
    assert_eq!(function_docs().len(), scalars.len() + aggregates.len());
    for doc in function_docs() {
        assert!(
            doc.signature.starts_with(&format!("{}(", doc.name)),
            "{}",
            doc.signature
        );
    }
}

#[test]
fn every_example_runs() {
    let ctx = SessionContext::new();
    register_functions(&ctx);
    let weights = lists(&[
        Some(&[1.0, 2.0]),
        Some(&[2.0, 3.0]),
        Some(&[1.0, 0.0]),
        Some(&[0.5, 3.0]),
    ]);
    let layers: ArrayRef = Arc::new(StringArray::from(vec!["L_output"; 4]));
    let phases: ArrayRef = Arc::new(StringArray::from(vec!["eval"; 4]));
    let biases: ArrayRef = Arc::new(Float32Array::from(vec![0.0; 4]));
    for table in ["weights", "activations"] {
        let columns = [
            ("epoch", ints(&[0, 1, 0, 1])),
            ("step", ints(&[1, 2, 1, 2])),
            ("layer", Arc::clone(&layers)),
            ("phase", Arc::clone(&phases)),
            ("neuron", ints(&[0, 0, 1, 1])),
            ("bias", Arc::clone(&biases)),
            (table, Arc::clone(&weights)),
        ];
        ctx.register_batch(table, batch(&columns)).unwrap();
    }
    let correct: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true, true]));
    let columns = [
        ("epoch", ints(&[0, 0, 1, 1])),
        ("step", ints(&[1, 1, 2, 2])),
        ("sample", ints(&[0, 1, 0, 1])),
        ("correct", correct),
        ("target", ints(&[0, 1, 1, 0])),
    ];
    ctx.register_batch("classifications", batch(&columns))
        .unwrap();
    for doc in function_docs() {
        assert!(
            doc.example.contains(&format!("{}(", doc.name)),
            "{}",
            doc.example
        );
        assert!(!query(&ctx, doc.example).is_empty(), "{}", doc.example);
    }
}
