use super::*;

fn files(sizes: &[u64]) -> Vec<PartitionedFile> {
    let file = |(index, size): (usize, &u64)| PartitionedFile::new(index.to_string(), *size);
    sizes.iter().enumerate().map(file).collect()
}

fn names(groups: &[FileGroup]) -> Vec<Vec<String>> {
    let names = |group: &FileGroup| group.iter().map(|file| file.path().to_string()).collect();
    groups.iter().map(names).collect()
}

#[test]
fn neighbours_go_to_different_groups_and_stay_in_order() {
    let groups = into_groups(files(&[10, 10, 10, 10]), Dealt::Evenly, 2);
    assert_eq!(names(&groups), [["0", "2"], ["1", "3"]]);
}

#[test]
fn groups_are_of_about_the_same_size() {
    let groups = into_groups(files(&[30, 10, 10, 10, 30]), Dealt::Evenly, 2);
    assert_eq!(names(&groups), [vec!["0", "4"], vec!["1", "2", "3"]]);
}

#[test]
fn the_files_of_a_layer_stay_together_if_they_have_to() {
    let of_layers = |layers: &str| -> Vec<PartitionedFile> {
        let file = |(file, layer): (PartitionedFile, char)| PartitionedFile {
            partition_values: vec![int(0), ScalarValue::from(layer.to_string())],
            ..file
        };
        let sizes = vec![10; layers.len()];
        files(&sizes)
            .into_iter()
            .zip(layers.chars())
            .map(file)
            .collect()
    };
    let groups = into_groups(of_layers("abcabcabc"), Dealt::ByLayer, 2);
    assert_eq!(
        names(&groups),
        [vec!["0", "2", "3", "5", "6", "8"], vec!["1", "4", "7"]]
    );
    assert_eq!(into_groups(of_layers("aaa"), Dealt::ByLayer, 2).len(), 1);
}

#[test]
fn there_are_no_empty_groups() {
    assert_eq!(into_groups(files(&[1]), Dealt::Evenly, 4).len(), 1);
    assert_eq!(into_groups(files(&[0, 0]), Dealt::Evenly, 2).len(), 2);
}

#[test]
fn partition_columns_come_first_in_a_table_and_last_in_a_scan() {
    // classifications: epoch, then 11 stored columns.
    assert_eq!(
        to_scan_columns(Table::Classifications, Some(&vec![0, 1, 11])),
        [11, 0, 10]
    );
    let all = to_scan_columns(Table::Metrics, None);
    assert_eq!(all, [5, 0, 1, 2, 3, 4]);
}
