//! What happens to one service, second by second.
//!
//! Everything that it makes it also ends, or leaves to a timeout: after some minutes there is as much of
//! everything as there ever will be. Whatever could be remembered by a name has a new one each time: users,
//! policies, providers, clients' addresses, paths.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::place::{ABSOLUTE, IDLE, Service, policy, shop};
use crate::asker::Asker;
use crate::browser::Browser;
use crate::http::Request;

/// A session that is to be logged out lives so long.
const LOGGED_OUT_AFTER: Duration = Duration::from_secs(20);
/// One that is to time out is used so long.
const USED_FOR: Duration = Duration::from_secs(5);
/// How long after its time a session may still be let through: the timeouts count whole seconds.
const SLACK: Duration = Duration::from_secs(10);
/// So many policies of a short life are there at once.
const PASSING: usize = 4;

const ENDS: [End; 4] = [End::LogOut, End::Forgotten, End::Idle, End::Absolute];

/// What happens to one service.
#[derive(Debug)]
pub struct Churn<'a> {
    service: &'a Service,
    issuer: String,
    gateway: Asker,
    sessions: Vec<Held>,
    passing: VecDeque<String>,
    second: u64,
    /// What happened so far.
    pub done: Done,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Logins that ended in a session.
    pub logins: u64,
    /// Logins that were begun and given up.
    pub abandoned: u64,
    /// Sessions that were logged out.
    pub logouts: u64,
    /// Sessions that timed out, idle or at last.
    pub timeouts: u64,
    /// Checks, of any answer.
    pub checks: u64,
    /// Edits, additions and deletions of policies.
    pub edits: u64,
    /// Answers that were not what they should be, and logins that failed.
    pub wrong: u64,
}

#[derive(Debug)]
struct Held {
    cookie: String,
    begun: Instant,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    LogOut,
    Forgotten,
    Idle,
    Absolute,
}

