//! The rules that make a physical plan of a logical one: DataFusion's, and ours among them.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionContext;

use crate::exec::build_side::KEEP_CAPTURES;
use crate::exec::lookup::JOIN_BY_LOOKUP;
use crate::exec::merge::MERGE_BY_SLICES;
use crate::exec::top_rows::SORT_APART;
use crate::exec::yielding::YIELD_AFTER_JOINS;
use crate::scan::ShareScans;

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// DataFusion's rule that chooses sides; ours corrects it before anything is built on the choice.
const JOIN_SELECTION: &str = "join_selection";

/// DataFusion's rule that checks whether all that a plan's nodes require is there.
const SANITY_CHECK: &str = "SanityCheckPlan";

/// DataFusion's own rules, with ours among them; those alone that put right what is wrong, if plans
/// are to be `plain`. What ours have made is checked as well.
pub(crate) fn physical_optimizer_rules(plain: bool) -> Vec<Rule> {
    with_ours(PhysicalOptimizer::new().rules, plain)
}

/// Puts our rules among those of a session, unless they are there.
pub(crate) fn add_rules(context: &SessionContext) {
    let state = context.state_ref();
    let mut state = state.write();
    let rules = state.physical_optimizers();
    if rules.iter().any(|rule| rule.name() == SORT_APART.name) {
        return;
    }
    let rules = with_ours(rules.to_vec(), false);
    let id = state.session_id().to_owned();
    // A state is told its rules where it is built, and at no other time.
    *state = SessionStateBuilder::new_from_existing(state.clone())
        .with_session_id(id)
        .with_physical_optimizer_rules(rules)
        .build();
}

/// Some rules, with ours among them: before the check, or last where there is none.
fn with_ours(mut rules: Vec<Rule>, plain: bool) -> Vec<Rule> {
    let position = |rules: &[Rule], name: &str| rules.iter().position(|rule| rule.name() == name);
    let check = position(&rules, SANITY_CHECK).unwrap_or(rules.len());
    rules.insert(check, Arc::new(SORT_APART));
    // Behind those that look for joins.
    rules.insert(check + 1, Arc::new(YIELD_AFTER_JOINS));
    if plain {
        return rules;
    }
    let ours: [Rule; 3] = [
        Arc::new(ShareScans),
        Arc::new(JOIN_BY_LOOKUP),
        Arc::new(MERGE_BY_SLICES),
    ];
    rules.splice(check + 1..check + 1, ours);
    if let Some(selection) = position(&rules, JOIN_SELECTION) {
        rules.insert(selection + 1, Arc::new(KEEP_CAPTURES));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_stand_where_they_have_to() {
        let rules = physical_optimizer_rules(false);
        let place = |name: &str| rules.iter().position(|rule| rule.name() == name).unwrap();
        assert_eq!(place("keep_captures"), place(JOIN_SELECTION) + 1);
        let before_check = place(SANITY_CHECK) - 5;
        let ours = [
            "sort_apart",
            "share_scans",
            "join_by_lookup",
            "merge_by_slices",
            "yield_after_joins",
        ];
        assert_eq!(ours.map(place), [0, 1, 2, 3, 4].map(|at| before_check + at));
        let plain = physical_optimizer_rules(true);
        assert_eq!(plain.len(), rules.len() - 4);
        for name in ["sort_apart", "yield_after_joins"] {
            assert!(plain.iter().any(|rule| rule.name() == name), "{name}");
        }
    }

    #[test]
    fn a_session_gets_them_once_and_stays_what_it_was() {
        let context = SessionContext::new();
        let names = || -> Vec<String> {
            let state = context.state();
            let rules = state.physical_optimizers().iter();
            rules.map(|rule| rule.name().to_owned()).collect()
        };
        add_rules(&context);
        let once = names();
        add_rules(&context);
        assert_eq!(names(), once);
        let ours = physical_optimizer_rules(false);
        let ours: Vec<&str> = ours.iter().map(|rule| rule.name()).collect();
        assert_eq!(once, ours);
        assert_eq!(context.state().session_id(), context.session_id());
    }
}
