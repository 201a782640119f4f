//! Neurons as points, near each other where they are alike.

use std::collections::{BTreeMap, BTreeSet};

use analysis::Linkage;
use studies::{
    EmbedOptions, Embedder, Embedding, EmbeddingMethod, Epochs, NO_STRUCTURE, NOT_TRUSTED, ValuesOf,
};
use trace::Table;

use super::asked::Asked;
use super::association::profiles;
use super::error::PlotError;
use crate::chart::{Axis, Chart, Content, Panel, Point, PointGroup, number};

pub(super) const PARAMETERS: &[&str] = &[
    "of Utf8{activations,weights} = activations: what neurons are compared by; activations are those of held-out \
     samples",
    "method Utf8{tsne,pca} = tsne: how they are placed",
    "colour Utf8{layer,class,cluster} = layer: what colours tell; the class is the one that a neuron goes with most \
     strongly, unless chance goes as far",
    "epoch Int32{<epoch>,first,last} = last: the epoch",
    "layer Utf8{<layer>,first,last} = NULL: this layer alone; by default all but the output layer",
    "clusters Int64{1..} = NULL: how many clusters; by default the number from 2 to 10 with the largest silhouette",
    "perplexity Int64{1..} = NULL: of t-SNE, about how many neighbours a neuron has; by default 30, or as many as \
     there can be",
    "seed Int64 = 0: of t-SNE: the same seed gives the same picture",
    "permutations Int32{0..1000000} = 200: with `colour=class`, how many permutations chance is judged by",
];

/// Of more neurons than this, so many are shown.
const MAX_SHOWN: usize = 2000;

/// More layers, classes or clusters than this have no colour and shape of their own.
const MAX_GROUPS: usize = 20;

#[derive(Debug, Clone, Copy)]
enum Colour {
    Layer,
    Class,
    Cluster,
}

pub(super) async fn chart(asked: &Asked<'_>) -> Result<Chart, PlotError> {
    let epoch = asked.epoch()? as i32;
    let mut frames = film(asked, &[epoch]).await?;
    let (_, chart) = frames.pop().expect("there is an epoch, or an error");
    Ok(chart)
}

/// The picture at each of several epochs that ascend, each of which begins where the one before it ended.
/// Those of which there are no values are passed over.
pub(super) async fn film(
    asked: &Asked<'_>,
    epochs: &[i32],
) -> Result<Vec<(i32, Chart)>, PlotError> {
    let of = asked.choice("of", &ValuesOf::ALL.map(|of| (of.name(), of)))?;
    let methods = EmbeddingMethod::ALL.map(|method| (method.name(), method));
    let method = asked.choice("method", &methods)?;
    let colours = [
        ("layer", Colour::Layer),
        ("class", Colour::Class),
        ("cluster", Colour::Cluster),
    ];
    let colour = asked.choice("colour", &colours)?;
    let layer = asked.text("layer");
    let (table, remedy) = match of {
        ValuesOf::Weights => (
            Table::Weights,
            "`recorder train` records them unless --record leaves out `weights`",
        ),
        ValuesOf::Activations => (
            Table::Activations,
            "`recorder train --record activations --activations raw` records them",
        ),
    };
    let is_recorded = asked.session.run().has_files(table, |of_epoch, of| {
        epochs.contains(&of_epoch) && (layer.is_none() || layer == of)
    });
    if !is_recorded {
        return Err(asked.nothing_of(table, of.name(), remedy));
    }
    let optional_count = |name: &str| match asked.number(name) {
        None => Ok(None),
        Some(_) => asked.count(name).map(Some),
    };
    let options = EmbedOptions {
        of,
        method,
        dimensions: 2,
        perplexity: optional_count("perplexity")?.map(|count| count as f64),
        seed: asked.number("seed").unwrap_or(0).cast_unsigned(),
        epochs: Epochs::All,
        layer: layer.map(str::to_owned),
        linkage: Linkage::Ward,
        clusters: optional_count("clusters")?,
        at_most: Some(MAX_SHOWN),
    };
    let mut embedder = Embedder::try_new(asked.session.clone(), options)?.at(epochs);
    let mut placed = Vec::new();
    while let Some(embedding) = embedder.next().await? {
        let names = names(asked, &embedding, colour).await?;
        placed.push((embedding, names));
    }
    // A group has the same colour at every epoch, also where it has no neurons.
    let groups: BTreeSet<Group> = placed
        .iter()
        .flat_map(|(_, names)| names.iter().cloned())
        .collect();
    let frames = placed.iter().map(|(embedding, names)| {
        let chart = drawn(asked, embedding, (of, method, colour), &groups, names);
        (embedding.epoch, chart)
    });
    Ok(frames.collect())
}

/// What has a colour: its place in the legend, and its name there.
type Group = (usize, String);

/// The group that each neuron belongs to.
async fn names(
    asked: &Asked<'_>,
    embedding: &Embedding,
    colour: Colour,
) -> Result<Vec<Group>, PlotError> {
    let neurons = embedding.neurons.iter();
    Ok(match colour {
        Colour::Layer => {
            let layers = asked.info().layers.layers();
            let place = |name: &str| layers.iter().position(|layer| layer.layer.as_str() == name);
            let names = embedding.layers.iter();
            let names = names.map(|name| (place(name).unwrap_or(layers.len()), name.clone()));
            names.collect()
        }
        Colour::Cluster => {
            let clusters = embedding.clusters.iter();
            clusters
                .map(|&cluster| (cluster, format!("cluster {cluster}")))
                .collect()
        }
        Colour::Class => {
            let classes = classes(asked, embedding).await?;
            neurons
                .map(|&neuron| match classes.get(&i64::from(neuron)) {
                    Some(&class) => (class, format!("class {}", asked.class_name(class))),
                    None => (usize::MAX, "no class".to_owned()),
                })
                .collect()
        }
    })
}

