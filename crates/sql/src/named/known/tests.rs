use super::*;

fn class(text: &str, names: &[&str], count: Option<usize>) -> Result<i32, String> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    numbered(text, ("class", "classes"), &names, count)
}

#[test]
fn a_set_is_known_by_its_name() {
    for set in RunSet::ALL {
        assert_eq!(RunSet::from_name(set.name()), Some(set));
    }
    assert_eq!(RunSet::from_name("epochs"), None);
}

#[test]
fn a_class_is_a_number_or_a_name() {
    let animals = ["cat", "dog"];
    assert_eq!(class("1", &animals, Some(2)), Ok(1));
    assert_eq!(class("dog", &animals, Some(2)), Ok(1));
    assert_eq!(
        class("2", &animals, Some(2)),
        Err("is 2, the classes are 0 to 1".to_owned())
    );
    assert_eq!(
        class("dogg", &animals, Some(2)),
        Err(
            "is \"dogg\", which is no class of this run; did you mean dog? (classes: 0 to 1, cat, dog)"
                .to_owned()
        )
    );
    // How many there are is not always known.
    assert_eq!(class("7", &[], None), Ok(7));
    assert_eq!(
        class("-1", &[], None),
        Err("is -1, the classes are counted from 0".to_owned())
    );
    assert_eq!(
        class("seven", &[], None),
        Err("is \"seven\", which is no class of this run".to_owned())
    );
}

/// A number is always the class of that number, so that it means the same for all classes.
#[test]
fn a_name_that_is_a_number_is_told_and_not_taken() {
    let names = ["1", "2", "3"];
    assert_eq!(class("1", &names, Some(3)), Ok(1));
    assert_eq!(
        class("3", &names, Some(3)),
        Err("is 3, the classes are 0 to 2; the one that is called \"3\" is 2".to_owned())
    );
    // Digits are called what they are.
    let error = class("x", &["0", "1"], Some(2)).unwrap_err();
    assert!(error.ends_with("(classes: 0 to 1)"), "{error}");
}

#[test]
fn of_many_names_the_first_are_told() {
    let names: Vec<String> = (0..30).map(|class| format!("c{class}")).collect();
    let error = numbered("x", ("class", "classes"), &names, Some(30)).unwrap_err();
    assert!(
        error.ends_with(
            "(classes: 0 to 29, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, \
        c12, c13, c14, c15, c16, c17, c18, c19, ...)"
        ),
        "{error}"
    );
}
