//! The corpus of Cookie headers: only one intact cookie of a live session of this very policy is a
//! session, whatever is around it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use vestibule_authsvc::audit::{EndReason, Ending};
use vestibule_authsvc::session::{LoginTransaction, Purpose, SecretId};
use vestibule_authsvc::token::Token;

use crate::check_access::SHOP;
use crate::corpora::{Fields, ask, stated};
use crate::support::{Answer, DIALECTS, FETCH, TestApp, corpus};

const ADMIN: &str = r#"
origins: ["https://admin.example.com"]
providerRef: {name: corp}
client: {id: admin, secretRef: {name: shop-oidc, key: client-secret}}
"#;

/// What the placeholders stand for.
struct Values {
    valid: String,
    other_policy: String,
    transaction: String,
    ended: String,
    expired: String,
    before_login: String,
    old_id: String,
}

impl Values {
    async fn new(app: &TestApp) -> Self {
        let expired = value_of_new_session(app, "shop").await;
        app.clock.advance(601);
        let shop = app.policy("shop");
        let [ended, old_id] = [(); 2].map(|()| value_of_new_session(app, "shop"));
        let (ended, old_id) = (ended.await, old_id.await);
        for value in [&ended, &old_id] {
            let id = SecretId::parse(value).unwrap();
            let loaded = app.app.sessions.load(&shop, &id).await.unwrap().unwrap();
            let ending = Ending { reason: EndReason::Logout, by: "user" };
            assert!(app.app.sessions.end(&shop, &loaded, ending).await.unwrap());
        }
        let transaction = app.app.sessions.begin_login(&shop, &transaction(app)).await.unwrap();
        Self {
            // An attacker's choice: no login of ours takes over what the browser had before. That
            // one ends the old session is in tests/login.
            before_login: URL_SAFE_NO_PAD.encode([9; 32]),
            other_policy: value_of_new_session(app, "admin").await,
            valid: value_of_new_session(app, "shop").await,
            transaction: transaction.encode(),
            ended,
            expired,
            old_id,
        }
    }

    fn placeholder(&self, name: &str) -> String {
        let valid = self.valid.as_str();
        if let Some((kind, count)) = name.split_once(':') {
            let count: usize = count.parse().unwrap();
            return match kind {
                "pairs" => joined((0..count).map(|i| format!("c{i}=x"))),
                "chunks" => {
                    let size = valid.len().div_ceil(count);
                    let part =
                        |i| valid.get(i * size..).map_or("", |rest| &rest[..size.min(rest.len())]);
                    joined((0..count).map(|i| format!("__Host-bff.{i}={}", part(i))))
                }
                _ => panic!("an unknown placeholder: {name}"),
            };
        }
        let differs = |text: String| Some(text).filter(|text| text != valid).unwrap();
        match name {
            "valid" => valid.to_owned(),
            "truncated" => valid[..valid.len() - 1].to_owned(),
            "flipped" => {
                let mut bytes = URL_SAFE_NO_PAD.decode(valid).unwrap();
                bytes[0] ^= 1;
                URL_SAFE_NO_PAD.encode(bytes)
            }
            "random" => URL_SAFE_NO_PAD.encode([7; 32]),
            "upper" => differs(valid.to_ascii_uppercase()),
            "lower" => differs(valid.to_ascii_lowercase()),
            "other-policy" => self.other_policy.clone(),
            "transaction" => self.transaction.clone(),
            "ended" => self.ended.clone(),
            "expired" => self.expired.clone(),
            "before-login" => self.before_login.clone(),
            "old-id" => self.old_id.clone(),
            "store-key" => self.store_key(),
            "store-digest" => {
                let key = self.store_key();
                key.split(['{', '}']).nth(1).unwrap().to_owned()
            }
            "64KiB" => "a".repeat(65_536),
            _ => panic!("an unknown placeholder: {name}"),
        }
    }

    fn store_key(&self) -> String {
        let id = SecretId::parse(&self.valid).unwrap();
        id.store_key(Purpose::Session, "default/shop").text()
    }

    /// The bytes of a column with its placeholders put in.
    fn expand(&self, column: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = column.chars();
        while let Some(c) = rest.next() {
            if c == '{' {
                let name: String = rest.by_ref().take_while(|&c| c != '}').collect();
                out.extend(self.placeholder(&name).into_bytes());
            } else {
                out.push(u8::try_from(u32::from(c)).unwrap());
            }
        }
        out
    }
}

fn joined(pairs: impl Iterator<Item = String>) -> String {
    pairs.collect::<Vec<_>>().join("; ")
}

async fn value_of_new_session(app: &TestApp, policy: &str) -> String {
    let cookie = app.session(policy, |_| {}).await;
    cookie.split_once('=').unwrap().1.to_owned()
}

fn transaction(app: &TestApp) -> LoginTransaction {
    LoginTransaction {
        state: Token::new("state"),
        nonce: Token::new("nonce"),
        code_verifier: Token::new("verifier"),
        issuer: "https://id.example.com".to_owned(),
        redirect_uri: "https://shop.example.com/bff/callback".to_owned(),
        return_to: "/".to_owned(),
        acr_values: Vec::new(),
        max_age: None,
        created_at: app.app.clock.now(),
        elevation: None,
    }
}

async fn ask_with(app: &TestApp, dialect: &str, target: &str, cookies: &[Vec<u8>]) -> Answer {
    let mut fields: Fields = stated(dialect, "GET", b"shop.example.com", target.as_bytes());
    fields.extend(FETCH.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
    fields.extend(cookies.iter().map(|cookie| ("cookie".to_owned(), cookie.clone())));
    ask(app, dialect, &fields).await
}

#[tokio::test]
async fn t024_t031_t073_t091_t093_t100_t101_every_cookie_of_the_corpus_is_a_session_or_none_at_all()
{
    let app = TestApp::new(&[("shop", SHOP), ("admin", ADMIN)]);
    let values = Values::new(&app).await;
    let valid = format!("__Host-bff={}", values.valid);
    for row in corpus("testdata/corpora/cookies.txt") {
        let cookies: Vec<Vec<u8>> = row[1..].iter().map(|column| values.expand(column)).collect();
        for dialect in DIALECTS {
            let answer = ask_with(&app, dialect, "/api", &cookies).await;
            let optional = ask_with(&app, dialect, "/optional", &cookies).await;
            assert_eq!(optional.status, StatusCode::OK, "{dialect} {row:?}");
            match row[0].as_str() {
                "session" => {
                    assert_eq!(answer.status, StatusCode::OK, "{dialect} {row:?}");
                    assert_eq!(answer.header("x-user"), Some("u-1"), "{dialect} {row:?}");
                    assert_eq!(optional.header("x-user"), Some("u-1"), "{dialect} {row:?}");
                    let passed_on = String::from_utf8_lossy(answer.headers["cookie"].as_bytes());
                    assert!(!passed_on.contains(&valid), "{dialect} {row:?}");
                }
                "none" => {
                    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{dialect} {row:?}");
                    assert_eq!(optional.header("x-user"), Some(""), "{dialect} {row:?}");
                    assert_eq!(optional.header("authorization"), Some(""), "{dialect} {row:?}");
                }
                other => panic!("an unknown outcome: {other}"),
            }
        }
    }
    let still = ask_with(&app, "nginx", "/api", &[valid.into_bytes()]).await;
    assert_eq!(still.status, StatusCode::OK, "none of them ended the session");
}
