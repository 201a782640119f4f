//! Dashed lines for kuva's raster backend, which gives every dash round ends, so that they fill the gaps,
//! counts pixels of the file instead of the picture's, and begins a pattern anew at every point.

use kuva::render::render::{Primitive, Scene};

/// The scene with each dash as a line of its own.
pub(super) fn as_lines(mut scene: Scene) -> Scene {
    let elements = std::mem::take(&mut scene.elements);
    scene.elements = elements.into_iter().flat_map(split).collect();
    scene
}

fn split(element: Primitive) -> Vec<Primitive> {
    let (points, stroke, stroke_width, dashes) = match element {
        Primitive::PolyLine {
            points,
            stroke,
            stroke_width,
            stroke_dasharray: Some(dashes),
        } => (points, stroke, stroke_width, dashes),
        Primitive::Line {
            x1,
            y1,
            x2,
            y2,
            stroke,
            stroke_width,
            stroke_dasharray: Some(dashes),
        } => (vec![(x1, y1), (x2, y2)], stroke, stroke_width, dashes),
        other => return vec![other],
    };
    let lengths = dashes
        .split([' ', ','])
        .filter_map(|text| text.parse().ok());
    let lengths: Vec<f64> = lengths.filter(|length| *length > 0.0).collect();
    let pieces = pieces(&points, &lengths, stroke_width);
    let line = |points| Primitive::PolyLine {
        points,
        stroke: stroke.clone(),
        stroke_width,
        stroke_dasharray: None,
    };
    pieces.into_iter().map(line).collect()
}

/// The dashes of a line through points: drawn for the first length, left out for the second, and so on,
/// along all of it. Each is shorter by `ends`, half of it at either side, which its round ends take; at
/// least it is a dot.
fn pieces(points: &[(f64, f64)], lengths: &[f64], ends: f64) -> Vec<Vec<(f64, f64)>> {
    let total: f64 = points.windows(2).map(length).sum();
    if lengths.is_empty() {
        return vec![points.to_vec()];
    }
    let mut pieces = Vec::new();
    let mut from = 0.0;
    for (index, length) in lengths.iter().cycle().enumerate() {
        if from >= total {
            break;
        }
        let to = (from + length).min(total);
        if index % 2 == 0 {
            let cut = (ends / 2.0).min((to - from) / 2.0);
            pieces.push(between(points, from + cut, to - cut));
        }
        from += length;
    }
    pieces
}

/// The part of a line through points from one distance from its beginning to another.
fn between(points: &[(f64, f64)], from: f64, to: f64) -> Vec<(f64, f64)> {
    let mut part = Vec::new();
    let mut before = 0.0;
    for ends in points.windows(2) {
        let (after, here) = (before + length(ends), length(ends));
        let at = |distance: f64| {
            let share = if here > 0.0 {
                (distance - before) / here
            } else {
                0.0
            };
            let along = |a: f64, b: f64| a + share * (b - a);
            (along(ends[0].0, ends[1].0), along(ends[0].1, ends[1].1))
        };
        if after >= from && before <= to {
            if part.is_empty() {
                part.push(at(from.max(before)));
            }
            part.push(at(to.min(after)));
        }
        before = after;
    }
    part
}

/// How far it is from the first of two points to the second.
fn length(ends: &[(f64, f64)]) -> f64 {
    (ends[1].0 - ends[0].0).hypot(ends[1].1 - ends[0].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_round_corners_and_leave_room_for_their_ends() {
        // 10 to the right, 10 down: dashes of 8, gaps of 4.
        let points = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)];
        assert_eq!(
            pieces(&points, &[8.0, 4.0], 2.0),
            [vec![(1.0, 0.0), (7.0, 0.0)], vec![(10.0, 3.0), (10.0, 9.0)],]
        );
        // From 6 to 14, round the corner.
        assert_eq!(
            pieces(&points, &[4.0, 2.0, 8.0, 20.0], 0.0)[1],
            [(6.0, 0.0), (10.0, 0.0), (10.0, 4.0)]
        );
        // A dash that is shorter than the line is wide is a dot.
        let dots = pieces(&[(0.0, 0.0), (9.0, 0.0)], &[2.0, 4.0], 3.0);
        assert_eq!(
            dots,
            [vec![(1.0, 0.0), (1.0, 0.0)], vec![(7.0, 0.0), (7.0, 0.0)]]
        );
        assert_eq!(pieces(&points, &[], 2.0), [points.to_vec()]);
    }
}
