//! What a run's tables say of one another, worked out anew: a network of one hidden layer, its forward pass, its
//! losses, its statistics and its optimizer's arithmetic.

use std::collections::BTreeMap;

use serde_json::Value;
use stratigraph::Scratch;

/// How far a value may be from what it is worked out to be, as a share of the largest that goes into it: 32-bit
/// floats, of which some were summed.
const TOLERANCE: f64 = 1e-5;

/// Adam's, as Burn has them: 32-bit floats, as what is left of them to 1 is.
const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;

/// The rows of a run's tables.
pub(super) struct Facts {
    tables: BTreeMap<&'static str, Vec<Value>>,
}

/// A layer's rows of a table, at one epoch, by unit.
type Units<'a> = Vec<&'a Value>;

impl Facts {
    /// Reads tables of a run.
    pub(super) fn read(scratch: &Scratch, tables: impl IntoIterator<Item = &'static str>) -> Self {
        let rows = |table| scratch.rows("run", &format!("SELECT * FROM {table}"));
        Self {
            tables: tables
                .into_iter()
                .map(|table| (table, rows(table)))
                .collect(),
        }
    }

    /// A table's rows.
    pub(super) fn rows(&self, table: &str) -> &[Value] {
        &self.tables[table]
    }

    fn epochs(&self, table: &str) -> Vec<i64> {
        let epochs = self.rows(table).iter().map(|row| integer(row, "epoch"));
        let mut epochs: Vec<i64> = epochs.collect();
        epochs.sort_unstable();
        epochs.dedup();
        epochs
    }

