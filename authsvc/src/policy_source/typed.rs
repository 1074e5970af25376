//! From a document to its type, going on behind what is wrong, so that one run tells everything.
//!
//! Pure. What it repairs serves to find further errors: a repaired document must never be enforced.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::Segment;

/// Wrong types and missing fields that are told per document; whoever has more corrects these first.
const MAX_REPAIRS: usize = 32;
/// One repair takes a few passes until a filler of the right type is found.
const MAX_PASSES: usize = 8 * MAX_REPAIRS;
/// Fields that hold durations: people write them as numbers.
const DURATIONS: [&str; 4] = ["idleTimeout", "absoluteTimeout", "maxAge", "requestTimeout"];

/// What was read.
pub struct Typed<S> {
    /// The content, with fillers at `repaired`; `None` where it cannot be repaired.
    pub content: Option<S>,
    /// What is wrong; where it is not empty, `content` must not be enforced.
    pub faults: Vec<Fault>,
    /// The fields that hold something else than their author wrote.
    pub repaired: Vec<String>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field's path.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Reads a document.
pub fn read<S: DeserializeOwned>(mut value: Value) -> Typed<S> {
    let mut repairs = Repairs::default();
    for _ in 0..MAX_PASSES {
        let mut unknown = Vec::new();
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(&value, &mut track);
        let read: Result<S, serde_json::Error> =
            serde_ignored::deserialize(tracked, |path| unknown.push(field_path(&path)));
        for field in unknown {
            repairs.note(field, "is no known field: remove it or correct its spelling");
        }
        let error = match read {
            Ok(content) => return repairs.done(Some(content)),
            Err(error) => error.to_string(),
        };
        let path = track.path().iter().filter_map(Step::new).collect();
        if !repairs.repair(&mut value, path, &error) {
            break;
        }
    }
    repairs.done(None)
}

/// Whether a field is another one, or within it.
#[must_use]
pub fn is_within(field: &str, outer: &str) -> bool {
    field.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// One step of a path into a document.
#[derive(Clone)]
enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    /// `None` for steps that lead no deeper into the document.
    fn new(segment: &Segment) -> Option<Self> {
        match segment {
            Segment::Seq { index } => Some(Self::Index(*index)),
            Segment::Map { key } => Some(Self::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        }
    }
}

fn text_of(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        // Writing into a String does not fail.
        let _ = match step {
            Step::Key(key) if text.is_empty() => write!(text, "{key}"),
            Step::Key(key) => write!(text, ".{key}"),
            Step::Index(index) => write!(text, "[{index}]"),
        };
    }
    text
}

#[derive(Default)]
struct Repairs {
    faults: Vec<Fault>,
    repaired: Vec<String>,
    /// How many repairs a field had.
    tries: HashMap<String, usize>,
}

impl Repairs {
    fn done<S>(self, content: Option<S>) -> Typed<S> {
        Typed { content, faults: self.faults, repaired: self.repaired }
    }

    fn note(&mut self, field: String, message: impl Into<String>) {
        let fault = Fault { field, message: message.into() };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Notes an error and puts something else in its place; `false` where that is impossible.
    fn repair(&mut self, value: &mut Value, mut path: Vec<Step>, error: &str) -> bool {
        let missing = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        if let Some(name) = missing {
            path.push(Step::Key(name.to_owned()));
        }
        let field = text_of(&path);
        if !self.repaired.iter().any(|outer| is_within(&field, outer)) {
            if self.repaired.len() == MAX_REPAIRS {
                return false;
            }
            self.note(field.clone(), explain(&path, error));
            self.repaired.push(field.clone());
        }
        let tries = self.tries.entry(field).or_default();
        if missing.is_some() {
            // There is nothing to remove.
            *tries = (*tries).max(1);
        }
        if let Some(variant) = first_variant(error) {
            return put(value, &path, Some(json!(variant)));
        }
        while !path.is_empty() {
            let field = text_of(&path);
            let tries = self.tries.entry(field.clone()).or_default();
            // Most fields have a default, so they are removed first. What is in a list keeps its
            // place there, so that the paths of its neighbours stay true.
            if *tries == 0 && matches!(path.last(), Some(Step::Index(_))) {
                *tries = 1;
            }
            let filler = match *tries {
                0 => Some(None),
                1 => Some(Some(json!(""))),
                2 => Some(Some(json!({}))),
                3 => Some(Some(json!([]))),
                _ => None,
            };
            *tries += 1;
            if let Some(filler) = filler
                && put(value, &path, filler)
            {
                return true;
            }
            // Nothing fits: what is around it goes.
            path.pop();
            self.repaired.push(text_of(&path));
        }
        false
    }
}

/// Sets or removes (`None`) what is at a path; `false` where there is no such place.
fn put(document: &mut Value, path: &[Step], new: Option<Value>) -> bool {
    let Some((last, around)) = path.split_last() else { return false };
    let mut at = document;
    for step in around {
        let next = match step {
            Step::Key(key) => at.get_mut(key),
            Step::Index(index) => at.get_mut(index),
        };
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    match (at, last, new) {
        (Value::Object(fields), Step::Key(key), Some(new)) => {
            fields.insert(key.clone(), new);
            true
        }
        (Value::Object(fields), Step::Key(key), None) => fields.remove(key).is_some(),
        (Value::Array(items), Step::Index(index), Some(new)) => {
            items.get_mut(*index).map(|item| *item = new).is_some()
        }
        _ => false,
    }
}

/// The first value that an enumeration has.
fn first_variant(error: &str) -> Option<&str> {
    let (_, expected) = error.strip_prefix("unknown variant ")?.split_once(", expected ")?;
    expected.split('`').nth(1)
}

/// Serde's message in words of YAML. No text of the author is repeated but where an enumeration is
/// meant: it may be a secret in the wrong place.
fn explain(path: &[Step], error: &str) -> String {
    if error.starts_with("missing field ") {
        return "is missing: add it".to_owned();
    }
    let expected = |prefix| error.strip_prefix(prefix)?.split_once(", expected ");
    if let Some((found, expected)) = expected("unknown variant ") {
        return format!("is {found}: write {expected}");
    }
    let Some((found, expected)) = expected("invalid type: ") else { return error.to_owned() };
    let literal = found.split('`').nth(1).filter(|_| !found.starts_with("string"));
    if let (Some(literal), "a string") = (literal, expected) {
        let duration =
            matches!(path.last(), Some(Step::Key(key)) if DURATIONS.contains(&key.as_str()));
        return if duration {
            format!("is {literal}: write a duration with its unit, such as 30m")
        } else {
            format!("is {literal}, which is no text in YAML: put it in quotes")
        };
    }
    let found = match (found, literal) {
        (_, Some(literal)) => literal,
        ("null", _) => "empty",
        ("map", _) => "a block of fields",
        ("sequence", _) => "a list",
        _ => "a text",
    };
    let expected = match expected {
        "a string" => "a text",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "string or map" => "one of its values",
        expected if expected == "a map" || expected.starts_with("struct ") => "a block of fields",
        expected => expected,
    };
    format!("is {found}: write {expected}")
}

/// The path as the rest of Vestibule writes it: `spec.routes[1].path`.
fn field_path(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", field_path(parent)),
        Path::Map { parent, key } => {
            let parent = field_path(parent);
            if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") }
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => field_path(parent),
    }
}
