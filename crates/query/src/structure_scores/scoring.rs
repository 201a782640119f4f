//! The neurons of a capture, scored as they are read.

use std::collections::HashSet;

use datafusion::common::{Result, exec_err};

use super::StructureScores;
use crate::analysis::{Bootstrap, Candidates, Membership, NullMaxima, PValues, Scorer, Scores};
use crate::held_out::{Capture, HeldOutLists, HeldOutReader, Predictions, Room};
use crate::snapshot::Snapshot;

/// The neurons of a capture with their scores.
pub(super) struct Scored {
    /// After the place of its layer in the topology.
    pub(super) neurons: Vec<(usize, i32)>,
    /// By neuron and class, a neuron's classes in a row.
    pub(super) scores: Vec<Option<Scores>>,
    /// How many samples each class has.
    pub(super) counts: Vec<u32>,
    pub(super) num_samples: usize,
    pub(super) p_values: PValues,
    /// Of neurons by their place.
    pub(super) bootstrap: Bootstrap,
}

/// Scores all neurons of a capture.
pub(super) fn score(
    asked: &StructureScores,
    snapshot: &Snapshot,
    capture: &Capture,
    room: &Room,
) -> Result<Scored> {
    let reader = HeldOutReader::try_new(snapshot, room.batch_rows)?;
    let predictions = reader.predictions(capture, asked.half, asked.seed)?;
    let mut scoring: Option<Scoring> = None;
    for lists in reader.activations(capture) {
        let (layer, lists) = lists?;
        let Some((_, first)) = lists.iter().next() else {
            continue;
        };
        let list_len = first.len();
        let scoring = scoring.get_or_insert_with(|| Scoring::new(asked, &predictions, list_len));
        scoring.take(layer, &lists, room)?;
    }
    let scoring = scoring.unwrap_or_else(|| Scoring::new(asked, &predictions, 0));
    Ok(scoring.finish())
}

struct Scoring<'a> {
    asked: &'a StructureScores,
    membership: Membership,
    /// Length of a neuron's list.
    list_len: usize,
    seen: HashSet<i32>,
    neurons: Vec<(usize, i32)>,
    scores: Vec<Option<Scores>>,
    maxima: NullMaxima,
    bootstrap: Bootstrap,
}

impl<'a> Scoring<'a> {
    fn new(asked: &'a StructureScores, predictions: &Predictions, list_len: usize) -> Self {
        // Of a large held-out set, the first samples alone have activations.
        let num_known = list_len.min(predictions.classes.len());
        let classes = &predictions.classes[..num_known];
        let membership = Membership::new(classes, predictions.num_classes);
        let num_permutations = asked.permutations as usize;
        let num_draws = asked.bootstraps as usize;
        let size = asked.size as usize;
        Self {
            asked,
            bootstrap: Bootstrap::new(&membership, asked.measure, num_draws, size, asked.seed),
            membership,
            list_len,
            seen: HashSet::new(),
            neurons: Vec::new(),
            scores: Vec::new(),
            maxima: NullMaxima::new(asked.measure, num_permutations, asked.seed),
        }
    }

    fn take(&mut self, layer: usize, lists: &HeldOutLists, room: &Room) -> Result<()> {
        room.memory.try_resize(self.bytes_with(lists))?;
        let mut scorer = Scorer::new(&self.membership);
        let num_samples = self.membership.num_samples();
        let mut candidates = Candidates::new(self.asked.measure, num_samples);
        let mut drawn = Vec::new();
        for (neuron, list) in lists.iter() {
            // Of a neuron that several ranks recorded, one is enough.
            if !self.seen.insert(neuron) {
                continue;
            }
            if list.len() != self.list_len {
                return exec_err!(
                    "neuron {neuron} has {} activations, others of its capture have {}",
                    list.len(),
                    self.list_len
                );
            }
            drawn.push((self.neurons.len() as u32, list));
            self.neurons.push((layer, neuron));
            self.scores.extend_from_slice(scorer.score(list));
            if self.asked.permutations > 0 {
                candidates.push(&scorer);
            }
        }
        self.maxima
            .add(&self.membership, &candidates, room.num_threads);
        self.bootstrap.add(&drawn, room.num_threads);
        Ok(())
    }

    /// What is held once the neurons of `lists` are scored, their lists included.
    fn bytes_with(&self, lists: &HeldOutLists) -> usize {
        let num_neurons = self.neurons.len() + lists.len();
        let scores = self.membership.num_classes() * size_of::<Option<Scores>>();
        let candidate = match self.asked.permutations {
            0 => 0,
            _ => Candidates::neuron_bytes(self.asked.measure, self.membership.num_samples()),
        };
        num_neurons * (scores + size_of::<(usize, i32)>())
            + lists.num_bytes()
            + self.bootstrap.num_bytes()
            + lists.len() * candidate
    }

    fn finish(self) -> Scored {
        Scored {
            neurons: self.neurons,
            scores: self.scores,
            counts: self.membership.counts().to_vec(),
            num_samples: self.membership.num_samples(),
            p_values: self.maxima.p_values(),
            bootstrap: self.bootstrap,
        }
    }
}
