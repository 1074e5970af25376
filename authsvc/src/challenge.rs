//! `WWW-Authenticate: Bearer …`: what a client is told that it lacks (RFC 6750, section 3; RFC 9470,
//! section 3; RFC 9728, section 5.1).
//!
//! Why it exists: checks and our own endpoints refuse in the same words, and a value can never leave
//! its quotes. It must not hold a token, nor decide what is lacking.

use axum::response::Response;
use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;
use vestibule_policy::origin::Origin;

use crate::check::decide::StepUp;
use crate::policies::PROTECTED_RESOURCE;

/// What gateways that drop bodies leave of a problem `mediation-advised`.
pub const MEDIATION_ADVISED: &str = "Mediation Advised";

/// One challenge, in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge(String);

impl Challenge {
    fn new() -> Self {
        Self("Bearer".to_owned())
    }

    /// The user's authentication is too weak or too old.
    #[must_use]
    pub fn step_up(step_up: &StepUp) -> Self {
        let mut challenge = Self::new().with("error", "insufficient_user_authentication");
        if let Some(acr) = &step_up.acr {
            challenge = challenge.with("acr_values", acr);
        }
        if let Some(max_age) = step_up.max_age {
            challenge = challenge.with("max_age", &max_age.to_string());
        }
        challenge
    }

    /// Nobody calls, and a token would do: no `error` (RFC 6750, section 3.1).
    #[must_use]
    pub fn unauthenticated(metadata: &str) -> Self {
        Self::new().with("resource_metadata", metadata)
    }

    /// The caller's token is no good. Why is not said: whoever has a good one need not know.
    #[must_use]
    pub fn invalid_token(metadata: &str) -> Self {
        Self::new().with("error", "invalid_token").with("resource_metadata", metadata)
    }

    /// Scopes are lacking, and no navigation would help.
    #[must_use]
    pub fn insufficient_scope(scopes: &[String]) -> Self {
        Self::new().with("error", "insufficient_scope").scopes(scopes)
    }

    /// Scopes are lacking, and a navigation to the authority's endpoint would help.
    #[must_use]
    pub fn mediation_advised(scopes: &[String]) -> Self {
        Self::new()
            .with("error", "insufficient_scope")
            .with("error_description", MEDIATION_ADVISED)
            .scopes(scopes)
    }

    /// Says where the authority describes itself, too.
    #[must_use]
    pub fn described_at(self, metadata: &str) -> Self {
        self.with("resource_metadata", metadata)
    }

    fn scopes(self, scopes: &[String]) -> Self {
        if scopes.is_empty() { self } else { self.with("scope", &scopes.join(" ")) }
    }

    /// Adds a parameter as a quoted string (RFC 9110, section 5.6.4).
    fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push_str(if self.0.contains('=') { ", " } else { " " });
        self.0.push_str(name);
        self.0.push_str("=\"");
        for character in value.chars() {
            match character {
                '"' | '\\' => self.0.extend(['\\', character]),
                ' '..='~' => self.0.push(character),
                // None of the grammars has them; what is left is seen to be wrong, and harms nobody.
                _ => self.0.push('?'),
            }
        }
        self.0.push('"');
        self
    }

    /// The header's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Makes it the response's only challenge.
    pub fn put(&self, response: &mut Response) {
        // Visible ASCII and spaces always are a value.
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(WWW_AUTHENTICATE, value);
        }
    }
}

/// Where the authority of a base describes itself (RFC 9728, section 3.1).
#[must_use]
pub fn metadata_url(origin: &Origin, base: &str) -> String {
    format!("{origin}{PROTECTED_RESOURCE}{base}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(list: &[&str]) -> Vec<String> {
        list.iter().map(|scope| (*scope).to_owned()).collect()
    }

    #[test]
    fn every_challenge_reads_as_its_rfc_writes_it() {
        let origin = Origin::parse("https://shop.example.com").unwrap();
        let metadata = metadata_url(&origin, "/api/production");
        assert_eq!(
            metadata,
            "https://shop.example.com/.well-known/oauth-protected-resource/api/production"
        );
        let wanted = scopes(&["prod:read", "prod:write"]);
        for (challenge, text) in [
            (
                Challenge::unauthenticated(&metadata),
                format!("Bearer resource_metadata=\"{metadata}\""),
            ),
            (
                Challenge::invalid_token(&metadata),
                format!("Bearer error=\"invalid_token\", resource_metadata=\"{metadata}\""),
            ),
            (
                Challenge::insufficient_scope(&wanted),
                "Bearer error=\"insufficient_scope\", scope=\"prod:read prod:write\"".to_owned(),
            ),
            (
                Challenge::insufficient_scope(&[]).described_at(&metadata),
                format!("Bearer error=\"insufficient_scope\", resource_metadata=\"{metadata}\""),
            ),
            (
                Challenge::mediation_advised(&wanted),
                "Bearer error=\"insufficient_scope\", error_description=\"Mediation Advised\", \
                 scope=\"prod:read prod:write\""
                    .to_owned(),
            ),
        ] {
            assert_eq!(challenge.as_str(), text);
        }
    }

    #[test]
    fn a_step_up_names_what_is_asked_for() {
        let step_up = |acr: Option<&str>, max_age| {
            let wanted = StepUp { acr: acr.map(ToOwned::to_owned), max_age };
            Challenge::step_up(&wanted).as_str().to_owned()
        };
        let error = "Bearer error=\"insufficient_user_authentication\"";
        assert_eq!(step_up(None, None), error);
        assert_eq!(
            step_up(Some("gold"), Some(60)),
            format!("{error}, acr_values=\"gold\", max_age=\"60\"")
        );
    }

    #[test]
    fn no_value_leaves_its_quotes() {
        let odd = scopes(&["a\", error=\"none", "b\\", "c\r\nSet-Cookie: x=y", "d\u{e9}\u{7f}\0"]);
        let challenge = Challenge::insufficient_scope(&odd);
        assert_eq!(
            challenge.as_str(),
            "Bearer error=\"insufficient_scope\", scope=\"a\\\", error=\\\"none b\\\\ \
             c??Set-Cookie: x=y d???\""
        );
        let mut response = Response::default();
        challenge.put(&mut response);
        Challenge::unauthenticated("https://shop.example.com/x").put(&mut response);
        let all: Vec<_> = response.headers().get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(all, ["Bearer resource_metadata=\"https://shop.example.com/x\""]);
    }
}
