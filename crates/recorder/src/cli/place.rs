//! Where the data of a run is that is read again.

use std::path::PathBuf;

use clap::Args;
use recorder::DataPlace;

/// Where the data of a run is that is read again.
#[derive(Debug, Default, Args)]
pub(super) struct PlaceArgs {
    /// Where the run's data is now, where that is neither where it was nor near the run: its checksum
    /// has to be the same
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Where the file of held-out samples is now, likewise [default: where it was, or beside --data]
    #[arg(long, value_name = "FILE")]
    held_out: Option<PathBuf>,
}

impl PlaceArgs {
    pub(super) fn place(&self) -> DataPlace {
        DataPlace {
            data: self.data.clone(),
            held_out: self.held_out.clone(),
        }
    }
}
