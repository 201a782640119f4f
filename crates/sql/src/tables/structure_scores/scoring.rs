//! The neurons of a capture, scored as they are read.

use std::collections::HashSet;
use std::sync::Arc;

use analysis::{Bootstrap, Candidates, Membership, NullMaxima, Scorer, Scores};
use datafusion::common::Result;

use super::StructureScores;
use super::rows::{Scored, by_rank};
use crate::exec::budget::{Budget, reserve};
use crate::run::snapshot::SharedSnapshot;
use crate::tables::findings::Wanted;
use crate::tables::held_out::{Capture, HeldOutLists, HeldOutReader, Predictions, check_len};

/// What is worked out of a neuron, since a column says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needed {
    pub(super) scores: bool,
    pub(super) permutations: u32,
    pub(super) bootstraps: u32,
}

impl Needed {
    pub(super) fn of(asked: &StructureScores, wanted: &Wanted) -> Self {
        let (p_values, stability) = (wanted.any(&["p_value"]), wanted.any(&["stability"]));
        let measures = ["score", "rank", "correlation", "mutual_information", "auc"];
        Self {
            scores: p_values || stability || wanted.any(&measures),
            permutations: if p_values { asked.permutations } else { 0 },
            bootstraps: if stability { asked.bootstraps } else { 0 },
        }
    }
}

/// Scores all neurons of a capture, as far as it is needed.
pub(super) fn score(
    asked: &StructureScores,
    needed: Needed,
    snapshot: &SharedSnapshot,
    capture: &Capture,
    budget: &Budget,
) -> Result<Scored> {
    let reader = HeldOutReader::try_new(snapshot, budget)?;
    let predictions = reader.predictions(capture, asked.half, asked.seed)?;
    let num_neurons = capture.num_neurons(snapshot.topology());
    let begin =
        |list_len| Scoring::new(asked, needed, &predictions, (num_neurons, list_len), budget);
    let mut scoring: Option<Scoring> = None;
    for lists in reader.activations(capture) {
        let (layer, lists) = lists?;
        let Some((_, first)) = lists.iter().next() else {
            continue;
        };
        let list_len = first.len();
        let scoring = match &mut scoring {
            Some(scoring) => scoring,
            none => none.insert(begin(list_len)?),
        };
        scoring.take(layer, &lists)?;
    }
    let scoring = match scoring {
        Some(scoring) => scoring,
        None => begin(0)?,
    };
    scoring.finish(snapshot)
}

struct Scoring<'a> {
    asked: &'a StructureScores,
    needed: Needed,
    budget: &'a Budget,
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
    /// Begins with a capture of at most so many neurons, whose lists are of a length.
    fn new(
        asked: &'a StructureScores,
        needed: Needed,
        predictions: &Predictions,
        (num_neurons, list_len): (usize, usize),
        budget: &'a Budget,
    ) -> Result<Self> {
        // Of a large held-out set, the first samples alone have activations.
        let num_known = list_len.min(predictions.classes.len());
        let classes = &predictions.classes[..num_known];
        let memory = &budget.memory;
        let num_classes = predictions.num_classes;
        memory.try_grow(Membership::num_bytes_of(num_known, num_classes))?;
        let membership = Membership::new(classes, num_classes);

        let num_permutations = needed.permutations as usize;
        memory.try_grow(NullMaxima::num_bytes_of(num_permutations))?;
        let maxima = NullMaxima::new(asked.measure, num_permutations, asked.seed);
        budget.count("permutations", num_permutations);

        let (num_draws, size) = (needed.bootstraps as usize, asked.size as usize);
        let kept = size.min(num_neurons);
        memory.try_grow(Bootstrap::num_bytes_of(&membership, num_draws, kept))?;
        let bootstrap = Bootstrap::new(&membership, asked.measure, num_draws, size, asked.seed);
        budget.count("draws", num_draws);
        Ok(Self {
            asked,
            needed,
            budget,
            membership,
            list_len,
            seen: HashSet::new(),
            neurons: Vec::new(),
            scores: Vec::new(),
            maxima,
            bootstrap,
        })
    }

    fn take(&mut self, layer: usize, lists: &HeldOutLists) -> Result<()> {
        let (measure, num_samples) = (self.asked.measure, self.membership.num_samples());
        let memory = &self.budget.memory;
        // A set of numbers has room for up to twice as many as there are, at five bytes each.
        memory.try_grow(lists.len() * 4 * size_of::<i32>())?;
        reserve(&mut self.neurons, lists.len(), memory)?;
        let num_scores = match self.needed.scores {
            true => lists.len().saturating_mul(self.membership.num_classes()),
            false => 0,
        };
        reserve(&mut self.scores, num_scores, memory)?;

        let scratch = self.budget.scratch();
        scratch.try_grow(lists.num_bytes())?;
        scratch.try_grow(lists.len() * size_of::<(u32, &[f32])>())?;
        if self.needed.scores {
            scratch.try_grow(Scorer::num_bytes_of(&self.membership))?;
        }
        if self.needed.permutations > 0 {
            scratch.try_grow(Candidates::num_bytes_of(measure, num_samples, lists.len()))?;
        }

        let mut scorer = self.needed.scores.then(|| Scorer::new(&self.membership));
        let mut candidates = Candidates::new(measure, num_samples);
        let mut drawn = Vec::with_capacity(lists.len());
        for (neuron, list) in lists.iter() {
            // Of a neuron that several ranks recorded, one is enough.
            if !self.seen.insert(neuron) {
                continue;
            }
            check_len(neuron, list.len(), self.list_len)?;
            drawn.push((self.neurons.len() as u32, list));
            self.neurons.push((layer, neuron));
            let Some(scorer) = &mut scorer else { continue };
            self.scores.extend_from_slice(scorer.score(list));
            if self.needed.permutations > 0 {
                candidates.push(scorer);
            }
        }
        if self.needed.scores {
            self.budget.count("neurons_scored", drawn.len());
        }
        if self.needed.permutations > 0 {
            let scratch = self.budget.scratch();
            let each = NullMaxima::num_bytes_of_thread(&self.membership);
            let num_threads =
                self.budget
                    .threads(&scratch, self.needed.permutations as usize, each)?;
            self.maxima.add(&self.membership, &candidates, num_threads);
        }
        if self.needed.bootstraps > 0 {
            let scratch = self.budget.scratch();
            let each = Bootstrap::num_bytes_of_thread(&self.membership);
            let most = self.needed.bootstraps as usize;
            let num_threads = self.budget.threads(&scratch, most, each)?;
            self.bootstrap.add(&drawn, num_threads);
        }
        Ok(())
    }

    fn finish(self, snapshot: &SharedSnapshot) -> Result<Scored> {
        let (num_classes, num_neurons) = (self.membership.num_classes(), self.neurons.len());
        let ranking = match self.needed.scores {
            true => Some(by_rank(
                &self.scores,
                self.asked.measure,
                num_classes,
                num_neurons,
                self.budget,
            )?),
            false => None,
        };
        Ok(Scored {
            snapshot: Arc::clone(snapshot),
            measure: self.asked.measure,
            neurons: self.neurons,
            scores: self.scores,
            counts: self.membership.counts().to_vec(),
            num_samples: self.membership.num_samples(),
            p_values: self.maxima.p_values(),
            bootstrap: self.bootstrap,
            ranking,
        })
    }
}
