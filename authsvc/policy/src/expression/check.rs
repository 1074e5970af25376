//! What an expression may contain, and a bound of what it may cost, before it ever runs.
//!
//! The interpreter has no budget of its own. So the cost is bounded from the expression alone, as a
//! function of how much its claims weigh: one unit per node evaluated and per value or 32 bytes of
//! text handled. The heaviest claims that stay within [`BUDGET`] become the expression's limit.
//! Bounds must err upwards only.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

use super::claims::{BYTES_PER_WEIGHT, Needs, text_weight};

/// The one variable.
pub(super) const CLAIMS: &str = "claims";
/// Our one function beyond CEL's own.
pub(super) const PERCENT_ENCODE: &str = "percentEncode";

/// Units that one evaluation may cost: at some 180 ns each in a debug build (36 ms for the worst of
/// the tests' hostile expressions) far less than 10 ms when optimised.
const BUDGET: u64 = 200_000;
/// An expression must afford claims of at least this weight: a list of some 100 short texts.
const MIN_WEIGHT: u64 = 96;
/// No expression gets heavier claims than this (2 MiB of text).
const MAX_WEIGHT: u64 = 65_536;
/// Nodes within one another: evaluation recurses.
const MAX_DEPTH: usize = 48;
/// `all`, `exists`, `exists_one`, `filter` and `map` within one another.
const MAX_LOOPS: usize = 2;

const OPERATORS: [&str; 18] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::NOT_STRICTLY_FALSE,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::IN,
];
const FUNCTIONS: [&str; 7] = ["size", "string", "int", "uint", "double", "bool", PERCENT_ENCODE];
const METHODS: [&str; 4] = ["size", "contains", "startsWith", "endsWith"];

/// What the check found out.
pub(super) struct Checked {
    pub(super) needs: Needs,
    pub(super) max_weight: u64,
}

/// Refuses an expression whose nodes lie too deep within one another; before [`check`].
pub(super) fn depth(program: &IdedExpr) -> Result<(), String> {
    fn within(expression: &IdedExpr, left: usize) -> bool {
        left > 0 && children(&expression.expr).into_iter().all(|child| within(child, left - 1))
    }
    if within(program, MAX_DEPTH) {
        return Ok(());
    }
    Err(format!("nests more than {MAX_DEPTH} operations; split it over several rules or headers"))
}

/// Refuses what may not be in an expression, and bounds the rest.
pub(super) fn check(program: &IdedExpr) -> Result<Checked, String> {
    let mut walk = Walk { scope: Vec::new(), loops: 0, all: false, names: BTreeSet::new() };
    walk.check(program)?;
    let fits = |weight| {
        let estimate = estimate(program, weight, &mut Vec::new());
        // Converting the claims and copying the result cost as much as they weigh.
        weight.saturating_add(estimate.cost).saturating_add(estimate.weight) <= BUDGET
    };
    if !fits(MIN_WEIGHT) {
        return Err("could take too long; use fewer or smaller loops (`exists`, `all`, `map`, \
                    `filter`), and none within another"
            .to_owned());
    }
    let (mut low, mut high) = (MIN_WEIGHT, MAX_WEIGHT + 1);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if fits(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    let needs = if walk.all { Needs::All } else { Needs::Only(walk.names) };
    Ok(Checked { needs, max_weight: low })
}

struct Walk<'e> {
    scope: Vec<&'e str>,
    loops: usize,
    all: bool,
    names: BTreeSet<String>,
}

