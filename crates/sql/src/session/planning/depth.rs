//! How deep SQL nests, and how it is made to nest less.

use std::ops::ControlFlow;

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion, TreeNodeVisitor};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, Query, SetExpr, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::TooDeep;
use super::conditions::MAX_CHAINED;

/// How deep expressions, subqueries, joins and set operations of a query may nest; chains of AND and
/// OR are as deep as one of them. What is planned later and run needs no more of a thread's usual stack
/// than there is.
pub const MAX_DEPTH: usize = 250;

/// How many operators may follow one another in SQL that is parsed at all: a parser's tree of so many
/// can be freed on the stack that planning has.
const MAX_OPERATORS: usize = 50_000;

/// Refuses SQL that cannot even be parsed and freed.
pub(super) fn check_text(sql: &str) -> Result<(), TooDeep> {
    // Each level takes an operator and an operand.
    if sql.len() <= 2 * MAX_OPERATORS {
        return Ok(());
    }
    // What cannot be read is the parser's to refuse.
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let depth = tokens.map_or(0, |tokens| longest_chain(&tokens));
    match depth > MAX_OPERATORS {
        true => Err(TooDeep { depth }),
        false => Ok(()),
    }
}

/// The most operators between two commas, those in parentheses included: no tree is deeper.
fn longest_chain(tokens: &[Token]) -> usize {
    /// Of what one pair of parentheses holds so far.
    #[derive(Default)]
    struct Operators {
        since_comma: usize,
        most: usize,
    }
    impl Operators {
        fn add(&mut self, num: usize) {
            self.since_comma += num;
            self.most = self.most.max(self.since_comma);
        }
    }
    let mut outer: Vec<Operators> = Vec::new();
    let mut here = Operators::default();
    for token in tokens {
        match token {
            Token::Comma | Token::SemiColon => here.since_comma = 0,
            Token::LParen | Token::LBracket => {
                outer.push(std::mem::take(&mut here));
                here.add(1);
            }
            Token::RParen | Token::RBracket => {
                if let Some(around) = outer.pop() {
                    let inner = std::mem::replace(&mut here, around);
                    here.add(inner.most);
                }
            }
            Token::Word(word) if !nests(word.keyword) => {}
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::Period
            | Token::EOF => {}
            _ => here.add(1),
        }
    }
    outer.push(here);
    outer.into_iter().map(|operators| operators.most).sum()
}

/// Whether a word may make a tree deeper. The branches of a CASE lie side by side.
fn nests(keyword: Keyword) -> bool {
    !matches!(
        keyword,
        Keyword::NoKeyword
            | Keyword::CASE
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE
            | Keyword::END
    )
}

/// Makes chains of AND and of OR as shallow as they can be, which changes nothing: both are
/// associative, with nulls as well. Returns whether there are some that the optimizer would chain
/// anew, and that are too long for that.
pub(super) fn flatten(statement: &mut Statement) -> Result<bool, TooDeep> {
    let statement = match statement {
        Statement::Statement(statement) => statement,
        Statement::Explain(explain) => return flatten(&mut explain.statement),
        // Nothing else is let through.
        _ => return Ok(false),
    };
    let mut flatten = Flatten::default();
    match statement.visit(&mut flatten) {
        ControlFlow::Break(depth) => Err(TooDeep { depth }),
        ControlFlow::Continue(()) => Ok(flatten.has_long_chains),
    }
}

#[derive(Default)]
struct Flatten {
    depth: usize,
    /// How many expressions other than AND and OR are around, in each query that is around.
    others: Vec<usize>,
    has_long_chains: bool,
}

/// Whether an expression is AND or OR, or nothing but parentheses.
fn joins_conditions(expr: &SqlExpr) -> bool {
    match expr {
        SqlExpr::BinaryOp { op, .. } => matches!(op, BinaryOperator::And | BinaryOperator::Or),
        expr => matches!(expr, SqlExpr::Nested(_)),
    }
}

impl Flatten {
    fn enter(&mut self, levels: usize) -> ControlFlow<usize> {
        self.depth += levels;
        match self.depth > MAX_DEPTH {
            true => ControlFlow::Break(self.depth),
            false => ControlFlow::Continue(()),
        }
    }
}

