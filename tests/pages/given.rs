//! What pages begin with: runs that are recorded once for all of them, and data to train on.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context as _, Result, bail};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use stratigraph::{Scratch, run};

/// The run that pages speak of: of the digits, as `recorder train` leaves it.
pub const RUN: &str = "traces/digits";

/// Runs of the digits, recorded once as long as somebody holds them.
pub struct Runs {
    scratch: Scratch,
}

impl Runs {
    /// The runs; recorded now, or by another page's test before.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Runs>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runs) = shared.upgrade() {
            return runs;
        }
        let scratch = Scratch::new();
        scratch.train(&["--out", "full"]);
        let small = ["--hidden", "12,8", "--epochs", "4", "--out", "small"];
        scratch.train(&small);
        let runs = Arc::new(Self { scratch });
        *shared = Arc::downgrade(&runs);
        runs
    }

    /// Copies one of them to where pages have it.
    pub fn copy(&self, is_small: bool, scratch: &Scratch) -> Result<()> {
        let name = if is_small { "small" } else { "full" };
        copy(&self.scratch.path(name), &scratch.path(RUN))
    }
}

/// Puts what a page names into a directory.
pub fn place(name: &str, runs: &Runs, scratch: &Scratch) -> Result<()> {
    let path = scratch.path(name);
    match name {
        RUN => runs.copy(false, scratch),
        "iris.csv" => Ok(fs::write(path, flowers(0..120))?),
        "test.csv" => Ok(fs::write(path, flowers(120..150))?),
        "houses.parquet" => houses(&path),
        "mnist" => images(&path),
        "ckpt-*.safetensors" => {
            checkpoints(runs, scratch, |epoch| format!("ckpt-{epoch}.safetensors"))
        }
        _ => bail!("there is no {name:?} to begin with"),
    }
}

/// Flowers of three kinds, with a colour and their sizes.
fn flowers(rows: std::ops::Range<u32>) -> String {
    let mut text = "petal_length,petal_width,colour,species\n".to_owned();
    for row in rows {
        let kind = row % 3;
        let species = ["setosa", "versicolor", "virginica"][kind as usize];
        let colour = ["white", "blue", "violet"][(row / 3 % 3) as usize];
        let (length, width) = (10 * kind + row % 5, row % 7);
        writeln!(text, "{length}.5,0.{width},{colour},{species}").expect("a text takes it");
    }
    text
}

/// Houses, whose price follows from their area and age.
fn houses(path: &Path) -> Result<()> {
    let rows = 0..200i64;
    let number = |value: fn(i64) -> f64| -> ArrayRef {
        Arc::new(rows.clone().map(value).collect::<Float64Array>())
    };
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(rows.clone().collect::<Int64Array>())),
        ("area", number(|row| 50.0 + (row * 37 % 101) as f64)),
        ("age", number(|row| (row * 17 % 59) as f64)),
        (
            "price",
            number(|row| 2.5 * (50.0 + (row * 37 % 101) as f64) - (row * 17 % 59) as f64),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(fs::File::create(path)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

/// MNIST's four files, with few and small images: 4x4 pixels, of which one row is bright.
fn images(dir: &Path) -> Result<()> {
    fs::create_dir(dir)?;
    let write = |name: &str, sizes: &[u32], values: &[u8]| {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(values);
        fs::write(dir.join(name), bytes)
    };
    for (set, count) in [("train", 80u32), ("t10k", 20)] {
        let labels: Vec<u8> = (0..count).map(|image| (image % 4) as u8).collect();
        let rows = labels
            .iter()
            .flat_map(|&label| (0..4).map(move |row| row == label));
        let pixels: Vec<u8> = rows
            .flat_map(|is_bright| [if is_bright { 255 } else { 0 }; 4])
            .collect();
        let images = format!("{set}-images-idx3-ubyte");
        write(&images, &[count, 4, 4], &pixels)?;
        write(&format!("{set}-labels-idx1-ubyte"), &[count], &labels)?;
    }
    Ok(())
}

/// Checkpoints of the small run's first epochs, under the names that somebody else gives them.
fn checkpoints(runs: &Runs, scratch: &Scratch, name: impl Fn(u32) -> String) -> Result<()> {
    for epoch in 0..3 {
        let mut export = runs.scratch.recorder(&["export", "small", "--epoch"]);
        let path = scratch.path(&name(epoch));
        export.arg(epoch.to_string()).arg("--out").arg(path);
        run(&mut export).expect_success();
    }
    Ok(())
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
