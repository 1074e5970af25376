//! Whatever is asked of whatever policy: the token that goes upstream below a base has no scope but its
//! authority's, and those that the provider is said to add.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use http::StatusCode;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::json;
use vestibule_authsvc::clock::Timestamp;
use vestibule_authsvc::oidc::Exchanged;
use vestibule_authsvc::session::Session;
use vestibule_authsvc::session::elevation::{Of, record_exchanged};
use vestibule_authsvc::token::Token;

use super::world::{SCRIPT, User, World};
use crate::idp::{Reply, Seen};
use crate::support::DIALECTS;

const SCOPES: [&str; 6] = ["s0", "s1", "s2", "s3", "openid", "email"];
const SEGMENTS: [&str; 3] = ["a", "b", "ab"];
/// Two with sessions, and one who brings a mediating token.
const CALLERS: usize = 3;
const BEARER: usize = 2;

/// Scopes, by their places.
type Scopes = BTreeSet<usize>;

#[derive(Clone, Debug)]
struct Base {
    path: String,
    listed: Scopes,
    cookies: bool,
}

/// A token that the provider gives somebody at some time.
#[derive(Clone, Debug)]
struct Given {
    caller: usize,
    base: usize,
    asked: Scopes,
    /// What the provider says that it has; `None`: nothing, so what was asked for.
    said: Option<Scopes>,
    /// `Some`: it is over at once, and a refresh gives these.
    later: Option<Scopes>,
}

#[derive(Clone, Debug)]
struct Case {
    bases: Vec<Base>,
    /// Rules that need scopes: of which base, whether below it, and which.
    rules: Vec<(usize, bool, Scopes)>,
    given: Vec<Given>,
    /// Who asks for what, after each token that is given.
    asked: Vec<(usize, String)>,
}

