//! Logins through each gateway: where they begin, where they end, and what begins none.

use vestibule_e2e::gateway::Kind;
use vestibule_e2e::stack::{Plan, Stack};

through_each_gateway!(
    a_navigation_ends_at_the_provider_and_returns_to_the_exact_url,
    a_login_works_behind_a_load_balancer_that_ends_tls,
    a_fetch_without_a_session_gets_401_and_asks_the_provider_nothing,
    a_second_app_visit_needs_no_form,
    ten_tabs_that_log_in_at_once_each_return_to_their_own_page,
    a_replayed_callback_offers_to_start_again_and_does_not_loop,
    a_strict_cookie_survives_the_login,
    a_step_up_asks_the_provider_and_returns,
    a_token_endpoint_that_fails_ends_in_a_page_not_a_loop,
);

const DEEP: &str = "/page/list?x=1&y=a%20b%26c&z=%C3%A9&w=/public/..&y=2";

fn a_navigation_ends_at_the_provider_and_returns_to_the_exact_url(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut browser = stack.browser();
    let page = browser.log_in(&stack.url(DEEP), "alice");

    assert_eq!(page.response.status, 200, "{page}");
    assert_eq!(page.url.as_str(), stack.url(DEEP));
    assert_eq!(stack.app.seen().last().unwrap()["target"], DEEP);
    assert_eq!(stack.provider().authorization_requests(), 1);
    // PAR, as this provider offers it: the browser carries a reference, not the request.
    assert_eq!(stack.provider().count("/request"), 1);
}

fn a_login_works_behind_a_load_balancer_that_ends_tls(kind: Kind) {
    let stack = Plan { behind_tls: true, ..Plan::new(kind) }.start();
    let mut browser = stack.browser();
    // What such a load balancer adds. Whether the gateway believes it must not matter.
    browser.extra = vec![("X-Forwarded-Proto".into(), "https".into())];
    let page = browser.log_in(&stack.url(DEEP), "alice");
    assert_eq!(page.url.as_str(), stack.url(DEEP), "{page}");
    assert_eq!(page.response.status, 200, "{page}");

    browser.extra.clear();
    assert_eq!(browser.open(&stack.url("/page/again")).response.status, 200);
    assert_eq!(stack.provider().authorization_requests(), 1);
}

fn a_fetch_without_a_session_gets_401_and_asks_the_provider_nothing(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut browser = stack.browser();
    let mut url = stack.url("/api/list?x=1&y=2");
    let mut answer = browser.fetch(&stack.origin, &url);
    if kind == Kind::IngressNginx {
        // auth-signin redirects everything; our login endpoint then says what is the matter.
        assert_eq!(answer.status, 302, "{answer}");
        answer.location().clone_into(&mut url);
        assert!(url.starts_with(&stack.url("/bff/login?rd=")), "{url}");
        answer = browser.fetch(&stack.origin, &url);
    }
    assert_eq!(answer.status, 401, "{answer}");
    if kind != Kind::Nginx {
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer}");
    }

    // The same for what is no navigation of a page: a frame, an image, a form's POST, a prefetch.
    for (mode, dest, method, purpose) in [
        ("navigate", "iframe", "GET", ""),
        ("no-cors", "image", "GET", ""),
        ("navigate", "document", "POST", ""),
        ("navigate", "document", "GET", "prefetch"),
    ] {
        let mut request = vestibule_e2e::http::Request::new(method, "/api", stack.host())
            .header("Accept", "text/html,*/*")
            .header("Sec-Fetch-Site", "same-origin")
            .header("Sec-Fetch-Mode", mode)
            .header("Sec-Fetch-Dest", dest);
        if !purpose.is_empty() {
            request = request.header("Sec-Purpose", purpose);
        }
        let answer = request.send(stack.address());
        assert_ne!(answer.status, 200, "{mode} {dest} {method} {purpose}: {answer}");
    }
    assert_eq!(stack.provider().authorization_requests(), 0);
    assert_eq!(stack.provider().count("/request"), 0);
    assert_eq!(stack.app.seen().len(), 0);
}

fn a_second_app_visit_needs_no_form(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut browser = stack.logged_in("alice");
    assert_eq!(browser.open(&stack.url("/page/two")).response.status, 200);
    assert_eq!(stack.provider().authorization_requests(), 1);

    // Without our cookie the provider still knows the user: no form, a new session.
    let old = browser.cookie("__Host-bff").unwrap().to_owned();
    browser.set_cookie("localhost", "__Host-bff", "gone");
    let page = browser.open(&stack.url("/page/three"));
    assert_eq!(page.url.as_str(), stack.url("/page/three"), "{page}");
    assert_ne!(browser.cookie("__Host-bff").unwrap(), old);
}

