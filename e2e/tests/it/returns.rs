//! The corpus of return URLs through each gateway: nothing that a client writes into a login or a
//! request target makes a redirect that leaves the app, but to its provider.

use url::Url;
use vestibule_e2e::browser::parse;
use vestibule_e2e::corpus::rows;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::{Request, Response};
use vestibule_e2e::stack::{Plan, Stack};

through_each_gateway!(
    t011_t012_t013_t034_t092_no_redirect_leaves_the_origin,
    t011_t034_a_login_ends_on_the_origin_whatever_it_was_to_return_to,
);

/// Percent-encoded, since a `+` in a return URL is a `+`.
fn encoded(bytes: &[u8]) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(bytes).collect();
    encoded.replace('+', "%20")
}

fn navigation(stack: &Stack, target: impl AsRef<[u8]>, cookie: &str) -> Option<Response> {
    let mut request = Request::get(target, stack.host())
        .header("Accept", "text/html")
        .header("Sec-Fetch-Site", "cross-site")
        .header("Sec-Fetch-Mode", "navigate")
        .header("Sec-Fetch-Dest", "document");
    if !cookie.is_empty() {
        request = request.header("Cookie", cookie);
    }
    request.try_send(stack.address())
}

/// Where a browser would go from this answer; fails if that is neither the app nor its provider.
fn next(stack: &Stack, answer: Option<&Response>, asked: &str) -> Option<Url> {
    let location = answer?.header("location")?;
    let base = parse(&stack.origin);
    let next = base.join(location).unwrap_or_else(|error| panic!("{asked}: {location}: {error}"));
    let provider = parse(&stack.provider().issuer);
    assert!(
        next.origin() == base.origin() || next.origin() == provider.origin(),
        "{asked} leads to {location}"
    );
    // No other reader may take it for another host either.
    let plain = location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    assert!(plain && !location.starts_with("//"), "{asked} leads to {location}");
    Some(next)
}

fn t011_t012_t013_t034_t092_no_redirect_leaves_the_origin(kind: Kind) {
    // The corpus is about https://shop.example.com.
    let stack = Plan { behind_tls: true, ..Plan::new(kind) }.start();
    let alice = stack.logged_in("alice");
    let cookie = format!("__Host-bff={}", alice.cookie("__Host-bff").unwrap());
    for row in rows("authsvc/testdata/corpora/return_urls.txt") {
        let shown = row.input.escape_ascii().to_string();
        for parameter in ["rd", "return_to"] {
            let login = format!("/bff/login?{parameter}={}", encoded(&row.input));
            for who in ["", cookie.as_str()] {
                let answer = navigation(&stack, &login, who);
                let next = next(&stack, answer.as_ref(), &shown);
                if row.refused() {
                    let status = answer.map_or(400, |answer| answer.status);
                    assert!((400..500).contains(&status), "{parameter}={shown}: {status}");
                    assert_eq!(next, None, "{parameter}={shown}");
                } else if who.is_empty() {
                    let next = next.unwrap_or_else(|| panic!("{parameter}={shown}: {answer:?}"));
                    assert!(next.as_str().starts_with(&stack.provider().issuer), "{next}");
                } else {
                    // Who is logged in already goes straight back.
                    let back = stack.url(&row.expected);
                    assert_eq!(next.as_ref().map(Url::as_str), Some(back.as_str()), "{shown}");
                }
            }
        }
        // As it is, where it makes a request at all: in the query, and as what is navigated to.
        if row.input.iter().any(u8::is_ascii_whitespace) {
            continue;
        }
        for target in [[b"/bff/login?rd=", row.input.as_slice()].concat(), row.input.clone()] {
            for who in ["", cookie.as_str()] {
                let answer = navigation(&stack, &target, who);
                let Some(login) = next(&stack, answer.as_ref(), &shown) else { continue };
                if login.path() == "/bff/login" {
                    let login = &login[url::Position::BeforePath..];
                    for who in ["", cookie.as_str()] {
                        let _ = next(&stack, navigation(&stack, login, who).as_ref(), &shown);
                    }
                }
            }
        }
    }
}

fn t011_t034_a_login_ends_on_the_origin_whatever_it_was_to_return_to(kind: Kind) {
    let stack = Plan { behind_tls: true, ..Plan::new(kind) }.start();
    for (asked, end) in [
        ("/a?next=https://evil.example/", "/a?next=https://evil.example/"),
        ("/a?x=%2F%2Fevil.example", "/a?x=%2F%2Fevil.example"),
        ("/http:/evil.example", "/http:/evil.example"),
        ("/javascript:alert(1)#", "/javascript:alert(1)"),
        ("/@evil.example", "/@evil.example"),
        ("HTTPS://SHOP.example.com:443/a?x=//evil.example", "/a?x=//evil.example"),
    ] {
        let login = stack.url(&format!("/bff/login?rd={}", encoded(asked.as_bytes())));
        let page = stack.browser().log_in(&login, "alice");
        assert_eq!(page.url.as_str(), stack.url(end), "{asked}: {page}");
        assert_eq!(page.response.status, 200, "{asked}: {page}");
        if asked == end {
            let page = stack.browser().log_in(&stack.url(asked), "alice");
            assert_eq!(page.url.as_str(), stack.url(end), "{asked}: {page}");
        }
    }
}
