//! Claims as an expression sees them: only those it names are converted, and texts are borrowed.

use std::collections::{BTreeSet, HashMap};

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull};
use cel::common::types::{CelString, CelUInt};
use cel::common::value::Val;
use serde_json::Value;

use crate::claims::Claims;

/// Bytes of text that weigh as much as one value: copying and searching text is that much cheaper
/// than handling values.
pub(super) const BYTES_PER_WEIGHT: usize = 32;

/// Deeper claims are refused: conversion recurses.
const MAX_DEPTH: u32 = 32;

/// Which claims an expression uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// `claims` is used as a whole.
    All,
    /// Only `claims.NAME` and `claims["NAME"]` for these names.
    Only(BTreeSet<String>),
}

/// Whether one claim, where nothing else is needed, weighs at most `limit`.
pub(super) fn weighs_at_most(name: &str, value: &Value, limit: u64) -> bool {
    let mut left = limit;
    take(&mut left, 1) && weighs(name, value, &mut left)
}

fn weighs(name: &str, value: &Value, left: &mut u64) -> bool {
    take(left, text_weight(name)) && weigh(value, MAX_DEPTH, left)
}

impl Needs {
    /// Whether what is needed of the claims weighs at most `limit`; stops where it does not.
    pub(super) fn weigh_at_most(&self, claims: &Claims, limit: u64) -> bool {
        let mut left = limit;
        if !take(&mut left, 1) {
            return false;
        }
        let weighs = |(name, value): (&str, &Value)| weighs(name, value, &mut left);
        match self {
            Self::All => claims.iter().all(weighs),
            Self::Only(names) => {
                names.iter().filter_map(|name| claims.get_key_value(name)).all(weighs)
            }
        }
    }

    /// The needed claims as a CEL map.
    pub(super) fn convert<'v>(&self, claims: &'v Claims) -> Box<dyn Val + 'v> {
        match self {
            Self::All => map(claims.iter()),
            Self::Only(names) => map(names.iter().filter_map(|name| claims.get_key_value(name))),
        }
    }
}

pub(super) fn text_weight(text: &str) -> u64 {
    u64::try_from(1 + text.len() / BYTES_PER_WEIGHT).unwrap_or(u64::MAX)
}

fn take(left: &mut u64, weight: u64) -> bool {
    left.checked_sub(weight).map(|rest| *left = rest).is_some()
}

fn weigh(value: &Value, depth: u32, left: &mut u64) -> bool {
    if depth == 0 {
        return false;
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => take(left, 1),
        Value::String(text) => take(left, text_weight(text)),
        Value::Array(values) => {
            take(left, 1) && values.iter().all(|value| weigh(value, depth - 1, left))
        }
        Value::Object(values) => {
            take(left, 1)
                && values.iter().all(|(name, value)| {
                    take(left, text_weight(name)) && weigh(value, depth - 1, left)
                })
        }
    }
}

fn map<'v>(values: impl Iterator<Item = (&'v str, &'v Value)>) -> Box<dyn Val + 'v> {
    let values: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> =
        values.map(|(name, value)| (CelMapKey::from(name), convert(value))).collect();
    Box::new(CelMap::from(values))
}

fn convert(value: &Value) -> Box<dyn Val + '_> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(boolean) => Box::new(CelBool::from(*boolean)),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(values) => {
            Box::new(CelList::from(values.iter().map(convert).collect::<Vec<_>>()))
        }
        Value::Object(values) => map(values.iter().map(|(name, value)| (name.as_str(), value))),
        // Whole numbers are CEL's `int`, so that `claims.level + 1` works; JSON does not tell.
        Value::Number(number) => {
            if let Some(number) = number.as_i64() {
                Box::new(CelInt::from(number))
            } else if let Some(number) = number.as_u64() {
                Box::new(CelUInt::from(number))
            } else {
                Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
            }
        }
    }
}
