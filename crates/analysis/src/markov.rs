//! A hidden Markov model: stretches of a series in which it keeps to one behaviour.

use super::rows::Rows;

/// What is added to every sum of squares, as hmmlearn's `covars_prior` does: a state of a single
/// observation would else be infinitely likely.
const VARIANCE_PRIOR: f64 = 1e-2;

/// How much a step has to gain in log likelihood for another to follow, and how many there are at
/// most.
const TOLERANCE: f64 = 1e-6;
const MAX_STEPS: usize = 500;

/// A hidden Markov model whose states' observations are normally distributed, with a variance a
/// column.
#[derive(Debug, Clone)]
pub struct HiddenMarkov {
    /// The logarithms of the probabilities to begin in a state.
    start: Vec<f64>,
    /// Those to go from a state, a row, to another.
    transitions: Vec<Vec<f64>>,
    means: Vec<Vec<f64>>,
    variances: Vec<Vec<f64>>,
}

/// What a model says of a series.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The likeliest sequence of states (Viterbi, 1967), numbered in the order in which they come.
    pub states: Vec<usize>,
    /// How likely each observation's state is, given the whole series.
    pub probabilities: Vec<f64>,
    /// That of the whole series.
    pub log_likelihood: f64,
}

impl HiddenMarkov {
    /// Fits a model by expectation and maximization (Baum, Petrie, Soules and Weiss, 1970). It begins
    /// with the series cut into as many stretches of about the same length, so that nothing is left
    /// to chance. There have to be at least as many observations as states.
    pub fn fit(series: &Rows, num_states: usize) -> Self {
        let mut model = Self::begin(series, num_states);
        let mut before = f64::NEG_INFINITY;
        for _ in 0..MAX_STEPS {
            let log_likelihood = model.improve(series);
            if log_likelihood - before < TOLERANCE {
                break;
            }
            before = log_likelihood;
        }
        model
    }

    /// At most how many bytes it takes to fit a model of so many states to so many observations, and to
    /// decode them.
    pub fn num_bytes_of(num_observations: usize, num_states: usize) -> usize {
        // A number an observation and state: densities, both ways, weights, and who came from where.
        let of_states = num_states.saturating_mul(size_of::<f64>());
        let of_observation = of_states.saturating_add(size_of::<Vec<f64>>());
        let of_observations = num_observations
            .saturating_mul(of_observation)
            .saturating_mul(5);
        let transitions = of_states.saturating_mul(num_states).saturating_mul(2);
        of_observations.saturating_add(transitions)
    }

    fn begin(series: &Rows, num_states: usize) -> Self {
        let num_columns = series.num_columns();
        let stretch = |state: usize| {
            state * series.len() / num_states..(state + 1) * series.len() / num_states
        };
        let mean_of = |range: std::ops::Range<usize>, of: &dyn Fn(usize) -> f64| {
            let length = range.len() as f64;
            range.map(of).sum::<f64>() / length
        };
        let column = |column: usize, range| mean_of(range, &|row| series.row(row)[column]);
        let overall: Vec<f64> = (0..num_columns)
            .map(|c| column(c, 0..series.len()))
            .collect();
        let spread = |c: usize| {
            mean_of(0..series.len(), &|row| {
                (series.row(row)[c] - overall[c]).powi(2)
            })
        };
        let variances: Vec<f64> = (0..num_columns)
            .map(|c| spread(c) + VARIANCE_PRIOR)
            .collect();
        let equal = -(num_states as f64).ln();
        Self {
            start: vec![equal; num_states],
            transitions: vec![vec![equal; num_states]; num_states],
            means: (0..num_states)
                .map(|state| {
                    (0..num_columns)
                        .map(|c| column(c, stretch(state)))
                        .collect()
                })
                .collect(),
            variances: vec![variances; num_states],
        }
    }

    fn num_states(&self) -> usize {
        self.start.len()
    }

    /// How many numbers the model has that could be others.
    pub fn num_parameters(&self) -> usize {
        let states = self.num_states();
        let num_columns = self.means.first().map_or(0, Vec::len);
        states - 1 + states * (states - 1) + 2 * states * num_columns
    }

    /// Of each observation the log density in each state.
    fn densities(&self, series: &Rows) -> Vec<Vec<f64>> {
        let density = |row: &[f64], state: usize| {
            let parameters = self.means[state].iter().zip(&self.variances[state]);
            let terms = row.iter().zip(parameters).map(|(x, (mean, variance))| {
                (std::f64::consts::TAU * variance).ln() + (x - mean).powi(2) / variance
            });
            -0.5 * terms.sum::<f64>()
        };
        (0..series.len())
            .map(|at| {
                (0..self.num_states())
                    .map(|state| density(series.row(at), state))
                    .collect()
            })
            .collect()
    }

    /// Log probabilities of what was observed up to each observation, ending in each state.
    fn forward(&self, densities: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let states = || 0..self.num_states();
        let mut forward: Vec<Vec<f64>> = Vec::with_capacity(densities.len());
        for densities in densities {
            let next = match forward.last() {
                None => states().map(|to| self.start[to] + densities[to]).collect(),
                Some(before) => states()
                    .map(|to| {
                        let ways = states().map(|from| before[from] + self.transitions[from][to]);
                        log_sum(ways) + densities[to]
                    })
                    .collect(),
            };
            forward.push(next);
        }
        forward
    }

