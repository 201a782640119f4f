//! A capture becomes a checkpoint.

use std::fs::File;
#[cfg(unix)]
use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, SafeTensorError, TensorInfo};
use tempfile::NamedTempFile;
use trace::{CaptureId, Layer, LayerTensor, RunDir, Table};

use crate::capture_files::{CaptureChoice, CaptureFiles, ReadCaptureError};
use crate::layout::{from_group_rows, transpose};
use crate::precision::Precision;

use super::values::{is_supported, narrow};

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportReport {
    /// The capture.
    pub capture: CaptureId,
    /// In what precision the weights were recorded: rounded ones are not those that were trained.
    pub precision: Precision,
    /// Tensors in the file.
    pub num_tensors: usize,
    /// The file's size.
    pub num_bytes: u64,
}

/// Why a capture cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is a file of that name.
    #[error("{} exists; --force replaces it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The capture cannot be read.
    #[error(transparent)]
    Capture(#[from] ReadCaptureError),
    /// Layers are missing.
    #[error(
        "epoch {} has weights of {num_recorded} of {num_layers} layers ({missing} is missing): a checkpoint needs all of them", capture.epoch
    )]
    LayersMissing {
        /// The capture.
        capture: CaptureId,
        /// Layers that were recorded.
        num_recorded: usize,
        /// Layers that the network has.
        num_layers: usize,
        /// The first that is missing.
        missing: String,
    },
    /// A layer is not as a checkpoint would have it.
    #[error("layer {layer} cannot be exported: {problem}")]
    Layer {
        /// The layer.
        layer: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The header cannot be made.
    #[error("the network cannot be written as safetensors")]
    Header(#[from] SafeTensorError),
    /// The file system refused.
    #[error("cannot write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// The kind of layers that no module makes: they have activations, and no tensors.
pub const TAP: &str = "tap";

/// A tensor of the file, and the column of a layer's `weights` that holds it.
struct Planned<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    layer: &'a Layer,
    column: &'static str,
    rows: Rows,
}

/// How a tensor lies in a layer's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// As in the tensor: along axis 0.
    AsTheyAre,
    /// Along axis 1, group by group, as of a transposed convolution.
    ByGroup { groups: usize },
    /// Along the last axis, as of a checkpoint whose layers are `[in, out]`.
    Transposed,
}

impl Planned<'_> {
    fn num_bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * (self.dtype.bitsize() / 8)
    }

    /// The tensor's values, in its own order, of all rows.
    fn values(&self, rows: &[f32]) -> Vec<f32> {
        match self.rows {
            Rows::AsTheyAre => rows.to_vec(),
            Rows::ByGroup { groups } => from_group_rows(&self.shape, groups, rows),
            Rows::Transposed => {
                let num_units = self.layer.num_units as usize;
                transpose(rows, num_units, self.layer.fan_in as usize)
            }
        }
    }
}

/// Writes a capture's weights as safetensors that PyTorch's `load_state_dict` takes, under the names,
/// in the types and shapes that they had if they were imported, and else as `<module>.weight` and
/// `<module>.bias` in PyTorch's layout, in 16-bit floats where they were trained in such, else in 32-bit
/// ones.
///
/// The file appears whole or not at all, and durably; in place of another one only if `replace` says
/// so. A few units' values at a time are in memory, or one tensor whose rows do not lie along its first
/// axis.
///
/// # Errors
/// If there is no such capture, not all of its weights were recorded, or the file cannot be written.
pub fn export(
    run: &RunDir,
    choice: CaptureChoice,
    out: &Path,
    replace: bool,
) -> Result<ExportReport, ExportError> {
    if !replace && out.symlink_metadata().is_ok() {
        return Err(exists(out));
    }
    let layers: Vec<&Layer> = with_tensors(run).collect();
    let capture = CaptureFiles::find(run, choice)?;
    require_all(&layers, &capture)?;
    write(run, &capture, plan(&layers, &capture)?, out, replace)
}

/// As [`export`], of those layers alone whose weights were recorded whole, in place of a file that is there. Gives the
/// labels of the others.
///
/// # Errors
/// If there is no such capture, it has no weights, or the file cannot be written.
pub fn export_recorded(
    run: &RunDir,
    choice: CaptureChoice,
    out: &Path,
) -> Result<(ExportReport, Vec<String>), ExportError> {
    let capture = CaptureFiles::find(run, choice)?;
    let (mut whole, mut others) = (Vec::new(), Vec::new());
    for layer in with_tensors(run) {
        let is_whole = layer.recorded_units.is_none()
            && (layer.num_units == 0
                || capture.has_layer(layer)
                    && capture.visit_weights(layer, "weights", |_| Ok::<(), ExportError>(()))?);
        match is_whole {
            true => whole.push(layer),
            false => others.push(layer.layer.to_string()),
        }
    }
    if whole.iter().all(|layer| layer.num_units == 0) && !others.is_empty() {
        return Err(capture.not_recorded(Table::Weights, None).into());
    }
    let report = write(run, &capture, plan(&whole, &capture)?, out, true)?;
    Ok((report, others))
}

