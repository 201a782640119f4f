use super::super::FILES;
use super::*;

#[test]
fn a_header_is_read_item_by_item() {
    let query = parse(
        "answer",
        "\
-- What it is.
-- Going on.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = NULL: which one
--   percent Float64{0..100} = 2.5: how many
--   anything Utf8 = x: whatever
--
-- Columns:
--   weights List(Float32): a list
--       of weights
SELECT 1 -- Columns:
",
    )
    .unwrap();
    assert_eq!(query.purpose, "What it is. Going on.");
    let epoch = &query.parameters[0];
    assert_eq!(
        (epoch.name.as_str(), epoch.default.as_str()),
        ("epoch", "NULL")
    );
    assert_eq!(
        (epoch.data_type, epoch.meaning.as_str()),
        (ParameterType::Int32, "which one")
    );
    let told = query.parameters.iter();
    let told: Vec<String> = told
        .map(|p| format!("{} {}{} = {}", p.name, p.data_type, p.values, p.default))
        .collect();
    assert_eq!(
        told,
        [
            "epoch Int32{<epoch>,first,last,all} = NULL",
            "percent Float64{0..100} = 2.5",
            "anything Utf8 = x",
            "captures Utf8{last,all} = last",
            "initial Boolean{false,true} = false",
        ]
    );
    assert_eq!(
        query.columns,
        [Column {
            name: "weights".to_owned(),
            data_type: "List(Float32)".to_owned(),
            meaning: "a list of weights".to_owned(),
        }]
    );
}

#[test]
fn a_line_that_is_no_item_is_named() {
    for item in [
        "epoch = 1",
        "epoch Int = 1: a type that is none",
        "epoch Int32{1..x} = 1: a range that is none",
        "epoch Int32{<epochs>} = 1: a set that is none",
        "epoch Int32{1..2 = 1: a brace too few",
    ] {
        let sql = format!("-- What.\n--\n-- Parameters:\n--   {item}\nSELECT 1");
        let error = parse("answer", Box::leak(sql.into_boxed_str())).err();
        assert!(error.unwrap().contains(item), "{item}");
    }
}

/// `NamedQuery::all` relies on it.
#[test]
fn the_headers_of_all_queries_are_whole() {
    for (name, sql) in FILES {
        let query = parse(name, sql).unwrap();
        assert!(query.purpose.ends_with('.'), "{name}");
        assert!(!query.columns.is_empty(), "{name}");
        for parameter in &query.parameters {
            let used = sql.contains(&format!("${}", parameter.name));
            let common = ["captures", "initial"].contains(&parameter.name.as_str());
            assert!(used != common, "{name}: {}", parameter.name);
        }
    }
}

/// What a parameter can be is said with it, and what has one name is one thing.
#[test]
fn every_parameter_says_what_it_can_be() {
    for (name, sql) in FILES {
        for Parameter {
            name: parameter,
            data_type,
            values,
            default,
            ..
        } in parse(name, sql).unwrap().parameters
        {
            let told = format!("{data_type}{values}");
            let of_name: &[&str] = match parameter.as_str() {
                "epoch" => &[
                    "Int32{<epoch>,first,last,all}",
                    "Int32{<reported epoch>,first,last,all}",
                ],
                "layer" => &[
                    "Utf8{<layer or glob>,first,last,all}",
                    "Utf8{<layer or glob>,first,last}",
                ],
                "class" => &["Int32{<class or name>,all}", "Int32{<output or name>,all}"],
                "half" => &["Utf8{all,first,second}"],
                "measure" => &["Utf8{correlation,mutual_information,auc}"],
                "permutations" => &["Int32{0..1000000}"],
                "bootstraps" => &["Int32{0..100000}"],
                "size" => &["Int32{1..10000}"],
                "trees" => &["Int32{1..10000}"],
                "percent" => &["Float64{0..100}"],
                "seed" => &["Int64{0..}"],
                "width" => &["Int64{0..16777216,auto}"],
                _ => &[],
            };
            assert!(
                of_name.is_empty() || of_name.contains(&told.as_str()),
                "{name}: {parameter} {told}"
            );
            assert!(!values.is_any(), "{name}: {parameter} can be anything");
            // A default is one of them, or there is none.
            let is_word = values.words().any(|word| word == default);
            let is_number = default
                .parse::<f64>()
                .is_ok_and(|number| values.range().is_some_and(|range| range.contains(number)));
            assert!(
                is_word || is_number || default == "NULL",
                "{name}: {parameter} = {default}"
            );
        }
    }
}

/// The words of a measure and of a half are those that the code understands.
#[test]
fn words_are_those_of_the_code() {
    use analysis::Measure;
    for (name, sql) in FILES {
        for parameter in parse(name, sql).unwrap().parameters {
            for word in parameter.values.words() {
                let is_known = match parameter.name.as_str() {
                    "measure" => word.parse::<Measure>().is_ok(),
                    "half" => word.parse::<analysis::Half>().is_ok(),
                    _ => true,
                };
                assert!(is_known, "{name}: {} {word}", parameter.name);
            }
        }
    }
}

#[test]
fn every_file_in_queries_is_a_named_query() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries");
    let mut files: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort_unstable();
    let mut names: Vec<String> = FILES
        .iter()
        .map(|(name, _)| format!("{name}.sql"))
        .collect();
    names.sort_unstable();
    assert_eq!(files, names);
}

#[test]
fn a_header_that_was_cut_anywhere_is_read_or_refused_by_its_line() {
    for (name, sql) in crate::named::FILES {
        let header = sql.lines().take_while(|line| line.starts_with("--"));
        let header = &sql[..header.map(|line| line.len() + 1).sum()];
        for (at, _) in header.char_indices() {
            for cut in [&header[..at], &header[at..]] {
                if let Err(problem) = parse(name, cut) {
                    assert!(problem.starts_with(name), "{problem}");
                }
            }
        }
    }
}