fn ten_tabs_that_log_in_at_once_each_return_to_their_own_page(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut browser = stack.browser();
    let forms: Vec<_> = (0..10).map(|n| browser.open(&stack.url(&format!("/page/{n}")))).collect();
    for (n, form) in forms.iter().enumerate().rev() {
        assert!(form.form().is_some(), "{form}");
        let page = browser.submit(form, &[("login", "alice"), ("password", "x")]);
        assert_eq!(page.url.as_str(), stack.url(&format!("/page/{n}")), "{page}");
        assert_eq!(page.response.status, 200, "{page}");
    }
    assert_eq!(browser.cookies("localhost").iter().filter(|c| c.name.contains("login")).count(), 0);
}

fn callback(stack: &Stack, history: &[String]) -> String {
    let start = stack.url("/bff/callback?");
    history.iter().find(|url| url.starts_with(&start)).expect("a callback").clone()
}

fn a_replayed_callback_offers_to_start_again_and_does_not_loop(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut browser = stack.logged_in("alice");
    let used = callback(&stack, &browser.history);
    let before = stack.provider().authorization_requests();
    for url in [used.clone(), stack.url("/bff/callback"), stack.url("/bff/callback?code=a&state=b")]
    {
        let page = browser.navigate(&url);
        assert!((400..500).contains(&page.response.status), "{page}");
        assert!(page.response.text().contains("/bff/login"), "no way to start again: {page}");
    }
    // Somebody else's browser gets nothing from it either.
    let page = stack.browser().open(&used);
    assert!((400..500).contains(&page.response.status), "{page}");
    assert_eq!(stack.provider().authorization_requests(), before);
    assert_eq!(browser.open(&stack.url("/page/still")).response.status, 200);
}

fn a_strict_cookie_survives_the_login(kind: Kind) {
    let spec = "  session: {cookie: {name: __Host-strict, sameSite: Strict}}".to_owned();
    let stack = Plan { spec, ..Plan::new(kind) }.start();
    let mut browser = stack.browser();
    // The cookie is not sent on the way back from the provider, so a page must go on from there.
    let page = browser.log_in(&stack.url("/page/deep?x=1"), "alice");
    let cookie = browser.cookies("localhost").into_iter().find(|c| c.name == "__Host-strict");
    assert!(cookie.is_some_and(|c| c.strict && c.http_only), "{page}");
    assert_eq!(page.response.status, 200, "{page}");
    assert_eq!(page.url.path(), "/bff/callback");
    assert!(page.response.text().contains("/page/deep?x=1"), "{page}");
    assert_eq!(browser.click(&stack.origin, &stack.url("/page/deep?x=1")).response.status, 200);
    assert_eq!(stack.provider().authorization_requests(), 1);
}

fn a_step_up_asks_the_provider_and_returns(kind: Kind) {
    let stack = Plan::new(kind).start();
    let mut browser = stack.logged_in("alice");
    let before = browser.cookie("__Host-bff").unwrap().to_owned();

    let mut url = stack.url("/gold/vault");
    let mut answer = browser.fetch(&stack.origin, &url);
    if kind == Kind::IngressNginx {
        answer.location().clone_into(&mut url);
        answer = browser.fetch(&stack.origin, &url);
    }
    assert_eq!(answer.status, 401, "{answer}");
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("insufficient_user_authentication"), "{answer}");
    assert!(challenge.contains("gold"), "{answer}");

    let page = browser.log_in(&stack.url("/gold/vault"), "alice");
    assert_eq!(page.url.as_str(), stack.url("/gold/vault"), "{page}");
    assert_eq!(page.response.status, 200, "{page}");
    assert_ne!(browser.cookie("__Host-bff").unwrap(), before, "a new id at elevation");
}

fn a_token_endpoint_that_fails_ends_in_a_page_not_a_loop(kind: Kind) {
    let stack = Plan::new(kind).start();
    stack.provider().set(&serde_json::json!({"fail": {"/token": 500}}));
    let mut browser = stack.browser();
    let page = browser.log_in(&stack.url("/page/home"), "alice");
    assert_eq!(page.url.path(), "/bff/callback", "{page}");
    assert!(page.response.status >= 400, "{page}");
    assert!(browser.cookie("__Host-bff").is_none());

    stack.provider().set(&serde_json::json!({"fail": {}}));
    assert_eq!(browser.open(&stack.url("/page/home")).response.status, 200);
}
