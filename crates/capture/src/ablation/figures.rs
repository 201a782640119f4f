//! What is measured of a network with and without some of its neurons.

/// Which of the samples a figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleGroup {
    /// All of them.
    All,
    /// Those of one class.
    Class(i32),
    /// Those that are not of the class that the neurons are said to go with.
    Others,
}

impl SampleGroup {
    /// Its name in the table `ablations`.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Class(_) => "class",
            Self::Others => "others",
        }
    }

    /// The class, of those of one.
    pub fn class(self) -> Option<i32> {
        match self {
            Self::Class(class) => Some(class),
            Self::All | Self::Others => None,
        }
    }
}

/// What is measured of a network with neurons silenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AblationMetric {
    /// What [`Score`](crate::Score) measures of such a network, by its name.
    Score(&'static str),
    /// The accuracy of a class, less that of the others.
    AccuracyGap,
    /// The mean loss of a sample.
    Loss,
}

impl AblationMetric {
    /// Its name in the table `ablations`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Score(name) => name,
            Self::AccuracyGap => "accuracy_gap",
            Self::Loss => "loss",
        }
    }

    /// How bad a value is: more is worse, and what is no number is worst.
    fn badness(self, value: f64) -> f64 {
        match self {
            _ if value.is_nan() => f64::INFINITY,
            Self::Loss => value,
            Self::Score(_) | Self::AccuracyGap => -value,
        }
    }
}

/// One figure, before and after neurons were silenced, and with random ones in their place.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Of which samples it is.
    pub samples: SampleGroup,
    /// How many they are.
    pub num_samples: usize,
    /// What it measures.
    pub metric: AblationMetric,
    /// Of the network as it was.
    pub before: f64,
    /// With the neurons silenced.
    pub after: f64,
    /// With random neurons silenced, draw by draw.
    pub random: Vec<f64>,
    /// How many of the samples were predicted to be of which class; of the accuracy of a class alone.
    pub predicted: Option<Predicted>,
}

/// How many samples are predicted to be of class 0, 1, ...
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// By the network as it was.
    pub before: Vec<f64>,
    /// With the neurons silenced.
    pub after: Vec<f64>,
    /// With random neurons silenced: the mean over the draws; none without draws.
    pub random: Option<Vec<f64>>,
}

impl Figure {
    /// The probability that random neurons do at least as much harm: (1 + draws that are as bad or
    /// worse) / (1 + draws), which counts the neurons themselves as one of the draws. None without
    /// draws.
    pub fn p_value(&self) -> Option<f64> {
        if self.random.is_empty() {
            return None;
        }
        let after = self.metric.badness(self.after);
        let is_as_bad = |value: &&f64| self.metric.badness(**value) >= after;
        let num_as_bad = self.random.iter().filter(is_as_bad).count();
        Some((1 + num_as_bad) as f64 / (1 + self.random.len()) as f64)
    }

    /// Mean and standard deviation, of the population, over the draws; none without draws.
    pub fn random_mean_and_std(&self) -> Option<(f64, f64)> {
        if self.random.is_empty() {
            return None;
        }
        let n = self.random.len() as f64;
        let mean = self.random.iter().sum::<f64>() / n;
        let squares = self.random.iter().map(|value| (value - mean).powi(2));
        Some((mean, (squares.sum::<f64>() / n).sqrt()))
    }
}
