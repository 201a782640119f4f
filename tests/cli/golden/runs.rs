//! The runs in `tests/golden`, how they were made, and what they are known to hold.
//!
//! Each was written by the last program that wrote its version of the format. Those of 1.2 and 1.3 were also given
//! a structure, through that version's library. All networks have one hidden layer of 4 units.

use std::fs;

use stratigraph::workspace_root;

/// A run in `tests/golden`, and what today's programs are to say of it.
pub(super) struct Golden {
    pub(super) version: &'static str,
    /// What it was trained with, besides its data and the number of epochs.
    train: &'static [&'static str],
    /// Whether it was trained with `tests/golden/data`, and else with the notebook's samples.
    pub(super) is_of_files: bool,
    /// The epochs that were captured.
    pub(super) epochs: &'static [i64],
    /// How `sink verify` counts what is whole.
    pub(super) whole: &'static str,
    /// What `sink upgrade` does.
    pub(super) upgraded: &'static str,
    /// How many rows each table has. Those that are not named have none.
    pub(super) num_rows: &'static [(&'static str, usize)],
    /// The columns that are null in every row, of tables that have such columns.
    pub(super) nulls: &'static [(&'static str, &'static [&'static str])],
    /// How many lists of moments can be worked out from gradients.
    pub(super) num_moments: usize,
    /// Its ablations: epoch, structure, mode, factor and number of rows.
    pub(super) ablations: &'static [Ablation],
    /// How many rows an ablation of one neuron by number has.
    pub(super) num_ablation_rows: usize,
    pub(super) goes_on: GoesOn,
}

type Ablation = (i64, Option<&'static str>, &'static str, Option<f64>, usize);

