//! One decision point: how it is asked, and what of its answers is used again.
//!
//! It must not ask in batches without bound, follow it anywhere, or let one who leaves take the answer
//! away from others who wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tokio::time::Instant;
use vestibule_policy::model::CompiledDecisionPoint;

use super::DecisionError;
use super::authzen::{self, AuthZen};
use super::cache::{Cache, Flight, Known, Landed};
use super::connections::Connections;
use super::openfga::{self, OpenFga};
use super::questions::Asked;
use crate::http_client::HttpClient;
use crate::overload::waiting::Room;

/// The most questions of one request: what OpenFGA takes unless set otherwise.
const BATCH: usize = 50;
/// Requests to one decision point at a time: one that hangs must not hold more.
const REQUESTS: usize = 512;

/// What a decision point speaks.
pub(super) enum Protocol {
    OpenFga(OpenFga),
    AuthZen(AuthZen),
}

/// One decision point.
pub(super) struct Point {
    server: Arc<Server>,
    /// `None`: every question is asked anew.
    cache: Option<Arc<Mutex<Cache>>>,
}

struct Server {
    protocol: Protocol,
    http: Arc<HttpClient>,
    authorization: Option<HeaderValue>,
    /// Requests to it that are under way.
    asking: Room,
}

impl Point {
    /// One that is reached so; the error names the field.
    pub(super) fn new(
        protocol: Protocol,
        config: &CompiledDecisionPoint,
        cache_for: Duration,
        connections: &Connections,
    ) -> Result<Self, String> {
        let http = connections.to(config)?;
        let authorization = match &config.token {
            Some(token) => Some(bearer(token.expose_secret())?),
            None => None,
        };
        let asking = Room::new(REQUESTS);
        let cache = (!cache_for.is_zero()).then(|| Arc::new(Mutex::new(Cache::new(cache_for))));
        Ok(Self { server: Arc::new(Server { protocol, http, authorization, asking }), cache })
    }

    /// The answers, in the order of the questions.
    pub(super) async fn ask(&self, asked: &[Arc<Asked>]) -> Result<Vec<bool>, DecisionError> {
        let answers = match &self.cache {
            Some(cache) => self.ask_cached(cache, asked).await?,
            None => self.server.fly(&distinct(asked.iter())).await?,
        };
        let all: Option<Vec<bool>> = asked.iter().map(|one| answers.get(one).copied()).collect();
        all.ok_or_else(|| self.server.unavailable("a question is not answered"))
    }

    async fn ask_cached(
        &self,
        cache: &Arc<Mutex<Cache>>,
        asked: &[Arc<Asked>],
    ) -> Result<HashMap<Arc<Asked>, bool>, DecisionError> {
        let (mut answers, mut flights) = (HashMap::new(), Vec::new());
        {
            let now = Instant::now();
            let mut cache = lock(cache);
            let mut unknown = Vec::new();
            for one in asked {
                match cache.look(one, now) {
                    Known::Answer(answer) => {
                        answers.insert(Arc::clone(one), answer);
                    }
                    Known::Asking(flight) => flights.push(flight),
                    Known::Nothing => unknown.push(one),
                }
            }
            let unknown = distinct(unknown);
            if !unknown.is_empty() {
                flights.push(self.take_off(&mut cache, unknown, now));
            }
        }
        for flight in flights {
            let lost = || self.server.unavailable("the request for it broke off");
            let landed = flight.wait().await.ok_or_else(lost)??;
            answers.extend(landed.iter().map(|(one, answer)| (Arc::clone(one), *answer)));
        }
        Ok(answers)
    }

    /// Asks in a task of its own: who waits for it may leave.
    fn take_off(&self, cache: &mut Cache, asked: Vec<Arc<Asked>>, now: Instant) -> Flight {
        let (sender, landed) = watch::channel(None);
        let flight = Flight { begun: now, landed };
        cache.depart(&asked, &flight);
        let (server, this) = (Arc::clone(&self.server), flight.clone());
        let cache = self.cache.clone();
        tokio::spawn(async move {
            let landed: Landed = server.fly(&asked).await.map(Arc::new);
            if let Some(cache) = cache {
                lock(&cache).land(&asked, &this, &landed, Instant::now());
            }
            sender.send_replace(Some(landed));
        });
        flight
    }
}

impl Server {
    /// Asks all, in as many requests as it takes, one after the other.
    async fn fly(&self, asked: &[Arc<Asked>]) -> Result<HashMap<Arc<Asked>, bool>, DecisionError> {
        let mut all = HashMap::with_capacity(asked.len());
        for batch in asked.chunks(BATCH) {
            let answers = self.request(batch).await.map_err(|reason| self.unavailable(&reason))?;
            all.extend(batch.iter().cloned().zip(answers));
        }
        Ok(all)
    }

    async fn request(&self, asked: &[Arc<Asked>]) -> Result<Vec<bool>, String> {
        let (url, body) = match &self.protocol {
            Protocol::OpenFga(protocol) => (protocol.url(), protocol.body(asked)),
            Protocol::AuthZen(protocol) => (protocol.url(asked.len()), protocol.body(asked)),
        };
        let body = body.map_err(|_| "the question cannot be written")?;
        let mut request = Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(body).map_err(|_| "its URL is not usable")?;
        let _place = self.asking.enter().ok_or("too many requests wait for it")?;
        let response = self.http.call(request).await.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            return Err(match self.code_of(response.body()) {
                Some(code) => format!("status {status}, {code}"),
                None => format!("status {status}"),
            });
        }
        match &self.protocol {
            Protocol::OpenFga(_) => openfga::answers(response.body(), asked.len()),
            Protocol::AuthZen(_) => authzen::answers(response.body(), asked.len()),
        }
    }

    fn code_of(&self, body: &[u8]) -> Option<&'static str> {
        match &self.protocol {
            Protocol::OpenFga(_) => openfga::error_code(body),
            Protocol::AuthZen(_) => None,
        }
    }

    fn unavailable(&self, reason: &str) -> DecisionError {
        let point = match &self.protocol {
            Protocol::OpenFga(_) => OpenFga::SOURCE,
            Protocol::AuthZen(_) => AuthZen::SOURCE,
        };
        DecisionError::Unavailable { point, reason: reason.to_owned() }
    }
}

/// Each once, in their order.
fn distinct<'a>(asked: impl IntoIterator<Item = &'a Arc<Asked>>) -> Vec<Arc<Asked>> {
    let mut seen = std::collections::HashSet::new();
    asked.into_iter().filter(|one| seen.insert(*one)).cloned().collect()
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = usable.then(|| HeaderValue::try_from(format!("Bearer {token}")).ok()).flatten();
    let mut value =
        value.ok_or("tokenRef: the token cannot be sent: it has other than visible ASCII")?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a cache holds is whole between two calls: a panic elsewhere leaves nothing torn.
fn lock(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}