/// Writes a capture's tensors.
fn write(
    run: &RunDir,
    capture: &CaptureFiles<'_>,
    mut tensors: Vec<Planned<'_>>,
    out: &Path,
    replace: bool,
) -> Result<ExportReport, ExportError> {
    // As the library sorts them: every tensor is aligned to its own values.
    tensors.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
    let header = header(&tensors)?;

    let io_error = |source| ExportError::Io {
        path: out.to_owned(),
        source,
    };
    let directory = match out.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let mut file = BufWriter::new(create(directory).map_err(io_error)?);
    file.write_all(&header).map_err(io_error)?;
    let mut bytes = Vec::new();
    for tensor in &tensors {
        let mut write = |values: &[f32]| {
            bytes.clear();
            narrow(tensor.dtype, values, &mut bytes);
            file.write_all(&bytes).map_err(io_error)
        };
        let is_there = match tensor.rows {
            Rows::AsTheyAre => capture.visit_weights(tensor.layer, tensor.column, write)?,
            Rows::ByGroup { .. } | Rows::Transposed => {
                let mut rows = Vec::new();
                let is_there = capture.visit_weights(tensor.layer, tensor.column, |values| {
                    rows.extend_from_slice(values);
                    Ok::<(), ExportError>(())
                })?;
                if is_there {
                    write(&tensor.values(&rows))?;
                }
                is_there
            }
        };
        if !is_there && tensor.num_bytes() > 0 {
            return Err(missing_column(capture.id(), tensor));
        }
    }
    let file = file.into_inner().map_err(|e| io_error(e.into_error()))?;
    let expected = header.len() + tensors.iter().map(Planned::num_bytes).sum::<usize>();
    let num_bytes = file.as_file().metadata().map_err(io_error)?.len();
    if num_bytes != expected as u64 {
        let problem = format!("{num_bytes} bytes were written, and {expected} should have been");
        return Err(io_error(io::Error::other(problem)));
    }
    file.as_file().sync_all().map_err(io_error)?;
    let persisted = match replace {
        true => file.persist(out),
        false => file.persist_noclobber(out),
    };
    persisted.map_err(|e| match e.error.kind() {
        io::ErrorKind::AlreadyExists => exists(out),
        _ => io_error(e.error),
    })?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error)?;
    Ok(ExportReport {
        capture: capture.id(),
        precision: Precision::of_run(run.info()),
        num_tensors: tensors.len(),
        num_bytes,
    })
}

fn exists(out: &Path) -> ExportError {
    ExportError::Exists {
        path: out.to_owned(),
    }
}

fn missing_column(capture: CaptureId, tensor: &Planned<'_>) -> ExportError {
    let layer = tensor.layer.layer.to_string();
    match tensor.column {
        "weights" => ReadCaptureError::StatisticsOnly { capture, layer }.into(),
        column => ExportError::Layer {
            layer,
            problem: format!("it has no {column}, and should have {}", tensor.name),
        },
    }
}

/// A file beside its place that is gone unless it is persisted.
fn create(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".recorder-").suffix(".tmp");
    // As any new file; a temporary one would be its owner's alone.
    #[cfg(unix)]
    builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    builder.tempfile_in(directory)
}

/// The layers that have tensors.
fn with_tensors(run: &RunDir) -> impl Iterator<Item = &Layer> {
    let layers = run.info().layers.layers().iter();
    layers.filter(|layer| layer.kind != TAP)
}

/// Makes sure that a capture has weights of all layers.
fn require_all(layers: &[&Layer], capture: &CaptureFiles<'_>) -> Result<(), ExportError> {
    let is_missing = |layer: &&&Layer| layer.num_units > 0 && !capture.has_layer(layer);
    if let Some(missing) = layers.iter().find(is_missing) {
        let num_missing = layers.iter().filter(is_missing).count();
        if num_missing == layers.len() {
            return Err(capture.not_recorded(Table::Weights, None).into());
        }
        return Err(ExportError::LayersMissing {
            capture: capture.id(),
            num_recorded: layers.len() - num_missing,
            num_layers: layers.len(),
            missing: missing.layer.to_string(),
        });
    }
    Ok(())
}

