//! What is printed: Markdown, so that it can be pasted.

/// A figure that has to hold, and whether it does.
pub struct Target {
    /// What is measured.
    pub what: String,
    /// What it has to be.
    pub wanted: String,
    /// What it is.
    pub measured: String,
    /// Whether it is as it has to be.
    pub holds: bool,
}

/// Prints a heading and a table below it; the first column is text, the others are figures.
pub fn print_table(title: &str, header: &[&str], rows: &[Vec<String>]) {
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([header[column].chars().count(), 4]).max()
        })
        .map(|width| width.unwrap_or_default())
        .collect();
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, &width))| match column {
            0 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        format!("|{}", cells.collect::<String>())
    };
    println!("\n### {title}\n");
    println!("{}", line(header.to_vec()));
    let rule = widths.iter().enumerate().map(|(column, &width)| {
        let dashes = "-".repeat(width + 1);
        if column == 0 {
            format!("{dashes}-|")
        } else {
            format!("{dashes}:|")
        }
    });
    println!("|{}", rule.collect::<String>());
    for row in rows {
        println!("{}", line(row.iter().map(String::as_str).collect()));
    }
}

/// Prints the targets, if there are any.
pub fn print_targets(targets: &[Target]) {
    let rows: Vec<Vec<String>> = targets
        .iter()
        .map(|target| {
            let holds = if target.holds { "yes" } else { "no" };
            vec![
                target.what.clone(),
                target.wanted.clone(),
                target.measured.clone(),
                holds.to_owned(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        print_table("Targets", &["what", "target", "here", "holds"], &rows);
    }
}

/// Seconds, with three digits that count.
pub fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// A quotient, as `12.3×`.
pub fn times(ratio: f64) -> String {
    format!("{}×", three_digits(ratio))
}

/// What a ratio is above one, as `+4.2 %`.
pub fn excess(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

/// Bytes in units of 2^20.
pub fn mebibytes(bytes: f64) -> String {
    format!("{} MiB", three_digits(bytes / f64::from(1 << 20)))
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
