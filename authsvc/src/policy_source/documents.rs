//! From one file's text to the objects in it, with everything that is wrong and where.
//!
//! Pure. It refuses what an API server would refuse (unknown fields, wrong types, bad names) and
//! must not judge what a field means: that is `vestibule_policy::compile`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::UserMessageFormatter;
use vestibule_crds::v1alpha1::{BffPolicySpec, BffProviderSpec};

use super::document_lines::{self, Lines};
use super::problem::Problem;
use super::{names, standalone, typed};

const API_VERSION: &str = "vestibule.dev/v1alpha1";
/// Where an object says no namespace.
const DEFAULT_NAMESPACE: &str = "default";

/// The kinds that a policies folder may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `BffPolicy`.
    Policy,
    /// `BffProvider`.
    Provider,
}

/// Names one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId {
    /// What it is.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What its author wrote.
#[derive(Clone, Debug)]
pub enum Spec {
    /// Of a `BffPolicy`.
    Policy(Box<BffPolicySpec>),
    /// Of a `BffProvider`.
    Provider(BffProviderSpec),
}

/// One object as a file holds it.
#[derive(Clone, Debug)]
pub struct Document {
    /// Which one it is.
    pub id: ObjectId,
    /// Its first line.
    pub line: usize,
    /// What it says.
    pub spec: Spec,
}

/// An object with problems, as far as it was read: for finding more problems, never to be enforced.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What was read, with fillers at `repaired`.
    pub document: Document,
    /// The fields that hold something else than their author wrote.
    pub repaired: Vec<String>,
}

/// One file's content.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The objects that were read without a problem.
    pub documents: Vec<Document>,
    /// The objects that were not, as far as they can be named.
    pub broken: Vec<ObjectId>,
    /// The broken ones again, as far as they can be judged.
    pub drafts: Vec<Draft>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Reads a file's objects; `file` is the name that problems show.
#[must_use]
pub fn parse(file: &str, text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    if text.is_empty() {
        // A file that is being written is empty for a moment: that must not remove its policies.
        parsed.problems.push(Problem {
            file: file.to_owned(),
            line: 0,
            object: None,
            field: None,
            message: "is empty: delete the file to remove what it held".to_owned(),
        });
        return parsed;
    }
    let options = serde_saphyr::options! { with_snippet: false };
    let values: Vec<Value> = match serde_saphyr::from_multiple_with_options(text, options) {
        Ok(values) => values,
        Err(error) => {
            parsed.problems.push(Problem {
                file: file.to_owned(),
                line: error.location().map_or(0, |at| usize::try_from(at.line()).unwrap_or(0)),
                object: None,
                field: None,
                message: yaml_message(&error),
            });
            return parsed;
        }
    };
    let lines = document_lines::documents(text);
    let aligned = lines.len() == values.len();
    for (index, value) in values.into_iter().enumerate() {
        let lines = lines.get(index).filter(|_| aligned).cloned();
        let lines = lines.unwrap_or_else(|| Lines::starting_at(1));
        let mut reader = Reader { file, lines, object: None, problems: Vec::new() };
        let (kind, id) = reader.identify(&value);
        let (spec, repaired) = kind.map_or((None, Vec::new()), |kind| reader.spec(kind, value));
        let (line, clean) = (reader.lines.start(), reader.problems.is_empty());
        parsed.problems.append(&mut reader.problems);
        let Some(id) = id else { continue };
        match spec.map(|spec| Document { id: id.clone(), line, spec }) {
            Some(document) if clean => parsed.documents.push(document),
            document => {
                parsed.broken.push(id);
                parsed.drafts.extend(document.map(|document| Draft { document, repaired }));
            }
        }
    }
    parsed
}

