//! What a session takes in memory, estimated upwards: the bound of the cache is one of bytes.
//!
//! `tests/cached_sessions.rs` compares it with what is allocated.

use serde_json::Value;

use crate::session::{Grant, Session};

/// An entry of a shard and its place in the table, where both have just grown to the double.
const ENTRY: usize = 192;
/// What the allocator needs for itself, and what it rounds up to multiples of.
const OVERHEAD: usize = 8;
const UNIT: usize = 16;

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
    let claims = session.claims.iter().map(|(name, claim)| text(name) + value(claim));
    let of_claims = block(session.claims.len() * size_of::<(Box<str>, Value)>());
    let of_grant = session.grant.as_deref().map(grant).into_iter();
    // With the two counts of an `Arc`.
    let fixed = ENTRY + block(2 * size_of::<usize>() + size_of::<Session>()) + of_claims;
    fixed + texts.chain(tokens).chain(claims).chain(of_grant).sum::<usize>()
}

/// An allocation of so many bytes.
fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + OVERHEAD).next_multiple_of(UNIT).max(2 * UNIT) }
}

fn text(text: &str) -> usize {
    block(text.len())
}

fn grant(grant: &Grant) -> usize {
    let list = |scopes: &[String]| {
        block(2 * size_of_val(scopes)) + scopes.iter().map(|scope| text(scope)).sum::<usize>()
    };
    block(size_of_val(grant)) + list(&grant.asked) + list(&grant.granted)
}

fn value(claim: &Value) -> usize {
    match claim {
        Value::Null | Value::Bool(_) => 0,
        // With `arbitrary_precision` a number would be a text.
        Value::Number(_) => block(UNIT),
        Value::String(string) => text(string),
        Value::Array(items) => {
            block(size_of_val(&**items)) + items.iter().map(value).sum::<usize>()
        }
        Value::Object(members) if members.is_empty() => 0,
        Value::Object(members) => {
            // A node of the tree has room for eleven, and at least five but where it is the only one.
            let node = 11 * size_of::<(String, Value)>() + 16 * size_of::<usize>();
            let nodes = members.len() / 5 + 1;
            let of_members = members.iter().map(|(name, claim)| text(name) + value(claim));
            nodes * block(node) + of_members.sum::<usize>()
        }
    }
}