/// The class that each neuron goes with most strongly, of those that go with one.
async fn classes(
    asked: &Asked<'_>,
    embedding: &Embedding,
) -> Result<BTreeMap<i64, usize>, PlotError> {
    let neurons = embedding.neurons.iter().copied().map(i64::from);
    let outputs = neurons.filter_map(|neuron| Some((neuron, asked.class_of_output(neuron)?)));
    let mut classes: BTreeMap<i64, usize> = outputs.collect();
    // What is left has to be compared with the outputs.
    if classes.len() < embedding.neurons.len() {
        let permutations = asked.number("permutations").unwrap_or(0);
        let profiles = profiles(asked, i64::from(embedding.epoch), permutations).await?;
        let found = profiles.into_iter();
        let found = found.filter_map(|(neuron, profile)| Some((neuron, profile.class()?)));
        classes.extend(found);
    }
    Ok(classes)
}

fn drawn(
    asked: &Asked<'_>,
    embedding: &Embedding,
    (of, method, colour): (ValuesOf, EmbeddingMethod, Colour),
    groups: &BTreeSet<Group>,
    names: &[Group],
) -> Chart {
    let groups = groups.iter().map(|group| (group, Vec::new()));
    let mut groups: BTreeMap<&Group, Vec<Point>> = groups.collect();
    for (place, &neuron) in embedding.neurons.iter().enumerate() {
        let name = asked.neuron_name(i64::from(neuron));
        let cluster = embedding.clusters[place];
        let of_group = groups.get_mut(&names[place]).expect("all are listed");
        of_group.push(Point {
            x: embedding.points[place][0],
            y: embedding.points[place][1],
            name: format!("{name}, {}, cluster {cluster}", embedding.layers[place]),
            label: Some(name),
            interval: None,
        });
    }
    let num_groups = groups.len();
    let mut shown: Vec<PointGroup> = Vec::new();
    for ((_, name), points) in groups {
        match shown.len() < MAX_GROUPS || num_groups == MAX_GROUPS + 1 {
            true => shown.push(PointGroup {
                name: format!("{name} ({})", points.len()),
                points,
            }),
            false => {
                let others = shown
                    .last_mut()
                    .expect("there are as many as can be told apart");
                others.points.extend(points);
                others.name = format!(
                    "{} others ({})",
                    num_groups - MAX_GROUPS + 1,
                    others.points.len()
                );
            }
        }
    }
    let axis = |place: usize| {
        Axis::numbers(match (method, &embedding.variance_shares) {
            (EmbeddingMethod::Pca, Some(shares)) => format!(
                "component {} ({:.1} % of the variance)",
                place + 1,
                100.0 * shares[place]
            ),
            (EmbeddingMethod::Pca, None) => format!("component {}", place + 1),
            (EmbeddingMethod::Tsne, _) => format!("t-SNE {}", place + 1),
        })
    };
    let by = match method {
        EmbeddingMethod::Tsne => "t-SNE",
        EmbeddingMethod::Pca => "principal components",
    };
    let compared = match of {
        ValuesOf::Weights => "have weights alike",
        ValuesOf::Activations => "respond alike",
    };
    // How classes were told from chance, if colours tell classes.
    let permutations = match colour {
        Colour::Class => asked.number("permutations"),
        Colour::Layer | Colour::Cluster => None,
    };
    Chart {
        title: format!(
            "Which neurons {compared}, by {by}, epoch {}",
            embedding.epoch
        ),
        subtitle: asked.subtitle(&embedding.findings(number)),
        panels: vec![Panel {
            title: None,
            x: axis(0),
            y: axis(1),
            content: Content::Points(shown),
        }],
        notes: notes(embedding, method, permutations),
    }
}

/// What the picture is worth, and how it is read.
fn notes(embedding: &Embedding, method: EmbeddingMethod, permutations: Option<i64>) -> Vec<String> {
    let mut notes = Vec::new();
    let no_structure = embedding.silhouette.is_none_or(|s| s <= NO_STRUCTURE);
    let not_trusted = embedding.trustworthiness.is_some_and(|t| t < NOT_TRUSTED);
    match (no_structure, not_trusted) {
        (true, true) => notes.push(
            "This picture shows nothing to rely on: neurons form no clear groups, and neighbours in it are often \
             none in the data."
                .to_owned(),
        ),
        (true, false) => notes.push(
            "Neurons form no clear groups: groups that one seems to see here, and clusters, are not told from \
             their surroundings in the data."
                .to_owned(),
        ),
        (false, true) => notes.push(
            "Neighbours in this picture are often none in the data: go by the clusters, not by who is beside \
             whom."
                .to_owned(),
        ),
        (false, false) => {}
    }
    let method = match method {
        EmbeddingMethod::Tsne => {
            "Of t-SNE, who is beside whom tells something; directions, and how far apart groups are, do not."
        }
        EmbeddingMethod::Pca => {
            "Each axis is the direction in which neurons differ most, as far as the ones before it do not tell."
        }
    };
    notes.push(method.to_owned());
    notes.push(
        "Trustworthiness is 1 where all neighbours in the picture are neighbours in the data. The silhouette, from \
         -1 to 1, is how much nearer a neuron is to its own cluster (Ward's) than to the next."
            .to_owned(),
    );
    if let Some(permutations) = permutations {
        notes.push(format!(
            "A class is the one with whose prediction the activation is correlated most, unless {permutations} \
             permutations say that chance goes as far."
        ));
    }
    notes
}
