//! Callers that bring a token of their own.

use vestibule_crds::v1alpha1::{BffPolicySpec, Client};

use super::authorities::{MAX_LIST, scope};
use super::provider::Habits;
use crate::error::FieldErrors;
use crate::model::CompiledBearer;

/// The `typ`s that ID tokens have as well.
const OF_ID_TOKENS: [&str; 2] = ["jwt", "application/jwt"];

/// Validates what tokens may count; `None` where none may.
pub(super) fn compile(
    spec: &BffPolicySpec,
    habits: Option<&Habits>,
    errors: &mut FieldErrors,
) -> Option<CompiledBearer> {
    let bearer = spec.bearer.as_ref()?;
    if spec.authorities.is_empty() {
        errors.push(
            "spec.bearer",
            "tokens count below an authority's base only: give spec.authorities, or remove it",
        );
    }
    let field = "spec.bearer.audiences";
    if bearer.audiences.is_empty() {
        errors.push(field, "list at least one: a token for anybody is a token for nobody");
    }
    if bearer.audiences.len() > MAX_LIST {
        errors.push(field, format!("list at most {MAX_LIST}"));
    }
    let token_types = habits.map(|habits| habits.token_types.clone()).unwrap_or_default();
    let like_id_tokens = token_types.iter().any(|typ| OF_ID_TOKENS.contains(&typ.as_str()));
    for (index, audience) in bearer.audiences.iter().enumerate() {
        if audience.is_empty() {
            errors.push(format!("{field}[{index}]"), "must not be empty");
        }
        if bearer.audiences[..index].contains(audience) {
            errors.push(format!("{field}[{index}]"), "is listed twice: remove one");
        }
        if like_id_tokens && clients(spec).any(|client| client.id == *audience) {
            errors.push(
                format!("{field}[{index}]"),
                "is the audience of ID tokens too, which the provider's access token type JWT does \
                 not tell apart: name the API, and have the provider put it into access tokens",
            );
        }
    }
    let field = "spec.bearer.mediationScope";
    scope(&bearer.mediation_scope, field, errors);
    for (index, authority) in spec.authorities.iter().enumerate() {
        if authority.scopes.iter().any(|scope| scope.name == bearer.mediation_scope) {
            errors.push(
                field,
                format!(
                    "is a scope of spec.authorities[{index}] too: an elevated token would mediate \
                     for others, so choose another"
                ),
            );
        }
    }
    Some(CompiledBearer {
        audiences: bearer.audiences.clone(),
        token_types,
        mediation_scope: bearer.mediation_scope.clone(),
        own_tokens: bearer.own_tokens,
    })
}

fn clients(spec: &BffPolicySpec) -> impl Iterator<Item = &Client> {
    let own = spec.authorities.iter().filter_map(|authority| authority.client.as_ref());
    std::iter::once(&spec.client).chain(own)
}