/// Every tensor of layers.
fn plan<'a>(
    layers: &[&'a Layer],
    capture: &CaptureFiles<'_>,
) -> Result<Vec<Planned<'a>>, ExportError> {
    let mut tensors = Vec::new();
    for &layer in layers {
        let named = match layer.tensors.is_empty() {
            true => conventional(layer, capture)?,
            false => layer.tensors.clone(),
        };
        for (tensor, column) in named.iter().zip(["weights", "bias"]) {
            tensors.push(planned(layer, tensor, column)?);
        }
    }
    Ok(tensors)
}

/// The tensors of a layer by PyTorch's names: `weight` and `bias` of the module, or the name of what is
/// no module's weight, as a buffer's.
fn conventional(
    layer: &Layer,
    capture: &CaptureFiles<'_>,
) -> Result<Vec<LayerTensor>, ExportError> {
    let has_bias = capture.visit_weights(layer, "bias", |_| Ok::<(), ExportError>(()))?;
    let tensor = |parameter: &str, shape| LayerTensor {
        name: conventional_name(&layer.module_path, &layer.kind, parameter),
        dtype: Dtype::F32.to_string(),
        shape,
        transposed: false,
    };
    let mut tensors = vec![tensor("weight", layer.shape.clone())];
    if has_bias {
        tensors.push(tensor("bias", vec![layer.num_units.into()]));
    }
    Ok(tensors)
}

/// PyTorch's name for a layer's `weight` or `bias`.
pub fn conventional_name(module_path: &str, kind: &str, parameter: &str) -> String {
    match (module_path, kind) {
        // The model is one module itself.
        ("" | "weight" | "gamma", _) => parameter.to_owned(),
        (tensor, "buffer" | "parameter") => tensor.to_owned(),
        (module, _) => format!("{module}.{parameter}"),
    }
}

fn planned<'a>(
    layer: &'a Layer,
    tensor: &LayerTensor,
    column: &'static str,
) -> Result<Planned<'a>, ExportError> {
    let error = |problem| ExportError::Layer {
        layer: layer.layer.to_string(),
        problem,
    };
    let dtype: Dtype = serde_json::from_value(tensor.dtype.clone().into())
        .ok()
        .filter(|dtype| is_supported(*dtype))
        .ok_or_else(|| error(format!("run.json gives it the type {:?}", tensor.dtype)))?;
    let num_values = match column {
        "weights" => u64::from(layer.num_units) * u64::from(layer.fan_in),
        _ => layer.num_units.into(),
    };
    let product = |shape: &[u64]| shape.iter().try_fold(1u64, |n, size| n.checked_mul(*size));
    if product(&tensor.shape) != Some(num_values) {
        let (name, shape) = (&tensor.name, &tensor.shape);
        return Err(error(format!(
            "{name} has the shape {shape:?} in run.json, and {num_values} values"
        )));
    }
    let shape: Vec<usize> = tensor.shape.iter().map(|&size| size as usize).collect();
    // Rows of checkpoints, whose layers are of other kinds, are along axis 0 unless they say so.
    let is_by_group = column == "weights" && layer.kind.starts_with("conv_transpose");
    let rows = match (is_by_group, shape.as_slice()) {
        _ if tensor.transposed => Rows::Transposed,
        (true, &[num_inputs, units_per_group, ..]) => {
            let groups = (layer.num_units as usize).checked_div(units_per_group);
            let groups = groups.filter(|&groups| groups > 0 && num_inputs.is_multiple_of(groups));
            let has_no_groups = || error(format!("{shape:?} has no groups of units"));
            Rows::ByGroup {
                groups: groups.ok_or_else(has_no_groups)?,
            }
        }
        _ => Rows::AsTheyAre,
    };
    Ok(Planned {
        name: tensor.name.clone(),
        dtype,
        shape,
        layer,
        column,
        rows,
    })
}

/// The header and the length before it.
fn header(tensors: &[Planned<'_>]) -> Result<Vec<u8>, SafeTensorError> {
    let mut offset = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = offset;
        offset += tensor.num_bytes();
        let info = TensorInfo {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            data_offsets: (start, offset),
        };
        (tensor.name.clone(), info)
    });
    // Some readers insist on it.
    let format = ("format".to_owned(), "pt".to_owned());
    let metadata = Metadata::new(Some([format].into()), infos.collect())?;
    let mut json = serde_json::to_vec(&metadata)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    Ok(header)
}

#[cfg(test)]
mod tests;