impl<'e> Walk<'e> {
    fn check(&mut self, expression: &'e IdedExpr) -> Result<(), String> {
        if let Some(name) = claim_name(&expression.expr) {
            self.names.insert(name.to_owned());
            return Ok(());
        }
        match &expression.expr {
            Expr::Ident(name) if name == CLAIMS => self.all = true,
            Expr::Ident(name) if self.scope.contains(&name.as_str()) => {}
            Expr::Ident(name) => {
                return Err(format!(
                    "refers to `{name}`, but the only variable is `claims`; write `claims.{name}` \
                     for a claim"
                ));
            }
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                let known = if call.target.is_some() {
                    METHODS.contains(&name)
                } else {
                    OPERATORS.contains(&name)
                        || name == operators::INDEX
                        || FUNCTIONS.contains(&name)
                };
                if !known {
                    return Err(format!(
                        "calls `{name}`, which there is not, at least not so; there are the \
                         operators of CEL, has(claims.x), {}(x), x.{}(y) and the loops \
                         x.exists(i, …), all, exists_one, filter and map",
                        FUNCTIONS.join("(x), "),
                        METHODS[1..].join("(y), x.")
                    ));
                }
            }
            Expr::Comprehension(comprehension) => return self.check_loop(comprehension),
            Expr::Struct(_) => return Err("makes a message; use a map `{…}`".to_owned()),
            Expr::Unspecified => return Err("is no CEL expression".to_owned()),
            Expr::Literal(_) | Expr::List(_) | Expr::Map(_) | Expr::Select(_) => {}
        }
        children(&expression.expr).into_iter().try_for_each(|child| self.check(child))
    }

    fn check_loop(&mut self, comprehension: &'e ComprehensionExpr) -> Result<(), String> {
        if comprehension.iter_var == CLAIMS || comprehension.iter_var2.is_some() {
            return Err(
                "names a loop variable `claims`, or two of them; name one, such as `i`".to_owned()
            );
        }
        self.check(&comprehension.iter_range)?;
        self.check(&comprehension.accu_init)?;
        self.loops += 1;
        if self.loops > MAX_LOOPS {
            return Err(format!(
                "has more than {MAX_LOOPS} loops (`exists`, `all`, `map`, `filter`) within one \
                 another; write flatter ones"
            ));
        }
        let outside = self.scope.len();
        self.scope.extend([comprehension.accu_var.as_str(), comprehension.iter_var.as_str()]);
        for part in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
            self.check(part)?;
        }
        self.scope.truncate(outside);
        self.loops -= 1;
        Ok(())
    }
}

/// `NAME` of an expression that is `claims.NAME` or `claims["NAME"]` and nothing else.
pub(super) fn only_claim(program: &IdedExpr) -> Option<&str> {
    let only_asks = matches!(&program.expr, Expr::Select(select) if select.test);
    claim_name(&program.expr).filter(|_| !only_asks)
}

