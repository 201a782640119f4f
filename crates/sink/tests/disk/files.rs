//! Part files that are encoded once, and staged again and again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use sink::{Compress, Part, encode_part};
use trace::{Generation, LayerLabel, PartPath, Rank, Table};

use crate::testing::{HIDDEN, layer_weights, metrics_rows, part_path};

/// How many files a capture has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Size {
    /// Metrics alone.
    Least,
    /// The weights of a layer and metrics.
    #[default]
    Small,
    /// The weights of many layers and metrics.
    Large,
}

const NUM_LAYERS: u32 = 12;

/// A part file.
#[derive(Debug, Clone)]
pub struct File {
    pub path: PartPath,
    pub bytes: Arc<[u8]>,
    pub num_rows: u64,
}

/// The files of a rank's share of a capture.
pub fn capture_files(size: Size, epoch: i32, rank: i32, generation: u32) -> Vec<File> {
    let mut files = vec![metrics(epoch, rank, generation)];
    let layers: Vec<String> = match size {
        Size::Least => Vec::new(),
        Size::Small => vec![HIDDEN.to_owned()],
        Size::Large => (0..NUM_LAYERS).map(|index| format!("L_{index}")).collect(),
    };
    for layer in layers {
        let (path, rows) = layer_weights(epoch, HIDDEN);
        let layer = Some(LayerLabel::try_new(&layer).unwrap());
        files.push(file(PartPath { layer, ..path }, rows, rank, generation));
    }
    files
}

/// The metrics alone.
pub fn metrics(epoch: i32, rank: i32, generation: u32) -> File {
    let path = part_path(Table::Metrics, epoch, None);
    file(
        path,
        metrics_rows(epoch, &[("loss", 0.5)]),
        rank,
        generation,
    )
}

fn file(path: PartPath, rows: RecordBatch, rank: i32, generation: u32) -> File {
    /// Bytes by table, epoch and rank: the layer and the generation are not in them.
    type Encoded = Mutex<HashMap<(Table, i32, i32), Arc<[u8]>>>;
    static ENCODED: OnceLock<Encoded> = OnceLock::new();
    let path = PartPath {
        rank: Rank(rank),
        generation: Generation(generation),
        ..path
    };
    let num_rows = rows.num_rows() as u64;
    let mut encoded = ENCODED.get_or_init(Mutex::default).lock().unwrap();
    let key = (path.table, path.epoch.0, rank);
    let bytes = encoded.entry(key).or_insert_with(|| {
        let part = Part {
            path: path.clone(),
            rows: of_rank(&rows, rank),
        };
        encode_part(&part, Compress::Auto, Vec::new())
            .unwrap()
            .output
            .into()
    });
    File {
        path,
        bytes: Arc::clone(bytes),
        num_rows,
    }
}

fn of_rank(rows: &RecordBatch, rank: i32) -> RecordBatch {
    let index = rows.schema().index_of("rank").unwrap();
    let mut columns = rows.columns().to_vec();
    let ranks: ArrayRef = Arc::new(Int32Array::from_value(rank, rows.num_rows()));
    columns[index] = ranks;
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}