impl VisitorMut for Flatten {
    type Break = usize;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<usize> {
        let mut operations = 0;
        let mut body = &*query.body;
        while let SetExpr::SetOperation { left, .. } = body {
            operations += 1;
            body = left;
        }
        if self.depth + operations > MAX_DEPTH {
            return ControlFlow::Break(self.depth + operations);
        }
        self.others.push(0);
        self.enter(1)
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<usize> {
        self.others.pop();
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<usize> {
        if let SqlExpr::BinaryOp { op, .. } = expr
            && matches!(op, BinaryOperator::And | BinaryOperator::Or)
        {
            let op = op.clone();
            let terms = terms(std::mem::replace(expr, nothing()), &op);
            // The optimizer takes conditions that are joined by AND apart and chains them anew, and
            // makes AND of an OR that is negated.
            let is_kept = op == BinaryOperator::Or && self.others.last() == Some(&0);
            if !is_kept {
                self.has_long_chains |= terms.len() > MAX_CHAINED;
                let depth = self.depth + terms.len().min(MAX_CHAINED);
                if depth > MAX_DEPTH {
                    return ControlFlow::Break(depth);
                }
            }
            *expr = balanced(terms, &op);
        }
        if let Some(others) = self.others.last_mut() {
            *others += usize::from(!joins_conditions(expr));
        }
        self.enter(1)
    }

    fn post_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<usize> {
        if let Some(others) = self.others.last_mut() {
            *others -= usize::from(!joins_conditions(expr));
        }
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// What stands in a place for as long as something is taken out of it.
fn nothing() -> SqlExpr {
    SqlExpr::Tuple(Vec::new())
}

/// What an operator joins, in order.
fn terms(expr: SqlExpr, op: &BinaryOperator) -> Vec<SqlExpr> {
    let mut terms = Vec::new();
    let mut left_over = vec![expr];
    while let Some(expr) = left_over.pop() {
        match expr {
            SqlExpr::BinaryOp {
                left,
                op: of,
                right,
            } if of == *op => {
                left_over.push(*right);
                left_over.push(*left);
            }
            term => terms.push(term),
        }
    }
    terms
}

/// The terms joined by the operator, in order, by as few levels as there can be.
fn balanced(mut terms: Vec<SqlExpr>, op: &BinaryOperator) -> SqlExpr {
    while terms.len() > 1 {
        let mut pairs = Vec::with_capacity(terms.len().div_ceil(2));
        let mut terms_left = terms.into_iter();
        while let Some(left) = terms_left.next() {
            pairs.push(match terms_left.next() {
                Some(right) => SqlExpr::BinaryOp {
                    left: Box::new(left),
                    op: op.clone(),
                    right: Box::new(right),
                },
                None => left,
            });
        }
        terms = pairs;
    }
    terms.pop().unwrap_or_else(nothing)
}

/// How deep a plan nests, with its expressions and subqueries.
pub(super) fn plan_depth(plan: &LogicalPlan) -> Result<usize> {
    let mut depth = Depth::default();
    plan.visit_with_subqueries(&mut depth)?;
    Ok(depth.deepest)
}

#[derive(Default)]
struct Depth {
    depth: usize,
    deepest: usize,
}

impl Depth {
    fn enter(&mut self) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
    }
}

impl<'n> TreeNodeVisitor<'n> for Depth {
    type Node = LogicalPlan;

    fn f_down(&mut self, plan: &'n LogicalPlan) -> Result<TreeNodeRecursion> {
        self.enter();
        plan.apply_expressions(|expr| {
            let mut of_expr = ExprDepth(Depth {
                depth: self.depth,
                deepest: self.deepest,
            });
            expr.visit(&mut of_expr)?;
            self.deepest = of_expr.0.deepest;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(TreeNodeRecursion::Continue)
    }

    fn f_up(&mut self, _: &'n LogicalPlan) -> Result<TreeNodeRecursion> {
        self.depth -= 1;
        Ok(TreeNodeRecursion::Continue)
    }
}

struct ExprDepth(Depth);

impl<'n> TreeNodeVisitor<'n> for ExprDepth {
    type Node = Expr;

    fn f_down(&mut self, _: &'n Expr) -> Result<TreeNodeRecursion, DataFusionError> {
        self.0.enter();
        Ok(TreeNodeRecursion::Continue)
    }

    fn f_up(&mut self, _: &'n Expr) -> Result<TreeNodeRecursion, DataFusionError> {
        self.0.depth -= 1;
        Ok(TreeNodeRecursion::Continue)
    }
}