impl<'a> Churn<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new(service: &'a Service, issuer: &str) -> Self {
        Self {
            service,
            issuer: issuer.to_owned(),
            gateway: Asker::new(service.authsvc.check),
            sessions: Vec::new(),
            passing: VecDeque::new(),
            second: 0,
            done: Done::default(),
        }
    }

    /// What happens in the next second; how long it takes depends on the machine.
    pub fn next(&mut self) {
        self.second += 1;
        let login = catch_unwind(AssertUnwindSafe(|| self.log_in()));
        self.note(login.is_ok());
        self.give_up_a_login();
        self.use_sessions();
        self.ask_strangely();
        match self.second % 4 {
            0 => self.edit(),
            2 => self.replace_a_policy(),
            _ => {}
        }
    }

    fn note(&mut self, right: bool) {
        self.done.wrong += u64::from(!right);
    }

    /// A browser that the service has not seen, behind a gateway.
    fn browser(&self) -> Browser {
        let mut browser = Browser::default();
        browser.resolve(&self.service.origin, self.service.authsvc.browser);
        let [_, _, _, _, _, a, b, c] = self.second.to_be_bytes();
        browser.extra.push(("X-Forwarded-For".to_owned(), format!("10.{a}.{b}.{c}")));
        browser
    }

    fn log_in(&mut self) {
        let mut browser = self.browser();
        let form = browser.open(&format!("{}/bff/login?rd=%2F", self.service.origin));
        let user = format!("user-{}", self.second);
        browser.submit(&form, &[("login", &user), ("password", "any")]);
        let cookie = browser.cookie("__Host-bff").expect("a session").to_owned();
        let end = ENDS[(self.second % 4) as usize];
        self.sessions.push(Held { cookie, begun: Instant::now(), end });
        self.done.logins += 1;
    }

    fn give_up_a_login(&mut self) {
        let target = format!("/bff/login?rd=%2Fpage%2F{}", self.second);
        let page = self.browser().navigate(&format!("{}{target}", self.service.origin));
        self.note(page.response.status == 303);
        self.done.abandoned += 1;
    }

    /// Each session is used every other second, and ends as it is to.
    fn use_sessions(&mut self) {
        let sessions = std::mem::take(&mut self.sessions);
        for (number, held) in (self.second..).zip(sessions) {
            let age = held.begun.elapsed();
            match held.end {
                End::LogOut if age > LOGGED_OUT_AFTER => self.log_out(&held),
                // Only the service itself can notice that this one is over.
                End::Forgotten if age > USED_FOR => self.done.timeouts += 1,
                End::Idle if age > USED_FOR + Duration::from_secs(IDLE) + SLACK => {
                    let status = self.ask("/page", &held.cookie);
                    self.note(status == 401);
                    self.done.timeouts += 1;
                }
                End::Idle if age > USED_FOR => self.sessions.push(held),
                _ if number.is_multiple_of(2) => self.use_one(held, age),
                _ => self.sessions.push(held),
            }
        }
    }

    fn use_one(&mut self, held: Held, age: Duration) {
        match self.ask(&format!("/page/{}", self.second), &held.cookie) {
            200 if age < Duration::from_secs(ABSOLUTE) + SLACK => self.sessions.push(held),
            401 if held.end == End::Absolute && age + SLACK > Duration::from_secs(ABSOLUTE) => {
                self.done.timeouts += 1;
            }
            _ => self.note(false),
        }
    }

    fn log_out(&mut self, held: &Held) {
        let answer = Request::new("POST", "/bff/logout", self.service.host())
            .header("Cookie", format!("__Host-bff={}", held.cookie))
            .header("Origin", &self.service.origin)
            .header("Sec-Fetch-Site", "same-origin")
            .header("X-Bff", "1")
            .try_send(self.service.authsvc.browser);
        self.note(answer.is_some_and(|answer| answer.status < 400));
        let status = self.ask("/page", &held.cookie);
        self.note(status == 401);
        self.done.logouts += 1;
    }

    /// Cookies, policies and hosts that nobody knows.
    fn ask_strangely(&mut self) {
        let status = self.ask("/page", &format!("{:0>43}", self.second));
        self.note(status == 401);
        let unknown = format!("/check/traefik/default/nobody-{}", self.second);
        let status = self.send(&check(&unknown, self.service.host(), "/"));
        self.note(status >= 400);
        let host = format!("host-{}.example.com", self.second);
        let status = self.send(&check("/check/traefik/default/shop", &host, "/"));
        self.note(status >= 400);
    }

    fn edit(&mut self) {
        let text = shop(&self.service.origin, &self.issuer, self.second);
        self.service.authsvc.write_policy("shop.yaml", &text);
        self.done.edits += 1;
    }

    /// A new policy with a provider of its own comes, and the oldest of its kind goes.
    fn replace_a_policy(&mut self) {
        let name = format!("passing-{}", self.second);
        let origin = format!("https://{name}.example.com");
        let wait = 1 + self.second % 50;
        let text = policy(&name, &origin, self.second)
            .replace("{name: corp}", &format!("{{name: {name}}}"));
        let provider = format!(
            "apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {{name: {name}}}
spec: {{issuer: \"{}\", requestTimeout: {wait}s}}
---
",
            self.issuer
        );
        self.service.authsvc.write_policy(&format!("{name}.yaml"), &(provider + &text));
        self.passing.push_back(name);
        if self.passing.len() > PASSING {
            let oldest = self.passing.pop_front().unwrap_or_default();
            let target = format!("/check/traefik/default/{oldest}");
            let host = format!("{oldest}.example.com");
            let status = self.send(&check(&target, &host, "/public"));
            self.note(status == 200);
            let file = self.service.authsvc.policies.join(format!("{oldest}.yaml"));
            let removed = std::fs::remove_file(file);
            self.note(removed.is_ok());
        }
        self.done.edits += 2;
    }

    fn ask(&mut self, path: &str, cookie: &str) -> u16 {
        let ask = check("/check/traefik/default/shop", self.service.host(), path);
        self.send(&ask.header("Cookie", format!("__Host-bff={cookie}")))
    }

    fn send(&mut self, ask: &Request) -> u16 {
        self.done.checks += 1;
        self.gateway.send(ask).map_or(0, |answer| answer.status)
    }
}

/// A check, as Traefik asks for a script of the app.
fn check(target: &str, host: &str, path: &str) -> Request {
    Request::get(target, "check")
        .header("X-Forwarded-Method", "GET")
        .header("X-Forwarded-Host", host)
        .header("X-Forwarded-Uri", path)
        .header("X-Forwarded-Proto", "http")
        .header("Sec-Fetch-Site", "same-origin")
        .header("Sec-Fetch-Mode", "cors")
        .header("Sec-Fetch-Dest", "empty")
}
