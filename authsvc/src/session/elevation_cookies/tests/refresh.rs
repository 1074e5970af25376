//! Refreshes of cookies by several replicas over one store, in tokio's own time: minutes pass at once.

mod faults;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::oidc::{Identity, RefreshError};
use crate::random::SystemRandom;
use crate::session::memory::MemoryStore;
use crate::session::refresh::Redeemer;
use crate::session::refresh::tests::faults::{Fault, Faults, FaultyStore};
use crate::session::refresh::tests::fixture::{Answer, FakeProvider, Log, TokioClock};
use crate::session::service::Sessions;
use crate::session::store::{SessionStore as _, StoreError};

type Outcome = Result<CookieRefresh, StoreError>;

/// The provider, which says these scopes besides.
#[derive(Default)]
struct Scoped {
    provider: FakeProvider,
    scopes: Mutex<Option<Vec<String>>>,
}

impl Scoped {
    fn grants(&self, scopes: &[&str]) {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        *self.scopes.lock().unwrap() = Some(scopes);
    }
}

impl Redeemer for Scoped {
    fn redeem<'a>(
        &'a self,
        session: &'a Session,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Identity, RefreshError>> {
        let redeeming = self.provider.redeem(session, deadline);
        async move {
            let scopes = self.scopes.lock().unwrap().clone();
            redeeming.await.map(|identity| Identity { scopes, ..identity })
        }
        .boxed()
    }

    fn discard(&self, session: &Session) {
        self.provider.discard(session);
    }
}

struct Fixture {
    replicas: Vec<Arc<Sessions>>,
    store: Arc<FaultyStore>,
    policy: Arc<LivePolicy>,
    authority: Arc<LiveAuthority>,
    redeemer: Arc<Scoped>,
    /// As every request here has them.
    cookies: HeaderMap,
}

impl Fixture {
    fn new(replicas: usize) -> Self {
        Self::with(policy(), replicas)
    }

    fn with(policy: Arc<LivePolicy>, replicas: usize) -> Self {
        let clock = Arc::new(TokioClock(Instant::now()));
        let store = Arc::new(FaultyStore::by(Faults::default(), MemoryStore::new(clock.clone())));
        let replicas: Vec<_> = (0..replicas)
            .map(|_| Sessions::new(store.clone(), clock.clone(), Arc::new(SystemRandom)))
            .collect();
        for sessions in &replicas {
            let sessions = Arc::clone(sessions);
            tokio::spawn(async move { sessions.follow().await });
        }
        let authority = production(&policy);
        let cookies = sent_back(&written_with(&policy, "access-0", Some("refresh-0")));
        Self { replicas, store, policy, authority, redeemer: Arc::default(), cookies }
    }

    fn provider(&self) -> &FakeProvider {
        &self.redeemer.provider
    }

    async fn refresh(&self, replica: usize) -> Outcome {
        self.refresh_with(replica, &self.cookies).await
    }

    async fn refresh_with(&self, replica: usize, cookies: &HeaderMap) -> Outcome {
        self.refresh_of(replica, &self.authority, &caller(1), cookies).await
    }

    async fn refresh_of(
        &self,
        replica: usize,
        authority: &Arc<LiveAuthority>,
        caller: &StoreKey,
        cookies: &HeaderMap,
    ) -> Outcome {
        let (policy, authority) = (Arc::clone(&self.policy), Arc::clone(authority));
        let redeemer = Arc::clone(&self.redeemer) as Arc<dyn Redeemer>;
        let cookies = Cookies::from_headers(cookies);
        self.replicas[replica].refresh_cookie_by(policy, authority, redeemer, caller, cookies).await
    }

    fn write(&self, session: &Session) -> HeaderMap {
        let set = write(&self.policy, &self.authority, &caller(1), session, &SystemRandom);
        sent_back(&set.expect("fits"))
    }
}

fn fresh(outcome: Outcome) -> Session {
    match outcome {
        Ok(CookieRefresh::Fresh(session)) => session,
        other => panic!("{other:?}"),
    }
}

