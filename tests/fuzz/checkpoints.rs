//! What reads checkpoints of other frameworks, and the words by which recording is asked for: schedules, globs
//! of layers, patterns of names.

use std::fs;
use std::path::{Path, PathBuf};

use capture::{
    CancelToken, ImportOptions, ImportPlan, LayerSelection, NamePattern, Schedule, TransposeGlobs,
};
use trace::{Epoch, RunInfo, Step, with_causes};

/// A network whose layers are selected.
const RUN_JSON: &[u8] = include_bytes!("corpus/run_json/seed-tiny.json");

/// A checkpoint that is whole.
const CHECKPOINT: &[u8] = include_bytes!("corpus/safetensors/seed-linear.safetensors");

/// A name may be as long as file systems allow.
const MAX_NAME_BYTES: usize = 200;

/// Of so many checkpoints that could be imported one is.
const IMPORTED: usize = 8;

/// A safetensors file.
pub fn safetensors(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("model-1.safetensors");
    fs::write(&path, bytes).expect("a file in it");
    plan(&dir.path().join("run"), path, None, bytes.len());
}

/// The index of a checkpoint of several files, of which one is there.
pub fn shard_index(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("model-1.safetensors.index.json");
    fs::write(&path, bytes).expect("a file in it");
    let shard = dir.path().join("model-00001-of-00002.safetensors");
    fs::write(shard, CHECKPOINT).expect("a file in it");
    plan(&dir.path().join("run"), path, None, bytes.len());
}

/// A file's name, and in another line a pattern of names.
pub fn checkpoint_names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (name, pattern) = text.split_once('\n').unwrap_or((&text, ""));
    let pattern: Option<NamePattern> = match pattern.parse() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            told(&error);
            None
        }
    };
    let is_name = !name.contains(['/', '\0']) && !matches!(name, "" | "." | "..");
    if !is_name || name.len() > MAX_NAME_BYTES {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join(name);
    fs::write(&path, CHECKPOINT).expect("a file of any name");
    plan(&dir.path().join("run"), path, pattern, 1);
}

/// A schedule of captures.
pub fn schedule(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let schedule: Schedule = match text.parse() {
        Ok(schedule) => schedule,
        Err(error) => return told(&error),
    };
    let again = schedule.to_string().parse();
    assert_eq!(
        again,
        Ok(schedule.clone()),
        "what was printed is read again"
    );
    for number in [-1, 0, 1, i32::MAX - 1, i32::MAX] {
        _ = schedule.is_due(Epoch(number), Epoch(i32::MAX));
        _ = schedule.check(Epoch(number));
    }
    for number in [i64::MIN, -1, 0, 1, i64::MAX] {
        _ = schedule.is_step_due(Step(number));
    }
}

/// Globs of layers.
pub fn layer_globs(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let selection: LayerSelection = match text.parse() {
        Ok(selection) => selection,
        Err(error) => return told(&error),
    };
    assert_eq!(selection.to_string(), text);
    let info: RunInfo = serde_json::from_slice(RUN_JSON).expect("a run that is whole");
    if let Err(error) = selection.select(&info.layers) {
        told(&error);
    }
}

/// Plans to import a checkpoint, and does it for some.
fn plan(out: &Path, checkpoint: PathBuf, pattern: Option<NamePattern>, draw: usize) {
    let cancel = CancelToken::default();
    let options = ImportOptions {
        checkpoints: vec![checkpoint],
        out: out.to_owned(),
        library: None,
        pattern,
        steps_per_epoch: None,
        lossy: draw.is_multiple_of(2),
        transpose: TransposeGlobs::default(),
        strip_prefix: vec!["module.".to_owned()],
        compress: None,
        max_part_bytes: None,
        resume: false,
    };
    let plan = match ImportPlan::try_new(&options, &cancel) {
        Ok(plan) => plan,
        Err(error) => return told(&error),
    };
    assert!(!out.exists(), "a plan creates nothing");
    for note in plan.notes() {
        _ = note.to_string();
    }
    _ = (
        plan.odd(),
        plan.captures().len(),
        plan.topology().num_neurons(),
    );
    if draw.is_multiple_of(IMPORTED)
        && let Err(error) = capture::import(&options, &cancel, &mut |_| {})
    {
        told(&error);
    }
}

/// An error is told with its causes, as programs do.
fn told(error: &dyn std::error::Error) {
    _ = with_causes(error);
}
