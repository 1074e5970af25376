//! The provider, the Secrets, and the compiler that authsvc's directory source uses too.
//!
//! Why it exists: what cannot be resolved belongs to one condition, what is written wrongly to
//! another, and the compiler knows one list. It must not quote a secret.

use secrecy::SecretString;
use vestibule_crds::conditions::reasons;
use vestibule_crds::v1alpha1::{BffPolicySpec, BffProviderSpec, ProviderKind, SecretKeyRef};
use vestibule_policy::compile::{self, compile};
use vestibule_policy::error::FieldError;
use vestibule_policy::model::{CompiledPolicy, PolicyId};

use super::problems::Problems;
use super::servers;
use crate::reconcile::input::{Input, Installation, ProviderLookup, SecretProblem};

pub(super) const PROVIDER: &str = "spec.providerRef.name";
/// Stands for the provider's CA bundle, which may be of another namespace than the policy's Secrets.
/// No Secret can have this name.
const CA_BUNDLE: &str = "/provider";

/// Compiles the policy with these origins; `None` where something is wrong, which is pushed.
pub(super) fn policy(
    id: &PolicyId,
    uid: &str,
    input: &Input,
    origins: Vec<String>,
    installation: &Installation,
    problems: &mut Problems,
) -> Option<CompiledPolicy> {
    let spec = BffPolicySpec { origins, ..input.policy.spec.clone() };
    let provider = provider(id, input, problems);
    let secrets = |reference: &SecretKeyRef| {
        look_up(input, reference).map_err(|problem| match problem {
            SecretProblem::Missing(text) | SecretProblem::Unusable(text) => text,
        })
    };
    let result = compile(&compile::Input {
        id: id.clone(),
        uid: uid.to_owned(),
        spec: &spec,
        provider: provider.as_ref(),
        secrets: &secrets,
        allow_insecure: installation.allow_insecure,
    });
    let reached = installation.allow_insecure || servers::check(&spec, provider.as_ref(), problems);
    match result {
        Ok(compiled) => reached.then_some(compiled),
        Err(errors) => {
            for error in errors {
                sort_in(&error, input, problems);
            }
            None
        }
    }
}

fn provider(id: &PolicyId, input: &Input, problems: &mut Problems) -> Option<BffProviderSpec> {
    let reference = &input.policy.spec.provider_ref;
    let (kind, place) = match reference.kind {
        ProviderKind::BffProvider => ("BffProvider", format!(" in namespace {:?}", id.namespace)),
        ProviderKind::ClusterBffProvider => ("ClusterBffProvider", String::new()),
    };
    match &input.provider {
        ProviderLookup::Found { spec, .. } => {
            let mut spec = spec.clone();
            if let Some(reference) = &mut spec.ca_bundle_ref {
                CA_BUNDLE.clone_into(&mut reference.name);
            }
            Some(spec)
        }
        ProviderLookup::NotFound => {
            let message = format!(
                "there is no {kind} {:?}{place}: create it or name another",
                reference.name
            );
            problems.push(reasons::PROVIDER_NOT_FOUND, PROVIDER, &message);
            None
        }
        ProviderLookup::NotPermitted => {
            let message = format!(
                "the {kind} {:?} is not for namespace {}: ask who manages the cluster, or name \
                 another",
                reference.name, id.namespace
            );
            problems.push(reasons::PROVIDER_NOT_PERMITTED, PROVIDER, &message);
            None
        }
    }
}

fn look_up(input: &Input, reference: &SecretKeyRef) -> Result<SecretString, SecretProblem> {
    let missing =
        || SecretProblem::Missing("the Secret or its key is missing: create it".to_owned());
    if reference.name == CA_BUNDLE {
        return match &input.provider {
            ProviderLookup::Found { ca_bundle: Some(result), .. } => result.clone(),
            _ => Err(missing()),
        };
    }
    let key = (reference.name.clone(), reference.key.clone());
    input.secrets.get(&key).cloned().unwrap_or_else(|| Err(missing()))
}

/// Puts one error of the compiler where it belongs.
fn sort_in(error: &FieldError, input: &Input, problems: &mut Problems) {
    let named = input.policy.spec.secret_refs();
    let mut field = error.field.clone();
    let mut reason = reasons::INVALID;
    if field == PROVIDER {
        return; // said already, with its reason
    }
    if field == "spec.origins" && input.policy.spec.origins.is_empty() {
        return; // deriving them said why there are none
    }
    if let Some((_, reference)) = named.iter().find(|(name, _)| *name == field) {
        reason = match look_up(input, reference) {
            Err(SecretProblem::Missing(_)) => reasons::SECRET_NOT_FOUND,
            _ => reasons::INVALID_SECRET,
        };
    } else if field.starts_with(PROVIDER) {
        if field.ends_with("spec.caBundleRef)") {
            reason = match &input.provider {
                ProviderLookup::Found {
                    ca_bundle: Some(Ok(_) | Err(SecretProblem::Unusable(_))),
                    ..
                } => reasons::INVALID_SECRET,
                _ => reasons::SECRET_NOT_FOUND,
            };
        }
        if input.policy.spec.provider_ref.kind == ProviderKind::ClusterBffProvider {
            field = field.replacen("(BffProvider ", "(ClusterBffProvider ", 1);
        }
    }
    problems.push(reason, &field, &error.message);
}
