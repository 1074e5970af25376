//! Who passes a check, and what the answer looks like in each dialect.

use http::StatusCode;
use serde_json::json;
use vestibule_authsvc::session::Claims;

use crate::support::{ACCESS_TOKEN, Ask, DIALECTS, FETCH, ID_TOKEN, NAVIGATION, TestApp};

pub const SHOP: &str = r#"
origins: ["https://shop.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
session: {idleTimeout: 10m, absoluteTimeout: 1h}
routes:
  - {path: /public, access: Public}
  - {path: /deny, access: Deny}
  - path: /optional
    access: Optional
    upstream: {authorization: AccessToken, headers: [{name: X-User, value: claims.sub}]}
  - path: /api
    upstream:
      authorization: AccessToken
      headers: [{name: X-User, value: claims.sub}, {name: X-Groups, value: claims.groups}]
  - {path: /id, upstream: {authorization: IdToken}}
  - {path: /jwt, upstream: {authorization: IdentityJwt, audience: orders}}
  - {path: /quiet, unauthenticated: Unauthorized}
  - {path: /staff, require: {expression: 'claims.groups.exists(g, g == "staff")'}}
  - {path: /gold, require: {acr: gold}}
  - {path: /fresh, require: {maxAge: 5m}}
  - {path: /odd, upstream: {headers: [{name: X-Odd, value: claims.odd}]}}
"#;

fn app() -> TestApp {
    TestApp::new(&[("shop", SHOP)])
}

#[tokio::test]
async fn allow_is_200_with_an_empty_body_and_every_named_header() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        let ask = Ask::get("/api/orders?x=1")
            .with(&FETCH)
            .with(&[("cookie", &format!("theme=dark; {cookie}; __Host-bff-login-1=x"))]);
        let answer = ask.ask(&app, dialect).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.body, "");
        let bearer = format!("Bearer {ACCESS_TOKEN}");
        assert_eq!(answer.header("authorization"), Some(bearer.as_str()));
        assert_eq!(answer.header("x-user"), Some("u-1"));
        assert_eq!(answer.header("x-groups"), Some("staff,ops"));
        assert_eq!(answer.header("x-odd"), Some(""), "named elsewhere in the policy");
        assert_eq!(answer.header("cookie"), Some("theme=dark"), "ours is not passed on");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.set_cookies().is_empty(), "no cookie is needed on allow");
    }
}

#[tokio::test]
async fn a_navigation_without_a_session_goes_to_the_login_and_back_to_the_exact_url() {
    let app = app();
    let ask = Ask::get("/page?a=1&b=%20x").with(&NAVIGATION);
    let traefik = ask.ask(&app, "traefik").await;
    assert_eq!(traefik.status, StatusCode::FOUND);
    assert_eq!(
        traefik.header("location"),
        Some("https://shop.example.com/bff/login?rd=/page%3Fa%3D1%26b%3D%2520x")
    );
    let nginx = ask.ask(&app, "nginx").await;
    assert_eq!((nginx.status, nginx.body.as_str()), (StatusCode::UNAUTHORIZED, ""));
    assert_eq!(nginx.header("location"), None, "auth_request cannot pass a redirect");
}

#[tokio::test]
async fn a_fetch_without_a_session_gets_401_and_no_redirect() {
    let app = app();
    for target in ["/api", "/unmatched", "/quiet"] {
        let answer = Ask::get(target).with(&FETCH).ask(&app, "traefik").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json()["loginUrl"], "https://shop.example.com/bff/login");
        let nginx = Ask::get(target).with(&FETCH).ask(&app, "nginx").await;
        assert_eq!((nginx.status, nginx.body.as_str()), (StatusCode::UNAUTHORIZED, ""));
    }
    let quiet = Ask::get("/quiet").with(&NAVIGATION).ask(&app, "traefik").await;
    assert_eq!(quiet.status, StatusCode::UNAUTHORIZED, "unauthenticated: Unauthorized");
}

#[tokio::test]
async fn public_passes_without_identity_even_with_a_session_and_deny_never_passes() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        let public = Ask::get("/public").with(&[("cookie", &cookie)]).ask(&app, dialect).await;
        assert_eq!(public.status, StatusCode::OK);
        assert_eq!(public.header("authorization"), Some(""));
        assert_eq!(public.header("x-user"), Some(""));
        let deny = Ask::get("/deny/x").with(&[("cookie", &cookie)]).ask(&app, dialect).await;
        assert_eq!(deny.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn t096_an_optional_route_passes_on_identity_only_of_a_session() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        let forged = [("x-user", "admin"), ("authorization", "Bearer forged")];
        let anonymous = Ask::get("/optional").with(&forged).ask(&app, dialect).await;
        assert_eq!(anonymous.status, StatusCode::OK);
        assert_eq!(anonymous.header("x-user"), Some(""));
        assert_eq!(anonymous.header("authorization"), Some(""));
        let known = Ask::get("/optional").with(&[("cookie", &cookie)]).ask(&app, dialect).await;
        assert_eq!(known.header("x-user"), Some("u-1"));
        let cross_site = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")];
        let forged = Ask::get("/optional").with(&[("cookie", &cookie)]).with(&cross_site);
        let forged = forged.ask(&app, dialect).await;
        assert_eq!((forged.status, forged.header("x-user")), (StatusCode::OK, Some("")));
    }
}