/// What comes of it where a run is to be trained up to so many epochs today.
pub(super) enum GoesOn {
    /// It is: from its checkpoint on.
    UpTo { num_epochs: &'static str },
    /// It is not, and that is said.
    No {
        num_epochs: &'static str,
        why: &'static str,
    },
}

/// What is said of a run that kept nothing.
const KEPT_NOTHING: &str = "run is finished, with 2 epochs, and kept nothing to go on from (it had no checkpoints, or \
                            its recorder removed the last one, as those of format 1.3 and before did): record a \
                            training of more epochs into another directory";

pub(super) const RUNS: [Golden; 5] = [
    // It was interrupted after 4 of 8 epochs, and its commits were rolled up.
    Golden {
        version: "1.0",
        train: &[
            "--record-initial",
            "--every",
            "0,3,7",
            "--checkpoint-every",
            "1epoch",
        ],
        is_of_files: false,
        epochs: &[-1, 0, 3],
        whole: "3 captures in 9 commits, 27 files, 463 rows, 53.67 KiB",
        upgraded: "9 of 9 commits say now which run they are of and which comes before, and of the columns of 27 \
                   files what their checksums are",
        num_rows: &[
            ("weights", 15),
            ("activations", 15),
            ("classifications", 300),
            ("metrics", 118),
        ],
        nulls: &[
            ("weights", &["weight_median", "weight_l1", "weight_zeros"]),
            ("activations", &["activation_l1", "activation_l2"]),
        ],
        num_moments: 0,
        ablations: &[],
        num_ablation_rows: 6,
        goes_on: GoesOn::UpTo { num_epochs: "8" },
    },
    Golden {
        version: "1.1",
        train: &[
            "--record-initial",
            "--record",
            "weights,classifications,activations,metrics,gradients,moments",
            "--histograms",
            "4",
            "--phases",
            "eval,train",
        ],
        is_of_files: false,
        epochs: &[-1, 0, 1],
        whole: "3 captures in 3 commits, 43 files, 467 rows, 94.27 KiB",
        upgraded: "3 of 3 commits say now which run they are of and which comes before, that it is finished, and of \
                   the columns of 43 files what their checksums are",
        num_rows: &[
            ("weights", 15),
            ("activations", 30),
            ("classifications", 300),
            ("metrics", 80),
            ("histograms", 12),
            ("gradients", 10),
            ("moments", 20),
        ],
        nulls: &[],
        num_moments: 20,
        ablations: &[],
        num_ablation_rows: 6,
        goes_on: GoesOn::No {
            num_epochs: "3",
            why: KEPT_NOTHING,
        },
    },
    // It was interrupted after 6 of 8 epochs.
    Golden {
        version: "1.2",
        train: &[
            "--batch-size",
            "12",
            "--lr",
            "0.05",
            "--every",
            "4,5,7",
            "--checkpoint-every",
            "1epoch",
            "--record",
            "weights,classifications,activations,metrics,gradients,moments",
            "--histograms",
            "3",
        ],
        is_of_files: true,
        epochs: &[4, 5],
        whole: "2 captures in 7 commits, 42 files, 287 rows, 77.10 KiB",
        upgraded: "7 of 7 commits say now which run they are of and which comes before, and of the columns of 42 \
                   files what their checksums are",
        num_rows: &[
            ("weights", 14),
            ("activations", 14),
            ("classifications", 18),
            ("metrics", 149),
            ("histograms", 8),
            ("gradients", 14),
            ("moments", 28),
            ("structures", 2),
            ("ablations", 19),
        ],
        nulls: &[
            ("classifications", &["expected"]),
            ("structures", &["p_value", "seed"]),
            ("ablations", &["value", "predicted_random"]),
        ],
        num_moments: 14,
        ablations: &[
            (4, None, "scale", Some(0.5), 8),
            (5, Some("goes with c"), "mean", None, 11),
        ],
        num_ablation_rows: 8,
        goes_on: GoesOn::UpTo { num_epochs: "8" },
    },
    Golden {
        version: "1.3",
        train: &[
            "--record",
            "weights,classifications,activations,metrics,gradients,moments",
            "--histograms",
            "4",
        ],
        is_of_files: false,
        epochs: &[0, 1],
        whole: "2 captures in 6 commits, 32 files, 333 rows, 71.84 KiB",
        upgraded: "6 of 6 commits say now which run they are of and which comes before, that it is finished, and of \
                   the columns of 32 files what their checksums are",
        num_rows: &[
            ("weights", 10),
            ("activations", 10),
            ("classifications", 200),
            ("metrics", 61),
            ("histograms", 8),
            ("gradients", 10),
            ("moments", 20),
            ("structures", 2),
            ("ablations", 12),
        ],
        nulls: &[
            (
                "structures",
                &["class", "score", "p_value", "measure", "half", "seed"],
            ),
            ("ablations", &["of_class", "value"]),
        ],
        num_moments: 20,
        ablations: &[
            (0, None, "scale", Some(0.5), 6),
            (1, Some("mine"), "mean", None, 6),
        ],
        num_ablation_rows: 6,
        goes_on: GoesOn::No {
            num_epochs: "3",
            why: KEPT_NOTHING,
        },
    },
    Golden {
        version: "1.4",
        train: &[
            "--record",
            "weights,classifications,activations,metrics,gradients,gradients_applied,moments",
            "--histograms",
            "4",
        ],
        is_of_files: false,
        epochs: &[0, 1],
        whole: "2 captures in 6 commits, 42 files, 361 rows, 88.38 KiB",
        upgraded: "6 of 6 commits say now which run they are of and which comes before, that it is finished, and of \
                   the columns of 42 files what their checksums are",
        num_rows: &[
            ("weights", 10),
            ("activations", 10),
            ("classifications", 200),
            ("metrics", 61),
            ("histograms", 8),
            ("gradients", 10),
            ("gradients_applied", 10),
            ("moments", 20),
            ("structures", 2),
            ("ablations", 15),
        ],
        nulls: &[
            (
                "structures",
                &["score", "p_value", "measure", "half", "seed"],
            ),
            ("ablations", &["value"]),
        ],
        num_moments: 20,
        ablations: &[
            (0, None, "scale", Some(0.5), 6),
            (1, Some("first"), "zero", None, 9),
        ],
        num_ablation_rows: 6,
        goes_on: GoesOn::UpTo { num_epochs: "3" },
    },
];

/// Every table of part files that can be asked.
pub(super) const TABLES: [&str; 10] = [
    "weights",
    "activations",
    "classifications",
    "metrics",
    "histograms",
    "gradients",
    "gradients_applied",
    "moments",
    "structures",
    "ablations",
];

/// What `sink verify` says of commits of these versions.
pub(super) const UNPROVEN: &str = "not checked: whether run.json is as it was, and whether a commit is missing at \
                                   the end or was replaced: commits of format 1.4 and before do not say it\n";

impl Golden {
    /// The options that it is trained with, but for the number of epochs.
    pub(super) fn train(&self) -> Vec<String> {
        let mut options: Vec<String> = match self.is_of_files {
            false => vec!["--dataset".to_owned(), "notebook".to_owned()],
            true => {
                let [data, held_out] = data();
                let data = format!("csv:{data}");
                let options = [
                    "--dataset",
                    &data,
                    "--held-out",
                    &held_out,
                    "--target",
                    "class",
                ];
                options.map(str::to_owned).to_vec()
            }
        };
        options.extend(["--hidden", "4"].map(str::to_owned));
        options.extend(self.train.iter().map(|option| (*option).to_owned()));
        options
    }
}

impl GoesOn {
    pub(super) fn num_epochs(&self) -> &'static str {
        match *self {
            Self::UpTo { num_epochs } | Self::No { num_epochs, .. } => num_epochs,
        }
    }
}

/// The files of training samples and of held-out samples.
pub(super) fn data() -> [String; 2] {
    let data = workspace_root().join("tests/golden/data");
    ["train.csv", "held-out.csv"].map(|file| data.join(file).display().to_string())
}

/// The inputs of the held-out samples in `tests/golden/data` as the network sees them: standardised by what the
/// training samples are like.
pub(super) fn held_out_samples() -> Vec<Vec<f64>> {
    let [train, mut held_out] = data().map(|file| inputs(&file));
    for column in 0..train[0].len() {
        let num_samples = train.len() as f64;
        let mean = train.iter().map(|sample| sample[column]).sum::<f64>() / num_samples;
        let squares = train.iter().map(|sample| (sample[column] - mean).powi(2));
        let std = (squares.sum::<f64>() / num_samples).sqrt();
        for sample in &mut held_out {
            sample[column] = (sample[column] - mean) / std;
        }
    }
    held_out
}

fn inputs(file: &str) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(file).unwrap();
    let inputs = |line: &str| {
        let (inputs, _) = line.rsplit_once(',').unwrap();
        inputs
            .split(',')
            .map(|input| input.parse().unwrap())
            .collect()
    };
    text.lines().skip(1).map(inputs).collect()
}
