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
pub enum Origin {
    /// An input of the network.
    Input(i32),
    /// A neuron.
    Neuron(i32),
}

/// The origins of a layer's weights, each once.
#[derive(Debug)]
pub struct Origins {
    origins: Vec<Origin>,
    /// Of each position the place of its origin; none where it is not known.
    places: Vec<Option<u32>>,
}

impl Origins {
    /// Those of the positions of a layer's rows.
    pub fn new(positions: impl Iterator<Item = Option<Origin>>) -> Self {
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
pub struct Chains {
    top: usize,
    into: HashMap<i32, Vec<Link>>,
}

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// The neuron that it leads to.
    pub neuron: i32,
    /// Which of the chains into the neuron.
    rank: u32,
}

/// A chain from an input to a neuron.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// Product of the amounts of its weights.
    pub strength: f64,
    /// Whether that of the weights themselves is negative.
    pub is_negative: bool,
    /// The input that it begins at.
    pub input: i32,
    /// The neurons that it leads through, and to, in that order.
    pub neurons: Vec<i32>,
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
    pub fn new(top: usize) -> Self {
        Self {
            top,
            into: HashMap::new(),
        }
    }

    /// At most how many bytes [`push`](Self::push) takes of a neuron with these origins, beside the
    /// chains that it keeps.
    pub fn num_bytes_of_push(origins: &Origins) -> usize {
        let of_origin = size_of::<f32>() + size_of::<Candidate>();
        origins.origins.len().saturating_mul(of_origin)
    }

    /// At most how many bytes the chains into a neuron with these origins take: it has at most so many.
    pub fn num_bytes_into(&self, origins: &Origins) -> usize {
        let place = 3 * size_of::<(i32, Vec<Link>)>();
        let links = self.num_links_into(origins);
        links
            .saturating_mul(size_of::<Link>())
            .saturating_add(place)
    }

    /// At most how many chains lead into a neuron with these origins.
    fn num_links_into(&self, origins: &Origins) -> usize {
        let through = |origin: &Origin| match origin {
            Origin::Input(_) => 1,
            Origin::Neuron(neuron) => self.into.get(neuron).map_or(0, Vec::len),
        };
        let all = origins.origins.iter().map(through);
        all.fold(0, usize::saturating_add).min(self.top)
    }

    /// Adds a neuron after all those that it sees. Of several weights from the same origin, as a
    /// convolution's kernel has them, the one of the largest amount counts; a weight that is 0 or
    /// not finite carries nothing.
    pub fn push(&mut self, neuron: i32, origins: &Origins, weights: &[f32]) {
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
        let mut next: BinaryHeap<Candidate> = BinaryHeap::with_capacity(strongest.len());
        next.extend(first);
        let mut links = Vec::with_capacity(self.num_links_into(origins));
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
            self.into.insert(neuron, links);
        }
    }

    /// At most how many bytes [`strongest`](Self::strongest) takes.
    pub fn num_bytes_of_strongest(&self, ends: impl Iterator<Item = i32>) -> usize {
        let links = ends.map(|neuron| self.into.get(&neuron).map_or(0, Vec::len));
        let links = links.fold(0, usize::saturating_add);
        links.saturating_mul(size_of::<(f64, End)>() + size_of::<End>())
    }

    /// The ends of the `top` strongest chains to any of `ends`, strongest first.
    pub fn strongest(&self, ends: impl Iterator<Item = i32> + Clone) -> Vec<End> {
        let links_into = |neuron: i32| self.into.get(&neuron).into_iter().flatten();
        let num_links = ends.clone().map(|neuron| links_into(neuron).count()).sum();
        let mut found: Vec<(f64, End)> = Vec::with_capacity(num_links);
        found.extend(ends.flat_map(|neuron| {
            let links = links_into(neuron).zip(0..);
            links.map(move |(link, rank)| (link.log, End { neuron, rank }))
        }));
        // No two ends are the same.
        found.sort_unstable_by(|(a, first), (b, second)| {
            b.total_cmp(a).then_with(|| first.cmp(second))
        });
        found.truncate(self.top);
        let mut strongest = Vec::with_capacity(found.len());
        strongest.extend(found.into_iter().map(|(_, end)| end));
        strongest
    }

    /// The chain to an end.
    pub fn chain(&self, end: End) -> Chain {
        let mut chain = Chain {
            strength: 1.0,
            is_negative: false,
            input: 0,
            neurons: Vec::new(),
        };
        let mut at = (Origin::Neuron(end.neuron), end.rank);
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
}

#[cfg(test)]
mod tests;
