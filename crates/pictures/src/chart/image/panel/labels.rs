//! Where labels of points go, so that they meet neither points nor each other.

use crate::chart::image::text::text_width;

/// Of labels.
pub(super) const LABEL_SIZE: u32 = 11;

/// A rectangle of a picture, in pixels from its top left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    fn meets(&self, other: &Area) -> bool {
        let across = self.left < other.right && other.left < self.right;
        across && self.top < other.bottom && other.top < self.bottom
    }

    /// Whether a line goes through it (Liang and Barsky, 1984).
    fn is_crossed_by(&self, [from, to]: [(f64, f64); 2]) -> bool {
        let (across, down) = (to.0 - from.0, to.1 - from.1);
        let sides = [
            (-across, from.0 - self.left),
            (across, self.right - from.0),
            (-down, from.1 - self.top),
            (down, self.bottom - from.1),
        ];
        let (mut enters, mut leaves) = (0.0_f64, 1.0_f64);
        for (direction, distance) in sides {
            if direction < 0.0 {
                enters = enters.max(distance / direction);
            } else if direction > 0.0 {
                leaves = leaves.min(distance / direction);
            } else if distance < 0.0 {
                return false;
            }
        }
        enters <= leaves
    }

    fn holds(&self, other: &Area) -> bool {
        let across = self.left <= other.left && other.right <= self.right;
        across && self.top <= other.top && other.bottom <= self.bottom
    }
}

/// A point with a label, or another that labels keep away from, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark<'a> {
    pub(super) x: f64,
    pub(super) y: f64,
    /// What a line through it reaches from and to.
    pub(super) reach: [f64; 2],
    pub(super) label: Option<&'a str>,
}

impl Mark<'_> {
    fn is_met_by(&self, area: &Area, radius: f64) -> bool {
        let around = |[from, to]: [f64; 2], half: f64| Area {
            left: from,
            top: self.y - half,
            right: to,
            bottom: self.y + half,
        };
        let point = around([self.x - radius, self.x + radius], radius);
        area.meets(&point) || area.meets(&around(self.reach, 1.0))
    }
}

/// A label where there is room for it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Label<'a> {
    pub(super) area: Area,
    pub(super) text: &'a str,
    /// The line from the point to a label that is not beside it.
    pub(super) leader: Option<[(f64, f64); 2]>,
}

/// So many labels may stand at some distance, with lines to their points.
const MAX_LEADERS: usize = 24;

/// How far such a label is, in pixels.
const LEADER_LENGTHS: [f64; 3] = [14.0, 26.0, 40.0];

/// Where labels of points go: beside, above or below them, where no point and no other label is, and if
/// they are few, farther away with a line to the point. What has no such place is left out.
pub(super) fn labels<'a>(marks: &[Mark<'a>], radius: f64, plot: Area) -> Vec<Label<'a>> {
    let num_labels = marks.iter().filter(|mark| mark.label.is_some()).count();
    let leaders: &[f64] = match num_labels <= MAX_LEADERS {
        true => &LEADER_LENGTHS,
        false => &[],
    };
    let mut placed: Vec<Label<'a>> = Vec::new();
    for mark in marks {
        let Some(text) = mark.label else { continue };
        let near = places(mark, text, radius + 2.0).map(|area| (area, false));
        let far = leaders.iter().flat_map(|length| {
            let places = places(mark, text, radius + length);
            places.map(|area| (area, true))
        });
        let leader = |area: &Area| {
            let x = mark.x.clamp(area.left, area.right);
            let y = mark.y.clamp(area.top, area.bottom);
            [(mark.x, mark.y), (x, y)]
        };
        let free = |(area, is_far): &(Area, bool)| {
            let of_others = |other: &Label<'_>| {
                area.meets(&other.area)
                    || other.leader.is_some_and(|line| area.is_crossed_by(line))
                    || (*is_far && other.area.is_crossed_by(leader(area)))
            };
            plot.holds(area)
                && !placed.iter().any(of_others)
                && marks.iter().all(|mark| !mark.is_met_by(area, radius))
        };
        if let Some((area, is_far)) = near.into_iter().chain(far).find(free) {
            placed.push(Label {
                area,
                text,
                leader: is_far.then(|| leader(&area)),
            });
        }
    }
    placed
}

/// The areas that a label may take: at some distance to each side, then at as much across.
fn places(mark: &Mark<'_>, text: &str, gap: f64) -> [Area; 8] {
    let (x, y) = (mark.x, mark.y);
    let (width, height) = (text_width(text, LABEL_SIZE), f64::from(LABEL_SIZE) + 3.0);
    let at = |left: f64, top: f64| Area {
        left,
        top,
        right: left + width,
        bottom: top + height,
    };
    let slant = std::f64::consts::FRAC_1_SQRT_2 * gap;
    [
        at(x + gap, y - height / 2.0),
        at(x - gap - width, y - height / 2.0),
        at(x - width / 2.0, y - gap - height),
        at(x - width / 2.0, y + gap),
        at(x + slant, y - slant - height),
        at(x + slant, y + slant),
        at(x - slant - width, y - slant - height),
        at(x - slant - width, y + slant),
    ]
}

#[cfg(test)]
mod tests;