/// What the YAML reader says, in words for an author, without the position: the problem has it.
fn yaml_message(error: &serde_saphyr::Error) -> String {
    let error = error.without_snippet();
    if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error {
        let key = key.as_deref().map_or("a key".to_owned(), |key| key.escape_debug().to_string());
        return format!("{key} is given twice: remove one");
    }
    let mut message = error.render_with_formatter(&UserMessageFormatter);
    if let Some(at) = error.location() {
        let position = format!(" at line {}, column {}", at.line(), at.column());
        message = message.replace(&position, "");
    }
    format!("is not valid YAML: {message}")
}

/// The shape of every object. What a cluster writes into `metadata` and `status` is accepted and not used,
/// so that what `kubectl get -o yaml` prints can be used as a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object<S> {
    #[serde(rename = "apiVersion")]
    _api_version: Value,
    #[serde(rename = "kind")]
    _kind: Value,
    #[serde(rename = "metadata")]
    _metadata: Metadata,
    spec: S,
    #[serde(default, rename = "status")]
    _status: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(rename = "name")]
    _name: String,
    #[serde(default, rename = "namespace")]
    _namespace: Option<String>,
    #[serde(default, rename = "labels")]
    _labels: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "annotations")]
    _annotations: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "uid")]
    _uid: Value,
    #[serde(default, rename = "resourceVersion")]
    _resource_version: Value,
    #[serde(default, rename = "generation")]
    _generation: Value,
    #[serde(default, rename = "creationTimestamp")]
    _creation_timestamp: Value,
    #[serde(default, rename = "managedFields")]
    _managed_fields: Value,
}

