use super::{Check, Language, Page};

fn refused(text: &str) -> String {
    let error = Page::parse("page.md", text).err().expect("it is refused");
    format!("{error:#}")
}

#[test]
fn what_is_neither_run_nor_excused_is_refused() {
    assert_eq!(
        refused("words\n\n```rust\nfn f() {}\n```\n"),
        "page.md:3: Rust is run, or it is said why not"
    );
    assert_eq!(
        refused("<!-- not run: -->\n```sh\nls\n```\n"),
        "page.md:2: it is not said why this is not run"
    );
    assert_eq!(
        refused("```bash\nls\n```\n"),
        r#"page.md:1: pages have no blocks in "bash""#
    );
    assert_eq!(
        refused("<!-- not run: slow -->\n\nwords\n"),
        "page.md:3: no block follows a note"
    );
    assert_eq!(
        refused("<!-- slow -->\n```sh\nls\n```\n"),
        r#"page.md:2: "slow" says nothing of a block"#
    );
    assert_eq!(
        refused("- ```sh\n  ls\n  ```\n"),
        "page.md:1: a block is indented"
    );
    assert_eq!(refused("```sh\nls\n"), "page.md:1: no end");
}

#[test]
fn notes_say_what_is_done_with_the_block_that_follows() {
    let text = "\
<!-- given: traces/digits, iris.csv -->
<!-- small -->
```sh
one
```

<!-- not run: it takes long -->
```console
$ two
```

<!-- file: run.toml -->
```toml
epochs = 1
```
";
    let page = Page::parse("page.md", text).unwrap();
    let checks: Vec<&Check> = page.blocks.iter().map(|block| &block.check).collect();
    let expected = [
        Check::Small,
        Check::NotRun("it takes long".to_owned()),
        Check::File("run.toml".to_owned()),
    ];
    assert_eq!(checks, expected.iter().collect::<Vec<_>>());
    assert_eq!(page.blocks[0].given, ["traces/digits", "iris.csv"]);
    assert!(page.blocks[1].given.is_empty());
    assert_eq!(page.blocks[2].text(), "epochs = 1\n");
}

#[test]
fn a_consoles_commands_are_told_from_what_they_print() {
    let text = "```console\n$ one\n>   more\nsaid\n\n> said\n$ two\n```\n";
    let page = Page::parse("page.md", text).unwrap();
    assert_eq!(page.blocks[0].language, Language::Console);
    let commands = page.blocks[0].commands().unwrap();
    let [one, two] = &commands[..] else {
        panic!("there are {} commands", commands.len());
    };
    assert_eq!((one.line, one.text.as_str()), (2, "one\n  more"));
    let said = [(4, "said"), (5, ""), (6, "> said")];
    assert_eq!(
        one.output,
        Some(said.map(|(line, text)| (line, text.to_owned())).to_vec())
    );
    assert_eq!((two.line, two.text.as_str()), (7, "two"));
    assert_eq!(two.output, Some(Vec::new()));
}
