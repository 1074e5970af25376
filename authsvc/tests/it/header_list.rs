//! A route that the operator wires asks us before its gateway knows the policy's headers, and goes on
//! asking while it learns new ones: a client's copy of a header that the gateway may not replace is
//! refused until the check's address says that it does.

use http::StatusCode;
use vestibule_policy::header_list::query;

use crate::check_access::SHOP;
use crate::support::{Ask, DIALECTS, FETCH, TestApp};

const COPIES: [(&str, &str); 4] =
    [("X-User", "root"), ("x-groups", "staff"), ("x-user", ""), ("X-Groups", "\u{e9}")];

/// The query of an address beside which these headers are listed.
fn listing(names: &str) -> String {
    format!("?{}", query(&names.split_whitespace().map(str::to_owned).collect::<Vec<_>>()))
}

/// A new route, and routes of this policy before and after others of its versions.
fn other_lists() -> Vec<String> {
    let mut lists = vec![String::new(), "?".to_owned(), "?headers=".to_owned(), listing("")];
    lists.extend([listing("x-user"), listing("x-groups x-odd x-user x-name")]);
    let ours = listing("x-groups x-odd x-user");
    lists.extend([format!("{ours}0"), ours.to_uppercase(), format!("{ours}&x=y")]);
    lists
}

#[tokio::test]
async fn t007_t030_a_copy_that_the_gateway_may_not_replace_is_refused() {
    let app = TestApp::wired(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        for list in other_lists() {
            for (name, value) in COPIES {
                for target in ["/api", "/optional", "/public"] {
                    let ask = Ask::get(target).with(&[("cookie", &cookie), (name, value)]);
                    let answer = ask.listing(&list).ask(&app, dialect).await;
                    let what = format!("{dialect} {target} {list} {name}: {value}");
                    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}");
                    assert!(answer.header("x-user").is_none(), "{what}");
                }
            }
            // Nobody's copy of another header, and nobody without one, is in the way.
            for more in [("x-users", "root"), ("accept", "*/*")] {
                let ask = Ask::get("/api").with(&[("cookie", &cookie), more]).listing(&list);
                let answer = ask.ask(&app, dialect).await;
                assert_eq!(answer.status, StatusCode::OK, "{dialect} {list}");
                assert_eq!(answer.header("x-user"), Some("u-1"));
            }
        }
    }
}

#[tokio::test]
async fn t007_t030_with_the_policys_own_list_a_copy_is_replaced() {
    let app = TestApp::wired(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    let list = listing("x-groups x-odd x-user");
    for dialect in DIALECTS {
        for (name, value) in COPIES.into_iter().chain([("authorization", "Bearer theirs")]) {
            let ask = Ask::get("/api").with(&[("cookie", &cookie), (name, value)]);
            let answer = ask.listing(&list).ask(&app, dialect).await;
            assert_eq!(answer.status, StatusCode::OK, "{dialect} {name}");
            assert!(answer.header(name).is_some(), "{dialect} {name}: {:?}", answer.headers);
        }
    }
}

#[tokio::test]
async fn t030_a_credential_is_refused_until_there_is_a_list_at_all() {
    let app = TestApp::wired(&[("shop", SHOP)]);
    for dialect in DIALECTS {
        for list in other_lists() {
            let ask = Ask::get("/public").with(&FETCH).with(&[("authorization", "Basic YTpi")]);
            let status = ask.listing(&list).ask(&app, dialect).await.status;
            // Every list that the operator writes begins with it.
            let listed = [listing(""), listing("x-user"), listing("x-groups x-odd x-user x-name")];
            let expected =
                if listed.contains(&list) { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(status, expected, "{dialect} {list}");
        }
    }
}

#[tokio::test]
async fn where_users_write_the_gateways_configuration_no_list_is_asked_for() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    for dialect in DIALECTS {
        for list in ["", "?headers=00000000"] {
            let ask = Ask::get("/api").with(&[("cookie", &cookie), ("x-user", "root")]);
            let answer = ask.listing(list).ask(&app, dialect).await;
            assert_eq!(answer.status, StatusCode::OK, "{dialect}");
        }
    }
}
