//! The shared corpora against the running service: every row through both dialects, and hosts and
//! return URLs through the browser port too. Cookies have a file of their own beside this one.

use axum::Router;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, StatusCode};

use crate::check_access::SHOP;
use crate::support::{Answer, DIALECTS, FETCH, NAVIGATION, TestApp, corpus};

/// Headers in the order sent, values as bytes.
pub type Fields = Vec<(String, Vec<u8>)>;

/// What the gateway of a dialect says of a request.
pub fn stated(dialect: &str, method: &str, host: &[u8], target: &[u8]) -> Fields {
    let field = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    match dialect {
        "nginx" => vec![
            field("x-original-url", &[b"https://", host, target].concat()),
            field("x-original-method", method.as_bytes()),
        ],
        _ => vec![
            field("x-forwarded-method", method.as_bytes()),
            field("x-forwarded-proto", b"https"),
            field("x-forwarded-host", host),
            field("x-forwarded-uri", target),
        ],
    }
}

/// `None` where a field cannot be sent.
pub async fn send(app: &TestApp, router: &Router, uri: &str, fields: &Fields) -> Option<Answer> {
    let mut request = Request::builder().uri(uri).body(Body::empty()).unwrap();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(app.send(router, request).await)
}

pub async fn ask(app: &TestApp, dialect: &str, fields: &Fields) -> Answer {
    let uri = format!("/check/{dialect}/default/shop");
    send(app, &app.check, &uri, fields).await.unwrap()
}

/// The bytes of a column: `corpus` gives each as the character of its number.
pub fn bytes_of(column: &str) -> Vec<u8> {
    column.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn and<'a>(fields: &Fields, more: impl IntoIterator<Item = (&'a str, &'a str)>) -> Fields {
    let more = more.into_iter().map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()));
    fields.iter().cloned().chain(more).collect()
}

/// A row of headers.txt put to one dialect.
struct Row<'a> {
    dialect: &'a str,
    expected: &'a str,
    /// `+` besides the gateway's own, `=` instead of it, else a blank.
    mark: char,
    name: &'a str,
    value: Vec<u8>,
}

impl Row<'_> {
    fn apply(&self, mut fields: Fields) -> Fields {
        if self.mark == '=' {
            fields.retain(|(name, _)| !name.eq_ignore_ascii_case(self.name));
        }
        fields.push((self.name.to_owned(), self.value.clone()));
        fields
    }

    /// The request that a `+` row of a browser's header is sent with: the header is its proof.
    fn proven(&self, cookie: &str) -> Fields {
        let proof: &[(&str, &str)] = match self.name {
            "Origin" => &[("origin", "https://shop.example.com")],
            "Sec-Fetch-Mode" => &NAVIGATION,
            _ => &FETCH,
        };
        let method = if proof == FETCH { "GET" } else { "POST" };
        let fields = stated(self.dialect, method, b"shop.example.com", b"/api");
        and(&and(&fields, proof.iter().copied()), [("cookie", cookie)])
    }

    async fn check(&self, app: &TestApp, cookie: &str) {
        let what = format!("{} {}{} {:?}", self.dialect, self.mark, self.name, self.value);
        let get = stated(self.dialect, "GET", b"shop.example.com", b"/api");
        let known = and(&and(&get, FETCH), [("cookie", cookie)]);
        match self.expected {
            "read" | "unsendable" => {}
            "ignore" => {
                for plain in [known, and(&get, FETCH), and(&get, NAVIGATION)] {
                    let expected = ask(app, self.dialect, &plain).await;
                    let answer = ask(app, self.dialect, &self.apply(plain)).await;
                    assert_eq!(answer.status, expected.status, "{what}");
                    assert_eq!(answer.headers, expected.headers, "{what}");
                    assert_eq!(answer.body, expected.body, "{what}");
                }
            }
            "refuse" => {
                let plain = self.proven(cookie);
                assert_eq!(ask(app, self.dialect, &plain).await.status, StatusCode::OK, "{what}");
                let answer = ask(app, self.dialect, &self.apply(plain)).await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}");
                assert!(answer.header("x-user").is_none(), "{what}");
                let nobody = ask(app, self.dialect, &self.apply(and(&get, NAVIGATION))).await;
                assert_ne!(nobody.status, StatusCode::OK, "{what}");
            }
            "fetch" => {
                let answer = ask(app, self.dialect, &self.apply(known)).await;
                assert_eq!(answer.status, StatusCode::OK, "{what}");
                let nobody = ask(app, self.dialect, &self.apply(and(&get, NAVIGATION))).await;
                assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{what}");
            }
            other => panic!("an unknown outcome: {other}"),
        }
    }
}

