//! Elevated tokens: what they are good for, who gets at them, and for how long.

mod ends;
mod fixture;
mod places;
mod refreshed;

use vestibule_policy::model::CompiledAuthority;

use super::*;
use crate::session::Grant;
use fixture::{START, authority, elevated, live, scopes};

/// A token of `/production` with these scopes, asked for and granted.
fn granted(asked: &[&str], granted: &[&str]) -> Session {
    let grant = Box::new(Grant { asked: scopes(asked), granted: scopes(granted) });
    Session { grant: Some(grant), ..elevated("access", Some("refresh")) }
}

fn judged(authority: &CompiledAuthority, required: &[&str], elevated: &Session) -> Judgement {
    judge(authority, &scopes(required), Some(elevated), START)
}

#[test]
fn what_a_token_is_good_for_depends_on_what_was_asked_and_granted() {
    use Judgement::{Advise, Insufficient, Usable};
    let production = authority("/production", &["read", "write"]);
    for (asked, given, required, expected) in [
        (&["read"][..], &["read"][..], &["read"][..], Usable),
        (&["read", "write"], &["read"], &["read"], Usable),
        (&["read", "write"], &["read"], &["write"], Insufficient),
        (&["read", "write"], &["read"], &["read", "write"], Insufficient),
        (&["read"], &["read"], &["write"], Advise),
        (&["read"], &["read"], &["read", "write"], Advise),
        (&["read"], &["read"], &[], Usable),
        (&["read"], &[], &[], Insufficient),
        (&["read"], &[], &["read"], Insufficient),
        // Of a time when the authority listed more.
        (&["read", "old"], &["read", "old"], &["read"], Advise),
        (&["read", "old"], &["read"], &["read"], Usable),
    ] {
        let token = granted(asked, given);
        let row = format!("{asked:?} {given:?} {required:?}");
        assert_eq!(judged(&production, required, &token), expected, "{row}");
    }
    assert_eq!(judge(&production, &[], None, START), Advise);
    let session = Session { grant: None, ..granted(&["read"], &["read"]) };
    assert_eq!(judged(&production, &[], &session), Advise, "the session's own token");
    assert_eq!(judged(&production, &[], &spent(&granted(&["read"], &["read"]))), Advise);
}

#[test]
fn a_token_that_is_over_is_refreshed_where_that_can_help() {
    let production = authority("/production", &["read", "write"]);
    let exchange = CompiledAuthority { obtain: Obtain::TokenExchange, ..production.clone() };
    let token = granted(&["read"], &["read"]);
    let ends = |end, token: &Session| Session {
        access_token_expires_at: Some(end),
        tokens_issued_at: Timestamp(START.0 - 300),
        ..token.clone()
    };
    let over = ends(START, &token);
    assert_eq!(judged(&production, &["read"], &ends(START.plus(1), &token)), Judgement::Usable);
    assert_eq!(judged(&production, &["read"], &over), Judgement::Refresh);
    let without = Session { refresh_token: None, ..over.clone() };
    assert_eq!(judged(&production, &["read"], &without), Judgement::Advise);
    assert_eq!(judged(&exchange, &["read"], &without), Judgement::Refresh);
    // A refresh gives no scopes that were not asked for, and no other authentication.
    assert_eq!(judged(&production, &["write"], &over), Judgement::Advise);
    let golden = CompiledAuthority { acr: Some("gold".to_owned()), ..production.clone() };
    assert_eq!(judged(&golden, &["read"], &over), Judgement::Advise);
    let born_over = Session { tokens_issued_at: START, ..over };
    assert_eq!(judged(&production, &["read"], &born_over), Judgement::Advise, "no loop");
    let endless = Session { access_token_expires_at: None, ..token };
    assert_eq!(judged(&production, &["read"], &endless), Judgement::Usable);
}

