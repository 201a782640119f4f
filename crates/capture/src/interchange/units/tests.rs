use safetensors::Dtype;

use super::*;

fn infer(tensors: &[(&str, &[u64])], globs: &[&str]) -> Result<UnitAxes, TransposeError> {
    let typed: Vec<(&str, TensorType)> = tensors
        .iter()
        .map(|(name, shape)| {
            let shape = shape.to_vec();
            let dtype = Dtype::F32;
            (*name, TensorType { dtype, shape })
        })
        .collect();
    let by_name = typed.iter().map(|(name, tensor)| (*name, tensor));
    UnitAxes::infer(&by_name.collect(), &TransposeGlobs::try_new(globs)?)
}

/// Those along the last axis, and those of which nothing says it.
fn inferred(tensors: &[(&str, &[u64])], globs: &[&str]) -> (Vec<String>, Vec<String>) {
    let axes = infer(tensors, globs).unwrap();
    let mut last: Vec<String> = axes.last.into_iter().collect();
    last.sort_unstable();
    (last, axes.undecided)
}

/// GPT-2 as it is published: Conv1D, and an output layer that is a linear one.
const GPT2: [(&str, &[u64]); 12] = [
    ("h.0.attn.c_attn.weight", &[8, 24]),
    ("h.0.attn.c_attn.bias", &[24]),
    ("h.0.attn.c_proj.weight", &[8, 8]),
    ("h.0.attn.c_proj.bias", &[8]),
    ("h.0.ln_1.weight", &[8]),
    ("h.0.ln_1.bias", &[8]),
    ("h.0.mlp.c_fc.weight", &[8, 32]),
    ("h.0.mlp.c_fc.bias", &[32]),
    ("h.0.mlp.c_proj.weight", &[32, 8]),
    ("h.0.mlp.c_proj.bias", &[8]),
    ("lm_head.weight", &[100, 8]),
    ("wte.weight", &[100, 8]),
];

#[test]
fn biases_tell_the_axis_and_square_ones_are_told_by_their_siblings() {
    let (last, undecided) = inferred(&GPT2, &[]);
    let expected = [
        "h.0.attn.c_attn.weight",
        "h.0.attn.c_proj.weight",
        "h.0.mlp.c_fc.weight",
        "h.0.mlp.c_proj.weight",
    ];
    assert_eq!(last, expected);
    // Nothing tells of the output layer, and that is said; tokens are units.
    assert_eq!(undecided, ["lm_head.weight"]);
    assert_eq!(
        inferred(&GPT2, &["!lm_head.*"]),
        (expected.map(str::to_owned).to_vec(), Vec::new())
    );
}

#[test]
fn the_same_names_with_linear_layers_are_left_as_they_are() {
    let linear: Vec<(&str, Vec<u64>)> = GPT2
        .iter()
        .map(|(name, shape)| {
            let mut shape = shape.to_vec();
            if name.contains(".c_") {
                shape.reverse();
            }
            (*name, shape)
        })
        .collect();
    let linear: Vec<(&str, &[u64])> = linear.iter().map(|(n, s)| (*n, s.as_slice())).collect();
    assert_eq!(inferred(&linear, &[]), (Vec::new(), Vec::new()));
}

#[test]
fn kernels_are_told_by_kernels() {
    let (last, undecided) = inferred(
        &[
            ("Dense_0/bias", &[16]),
            ("Dense_0/kernel", &[4, 16]),
            ("Dense_1/bias", &[4]),
            ("Dense_1/kernel", &[4, 4]),
            // Without a bias.
            ("Dense_2/kernel", &[4, 9]),
            // [height, width, in, out]
            ("Conv_0/bias", &[8]),
            ("Conv_0/kernel", &[3, 3, 1, 8]),
            // Not Flax's.
            ("head/weight", &[9, 4]),
            ("head/bias", &[9]),
        ],
        &[],
    );
    assert_eq!(
        last,
        [
            "Conv_0/kernel",
            "Dense_0/kernel",
            "Dense_1/kernel",
            "Dense_2/kernel"
        ]
    );
    assert_eq!(undecided, [""; 0]);
    // Haiku's.
    let haiku: [(&str, &[u64]); 3] = [("mlp/w", &[4, 16]), ("mlp/b", &[16]), ("out/w", &[16, 3])];
    let (last, undecided) = inferred(&haiku, &[]);
    assert_eq!(
        (last, undecided),
        (vec!["mlp/w".to_owned(), "out/w".to_owned()], Vec::new())
    );
    // A name alone tells nothing.
    let (last, undecided) = inferred(
        &[("Dense_0.kernel", &[4, 16]), ("out.kernel", &[3, 3])],
        &[],
    );
    assert_eq!((last.len(), undecided.len()), (0, 2));
}

