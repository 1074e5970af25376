//! `GET logout`: ends the session here and at the provider, and goes back to the app.
//!
//! Why it exists: the SDKs log out by a navigation, and a GET that changes something can be caused by any
//! site. So it does it at once only for a navigation that began in the app itself, or that its user typed;
//! for every other one our own page asks. It must not end anything before it knows where to go.

use std::sync::Arc;

use axum::extract::{Extension, Path, RawQuery, State};
use axum::response::Response;
use http::header::REFERER;
use http::{HeaderMap, Method};
use vestibule_policy::origin::Origin;

use super::{Asked, Refused, path_to};
use crate::app::App;
use crate::endpoints::Site;
use crate::endpoints::logout::{ask, log_out_to};
use crate::facts::Facts;
use crate::policies::LivePolicy;

/// Handles the request. The router has refused all methods but GET.
pub(super) async fn logout(
    State(app): State<Arc<App>>,
    Extension(site): Extension<Site>,
    client: Option<Path<String>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let policy = &site.policy;
    let facts = Facts::read(Method::GET, &headers, &policy.compiled.csrf_header);
    let asked = Asked::read(&query.unwrap_or_default(), client.as_ref(), &policy.compiled);
    let path = match asked.and_then(|asked| after(&asked, policy)) {
        Ok(path) => path,
        Err(refused) => return refused.into_response(facts.is_navigation()),
    };
    if is_of_the_app(&facts, &headers, &site.origin) {
        log_out_to(&app, &site, headers, &path).await
    } else {
        ask(&app, &site, &headers).await
    }
}

/// Where the browser goes afterwards: as the documentation calls it, as the SDKs call it, or as the policy
/// says.
fn after(asked: &Asked, policy: &LivePolicy) -> Result<String, Refused> {
    let named = [asked.one("redirect_uri")?, asked.one("post_logout_redirect_uri")?];
    match named {
        [Some(_), Some(_)] => Err(Refused::Malformed),
        [Some(raw), None] | [None, Some(raw)] => path_to(raw, policy).ok_or(Refused::Malformed),
        [None, None] => Ok(policy.compiled.logout_return_to.clone()),
    }
}

/// Whether it is a navigation that a page of the app began, or that the user did. Where the browser gives no
/// Fetch Metadata, it must name a page of the app, which other sites cannot have it do.
fn is_of_the_app(facts: &Facts<'_>, headers: &HeaderMap, origin: &Origin) -> bool {
    if !facts.is_navigation() {
        return false;
    }
    if let Some(site) = facts.fetch_site {
        return matches!(site, "same-origin" | "none");
    }
    let named = facts.origin.map(str::to_owned).or_else(|| referer(headers));
    named.and_then(|named| Origin::parse(&named).ok()).as_ref() == Some(origin)
}

/// The origin of the one `Referer`.
fn referer(headers: &HeaderMap) -> Option<String> {
    let mut found = headers.get_all(REFERER).iter();
    let (Some(value), None) = (found.next(), found.next()) else { return None };
    let (scheme, rest) = value.to_str().ok()?.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    Some(format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_fetch_metadata_only_a_page_of_the_app_may_log_out_at_once() {
        let origin = Origin::parse("https://shop.example.com").unwrap();
        let judge = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            headers.append("accept", "text/html".parse().unwrap());
            let facts = Facts::read(Method::GET, &headers, "x-bff");
            is_of_the_app(&facts, &headers, &origin)
        };
        assert!(judge(&[("referer", "https://shop.example.com/a?b=https://evil.example/#c")]));
        assert!(judge(&[("referer", "https://shop.example.com")]));
        assert!(judge(&[("origin", "https://shop.example.com")]));
        for pairs in [
            &[][..],
            &[("referer", "https://evil.example/https://shop.example.com/")],
            &[("referer", "https://shop.example.com.evil.example/")],
            &[("referer", "https://shop.example.com@evil.example/")],
            &[("referer", "https://evil.example?://shop.example.com/")],
            &[("referer", "http://shop.example.com/")],
            &[("referer", "https://shop.example.com:8443/")],
            &[("referer", "https://sub.shop.example.com/")],
            &[("referer", "https://shop.example.com\\@evil.example/")],
            &[("referer", "https://shop.example.com/"), ("referer", "https://shop.example.com/")],
            &[("referer", "about:blank")],
            &[("origin", "null"), ("referer", "https://shop.example.com/")],
            &[("origin", "https://evil.example"), ("referer", "https://shop.example.com/")],
            &[("referer", "https://shop.example.com/"), ("sec-fetch-site", "cross-site")],
            &[("referer", "https://shop.example.com/"), ("sec-fetch-site", "same-site")],
        ] {
            assert!(!judge(pairs), "{pairs:?}");
        }
    }
}
