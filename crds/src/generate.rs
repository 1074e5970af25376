//! The generated files: CRD YAML, the chart's templates and the field reference.
//!
//! Why it exists: what users read and what the API server checks come from the types alone.
//! `tests/drift.rs` rewrites the files and fails when they had drifted.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt as _;

use crate::conditions;
use crate::v1alpha1::{BffHostGrant, BffPolicy, BffProvider, ClusterBffProvider};

/// Tells tools that a `BffPolicy` attaches to what it names and is not inherited (GEP-713).
const POLICY_LABEL: (&str, &str) = ("gateway.networking.k8s.io/policy", "Direct");

/// Every CRD of this crate with the file name it is written to.
#[must_use]
pub fn crds() -> Vec<(&'static str, CustomResourceDefinition)> {
    let mut policies = BffPolicy::crd();
    let (label, value) = POLICY_LABEL;
    let labels = policies.metadata.labels.get_or_insert_default();
    labels.insert(label.to_owned(), value.to_owned());
    let mut crds = vec![
        ("bffpolicies.yaml", policies),
        ("bffproviders.yaml", BffProvider::crd()),
        ("clusterbffproviders.yaml", ClusterBffProvider::crd()),
        ("bffhostgrants.yaml", BffHostGrant::crd()),
    ];
    let versions = crds.iter_mut().flat_map(|(_, crd)| &mut crd.spec.versions);
    for schema in versions.filter_map(|v| v.schema.as_mut()?.open_api_v3_schema.as_mut()) {
        join_lines(schema);
    }
    crds
}

/// One line for each paragraph of a description: `kubectl explain` breaks lines by itself.
fn join_lines(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        let paragraphs: Vec<String> =
            description.split("\n\n").map(|text| text.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n");
    }
    schema.properties.iter_mut().flatten().for_each(|(_, field)| join_lines(field));
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &mut schema.items {
        join_lines(item);
    }
}

/// A CRD's YAML as a template of the chart `vestibule-crds`: Helm upgrades it, and keeps it when
/// the chart is uninstalled.
#[must_use]
pub fn chart_template(crd_yaml: &str) -> String {
    let mut template = String::new();
    let mut in_metadata = false;
    let mut labels_written = false;
    for line in crd_yaml.lines() {
        if in_metadata && !line.starts_with(' ') && !labels_written {
            let _ = writeln!(template, "  labels:\n{CHART_LABELS}");
            labels_written = true;
        }
        in_metadata = line == "metadata:" || in_metadata && line.starts_with(' ');
        // No description may be taken for a template action.
        let _ = writeln!(template, "{}", line.replace("{{", "{{ \"{{\" }}"));
        match line {
            "metadata:" => template.push_str(CHART_ANNOTATIONS),
            "  labels:" if in_metadata => {
                let _ = writeln!(template, "{CHART_LABELS}");
                labels_written = true;
            }
            _ => {}
        }
    }
    template
}

const CHART_LABELS: &str = "    {{- include \"vestibule-crds.labels\" . | nindent 4 }}";
const CHART_ANNOTATIONS: &str = "  annotations:
    helm.sh/resource-policy: keep
    {{- with .Values.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
";

/// The field reference as Markdown: each field's path, type, default and description.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Policy reference\n\n\
         Generated from the types in `crds/`; do not edit. Group `vestibule.dev`, version `v1alpha1`.\n\
         An unknown field is refused with its path. A folder of policies takes `BffPolicy` and\n\
         `BffProvider`; the other kinds, `spec.targetRefs` and `status` are for Kubernetes.\n",
    );
    for (_, crd) in crds() {
        kind(&crd, &mut page);
    }
    conditions_table(&mut page);
    page
}

fn kind(crd: &CustomResourceDefinition, page: &mut String) {
    let root = crd.spec.versions.first().and_then(|v| v.schema.as_ref());
    let Some(root) = root.and_then(|s| s.open_api_v3_schema.as_ref()) else { return };
    let names = &crd.spec.names;
    let _ = write!(page, "\n## {}\n\n", names.kind);
    if let Some(description) = root.description.as_deref() {
        let _ = write!(page, "{description}\n\n");
    }
    let scope = if crd.spec.scope == "Namespaced" { "Namespaced" } else { "Of the whole cluster" };
    let _ = write!(page, "{scope}. `kubectl get {}`", names.plural);
    for short in names.short_names.iter().flatten() {
        let _ = write!(page, ", or `{short}`");
    }
    page.push_str(".\n\n| field | type | default | meaning |\n|---|---|---|---|\n");
    for part in ["spec", "status"] {
        if let Some(schema) = root.properties.as_ref().and_then(|p| p.get(part)) {
            rows(schema, part, page);
        }
    }
}

fn conditions_table(page: &mut String) {
    page.push_str(
        "\n## Conditions of a BffPolicy\n\n\
         Each is of one generation (`observedGeneration`), and its message names the field.\n\n\
         | condition | status | reason | meaning |\n|---|---|---|---|\n",
    );
    for condition in &conditions::ALL {
        for reason in condition.reasons {
            let meaning = if reason.status == "True" { condition.meaning } else { reason.meaning };
            let _ = writeln!(
                page,
                "| `{}` | `{}` | `{}` | {} |",
                condition.name,
                reason.status,
                reason.name,
                cell(meaning)
            );
        }
    }
}

fn rows(schema: &JSONSchemaProps, path: &str, page: &mut String) {
    let required = schema.required.clone().unwrap_or_default();
    for (name, field) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let default = match &field.default {
            Some(value) => format!("`{}`", value.0),
            None if required.contains(name) => "required".to_owned(),
            None => String::new(),
        };
        let _ = writeln!(
            page,
            "| `{path}` | {} | {} | {} |",
            type_name(field),
            cell(&default),
            cell(field.description.as_deref().unwrap_or_default())
        );
        rows(field, &path, page);
        if let Some(JSONSchemaPropsOrArray::Schema(item)) = &field.items {
            rows(item, &format!("{path}[]"), page);
        }
    }
}

fn type_name(field: &JSONSchemaProps) -> String {
    if let Some(values) = &field.enum_ {
        let names: Vec<String> =
            values.iter().filter_map(|v| v.0.as_str()).map(|v| format!("`{v}`")).collect();
        return names.join(", ");
    }
    let plain = field.type_.as_deref().unwrap_or("any");
    match &field.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => {
            format!("list of {}", item.type_.as_deref().unwrap_or("any"))
        }
        _ if field.additional_properties.is_some() => "map of string".to_owned(),
        _ => plain.to_owned(),
    }
}

fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