    fn units(
        &self,
        table: &str,
        epoch: i64,
        layer: &str,
        is_meant: fn(&Value) -> bool,
    ) -> Units<'_> {
        let rows = self.rows(table).iter();
        let rows = rows.filter(|row| integer(row, "epoch") == epoch && row["layer"] == layer);
        let mut units: Units<'_> = rows.filter(|row| is_meant(row)).collect();
        units.sort_by_key(|row| integer(row, "unit"));
        let numbers = units.iter().map(|row| integer(row, "unit"));
        assert!(numbers.eq(0..units.len() as i64), "{table} {epoch} {layer}");
        units
    }

    /// Each table that every run has is there of these epochs.
    pub(super) fn check_epochs(&self, epochs: &[i64]) {
        for table in ["weights", "activations", "classifications"] {
            assert_eq!(self.epochs(table), epochs, "{table}");
        }
    }

    /// Every statistic of a list is that of its values.
    pub(super) fn check_statistics(&self) {
        let lists = [
            ("weights", "weights", "weight"),
            ("gradients", "weights", "weight"),
            ("gradients_applied", "weights", "weight"),
            ("moments", "weights", "weight"),
            ("activations", "activations", "activation"),
        ];
        for (table, list, prefix) in lists {
            for row in self.rows(table) {
                let values = floats(row, list);
                let scale = largest(&values);
                for (name, expected) in statistics(&values) {
                    let name = format!("{prefix}_{name}");
                    // What a version does not have is null: who calls looks at that.
                    if let Some(said) = row[&name].as_f64() {
                        let scale = scale.max(expected);
                        assert_close(said, expected, scale, &format!("{table} {name} of {row}"));
                    }
                }
                let zeros = values.iter().filter(|value| **value == 0.0).count();
                let said = &row[if table == "activations" {
                    "zeros"
                } else {
                    "weight_zeros"
                }];
                assert!(said.is_null() || *said == zeros, "{table} {row}");
                assert_eq!(row["nonfinite"], 0, "{table} {row}");
            }
        }
    }

    /// The output layer's logits are what its weights make of the hidden layer's activations, and what is said of
    /// each sample follows from them, as the metrics do from that. `inputs` are the held-out samples, where they
    /// are known: what the hidden layer, with ReLU, makes of them is worked out as well.
    pub(super) fn check_forward_pass(&self, inputs: Option<&[Vec<f64>]>) {
        let epochs = self.epochs("weights");
        for epoch in epochs {
            let activated = self.activations(epoch, "L_input");
            if let Some(inputs) = inputs {
                let columns: Vec<Vec<f64>> = (0..inputs[0].len())
                    .map(|column| inputs.iter().map(|sample| sample[column]).collect())
                    .collect();
                let expected = self.through(epoch, "L_input", &columns);
                for (unit, (said, expected)) in activated.iter().zip(expected).enumerate() {
                    let expected: Vec<f64> = expected.into_iter().map(|sum| sum.max(0.0)).collect();
                    assert_all_close(said, &expected, &format!("unit {unit}, epoch {epoch}"));
                }
            }
            let logits = self.activations(epoch, "L_output");
            let expected = self.through(epoch, "L_output", &activated);
            for (unit, (said, expected)) in logits.iter().zip(&expected).enumerate() {
                assert_all_close(said, expected, &format!("output {unit}, epoch {epoch}"));
            }
            self.check_classifications(epoch, &logits);
        }
    }

    fn activations(&self, epoch: i64, layer: &str) -> Vec<Vec<f64>> {
        let held_out = |row: &Value| row["phase"] == "eval";
        let units = self.units("activations", epoch, layer, held_out);
        units.iter().map(|row| floats(row, "activations")).collect()
    }

    /// What a layer's weights and biases make of values, both by unit and sample.
    fn through(&self, epoch: i64, layer: &str, values: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let units = self.units("weights", epoch, layer, |_| true);
        let sums = units.iter().map(|row| {
            let weights = floats(row, "weights");
            assert_eq!(weights.len(), values.len());
            let bias = float(row, "bias");
            let sum_of = |sample: usize| {
                let products = weights
                    .iter()
                    .zip(values)
                    .map(|(w, of_unit)| w * of_unit[sample]);
                bias + products.sum::<f64>()
            };
            (0..values[0].len()).map(sum_of).collect()
        });
        sums.collect()
    }

    fn samples(&self, epoch: i64) -> Vec<&Value> {
        let rows = self.rows("classifications").iter();
        let mut samples: Vec<&Value> = rows.filter(|row| integer(row, "epoch") == epoch).collect();
        samples.sort_by_key(|row| integer(row, "sample"));
        samples
    }

    fn check_classifications(&self, epoch: i64, logits: &[Vec<f64>]) {
        let samples = self.samples(epoch);
        assert_eq!(samples.len(), logits[0].len());
        for (index, row) in samples.iter().enumerate() {
            assert_eq!(row["sample"], index);
            let told = Told::of(
                row,
                logits.iter().map(|of_output| of_output[index]).collect(),
            );
            assert_all_close(&floats(row, "outputs"), &told.outputs, &row.to_string());
            assert_close(float(row, "loss"), told.loss, 1.0, &row.to_string());
            assert_eq!(row["predicted"], told.predicted, "{row}");
            assert_eq!(row["correct"], row["predicted"] == row["target"], "{row}");
            assert_close(
                float(row, "confidence"),
                told.confidence,
                1.0,
                &row.to_string(),
            );
        }
        let losses: Vec<f64> = samples.iter().map(|row| float(row, "loss")).collect();
        assert_close(self.metric(epoch, "loss"), mean(&losses), 1.0, "loss");
        let correct = samples.iter().filter(|row| row["correct"] == true).count();
        let accuracy = correct as f64 / samples.len() as f64;
        assert_close(self.metric(epoch, "accuracy"), accuracy, 1.0, "accuracy");
    }

    /// A metric of the held-out samples.
    fn metric(&self, epoch: i64, name: &str) -> f64 {
        let mut rows = self.rows("metrics").iter().filter(|row| {
            integer(row, "epoch") == epoch && row["phase"] == "eval" && row["name"] == name
        });
        let value = float(rows.next().unwrap(), "value");
        assert!(rows.next().is_none(), "{name} is there twice");
        value
    }

    /// Each bin has as many values as lie in it.
    pub(super) fn check_histograms(&self) {
        for row in self.rows("histograms") {
            let (epoch, layer) = (integer(row, "epoch"), row["layer"].as_str().unwrap());
            let values: Vec<f64> = if row["of"] == "weights" {
                let units = self.units("weights", epoch, layer, |_| true);
                units
                    .iter()
                    .flat_map(|row| floats(row, "weights"))
                    .collect()
            } else {
                self.activations(epoch, layer).concat()
            };
            let (edges, counts) = (floats(row, "edges"), floats(row, "counts"));
            let mut expected = vec![0.0; counts.len()];
            for value in values {
                let above = edges.iter().take_while(|edge| **edge <= value).count();
                expected[above.clamp(1, counts.len()) - 1] += 1.0;
            }
            assert_eq!(counts, expected, "{row}");
        }
    }

    /// Adam's moments of a step are those of the step before with its gradients, where both are recorded; before
    /// the first step they are 0. Gives how many lists were worked out.
    pub(super) fn check_moments(&self) -> usize {
        let mut num_checked = 0;
        for row in self.rows("moments") {
            let (epoch, step) = (integer(row, "epoch"), integer(row, "step"));
            let gradients = parameters(self.of_neuron("gradients", epoch, row).unwrap());
            let before = match self.of_neuron("moments", epoch - 1, row) {
                _ if step == 1 => vec![0.0; gradients.len()],
                Some(before) if integer(before, "step") == step - 1 => parameters(before),
                _ => continue,
            };
            let (beta, power) = match row["name"].as_str().unwrap() {
                "moment_1" => (BETA_1, 1),
                "moment_2" => (BETA_2, 2),
                other => panic!("{other}"),
            };
            let (kept, taken) = (f64::from(beta), f64::from(1.0 - beta));
            let expected = before.iter().zip(&gradients);
            let expected: Vec<f64> = expected
                .map(|(moment, gradient)| kept * moment + taken * gradient.powi(power))
                .collect();
            assert_all_close(&parameters(row), &expected, &row.to_string());
            num_checked += 1;
        }
        num_checked
    }

    /// The row of the same neuron, and of the same name where both have one, in a table at an epoch.
    fn of_neuron(&self, table: &str, epoch: i64, row: &Value) -> Option<&Value> {
        self.rows(table).iter().find(|other| {
            let is_of_name = other.get("name").is_none() || other["name"] == row["name"];
            is_of_name && integer(other, "epoch") == epoch && other["neuron"] == row["neuron"]
        })
    }

    /// What an ablation of hidden neurons says of all samples is what the network makes of them with the neurons
    /// changed.
    pub(super) fn check_ablations(&self) -> usize {
        let rows = self.rows("ablations").iter();
        let rows = rows.filter(|row| row["samples"] == "all");
        let mut num_checked = 0;
        for row in rows {
            let epoch = integer(row, "epoch");
            assert_eq!(row["half"], "all");
            let neurons = row["neurons"].as_str().unwrap().split(',');
            let neurons: Vec<usize> = neurons.map(|neuron| neuron.parse().unwrap()).collect();
            let before = self.activations(epoch, "L_input");
            let mut after = before.clone();
            for neuron in neurons {
                let of_samples = &mut after[neuron];
                let mean = mean(of_samples);
                for value in of_samples {
                    *value = match row["mode"].as_str().unwrap() {
                        "zero" => 0.0,
                        "mean" => mean,
                        "scale" => *value * float(row, "factor"),
                        other => panic!("{other}"),
                    };
                }
            }
            for (key, activated) in [("before", before), ("after", after)] {
                let expected = self.figure(epoch, &activated, row["metric"].as_str().unwrap());
                assert_close(float(row, key), expected, 1.0, &format!("{key} of {row}"));
                num_checked += 1;
            }
            let draws = floats(row, "random");
            assert_close(
                float(row, "random_mean"),
                mean(&draws),
                1.0,
                &row.to_string(),
            );
        }
        num_checked
    }

    /// A figure of the network at an epoch whose hidden layer says `activated`.
    fn figure(&self, epoch: i64, activated: &[Vec<f64>], metric: &str) -> f64 {
        let logits = self.through(epoch, "L_output", activated);
        let samples = self.samples(epoch);
        let told = samples.iter().enumerate().map(|(index, row)| {
            let told = Told::of(
                row,
                logits.iter().map(|of_output| of_output[index]).collect(),
            );
            match metric {
                "loss" => told.loss,
                "accuracy" => f64::from(row["target"] == told.predicted),
                other => panic!("{other}"),
            }
        });
        mean(&told.collect::<Vec<f64>>())
    }

    /// The score of a neuron of a structure is the area under the ROC curve of its activations for the class.
    pub(super) fn check_scores(&self) {
        for row in self
            .rows("structures")
            .iter()
            .filter(|row| !row["score"].is_null())
        {
            let epoch = integer(row, "epoch");
            let activated = &self.activations(epoch, "L_input")[integer(row, "neuron") as usize];
            let samples = self.samples(epoch);
            let of_samples = || activated.iter().zip(&samples);
            let (mut wins, mut pairs) = (0.0, 0.0);
            for (of_class, _) in of_samples().filter(|(_, s)| s["target"] == row["class"]) {
                for (other, _) in of_samples().filter(|(_, s)| s["target"] != row["class"]) {
                    pairs += 1.0;
                    wins += f64::from(of_class > other) + 0.5 * f64::from(of_class == other);
                }
            }
            assert_close(float(row, "score"), wins / pairs, 1.0, &row.to_string());
        }
    }
}