fn token(outcome: Outcome) -> String {
    fresh(outcome).access_token.expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_on_three_replicas_redeem_once_though_the_provider_takes_10_s() {
    let fixture = Fixture::new(3);
    fixture.provider().takes(Duration::from_secs(10));
    let begun = Instant::now();
    for outcome in join_all((0..100).map(|index| fixture.refresh(index % 3))).await {
        assert_eq!(token(outcome), "access-1");
    }
    assert_eq!(fixture.provider().redeemed(), ["refresh-0"]);
    assert!(begun.elapsed() < Duration::from_secs(11), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_comes_with_the_same_cookies_within_30_s_gets_the_same_tokens() {
    let fixture = Fixture::new(3);
    for seconds in [0, 10, 10, 9] {
        sleep(Duration::from_secs(seconds)).await;
        for replica in 0..3 {
            let renewed = fresh(fixture.refresh(replica).await);
            assert_eq!(renewed.access_token.expose(), "access-1");
            assert_eq!(renewed.refresh_token.expect("rotated").expose(), "refresh-1");
        }
    }
    assert_eq!(fixture.provider().redeemed().len(), 1);
    sleep(Duration::from_secs(2)).await;
    // By then the browser has had them for long: who asks now has lost them.
    assert_eq!(token(fixture.refresh(0).await), "access-2");
    assert_eq!(fixture.provider().redeemed(), ["refresh-0", "refresh-0"]);
}

#[tokio::test(start_paused = true)]
async fn the_next_refresh_redeems_the_rotated_token_of_the_new_cookies() {
    let fixture = Fixture::new(2);
    let first = fresh(fixture.refresh(0).await);
    let second = fresh(fixture.refresh_with(1, &fixture.write(&first)).await);
    assert_eq!(second.access_token.expose(), "access-2");
    assert_eq!(fixture.provider().redeemed(), ["refresh-0", "refresh-1"]);
    let both = fixture.write(&second);
    assert_eq!(fresh(fixture.refresh_with(0, &both).await).access_token.expose(), "access-3");
}

#[tokio::test(start_paused = true)]
async fn what_a_refresh_gives_is_of_the_same_beginning_login_and_grant() {
    let fixture = Fixture::new(1);
    sleep(Duration::from_secs(500)).await;
    let renewed = fresh(fixture.refresh(0).await);
    let before = elevated("access-0", Some("refresh-0"));
    assert_eq!(renewed.created_at, before.created_at, "it does not begin anew");
    assert_eq!(renewed.tokens_issued_at, START.plus(500));
    assert_eq!(renewed.auth_time, before.auth_time);
    assert_eq!((&renewed.subject, &renewed.issuer), (&before.subject, &before.issuer));
    assert_eq!(renewed.nonce, before.nonce);
    let grant = renewed.grant.as_ref().expect("is elevated");
    assert_eq!(grant.granted, ["read", "stop"]);
    assert_eq!(grant.asked.len(), 3);
    assert!(renewed.claims.is_empty() && renewed.id_token.expose().is_empty());
    let read_again = both_read_back(&fixture.policy, &fixture.write(&renewed)).expect("a pair");
    assert_eq!(read_again.refresh_token, renewed.refresh_token);
    assert_eq!(read_again.nonce, renewed.nonce);
}

#[tokio::test(start_paused = true)]
async fn no_refresh_prolongs_the_absolute_timeout() {
    let absolute = 600;
    let shorter = |compiled: &mut CompiledPolicy| compiled.session.absolute_timeout = absolute;
    let fixture = Fixture::with(policy_with("shop", &keyring(&[("k1", 1)]), shorter), 1);
    sleep(Duration::from_secs(absolute - 1)).await;
    let renewed = fresh(fixture.refresh(0).await);
    sleep(Duration::from_secs(1)).await;
    for cookies in [&fixture.cookies, &fixture.write(&renewed)] {
        assert!(matches!(fixture.refresh_with(0, cookies).await, Ok(CookieRefresh::None)));
    }
    assert_eq!(fixture.provider().redeemed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_rotate_is_asked_once_for_each_pair() {
    let fixture = Fixture::new(2);
    let first = fresh(fixture.refresh(0).await);
    let same = Session { refresh_token: Some(Token::new("refresh-0")), ..first };
    // Within those 30 s the result for this refresh token is the same, and it is good.
    assert_eq!(token(fixture.refresh_with(1, &fixture.write(&same)).await), "access-1");
    sleep(Duration::from_secs(31)).await;
    assert_eq!(token(fixture.refresh_with(1, &fixture.write(&same)).await), "access-2");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_to_all_who_wait_and_to_who_comes_soon_after() {
    let fixture = Fixture::new(3);
    fixture.provider().takes(Duration::from_secs(1));
    fixture.provider().answers(Answer::Ended);
    for outcome in join_all((0..60).map(|index| fixture.refresh(index % 3))).await {
        assert!(matches!(outcome, Ok(CookieRefresh::Ended)), "{outcome:?}");
    }
    fixture.provider().answers(Answer::Tokens);
    sleep(Duration::from_secs(20)).await;
    for replica in 0..3 {
        assert!(matches!(fixture.refresh(replica).await, Ok(CookieRefresh::Ended)));
    }
    assert_eq!(fixture.provider().redeemed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn any_other_failure_ends_nothing_and_does_not_hammer_the_provider() {
    let fixture = Fixture::new(3);
    fixture.provider().answers(Answer::Failed);
    let begun = Instant::now();
    for outcome in join_all((0..90).map(|index| fixture.refresh(index % 3))).await {
        assert!(matches!(outcome, Ok(CookieRefresh::Failed)), "{outcome:?}");
    }
    let redeemed = fixture.provider().redeemed().len();
    assert!(redeemed <= 3, "each replica for itself, {redeemed}");
    let pauses = u32::try_from(redeemed - 1).unwrap();
    assert!(begun.elapsed() >= pauses * Duration::from_secs(1), "{:?}", begun.elapsed());
    fixture.provider().answers(Answer::Tokens);
    assert_eq!(token(fixture.refresh(1).await), "access-1");
}

#[tokio::test(start_paused = true)]
async fn fewer_scopes_than_before_are_what_is_granted_from_then_on() {
    let fixture = Fixture::new(2);
    fixture.redeemer.grants(&["openid", "read", "profile"]);
    for replica in 0..2 {
        let grant = fresh(fixture.refresh(replica).await).grant.expect("is elevated");
        assert_eq!(grant.granted, ["read"], "neither those that the provider adds");
        assert_eq!(grant.asked.len(), 3);
    }
    assert!(fixture.provider().discarded().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_nobody_asked_for_ends_it_and_its_tokens_are_discarded() {
    for scope in ["admin", "READ", "read ", ""] {
        let fixture = Fixture::new(2);
        fixture.redeemer.grants(&["read", scope]);
        for replica in 0..2 {
            let outcome = fixture.refresh(replica).await;
            assert!(matches!(outcome, Ok(CookieRefresh::Ended)), "{scope:?} {outcome:?}");
        }
        assert_eq!(fixture.provider().discarded(), ["access-1"], "{scope:?}");
        assert_eq!(fixture.provider().redeemed().len(), 1, "{scope:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn cookies_that_are_no_pair_ask_neither_store_nor_provider() {
    let fixture = Fixture::new(1);
    let policy = &fixture.policy;
    let (one, other) =
        (written_with(policy, "a-1", Some("r-1")), written_with(policy, "a-2", Some("r-2")));
    let name = pair_of(&one[1]).0.to_owned();
    let value = pair_of(&one[1]).1;
    for cookies in [
        HeaderMap::new(),
        sent_back(&written_with(policy, "a-1", None)),
        sent_back(&one[1..]),
        sent_back(&[one[0].clone(), other[1].clone()]),
        cookies(&format!("{}; {name}=x", one[0].split("; ").next().unwrap())),
        cookies(&format!("{}; {name}={value}; {name}={value}", one[0].split("; ").next().unwrap())),
    ] {
        let outcome = fixture.refresh_with(0, &cookies).await;
        assert!(matches!(outcome, Ok(CookieRefresh::None)), "{outcome:?}");
    }
    let theirs = fixture.refresh_of(0, &fixture.authority, &caller(2), &fixture.cookies).await;
    assert!(matches!(theirs, Ok(CookieRefresh::None)), "{theirs:?}");
    assert_eq!(fixture.store.asked("acquire") + fixture.store.asked("create"), 0);
    assert!(fixture.provider().redeemed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn t033_t035_callers_and_authorities_do_not_share_a_refresh_though_their_tokens_are_equal() {
    let fixture = Fixture::new(2);
    let other = Arc::clone(fixture.policy.authority(BASES[1]).expect("is there"));
    let same = elevated("access-0", Some("refresh-0"));
    let random = SystemRandom;
    let theirs = sent_back(
        &write(&fixture.policy, &fixture.authority, &caller(2), &same, &random).expect("fits"),
    );
    let elsewhere =
        sent_back(&write(&fixture.policy, &other, &caller(1), &same, &random).expect("fits"));
    let mut tokens = vec![
        token(fixture.refresh(0).await),
        token(fixture.refresh_of(1, &fixture.authority, &caller(2), &theirs).await),
        token(fixture.refresh_of(0, &other, &caller(1), &elsewhere).await),
    ];
    tokens.sort();
    assert_eq!(tokens, ["access-1", "access-2", "access-3"]);
}

#[tokio::test(start_paused = true)]
async fn t069_a_client_that_goes_away_cuts_no_refresh_at_any_point() {
    for gone_after in [0, 1, 5, 50, 500, 5_000, 9_999, 10_000] {
        let fixture = Fixture::new(1);
        fixture.provider().takes(Duration::from_secs(10));
        let asked = timeout(Duration::from_millis(gone_after), fixture.refresh(0)).await;
        assert!(asked.is_err() || gone_after >= 10_000, "{gone_after}");
        assert!(fixture.replicas[0].finish_refreshes(Duration::from_secs(11)).await);
        assert!(fixture.provider().cut().is_empty(), "{gone_after}");
        assert_eq!(token(fixture.refresh(0).await), "access-1", "{gone_after}");
        assert_eq!(fixture.provider().redeemed().len(), 1, "{gone_after}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_answered_and_the_refresh_goes_on() {
    let fixture = Fixture::new(2);
    fixture.provider().takes(Duration::from_secs(40));
    let begun = Instant::now();
    for outcome in join_all([fixture.refresh(0), fixture.refresh(1)]).await {
        assert!(matches!(outcome, Ok(CookieRefresh::Failed)), "{outcome:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(26), "{:?}", begun.elapsed());
    for replica in &fixture.replicas {
        assert!(replica.finish_refreshes(Duration::from_mins(1)).await);
    }
    assert_eq!(token(fixture.refresh(1).await), "access-1");
    assert_eq!(fixture.provider().redeemed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn neither_log_nor_store_nor_debug_shows_a_token() {
    let log = Log::start();
    let fixture = Fixture::new(2);
    let mut shown = Vec::new();
    for answer in [Answer::Failed, Answer::Tokens, Answer::Ended] {
        fixture.provider().answers(answer);
        let outcome = fixture.refresh(0).await;
        shown.push(outcome);
        let refused = written_with(&fixture.policy, "access-x", Some("refresh-x"));
        shown.push(fixture.refresh_with(1, &sent_back(&refused)).await);
    }
    fixture.redeemer.grants(&["foreign-scope"]);
    let last = written_with(&fixture.policy, "access-y", Some("refresh-y"));
    shown.push(fixture.refresh_with(0, &sent_back(&last)).await);
    let text = log.text();
    assert!(text.contains("a refresh of cookies"), "{text}");
    let dump = fixture.store.inner.dump();
    assert!(!dump.is_empty(), "the store has the results");
    for place in [text, format!("{shown:?}"), String::from_utf8_lossy(&dump).into_owned()] {
        for secret in ["access-", "refresh-0", "refresh-1", "refresh-x", "canary"] {
            assert!(!place.contains(secret), "{secret}: {place}");
        }
    }
}
