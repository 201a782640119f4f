use std::fs;

use clap::{CommandFactory as _, Parser as _};
use tempfile::TempDir;

use super::*;
use crate::cli::{Cli, Verb};

/// The verb as clap completes it: with the options that every verb has.
fn verb() -> Command {
    let mut command = Cli::command();
    command.build();
    command.find_subcommand(VERB).unwrap().clone()
}

/// `recorder train --config FILE` and more, expanded.
fn expanded(toml: &str, more: &[&str]) -> Result<Vec<OsString>, String> {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("run.toml");
    fs::write(&file, toml).unwrap();
    let mut arguments: Vec<OsString> = vec!["recorder".into(), "train".into()];
    arguments.extend(["--config".into(), file.clone().into()]);
    arguments.extend(more.iter().map(OsString::from));
    let directory = format!("{}/", dir.path().display());
    expand(&Cli::command(), arguments).map_err(|error| {
        assert_eq!(error.exit_code(), 2);
        error.to_string().replace(&directory, "")
    })
}

fn matches(toml: &str, more: &[&str]) -> ArgMatches {
    let arguments = expanded(toml, more).unwrap();
    let matches = Cli::command().try_get_matches_from(arguments).unwrap();
    matches.subcommand_matches(VERB).unwrap().clone()
}

/// A value of each option that has no default and no type that says what it could be. An option that
/// is new may need a line here.
fn sample(name: &str) -> &'static str {
    match name {
        "task" => "binary",
        "held-out" => "0.2",
        "scale" => "none",
        "channel-bytes" => "64MiB",
        "compress" => "size",
        "max-part-bytes" => "64MiB",
        "layers" => "L_*",
        "image" => "28x28",
        "missing" => "drop",
        "delimiter" => ";",
        "decimal" => ",",
        "max-overhead" => "2%",
        "max-disk" => "20GB",
        _ => panic!("tell here what --{name} could be in a file"),
    }
}

#[test]
fn every_option_of_the_command_can_stand_in_the_file() {
    let verb = verb();
    let mut num_options = 0;
    for option in options(&verb) {
        let name = name_of(option);
        let default = option
            .get_default_values()
            .first()
            .and_then(|value| value.to_str());
        let (value, argument) = match (option.get_action(), Takes::of(option.get_value_parser())) {
            (ArgAction::SetTrue, _) => ("true".to_owned(), format!("--{name}")),
            (ArgAction::Count, _) => ("1".to_owned(), format!("--{name}")),
            (_, Takes::Integer) => ("3".to_owned(), format!("--{name}=3")),
            (_, Takes::Number) => ("0.5".to_owned(), format!("--{name}=0.5")),
            (_, Takes::Text) => ("\"a b\"".to_owned(), format!("--{name}=a b")),
            (_, Takes::Word) => {
                let word = default.unwrap_or_else(|| sample(name));
                (format!("{word:?}"), format!("--{name}={word}"))
            }
        };
        let id = option.get_id().as_str();
        for key in [name.to_owned(), name.replace('-', "_")] {
            // Where the data is now is asked of a run that is gone on with.
            let beside: &[&str] = if name == "data" { &["--resume"] } else { &[] };
            let from_file = matches(&format!("{key} = {value}\n"), beside);
            let arguments = [&["recorder", VERB, &argument][..], beside].concat();
            let typed = Cli::command().try_get_matches_from(arguments).unwrap();
            let typed = typed.subcommand_matches(VERB).unwrap();
            assert_eq!(
                from_file.value_source(id),
                Some(ValueSource::CommandLine),
                "{key}"
            );
            let raw = |matches: &ArgMatches| -> Vec<OsString> {
                matches
                    .get_raw(id)
                    .into_iter()
                    .flatten()
                    .map(OsString::from)
                    .collect()
            };
            assert_eq!(raw(&from_file), raw(typed), "{key}");
        }
        num_options += 1;
    }
    assert!(num_options > 20, "{num_options}");
}

#[test]
fn the_command_line_wins() {
    let toml = "epochs = 5\nbatch-size = 7\nhidden = [3, 2]\ntarget = [\"a\", \"b\"]\n";
    let matches = matches(toml, &["--epochs", "9", "--target", "c"]);
    assert_eq!(matches.get_one::<usize>("epochs"), Some(&9));
    assert_eq!(matches.get_one::<usize>("batch_size"), Some(&7));
    let hidden: Vec<usize> = matches.get_many("hidden").unwrap().copied().collect();
    assert_eq!(hidden, [3, 2]);
    let target: Vec<&String> = matches.get_many("target").unwrap().collect();
    assert_eq!(target, ["c"]);
}

