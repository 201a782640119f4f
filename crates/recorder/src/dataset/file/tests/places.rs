//! Data that is not where it was: its checksum decides.

use trace::DatasetInfo;

use super::*;
use crate::dataset::DataPlace;

/// A project with data below it, which was trained on with a file held out.
struct Project {
    root: TempDir,
    info: DatasetInfo,
}

impl Project {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let data = root.path().join("project/data");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("train.csv"), flowers()).unwrap();
        fs::write(data.join("test.csv"), "length,width,kind\n1,2,setosa\n").unwrap();
        let spec = FileSpec::new(FileFormat::Csv, data.join("train.csv"), &["kind"]);
        let spec = held_out_in(spec, data.join("test.csv"));
        let info = load(&spec, 1).unwrap().info().clone();
        Self { root, info }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn find(&self, run: &str, place: &DataPlace) -> Result<Dataset, DatasetError> {
        Dataset::find(&self.info, 1, place, Some(&self.path(run)))
    }
}

fn at(data: PathBuf) -> DataPlace {
    DataPlace {
        data: Some(data),
        held_out: None,
    }
}

#[test]
fn data_that_was_moved_with_its_run_is_found() {
    let project = Project::new();
    let nowhere = DataPlace::default();
    assert!(project.find("project/traces/run", &nowhere).is_ok());
    fs::rename(project.path("project"), project.path("moved")).unwrap();
    let found = project.find("moved/traces/run", &nowhere).unwrap();
    assert_eq!(found.held_out().len(), 1);
    // Another directory of the data alone.
    fs::rename(project.path("moved/data"), project.path("moved/files")).unwrap();
    let error = project.find("moved/traces/run", &nowhere).unwrap_err();
    let told = error.to_string();
    assert!(
        matches!(error, DatasetError::Moved { .. })
            && told.contains("--data FILE says where it is now"),
        "{told}"
    );
    // The held-out file is beside it, unless somebody says otherwise.
    let data = project.path("moved/files/train.csv");
    let told = at(data.clone());
    assert!(project.find("moved/traces/run", &told).is_ok());
    fs::rename(
        project.path("moved/files/test.csv"),
        project.path("elsewhere.csv"),
    )
    .unwrap();
    assert!(matches!(
        project.find("moved/traces/run", &told),
        Err(DatasetError::Read { .. })
    ));
    let both = DataPlace {
        data: Some(data),
        held_out: Some(project.path("elsewhere.csv")),
    };
    assert!(project.find("moved/traces/run", &both).is_ok());
}

#[test]
fn only_the_same_bytes_are_the_data() {
    let project = Project::new();
    let nowhere = DataPlace::default();
    let other = flowers() + "1,2,setosa\n";
    // A file of the name that is another one is not taken.
    fs::rename(project.path("project"), project.path("moved")).unwrap();
    fs::write(project.path("moved/data/train.csv"), &other).unwrap();
    assert!(matches!(
        project.find("moved/traces/run", &nowhere),
        Err(DatasetError::Moved { .. })
    ));
    // Nor where it was, if it is to be had elsewhere.
    fs::create_dir_all(project.path("project/data")).unwrap();
    fs::write(project.path("project/data/train.csv"), &other).unwrap();
    fs::copy(
        project.path("moved/data/test.csv"),
        project.path("project/data/test.csv"),
    )
    .unwrap();
    let error = project
        .find("moved/traces/run", &nowhere)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is not the one that was recorded: its checksum is ")
            && error.ends_with("; --data FILE says where the data is as it was"),
        "{error}"
    );
    fs::write(project.path("moved/data/train.csv"), flowers()).unwrap();
    assert!(project.find("moved/traces/run", &nowhere).is_ok());
    // What somebody names is what is taken, or nothing.
    let named = at(project.path("project/data/train.csv"));
    assert!(matches!(
        project.find("moved/traces/run", &named),
        Err(DatasetError::Changed {
            field: "checksum",
            ..
        })
    ));
}