#[test]
fn r46_the_authority_asks_for_the_authentication_of_the_token_itself() {
    let production = authority("/production", &["read"]);
    let token = |acr: Option<&str>, auth_time| Session {
        acr: acr.map(str::to_owned),
        auth_time,
        ..granted(&["read"], &["read"])
    };
    let asks = CompiledAuthority { acr: Some("gold".to_owned()), max_age: Some(60), ..production };
    for (acr, age, expected) in [
        (Some("gold"), 60, Judgement::Usable),
        (Some("gold"), 61, Judgement::Advise),
        (Some("silver"), 0, Judgement::Advise),
        (Some("Gold"), 0, Judgement::Advise),
        (None, 0, Judgement::Advise),
    ] {
        let token = token(acr, Timestamp(START.0 - age));
        assert_eq!(judged(&asks, &["read"], &token), expected, "{acr:?} {age}");
    }
    let unknown = token(Some("gold"), Timestamp::default());
    assert_eq!(judged(&asks, &["read"], &unknown), Judgement::Advise, "no auth_time is too old");
}

#[test]
fn a_record_has_the_scopes_that_were_asked_for_and_granted_and_no_others() {
    let production = live("/production", &["read", "write"]);
    for (said, asked, expected) in [
        (Some(&["read", "write"][..]), &["read", "write"][..], Some(&["read", "write"][..])),
        (Some(&["write"]), &["read", "write"], Some(&["write"])),
        (Some(&[]), &["read"], Some(&[])),
        // RFC 6749, section 5.1: as asked.
        (None, &["read"], Some(&["read"])),
        (Some(&["openid", "read", "email"]), &["read"], Some(&["read"])),
        (Some(&["read", "write"]), &["read"], None),
        (Some(&["read", "admin"]), &["read"], None),
        (Some(&["READ"]), &["read"], None),
        (Some(&["read", "old"]), &["read", "old"], None),
        (None, &["read", "old"], None),
    ] {
        let identity = fixture::identity(said.map(scopes));
        let row = format!("{said:?} {asked:?}");
        let recorded = record(identity, None, scopes(asked), &production, START);
        match (recorded, expected) {
            (Ok(session), Some(granted)) => {
                let grant = session.grant.as_ref().unwrap();
                assert_eq!((&grant.asked, &grant.granted), (&scopes(asked), &scopes(granted)));
                assert!(session.claims.is_empty() && session.id_token.expose().is_empty());
            }
            (Err(refused), None) => {
                assert_eq!(refused.tokens.access_token.expose(), "access", "to be revoked");
                assert!(refused.tokens.grant.is_none(), "{row}: it could be used");
            }
            (recorded, _) => panic!("{row}: {recorded:?}"),
        }
    }
}

#[test]
fn r45_an_exchanged_token_is_recorded_for_its_caller_and_has_only_what_was_asked_for() {
    let production = live("/production", &["read", "write"]);
    let exchanged = |said: Option<&[&str]>| Exchanged {
        access_token: Token::new("exchanged"),
        expires_at: Some(START.plus(60)),
        refresh_token: None,
        scopes: said.map(scopes),
    };
    let caller = Of { subject: "u-1", issuer: "https://id.example.com", auth_time: START };
    let record =
        |said| record_exchanged(exchanged(said), caller, scopes(&["read"]), &production, START);
    let recorded = record(Some(&["read"])).unwrap();
    assert_eq!((recorded.subject.as_str(), recorded.access_token.expose()), ("u-1", "exchanged"));
    assert_eq!(recorded.access_token_expires_at, Some(START.plus(60)));
    assert_eq!(record(None).unwrap().grant.unwrap().granted, scopes(&["read"]));
    assert!(record(Some(&["read", "write"])).is_err());
}

#[test]
fn a_spent_record_holds_no_token() {
    let before = granted(&["read"], &["read"]);
    let spent = spent(&before);
    assert!(is_spent(&spent) && !is_spent(&before));
    assert!(spent.refresh_token.is_none() && spent.id_token.expose().is_empty());
    assert_eq!(spent.grant, Some(Box::new(Grant { asked: vec![], granted: vec![] })));
    assert_eq!((&spent.subject, spent.created_at), (&before.subject, before.created_at));
}