#[tokio::test]
async fn t001_t002_t007_t030_t037_t040_t045_every_header_of_the_corpus_is_ignored_or_refused() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    for row in corpus("testdata/corpora/headers.txt") {
        let [nginx, traefik, name, value] = &row[..] else { panic!("four columns: {row:?}") };
        let value = match value.as_str() {
            "{64KiB}" => vec![b'a'; 65_536],
            value => bytes_of(value),
        };
        let mark = name.chars().next().filter(|c| matches!(c, '+' | '='));
        for (dialect, expected) in DIALECTS.into_iter().zip([nginx, traefik]) {
            let row = Row {
                dialect,
                expected,
                mark: mark.unwrap_or(' '),
                name: name.trim_start_matches(['+', '=']),
                value: value.clone(),
            };
            row.check(&app, &cookie).await;
        }
    }
}

#[tokio::test]
async fn t010_t050_t089_every_host_of_the_corpus_passes_only_as_a_spelling_of_the_policys() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    let rows = corpus("policy/testdata/corpora/hosts.txt");
    let (mut asked, mut passed) = (0, 0);
    for row in &rows {
        let ours = matches!(row[0].as_str(), "shop.example.com" | "shop.example.com:443");
        let host = bytes_of(&row[1]);
        let expected = if ours { StatusCode::OK } else { StatusCode::FORBIDDEN };
        for dialect in DIALECTS {
            // In a URL the slash ends the host, so that this is another path; no gateway takes it
            // for a host.
            if dialect == "nginx" && row[1] == "shop.example.com/a" {
                continue;
            }
            let fields = stated(dialect, "GET", &host, b"/staff");
            let fields = and(&fields, [("cookie", cookie.as_str())]);
            let uri = format!("/check/{dialect}/default/shop");
            let Some(answer) = send(&app, &app.check, &uri, &fields).await else { continue };
            assert_eq!(answer.status, expected, "{dialect} {row:?}");
        }
        let fields = vec![("host".to_owned(), host)];
        let fields = and(&and(&fields, FETCH), [("cookie", cookie.as_str())]);
        let Some(answer) = send(&app, &app.browser, "/bff/session", &fields).await else {
            continue;
        };
        asked += 1;
        if ours {
            passed += 1;
            assert_eq!(answer.status, StatusCode::OK, "browser {row:?}");
        } else {
            let refused = [StatusCode::MISDIRECTED_REQUEST, StatusCode::BAD_REQUEST];
            assert!(refused.contains(&answer.status), "browser {row:?}: {}", answer.status);
        }
    }
    assert!(asked * 10 > rows.len() * 9, "{asked} of {} could be sent", rows.len());
    assert!(passed >= 5, "{passed}");
}

#[tokio::test]
async fn t011_t012_t013_t034_t092_no_return_url_of_the_corpus_leads_a_login_off_the_origin() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    let mut headers = NAVIGATION.to_vec();
    headers.push(("cookie", &cookie));
    let (mut followed, mut refused) = (0, 0);
    for row in corpus("testdata/corpora/return_urls.txt") {
        // A value without a second column is the empty one.
        let value = row.get(1).map_or_else(Vec::new, |value| bytes_of(value));
        let encoded = percent_encoding::percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
        for parameter in ["rd", "return_to"] {
            let target = format!("/bff/login?{parameter}={encoded}");
            let answer = app.browse("GET", "shop.example.com", &target, &headers).await;
            if row[0] == "refuse" {
                refused += 1;
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{row:?}");
                assert_eq!(answer.header("location"), None, "{row:?}");
                assert!(!answer.body.contains("evil.example"), "{row:?}");
            } else {
                followed += 1;
                assert_eq!(answer.status, StatusCode::SEE_OTHER, "{row:?}");
                let expected = format!("https://shop.example.com{}", row[0]);
                assert_eq!(answer.header("location"), Some(expected.as_str()), "{row:?}");
            }
        }
    }
    assert!(followed > 40 && refused > 400, "{followed} followed, {refused} refused");
}