#[test]
fn values_are_written_as_toml_has_them() {
    let toml = "# a comment\nlr = 1e-3\nevery = [0, 1, 5]\nrecord = [\"weights\", 'metrics']\n\
                record_initial = false\nseed = 0x10\nheld-out = 0.25\nverbose = 2\n\
                dataset = \"csv:a.csv\"\ntarget = \"y\"\n";
    let arguments = expanded(toml, &[]).unwrap();
    let Verb::Train(train) = Cli::try_parse_from(arguments).unwrap().verb else {
        panic!("the verb is train")
    };
    let config = train.train_config();
    assert_eq!((config.learning_rate, config.seed), (1e-3, 16));
    assert_eq!(train.every.to_string(), "0,1,5");
    assert!(train.record.weights && train.record.metrics && !train.record.activations);
    assert!(!train.record_initial);
    let spec = train.data.spec().unwrap();
    let file = spec.file().unwrap();
    assert_eq!(file.held_out, Some(recorder::HeldOutRule::Share(0.25)));
    assert_eq!(file.targets, ["y"]);
}

#[test]
fn what_is_no_option_is_refused_with_its_line() {
    for (toml, problem) in [
        (
            "seed = 1\nepoch = 20\n",
            "run.toml, line 2: there is no option \"epoch\"; did you mean epochs? (recorder train \
             --help lists them)",
        ),
        (
            "config = \"x\"\n",
            "run.toml, line 1: there is no option \"config\"",
        ),
        (
            "help = true\n",
            "run.toml, line 1: there is no option \"help\"",
        ),
        (
            "batch-size = 3\n\nbatch_size = 4\n",
            "run.toml, line 3: batch-size is there twice",
        ),
        (
            "epochs = \"20\"\n",
            "run.toml, line 1: epochs takes a whole number, not a string",
        ),
        (
            "epochs = 2.5\n",
            "run.toml, line 1: epochs takes a whole number, not a number",
        ),
        (
            "lr = true\n",
            "run.toml, line 1: lr takes a number, not true or false",
        ),
        (
            "out = 3\n",
            "run.toml, line 1: out takes a string, not a whole number",
        ),
        (
            "out = [\"a\"]\n",
            "run.toml, line 1: out takes a string, not a list",
        ),
        (
            "hidden = [8, \"4\"]\n",
            "run.toml, line 1: hidden takes a list in which each is a whole number",
        ),
        (
            "record-initial = 1\n",
            "run.toml, line 1: record-initial takes true or false, not a whole number",
        ),
        ("verbose = 300\n", "run.toml, line 1: verbose cannot be 300"),
        (
            "verbose = true\n",
            "run.toml, line 1: verbose takes a whole number, not true or false",
        ),
        (
            "device = 2026-01-01\n",
            "run.toml, line 1: device takes a string or a number, not a date",
        ),
        (
            "epochs = 1\n[trials]\nseed = 1\n",
            "run.toml, line 2: there is no option \"trials\"",
        ),
        (
            "[dataset]\nseed = 1\n",
            "run.toml, line 1: dataset takes a string or a number, not a table: options stand \
             alone, not below a heading",
        ),
        (
            "seed = 1\nlr = 1\ndevice = \"tpu\"\n",
            "run.toml, line 3: invalid value 'tpu' for '--device",
        ),
        (
            "seed = -1\n",
            "run.toml, line 1: invalid value '-1' for '--seed",
        ),
        ("seed = 1\nepochs 3\n", "run.toml, line 2: "),
        ("seed = 1\nseed = 2\n", "run.toml, line 2: "),
    ] {
        let refused = expanded(toml, &[]).unwrap_err();
        let expected = format!("error: {problem}");
        assert!(refused.starts_with(&expected), "{toml:?}: {refused}");
    }
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let arguments = ["recorder", "train", "--config", "/nowhere/run.toml"];
    let arguments = arguments.map(OsString::from).to_vec();
    let refused = expand(&Cli::command(), arguments).unwrap_err();
    assert_eq!(refused.exit_code(), 2);
    let refused = refused.to_string();
    assert!(
        refused.starts_with("error: cannot read /nowhere/run.toml: "),
        "{refused}"
    );
}

#[test]
fn without_a_file_arguments_stay_as_they_are() {
    for arguments in [
        &["recorder", "train", "--epochs", "3"][..],
        &["recorder", "replay", "run", "--epoch", "3"],
        // What is wrong is told when they are parsed.
        &["recorder", "train", "--epochs", "many"],
    ] {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        assert_eq!(
            expand(&Cli::command(), arguments.clone()).unwrap(),
            arguments
        );
    }
}
