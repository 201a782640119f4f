//! The strongest chains of weights through a network.
//!
//! A chain's strength is the product of the amounts of its weights. That of a chain which goes on is
//! the product of its beginning's and one more weight, so the `top` strongest chains into a neuron
//! are among those that begin with one of the `top` strongest into a neuron before it: what is found
//! is exact. Products are compared as sums of logarithms, which do not vanish in a deep network.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// Where a weight comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// An input of the network.
    Input(i32),
    /// A neuron.
    Neuron(i32),
}

/// The origins of a layer's weights, each once.
#[derive(Debug)]
pub(crate) struct Origins {
    origins: Vec<Origin>,
    /// Of each position the place of its origin; none where it is not known.
    places: Vec<Option<u32>>,
}

impl Origins {
    /// Those of the positions of a layer's rows.
    pub(crate) fn new(positions: impl Iterator<Item = Option<Origin>>) -> Self {
        let mut known: HashMap<Origin, u32> = HashMap::new();
        let mut origins = Vec::new();
        let places = positions.map(|origin| {
            let origin = origin?;
            let next = origins.len() as u32;
            let place = *known.entry(origin).or_insert(next);
            if place == next {
                origins.push(origin);
            }
            Some(place)
        });
        let places = places.collect();
        Self { origins, places }
    }
}

/// The last weight of a chain, and the chain that it prolongs.
#[derive(Debug, Clone, Copy)]
struct Link {
    /// Sum of the logarithms of the amounts of all weights.
    log: f64,
    weight: f32,
    from: Origin,
    /// Which of the chains into `from`.
    rank: u32,
}

/// The strongest chains from the inputs to every neuron so far.
#[derive(Debug)]
pub(crate) struct Chains {
    top: usize,
    into: HashMap<i32, Vec<Link>>,
    num_links: usize,
}

/// A chain from an input to a neuron.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chain {
    /// Product of the amounts of its weights.
    pub(crate) strength: f64,
    /// Whether that of the weights themselves is negative.
    pub(crate) is_negative: bool,
    /// The input that it begins at.
    pub(crate) input: i32,
    /// The neurons that it leads through, and to, in that order.
    pub(crate) neurons: Vec<i32>,
}

/// A chain that might be one of the strongest: the greatest is.
struct Candidate {
    log: f64,
    place: usize,
    rank: u32,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        // Of equal ones the first of the topology.
        let by_strength = self.log.total_cmp(&other.log);
        by_strength.then_with(|| (other.place, other.rank).cmp(&(self.place, self.rank)))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl Chains {
    /// For the `top` strongest into each neuron.
    pub(crate) fn new(top: usize) -> Self {
        Self {
            top,
            into: HashMap::new(),
            num_links: 0,
        }
    }

    /// Adds a neuron after all those that it sees. Of several weights from the same origin, as a
    /// convolution's kernel has them, the one of the largest amount counts; a weight that is 0 or
    /// not finite carries nothing.
    pub(crate) fn push(&mut self, neuron: i32, origins: &Origins, weights: &[f32]) {
        let mut strongest = vec![0f32; origins.origins.len()];
        for (place, &weight) in origins.places.iter().zip(weights) {
            if let Some(place) = place
                && weight.is_finite()
                && weight.abs() > strongest[*place as usize].abs()
            {
                strongest[*place as usize] = weight;
            }
        }
        let candidate = |place: usize, rank: u32| {
            let weight = strongest[place];
            if weight == 0.0 {
                return None;
            }
            let before = match (origins.origins[place], rank) {
                (Origin::Input(_), 0) => 0.0,
                (Origin::Input(_), _) => return None,
                (Origin::Neuron(from), rank) => self.into.get(&from)?.get(rank as usize)?.log,
            };
            let log = before + f64::from(weight.abs()).ln();
            Some(Candidate { log, place, rank })
        };
        // The next of each origin's, which come strongest first.
        let first = (0..strongest.len()).filter_map(|place| candidate(place, 0));
        let mut next: BinaryHeap<Candidate> = first.collect();
        let mut links = Vec::new();
        while links.len() < self.top
            && let Some(best) = next.pop()
        {
            links.push(Link {
                log: best.log,
                weight: strongest[best.place],
                from: origins.origins[best.place],
                rank: best.rank,
            });
            next.extend(candidate(best.place, best.rank + 1));
        }
        if !links.is_empty() {
            self.num_links += links.len();
            self.into.insert(neuron, links);
        }
    }

    /// The `top` strongest chains to any of `ends`, strongest first.
    pub(crate) fn strongest(&self, ends: impl Iterator<Item = i32>) -> Vec<Chain> {
        let mut ends: Vec<(f64, i32, u32)> = ends
            .flat_map(|neuron| {
                let links = self.into.get(&neuron).into_iter().flatten();
                links
                    .zip(0..)
                    .map(move |(link, rank)| (link.log, neuron, rank))
            })
            .collect();
        ends.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        ends.truncate(self.top);
        let chains = ends.into_iter();
        chains
            .map(|(_, neuron, rank)| self.chain(neuron, rank))
            .collect()
    }

    fn chain(&self, end: i32, rank: u32) -> Chain {
        let mut chain = Chain {
            strength: 1.0,
            is_negative: false,
            input: 0,
            neurons: Vec::new(),
        };
        let mut at = (Origin::Neuron(end), rank);
        while let (Origin::Neuron(neuron), rank) = at {
            let link = self.into[&neuron][rank as usize];
            chain.neurons.push(neuron);
            chain.strength *= f64::from(link.weight.abs());
            chain.is_negative ^= link.weight < 0.0;
            at = (link.from, link.rank);
        }
        if let Origin::Input(input) = at.0 {
            chain.input = input;
        }
        chain.neurons.reverse();
        chain
    }

    /// How much memory the chains take.
    pub(crate) fn num_bytes(&self) -> usize {
        self.num_links * size_of::<Link>() + self.into.len() * size_of::<(i32, Vec<Link>)>()
    }
}

#[cfg(test)]
mod tests;
