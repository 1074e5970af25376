//! Return URLs: the corpus, and what is kept byte for byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use vestibule_policy::model::{
    CompiledClient, CompiledLogin, CompiledLogout, CompiledProvider, CompiledSession, Credential,
    Par, PolicyId, SameSite,
};
use vestibule_policy::path::Exceptions;

use super::*;

fn policy(origins: &[&str]) -> CompiledPolicy {
    CompiledPolicy {
        id: PolicyId { namespace: "default".to_owned(), name: "shop".to_owned() },
        uid: "default/shop".to_owned(),
        origins: origins.iter().map(|origin| Origin::parse(origin).unwrap()).collect(),
        provider: CompiledProvider {
            issuer: "https://id.example.com".to_owned(),
            ca_bundle: None,
            request_timeout: Duration::from_secs(1),
            allow_insecure: false,
        }
        .into(),
        client: CompiledClient {
            id: "shop".to_owned(),
            credential: Credential::Secret { method: None, value: SecretString::from("s") },
        },
        login: CompiledLogin {
            scopes: vec!["openid".to_owned()],
            par: Par::Never,
            acr_values: Vec::new(),
            max_age: None,
            resources: Vec::new(),
            extra_parameters: BTreeMap::new(),
            user_info: false,
        }
        .into(),
        session: CompiledSession {
            idle_timeout: 60,
            absolute_timeout: 60,
            cookie_name: "__Host-bff".to_owned(),
            same_site: SameSite::Lax,
            claims: Vec::new(),
        }
        .into(),
        routes: Vec::new().into(),
        authorities: Vec::new(),
        bearer: None,
        open_fga: None,
        auth_zen: None,
        paths: Exceptions::default(),
        csrf_header: "x-bff".to_owned(),
        cors_origins: Vec::new(),
        logout_return_to: "/".to_owned(),
        logout: CompiledLogout::default(),
        base_path: "/bff".to_owned(),
        hosted_backend: None,
        upstream_headers: Vec::new(),
    }
}

fn shop() -> CompiledPolicy {
    policy(&["https://shop.example.com"])
}

/// Undoes the escapes of a corpus: `\t \n \r \\ \xNN`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().unwrap() {
            b't' => b'\t',
            b'n' => b'\n',
            b'r' => b'\r',
            b'\\' => b'\\',
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("an unknown escape: {other}"),
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn t011_t012_t013_t034_t045_t092_every_return_url_of_the_corpus_is_judged_as_it_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/corpora/return_urls.txt");
    let corpus = std::fs::read_to_string(file).unwrap();
    let policy = shop();
    let mut count = 0;
    let mut wrong = Vec::new();
    for line in corpus.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expected, raw) = line.split_once('\t').unwrap();
        let raw = unescape(raw);
        let expected = (expected != "refuse").then(|| unescape(expected));
        let result = parse(&raw, &policy);
        if result != expected {
            wrong.push(format!("{raw:?}: expected {expected:?}, got {result:?}"));
        }
        count += 1;
    }
    assert!(count > 200, "the corpus is there");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn t010_an_absolute_url_of_another_host_is_refused_however_it_looks() {
    for raw in [
        "https://evil.example/",
        "https://shop.example.com@evil.example/",
        "https://shop.example.com.evil.example/",
        "https://evil.example#shop.example.com",
        "https://evil.example/?shop.example.com",
        "https://xshop.example.com/",
        "https://shop.example.com:8443/",
        "https://shop.example.com:80/",
        "https://user@shop.example.com/",
        "https:///shop.example.com/",
    ] {
        assert_eq!(parse(raw, &shop()), None, "{raw}");
    }
}

#[test]
fn a_url_that_a_gateway_behind_tls_takes_for_http_is_ours() {
    assert_eq!(parse("http://shop.example.com/a?x=1", &shop()), Some("/a?x=1".to_owned()));
    let local = policy(&["http://localhost:8080"]);
    assert_eq!(parse("https://localhost:8080/a", &local), Some("/a".to_owned()));
    assert_eq!(parse("http://localhost/a", &local), None);
}

#[test]
fn an_ordinary_url_comes_back_byte_for_byte() {
    for url in [
        "/orders?page=2&sort=-date&q=a%20b%2Bc+d&next=https://x.example/%2F",
        "/a-b_c~d/e.f/@me/x:y",
        "/caf%C3%A9?x=%C3%A9",
        "/?a[]=1&b='x'",
    ] {
        let given = parse(url, &shop()).unwrap();
        assert_eq!(given, url.replace('\'', "%27"), "a quote is sent as browsers send it");
        assert_eq!(parse(&format!("https://shop.example.com{url}"), &shop()), Some(given));
    }
}

#[test]
fn a_fragment_is_dropped() {
    assert_eq!(parse("/app?x=1#/orders", &shop()), Some("/app?x=1".to_owned()));
}

#[test]
fn our_own_endpoints_are_no_place_to_return_to() {
    for raw in [
        "/bff",
        "/bff/",
        "/bff/login?rd=/a",
        "/bff/logout",
        "https://shop.example.com/bff/callback",
    ] {
        assert_eq!(parse(raw, &shop()), Some("/".to_owned()), "{raw}");
    }
    assert_eq!(parse("/bffx", &shop()), Some("/bffx".to_owned()));
}

#[test]
fn every_origin_of_the_policy_is_accepted() {
    let policy = policy(&["https://shop.example.com", "https://www.example.com:8443"]);
    assert_eq!(parse("https://www.example.com:8443/a", &policy), Some("/a".to_owned()));
    assert_eq!(parse("https://www.example.com/a", &policy), None);
}

#[test]
fn a_url_of_the_greatest_length_is_taken_and_a_longer_one_is_not() {
    let policy = policy(&["https://shop.example.com"]);
    let url = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert!(parse(&url(MAX_LENGTH), &policy).is_some());
    assert!(parse(&url(MAX_LENGTH + 1), &policy).is_none());
    assert!(parse(&url(MAX_LENGTH * 2), &policy).is_none());
}
