//! What a policy may say on Kubernetes only, refused here with what to write instead.
//!
//! Why it exists: one type serves a cluster and a folder. A field that a folder cannot honour must
//! be an error, never be ignored.

use vestibule_crds::v1alpha1::{BffPolicySpec, ProviderKind};
use vestibule_policy::error::FieldError;
use vestibule_policy::model::CompiledPolicy;

/// The result of compiling, or what is wrong because there is no cluster.
pub fn judge(
    spec: &BffPolicySpec,
    compiled: Result<CompiledPolicy, Vec<FieldError>>,
) -> Result<CompiledPolicy, Vec<FieldError>> {
    let refusals = refusals(spec);
    if refusals.is_empty() {
        return compiled;
    }
    let mut errors = compiled.err().unwrap_or_default();
    // That such a provider is not found is no news.
    let cluster = spec.provider_ref.kind == ProviderKind::ClusterBffProvider;
    errors.retain(|error| !(cluster && error.field == "spec.providerRef.name"));
    errors.extend(refusals);
    Err(errors)
}

/// What to do about a document of a kind that only a cluster has.
pub fn kind_fix(kind: &str) -> &'static str {
    match kind {
        "ClusterBffProvider" => "only on Kubernetes: write a BffProvider",
        _ => "only on Kubernetes: remove it, this folder's authors share its hosts",
    }
}

fn refusals(spec: &BffPolicySpec) -> Vec<FieldError> {
    let mut refusals = Vec::new();
    if !spec.target_refs.is_empty() {
        refusals.push(FieldError {
            field: "spec.targetRefs".to_owned(),
            message: "is for Kubernetes only: remove it, and give the app's URLs as spec.origins"
                .to_owned(),
        });
    }
    if spec.provider_ref.kind == ProviderKind::ClusterBffProvider {
        refusals.push(FieldError {
            field: "spec.providerRef.kind".to_owned(),
            message: "is ClusterBffProvider, only on Kubernetes: write a BffProvider".to_owned(),
        });
    }
    refusals
}