/// `NAME` of `claims.NAME`, `has(claims.NAME)` and `claims["NAME"]`.
fn claim_name(expression: &Expr) -> Option<&str> {
    let is_claims = |operand: &IdedExpr| matches!(&operand.expr, Expr::Ident(n) if n == CLAIMS);
    match expression {
        Expr::Select(select) if is_claims(&select.operand) => Some(&select.field),
        Expr::Call(call) if call.func_name == operators::INDEX && call.target.is_none() => {
            match call.args.as_slice() {
                [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }]
                    if is_claims(operand) =>
                {
                    Some(name.inner())
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn children(expression: &Expr) -> Vec<&IdedExpr> {
    match expression {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(c) => {
            vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => entries(map.entries.iter().map(|entry| &entry.expr)),
        Expr::Select(select) => vec![&select.operand],
        Expr::Struct(made) => entries(made.entries.iter().map(|entry| &entry.expr)),
    }
}

fn entries<'e>(entries: impl Iterator<Item = &'e EntryExpr>) -> Vec<&'e IdedExpr> {
    let mut all = Vec::new();
    for entry in entries {
        match entry {
            EntryExpr::StructField(field) => all.push(&field.value),
            EntryExpr::MapEntry(entry) => all.extend([&entry.key, &entry.value]),
        }
    }
    all
}

/// Upper bounds: what a result weighs, and what it costs to get.
#[derive(Clone, Copy, Default)]
struct Estimate {
    weight: u64,
    cost: u64,
}

/// Both bounds are polynomials in the weights of the variables with no negative coefficient, or
/// the larger of such: so they are convex, which [`estimate_loop`] relies on.
fn estimate<'e>(
    expression: &'e IdedExpr,
    claims: u64,
    scope: &mut Vec<(&'e str, u64)>,
) -> Estimate {
    match &expression.expr {
        Expr::Literal(literal) => Estimate { weight: literal_weight(literal), cost: 1 },
        Expr::Ident(name) => {
            let variable = scope.iter().rev().find(|(known, _)| known == name);
            Estimate { weight: variable.map_or(claims, |&(_, weight)| weight), cost: 1 }
        }
        Expr::Comprehension(comprehension) => estimate_loop(comprehension, claims, scope),
        Expr::Select(select) => {
            let operand = estimate(&select.operand, claims, scope);
            // A selection from a variable borrows; from a computed value it copies.
            let copied = if is_path(&select.operand) { 1 } else { operand.weight };
            let weight = if select.test { 1 } else { operand.weight };
            Estimate { weight, cost: operand.cost.saturating_add(copied).saturating_add(1) }
        }
        other => {
            let parts = children(other).into_iter().map(|child| estimate(child, claims, scope));
            let (mut sum, mut largest) = (Estimate { weight: 0, cost: 1 }, 0);
            for part in parts {
                sum.weight = sum.weight.saturating_add(part.weight);
                sum.cost = sum.cost.saturating_add(part.cost);
                largest = largest.max(part.weight);
            }
            let (weight, handled) = match other {
                Expr::Call(call) => match call.func_name.as_str() {
                    operators::CONDITIONAL => (largest, 0),
                    operators::ADD => (sum.weight, sum.weight),
                    operators::INDEX => {
                        let copied = call.args.first().is_none_or(|operand| !is_path(operand));
                        (largest, if copied { sum.weight } else { 1 })
                    }
                    // A printed number is short, a text stays as it is.
                    "string" => (sum.weight.saturating_add(1), sum.weight),
                    PERCENT_ENCODE => {
                        let tripled = sum.weight.saturating_mul(4);
                        (tripled, tripled)
                    }
                    operators::LOGICAL_AND
                    | operators::LOGICAL_OR
                    | operators::LOGICAL_NOT
                    | operators::NOT_STRICTLY_FALSE => (1, 0),
                    // Comparing, searching and measuring read all of their operands.
                    _ => (1, sum.weight),
                },
                // A list or map copies what it is made of.
                _ => (sum.weight.saturating_add(1), sum.weight),
            };
            Estimate { weight, cost: sum.cost.saturating_add(handled) }
        }
    }
}

/// A loop runs once per element, with elements that together weigh no more than the range does.
/// For a convex bound f the sum of f(element) is greatest where one element weighs it all and the
/// others nothing: at most n·f(0) + f(range), and n is at most the range's weight.
fn estimate_loop<'e>(
    comprehension: &'e ComprehensionExpr,
    claims: u64,
    scope: &mut Vec<(&'e str, u64)>,
) -> Estimate {
    let range = estimate(&comprehension.iter_range, claims, scope);
    let grows = matches!(comprehension.accu_init.expr, Expr::List(_));
    let mut step = |element: u64| {
        let outside = scope.len();
        // `map` and `filter` append in place: the list so far is not handled again.
        scope.push((&comprehension.accu_var, u64::from(!grows)));
        scope.push((&comprehension.iter_var, element));
        let condition = estimate(&comprehension.loop_cond, claims, scope);
        let step = estimate(&comprehension.loop_step, claims, scope);
        scope.truncate(outside);
        let appended = if grows { step.weight } else { 0 };
        Estimate {
            weight: step.weight,
            // Setting two variables, copying the element into one, appending.
            cost: condition
                .cost
                .saturating_add(step.cost)
                .saturating_add(element.saturating_add(2))
                .saturating_add(appended),
        }
    };
    let (light, heavy) = (step(0), step(range.weight));
    let total = |light: u64, heavy: u64| range.weight.saturating_mul(light).saturating_add(heavy);
    let weight = if grows { total(light.weight, heavy.weight).saturating_add(1) } else { 1 };
    Estimate {
        weight,
        cost: total(light.cost, heavy.cost)
            .saturating_add(range.cost)
            .saturating_add(weight)
            .saturating_add(2),
    }
}

fn is_path(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Ident(_) => true,
        Expr::Select(select) => !select.test && is_path(&select.operand),
        Expr::Call(call) if call.func_name == operators::INDEX => {
            call.args.first().is_some_and(is_path)
        }
        _ => false,
    }
}

fn literal_weight(literal: &LiteralValue) -> u64 {
    match literal {
        LiteralValue::String(text) => text_weight(text.inner()),
        LiteralValue::Bytes(bytes) => {
            u64::try_from(1 + bytes.inner().len() / BYTES_PER_WEIGHT).unwrap_or(u64::MAX)
        }
        _ => 1,
    }
}
