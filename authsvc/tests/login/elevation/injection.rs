//! Nothing but listed scopes and a path of the app gets in, whatever is written, and wherever.

use http::StatusCode;

use super::{AUTHORIZE, Area, FETCH, Sent};

/// Each is refused, as a page and as a problem, and nobody is asked anything.
async fn all_refused(area: &Area, queries: impl IntoIterator<Item = String>) {
    let mut browser = area.logged_in().await;
    for query in queries {
        let target = format!("{AUTHORIZE}?{query}");
        let page = browser.navigate(area, &target).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query:.90}");
        assert!(page.is_page(), "{query:.90}");
        assert!(page.set_cookies().is_empty(), "{query:.90}");
        let answer = browser.fetch(area, &target).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query:.90}");
        assert_eq!(answer.problem(), "invalid-request", "{query:.90}");
        for shown in [&page.body, &answer.body] {
            assert!(!shown.contains("evil") && !shown.contains("canary"), "{query:.90}: {shown}");
        }
    }
    assert!(area.idp.seen("/token").is_empty());
    assert!(area.counted("malformed") && !area.counted("started"));
}

#[tokio::test]
async fn t097_scopes_that_the_authority_does_not_list_are_never_asked_for() {
    let area = Area::with(|policy| {
        let mut other = super::authority("/api/staging");
        for scope in &mut other.scopes {
            scope.name = scope.name.replace("prod", "staging");
        }
        policy.authorities.push(other);
    })
    .await;
    let long = "prod:read%20".repeat(5_000) + "prod:read";
    let queries = [
        "scope=",
        "scope",
        "scope=%20",
        "scope=openid",
        "scope=openid%20offline_access",
        "scope=offline_access",
        "scope=prod:read%20offline_access",
        "scope=prod:read+evil",
        "scope=staging:read",
        "scope=prod:read%20staging:read",
        "scope=endpoint:mediate",
        "scope=*",
        "scope=prod:*",
        "scope=PROD:READ",
        "scope=prod:read%20",
        "scope=%20prod:read",
        "scope=prod:read%20%20prod:write",
        "scope=prod:read++prod:write",
        "scope=prod:read%2Bprod:write",
        "scope=prod:read%09prod:write",
        "scope=prod:read%0Aprod:write",
        "scope=prod:read%0D%0ASet-Cookie:%20evil=1",
        "scope=prod:read%00",
        "scope=prod:read%22",
        "scope=%22prod:read%22",
        "scope='prod:read'",
        "scope=prod:read,prod:write",
        "scope=prod:read;prod:write",
        "scope=prod%253Aread",
        "scope=prod%25",
        "scope=%",
        "scope=%ff",
        "scope=prod:read%C2%A0prod:write",
        "scope=prod:read%E2%80%83prod:write",
        "scope=prod:read%26prompt=login",
        "scope=prod:read%20prompt=login",
        "scope=[%22prod:read%22]",
        "scope=$prod:read",
        "scope=%3Cscript%3E",
        "scope=prod:read%5C",
        &format!("scope={long}"),
        &format!("scope={}", "x".repeat(60_000)),
    ];
    all_refused(&area, queries.map(str::to_owned)).await;
}

#[tokio::test]
async fn t097_r56_parameters_that_are_repeated_or_not_known_are_refused() {
    let area = Area::new().await;
    let mut queries: Vec<String> = [
        "scope=prod:read&scope=prod:read",
        "scope=prod:read&scope=prod:write",
        "scope=prod:read&scope=",
        "scope[]=prod:read",
        "scope%5B%5D=prod:read",
        "scope[0]=prod:read&scope[1]=prod:write",
        "Scope=prod:read",
        "SCOPE=prod:read",
        "%20scope=prod:read",
        "scope%00=prod:read",
        "scope%20=prod:read",
        "scope.x=prod:read",
        "redirectUri=/a&redirectUri=/a",
        "redirectUri=/a&redirectUri=https://evil.example",
        "redirecturi=/a",
        "redirect_uri=/a",
        "redirectURI=/a",
        "redirectUri[]=/a",
        "rd=/a",
        "return_to=/a",
        "mediation_error=access_denied",
        "=prod:read",
        "x",
    ]
    .map(str::to_owned)
    .into();
    for name in [
        "prompt",
        "client_id",
        "client_secret",
        "redirect_uri",
        "state",
        "nonce",
        "resource",
        "audience",
        "acr_values",
        "max_age",
        "login_hint",
        "id_token_hint",
        "response_type",
        "response_mode",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "request",
        "request_uri",
        "claims",
        "display",
        "ui_locales",
        "registration",
        "kc_idp_hint",
        "dpop_jkt",
        "authorization_details",
        "grant_type",
        "subject_token",
        "actor_token",
        "code",
        "iss",
        "error",
    ] {
        queries.push(format!("{name}=evil"));
        queries.push(format!("scope=prod:read&{name}=evil"));
        queries.push(format!("{name}=evil&redirectUri=/a&scope=prod:read"));
        queries.push(format!("scope=prod:read&{name}"));
    }
    all_refused(&area, queries).await;
}

#[tokio::test]
async fn what_is_well_formed_is_understood_in_each_of_its_spellings() {
    let area = Area::new().await;
    for query in [
        "scope=prod:read+prod:write",
        "scope=prod:read%20prod:write",
        "scope=prod%3Awrite%20prod%3Aread",
        "sc%6Fpe=prod:write+prod:read+prod:read",
        "&scope=prod:read+prod:write&",
        "redirectUri=/&scope=prod:read+prod:write",
    ] {
        let mut browser = area.logged_in().await;
        let sent = browser.leave(&area, &format!("{AUTHORIZE}?{query}")).await;
        assert_eq!(sent.one("scope"), Some("openid prod:read prod:write"), "{query}");
    }
}

#[tokio::test]
async fn nothing_of_a_request_but_its_scopes_reaches_the_provider() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let mut headers = super::NAVIGATION.to_vec();
    headers.extend([
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example"),
        ("x-forwarded-prefix", "/evil"),
        ("x-original-url", "https://evil.example/"),
        ("referer", "https://evil.example/?prompt=login"),
        ("accept-language", "evil"),
    ]);
    let target = format!("{AUTHORIZE}?scope=prod:read&redirectUri=/evil%3Fprompt%3Dlogin");
    let answer = browser.ask(&area, "GET", &target, &headers).await;
    assert!(!answer.location().contains("evil"), "{}", answer.location());
    let sent = Sent::of(&area, &answer);
    let mut names: Vec<_> = sent.parameters.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "client_id",
            "code_challenge",
            "code_challenge_method",
            "nonce",
            "prompt",
            "redirect_uri",
            "response_type",
            "scope",
            "state",
        ]
    );
}

#[tokio::test]
async fn t097_a_link_on_another_site_gets_no_more_than_the_listed_scopes_and_comes_back_here() {
    let area = Area::new().await;
    let mut browser = area.logged_in().await;
    let link = [super::NAVIGATION[0], super::NAVIGATION[1], ("sec-fetch-site", "cross-site")];
    let answer = browser.ask(&area, "GET", AUTHORIZE, &link).await;
    let sent = Sent::of(&area, &answer);
    assert_eq!(sent.one("scope"), Some("openid prod:read prod:write prod:admin"));
    assert!(sent.is_silent(), "the user is not bothered at once");
    let answer = browser.ask(&area, "GET", &format!("{AUTHORIZE}?scope=openid"), &link).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"), FETCH[2]];
    let answer = browser.ask(&area, "GET", AUTHORIZE, &frame).await;
    assert_eq!(answer.problem(), "mediation-advised", "a frame is no page");
}
