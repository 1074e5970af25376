//! What opens, and all that must not.

mod fixture;
mod places;
mod refresh;
mod size;

use http::HeaderMap;
use vestibule_policy::model::CompiledPolicy;

use super::*;
use crate::random::SeededRandom;
use crate::session::{Claims, Grant};
use crate::token::Token;
use fixture::*;

const ACCESS: &str = "canary-access-token";
const REFRESH: &str = "canary-refresh-token";

/// The cookies that caller 1 has for the authority of production.
fn written(policy: &LivePolicy) -> Vec<String> {
    written_with(policy, ACCESS, Some(REFRESH))
}

fn written_with(policy: &LivePolicy, access: &str, refresh: Option<&str>) -> Vec<String> {
    let token = elevated(access, refresh);
    let random = SeededRandom::default();
    write(policy, &production(policy), &caller(1), &token, &random).expect("fits")
}

/// What caller 1 has by these cookies for the authority of production.
fn read_back(policy: &LivePolicy, cookies: &HeaderMap) -> Option<Session> {
    read(policy, &production(policy), &caller(1), Cookies::from_headers(cookies), START)
}

fn both_read_back(policy: &LivePolicy, cookies: &HeaderMap) -> Option<Session> {
    read_pair(policy, &production(policy), &caller(1), Cookies::from_headers(cookies), START)
}

#[test]
fn what_was_written_is_read_again_but_for_what_only_a_refresh_needs() {
    let policy = policy();
    let read = read_back(&policy, &sent_back(&written(&policy))).expect("opens");
    let token = elevated(ACCESS, None);
    let expected = Session {
        provider_session: None,
        id_token: Token::new(""),
        id_token_expires_at: Timestamp(0),
        nonce: None,
        claims: Claims::new(),
        grant: read.grant.clone(),
        ..token.clone()
    };
    let shown = |session: &Session| serde_json::to_value(session).expect("is JSON");
    assert_eq!(shown(&read), shown(&expected));
    let mut asked = read.grant.clone().expect("is elevated").asked;
    asked.sort();
    assert_eq!(asked, ["read", "stop", "write"]);
    assert_eq!(read.grant.expect("is elevated").granted, token.grant.expect("is elevated").granted);
}

#[test]
fn a_refresh_has_the_refresh_token_and_all_that_tells_another_login() {
    let policy = policy();
    let pair = both_read_back(&policy, &sent_back(&written(&policy))).expect("a pair");
    assert_eq!(pair.refresh_token, Some(Token::new(REFRESH)));
    assert_eq!(pair.nonce, Some(Token::new("canary-nonce")));
    assert_eq!((pair.issuer.as_str(), pair.subject.as_str()), (ISSUER, "u-1"));
    assert_eq!(pair.auth_time, elevated(ACCESS, None).auth_time);
}

#[test]
fn what_is_not_known_of_a_token_is_not_known_of_what_is_read() {
    let policy = policy();
    let bare = Session {
        access_token_expires_at: None,
        acr: None,
        nonce: None,
        grant: Some(Box::new(Grant { asked: Vec::new(), granted: Vec::new() })),
        ..elevated(ACCESS, Some(REFRESH))
    };
    let random = SeededRandom::default();
    let set = write(&policy, &production(&policy), &caller(1), &bare, &random).expect("fits");
    let read = both_read_back(&policy, &sent_back(&set)).expect("opens");
    assert_eq!((read.access_token_expires_at, read.acr, read.nonce), (None, None, None));
    assert_eq!(read.grant, bare.grant);
}

#[test]
fn cookies_are_secure_of_one_path_hidden_from_scripts_and_gone_with_the_browser() {
    for (same_site, text) in [(SameSite::Lax, "Lax"), (SameSite::Strict, "Strict")] {
        let strictness = |compiled: &mut CompiledPolicy| compiled.session.same_site = same_site;
        let policy = policy_with("shop", &keyring(&[("k1", 1)]), strictness);
        let set = written(&policy);
        let [access, refresh] = &set[..] else { panic!("two: {set:?}") };
        for (cookie, prefix) in [(access, ACCESS_COOKIE_PREFIX), (refresh, REFRESH_COOKIE_PREFIX)] {
            let (pair, attributes) = cookie.split_once("; ").expect("attributes");
            let expected = format!("Path=/production; Secure; HttpOnly; SameSite={text}");
            assert_eq!(attributes, expected);
            let (name, value) = pair.split_once('=').expect("a pair");
            let tag = name.strip_prefix(prefix).expect("the prefix");
            assert_eq!(tag.len(), 16, "{name}");
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            assert!(tag.bytes().chain(value.bytes()).all(plain), "{cookie}");
        }
    }
}

