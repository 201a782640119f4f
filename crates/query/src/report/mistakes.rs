//! Whether its neurons tell when it is wrong.

use super::{Part, Result, Section, Source, counted};
use crate::chart::number;
use crate::plot::rows::{floats, integers, texts};

pub(super) const HEADING: &str = "Do its neurons tell when it is wrong?";

/// How many neurons the table has.
const TOP: &str = "10";

pub(super) async fn section(source: &Source<'_>) -> Result<Section> {
    let rows = source.named("meta_model", &[("top", TOP)]).await?;
    let mut parts = vec![Part::text(
        "A second model looks at the activations of the first: can it tell from the neurons alone whether the \
         network is right about a sample? It is judged on samples that it has not learned from. The score is the \
         probability that a sample that the network is right about comes out above one that it is wrong \
         about: 0.5 is guessing, 1 is certainty.",
    )];
    if rows.num_rows() == 0 {
        parts.push(Part::Missing(
            "That takes activations, classifications, and five samples at least that the network is wrong about, \
             and five that it is right about, at the last epoch."
                .to_owned(),
        ));
    } else {
        let first = |name: &str| floats(&rows, name)[0];
        let count = |name: &str| integers(&rows, name)[0].unsigned_abs();
        let models = [
            (
                "a forest of decision trees",
                "forest_auc",
                Some("forest_auc_std"),
            ),
            ("logistic regression", "linear_auc", Some("linear_auc_std")),
            ("the network's own confidence", "confidence_auc", None),
        ];
        let scores = models.map(|(name, score, spread)| {
            let spread = spread.and_then(first);
            let score = first(score).map_or_else(|| "–".to_owned(), number);
            let score = match spread {
                Some(spread) => format!("{score} ± {}", number(spread)),
                None => score,
            };
            vec![name.to_owned(), score]
        });
        let caption = format!(
            "At the last epoch, {}, {} of them mistakes",
            counted(count("samples"), "held-out sample"),
            count("mistakes")
        );
        parts.push(Part::grid(caption, &["told by", "score"], scores.to_vec()));
        let best = models
            .iter()
            .filter_map(|(name, score, _)| Some((name, first(score)?)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((name, _)) = best {
            parts.push(Part::text(format!("Here {name} tells mistakes best.")));
        }
        let (neurons, layers) = (integers(&rows, "neuron"), texts(&rows, "layer"));
        let (importances, spreads) = (floats(&rows, "importance"), floats(&rows, "importance_std"));
        let grid = (0..rows.num_rows()).map(|row| {
            let told = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
            vec![
                format!("n_{}", neurons[row]),
                layers[row].clone(),
                format!("{} ± {}", told(importances[row]), told(spreads[row])),
            ]
        });
        let columns = ["neuron", "layer", "the score falls by, without it"];
        let caption = "The neurons that matter most to the forest";
        parts.push(Part::grid(caption, &columns, grid.collect()));
    }
    Ok(Section {
        heading: HEADING,
        parts,
        commands: vec!["meta RUN"],
    })
}
