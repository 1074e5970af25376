//! What programs read: the browser's module `client.js`, and the keys of identity JWTs.
//!
//! Why it exists: both are public and the same for everyone. They must not depend on a session.

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::Extension;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, StatusCode};

use super::Site;

/// One module, so that browsers load it at once.
const CLIENT: &str = concat!(
    include_str!("../../assets/client.js"),
    include_str!("../../assets/client/watch.js"),
    include_str!("../../assets/client/notice.js"),
    include_str!("../../assets/client/forms.js"),
    include_str!("../../assets/client/authorize.js"),
);

/// The one part of the module that depends on the policy.
const CSRF_HEADER_LINE: &str = "const CSRF_HEADER = \"X-Bff\";\n";

/// Handles `GET client.js`. Browsers ask again each time and mostly hear 304: a module of an older
/// version would not fit the endpoints.
pub async fn client_js(Extension(site): Extension<Site>, headers: HeaderMap) -> Response {
    let script = render(&site.policy.compiled.csrf_header);
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest(&SHA256, script.as_bytes())));
    let fields: [(HeaderName, &str); 4] = [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (ETAG, &tag),
    ];
    if is_current(&headers, &tag) {
        (StatusCode::NOT_MODIFIED, fields).into_response()
    } else {
        (fields, script).into_response()
    }
}

/// Handles `GET jwks.json`: the keys that identity JWTs are signed by (RFC 7517, section 5).
pub async fn jwks(Extension(site): Extension<Site>) -> Response {
    let fields: [(HeaderName, &str); 3] = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=300"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (fields, site.policy.identity.jwks().to_owned()).into_response()
}

/// The module for a policy. The name goes in as a JSON string, which is a JavaScript string too
/// (ECMA-262, since 2019).
fn render(csrf_header: &str) -> String {
    let name = serde_json::Value::from(csrf_header);
    CLIENT.replacen(CSRF_HEADER_LINE, &format!("const CSRF_HEADER = {name};\n"), 1)
}

/// Whether the client has this version; gateways that compress weaken the tag (RFC 9110, 13.1.2).
fn is_current(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_module_sends_the_policys_header() {
        assert!(CLIENT.contains(CSRF_HEADER_LINE), "the line that is replaced is there");
        assert!(render("x-shop").contains("\nconst CSRF_HEADER = \"x-shop\";\n"));
        let quoted = render("x\";alert(1)//");
        assert!(quoted.contains(r#"const CSRF_HEADER = "x\";alert(1)//";"#), "{quoted}");
    }

    #[test]
    fn the_module_is_small_and_loads_nothing_else() {
        assert!(CLIENT.len() < 36 * 1024, "{} bytes", CLIENT.len());
        let imports = CLIENT.lines().filter(|line| line.starts_with("import "));
        assert_eq!(imports.count(), 0);
    }

    #[test]
    fn a_known_version_is_recognised_in_a_list_and_weakened() {
        let known = |value| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(value));
            is_current(&headers, "\"abc\"")
        };
        assert!(known("\"abc\"") && known("\"x\", W/\"abc\"") && known("*"));
        assert!(!known("\"abcd\"") && !known("abc"));
        assert!(!is_current(&HeaderMap::new(), "\"abc\""));
    }
}
