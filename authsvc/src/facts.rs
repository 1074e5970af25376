//! What a request says about how the browser made it: Fetch Metadata, `Origin` and the like.
//!
//! Reads exactly these headers and no others. They cannot be set by a page's scripts (W3C Fetch
//! Metadata); other clients may say what they like, which gains them nothing but a refusal.

use http::{HeaderMap, HeaderValue, Method};

/// The facts of one request.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub struct Facts<'a> {
    /// The original method.
    pub method: Method,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
    /// `Sec-Fetch-Mode`.
    pub fetch_mode: Option<&'a str>,
    /// `Sec-Fetch-Dest`.
    pub fetch_dest: Option<&'a str>,
    /// Whether the browser only fetches ahead (`Sec-Purpose: prefetch`, or the older `Purpose`).
    pub prefetch: bool,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// Whether `Accept` lists `text/html`.
    pub accepts_html: bool,
    /// Whether this opens a WebSocket or another upgraded connection. Gateways may drop the
    /// hop-by-hop `Upgrade`, so the WebSocket headers count too (RFC 6455, section 4.1).
    pub upgrade: bool,
    /// Whether the policy's custom header is there.
    pub custom_header: bool,
    /// Whether this is a CORS preflight (Fetch standard, "CORS-preflight request").
    pub preflight: bool,
}

impl<'a> Facts<'a> {
    /// Reads the facts, in one pass over the headers; a header that occurs twice or is no text counts as
    /// garbage, which matches nothing that is allowed.
    #[must_use]
    pub fn read(method: Method, headers: &'a HeaderMap, csrf_header: &str) -> Self {
        let mut facts = Self::of(method);
        let (mut prefetches, mut asks_for_method) = ([None; 3], false);
        for (name, value) in headers {
            match name.as_str() {
                "sec-fetch-site" => note(&mut facts.fetch_site, value),
                "sec-fetch-mode" => note(&mut facts.fetch_mode, value),
                "sec-fetch-dest" => note(&mut facts.fetch_dest, value),
                "origin" => note(&mut facts.origin, value),
                "sec-purpose" => note(&mut prefetches[0], value),
                "purpose" => note(&mut prefetches[1], value),
                "x-moz" => note(&mut prefetches[2], value),
                "accept" => facts.accepts_html |= lists_html(value),
                "upgrade" | "sec-websocket-key" | "sec-websocket-version" => facts.upgrade = true,
                "access-control-request-method" => asks_for_method = true,
                _ => {}
            }
            facts.custom_header |= name.as_str().eq_ignore_ascii_case(csrf_header);
        }
        facts.prefetch = prefetches.iter().flatten().any(|value| value.contains("prefetch"));
        facts.preflight =
            facts.method == Method::OPTIONS && facts.origin.is_some() && asks_for_method;
        facts
    }

    /// Of a request without headers.
    fn of(method: Method) -> Self {
        Self {
            method,
            fetch_site: None,
            fetch_mode: None,
            fetch_dest: None,
            prefetch: false,
            origin: None,
            accepts_html: false,
            upgrade: false,
            custom_header: false,
            preflight: false,
        }
    }

    /// Whether the browser goes to a page in a window of its own: a GET with mode `navigate` and
    /// destination `document` that is no prefetch; without Fetch Metadata a GET that accepts HTML.
    #[must_use]
    pub fn is_navigation(&self) -> bool {
        if self.method != Method::GET || self.prefetch || self.upgrade {
            return false;
        }
        match (self.fetch_mode, self.fetch_dest) {
            (None, None) => self.accepts_html,
            (mode, dest) => mode == Some("navigate") && dest == Some("document"),
        }
    }

    /// Whether the method is safe (RFC 9110, section 9.2.1).
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.method.is_safe()
    }
}

fn lists_html(accept: &HeaderValue) -> bool {
    let html = b"text/html";
    accept.as_bytes().windows(html.len()).any(|window| window.eq_ignore_ascii_case(html))
}

/// The header's one value. Twice, or not text: a value that equals nothing.
fn note<'a>(noted: &mut Option<&'a str>, value: &'a HeaderValue) {
    *noted = Some(match noted {
        Some(_) => "(more than one)",
        None => value.to_str().unwrap_or("(not text)"),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(method: Method, headers: &[(&'static str, &'static str)]) -> Facts<'static> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Facts::read(method, Box::leak(Box::new(map)), "x-bff")
    }

    #[test]
    fn a_top_level_get_is_a_navigation() {
        let navigate = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert!(facts(Method::GET, &navigate).is_navigation());
        assert!(facts(Method::GET, &[("accept", "text/html,*/*")]).is_navigation());
    }

    #[test]
    fn frames_posts_prefetches_and_fetches_are_no_navigations() {
        let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        assert!(!facts(Method::GET, &frame).is_navigation());
        let navigate = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert!(!facts(Method::POST, &navigate).is_navigation());
        let prefetch = [navigate.as_slice(), &[("sec-purpose", "prefetch;prerender")]].concat();
        assert!(!facts(Method::GET, &prefetch).is_navigation());
        let fetch = [("sec-fetch-mode", "cors"), ("accept", "text/html")];
        assert!(!facts(Method::GET, &fetch).is_navigation());
        assert!(!facts(Method::GET, &[("accept", "application/json")]).is_navigation());
        assert!(!facts(Method::GET, &[]).is_navigation());
    }

    #[test]
    fn a_preflight_is_options_with_an_origin_and_the_method_it_asks_for() {
        let whole = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
        assert!(facts(Method::OPTIONS, &whole).preflight);
        assert!(!facts(Method::GET, &whole).preflight);
        assert!(!facts(Method::OPTIONS, &whole[..1]).preflight);
        assert!(!facts(Method::OPTIONS, &whole[1..]).preflight);
    }

    #[test]
    fn a_repeated_header_matches_nothing() {
        let twice = [("sec-fetch-mode", "navigate"), ("sec-fetch-mode", "navigate")];
        assert!(!facts(Method::GET, &twice).is_navigation());
    }

    #[test]
    fn a_websocket_is_seen_though_a_gateway_drops_the_hop_by_hop_header() {
        assert!(facts(Method::GET, &[("sec-websocket-key", "x")]).upgrade);
    }
}
