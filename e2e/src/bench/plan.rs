//! What a run of `make bench` is asked to do. It must not guess: an argument that it does not know ends
//! it.

use std::path::PathBuf;

use super::contender::Contender;
use super::contenders;
use super::floor::HYPER;
use super::lab::SESSIONS;
use super::results::Method;

/// How it is used.
pub const USAGE: &str = "usage: bench [--rounds N] [--window SECONDS] [--connections N] \
[--tail-rounds N] [--json FILE] [--write-docs] [NAME…] | bench --list | bench --docs-only";

/// Rounds of the tails, where they were not asked for and all contenders run.
const TAIL_ROUNDS: usize = 7;

/// What the arguments ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What to do.
    pub task: Task,
    /// How the rounds go.
    pub method: Method,
    /// Rounds of the tails; 0: none.
    pub tail_rounds: usize,
    /// Where results go too.
    pub json: Option<PathBuf>,
    /// Whether `docs/bench` is written anew from the results.
    pub write_docs: bool,
    names: Vec<String>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Measure.
    Measure,
    /// Print the names of all contenders.
    List,
    /// Write `docs/bench` anew from what an earlier run kept.
    Docs,
}

impl Plan {
    /// What these arguments ask for; else what is wrong with them.
    pub fn of(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let method =
            Method { rounds: 14, window_seconds: 2.0, connections: 32, sessions: SESSIONS };
        let mut plan = Self {
            task: Task::Measure,
            method,
            tail_rounds: 0,
            json: None,
            write_docs: false,
            names: Vec::new(),
        };
        let mut tail_rounds = None;
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--list" => plan.task = Task::List,
                "--docs-only" => plan.task = Task::Docs,
                "--write-docs" => plan.write_docs = true,
                "--rounds" => plan.method.rounds = number(&value()?)?,
                "--window" => plan.method.window_seconds = number(&value()?)?,
                "--connections" => plan.method.connections = number(&value()?)?,
                "--tail-rounds" => tail_rounds = Some(number(&value()?)?),
                "--json" => plan.json = Some(value()?.into()),
                name if contenders().iter().any(|one| one.name == name) => {
                    plan.names.push(argument);
                }
                _ => return Err(format!("{argument} is neither an option nor in bench --list")),
            }
        }
        let usual = if plan.names.is_empty() { TAIL_ROUNDS } else { 0 };
        plan.tail_rounds = tail_rounds.unwrap_or(usual);
        if plan.write_docs && !plan.names.is_empty() {
            return Err("--write-docs shows all contenders: it takes no names".to_owned());
        }
        Ok(plan)
    }

    /// Those that were named, or all; bare hyper is always there, for the ratios.
    #[must_use]
    pub fn contenders(&self) -> Vec<Contender> {
        let named = |one: &Contender| {
            self.names.is_empty() || one.name == HYPER || self.names.iter().any(|n| n == one.name)
        };
        contenders().into_iter().filter(named).collect()
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &str) -> Result<Plan, String> {
        Plan::of(arguments.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn all_run_with_tails_and_named_ones_without_but_beside_hyper() {
        let all = plan("").unwrap();
        assert_eq!((all.method.rounds, all.tail_rounds), (14, TAIL_ROUNDS));
        assert_eq!(all.contenders().len(), contenders().len());
        let few = plan("--rounds 2 nginx-204").unwrap();
        assert_eq!((few.method.rounds, few.tail_rounds), (2, 0));
        let names: Vec<&str> = few.contenders().iter().map(|one| one.name).collect();
        assert_eq!(names, [HYPER, "nginx-204"]);
        assert_eq!(plan("nginx-204 --tail-rounds 3").unwrap().tail_rounds, 3);
    }

    #[test]
    fn what_is_not_understood_or_would_leave_contenders_out_of_the_docs_is_refused() {
        for wrong in ["--rounds", "--rounds many", "--fast", "tomcat", "--write-docs nginx-204"] {
            assert!(plan(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_contender_has_a_name_of_its_own_and_what_it_is_compared_to_is_one() {
        let all = contenders();
        for (place, one) in all.iter().enumerate() {
            assert!(all[..place].iter().all(|other| other.name != one.name), "{}", one.name);
            let without = one.without.is_none_or(|name| all.iter().any(|other| other.name == name));
            assert!(without, "{}: there is no {:?}", one.name, one.without);
        }
    }
}