#[tokio::test]
async fn upstream_tokens_are_the_ones_the_route_asks_for() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    let id = Ask::get("/id").with(&[("cookie", &cookie)]).ask(&app, "traefik").await;
    assert_eq!(id.header("authorization"), Some(format!("Bearer {ID_TOKEN}").as_str()));
    let none = Ask::get("/staff").with(&[("cookie", &cookie)]).ask(&app, "traefik").await;
    assert_eq!((none.status, none.header("authorization")), (StatusCode::OK, Some("")));
    let jwt = Ask::get("/jwt").with(&[("cookie", &cookie)]).ask(&app, "traefik").await;
    let token = jwt.header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
    let jwks = app.browse("GET", "shop.example.com", "/bff/jwks.json", &[]).await.json();
    let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_value(jwks).unwrap();
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(jwks.find(&kid).unwrap()).unwrap();
    let mut checks = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    checks.set_audience(&["orders"]);
    checks.set_issuer(&["https://shop.example.com"]);
    checks.validate_exp = false; // the test's clock stands still in another year
    let claims = jsonwebtoken::decode::<serde_json::Value>(token, &key, &checks).unwrap().claims;
    assert_eq!(claims["sub"], "u-1");
    assert_eq!(claims["name"], "Ada");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    assert!(claims.get("groups").is_none(), "only the claims that the policy shows");
}

#[tokio::test]
async fn an_expired_access_token_needs_a_login_only_where_it_is_forwarded() {
    let app = app();
    let cookie = app.session("shop", |s| s.access_token_expires_at = Some(s.created_at)).await;
    let with = [("cookie", cookie.as_str())];
    let api = Ask::get("/api").with(&NAVIGATION).with(&with).ask(&app, "traefik").await;
    assert_eq!(api.status, StatusCode::FOUND);
    let page = Ask::get("/staff").with(&NAVIGATION).with(&with).ask(&app, "traefik").await;
    assert_eq!(page.status, StatusCode::OK);
}

#[tokio::test]
async fn a_user_who_lacks_a_right_gets_403_and_never_a_redirect() {
    let app = app();
    let claims = json!({"sub": "u-2", "groups": ["guests"]}).as_object().unwrap().clone().into();
    let guest = app.session("shop", |s| s.claims = claims).await;
    let bare = app.session("shop", |s| s.claims = Claims::new()).await;
    for dialect in DIALECTS {
        for cookie in [&guest, &bare] {
            let ask = Ask::get("/staff").with(&NAVIGATION).with(&[("cookie", cookie)]);
            let answer = ask.ask(&app, dialect).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "an error in the expression too");
            assert_eq!(answer.header("location"), None);
        }
    }
}

#[tokio::test]
async fn a_weak_or_old_login_leads_to_a_step_up() {
    let app = app();
    let weak = app.session("shop", |s| s.acr = Some("silver".to_owned())).await;
    let strong = app.session("shop", |s| s.acr = Some("gold".to_owned())).await;
    let ask = |target, cookie: &str| Ask::get(target).with(&[("cookie", cookie)]);
    let page = ask("/gold", &weak).with(&NAVIGATION).ask(&app, "traefik").await;
    assert_eq!(page.header("location"), Some("https://shop.example.com/bff/login?rd=/gold"));
    for dialect in DIALECTS {
        let fetch = ask("/gold", &weak).with(&FETCH).ask(&app, dialect).await;
        assert_eq!(fetch.status, StatusCode::UNAUTHORIZED);
        assert_eq!(
            fetch.header("www-authenticate"),
            Some("Bearer error=\"insufficient_user_authentication\", acr_values=\"gold\"")
        );
        let strong = ask("/gold", &strong).with(&FETCH).ask(&app, dialect).await;
        assert_eq!(strong.status, StatusCode::OK);
    }
    app.clock.advance(301);
    let old = ask("/fresh", &strong).with(&FETCH).ask(&app, "nginx").await;
    assert_eq!(
        old.header("www-authenticate"),
        Some("Bearer error=\"insufficient_user_authentication\", max_age=\"300\"")
    );
}

#[tokio::test]
async fn r49_a_session_ends_when_idle_or_when_its_time_is_up() {
    let app = app();
    let cookie = app.session("shop", |_| {}).await;
    let ask = Ask::get("/staff").with(&[("cookie", &cookie)]);
    for _ in 0..6 {
        app.clock.advance(590);
        assert_eq!(ask.ask(&app, "nginx").await.status, StatusCode::OK, "in use");
    }
    app.clock.advance(60);
    assert_eq!(ask.ask(&app, "nginx").await.status, StatusCode::UNAUTHORIZED, "an hour is up");
    let cookie = app.session("shop", |_| {}).await;
    app.clock.advance(601);
    let idle = Ask::get("/staff").with(&[("cookie", &cookie)]).ask(&app, "nginx").await;
    assert_eq!(idle.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_control_character_in_a_claim_refuses_the_request() {
    let app = app();
    let claims =
        json!({"sub": "u-1", "odd": "a\r\nX-Admin: yes"}).as_object().unwrap().clone().into();
    let cookie = app.session("shop", |s| s.claims = claims).await;
    for dialect in DIALECTS {
        let answer = Ask::get("/odd").with(&[("cookie", &cookie)]).ask(&app, dialect).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn an_unknown_policy_and_an_unknown_dialect_are_refused() {
    let app = app();
    for dialect in DIALECTS {
        let mut ask = Ask::get("/public");
        ask.policy = "nobody";
        assert_eq!(ask.ask(&app, dialect).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(Ask::get("/public").ask(&app, "apache").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn our_own_endpoints_are_never_allowed_by_a_check_so_that_no_login_loops() {
    let app = app();
    for dialect in DIALECTS {
        for target in ["/bff", "/bff/login?rd=/", "/bff/anything"] {
            let answer = Ask::get(target).with(&NAVIGATION).ask(&app, dialect).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN);
        }
    }
}
