//! The rules that make a physical plan of a logical one: DataFusion's, and ours among them.

use std::sync::Arc;

use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use crate::exec::build_side::KeepCaptures;
use crate::exec::lookup::JoinByLookup;
use crate::exec::merge::MergeBySlices;
use crate::exec::top_rows::SortApart;
use crate::scan::ShareScans;

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// DataFusion's rule that chooses sides; ours corrects it before anything is built on the choice.
const JOIN_SELECTION: &str = "join_selection";

/// DataFusion's rule that checks whether all that a plan's nodes require is there.
const SANITY_CHECK: &str = "SanityCheckPlan";

/// DataFusion's own rules, with ours among them; those alone that put right what is wrong, if plans
/// are to be `plain`. What ours have made is checked as well.
pub(crate) fn physical_optimizer_rules(plain: bool) -> Vec<Rule> {
    let mut rules = PhysicalOptimizer::new().rules;
    let position = |rules: &[Rule], name: &str| {
        let position = rules.iter().position(|rule| rule.name() == name);
        position.expect("DataFusion has a rule of this name")
    };
    let check = position(&rules, SANITY_CHECK);
    rules.insert(check, Arc::new(SortApart));
    if plain {
        return rules;
    }
    let ours: [Rule; 3] = [
        Arc::new(ShareScans),
        Arc::new(JoinByLookup),
        Arc::new(MergeBySlices),
    ];
    rules.splice(check + 1..check + 1, ours);
    let selected = position(&rules, JOIN_SELECTION) + 1;
    rules.insert(selected, Arc::new(KeepCaptures));
    rules
}
