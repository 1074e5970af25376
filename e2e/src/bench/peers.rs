//! What a user could pick instead: proxies that log in by themselves. Each is logged in for real, by the
//! provider that Vestibule uses, with as many sessions, and is asked the same. It must not hobble them:
//! all that is not needed for the measurement is as it comes.

use std::any::Any;
use std::net::SocketAddr;

use super::contender::{Contender, Running};
use super::lab::{as_script, log_in, users};
use super::ours::API;
use super::results::{Group, Results};
use super::table::{markdown, ratio};
use crate::browser::Browser;
use crate::load::Ask;

mod apache;
mod envoy;

/// All of them.
pub const CONTENDERS: &[Contender] = &[
    Contender {
        name: "envoy",
        title: "Envoy, answering by itself",
        note: "one worker; logs nobody in",
        group: Group::Peer,
        without: None,
        start: envoy::plain,
    },
    Contender {
        name: "envoy-oauth2",
        title: "Envoy with its oauth2 filter",
        note: "the session is in cookies, within the proxy",
        group: Group::Peer,
        without: Some("envoy"),
        start: envoy::oauth2,
    },
    Contender {
        name: "envoy-ours",
        title: "Envoy, asking Vestibule",
        note: "ext_authz over HTTP, as nginx asks: what the hop costs",
        group: Group::Gateway,
        without: Some("envoy"),
        start: envoy::ours,
    },
    Contender {
        name: "apache",
        title: "Apache with an empty file",
        note: "event MPM; logs nobody in",
        group: Group::Peer,
        without: None,
        start: apache::plain,
    },
    Contender {
        name: "apache-openidc",
        title: "Apache with an empty file and mod_auth_openidc",
        note: "sessions in shared memory",
        group: Group::Peer,
        without: Some("apache"),
        start: apache::openidc,
    },
];

/// Whole requests beside each other: who is ahead, by processor time.
const COMPARED: &[(&str, &str, &str)] = &[
    (
        "nginx-file-ours",
        "apache-openidc",
        "the same empty file, the same provider: must be below 1",
    ),
    (
        "envoy-ours",
        "envoy-oauth2",
        "the price of the hop to Vestibule: Envoy's filter is within Envoy",
    ),
];

/// A table of processor time per allowed request, ours beside what a user could pick instead; empty where
/// they did not run.
#[must_use]
pub fn compared(results: &Results) -> String {
    let rows = COMPARED.iter().filter_map(|(ours, theirs, what)| {
        let spread = results.ratio(ours, theirs, |sample| sample.cpu)?;
        let times = ratio(&spread);
        Some(vec![format!("`{ours}`"), format!("`{theirs}`"), times, (*what).to_owned()])
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    markdown(&["gateway and Vestibule", "instead", "CPU per allowed request", ""], &rows)
}

/// Logs all users in at `origin`, which is served at `address`, and asks with their cookies what an app's
/// page asks of its API.
fn asks_of_the_logged_in(origin: &str, address: SocketAddr) -> Vec<Ask> {
    let cookies = |user: String| {
        let browser = log_in(origin, address, API, &user);
        sent(&browser, "localhost")
    };
    users().map(|user| ask(origin).header("Cookie", &cookies(user))).collect()
}

/// What an app's page asks of its API.
fn ask(origin: &str) -> Ask {
    let host = origin.split("://").nth(1).unwrap_or_default();
    as_script(Ask::get(API, host), origin)
}

/// The cookies that a browser sends to every path of a host.
fn sent(browser: &Browser, host: &str) -> String {
    let cookies = browser.cookies(host);
    let everywhere = cookies.iter().filter(|cookie| cookie.path == "/");
    let pairs: Vec<String> =
        everywhere.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
    assert!(!pairs.is_empty(), "a login leaves cookies");
    pairs.join("; ")
}

/// A server that answers 200.
fn running(addr: SocketAddr, asks: Vec<Ask>, pids: Vec<u32>, kept: impl Any) -> Running {
    Running {
        addr,
        asks,
        expected: 200,
        pids,
        beside: Vec::new(),
        versions: Vec::new(),
        kept: Box::new(kept),
    }
}
