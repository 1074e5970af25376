//! What a session takes in memory, estimated upwards: the bound of the cache is one of bytes.

use serde_json::Value;

use crate::session::Session;

/// What every entry takes beside its session's texts: keys, tables and the allocator's own.
const ENTRY: usize = 512;
/// What one allocation costs beside its content.
const ALLOCATION: usize = 16;

/// Bytes of a session in the cache.
pub(super) fn of(session: &Session) -> usize {
    let texts = [Some(session.subject.as_str()), Some(&session.issuer)]
        .into_iter()
        .chain([session.provider_session.as_deref(), session.acr.as_deref()])
        .flatten()
        .map(text);
    let tokens = [Some(&session.id_token), Some(&session.access_token)]
        .into_iter()
        .chain([session.refresh_token.as_ref(), session.nonce.as_ref()])
        .flatten()
        .map(|token| text(token.expose()));
    let claims = session.claims.iter().map(|(name, claim)| member(name, claim));
    let scopes = session.grant.iter().flat_map(|grant| grant.asked.iter().chain(&grant.granted));
    let scopes = scopes.map(|scope| 2 * size_of::<String>() + text(scope));
    let parts = texts.chain(tokens).chain(claims).chain(scopes);
    ENTRY + size_of::<Session>() + parts.sum::<usize>()
}

fn text(text: &str) -> usize {
    ALLOCATION + text.len()
}

/// One member of an object, with its share of half-empty tree nodes.
fn member(name: &str, claim: &Value) -> usize {
    2 * (size_of::<String>() + size_of::<Value>()) + text(name) + value(claim)
}

fn value(claim: &Value) -> usize {
    match claim {
        Value::Null | Value::Bool(_) => 0,
        // With `arbitrary_precision` a number would be a text.
        Value::Number(_) => ALLOCATION,
        Value::String(string) => text(string),
        // A list has room for up to twice its items.
        Value::Array(items) => {
            ALLOCATION
                + items.iter().map(|item| 2 * size_of::<Value>() + value(item)).sum::<usize>()
        }
        Value::Object(members) => {
            ALLOCATION + members.iter().map(|(name, claim)| member(name, claim)).sum::<usize>()
        }
    }
}
