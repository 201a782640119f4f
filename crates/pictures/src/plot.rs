//! The pictures that are asked for often: which there are, and what each is made of.
//!
//! A kind asks the run a few questions and makes a [`Chart`] of the answers; how that is drawn is
//! [`crate::chart`]'s business. Many neurons, epochs or classes are put together into bins, never drawn
//! one over the other, and the chart's notes say so.

mod ablation;
mod absent;
mod asked;
pub(crate) mod association;
mod bins;
mod cartography;
mod confusion;
mod correlation;
mod curves;
mod distributions;
mod embedding;
mod error;
mod network;
mod picture;
pub(crate) mod rows;
mod weights;

use sql::{Arguments, Parameter, QueryError, QuerySession};

use crate::chart::Chart;
use crate::chart::html::Frame;
use asked::Asked;

pub(crate) use asked::of_run;
pub use error::PlotError;
pub use picture::Picture;

/// A kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlotKind {
    /// Loss and accuracy by epoch.
    Curves,
    /// Which class was taken for which.
    Confusion,
    /// A layer's weights by unit and epoch.
    Weights,
    /// How a layer's values are spread, epoch after epoch.
    Distributions,
    /// Which neurons go with which class.
    Association,
    /// Which neurons of a layer respond alike.
    Correlation,
    /// Neurons as points, near each other where they are alike.
    Embedding,
    /// The strongest connections.
    Network,
    /// Which samples were easy, hard or ambiguous.
    Cartography,
    /// What the network loses without some of its neurons.
    Ablation,
}

impl PlotKind {
    /// Every kind, in the order in which documents list them.
    pub const ALL: [PlotKind; 10] = [
        PlotKind::Curves,
        PlotKind::Confusion,
        PlotKind::Weights,
        PlotKind::Distributions,
        PlotKind::Association,
        PlotKind::Correlation,
        PlotKind::Embedding,
        PlotKind::Network,
        PlotKind::Cartography,
        PlotKind::Ablation,
    ];

    /// Its name on the command line, what it shows, and the parameters that it takes.
    fn declared(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            PlotKind::Curves => (
                "curves",
                "loss and accuracy by epoch, in training and on the held-out set",
                curves::PARAMETERS,
            ),
            PlotKind::Confusion => (
                "confusion",
                "how many held-out samples of each class were taken for which",
                confusion::PARAMETERS,
            ),
            PlotKind::Weights => (
                "weights",
                "a heat map of a layer's weights, by unit and epoch",
                weights::PARAMETERS,
            ),
            PlotKind::Distributions => (
                "distributions",
                "how a layer's weights or activations are spread, as a ridge an epoch",
                distributions::PARAMETERS,
            ),
            PlotKind::Association => (
                "association",
                "how strongly each neuron goes with each class that the network predicts",
                association::PARAMETERS,
            ),
            PlotKind::Correlation => (
                "correlation",
                "which neurons of a layer respond alike, those that do beside each other",
                correlation::PARAMETERS,
            ),
            PlotKind::Embedding => (
                "embedding",
                "neurons as points, near each other where they are alike (in 3-D as rows: `query embed`)",
                embedding::PARAMETERS,
            ),
            PlotKind::Network => (
                "network",
                "the strongest connections, from the inputs to the outputs",
                network::PARAMETERS,
            ),
            PlotKind::Cartography => (
                "cartography",
                "which held-out samples were easy, hard or ambiguous while the network learned",
                cartography::PARAMETERS,
            ),
            PlotKind::Ablation => (
                "ablation",
                "what the network loses without some of its neurons, by class",
                ablation::PARAMETERS,
            ),
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.declared().0
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        PlotKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What it shows.
    pub fn purpose(self) -> &'static str {
        self.declared().1
    }

    /// The parameters that it takes.
    pub fn parameters(self) -> Vec<Parameter> {
        let declared = self.declared().2.iter();
        declared
            .map(|text| Parameter::parse(text).expect("a test reads the parameters of all kinds"))
            .collect()
    }

    /// Asks a run for what the picture shows.
    ///
    /// # Errors
    /// If a parameter is unknown or cannot have its value, the run lacks what the picture shows, or it
    /// cannot be read.
    pub async fn chart(
        self,
        session: &QuerySession,
        arguments: &Arguments,
    ) -> Result<Chart, PlotError> {
        if session.is_empty() {
            return Err(QueryError::NothingCaptured.into());
        }
        let asked = Asked::try_new(self, session, arguments)?;
        let chart = match self {
            PlotKind::Curves => curves::chart(&asked).await,
            PlotKind::Confusion => confusion::chart(&asked).await,
            PlotKind::Weights => weights::chart(&asked).await,
            PlotKind::Distributions => distributions::chart(&asked).await,
            PlotKind::Association => association::chart(&asked).await,
            PlotKind::Correlation => correlation::chart(&asked).await,
            PlotKind::Embedding => embedding::chart(&asked).await,
            PlotKind::Network => network::chart(&asked).await,
            PlotKind::Cartography => cartography::chart(&asked).await,
            PlotKind::Ablation => ablation::chart(&asked),
        };
        asked.explain_not_finite(chart).await
    }

    /// Asks a run for what the picture shows at each of several epochs, which ascend: of those of which
    /// there is one. Of an embedding each begins where the one before it ended.
    ///
    /// # Errors
    /// As [`PlotKind::chart`], or if there is a picture of none of the epochs.
    pub async fn film(
        self,
        session: &QuerySession,
        arguments: &Arguments,
        epochs: &[i32],
    ) -> Result<Vec<Frame>, PlotError> {
        if self == PlotKind::Embedding && !epochs.is_empty() {
            let asked = Asked::try_new(self, session, arguments)?;
            let frames = embedding::film(&asked, epochs).await?.into_iter();
            let frames = frames.map(|(epoch, chart)| Frame {
                at: epoch.into(),
                chart,
            });
            return Ok(frames.collect());
        }
        let mut frames = Vec::new();
        let mut missing = None;
        for &epoch in epochs {
            let of_epoch = ("epoch".to_owned(), epoch.to_string());
            let arguments = [&[of_epoch], arguments].concat();
            match self.chart(session, &arguments).await {
                Ok(chart) => frames.push(Frame {
                    at: epoch.into(),
                    chart,
                }),
                Err(error) if error.is_nothing_to_draw() => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(error) if frames.is_empty() => Err(error),
            _ => Ok(frames),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_all_kinds_are_understood() {
        for kind in PlotKind::ALL {
            assert_eq!(PlotKind::from_name(kind.name()), Some(kind));
            // It panics where one is not.
            let parameters = kind.parameters();
            assert!(
                parameters
                    .iter()
                    .all(|parameter| !parameter.meaning.is_empty())
            );
        }
    }
}
