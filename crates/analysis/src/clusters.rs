//! Hierarchical clustering, and how much there is to it.

use std::collections::HashMap;

use kodama::Method;

use super::distances::Distances;

/// How far two clusters are from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linkage {
    /// How much their union's sum of squares exceeds theirs (Ward, 1963).
    Ward,
    /// The mean distance of their points.
    Average,
    /// The largest.
    Complete,
    /// The smallest.
    Single,
}

impl Linkage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ward, Self::Average, Self::Complete, Self::Single];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ward => "ward",
            Self::Average => "average",
            Self::Complete => "complete",
            Self::Single => "single",
        }
    }

    fn method(self) -> Method {
        match self {
            Self::Ward => Method::Ward,
            Self::Average => Method::Average,
            Self::Complete => Method::Complete,
            Self::Single => Method::Single,
        }
    }
}

/// Two clusters that become one. Points are clusters 0 to n - 1, the cluster of the first merge is
/// n, of the second n + 1, ..., as in SciPy's linkage matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Merge {
    /// The one of the lower number.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// How far they are from each other.
    pub distance: f64,
    /// How many points the new cluster has.
    pub size: usize,
}

/// Points merged step by step, the nearest first, until they are one cluster.
#[derive(Debug, Clone)]
pub struct Dendrogram {
    num_points: usize,
    merges: Vec<Merge>,
}

impl Dendrogram {
    /// Merges points. Every distance has to be finite.
    pub fn of(distances: &Distances, linkage: Linkage) -> Self {
        let num_points = distances.num_points();
        let mut condensed = distances.condensed().to_vec();
        let steps = kodama::linkage(&mut condensed, num_points, linkage.method());
        let merges = steps.steps().iter().map(|step| Merge {
            first: step.cluster1,
            second: step.cluster2,
            distance: step.dissimilarity,
            size: step.size,
        });
        Self {
            num_points,
            merges: merges.collect(),
        }
    }

    /// The merges, in the order in which they were made.
    pub fn merges(&self) -> &[Merge] {
        &self.merges
    }

    /// The points in the order in which a dendrogram without crossings has its leaves, of two
    /// clusters the one of the lower number on the left.
    pub fn leaves(&self) -> Vec<usize> {
        let mut leaves = Vec::with_capacity(self.num_points);
        let mut open = match self.num_points {
            0 => Vec::new(),
            num_points => vec![num_points + self.merges.len() - 1],
        };
        while let Some(cluster) = open.pop() {
            match cluster.checked_sub(self.num_points) {
                None => leaves.push(cluster),
                Some(merge) => {
                    let merge = self.merges[merge];
                    open.extend([merge.second, merge.first]);
                }
            }
        }
        leaves
    }

    /// The cluster of every point once `num_clusters` are left: numbers from 0 on, in the order of
    /// the clusters' first points.
    pub fn cut(&self, num_clusters: usize) -> Vec<usize> {
        let num_merges = self.num_points.saturating_sub(num_clusters.max(1));
        // Who a cluster has become part of.
        let mut part_of: Vec<usize> = (0..self.num_points + self.merges.len()).collect();
        for (index, merge) in self.merges.iter().take(num_merges).enumerate() {
            part_of[merge.first] = self.num_points + index;
            part_of[merge.second] = self.num_points + index;
        }
        let mut numbers = HashMap::new();
        let number_of = |point: usize| {
            let mut cluster = point;
            while part_of[cluster] != cluster {
                cluster = part_of[cluster];
            }
            let next = numbers.len();
            *numbers.entry(cluster).or_insert(next)
        };
        (0..self.num_points).map(number_of).collect()
    }
}

/// How much nearer points are to their own cluster than to the next: the mean over all points of
/// (b - a) / max(a, b), with a the mean distance from the others of its own cluster and b the
/// smallest mean distance from those of another (Rousseeuw, 1987). Between -1 and 1; a point alone
/// counts 0. None unless there are 2 clusters and fewer than points.
pub fn silhouette(distances: &Distances, clusters: &[usize]) -> Option<f64> {
    let num_clusters = clusters.iter().max()? + 1;
    if num_clusters < 2 || num_clusters >= clusters.len() {
        return None;
    }
    let mut sizes = vec![0usize; num_clusters];
    clusters.iter().for_each(|&cluster| sizes[cluster] += 1);
    let of_point = |point: usize| {
        let own = clusters[point];
        if sizes[own] == 1 {
            return 0.0;
        }
        let mut sums = vec![0.0; num_clusters];
        for (other, &cluster) in clusters.iter().enumerate() {
            sums[cluster] += distances.between(point, other);
        }
        let within = sums[own] / (sizes[own] - 1) as f64;
        let others = (0..num_clusters).filter(|&cluster| cluster != own);
        let nearest = others
            .map(|cluster| sums[cluster] / sizes[cluster] as f64)
            .fold(f64::INFINITY, f64::min);
        match within.max(nearest) {
            0.0 => 0.0,
            larger => (nearest - within) / larger,
        }
    };
    let sum: f64 = (0..clusters.len()).map(of_point).sum();
    Some(sum / clusters.len() as f64)
}

#[cfg(test)]
mod tests;