/// What is told of a sample by its logits.
struct Told {
    outputs: Vec<f64>,
    loss: f64,
    predicted: usize,
    confidence: f64,
}

impl Told {
    fn of(row: &Value, logits: Vec<f64>) -> Self {
        if let [logit] = logits[..] {
            let output = sigmoid(logit);
            let target = floats(row, "expected")[0];
            Self {
                outputs: vec![output],
                loss: -target * output.ln() - (1.0 - target) * (1.0 - output).ln(),
                predicted: usize::from(output > 0.5),
                confidence: output.max(1.0 - output),
            }
        } else {
            let exponentials: Vec<f64> = logits.iter().map(|logit| logit.exp()).collect();
            let sum: f64 = exponentials.iter().sum();
            let outputs: Vec<f64> = exponentials.iter().map(|e| e / sum).collect();
            let likeliest = outputs.iter().copied().fold(0.0, f64::max);
            let predicted = outputs.iter().position(|output| *output == likeliest);
            Self {
                loss: -outputs[integer(row, "target") as usize].ln(),
                predicted: predicted.unwrap(),
                confidence: likeliest,
                outputs,
            }
        }
    }
}

fn sigmoid(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn statistics(values: &[f64]) -> [(&'static str, f64); 7] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let num_values = sorted.len();
    let mean = mean(values);
    let squares = values.iter().map(|value| (value - mean).powi(2));
    [
        ("mean", mean),
        (
            "median",
            (sorted[(num_values - 1) / 2] + sorted[num_values / 2]) / 2.0,
        ),
        ("std", (squares.sum::<f64>() / num_values as f64).sqrt()),
        ("min", sorted[0]),
        ("max", sorted[num_values - 1]),
        ("l1", values.iter().map(|value| value.abs()).sum()),
        (
            "l2",
            values.iter().map(|value| value * value).sum::<f64>().sqrt(),
        ),
    ]
}

fn integer(row: &Value, key: &str) -> i64 {
    row[key]
        .as_i64()
        .unwrap_or_else(|| panic!("{key} of {row}"))
}

/// Weights are those of another run that did the same, perhaps on another machine.
pub(super) fn assert_same_weights(said: &[Value], expected: &[Value]) {
    assert_eq!(said.len(), expected.len());
    for (said, expected) in said.iter().zip(expected) {
        let what = said.to_string();
        for key in ["epoch", "layer", "neuron"] {
            assert_eq!(said[key], expected[key], "{what}");
        }
        assert_all_close(&parameters(said), &parameters(expected), &what);
    }
}

/// The weights of a row, and its bias.
fn parameters(row: &Value) -> Vec<f64> {
    [floats(row, "weights"), vec![float(row, "bias")]].concat()
}

fn float(row: &Value, key: &str) -> f64 {
    row[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} of {row}"))
}

fn floats(row: &Value, key: &str) -> Vec<f64> {
    let values = row[key].as_array();
    let values = values.unwrap_or_else(|| panic!("{key} of {row}")).iter();
    values.map(|value| value.as_f64().unwrap()).collect()
}

fn largest(values: &[f64]) -> f64 {
    values
        .iter()
        .fold(0.0, |largest, value| value.abs().max(largest))
}

fn assert_close(said: f64, expected: f64, scale: f64, what: &str) {
    assert!(
        (said - expected).abs() <= TOLERANCE * scale,
        "{said} is not {expected}: {what}"
    );
}

fn assert_all_close(said: &[f64], expected: &[f64], what: &str) {
    assert_eq!(said.len(), expected.len(), "{what}");
    let scale = largest(expected);
    for (said, expected) in said.iter().zip(expected) {
        assert_close(*said, *expected, scale, what);
    }
}
