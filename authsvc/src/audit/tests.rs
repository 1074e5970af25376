//! What each line holds, to the field.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::*;
use crate::clock::Timestamp;
use crate::token::Token;

type Line = BTreeMap<String, String>;

/// Keeps what is sent to the audit target, and nothing else.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

struct Fields<'a>(&'a mut Line);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        assert_eq!(event.metadata().target(), "vestibule::audit");
        assert_eq!(*event.metadata().level(), tracing::Level::INFO, "the default level shows it");
        let mut line = Line::new();
        event.record(&mut Fields(&mut line));
        self.0.lock().unwrap().push(line);
    }
}

/// The one line that something writes.
fn line(write: impl FnOnce()) -> Line {
    let lines = Lines::default();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines.clone()), write);
    let mut lines = lines.0.lock().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

fn expect(found: &Line, expected: &[(&str, &str)]) {
    let expected: Line =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(*found, expected);
    let text = format!("{found:?}");
    assert!(!text.contains("canary"), "no token and no claim beyond sub: {text}");
}

fn policy() -> PolicyId {
    PolicyId { namespace: "default".to_owned(), name: "shop".to_owned() }
}

fn key() -> StoreKey {
    StoreKey::of_session(&[7; 32]).unwrap()
}

const NAME: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

fn session() -> Session {
    Session {
        subject: "u-1".to_owned(),
        issuer: "https://id.example.com".to_owned(),
        provider_session: Some("canary-sid".to_owned()),
        id_token: Token::new("canary-id-token"),
        id_token_expires_at: Timestamp(1),
        access_token: Token::new("canary-access-token"),
        access_token_expires_at: None,
        refresh_token: Some(Token::new("canary-refresh-token")),
        tokens_issued_at: Timestamp(0),
        nonce: Some(Token::new("canary-nonce")),
        claims: json!({"email": "canary@example.com"}).as_object().unwrap().clone().into(),
        acr: None,
        auth_time: Timestamp(0),
        created_at: Timestamp(0),
        touched_at: Timestamp(0),
        grant: None,
    }
}

#[test]
fn a_login_says_who_and_which_session_and_whether_it_was_an_elevation() {
    for (elevated, event) in [(false, "login"), (true, "elevation")] {
        expect(
            &line(|| login(&policy(), &key(), &session(), elevated)),
            &[
                ("event", event),
                ("policy", "default/shop"),
                ("session", NAME),
                ("subject", "u-1"),
                ("issuer", "https://id.example.com"),
                ("message", "audit"),
            ],
        );
    }
}

#[test]
fn a_refused_login_says_why_and_names_nobody() {
    expect(
        &line(|| login_refused(&policy(), "access_denied")),
        &[
            ("event", "login_refused"),
            ("policy", "default/shop"),
            ("reason", "access_denied"),
            ("message", "audit"),
        ],
    );
}

#[test]
fn a_refused_check_says_who_and_why() {
    expect(
        &line(|| check_refused(&policy(), &key(), &session(), "require")),
        &[
            ("event", "check_refused"),
            ("policy", "default/shop"),
            ("session", NAME),
            ("subject", "u-1"),
            ("issuer", "https://id.example.com"),
            ("reason", "require"),
            ("message", "audit"),
        ],
    );
}

#[test]
fn the_end_of_a_session_says_who_why_and_by_whom() {
    for (reason, name) in [
        (EndReason::Logout, "logout"),
        (EndReason::LogoutEverywhere, "logout_everywhere"),
        (EndReason::BackChannelLogout, "back_channel_logout"),
        (EndReason::FrontChannelLogout, "front_channel_logout"),
        (EndReason::Admin, "admin"),
        (EndReason::RefreshRefused, "refresh_refused"),
        (EndReason::NewLogin, "new_login"),
        (EndReason::Timeout, "timeout"),
    ] {
        let ending = Ending { reason, by: "ada@cluster" };
        expect(
            &line(|| session_ended(&policy(), &key(), &session(), ending)),
            &[
                ("event", "session_ended"),
                ("policy", "default/shop"),
                ("session", NAME),
                ("subject", "u-1"),
                ("issuer", "https://id.example.com"),
                ("reason", name),
                ("by", "ada@cluster"),
                ("message", "audit"),
            ],
        );
    }
}

#[test]
fn an_elevation_says_who_for_which_base_and_what_was_granted() {
    let granted = ["production:read".to_owned(), "production:write".to_owned()];
    let elevated = |key: Option<&StoreKey>| {
        elevated(&policy(), key, "u-1", "https://id.example.com", "/api/production", &granted);
    };
    let common = [
        ("event", "elevated"),
        ("policy", "default/shop"),
        ("subject", "u-1"),
        ("issuer", "https://id.example.com"),
        ("base", "/api/production"),
        ("scopes", "production:read production:write"),
        ("message", "audit"),
    ];
    expect(&line(|| elevated(Some(&key()))), &[&common[..], &[("session", NAME)]].concat());
    expect(&line(|| elevated(None)), &common);
}

#[test]
fn a_refused_elevation_says_why_and_names_nobody() {
    expect(
        &line(|| elevation_refused(&policy(), "/api/production", "access_denied")),
        &[
            ("event", "elevation_refused"),
            ("policy", "default/shop"),
            ("base", "/api/production"),
            ("reason", "access_denied"),
            ("message", "audit"),
        ],
    );
}

#[test]
fn the_end_of_an_elevation_says_whose_of_which_base_and_why() {
    expect(
        &line(|| {
            elevation_ended(&policy(), &key(), &session(), "/api/production", "refresh_refused");
        }),
        &[
            ("event", "elevation_ended"),
            ("policy", "default/shop"),
            ("session", NAME),
            ("subject", "u-1"),
            ("issuer", "https://id.example.com"),
            ("base", "/api/production"),
            ("reason", "refresh_refused"),
            ("message", "audit"),
        ],
    );
}
