//! The provider of a policy, and what is checked of every server that is asked something.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use vestibule_crds::v1alpha1::{ProviderKind, SecretKeyRef};

use super::authorities::scope;
use super::{Input, SecretLookup, client};
use crate::duration;
use crate::error::FieldErrors;
use crate::model::CompiledProvider;
use crate::origin::Origin;

/// What policies with authorities need of their provider.
pub(super) struct Habits {
    /// The `typ`s of its access tokens, in lower case.
    pub token_types: Vec<String>,
    /// The scopes that it grants without being asked, `openid` among them.
    pub added_scopes: Vec<String>,
}

/// Resolves the provider; `None` where there is none, with an error pushed.
pub(super) fn compile(
    input: &Input<'_>,
    secrets: SecretLookup<'_>,
    errors: &mut FieldErrors,
) -> Option<(CompiledProvider, Habits)> {
    let name = &input.spec.provider_ref.name;
    let (kind, place) = match input.spec.provider_ref.kind {
        ProviderKind::BffProvider => {
            ("BffProvider", format!(" in namespace {:?}", input.id.namespace))
        }
        ProviderKind::ClusterBffProvider => ("ClusterBffProvider", String::new()),
    };
    let Some(spec) = input.provider else {
        errors.push(
            "spec.providerRef.name",
            format!("there is no {kind} {name:?}{place}: create it or name another"),
        );
        return None;
    };
    let field = |path: &str| format!("spec.providerRef.name ({kind} {name}, {path})");
    if let Err(message) = server_url(&spec.issuer, "an issuer", input.allow_insecure) {
        errors.push(field("spec.issuer"), message);
    }
    let request_timeout = duration::parse(&spec.request_timeout).unwrap_or_else(|message| {
        errors.push(field("spec.requestTimeout"), message);
        Duration::from_secs(10)
    });
    if !(1..=60).contains(&request_timeout.as_secs()) {
        errors.push(field("spec.requestTimeout"), "must be between 1s and 60s");
    }
    let ca_bundle =
        ca_bundle(spec.ca_bundle_ref.as_ref(), &field("spec.caBundleRef"), secrets, errors);
    let types = &spec.access_token_types;
    if types.is_empty() {
        errors.push(field("spec.accessTokenTypes"), "list at least one typ, such as at+jwt");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.' | b'/');
    if types.iter().any(|typ| typ.is_empty() || !typ.bytes().all(plain)) {
        errors.push(field("spec.accessTokenTypes"), "write a typ such as at+jwt");
    }
    for (index, name) in spec.added_scopes.iter().enumerate() {
        scope(name, &field(&format!("spec.addedScopes[{index}]")), errors);
    }
    let habits = Habits {
        token_types: types.iter().map(|typ| typ.to_ascii_lowercase()).collect(),
        added_scopes: with_openid(&spec.added_scopes),
    };
    let provider = CompiledProvider {
        issuer: spec.issuer.clone(),
        ca_bundle,
        request_timeout,
        allow_insecure: input.allow_insecure,
    };
    Some((provider, habits))
}

/// Every login asks for `openid`, so that no token is without it.
fn with_openid(scopes: &[String]) -> Vec<String> {
    let mut all = scopes.to_vec();
    if !all.iter().any(|scope| scope == "openid") {
        all.insert(0, "openid".to_owned());
    }
    all
}

/// The PEM bundle that a reference names, where there is one.
pub(super) fn ca_bundle(
    reference: Option<&SecretKeyRef>,
    field: &str,
    secrets: SecretLookup<'_>,
    errors: &mut FieldErrors,
) -> Option<String> {
    secrets(reference?)
        .map(|pem| pem.expose_secret().to_owned())
        .and_then(|pem| match client::pem_block(&pem, "CERTIFICATE") {
            Some(_) => Ok(pem),
            None => Err("must hold PEM certificates (-----BEGIN CERTIFICATE-----)".to_owned()),
        })
        .map_err(|message| errors.push(field, message))
        .ok()
}

/// A URL without query or fragment, as issuers are (OpenID Connect Discovery 1.0, section 2).
/// `what` it is of begins the error.
pub(super) fn server_url(text: &str, what: &str, allow_insecure: bool) -> Result<(), String> {
    let url = url::Url::parse(text)
        .map_err(|error| format!("{text:?} is no URL ({error}): write it as the provider does"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{what} has no query and no fragment: remove them"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{what} has no user information: remove it"));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) || allow_insecure => Ok(()),
        _ => Err("use https: http is accepted on loopback only".to_owned()),
    }
}

/// Whether a server is on the machine of whoever asks it, in any spelling that a URL has for that.
#[must_use]
pub fn is_loopback_issuer(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| is_loopback(&url))
}

fn is_loopback(url: &url::Url) -> bool {
    url.host_str().is_some_and(|host| {
        Origin::parse(&format!("http://{host}")).is_ok_and(|origin| origin.is_loopback())
    })
}
