//! Rules that put nodes in the place of others.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// A node of a plan.
type Node = Arc<dyn ExecutionPlan>;

/// Puts other nodes in the place of some, inputs first.
#[derive(Debug)]
pub(crate) struct Replace {
    /// The rule's name.
    pub(crate) name: &'static str,
    /// What comes in the place of a node; none if it stays.
    pub(crate) replacement: fn(&Node) -> Result<Option<Node>>,
}

impl PhysicalOptimizerRule for Replace {
    fn optimize(&self, plan: Node, _config: &ConfigOptions) -> Result<Node> {
        let replaced = plan.transform_up(|node| {
            Ok(match (self.replacement)(&node)? {
                Some(other) => Transformed::yes(other),
                None => Transformed::no(node),
            })
        });
        replaced.data()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}