fn path() -> impl Strategy<Value = String> {
    vec(select(&SEGMENTS[..]), 1..4).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn bases() -> impl Strategy<Value = Vec<Base>> {
    let base = |(path, (listed, cookies))| Base { path, listed, cookies };
    btree_map(path(), (btree_set(0..4_usize, 1..4), any::<bool>()), 1..5)
        .prop_map(move |bases| bases.into_iter().map(base).collect())
}

fn given(bases: usize) -> impl Strategy<Value = Given> {
    let any_scopes = || btree_set(0..SCOPES.len(), 0..4);
    let of = |(caller, base, asked, said, later)| Given { caller, base, asked, said, later };
    (
        0..CALLERS,
        0..bases,
        btree_set(0..4_usize, 0..4),
        proptest::option::of(any_scopes()),
        proptest::option::weighted(0.3, any_scopes()),
    )
        .prop_map(of)
}

fn case() -> impl Strategy<Value = Case> {
    bases().prop_flat_map(|bases| {
        let known: Vec<String> = bases.iter().map(|base| base.path.clone()).collect();
        let below = (select(known), select(vec!["", "/", "/x", "/a", "b"]))
            .prop_map(|(base, rest)| format!("{base}{rest}"));
        let rule = (0..bases.len(), any::<bool>(), btree_set(0..4_usize, 0..3));
        (
            vec(rule, 0..4),
            vec(given(bases.len()), 1..8),
            vec((0..CALLERS, prop_oneof![4 => below, 1 => path()]), 4..12),
        )
            .prop_map(move |(rules, given, asked)| Case {
                bases: bases.clone(),
                rules,
                given,
                asked,
            })
    })
}

fn names(scopes: &Scopes) -> Vec<String> {
    scopes.iter().map(|scope| SCOPES[*scope].to_owned()).collect()
}

/// A token whose text says which scopes it has.
fn text(kind: &str, scopes: &Scopes) -> String {
    format!("{kind}-.{}", names(scopes).join("."))
}

impl Case {
    /// The innermost base, found in the plainest way.
    fn innermost(&self, path: &str) -> Option<&Base> {
        let is_below = |base: &str| path == base || path.starts_with(&format!("{base}/"));
        let bases = self.bases.iter().filter(|base| is_below(&base.path));
        bases.max_by_key(|base| base.path.len())
    }

    fn spec(&self) -> String {
        let authority = |base: &Base| {
            let names = names(&base.listed);
            let scopes: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
            let storage = if base.cookies { "Cookie" } else { "Session" };
            json!({"base": base.path, "scopes": scopes, "storage": storage})
        };
        let mut rules = BTreeMap::new();
        for (base, below, needs) in &self.rules {
            let base = &self.bases[*base].path;
            let path = if *below { format!("{base}/x") } else { base.clone() };
            // What an inner authority does not list cannot be needed of it.
            let concerned: Vec<&Base> = self
                .bases
                .iter()
                .filter(|other| other.path == *base || other.path.starts_with(&format!("{path}/")))
                .collect();
            let possible = |scope: &&usize| concerned.iter().all(|one| one.listed.contains(*scope));
            let needs: Scopes = needs.iter().filter(possible).copied().collect();
            if !needs.is_empty() && self.innermost(&path).is_some_and(|one| one.path == *base) {
                let rule = json!({"path": path, "require": {"scopes": names(&needs)}});
                rules.entry(path).or_insert(rule);
            }
        }
        let mut rules: Vec<_> = rules.into_values().collect();
        rules.push(json!({"path": "/", "upstream": {"authorization": "AccessToken"}}));
        json!({
            "origins": ["https://shop.example.com"],
            "providerRef": {"name": "corp"},
            "client": {"id": "shop", "secretRef": {"name": "shop-oidc", "key": "client-secret"}},
            "bearer": {"audiences": ["shop-api"], "ownTokens": "Refuse"},
            "authorities": self.bases.iter().map(authority).collect::<Vec<_>>(),
            "routes": rules,
        })
        .to_string()
    }
}

/// Those who ask, and the cookies that they have by then.
struct Callers {
    users: [User; 2],
    bearer: String,
    cookies: BTreeMap<(usize, usize), String>,
}

impl Callers {
    fn headers(&self, caller: usize) -> Vec<(&'static str, String)> {
        let mine = self.cookies.iter().filter(|((of, _), _)| *of == caller);
        let mut cookies: Vec<&str> = mine.map(|(_, cookies)| cookies.as_str()).collect();
        let mut headers = Vec::new();
        match self.users.get(caller) {
            Some(user) => cookies.push(&user.cookie),
            None => headers.push(("authorization", self.bearer.clone())),
        }
        headers.push(("cookie", cookies.join("; ")));
        headers
    }
}

/// As the endpoint would: it asks for what is listed, and records what comes.
async fn give(world: &World, case: &Case, callers: &mut Callers, given: &Given) {
    let base = &case.bases[given.base];
    let asked: Scopes = given.asked.intersection(&base.listed).copied().collect();
    let now = world.app.app.clock.now();
    let exchanged = Exchanged {
        access_token: Token::new(text("tok", given.said.as_ref().unwrap_or(&asked))),
        expires_at: given.later.as_ref().map(|_| now),
        refresh_token: given.later.as_ref().map(|later| Token::new(text("rt", later))),
        scopes: given.said.as_ref().map(names),
    };
    let of = Of { subject: "u-1", issuer: &world.idp.issuer, auth_time: now };
    let authority = world.authority(&base.path);
    let Ok(elevated) = record_exchanged(exchanged, of, names(&asked), &authority, now) else {
        return;
    };
    let elevated = Session { tokens_issued_at: Timestamp(now.0 - 300), ..elevated };
    match callers.users.get(given.caller) {
        Some(user) if !base.cookies => world.keep(user, &base.path, elevated).await,
        user => {
            let key = user.map_or_else(|| world.bearer_key("u-1"), |user| user.session.key);
            let cookies = world.in_cookies(&key, &base.path, &elevated);
            callers.cookies.insert((given.caller, given.base), cookies);
        }
    }
}

/// The provider refreshes to what the refresh token says.
fn refreshed(seen: &Seen) -> Reply {
    let scopes = seen.one("refresh_token").unwrap().strip_prefix("rt-.").unwrap();
    Reply::json(&json!({
        "access_token": format!("tok-.{scopes}"), "token_type": "Bearer", "expires_in": 300,
        "scope": scopes.replace('.', " "),
    }))
}

/// How many elevated tokens went upstream.
async fn journey(case: &Case) -> Result<usize, TestCaseError> {
    let world = World::of(&case.spec()).await;
    world.idp.on_refresh(Arc::new(|seen| async move { refreshed(&seen) }.boxed()));
    let users = [world.user().await, world.user().await];
    let bearer = world.bearer("endpoint:mediate s0 s1 s2 s3");
    let mut callers = Callers { users, bearer, cookies: BTreeMap::new() };
    let mut sent_upstream = 0;
    for given in &case.given {
        give(&world, case, &mut callers, given).await;
        for (caller, path) in &case.asked {
            let headers = callers.headers(*caller);
            let mut with = SCRIPT.to_vec();
            with.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
            for dialect in DIALECTS {
                let answer = world.ask(dialect, path, &with).await;
                if answer.status != StatusCode::OK {
                    prop_assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
                    prop_assert!(answer.header("authorization").is_none());
                    continue;
                }
                let sent = answer.header("authorization").unwrap();
                let elevated = sent.strip_prefix("Bearer tok-.");
                let Some(base) = case.innermost(path) else {
                    prop_assert!(elevated.is_none() && *caller != BEARER, "{path}: {sent}");
                    continue;
                };
                prop_assert!(elevated.is_some(), "{path}: {sent}");
                sent_upstream += 1;
                for scope in elevated.unwrap().split('.').filter(|scope| !scope.is_empty()) {
                    let place = SCOPES.iter().position(|one| *one == scope).unwrap();
                    let is_added = ["openid", "email"].contains(&scope);
                    prop_assert!(base.listed.contains(&place) || is_added, "{path}: {sent}");
                }
            }
        }
    }
    Ok(sent_upstream)
}

#[test]
fn no_token_goes_upstream_with_a_scope_that_is_not_its_authoritys() {
    let config = ProptestConfig { cases: 64, source_file: Some(file!()), ..Default::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sent = AtomicUsize::new(0);
    let run = TestRunner::new(config).run(&case(), |case| {
        sent.fetch_add(runtime.block_on(journey(&case))?, Ordering::Relaxed);
        Ok(())
    });
    run.unwrap();
    // Random cases: some hundreds on most runs.
    let sent = sent.into_inner();
    assert!(sent > 20, "only {sent} were allowed: nothing is shown");
}
