//! Which layers are recorded, and which units of them.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use glob::{MatchOptions, Pattern};
use serde::Serialize;
use trace::{Epoch, Layer, Topology};

use crate::random::{HostRng, Purpose};

/// Which layers are recorded, by their labels: globs, as `encoder.*`, and globs with a `!` before
/// them, as `!*.bias`, which take layers out again. The last that fits a layer decides; a list that
/// begins with a `!` begins with every layer. An empty list is every layer.
///
/// `*` stands for any text, `?` for a character, `[ab]` for one of some; upper and lower case are
/// the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerSelection(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    takes: bool,
}

/// Why globs are no [`LayerSelection`] of a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectLayersError {
    /// A glob cannot be understood.
    #[error("{glob:?} is no glob of layers: {reason}")]
    Glob {
        /// The glob.
        glob: String,
        /// What is wrong.
        reason: String,
    },
    /// A glob fits no layer, which is rather a typing mistake than meant.
    #[error("no layer fits {glob:?}: there are {}", layers.join(", "))]
    NoSuchLayer {
        /// The glob.
        glob: String,
        /// The labels that there are.
        layers: Vec<String>,
    },
    /// All layers are taken out.
    #[error("{selection} leaves no layer to record")]
    Empty {
        /// The globs.
        selection: String,
    },
}

/// Labels are unique without regard to case.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: false,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

impl LayerSelection {
    /// Makes a selection of globs.
    ///
    /// # Errors
    /// If one of them is none.
    pub fn try_new<I>(globs: I) -> Result<Self, SelectLayersError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let rules = globs.into_iter().map(|text| {
            let text = text.as_ref();
            let error = |reason: String| SelectLayersError::Glob {
                glob: text.to_owned(),
                reason,
            };
            let (takes, glob) = match text.strip_prefix('!') {
                Some(glob) => (false, glob),
                None => (true, text),
            };
            if glob.is_empty() {
                return Err(error("it is empty".to_owned()));
            }
            let pattern = Pattern::new(glob).map_err(|e| error(e.to_string()))?;
            Ok(Rule { pattern, takes })
        });
        rules.collect::<Result<_, _>>().map(Self)
    }

    /// Whether every layer is recorded, because nothing else is said.
    pub fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each layer of the topology is recorded.
    ///
    /// # Errors
    /// If a glob fits no layer, or no layer is left.
    pub fn select(&self, topology: &Topology) -> Result<Vec<bool>, SelectLayersError> {
        self.select_by(topology, |_| true)
    }

    /// As [`LayerSelection::select`], where a layer that is taken out need not be there: a tensor that cannot be
    /// recorded, or a tap that the network does not have.
    ///
    /// # Errors
    /// If a glob without a `!` fits no layer, or no layer is left.
    pub fn select_leniently(&self, topology: &Topology) -> Result<Vec<bool>, SelectLayersError> {
        self.select_by(topology, |rule| rule.takes)
    }

    fn select_by(
        &self,
        topology: &Topology,
        has_to_fit: impl Fn(&Rule) -> bool,
    ) -> Result<Vec<bool>, SelectLayersError> {
        let labels = || topology.layers().iter().map(|layer| layer.layer.as_str());
        for rule in self.0.iter().filter(|rule| has_to_fit(rule)) {
            if !labels().any(|label| rule.pattern.matches_with(label, MATCHING)) {
                return Err(SelectLayersError::NoSuchLayer {
                    glob: rule.pattern.as_str().to_owned(),
                    layers: labels().map(str::to_owned).collect(),
                });
            }
        }
        let selected: Vec<bool> = labels().map(|label| self.takes(label)).collect();
        if selected.contains(&true) {
            Ok(selected)
        } else {
            Err(SelectLayersError::Empty {
                selection: self.to_string(),
            })
        }
    }

    fn takes(&self, label: &str) -> bool {
        let last = self
            .0
            .iter()
            .rfind(|rule| rule.pattern.matches_with(label, MATCHING));
        match last {
            Some(rule) => rule.takes,
            None => self.0.first().is_none_or(|first| !first.takes),
        }
    }
}

impl FromStr for LayerSelection {
    type Err = SelectLayersError;

    /// Globs with commas between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_new(text.split(','))
    }
}

impl fmt::Display for LayerSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Rule { pattern, takes }) in self.0.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            let sign = if *takes { "" } else { "!" };
            write!(f, "{separator}{sign}{pattern}")?;
        }
        Ok(())
    }
}

impl Serialize for LayerSelection {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Chooses which units of wide layers are recorded: of each layer with more than `num_units`, so
/// many, drawn with the seed. Layers of one width have the same ones, so that a channel can be
/// followed from a convolution to what normalises it.
pub fn choose_units(topology: Topology, num_units: Option<NonZeroU32>, seed: u64) -> Topology {
    let Some(num_units) = num_units else {
        return topology;
    };
    let mut layers: Vec<Layer> = topology.into();
    for layer in layers.iter_mut().filter(|l| l.num_units > num_units.get()) {
        let width = layer.num_units;
        let mut rng = HostRng::new(seed, Purpose::RecordedUnits, Epoch::INITIAL, width.into());
        let mut units = rng.permutation(width as usize);
        units.truncate(num_units.get() as usize);
        units.sort_unstable();
        layer.recorded_units = Some(units.into_iter().map(|unit| unit as u32).collect());
    }
    Topology::try_new(layers).expect("units of their layers, in order")
}

#[cfg(test)]
mod tests {
    use trace::LayerLabel;

