//! CSV that nothing can be learned from.

use super::*;

#[test]
fn csv_that_cannot_be_learned_from_is_refused_with_line_column_and_reason() {
    let files = Files::new();
    for (text, refusal) in [
        (
            "a,y\n1,0\n,1\n",
            "data.csv, line 3, column \"a\": it is empty (1 of 2 samples lack it): --missing drop \
             leaves such samples out, --missing mean puts the mean of the samples that are trained \
             on in their place",
        ),
        (
            "a,y\n1,0\n2,\n",
            "data.csv, line 3, column \"y\": it is empty (1 of 2 samples lack it): --missing drop \
             leaves such samples out",
        ),
        (
            "a,y\n1,0\nred,1\n",
            "data.csv, line 3, column \"a\": \"red\" is no number: --categorical a takes the column \
             as categories (--categorical alone every column of texts), --ignore a leaves it out",
        ),
        (
            "a,y\n1,1\nNaN,0\n",
            "data.csv, line 3, column \"a\": NaN stands for a missing value (1 of 2 samples lack \
             it): --missing drop leaves such samples out, --missing mean puts the mean of the \
             samples that are trained on in their place",
        ),
        (
            "a,y\n1e39,0\n",
            "data.csv, line 2, column \"a\": 1e39 is not finite, or too large for a 32-bit float \
             (--ignore a leaves the column out)",
        ),
        (
            "a,y\n\"1\n\",0\n2\n",
            "data.csv, line 4: it has 1 values, the first line names 2 columns",
        ),
        (
            "a,y\n1,0,3\n",
            "data.csv, line 2: it has 3 values, the first line names 2 columns",
        ),
        (
            "a,a,y\n1,2,3\n",
            "data.csv: there are two columns \"a\": give each a name of its own, since options and \
             results name columns",
        ),
        (
            "1,2\n3,4\n",
            "data.csv, line 1: it has only numbers: the first line has to name the columns",
        ),
        ("y\n1\n", "data.csv: no column is left to learn from"),
        ("a,y\n", "data.csv: it has no samples"),
        ("", "data.csv: there is no column \"y\" (columns: )"),
        (
            "a,z\n1,1\n",
            "data.csv: there is no column \"y\" (columns: a, z)",
        ),
        (
            "a,y\n1,0\n2,0\n",
            "data.csv, column \"y\": all samples are of one class, \"0\"",
        ),
        (
            "a,y\n1,a\n2,b\n3,c\n",
            "data.csv, column \"y\": no two samples are of one class: there is nothing to learn",
        ),
        (
            "a,y\n1,1.5\n2,o\n3,2.5\n",
            "data.csv, line 3, column \"y\": \"o\" is no number, as others in the column are: if \
             they are classes, say --task classification",
        ),
        (
            "a,y\n1,0\n2,1\n",
            "data.csv: it has too few samples to hold any of them out",
        ),
    ] {
        assert_eq!(files.refusal(&files.csv(text, &["y"])), refusal, "{text:?}");
    }
    let not_text = files.write("data.csv", b"a,y\n1,0\n\xff,1\n");
    let refusal = files.refusal(&FileSpec::new(FileFormat::Csv, not_text, &["y"]));
    assert!(
        refusal.starts_with("data.csv, line 3: it is no UTF-8 text"),
        "{refusal}"
    );
}

#[test]
fn a_column_that_is_not_there_is_told_with_the_one_that_is_meant() {
    let files = Files::new();
    let spec = files.csv(&flowers(), &["kinds"]);
    assert_eq!(
        files.refusal(&spec),
        "data.csv: there is no column \"kinds\"; did you mean kind? (columns: length, width, kind)"
    );
    let ignored = |ignored: &str| FileSpec {
        ignored: vec![ignored.to_owned()],
        ..files.csv(&flowers(), &["kind"])
    };
    assert!(
        files
            .refusal(&ignored("widht"))
            .contains("did you mean width?")
    );
    let narrow = load(&ignored("width"), 1).unwrap();
    assert_eq!(narrow.num_inputs(), 1);
    // What is left out may be anything.
    let mut named = ignored("name");
    fs::write(&named.path, "name,a,y\nx,1,0\n,2,1\nz,3,0\nz,4,1\n").unwrap();
    named.targets = vec!["y".to_owned()];
    assert_eq!(load(&named, 1).unwrap().num_inputs(), 1);
}