/// Reads one document.
struct Reader<'a> {
    file: &'a str,
    lines: Lines,
    object: Option<String>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn refuse(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: self.lines.of(field),
            object: self.object.clone(),
            field: Some(field.to_owned()).filter(|field| !field.is_empty()),
            message: message.into(),
        });
    }

    /// Which object this is; `None` where that cannot be said, with a problem noted.
    fn identify(&mut self, value: &Value) -> (Option<Kind>, Option<ObjectId>) {
        if !value.is_object() {
            self.refuse("", "is no object: write apiVersion, kind, metadata and spec");
            return (None, None);
        }
        let kind = match self.word(value, "kind", "write BffPolicy or BffProvider") {
            None => None,
            Some("BffPolicy") => Some(Kind::Policy),
            Some("BffProvider") => Some(Kind::Provider),
            Some(cluster @ ("ClusterBffProvider" | "BffHostGrant")) => {
                self.refuse("kind", format!("is {cluster}: {}", standalone::kind_fix(cluster)));
                None
            }
            Some(other) => {
                let fix = "this folder holds BffPolicy and BffProvider only";
                self.refuse("kind", format!("is {other:?}: {fix}"));
                None
            }
        };
        let Some(kind) = kind else { return (None, None) };
        let fix = format!("write {API_VERSION}");
        match self.word(value, "apiVersion", &fix) {
            None | Some(API_VERSION) => {}
            Some(other) => self.refuse("apiVersion", format!("is {other:?}: {fix}")),
        }
        (Some(kind), self.name(kind, value))
    }

    /// A text at the top of the document; `None` where there is none, with a problem noted.
    fn word<'v>(&mut self, value: &'v Value, field: &str, fix: &str) -> Option<&'v str> {
        match value.get(field) {
            None | Some(Value::Null) => self.refuse(field, format!("is missing: {fix}")),
            Some(Value::String(word)) => return Some(word),
            Some(_) => self.refuse(field, format!("is no text: {fix}")),
        }
        None
    }

    fn name(&mut self, kind: Kind, value: &Value) -> Option<ObjectId> {
        let namespace = match value.pointer("/metadata/namespace") {
            None | Some(Value::Null) => Some(DEFAULT_NAMESPACE),
            Some(value) => value.as_str(),
        };
        let Some(name) = value.pointer("/metadata/name").and_then(Value::as_str) else {
            self.refuse("metadata.name", "is missing: give the object a name");
            return None;
        };
        let Some(namespace) = namespace else {
            self.refuse("metadata.namespace", "must be a text");
            return None;
        };
        if !names::is_subdomain(name) {
            self.refuse("metadata.name", format!("is {name:?}: {}", names::SUBDOMAIN_RULE));
            return None;
        }
        if !names::is_label(namespace) {
            self.refuse("metadata.namespace", format!("is {namespace:?}: {}", names::LABEL_RULE));
            return None;
        }
        let id = ObjectId { kind, namespace: namespace.to_owned(), name: name.to_owned() };
        self.object = Some(id.to_string());
        Some(id)
    }

    /// What it says, and which fields of that are fillers.
    fn spec(&mut self, kind: Kind, value: Value) -> (Option<Spec>, Vec<String>) {
        match kind {
            Kind::Policy => {
                let (spec, repaired) = self.typed(value);
                (spec.map(|spec| Spec::Policy(Box::new(spec))), repaired)
            }
            Kind::Provider => {
                let (spec, repaired) = self.typed(value);
                (spec.map(Spec::Provider), repaired)
            }
        }
    }

    fn typed<S: DeserializeOwned>(&mut self, value: Value) -> (Option<S>, Vec<String>) {
        let read = typed::read::<Object<S>>(value);
        for fault in read.faults {
            // Its name was judged already.
            let told = self.problems.iter().any(|problem| {
                problem.field.as_ref().is_some_and(|told| typed::is_within(told, &fault.field))
            });
            if !told {
                self.refuse(&fault.field, fault.message);
            }
        }
        (read.content.map(|object| object.spec), read.repaired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse("a.yaml", text).problems.iter().map(Problem::to_string).collect()
    }

    const HEAD: &str = "apiVersion: vestibule.dev/v1alpha1\nkind: BffPolicy\n";

    #[test]
    fn t009_an_unknown_knob_is_an_error_with_its_path_and_line() {
        let text = format!(
            "{HEAD}metadata: {{name: shop}}
spec:
  origins: [http://localhost:8080]
  providerRef: {{name: corp}}
  client: {{id: shop, secretRef: {{name: s, key: k}}}}
  routes:
    - path: /api
      acess: Public
  skipAuth: true
"
        );
        assert_eq!(
            problems(&text),
            [
                "a.yaml:10: default/shop spec.routes[0].acess: is no known field: remove it or \
                 correct its spelling",
                "a.yaml:11: default/shop spec.skipAuth: is no known field: remove it or correct \
                 its spelling",
            ]
        );
        assert_eq!(parse("a.yaml", &text).broken.len(), 1);
    }

    #[test]
    fn a_wrong_type_has_its_path_and_line() {
        let text = format!("{HEAD}metadata: {{name: shop}}\nspec:\n  origins: 7\n");
        let found = problems(&text);
        assert!(
            found[0].starts_with("a.yaml:5: default/shop spec.origins: is 7: write a list"),
            "{found:?}"
        );
    }

    #[test]
    fn other_kinds_bad_names_and_empty_files_are_refused() {
        for (text, expected) in [
            ("kind: Secret\nmetadata: {name: a}\n", "a.yaml:1: kind: is \"Secret\": this folder"),
            (
                "metadata: {name: a}\nkind: BffPolicy\napiVersion: v1\n",
                "a.yaml:3: apiVersion: is \"v1\"",
            ),
            ("- 1\n", "a.yaml:1: is no object"),
            ("", "a.yaml: is empty"),
            ("a: [\n", "a.yaml:"),
            ("a: 1\na: 2\n", "a.yaml:2: a is given twice: remove one"),
        ] {
            let found = problems(text);
            assert!(found[0].starts_with(expected), "{text:?}: {found:?}");
        }
        for metadata in
            ["{name: ../x}", "{name: A}", "{name: a, namespace: a/b}", "{name: 7}", "{}"]
        {
            let parsed = parse("a.yaml", &format!("{HEAD}metadata: {metadata}\nspec: {{}}\n"));
            assert!(parsed.broken.is_empty(), "{metadata}");
            assert!(parsed.problems[0].message.contains("is "), "{:?}", parsed.problems);
            assert_eq!(parsed.problems[0].line, 3);
        }
    }
}
