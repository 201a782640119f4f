//! What its layers were like, in words and pictures.

use super::{Course, Found, Profile};
use crate::chart::{Axis, Chart, Content, Line, Panel};
use crate::report::section::{Part, Section, introduced};

pub(in crate::report) const HEADING: &str = "What its layers were like";

pub(super) fn section(found: Found) -> Section {
    let mut parts = vec![Part::text(
        "The norm of a layer's weights says how far learning has carried it; its sparsity, how often a neuron says \
         nothing at all (an activation of 0). A dead neuron says nothing for any held-out sample, and takes no part.",
    )];
    parts.push(match (found.profile.is_empty(), found.not_finite) {
        (false, _) => Part::still(profile(found.profile)),
        (true, Some(reason)) => Part::missing(format!(
            "There is nothing to draw: {reason}; training has diverged."
        )),
        (true, None) => Part::missing(
            "Neither weights nor activations were recorded: `recorder train --record weights,activations`.",
        ),
    });
    if let Some(first) = found.first {
        parts.extend(introduced(
            "Of each neuron, by epoch, how large its weights are: rows that brighten are neurons that learning \
             leans on.",
            first,
        ));
    }
    parts.extend(found.output.map(Part::film));
    parts.extend(found.last.map(Part::film));
    Section {
        heading: HEADING,
        parts,
        commands: vec![
            "run layer_profile RUN",
            "run dead_neurons RUN --param epoch=last",
            "run weight_drift RUN",
            "plot weights RUN --param layer=last -o weights.svg",
        ],
    }
}

/// Norm, sparsity and dead neurons of each layer by epoch.
fn profile(found: Profile) -> Chart {
    let panels = [
        (
            "Norm of the weights",
            found.norm,
            Axis::numbers("Euclidean norm"),
        ),
        (
            "Sparsity of the activations",
            found.sparsity,
            Axis::shares("activations that are 0"),
        ),
        ("Dead neurons", found.dead, Axis::whole("neurons")),
    ];
    let panels = panels
        .into_iter()
        .filter(|(_, courses, _)| !courses.is_empty());
    let panels = panels.map(|(title, courses, y)| Panel {
        title: Some(title.to_owned()),
        x: Axis::whole("epoch"),
        y,
        content: Content::Lines(courses.into_iter().map(line).collect()),
    });
    let notes = match found.num_shown == found.num_layers {
        true => Vec::new(),
        false => vec![format!(
            "{} of {} layers are drawn.",
            found.num_shown, found.num_layers
        )],
    };
    Chart {
        title: "The layers, epoch by epoch".to_owned(),
        subtitle: String::new(),
        panels: panels.collect(),
        notes,
    }
}

fn line(course: Course) -> Line {
    Line {
        name: course.layer,
        points: course.points,
    }
}
