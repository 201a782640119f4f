use super::{Area, Label, Mark, labels};

const PLOT: Area = Area {
    left: 0.0,
    top: 0.0,
    right: 200.0,
    bottom: 200.0,
};

fn mark(x: f64, y: f64, label: Option<&str>) -> Mark<'_> {
    let reach = [x, x];
    Mark { x, y, reach, label }
}

fn placed<'a>(marks: &[Mark<'a>]) -> Vec<Label<'a>> {
    labels(marks, 3.0, PLOT)
}

#[test]
fn labels_meet_neither_points_nor_each_other() {
    // Beside the point where that is free, else on its other side.
    let alone = placed(&[mark(50.0, 50.0, Some("a"))]);
    assert!(alone[0].area.left > 50.0);
    let beside = placed(&[mark(50.0, 50.0, Some("a")), mark(60.0, 50.0, None)]);
    assert!(beside[0].area.right < 50.0);
    // Not out of the plot.
    let at_the_edge = placed(&[mark(199.0, 50.0, Some("a"))]);
    assert!(at_the_edge[0].area.right < 199.0);
    // Nor over a line through another point.
    let reach = [10.0, 190.0];
    let line = Mark {
        reach,
        ..mark(150.0, 50.0, None)
    };
    let away = placed(&[mark(50.0, 50.0, Some("a")), line]);
    assert!(
        away[0].area.bottom < 50.0 || away[0].area.top > 50.0,
        "{away:?}"
    );
    // Of many in one place not all are written.
    let crowd: Vec<_> = (0..40)
        .map(|i| mark(50.0 + f64::from(i % 5), 50.0, Some("label")))
        .collect();
    let written = placed(&crowd);
    assert!(!written.is_empty() && written.len() < 20, "{written:?}");
    for (index, label) in written.iter().enumerate() {
        let before = &written[..index];
        assert!(before.iter().all(|other| !label.area.meets(&other.area)));
    }
}

#[test]
fn a_line_crosses_an_area_that_it_goes_through() {
    let area = Area {
        left: 10.0,
        top: 10.0,
        right: 20.0,
        bottom: 20.0,
    };
    assert!(area.is_crossed_by([(0.0, 15.0), (30.0, 15.0)]));
    assert!(area.is_crossed_by([(5.0, 5.0), (12.0, 12.0)]));
    assert!(area.is_crossed_by([(15.0, 0.0), (15.0, 11.0)]));
    assert!(!area.is_crossed_by([(0.0, 15.0), (9.0, 15.0)]));
    assert!(!area.is_crossed_by([(0.0, 15.0), (15.0, 31.0)]));
    assert!(!area.is_crossed_by([(21.0, 0.0), (21.0, 30.0)]));
}

#[test]
fn few_labels_that_have_no_room_beside_their_points_have_lines_to_them() {
    let mut crowd: Vec<Mark<'_>> = (0..49)
        .map(|i| {
            let (column, row) = (f64::from(i % 7), f64::from(i / 7));
            mark(80.0 + 6.0 * column, 80.0 + 6.0 * row, None)
        })
        .collect();
    crowd[23].label = Some("in the midst");
    let written = placed(&crowd);
    let [label] = written.as_slice() else {
        panic!("{written:?}")
    };
    let [from, to] = label.leader.unwrap();
    assert_eq!(from, (crowd[23].x, crowd[23].y));
    assert!(crowd.iter().all(|mark| !mark.is_met_by(&label.area, 3.0)));
    assert!(to.0 >= label.area.left && to.0 <= label.area.right);
}
