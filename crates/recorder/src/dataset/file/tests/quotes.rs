//! Quotes that are not closed, and bytes that are no text: nothing is swallowed.

use super::*;

/// Rows of two numbers and a class, of which line 60 is to be spoiled.
fn rows() -> Vec<String> {
    let mut lines = vec!["a,b,y".to_owned()];
    lines.extend((0..200).map(|row| format!("{},{}.5,{}", row % 7, row % 11, ["u", "v"][row % 2])));
    lines
}

fn refusal_of(lines: &[String], targets: &[&str]) -> String {
    let files = Files::new();
    files.refusal(&files.csv(&lines.join("\n"), targets))
}

#[test]
fn a_quote_that_is_never_closed_is_an_error_on_its_line() {
    let mut lines = rows();
    // Line 61 of the file, since the first is line 1.
    lines[60] = "1,2.5,\"u".to_owned();
    let refusal = refusal_of(&lines, &["y"]);
    assert!(
        refusal.starts_with("data.csv, line 61: a quote opens here and is never closed"),
        "{refusal}"
    );
    // Also where the file does not end in the middle of a line, has blank ones, or other ends of lines.
    for end in ["\n", "\r\n"] {
        let files = Files::new();
        let text = lines.join(&format!("{end}{end}")) + end;
        let refusal = files.refusal(&files.csv(&text, &["y"]));
        assert!(
            refusal.starts_with("data.csv, line 121: a quote opens"),
            "{refusal}"
        );
    }
    // The last line, and the first.
    let mut last = rows();
    last[200] = "1,2.5,\"u".to_owned();
    assert!(refusal_of(&last, &["y"]).starts_with("data.csv, line 201: a quote opens"));
    let mut alone = rows();
    alone.push("\"".to_owned());
    assert!(refusal_of(&alone, &["y"]).starts_with("data.csv, line 202: a quote opens"));
    let mut first = rows();
    first[0] = "a,b,\"y".to_owned();
    assert!(refusal_of(&first, &["y"]).starts_with("data.csv, line 1: a quote opens"));
}

#[test]
fn a_quote_that_takes_in_other_rows_is_an_error_on_its_line() {
    // Closed far below, on the next line, or in the first column.
    for (opens, closes, at) in [
        ("1,2.5,\"u", "3,4.5,v\"", 120),
        ("1,2.5,\"u", "3,4.5,v\"", 61),
        ("1,2.5,\"u", "3,4.5,\"v\"", 61),
        ("\"1,2.5,u", "3\",4.5,v", 120),
        ("\"1,2.5,u", "3\",4.5,v", 61),
    ] {
        let mut lines = rows();
        lines[60] = opens.to_owned();
        lines[at] = closes.to_owned();
        for targets in [["y"], ["b"]] {
            // Whatever is left out.
            let files = Files::new();
            let ignored = if targets == ["b"] {
                vec!["y".to_owned()]
            } else {
                Vec::new()
            };
            let spec = FileSpec {
                ignored,
                ..files.csv(&lines.join("\n"), &targets)
            };
            let refusal = files.refusal(&spec);
            assert!(
                refusal.starts_with("data.csv, line 61: a quote that opens here takes in line 62"),
                "{opens} {closes} {at}: {refusal}"
            );
        }
    }
}

#[test]
fn texts_of_several_lines_are_texts() {
    let files = Files::new();
    let text =
        "note,a,y\n\"one, two\n3,4\",1,u\nplain,2,v\n\"\n\n5\",1,u\n\"say \"\"no\"\"\",2,v\n";
    let spec = FileSpec {
        ignored: vec!["note".to_owned()],
        ..files.csv(text, &["y"])
    };
    let dataset = load(&spec, 1).unwrap();
    assert_eq!(dataset.num_train() + dataset.held_out().len(), 4);
    // In the last column.
    let text = "a,y,note\n1,u,\"one\ntwo, 3\"\n2,v,\"x\n1,u\"\n1,u,\n2,v,z\n";
    let spec = FileSpec {
        ignored: vec!["note".to_owned()],
        ..files.csv(text, &["y"])
    };
    let dataset = load(&spec, 1).unwrap();
    assert_eq!(dataset.num_train() + dataset.held_out().len(), 4);
}

#[test]
fn what_is_no_text_is_told_with_what_it_seems_to_be() {
    let files = Files::new();
    let refusal = |bytes: &[u8]| {
        let file = files.write("data.csv", bytes);
        files.refusal(&FileSpec::new(FileFormat::Csv, file, &["y"]))
    };
    for (bytes, told) in [
        (
            &b"a,y\n1,u\n2,v\0\n"[..],
            "data.csv, line 3: it has a byte of 0",
        ),
        (
            b"a,y\n1,\xe9\n",
            "data.csv, line 2: it is no UTF-8 text (a byte 0xe9): convert",
        ),
        (
            b"PK\x03\x04....",
            "data.csv: it is no text but a ZIP archive",
        ),
        (
            b"PAR1....",
            "data.csv: it is no text but Parquet: --dataset parquet:FILE",
        ),
        (b"  <!DOCTYPE html><html>", "data.csv: it is an HTML page"),
        (
            b"\xff\xfea\0,\0y\0\n",
            "data.csv: it begins as UTF-16 text and is none",
        ),
        (
            &gzip(&gzip(b"a,y\n1,u\n")),
            "data.csv: gzip packed it twice",
        ),
        (
            &gzip(b"a,y\n1,u\n2,v\n")[..20],
            "data.csv: it is damaged or cut off",
        ),
    ] {
        let refusal = refusal(bytes);
        assert!(refusal.starts_with(told), "{refusal}");
    }
}
