//! Reads what the documents in `schemas/` say: tables and fenced blocks below a heading.

use std::fs;

use anyhow::{Context, Result, ensure};
use stratigraph::workspace_root;

/// One document of `schemas/`.
pub struct Document {
    name: String,
    text: String,
}

impl Document {
    pub fn read(name: &str) -> Result<Self> {
        let path = workspace_root().join("schemas").join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self {
            name: name.to_owned(),
            text,
        })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands below the heading `## title`, up to the next one.
    fn section(&self, title: &str) -> Result<&str> {
        let heading = format!("\n## {title}\n");
        let missing = || format!("{} has no section {title:?}", self.name);
        let start = self.text.find(&heading).with_context(missing)? + heading.len();
        let rest = &self.text[start..];
        Ok(rest.split("\n## ").next().unwrap_or(rest))
    }

    /// The cells of a section's table, row by row, without its header and without backticks.
    pub fn table(&self, title: &str) -> Result<Vec<Vec<String>>> {
        let rows: Vec<Vec<String>> = self
            .section(title)?
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
            .map(|line| {
                line.split(" | ")
                    .map(|cell| cell.replace('`', ""))
                    .collect()
            })
            .collect();
        ensure!(rows.len() > 1, "{}: {title:?} has no table", self.name);
        let width = rows[0].len();
        for row in &rows {
            ensure!(
                row.len() == width,
                "{}: row {row:?} of {title:?}",
                self.name
            );
        }
        Ok(rows.into_iter().skip(1).collect())
    }

    /// The first `num_cells` cells of each row of a section's table.
    pub fn cells(&self, title: &str, num_cells: usize) -> Result<Vec<Vec<String>>> {
        let mut rows = self.table(title)?;
        rows.iter_mut().for_each(|row| row.truncate(num_cells));
        Ok(rows)
    }

    /// The fenced block of a section.
    pub fn fenced(&self, title: &str) -> Result<&str> {
        let missing = || format!("{}: {title:?} has no fenced block", self.name);
        let (_, rest) = self
            .section(title)?
            .split_once("```text\n")
            .with_context(missing)?;
        let (block, _) = rest.split_once("```").with_context(missing)?;
        Ok(block)
    }

    /// The words in backticks of a section.
    pub fn words(&self, title: &str) -> Result<Vec<&str>> {
        Ok(self.section(title)?.split('`').skip(1).step_by(2).collect())
    }
}
