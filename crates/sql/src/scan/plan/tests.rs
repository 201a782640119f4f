use std::path::Path;

use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::physical_expr::Distribution;
use datafusion::physical_plan::{ExecutionPlanProperties, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use fixtures::tiny;
use tempfile::TempDir;
use trace::RunDir;

use super::*;

/// The tiny run, with the directory that it lies in.
fn snapshot() -> (TempDir, SharedSnapshot) {
    let dir = tempfile::tempdir().unwrap();
    let path: &Path = &dir.path().join("run");
    tiny::write(path).unwrap();
    let snapshot = Snapshot::load(RunDir::open(path).unwrap()).unwrap();
    (dir, Arc::new(snapshot))
}

/// A scan of all files of a table in two partitions, ours or DataFusion's own.
fn scan(
    snapshot: &SharedSnapshot,
    table: Table,
    dealt: Dealt,
    is_stock: bool,
) -> Arc<dyn ExecutionPlan> {
    let mut config = SessionConfig::new().with_target_partitions(2);
    if is_stock {
        config = config.with_extension(Arc::new(StockScans));
    }
    let state = SessionContext::new_with_config(config).state();
    let indices = snapshot.select(table, |_, _| true);
    plan(&state, snapshot, table, &indices, dealt, Wanted::default()).unwrap()
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

/// What the planner is told of both, and nothing else: not that one of them has its files' statistics.
#[test]
fn ours_says_of_its_rows_what_datafusions_own_says() {
    let (_dir, snapshot) = snapshot();
    for table in [Table::Weights, Table::Classifications, Table::Metrics] {
        for dealt in [Dealt::Evenly, Dealt::ByLayer] {
            if dealt == Dealt::ByLayer && !table.has_layer() {
                continue;
            }
            let [ours, stock] = [false, true].map(|stock| scan(&snapshot, table, dealt, stock));
            let source = stock.downcast_ref::<DataSourceExec>().unwrap();
            assert!(source.data_source().is::<FileScanConfig>(), "{table}");
            let told = |plan: &Arc<dyn ExecutionPlan>| {
                let properties = plan.equivalence_properties();
                let orders = format!("{:?}", properties.oeq_class());
                let partitioning = format!("{:?}", plan.output_partitioning());
                let shown = displayable(plan.as_ref()).indent(true).to_string();
                // Behind what ours says first.
                let shown = shown.split_once("file_groups=").unwrap().1.to_owned();
                (plan.schema(), orders, partitioning, shown)
            };
            assert_eq!(told(&ours), told(&stock), "{table}, {dealt:?}");
            let orders = ours.equivalence_properties().oeq_class().len();
            let expected = if dealt == Dealt::ByLayer { 2 } else { 1 };
            assert!(orders <= expected && orders > 0, "{table}, {dealt:?}");
        }
    }
}

/// A limit makes the planner forget that a scan's order matters. Its files stay where they are.
#[test]
fn no_partition_takes_the_files_of_another() {
    let (_dir, snapshot) = snapshot();
    for (dealt, known) in [(Dealt::Evenly, false), (Dealt::ByLayer, true)] {
        for is_stock in [false, true] {
            let scan = scan(&snapshot, Table::Weights, dealt, is_stock);
            let limited = scan.with_fetch(Some(1)).unwrap();
            let limited = limited.with_preserve_order(false).unwrap_or(limited);
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
}
