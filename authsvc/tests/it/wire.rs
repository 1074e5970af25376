//! The check port over a real socket: what HTTP parsing itself must refuse or make the same, which
//! requests built in memory cannot show.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::check_access::SHOP;
use crate::corpora::bytes_of;
use crate::support::{DIALECTS, TestApp, corpus};

/// A check of `GET /api` with one more header line, written as given. The answer's status line and
/// headers in lower case, sorted, without the date.
async fn ask(app: &TestApp, dialect: &str, cookie: &str, line: &[u8]) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = app.check.clone();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let stated = match dialect {
        "nginx" => "x-original-url: https://shop.example.com/api\r\nx-original-method: GET",
        _ => {
            "x-forwarded-uri: /api\r\nx-forwarded-host: shop.example.com\r\nx-forwarded-method: GET"
        }
    };
    let head = format!(
        "GET /check/{dialect}/default/shop HTTP/1.1\r\nhost: authsvc\r\nconnection: close\r\n\
         {stated}\r\ncookie: {cookie}\r\n"
    );
    let request = [head.as_bytes(), line, b"\r\n\r\n"].concat();
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    server.abort();
    let text = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    let head = text.split("\r\n\r\n").next().unwrap();
    let mut lines: Vec<String> =
        head.lines().filter(|line| !line.starts_with("date:")).map(str::to_owned).collect();
    lines[1..].sort();
    lines
}

fn status(answer: &[String]) -> &str {
    answer[0].split(' ').nth(1).unwrap()
}

#[tokio::test]
async fn t020_t074_t075_what_is_no_http_never_gets_to_a_decision() {
    let app = TestApp::new(&[("shop", SHOP)]);
    let cookie = app.session("shop", |_| {}).await;
    let mut sent = 0;
    for row in corpus("testdata/corpora/headers.txt").iter().filter(|row| row[0] == "unsendable") {
        let (name, value) = (bytes_of(&row[2]), bytes_of(&row[3]));
        let sendable =
            HeaderName::from_bytes(&name).is_ok() && HeaderValue::from_bytes(&value).is_ok();
        assert!(!sendable, "{row:?}");
        // On the wire these are other headers, each of them well-formed.
        if name.contains(&b':') || row[3].contains("\r\n") {
            continue;
        }
        sent += 1;
        for dialect in DIALECTS {
            let line = [name.as_slice(), b": ", &value].concat();
            let answer = ask(&app, dialect, &cookie, &line).await;
            assert_eq!(status(&answer), "400", "{dialect} {row:?}");
        }
    }
    assert!(sent > 10, "{sent}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn t030_any_letter_case_of_an_identity_header_gives_the_same_answer(
        name in prop::sample::select(vec!["x-user", "x-groups", "x-odd", "authorization"]),
        upper in prop::collection::vec(any::<bool>(), 13),
    ) {
        let cased: String = name
            .chars()
            .zip(upper)
            .map(|(c, upper)| if upper { c.to_ascii_uppercase() } else { c })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = TestApp::new(&[("shop", SHOP)]);
            let cookie = app.session("shop", |_| {}).await;
            for dialect in DIALECTS {
                let plain = ask(&app, dialect, &cookie, b"x-harmless: admin").await;
                assert_eq!(status(&plain), "200");
                assert!(plain.contains(&"x-user: u-1".to_owned()));
                let spoofed = ask(&app, dialect, &cookie, format!("{cased}: admin").as_bytes()).await;
                assert_eq!(spoofed, plain, "{dialect} {cased}");
                let nobody = ask(&app, dialect, "a=1", format!("{cased}: admin").as_bytes()).await;
                assert_eq!(status(&nobody), "401", "{dialect} {cased}");
            }
        });
    }
}
