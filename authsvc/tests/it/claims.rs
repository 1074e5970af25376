//! Claims that are absent, empty or of another type than the policy's author thought of: they take
//! a right away and never give one.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Ask, DIALECTS, FETCH, TestApp};

const SHOP: &str = r#"
origins: ["https://shop.example.com"]
providerRef: {name: corp}
client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
routes:
  - {path: /exists, require: {expression: 'claims.groups.exists(g, g == "staff")'}}
  - {path: /in, require: {expression: '"staff" in claims.groups'}}
  - {path: /not, require: {expression: '!("guests" in claims.groups)'}}
  - {path: /all, require: {expression: 'claims.groups.all(g, g != "guests")'}}
  - {path: /sub, require: {expression: 'claims.sub != ""'}}
  - {path: /equal, require: {expression: 'claims.sub == claims.owner'}}
  - path: /headers
    upstream: {headers: [{name: X-User, value: claims.sub}, {name: X-Groups, value: claims.groups}]}
"#;

const NEED_STAFF: [&str; 2] = ["/exists", "/in"];

async fn ask(
    app: &TestApp,
    dialect: &str,
    target: &str,
    claims: &Value,
) -> (StatusCode, Vec<String>) {
    let claims = claims.as_object().unwrap().clone().into();
    let cookie = app.session("shop", |session| session.claims = claims).await;
    let forged = [("x-user", "admin"), ("x-groups", "staff"), ("cookie", cookie.as_str())];
    let answer = Ask::get(target).with(&FETCH).with(&forged).ask(app, dialect).await;
    let emitted = ["x-user", "x-groups"].map(|n| answer.header(n).unwrap_or("(none)").to_owned());
    (answer.status, emitted.to_vec())
}

#[tokio::test]
async fn t103_absent_or_empty_groups_and_sub_are_403() {
    let app = TestApp::new(&[("shop", SHOP)]);
    for dialect in DIALECTS {
        let good = json!({"sub": "u-1", "owner": "u-1", "groups": ["staff"]});
        for target in ["/exists", "/in", "/not", "/all", "/sub", "/equal"] {
            assert_eq!(ask(&app, dialect, target, &good).await.0, StatusCode::OK, "{target}");
        }
        for groups in [
            json!([]),
            json!(null),
            json!(""),
            json!("staff"),
            json!("staff,ops"),
            json!(0),
            json!(true),
            json!({}),
            json!({"name": "staff"}),
            json!([null]),
            json!([""]),
            json!([0, true]),
            json!([["staff"]]),
            json!([{"name": "staff"}]),
            json!(["Staff", "staff ", "staffing"]),
        ] {
            for target in NEED_STAFF {
                let claims = json!({"sub": "u-1", "groups": groups});
                let (status, _) = ask(&app, dialect, target, &claims).await;
                assert_eq!(status, StatusCode::FORBIDDEN, "{dialect} {target} {groups}");
            }
        }
        // Also a rule that only asks what a user is not.
        for claims in [json!({}), json!({"groups": null}), json!({"groups": 1})] {
            for target in ["/exists", "/in", "/not", "/all", "/sub", "/equal"] {
                let (status, _) = ask(&app, dialect, target, &claims).await;
                assert_eq!(status, StatusCode::FORBIDDEN, "{dialect} {target} {claims}");
            }
        }
        let empty = ask(&app, dialect, "/sub", &json!({"sub": ""})).await;
        assert_eq!(empty.0, StatusCode::FORBIDDEN, "{dialect}");
    }
}

#[tokio::test]
async fn t103_a_header_of_an_absent_claim_is_empty_and_never_what_the_client_sent() {
    let app = TestApp::new(&[("shop", SHOP)]);
    for dialect in DIALECTS {
        for (claims, emitted) in [
            (json!({}), ["", ""]),
            (json!({"sub": null, "groups": null}), ["", ""]),
            (json!({"sub": "", "groups": []}), ["", ""]),
            (json!({"sub": "u-1", "groups": [""]}), ["u-1", ""]),
            (json!({"sub": 7, "groups": "staff"}), ["7", "staff"]),
        ] {
            let answer = ask(&app, dialect, "/headers", &claims).await;
            assert_eq!(answer, (StatusCode::OK, emitted.map(str::to_owned).to_vec()), "{claims}");
        }
        for claims in [json!({"sub": {"a": 1}}), json!({"groups": [["staff"]]})] {
            let (status, _) = ask(&app, dialect, "/headers", &claims).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{dialect} {claims}");
        }
        let list = ask(&app, dialect, "/headers", &json!({"sub": ["u-1", "admin"]})).await;
        assert_eq!(list.1[0], "u-1,admin", "joined, and so nobody's name");
    }
}