#[test]
fn images_are_found_with_their_labels() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("set");
    fs::create_dir(&data).unwrap();
    for (set, num) in [("train", 4u32), ("t10k", 2)] {
        let labels: Vec<u8> = (0..num).map(|index| (index % 2) as u8).collect();
        let write = |name: &str, bytes: Vec<u8>| {
            fs::write(data.join(format!("{set}-{name}-ubyte")), bytes).unwrap()
        };
        write("images-idx3", idx_bytes(&[num, 1, 1], &labels));
        write("labels-idx1", idx_bytes(&[num], &labels));
    }
    let info = load(&idx(data.clone()), 1).unwrap().info().clone();
    let moved = root.path().join("elsewhere");
    fs::rename(&data, &moved).unwrap();
    let find = |place: &DataPlace| Dataset::find(&info, 1, place, None);
    assert!(find(&DataPlace::default()).is_err());
    assert_eq!(find(&at(moved.clone())).unwrap().held_out().len(), 2);
    assert_eq!(
        find(&at(moved.join("train-images-idx3-ubyte")))
            .unwrap_err()
            .to_string(),
        format!(
            "cannot read the data {}",
            data.join("t10k-images-idx3-ubyte").display()
        )
    );
    // A built-in set is nowhere.
    let digits = Dataset::load(crate::dataset::DatasetKind::Digits, 0, 64).unwrap();
    assert!(matches!(
        Dataset::find(digits.info(), 0, &at(moved), None),
        Err(DatasetError::Options(_))
    ));
}

#[test]
fn a_description_of_an_earlier_version_is_read_as_it_was_then() {
    let files = Files::new();
    // A column that counts, without a name, which was an input; values that 32 bits round.
    let rows = (0..20).map(|row| format!("{row},16777217,{}\n", ["u", "v"][row % 2]));
    let rows: String = rows.collect();
    let test = files.write("test.csv", ",b,y\n3,16777217,u\n");
    let spec = unscaled(held_out_in(
        files.csv(&format!(",b,y\n{rows}"), &["y"]),
        test,
    ));
    let mut info = load(&spec, 1).unwrap().info().clone();
    let details = info.details.as_mut().unwrap();
    for key in [
        "kept",
        "left_out",
        "categorical",
        "missing",
        "not_missing",
        "delimiter",
        "decimal",
    ] {
        details["options"]
            .as_object_mut()
            .unwrap()
            .remove(key)
            .unwrap();
    }
    details.as_object_mut().unwrap().remove("values").unwrap();
    details["inputs"]["names"] = serde_json::json!(["", "b"]);
    let found = Dataset::from_info(&info, 1).unwrap();
    // 2^24 + 1 is 2^24 in 32 bits.
    assert_eq!(found.held_out().inputs(), [3.0, 16_777_216.0]);
    assert!(found.notes().iter().all(|note| !note.contains("left out")));
}

#[test]
fn a_file_is_found_again_and_one_that_changed_is_told() {
    let files = Files::new();
    let spec = DatasetSpec::from(files.csv(&flowers(), &["kind"]));
    let recorded = Dataset::open(&spec, 7, 64).unwrap();
    let again = Dataset::from_info(recorded.info(), 7).unwrap();
    assert_eq!(again.held_out(), recorded.held_out());
    assert_eq!(again.info(), recorded.info());
    let path = &spec.file().unwrap().path;
    // What is left out of the samples counts as well: the bytes are compared.
    fs::write(path, flowers() + "\n").unwrap();
    assert!(matches!(
        Dataset::from_info(recorded.info(), 7),
        Err(DatasetError::Changed {
            field: "checksum",
            ..
        })
    ));
    fs::remove_file(path).unwrap();
    assert!(matches!(
        Dataset::from_info(recorded.info(), 7),
        Err(DatasetError::Read { .. })
    ));
    let mut info = recorded.info().clone();
    info.details = None;
    assert!(matches!(
        Dataset::from_info(&info, 7),
        Err(DatasetError::Options(_))
    ));
}
