//! The names of what is done to a disk.

use std::fmt;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A file is created.
    CreateFile,
    /// Bytes are written to it.
    Write,
    /// They are made durable.
    SyncFile,
    /// A directory is created.
    CreateDir,
    /// The names in directories are made durable.
    SyncDirs,
    /// Everything in a file system is made durable.
    SyncFileSystem,
    /// A file gets another name.
    Rename,
    /// Two files or directories exchange their names.
    Exchange,
    /// A file gets a second name.
    Link,
    /// A directory is listed.
    List,
    /// A file is read.
    Read,
    /// A file is removed.
    RemoveFile,
    /// An empty directory is removed.
    RemoveDir,
}

impl Operation {
    /// Whether it makes something durable.
    pub fn is_sync(self) -> bool {
        matches!(self, Self::SyncFile | Self::SyncDirs | Self::SyncFileSystem)
    }

    /// Whether it leaves the disk as it is.
    pub fn is_look(self) -> bool {
        matches!(self, Self::List | Self::Read)
    }
}

/// What it is done to, or for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A run's directory, and those above it that are made with it.
    Run,
    /// `run.json`, and what is staged for it.
    RunFile,
    /// The directory of the commits.
    Commits,
    /// The staging directories.
    Staging,
    /// A part file in a staging directory.
    StagedPart,
    /// A commit record in a staging directory.
    StagedRecord,
    /// A part file in its table, and the directories down to it.
    Part,
    /// A commit record under its number.
    Record,
    /// A roll-up of records, and what is staged for it.
    Rollup,
    /// A file of commits that a roll-up covers.
    Covered,
    /// A part file that was retired or is left over, and the directories that are empty without it.
    Retired,
    /// A history that is written anew, by a repair or an upgrade, and the one whose place it takes.
    History,
    /// What a repair moves aside, and the directory that it goes to.
    Damaged,
}

/// An operation on a subject: a place in the protocol by which a run is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// What is done.
    pub operation: Operation,
    /// What it is done to.
    pub subject: Subject,
}

impl Point {
    /// Every point that a run is written through.
    pub const ALL: &[Point] = &[
        // A run is created.
        Point::of(Operation::CreateDir, Subject::Run),
        Point::of(Operation::SyncDirs, Subject::Run),
        Point::of(Operation::List, Subject::Run),
        Point::of(Operation::CreateDir, Subject::Commits),
        Point::of(Operation::SyncDirs, Subject::Commits),
        Point::of(Operation::CreateFile, Subject::RunFile),
        Point::of(Operation::Write, Subject::RunFile),
        Point::of(Operation::SyncFile, Subject::RunFile),
        Point::of(Operation::Link, Subject::RunFile),
        Point::of(Operation::RemoveFile, Subject::RunFile),
        Point::of(Operation::SyncDirs, Subject::RunFile),
        Point::of(Operation::Read, Subject::RunFile),
        // A writer begins, and ends.
        Point::of(Operation::CreateDir, Subject::Staging),
        Point::of(Operation::List, Subject::Staging),
        Point::of(Operation::RemoveFile, Subject::Staging),
        Point::of(Operation::RemoveDir, Subject::Staging),
        Point::of(Operation::List, Subject::Commits),
        // Files are staged.
        Point::of(Operation::CreateFile, Subject::StagedPart),
        Point::of(Operation::Write, Subject::StagedPart),
        Point::of(Operation::SyncFile, Subject::StagedPart),
        Point::of(Operation::RemoveFile, Subject::StagedPart),
        Point::of(Operation::CreateFile, Subject::StagedRecord),
        Point::of(Operation::Write, Subject::StagedRecord),
        Point::of(Operation::SyncFile, Subject::StagedRecord),
        Point::of(Operation::RemoveFile, Subject::StagedRecord),
        Point::of(Operation::SyncFileSystem, Subject::StagedPart),
        Point::of(Operation::SyncFileSystem, Subject::StagedRecord),
        // Part files get their names.
        Point::of(Operation::CreateDir, Subject::Part),
        Point::of(Operation::Rename, Subject::Part),
        Point::of(Operation::RemoveFile, Subject::Part),
        Point::of(Operation::SyncDirs, Subject::Part),
        Point::of(Operation::SyncFileSystem, Subject::Part),
        // The record gets its number.
        Point::of(Operation::Link, Subject::Record),
        Point::of(Operation::Read, Subject::Record),
        Point::of(Operation::RemoveFile, Subject::Record),
        Point::of(Operation::SyncDirs, Subject::Record),
        Point::of(Operation::SyncFileSystem, Subject::Record),
        // What it retires goes, and what is left over.
        Point::of(Operation::List, Subject::Retired),
        Point::of(Operation::RemoveFile, Subject::Retired),
        Point::of(Operation::RemoveDir, Subject::Retired),
        Point::of(Operation::SyncDirs, Subject::Retired),
        Point::of(Operation::SyncFileSystem, Subject::Retired),
        // Records are rolled up.
        Point::of(Operation::CreateFile, Subject::Rollup),
        Point::of(Operation::Write, Subject::Rollup),
        Point::of(Operation::SyncFile, Subject::Rollup),
        Point::of(Operation::Link, Subject::Rollup),
        Point::of(Operation::RemoveFile, Subject::Rollup),
        Point::of(Operation::Read, Subject::Rollup),
        Point::of(Operation::SyncDirs, Subject::Rollup),
        Point::of(Operation::RemoveFile, Subject::Covered),
    ];

    /// Every point that a run is repaired or upgraded through.
    pub const OF_REPAIRS: &[Point] = &[
        Point::of(Operation::Read, Subject::RunFile),
        Point::of(Operation::List, Subject::Commits),
        Point::of(Operation::Read, Subject::Record),
        // What is moved, and why, is written down.
        Point::of(Operation::CreateDir, Subject::Damaged),
        Point::of(Operation::CreateFile, Subject::Damaged),
        Point::of(Operation::Write, Subject::Damaged),
        Point::of(Operation::SyncFile, Subject::Damaged),
        // The new history is written.
        Point::of(Operation::CreateDir, Subject::History),
        Point::of(Operation::CreateFile, Subject::History),
        Point::of(Operation::Write, Subject::History),
        Point::of(Operation::SyncFile, Subject::History),
        Point::of(Operation::SyncDirs, Subject::History),
        // What goes gets a second name, and loses the first when everything is in place.
        Point::of(Operation::Link, Subject::Damaged),
        Point::of(Operation::RemoveFile, Subject::Damaged),
        Point::of(Operation::SyncDirs, Subject::Damaged),
        // The new history takes the place of the old one, or that which is missing, and so does run.json.
        Point::of(Operation::Exchange, Subject::History),
        Point::of(Operation::Rename, Subject::History),
        Point::of(Operation::CreateFile, Subject::RunFile),
        Point::of(Operation::Write, Subject::RunFile),
        Point::of(Operation::SyncFile, Subject::RunFile),
        Point::of(Operation::Exchange, Subject::RunFile),
        Point::of(Operation::Rename, Subject::RunFile),
        Point::of(Operation::RemoveFile, Subject::RunFile),
        Point::of(Operation::SyncDirs, Subject::RunFile),
        // The old one goes.
        Point::of(Operation::List, Subject::History),
        Point::of(Operation::RemoveFile, Subject::History),
        Point::of(Operation::RemoveDir, Subject::History),
    ];

    /// The point of an operation on a subject.
    pub const fn of(operation: Operation, subject: Subject) -> Self {
        Self { operation, subject }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.operation, self.subject)
    }
}