#[test]
fn what_nothing_tells_is_said_and_can_be_asked_for() {
    let square: [(&str, &[u64]); 3] = [
        ("a.weight", &[4, 4]),
        ("a.bias", &[4]),
        ("b.weight", &[4, 6]),
    ];
    assert_eq!(
        inferred(&square, &[]),
        (
            Vec::new(),
            vec!["a.weight".to_owned(), "b.weight".to_owned()]
        )
    );
    let asked = inferred(&square, &["a.*", "b.*"]);
    assert_eq!(
        asked,
        (
            vec!["a.weight".to_owned(), "b.weight".to_owned()],
            Vec::new()
        )
    );
    // The last that fits decides.
    let asked = inferred(&square, &["*", "!a.weight"]);
    assert_eq!(asked, (vec!["b.weight".to_owned()], Vec::new()));
    // A name is its own glob.
    let flax: [(&str, &[u64]); 1] = [("['params']['Dense_0']['kernel']", &[4, 6])];
    assert_eq!(inferred(&flax, &[flax[0].0]).0, [flax[0].0]);
    // Siblings that disagree tell nothing.
    let (_, undecided) = inferred(
        &[
            ("a.fc.weight", &[4, 4]),
            ("a.fc.bias", &[4]),
            ("b.fc.weight", &[4, 6]),
            ("b.fc.bias", &[6]),
            ("c.fc.weight", &[6, 4]),
            ("c.fc.bias", &[6]),
        ],
        &[],
    );
    assert_eq!(undecided, ["a.fc.weight"]);
    // What is the same either way is not worth a word.
    assert_eq!(
        inferred(&[("a.weight", &[1, 1])], &[]),
        (Vec::new(), Vec::new())
    );
}

#[test]
fn what_pytorch_has_is_never_turned() {
    let (last, undecided) = inferred(
        &[
            // A transposed convolution, whose kernel is as wide as it has units.
            ("up.weight", &[3, 4, 4, 4]),
            ("up.bias", &[4]),
            ("rnn.weight_hh_l0", &[12, 3]),
            ("rnn.bias_hh_l0", &[12]),
            ("attn.in_proj_weight", &[12, 4]),
            ("attn.in_proj_bias", &[12]),
            ("fc.weight", &[5, 3]),
            ("fc.bias", &[5]),
            ("head.weight", &[4, 5]),
        ],
        &[],
    );
    assert_eq!((last, undecided), (Vec::new(), Vec::new()));
}

#[test]
fn globs_that_fit_nothing_or_contradict_a_bias_are_refused() {
    let tensors: [(&str, &[u64]); 2] = [("fc.weight", &[4, 6]), ("fc.bias", &[4])];
    let refused = |glob: &str| infer(&tensors, &[glob]).unwrap_err().to_string();
    assert_eq!(
        refused("fc.bias"),
        "--transpose \"fc.bias\" fits no tensor of two axes or more; there are fc.weight"
    );
    assert_eq!(
        refused("fc.*"),
        "--transpose \"fc.*\" does not go with tensor fc.weight [4, 6]: its bias has 4 values, one \
         a unit; narrow the glob, or put '!fc.weight' behind it"
    );
    assert!(refused("[").contains("is no glob of tensors"));
    assert!(refused("!").contains("it is empty"));
}
