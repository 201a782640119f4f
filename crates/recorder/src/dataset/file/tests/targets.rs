//! What is predicted.

use super::*;
use crate::dataset::MAX_INFERRED_CLASSES;

#[test]
fn texts_become_classes_in_the_order_of_their_letters() {
    let files = Files::new();
    let spec = unscaled(files.csv(&flowers(), &["kind"]));
    let flowers = load(&spec, 1).unwrap();
    assert_eq!(flowers.task(), Task::Classification);
    assert_eq!(flowers.class_names(), ["setosa", "versicolor", "virginica"]);
    assert_eq!(flowers.target_names(), ["kind"]);
    assert_eq!((flowers.num_inputs(), flowers.num_outputs()), (2, 3));
    assert_eq!((flowers.num_train(), flowers.held_out().len()), (24, 6));
    let info = flowers.info();
    assert_eq!(info.kind, "csv");
    assert_eq!(info.held_out, "0.2 drawn with the seed, by class");
    assert_eq!(info.source, spec.path.display().to_string());

    // Every sample is on one side, with its own class; each class gives a fifth.
    let mut seen = Vec::new();
    for (samples, of_class) in [(trained_on(&flowers), 8), (flowers.held_out(), 2)] {
        let Targets::Classes(classes) = samples.targets() else {
            panic!("{samples:?}")
        };
        for class in 0..3 {
            let count = classes.iter().filter(|&&c| c == class).count();
            assert_eq!(count, of_class, "class {class}");
        }
        let rows = samples.inputs().chunks(2).zip(classes);
        for (inputs, &class) in rows {
            let row = inputs[1] as usize / 2;
            assert_eq!(inputs[0], row as f32 + 0.5);
            assert_eq!(class, [2, 0, 1][row % 3]);
            seen.push(row);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
}

#[test]
fn the_task_is_what_the_targets_look_like() {
    let files = Files::new();
    // Each value twice, so that classes have samples on both sides.
    let task = |values: &[&str], targets: &[&str]| {
        let header = "x,".to_owned() + &targets.join(",");
        let rows = values.iter().cycle().take(2 * values.len());
        let rows: Vec<String> = rows.enumerate().map(|(i, v)| format!("{i},{v}")).collect();
        let spec = files.csv(&format!("{header}\n{}\n", rows.join("\n")), targets);
        load(&spec, 1).unwrap().task()
    };
    let counted = |num: usize| -> Vec<String> { (0..num).map(|n| n.to_string()).collect() };
    let whole = |num: usize| {
        let values = counted(num);
        task(
            &values.iter().map(String::as_str).collect::<Vec<_>>(),
            &["y"],
        )
    };
    assert_eq!(task(&["no", "yes"], &["y"]), Task::Binary);
    assert_eq!(task(&["True", "False"], &["y"]), Task::Binary);
    assert_eq!(task(&["a", "b", "c"], &["y"]), Task::Classification);
    assert_eq!(whole(2), Task::Binary);
    assert_eq!(whole(MAX_INFERRED_CLASSES), Task::Classification);
    assert_eq!(whole(MAX_INFERRED_CLASSES + 1), Task::Regression);
    assert_eq!(task(&["0.5", "1", "2"], &["y"]), Task::Regression);
    assert_eq!(task(&["0,1", "1,1", "1,0"], &["y", "z"]), Task::MultiLabel);
    assert_eq!(task(&["0,true", "1,false"], &["y", "z"]), Task::MultiLabel);
    assert_eq!(task(&["0,2", "1,1", "1,0"], &["y", "z"]), Task::Regression);
}

#[test]
fn a_task_that_is_named_is_taken() {
    let files = Files::new();
    let spec = |text: &str| files.csv(text, &["y"]);
    let classes = of_task(spec("x,y\n1,10\n2,9\n3,9.0\n4,10\n"), Task::Classification);
    let classes = load(&classes, 1).unwrap();
    // By size, not by letters, and 9.0 is 9.
    assert_eq!(classes.class_names(), ["9", "10"]);
    let soft = of_task(spec("x,y\n1,0.25\n2,0.5\n3,1\n4,0\n"), Task::Binary);
    let soft = load(&soft, 1).unwrap();
    assert_eq!(soft.class_names(), ["0", "1"]);
    assert_eq!(soft.info().held_out, "0.2 drawn with the seed");
    let Targets::Soft(values) = trained_on(&soft).targets() else {
        panic!("{soft:?}")
    };
    assert!(values.iter().all(|p| [0.25, 0.5, 1.0, 0.0].contains(p)));
    let binary = of_task(spec("x,y\n1,no\n2,yes\n3,yes\n4,no\n"), Task::Binary);
    let binary = load(&binary, 1).unwrap();
    assert_eq!(binary.class_names(), ["no", "yes"]);
    assert_eq!(binary.num_outputs(), 1);
    let numbers = of_task(spec("x,y\n1,0\n2,1\n3,1\n"), Task::Regression);
    assert_eq!(load(&numbers, 1).unwrap().task(), Task::Regression);
    let labels = of_task(spec("x,y\n1,0\n2,1\n3,0.5\n"), Task::MultiLabel);
    assert_eq!(load(&labels, 1).unwrap().task(), Task::MultiLabel);
}

#[test]
fn targets_that_do_not_fit_the_task_are_refused() {
    let files = Files::new();
    let refusal = |text: &str, targets: &[&str], task| {
        files.refusal(&of_task(files.csv(text, targets), task))
    };
    assert_eq!(
        refusal("a,y\n1,0\n2,1\n3,2\n", &["y"], Task::Binary),
        "data.csv, line 4, column \"y\": \"2\" is no probability, and there are 3 different values: \
         binary needs two classes, or probabilities"
    );
    assert_eq!(
        refusal("a,y,z\n1,0,1\n2,1,3\n", &["y", "z"], Task::MultiLabel),
        "data.csv, line 3, column \"z\": 3 is no label: it has to be 0 or 1, or a probability \
         between them"
    );
    assert_eq!(
        refusal("a,y\n1,0\n2,high\n", &["y"], Task::Regression),
        "data.csv, line 3, column \"y\": \"high\" is no number"
    );
    assert_eq!(
        files.refusal(&files.csv("a,y,z\n1,0,1\n2,1,b\n", &["y", "z"])),
        "data.csv, line 3, column \"z\": \"b\" is no number: several targets are numbers, or labels \
         that are 0 or 1"
    );
}
