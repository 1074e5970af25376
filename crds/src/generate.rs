//! The generated files: CRD YAML and the field reference.
//!
//! Why it exists: what users read and what the API server checks come from the types alone.
//! `tests/drift.rs` rewrites the files and fails when they had drifted.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt as _;

use crate::v1alpha1::{BffPolicy, BffProvider};

/// Every CRD of this crate with the file name it is written to.
#[must_use]
pub fn crds() -> Vec<(&'static str, CustomResourceDefinition)> {
    vec![("bffpolicies.yaml", BffPolicy::crd()), ("bffproviders.yaml", BffProvider::crd())]
}

/// The field reference as Markdown: each field's path, type, default and description.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Policy reference\n\n\
         Generated from the types in `crds/`; do not edit. Group `vestibule.dev`, version `v1alpha1`.\n\
         An unknown field is refused with its path.\n",
    );
    for (_, crd) in crds() {
        let kind = &crd.spec.names.kind;
        let schema = crd.spec.versions.first().and_then(|v| v.schema.as_ref());
        let spec = schema
            .and_then(|s| s.open_api_v3_schema.as_ref())
            .and_then(|s| s.properties.as_ref())
            .and_then(|p| p.get("spec"));
        let Some(spec) = spec else { continue };
        let _ = write!(page, "\n## {kind}\n\n");
        if let Some(description) = schema
            .and_then(|s| s.open_api_v3_schema.as_ref())
            .and_then(|s| s.description.as_deref())
        {
            let _ = write!(page, "{description}\n\n");
        }
        page.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
        rows(spec, "spec", &mut page);
    }
    page
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
