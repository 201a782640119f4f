use std::path::Path;
use std::time::Duration;

use super::Reload;
use crate::chart::Theme;
use crate::report::{Grid, Part, Report, Section};

fn report() -> Report {
    let grid = Grid {
        caption: "Layers & more".to_owned(),
        columns: vec!["layer", "units"],
        rows: vec![vec!["L_1".to_owned(), "1,024".to_owned()]],
    };
    Report {
        title: "a run".to_owned(),
        lead: String::new(),
        figures: Vec::new(),
        sections: vec![Section {
            heading: "What was trained",
            parts: vec![
                Part::Missing(
                    "RUN: type `query structures find RUN --half first` <here>".to_owned(),
                ),
                Part::Grid(grid),
            ],
            commands: vec!["sql RUN \"SELECT 'RUNS'\"", "meta RUN"],
        }],
    }
}

fn page(run: &str, reload: Option<Reload>) -> String {
    report().page(Path::new(run), Theme::Light, reload)
}

#[test]
fn commands_name_the_run_as_a_shell_takes_it() {
    for (run, word) in [
        ("traces/digits-2", "traces/digits-2"),
        ("my runs/digits", "'my runs/digits'"),
        ("it's", r"'it'\''s'"),
        ("$(x)&", "'$(x)&amp;'"),
    ] {
        let page = page(run, None);
        let told = format!("query sql {word} &quot;SELECT 'RUNS'&quot;\nquery meta {word}\n");
        assert!(page.contains(&told), "{told}");
        // In prose too, where it is a command.
        let told =
            format!("RUN: type <code>query structures find {word} --half first</code> &lt;here");
        assert!(page.contains(&told), "{told}");
    }
}

#[test]
fn a_table_has_its_caption_for_a_name_and_is_scrolled_with_keys() {
    let page = page("run", None);
    let told = "<p class=\"caption\" id=\"table-0-1\">Layers &amp; more</p>\n<div class=\"grid\" tabindex=\"0\" \
                role=\"region\" aria-label=\"Layers &amp; more\"><table aria-labelledby=\"table-0-1\">";
    assert!(page.contains(told));
}

#[test]
fn only_a_page_that_is_written_anew_loads_itself_anew() {
    let every = Duration::from_secs(10);
    let live = "<div class=\"live\" data-every-ms=\"10000\">";
    assert!(page("run", Some(Reload { every })).contains(live));
    let at_rest = page("run", None);
    assert!(!at_rest.contains("class=\"live\"") && !at_rest.contains("location.reload"));
}