    use super::*;

    fn topology() -> Topology {
        let labels = ["embedding", "encoder.0.query", "encoder.0.norm", "output"];
        let layers = labels.iter().enumerate().map(|(index, label)| Layer {
            layer_index: index as u32,
            layer: LayerLabel::try_new(label).unwrap(),
            module_path: (*label).to_owned(),
            kind: "linear".to_owned(),
            shape: vec![1, 1],
            fan_in: 1,
            num_units: 1,
            first_neuron: index as i32,
            activation: None,
            trainable: true,
            source: None,
            tensors: Vec::new(),
            recorded_units: None,
        });
        Topology::try_new(layers.collect()).unwrap()
    }

    fn selected(globs: &str) -> Vec<String> {
        let topology = topology();
        let selection: LayerSelection = globs.parse().unwrap();
        assert_eq!(selection.to_string(), globs);
        let selected = selection.select(&topology).unwrap();
        let layers = topology.layers().iter().zip(selected);
        layers
            .filter(|(_, selected)| *selected)
            .map(|(layer, _)| layer.layer.as_str().to_owned())
            .collect()
    }

    #[test]
    fn the_last_glob_that_fits_decides() {
        assert_eq!(selected("encoder.*"), ["encoder.0.query", "encoder.0.norm"]);
        assert_eq!(selected("encoder.*,!*.norm"), ["encoder.0.query"]);
        assert_eq!(
            selected("!encoder.*,encoder.0.NORM"),
            ["embedding", "encoder.0.norm", "output"]
        );
        assert_eq!(selected("e*,!encoder.?.*"), ["embedding"]);
        assert_eq!(selected("[a-e]mb*,output"), ["embedding", "output"]);
    }

    #[test]
    fn without_globs_every_layer_is_recorded() {
        let selection = LayerSelection::default();
        assert!(selection.is_default());
        assert_eq!(selection.select(&topology()), Ok(vec![true; 4]));
    }

    #[test]
    fn a_glob_that_fits_nothing_names_what_there_is() {
        let select = |globs: &str| {
            let selection: Result<LayerSelection, _> = globs.parse();
            selection.and_then(|selection| selection.select(&topology()))
        };
        assert_eq!(
            select("decoder.*").unwrap_err().to_string(),
            "no layer fits \"decoder.*\": there are embedding, encoder.0.query, encoder.0.norm, \
             output"
        );
        assert_eq!(
            select("!*").unwrap_err().to_string(),
            "!* leaves no layer to record"
        );
        for wrong in ["", "!", "a,,b", "[a"] {
            let error = select(wrong).unwrap_err();
            assert!(matches!(error, SelectLayersError::Glob { .. }), "{error}");
        }
    }

    #[test]
    fn what_is_taken_out_leniently_need_not_be_there() {
        let select = |globs: &str| {
            let selection: LayerSelection = globs.parse().unwrap();
            selection.select_leniently(&topology())
        };
        assert_eq!(select("!frequencies"), Ok(vec![true; 4]));
        assert_eq!(
            select("!resid.*,!output,out*"),
            Ok(vec![true; 4]),
            "a list that begins with a ! begins with every layer, whatever fits"
        );
        assert_eq!(
            select("!resid.*,!output"),
            Ok(vec![true, true, true, false])
        );
        for (globs, words) in [
            ("!resid.*,decoder.*", "no layer fits \"decoder.*\""),
            ("!resid.*,!*", "!resid.*,!* leaves no layer"),
        ] {
            let error = select(globs).unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }

    #[test]
    fn of_wide_layers_so_many_units_are_drawn_with_the_seed() {
        let mut layers: Vec<Layer> = topology().into();
        let mut first_neuron = 0;
        for (layer, num_units) in layers.iter_mut().zip([1000, 8, 1000, 9]) {
            (layer.num_units, layer.first_neuron) = (num_units, first_neuron);
            first_neuron += num_units as i32;
        }
        let wide = Topology::try_new(layers).unwrap();
        let chosen = |num_units, seed| {
            let topology = choose_units(wide.clone(), NonZeroU32::new(num_units), seed);
            let layers: Vec<Layer> = topology.into();
            let units = layers.into_iter().map(|layer| layer.recorded_units);
            units.collect::<Vec<_>>()
        };
        assert_eq!(chosen(0, 1), [None, None, None, None]);
        let [first, narrow, third, last] = &chosen(8, 1)[..] else {
            panic!("four layers")
        };
        assert_eq!(narrow, &None);
        assert_eq!(first.as_ref().unwrap().len(), 8);
        assert_eq!(last.as_ref().unwrap().len(), 8);
        assert_eq!(first, third);
        assert_eq!(&chosen(8, 1)[0], first);
        assert_ne!(&chosen(8, 2)[0], first);
    }
}
