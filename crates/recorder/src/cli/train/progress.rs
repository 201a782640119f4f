//! What is said while a session goes on.

use std::path::Path;
use std::time::Duration;

use console::{Console, Pace};
use indicatif::{HumanBytes, HumanCount};
use recorder::{
    Dataset, EpochProgress, RecordError, Resolution, SessionObserver, SessionOptions, Task,
};
use trace::{Epoch, partition_warning};

/// In a log, progress is said no more often than this.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Says on a terminal, or in a log, how a session goes on.
pub(super) struct Progress {
    console: Console,
    /// Of lines in a log, where there is no terminal.
    pace: Option<Pace>,
    /// Whether the data is from a file, so that there is something to tell about it.
    from_file: bool,
    /// Whether it was left to the data what is predicted.
    task_inferred: bool,
}

impl Progress {
    pub(super) fn new(options: &SessionOptions, console: Console) -> Self {
        console.bar().set_length(options.train.epochs as u64);
        console.draw_bar("{bar:24} epoch {pos}/{len} {msg} eta {eta}");
        Self {
            pace: (!console.is_terminal()).then(|| Pace::new(LOG_INTERVAL)),
            console,
            from_file: options.dataset.file().is_some(),
            task_inferred: options
                .dataset
                .file()
                .is_some_and(|file| file.task.is_none()),
        }
    }
}

/// What somebody wants to see confirmed of data of their own.
fn describe_data(dataset: &Dataset, task_inferred: bool) -> String {
    let targets = dataset.target_names().join(", ");
    let predicted = match dataset.task() {
        Task::Classification => {
            format!("{} classes of {targets}", dataset.class_names().len())
        }
        Task::Binary => format!("{targets} as {}", dataset.class_names().join(" or ")),
        Task::MultiLabel => format!("the labels {targets}"),
        Task::Regression => format!("the numbers {targets}"),
    };
    let inferred = match task_inferred {
        true => ", as it looks; --task says otherwise",
        false => "",
    };
    format!(
        "data: {} samples to train on, {} held out ({}); {} inputs predict {predicted} ({}{inferred})",
        HumanCount(dataset.info().num_train),
        HumanCount(dataset.info().num_held_out),
        dataset.info().held_out,
        dataset.num_inputs(),
        dataset.task().as_str(),
    )
}

impl SessionObserver for Progress {
    fn loaded(&mut self, dataset: &Dataset) {
        if self.from_file {
            self.console
                .say(&describe_data(dataset, self.task_inferred));
            for note in dataset.notes() {
                self.console.say(&format!("data: {note}"));
            }
        }
    }

    fn resumed(&mut self, epoch: Epoch, num_retired: usize) {
        let anew = match num_retired {
            0 => String::new(),
            1 => "; 1 capture is recorded anew".to_owned(),
            n => format!("; {n} captures are recorded anew"),
        };
        let num_epochs = self.console.bar().length().unwrap_or(0);
        self.console.say(&format!(
            "going on with epoch {} of {num_epochs}{anew}",
            epoch.0 + 1
        ));
    }

    fn started(&mut self, device: &Resolution, run: Option<&Path>) {
        let console = &self.console;
        console.say(&format!("training on {}", device.reason));
        console.say(&match run {
            Some(run) => format!("recording into {}", run.display()),
            None => "recording nothing".to_owned(),
        });
        if let Some(warning) = run.and_then(partition_warning) {
            console.say(&format!("warning: {warning}"));
        }
        console.bar().reset();
    }

    fn disk_full(&mut self, run: &Path) {
        self.console.say(&format!(
            "warning: {} has reached --max-disk, recording has stopped and training goes on",
            run.display()
        ));
    }

    fn recording_failed(&mut self, run: &Path, error: &RecordError) {
        self.console.say(&format!(
            "warning: recording into {} failed, training goes on without it: {}",
            run.display(),
            error.with_causes()
        ));
    }

    fn waits_for_room(&mut self, run: &Path, error: &RecordError) {
        self.console.say(&format!(
            "warning: recording into {} has stopped until there is room, training goes on: {}",
            run.display(),
            error.with_causes()
        ));
    }

    fn taken_up(&mut self, run: &Path, lost_captures: u64) {
        let lost = match lost_captures {
            1 => "1 capture was lost".to_owned(),
            n => format!("{} captures were lost", HumanCount(n)),
        };
        self.console.say(&format!(
            "there is room again, recording into {} goes on: {lost}",
            run.display()
        ));
    }

    fn epoch_done(&mut self, progress: &EpochProgress) {
        let message = format!(
            "loss {:.4} {} recorded {}",
            progress.eval_loss,
            progress.eval_score,
            HumanBytes(progress.part_bytes)
        );
        let epoch = u64::try_from(progress.train.epoch.0).unwrap_or(0);
        let bar = self.console.bar();
        bar.set_position(epoch + 1);
        let num_epochs = bar.length().unwrap_or(0);
        if let Some(pace) = &mut self.pace
            && (pace.is_due() || epoch + 1 == num_epochs)
        {
            let line = format!("epoch {}/{num_epochs} {message}", epoch + 1);
            self.console.say(&line);
        }
        self.console.bar().set_message(message);
    }
}
