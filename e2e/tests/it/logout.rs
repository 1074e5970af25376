//! Logouts: the old cookie is useless at once, here and at the provider.

use vestibule_e2e::browser::parse;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::Request;
use vestibule_e2e::stack::{Plan, Stack};

through_each_gateway!(
    t005_t090_a_logout_makes_the_old_cookie_useless,
    a_logout_by_form_works_without_javascript,
    t097_another_site_cannot_log_the_user_out,
);

fn status_with(stack: &Stack, cookie: &str) -> u16 {
    Request::get("/api", stack.host())
        .header("Cookie", format!("__Host-bff={cookie}"))
        .header("Sec-Fetch-Site", "same-origin")
        .header("Sec-Fetch-Mode", "cors")
        .header("Sec-Fetch-Dest", "empty")
        .send(stack.address())
        .status
}

fn t005_t090_a_logout_makes_the_old_cookie_useless(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut alice = stack.logged_in("alice");
    let cookie = alice.cookie("__Host-bff").unwrap().to_owned();
    assert_eq!(status_with(&stack, &cookie), 200);

    let session = alice.fetch(&stack.origin, &stack.url("/bff/session"));
    assert_eq!(session.status, 200, "{session}");
    let session = session.json();
    assert_eq!(session["subject"], "alice");
    assert_eq!(session["claims"]["name"], "Alice Example");
    assert!(session["expiresIn"].is_number() && session["idleExpiresIn"].is_number(), "{session}");

    let url = stack.url("/bff/logout");
    let request = alice.script_request("POST", &stack.origin, &url).header("X-Bff", "1");
    let answer = alice.send(&parse(&url), &request);
    assert_eq!(answer.status, 200, "{answer}");
    assert!(alice.cookie("__Host-bff").is_none(), "{answer}");
    assert_ne!(status_with(&stack, &cookie), 200);

    // The browser goes where it is told: to the provider, which ends its session too.
    let location = answer.json()["location"].as_str().unwrap().to_owned();
    assert!(location.starts_with(&stack.provider().issuer), "{location}");
    let page = alice.click(&stack.origin, &location);
    let page = alice.submit(&page, &[("logout", "yes")]);
    assert!(page.url.as_str().starts_with(&stack.url("/bff/signed-out")), "{page}");
    assert_eq!(page.response.status, 200, "{page}");

    let session = alice.fetch(&stack.origin, &stack.url("/bff/session"));
    assert_eq!(session.status, 401, "{session}");
    assert!(session.json()["loginUrl"].as_str().unwrap().contains("/bff/login"), "{session}");
    let form = alice.open(&stack.url("/page/home"));
    assert!(form.form().is_some(), "the provider still knows the user: {form}");
}

fn a_logout_by_form_works_without_javascript(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut alice = stack.logged_in("alice");
    let cookie = alice.cookie("__Host-bff").unwrap().to_owned();
    let page = alice.open(&stack.url("/bff/logout"));
    assert_eq!(page.response.status, 200, "{page}");
    assert_eq!(status_with(&stack, &cookie), 200, "the page alone ends nothing");
    let page = alice.submit(&page, &[]);
    assert!(page.url.as_str().starts_with(&stack.provider().issuer), "{page}");
    assert_ne!(status_with(&stack, &cookie), 200);
    let page = alice.submit(&page, &[("logout", "yes")]);
    assert_eq!(page.url.path(), "/bff/signed-out", "{page}");
}

fn t097_another_site_cannot_log_the_user_out(kind: Kind) {
    let stack = Plan::new(kind).start();
    let alice = stack.logged_in("alice");
    let cookie = alice.cookie("__Host-bff").unwrap().to_owned();
    let request = || {
        Request::new("POST", "/bff/logout", stack.host())
            .header("Cookie", format!("__Host-bff={cookie}"))
            .form("x=1")
    };
    for (name, request) in [
        (
            "cross-site",
            request().header("Sec-Fetch-Site", "cross-site").header("Origin", "https://evil.test"),
        ),
        (
            "same-site",
            request().header("Sec-Fetch-Site", "same-site").header("Origin", "http://localhost:1"),
        ),
        ("null origin", request().header("Origin", "null")),
        ("other origin", request().header("Origin", "https://evil.test")),
        ("no word of where from", request()),
    ] {
        let answer = request.send(stack.address());
        assert_eq!(answer.status, 403, "{name}: {answer}");
    }
    assert_eq!(status_with(&stack, &cookie), 200);
}