#[test]
fn what_removes_cookies_repeats_their_names_path_and_secure() {
    let policy = policy();
    let removed = expire(&policy, &production(&policy));
    let names: Vec<String> = written(&policy).iter().map(|set| pair_of(set).0.to_owned()).collect();
    for (cookie, name) in removed.iter().zip(&names) {
        let expected =
            format!("{name}=; Path=/production; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
        assert_eq!(*cookie, expected);
    }
    assert_eq!(removed.len(), 2);
    assert!(read_back(&policy, &sent_back(&removed)).is_none());
}

#[test]
fn a_token_without_a_refresh_token_removes_the_cookie_of_an_older_one() {
    let policy = policy();
    let set = written_with(&policy, ACCESS, None);
    assert_eq!(set[1], expire(&policy, &production(&policy))[1]);
    assert!(read_back(&policy, &sent_back(&set)).is_some());
    assert!(both_read_back(&policy, &sent_back(&set)).is_none());
}

#[test]
fn a_sessions_own_token_is_never_put_into_a_cookie() {
    let policy = policy();
    let session = Session { grant: None, ..elevated(ACCESS, Some(REFRESH)) };
    let authority = production(&policy);
    let random = SeededRandom::default();
    let set = write(&policy, &authority, &caller(1), &session, &random).expect("fits");
    assert_eq!(set, expire(&policy, &authority));
}

#[test]
fn the_cookie_of_another_session_is_nothing() {
    let policy = policy();
    let theirs = sent_back(&written(&policy));
    let authority = production(&policy);
    assert!(read(&policy, &authority, &caller(2), Cookies::from_headers(&theirs), START).is_none());
    assert!(
        read_pair(&policy, &authority, &caller(2), Cookies::from_headers(&theirs), START).is_none()
    );
}

#[test]
fn the_cookie_of_another_user_or_issuer_is_nothing_to_who_brings_a_token() {
    let policy = policy();
    let authority = production(&policy);
    let of = |issuer: &str, subject: &str| StoreKey::of_bearer("uid-of-shop", issuer, subject);
    let random = SeededRandom::default();
    let token = elevated(ACCESS, Some(REFRESH));
    let set = write(&policy, &authority, &of(ISSUER, "u-1"), &token, &random).expect("fits");
    let theirs = sent_back(&set);
    assert!(
        read(&policy, &authority, &of(ISSUER, "u-1"), Cookies::from_headers(&theirs), START)
            .is_some()
    );
    let others = [
        of(ISSUER, "u-2"),
        of(ISSUER, "U-1"),
        of("https://id.example.com/", "u-1"),
        of("https://id.example.comu", "-1"),
        StoreKey::of_bearer("uid-of-desk", ISSUER, "u-1"),
        caller(1),
    ];
    for other in others {
        assert!(
            read(&policy, &authority, &other, Cookies::from_headers(&theirs), START).is_none(),
            "{other:?}"
        );
    }
}

#[test]
fn the_cookie_of_another_base_is_nothing_under_its_name_or_its_own() {
    let policy = policy();
    let set = written(&policy);
    for base in &BASES[1..] {
        let other = policy.authority(base).expect("is there");
        let its_name = Kind::Access.cookie_name(other);
        let moved = cookies(&format!("{its_name}={}", pair_of(&set[0]).1));
        for theirs in [moved, sent_back(&set)] {
            assert!(
                read(&policy, other, &caller(1), Cookies::from_headers(&theirs), START).is_none(),
                "{base}"
            );
        }
    }
}

#[test]
fn the_cookie_of_another_policy_is_nothing() {
    let (shop, desk) = (policy(), policy_with("desk", &keyring(&[("k1", 1)]), |_| {}));
    let set = written(&shop);
    assert!(read_back(&desk, &sent_back(&set)).is_none());
    let names = Kind::ALL.map(|kind| kind.cookie_name(&production(&desk)));
    let moved: Vec<String> = names
        .iter()
        .zip(&set)
        .map(|(name, cookie)| format!("{name}={}", pair_of(cookie).1))
        .collect();
    assert!(read_back(&desk, &cookies(&moved.join("; "))).is_none());
}

#[test]
fn an_access_token_is_no_refresh_token_and_the_other_way_round() {
    let policy = policy();
    let set = written(&policy);
    let [(access, its_value), (refresh, others_value)] = [pair_of(&set[0]), pair_of(&set[1])];
    let swapped = cookies(&format!("{access}={others_value}; {refresh}={its_value}"));
    assert!(read_back(&policy, &swapped).is_none());
    let twice = cookies(&format!("{access}={its_value}; {refresh}={its_value}"));
    assert!(read_back(&policy, &twice).is_some());
    assert!(both_read_back(&policy, &twice).is_none());
}

#[test]
fn a_refresh_token_of_an_older_pair_is_not_used_with_a_newer_access_token() {
    let policy = policy();
    let [older, newer] = [("a-1", "r-1"), ("a-2", "r-2")]
        .map(|(access, refresh)| written_with(&policy, access, Some(refresh)));
    for (access, refresh) in [(&older, &newer), (&newer, &older)] {
        let mixed = sent_back(&[access[0].clone(), refresh[1].clone()]);
        assert!(read_back(&policy, &mixed).is_some());
        assert!(both_read_back(&policy, &mixed).is_none());
    }
}

#[test]
fn two_answers_with_the_same_tokens_may_be_kept_in_any_order() {
    let policy = policy();
    let random = SeededRandom::default();
    let token = elevated(ACCESS, Some(REFRESH));
    let [one, other] = [(); 2]
        .map(|()| write(&policy, &production(&policy), &caller(1), &token, &random).expect("fits"));
    assert_ne!(one, other, "each is sealed for itself");
    let mixed = sent_back(&[one[0].clone(), other[1].clone()]);
    assert_eq!(both_read_back(&policy, &mixed).expect("a pair").refresh_token, token.refresh_token);
}

#[test]
fn a_refresh_token_alone_is_nothing() {
    let policy = policy();
    let set = written(&policy);
    assert!(both_read_back(&policy, &sent_back(&set[1..])).is_none());
}

#[test]
fn garbage_is_nothing() {
    let policy = policy();
    let set = written(&policy);
    let (name, value) = pair_of(&set[0]);
    let mut flipped = URL_SAFE_NO_PAD.decode(value).expect("base64url");
    *flipped.last_mut().expect("not empty") ^= 1;
    let bytes = URL_SAFE_NO_PAD.decode(value).expect("base64url");
    let plain = serde_json::to_vec(&Access::of(&elevated(ACCESS, None))).expect("is JSON");
    let garbage = [
        String::new(),
        "x".to_owned(),
        "%".to_owned(),
        value[..value.len() - 1].to_owned(),
        value[1..].to_owned(),
        format!("{value}A"),
        format!("{value}="),
        format!("\"{value}\""),
        format!("{value}{value}"),
        value.to_ascii_lowercase(),
        URL_SAFE_NO_PAD.encode(flipped),
        URL_SAFE_NO_PAD.encode(&bytes[..bytes.len() - 16]),
        URL_SAFE_NO_PAD.encode([0; 64]),
        URL_SAFE_NO_PAD.encode(plain),
        "A".repeat(MAX_BYTES + 1),
        "A".repeat(65_536),
    ];
    for value in garbage {
        let planted = cookies(&format!("{name}={value}"));
        assert!(read_back(&policy, &planted).is_none(), "{value:.50}");
    }
}

#[test]
fn a_cookie_that_occurs_twice_is_nothing() {
    let policy = policy();
    let set = written(&policy);
    let (name, value) = pair_of(&set[0]);
    for other in [value, "planted", ""] {
        for both in
            [format!("{name}={value}; {name}={other}"), format!("{name}={other}; {name}={value}")]
        {
            assert!(read_back(&policy, &cookies(&both)).is_none(), "{other:.10}");
        }
    }
}

#[test]
fn look_alikes_in_another_case_are_nothing_and_do_no_harm() {
    let policy = policy();
    let set = written(&policy);
    let (name, value) = pair_of(&set[0]);
    for alike in [name.replace("-at-", "-AT-"), name.replace("__Secure", "__secure")] {
        assert!(read_back(&policy, &cookies(&format!("{alike}={value}"))).is_none(), "{alike}");
        let both = cookies(&format!("{alike}=planted; {name}={value}"));
        assert!(read_back(&policy, &both).is_some(), "{alike}");
    }
}

#[test]
fn after_the_absolute_timeout_a_cookie_is_nothing_though_its_token_lives() {
    let policy = policy();
    let both = sent_back(&written(&policy));
    let authority = production(&policy);
    let at = |seconds: u64| {
        read(&policy, &authority, &caller(1), Cookies::from_headers(&both), START.plus(seconds))
    };
    let absolute = policy.compiled.session.absolute_timeout;
    assert!(at(absolute - 1).is_some());
    for late in [absolute, absolute + 1, u64::MAX] {
        assert!(at(late).is_none(), "{late}");
        let then = START.plus(late);
        assert!(
            read_pair(&policy, &authority, &caller(1), Cookies::from_headers(&both), then)
                .is_none(),
            "{late}"
        );
    }
}

#[test]
fn a_token_of_the_provider_that_the_policy_had_before_is_nothing() {
    let before = policy();
    let moved = |compiled: &mut CompiledPolicy| {
        compiled.provider.issuer = "https://login.example.com".to_owned();
    };
    let after = policy_with("shop", &keyring(&[("k1", 1)]), moved);
    assert!(read_back(&after, &sent_back(&written(&before))).is_none());
}

#[test]
fn a_token_with_a_scope_that_the_authority_no_longer_lists_is_nothing() {
    let before = policy();
    let both = sent_back(&written(&before));
    for (scope, is_granted) in [("read", true), ("stop", true), ("write", false)] {
        let narrowed = |compiled: &mut CompiledPolicy| {
            compiled.authorities[0].scopes.retain(|one| one.name != scope);
        };
        let after = policy_with("shop", &keyring(&[("k1", 1)]), narrowed);
        assert_eq!(read_back(&after, &both).is_none(), is_granted, "{scope}");
    }
}

#[test]
fn an_older_key_opens_and_one_that_is_gone_does_not() {
    let before = policy_with("shop", &keyring(&[("k1", 1)]), |_| {});
    let both = sent_back(&written(&before));
    let rotated = policy_with("shop", &keyring(&[("k2", 2), ("k1", 1)]), |_| {});
    assert!(both_read_back(&rotated, &both).is_some());
    let after = policy_with("shop", &keyring(&[("k2", 2)]), |_| {});
    assert!(both_read_back(&after, &both).is_none());
    // The same name, another secret.
    let other = policy_with("shop", &keyring(&[("k1", 9)]), |_| {});
    assert!(both_read_back(&other, &both).is_none());
    let newer = sent_back(&written(&rotated));
    assert!(both_read_back(&after, &newer).is_some(), "the active key seals");
}

#[test]
fn a_record_with_a_member_of_a_later_version_is_nothing() {
    let policy = policy();
    let authority = production(&policy);
    let at = StoreKey::of_elevation(&caller(1), &authority.tag);
    let mut record = serde_json::to_value(Access::of(&elevated(ACCESS, None))).expect("is JSON");
    for (member, opens) in [(None, true), (Some("x"), false)] {
        if let Some(member) = member {
            record[member] = "a restriction".into();
        }
        let random = SeededRandom::default();
        let cookie = sealed(Kind::Access, &policy, &authority, &at, &record, &random);
        let sent = sent_back(&[cookie.expect("fits")]);
        assert_eq!(read_back(&policy, &sent).is_some(), opens, "{member:?}");
    }
}

#[test]
fn neither_cookies_nor_what_is_shown_of_them_have_a_token_in_them() {
    let policy = policy();
    let set = written(&policy);
    let read = both_read_back(&policy, &sent_back(&set)).expect("a pair");
    let decoded: Vec<u8> = set
        .iter()
        .flat_map(|cookie| URL_SAFE_NO_PAD.decode(pair_of(cookie).1).expect("base64url"))
        .collect();
    let too_large = written_too_large(&policy);
    let shown = format!("{set:?} {read:?} {too_large:?} {too_large}");
    for secret in ["canary", "u-1", ISSUER] {
        assert!(!String::from_utf8_lossy(&decoded).contains(secret), "{secret}");
    }
    assert!(!shown.contains("canary"), "{shown}");
}

fn written_too_large(policy: &LivePolicy) -> TooLarge {
    let token = elevated(&"canary".repeat(1_000), None);
    let random = SeededRandom::default();
    write(policy, &production(policy), &caller(1), &token, &random).expect_err("too large")
}
