use std::path::Path;

use datafusion::config::ConfigOptions;
use datafusion::physical_expr::Distribution;
use datafusion::physical_plan::ExecutionPlanProperties;
use trace::LocalStore;

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

/// A limit makes the planner forget that a scan's order matters. Its files stay where they are.
#[test]
fn no_partition_takes_the_files_of_another() {
    for (dealt, known) in [(Dealt::Evenly, false), (Dealt::ByLayer, true)] {
        let table = Table::Weights;
        let partition = table.partition_fields().into_iter().map(Arc::new);
        let schema = TableSchema::builder(table.schema())
            .with_table_partition_cols(partition.collect::<Vec<_>>())
            .build();
        let source = PartSource::new(Arc::new(LocalStore::new(Path::new("run"))), schema, 16);
        let groups = [&[1, 1][..], &[1]].map(|sizes| FileGroup::new(files(sizes)));
        let columns = to_scan_columns(table, None);
        let scan = scan(source, table, dealt, groups.into(), columns).unwrap();
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(scan.build());
        let limited = scan.with_fetch(Some(1)).unwrap();
        let limited = limited.with_preserve_order(false).unwrap();
        let source = limited.downcast_ref::<DataSourceExec>().unwrap();
        let shared = source
            .data_source()
            .create_sibling_state(&ConfigOptions::default());
        assert!(shared.is_none(), "{dealt:?}");
        let layer = Column::new_with_schema("layer", &limited.schema()).unwrap();
        let by_layer = Distribution::KeyPartitioned(vec![Arc::new(layer)]);
        let partitioning = limited.output_partitioning();
        let properties = limited.equivalence_properties();
        let is_by_layer = partitioning
            .satisfaction(&by_layer, properties, false)
            .is_satisfied();
        assert_eq!(is_by_layer, known, "{partitioning:?}");
    }
}
