//! What is told of a repair: what it does, and what is lost.

use std::collections::HashSet;

use super::Planned;
use crate::commit::CommitRecord;
use crate::place::{COMMITS_DIR, RUN_FILE};
use crate::repair::MovedFile;
use crate::repair::named::Renamed;
use crate::repair::orphans::{Key, key_of};
use crate::repair::run_file::Origin;
use crate::repair::survey::Survey;

/// What is told of a plan.
pub(super) struct Told<'a> {
    pub(super) survey: &'a Survey,
    pub(super) planned: &'a Planned<'a>,
    pub(super) records: Option<&'a [CommitRecord]>,
    pub(super) moved: &'a [MovedFile],
    pub(super) renamed: &'a [Renamed],
}

/// What is done, and what is lost.
pub(super) fn told(told: &Told<'_>) -> (Vec<String>, Vec<String>) {
    let (mut actions, mut lost) = (Vec::new(), Vec::new());
    let planned = told.planned;
    if let Some(records) = told.records {
        for name in &told.survey.corrected {
            actions.push(format!(
                "put right one byte of {COMMITS_DIR}/{name}, by its checksum"
            ));
        }
        for bad in &told.survey.bad {
            actions.push(format!(
                "leave out {COMMITS_DIR}/{}: {}",
                bad.name, bad.reason
            ));
        }
        let strays = told.survey.strays.iter();
        let is_left_out = |name: &&String| {
            let mut doubled = planned.survivors.doubled.iter();
            told.survey.bad.iter().any(|bad| bad.name == **name)
                || doubled.any(|doubled| *doubled.file == ***name)
        };
        for name in strays.filter(|name| !is_left_out(name)) {
            actions.push(format!(
                "take what {COMMITS_DIR}/{name} says for a record, whose name it has not"
            ));
        }
        actions.push(format!(
            "write {COMMITS_DIR}/ anew, with {}",
            counted(records.len(), "record")
        ));
        let survivors = planned.survivors.records.values();
        let num_final = survivors.filter(|found| found.record.is_final).count();
        if records.iter().filter(|record| record.is_final).count() < num_final {
            actions.push(
                "take back that everything was recorded: nobody can tell whether all is here that was committed"
                    .to_owned(),
            );
        }
        let num_lost = planned.survivors.num_lost();
        if num_lost > 0 {
            let records = if num_lost == 1 { "record" } else { "records" };
            lost.push(format!(
                "{num_lost} commit {records}: what they say that is not in the files that they named"
            ));
        }
    }
    for doubled in &planned.survivors.doubled {
        lost.push(format!(
            "commit {} as {COMMITS_DIR}/{} says it, since more speaks for another: what it says that is not in the \
             files that it named",
            doubled.number, doubled.file
        ));
    }
    for number in &planned.survivors.broken {
        lost.push(format!(
            "what made commit {} follow commit {number}: one of the two is not what was committed, or a commit \
             between them is gone",
            number + 1
        ));
    }
    for renamed in told.renamed {
        actions.push(format!(
            "give {} its name again: {}",
            renamed.from, renamed.to
        ));
    }
    for ((rank, id, _), files) in &planned.restored.files {
        let key = |key: &Key| (key.0, key.1) == (*rank, *id);
        let what = match planned.restored.captures.iter().any(key) {
            true => "the capture of",
            false => "files of",
        };
        actions.push(format!(
            "name again {what} epoch {}, step {} of rank {rank}: {}",
            id.epoch,
            id.step,
            counted(files.len(), "file")
        ));
    }
    for file in &planned.restored.derived {
        actions.push(format!("name again {}", file.path));
    }
    match planned.run_file.origin {
        Origin::AsItIs => {}
        Origin::Corrected => {
            actions.push(format!("put right one byte of {RUN_FILE}, by its checksum"))
        }
        Origin::Copied => actions.push(format!("write {RUN_FILE} anew, as the records keep it")),
        Origin::Rebuilt => {
            actions.push(format!(
                "write {RUN_FILE} anew, by the records and the part files"
            ));
            lost.push(format!(
                "what {RUN_FILE} said of the model, the data, the classes, and how layers are joined: the run \
                 can be asked, and not be resumed or replayed"
            ));
        }
    }
    if !told.moved.is_empty() {
        actions.push(format!(
            "move {} aside",
            counted(told.moved.len(), "part file")
        ));
    }
    for ((rank, id, _), reason) in planned.captures.lost() {
        lost.push(format!(
            "the capture of epoch {}, step {} of rank {rank}: {reason}",
            id.epoch, id.step
        ));
    }
    let mut told_keys = HashSet::new();
    for rejected in planned.restored.rejected.iter().filter(|r| r.is_lost) {
        let (rank, id, _) = key_of(&rejected.part);
        match rejected.part.table.is_of_captures() {
            true if told_keys.insert((rank, id)) => lost.push(format!(
                "the capture of epoch {}, step {} of rank {rank}, if it was committed: {}: {}",
                id.epoch, id.step, rejected.part, rejected.reason
            )),
            true => {}
            false => lost.push(format!("{}: {}", rejected.part, rejected.reason)),
        }
    }
    let others = planned.named.iter().filter(|named| {
        !named.is_replaced
            && named
                .part
                .as_ref()
                .is_none_or(|part| !part.table.is_of_captures())
    });
    for named in others {
        if let Some(bad) = &named.bad {
            lost.push(format!("{}: {bad}", named.entry.path));
        }
    }
    (actions, lost)
}

/// So many of something, in words.
fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
