//! Histograms of a capture: the workers that have a layer's values count them, and another job puts them together.

use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroU32;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sink::{Made, MakePart, Part};
use trace::{PartPath, Table};

use super::layers::NetworkLayers;
use super::place::Place;
use crate::histogram::Histogram;
use crate::rows::{self, RowKey};

/// None where no value is finite.
type Counted = Option<Histogram>;

/// What counts the values of a layer, where they are.
#[derive(Debug)]
pub(super) struct Counting {
    num_bins: NonZeroU32,
    counted: SyncSender<Counted>,
}

impl Counting {
    /// Counts. It does not wait.
    pub(super) fn count(self, values: &[f32]) {
        // Where nobody asks any more, the capture is given up.
        let _ = self.counted.send(Histogram::of(values, self.num_bins));
    }
}

/// What is being counted of a capture.
#[derive(Debug)]
pub(super) struct Histograms {
    /// None where no histograms are recorded.
    num_bins: Option<NonZeroU32>,
    /// By layer, of what.
    by_layer: BTreeMap<usize, Vec<(&'static str, Receiver<Counted>)>>,
}

impl Histograms {
    pub(super) fn new(num_bins: Option<NonZeroU32>) -> Self {
        Self {
            num_bins,
            by_layer: BTreeMap::new(),
        }
    }

    /// What is to count some values of a layer; none where they are not to be counted.
    pub(super) fn expect(&mut self, layer: usize, of: &'static str) -> Option<Counting> {
        let num_bins = self.num_bins?;
        let (counted, receiver) = sync_channel(1);
        let of_layer = self.by_layer.entry(layer).or_default();
        of_layer.push((of, receiver));
        Some(Counting { num_bins, counted })
    }

    /// A part a layer, each to be sent behind all that counts: what makes it waits for that.
    pub(super) fn parts(
        self,
        place: Place,
        layers: &NetworkLayers,
    ) -> impl Iterator<Item = HistogramsPart> {
        let num_bins = self.num_bins.map_or(0, NonZeroU32::get);
        self.by_layer.into_iter().map(move |(index, expected)| {
            let layer = &layers.topology().layers()[index];
            HistogramsPart {
                path: place.path(Table::Histograms, Some(layer), 0),
                key: place.key,
                num_bins,
                expected,
                counted: Vec::new(),
            }
        })
    }
}

/// The histograms of a layer, from those that count.
#[derive(Debug)]
pub(super) struct HistogramsPart {
    path: PartPath,
    key: RowKey,
    num_bins: u32,
    expected: Vec<(&'static str, Receiver<Counted>)>,
    counted: Vec<(&'static str, Histogram)>,
}

/// More than the rows of a layer hold beside their lists.
const PART_BYTES: u64 = 8 << 10;

impl MakePart for HistogramsPart {
    fn path(&self) -> &PartPath {
        &self.path
    }

    fn most_bytes(&self) -> u64 {
        // Edges and counts, and the columns of them, which grow as they are filled.
        let lists = u64::from(self.num_bins) * (4 + 8 + 8 + 8);
        let num_rows = (self.expected.len() + self.counted.len()) as u64;
        PART_BYTES + num_rows * lists
    }

    /// Workers take jobs in the order in which they were sent, and count before anything else: what is waited for
    /// is being done.
    fn wait(&mut self) {
        for (of, expected) in self.expected.drain(..) {
            // What had the values may have failed, or been given up. Then the capture is never whole, and whoever
            // failed says why: here is no reason of its own.
            if let Ok(Some(histogram)) = expected.recv() {
                self.counted.push((of, histogram));
            }
        }
    }

    fn make(mut self: Box<Self>) -> Result<Made, Box<dyn Error + Send + Sync>> {
        self.wait();
        let rows = rows::histograms(self.key, &self.counted);
        let path = self.path;
        Ok(Part { path, rows }.into())
    }
}