    /// Log probabilities of what is observed after each observation, given its state.
    fn backward(&self, densities: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let states = || 0..self.num_states();
        let mut backward = vec![vec![0.0; self.num_states()]; densities.len()];
        for at in (1..densities.len()).rev() {
            backward[at - 1] = states()
                .map(|from| {
                    log_sum(states().map(|to| {
                        self.transitions[from][to] + densities[at][to] + backward[at][to]
                    }))
                })
                .collect();
        }
        backward
    }

    /// A step; returns the log likelihood that the model had before it.
    fn improve(&mut self, series: &Rows) -> f64 {
        let num_states = self.num_states();
        let densities = self.densities(series);
        let forward = self.forward(&densities);
        let backward = self.backward(&densities);
        let Some(last) = forward.last() else {
            return f64::NEG_INFINITY;
        };
        let log_likelihood = log_sum(last.iter().copied());
        let weight = |at: usize, state: usize| {
            (forward[at][state] + backward[at][state] - log_likelihood).exp()
        };
        let weights: Vec<Vec<f64>> = (0..series.len())
            .map(|at| (0..num_states).map(|state| weight(at, state)).collect())
            .collect();

        let start = normalized(weights[0].clone());
        let transitions: Vec<Vec<f64>> = (0..num_states)
            .map(|from| {
                let expected = |to: usize| {
                    let moves = (1..series.len()).map(|at| {
                        forward[at - 1][from]
                            + self.transitions[from][to]
                            + densities[at][to]
                            + backward[at][to]
                    });
                    (log_sum(moves) - log_likelihood).exp()
                };
                normalized((0..num_states).map(expected).collect())
            })
            .collect();
        for state in 0..num_states {
            let total: f64 = weights.iter().map(|w| w[state]).sum();
            // A state that nothing is in keeps what it had.
            if total <= 0.0 {
                continue;
            }
            for column in 0..series.num_columns() {
                let weighted = |of: &dyn Fn(f64) -> f64| {
                    let terms = weights.iter().enumerate();
                    terms
                        .map(|(at, w)| w[state] * of(series.row(at)[column]))
                        .sum::<f64>()
                };
                let mean = weighted(&|x| x) / total;
                let squares = weighted(&|x| (x - mean).powi(2));
                self.means[state][column] = mean;
                self.variances[state][column] = (VARIANCE_PRIOR + squares) / total.max(1e-5);
            }
        }
        self.start = start.into_iter().map(f64::ln).collect();
        self.transitions = transitions
            .into_iter()
            .map(|row| row.into_iter().map(f64::ln).collect())
            .collect();
        log_likelihood
    }

    /// The likeliest states of a series.
    pub fn decode(&self, series: &Rows) -> Decoded {
        let densities = self.densities(series);
        let forward = self.forward(&densities);
        let backward = self.backward(&densities);
        let log_likelihood = forward
            .last()
            .map_or(0.0, |last| log_sum(last.iter().copied()));
        let path = self.likeliest(&densities);
        let probabilities = path
            .iter()
            .enumerate()
            .map(|(at, &state)| (forward[at][state] + backward[at][state] - log_likelihood).exp())
            // Of sums of logarithms the last bits are rounding.
            .map(|probability| probability.min(1.0));
        Decoded {
            probabilities: probabilities.collect(),
            states: in_order_of_appearance(&path),
            log_likelihood,
        }
    }

    fn likeliest(&self, densities: &[Vec<f64>]) -> Vec<usize> {
        let num_states = self.num_states();
        let mut best: Vec<f64> = Vec::new();
        let mut from: Vec<Vec<usize>> = Vec::new();
        for densities in densities {
            if best.is_empty() {
                best = (0..num_states)
                    .map(|state| self.start[state] + densities[state])
                    .collect();
                continue;
            }
            let into = |to: usize| {
                let ways = (0..num_states).map(|from| best[from] + self.transitions[from][to]);
                let ways: Vec<f64> = ways.collect();
                let (place, way) = largest(&ways);
                (place, way + densities[to])
            };
            let (places, ways): (Vec<usize>, Vec<f64>) = (0..num_states).map(into).unzip();
            best = ways;
            from.push(places);
        }
        let mut path = Vec::with_capacity(densities.len());
        if !best.is_empty() {
            path.push(largest(&best).0);
        }
        for places in from.iter().rev() {
            path.push(places[path[path.len() - 1]]);
        }
        path.reverse();
        path
    }
}

/// The first of the largest, and where it is.
fn largest(values: &[f64]) -> (usize, f64) {
    let pairs = values.iter().copied().enumerate();
    pairs.fold((0, f64::NEG_INFINITY), |best, next| match next.1 > best.1 {
        true => next,
        false => best,
    })
}

/// The logarithm of the sum of numbers, by their logarithms.
fn log_sum(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + logs.map(|log| (log - largest).exp()).sum::<f64>().ln()
}

/// Numbers that sum up to 1, in the proportions of others; all 0 where those are.
fn normalized(mut values: Vec<f64>) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    if sum > 0.0 {
        values.iter_mut().for_each(|value| *value /= sum);
    }
    values
}

fn in_order_of_appearance(path: &[usize]) -> Vec<usize> {
    let mut seen = Vec::new();
    path.iter()
        .map(|state| match seen.iter().position(|known| known == state) {
            Some(number) => number,
            None => {
                seen.push(*state);
                seen.len() - 1
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
