//! What the command line's parser cannot check of `recorder train`: values that belong together, or
//! have no range of whole numbers.

use recorder::Phases;

use super::args::{Detail, Model, TrainArgs};
use super::tables::RecordedTables;

impl TrainArgs {
    /// Checks everything that can be known before the data is read.
    ///
    /// # Errors
    /// The first thing that does not go together, in words.
    pub(in crate::cli) fn check(&self) -> Result<(), String> {
        let in_words = |error: &dyn std::fmt::Display| error.to_string();
        let config = self.train_config();
        self.data.spec().map_err(|error| in_words(&error))?;
        config.validate().map_err(|error| in_words(&error))?;
        let reached = self.every.check(config.last_epoch());
        reached.map_err(|error| in_words(&error))?;
        self.check_model()?;
        self.check_ranks()?;
        if self.commits.is_some() && self.record == RecordedTables::default() {
            return Err(
                "--commits tells what is committed, and --record none records nothing".to_owned(),
            );
        }
        self.check_values()
    }

    fn check_model(&self) -> Result<(), String> {
        if self.model == Model::Mlp {
            let given = [
                ("--channels", self.channels.is_some()),
                ("--image", self.image.is_some()),
            ];
            if let Some((option, _)) = given.iter().find(|(_, is_given)| *is_given) {
                return Err(format!("{option} needs --model cnn"));
            }
        }
        Ok(())
    }

    /// Checks what ranks and resuming need.
    fn check_ranks(&self) -> Result<(), String> {
        let (rank, world_size) = (self.rank, self.world_size);
        if rank >= world_size {
            return Err(format!(
                "there is no rank {rank} among {world_size}: ranks are 0 to {}; --world-size says how \
                 many there are",
                world_size - 1
            ));
        }
        if world_size > 1 && self.out.is_none() {
            return Err("--world-size needs --out, the same for all ranks".to_owned());
        }
        if self.resume && self.out.is_none() {
            return Err("--resume needs --out, the run to go on with".to_owned());
        }
        if self.resume && self.record == RecordedTables::default() {
            return Err("--resume goes on with a run, and --record none writes none".to_owned());
        }
        if world_size > 1 && self.limits().leave_captures_out() {
            return Err(
                "--when-full thin, --when-full drop, --max-overhead and --max-disk need one process: ranks would \
                 leave out different captures"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Checks that what is said of values is said of some that are recorded.
    fn check_values(&self) -> Result<(), String> {
        if self.phases != Phases::default() && !self.record.activations {
            return Err("--phases is of activations, which are not in --record".to_owned());
        }
        let has_gradients =
            self.record.gradients || self.record.gradients_applied || self.record.moments;
        if self.gradients == Detail::Stats && !has_gradients {
            let needed = "--gradients is of gradients and moments, which are not in --record";
            return Err(needed.to_owned());
        }
        let has_values = self.record.weights || (self.record.activations && self.phases.eval);
        if self.histograms.is_some() && !has_values {
            let needed = "--histograms needs weights or held-out activations in --record";
            return Err(needed.to_owned());
        }
        Ok(())
    }
}
