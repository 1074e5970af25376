//! The stream of one replica: connect, read lines, and again when it breaks.
//!
//! The token goes to the pod's own address only, and no proxy or redirect is followed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use vestibule_policy::model::PolicyId;

use super::Replicas;
use super::line::Lines;
use crate::random;

const CONNECTED_WITHIN: Duration = Duration::from_secs(3);
/// A replica says something every 5 s.
const SILENT_AFTER: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where a replica is, and what it asks for.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) pod: String,
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    pub(super) token: Arc<SecretString>,
}

/// Follows for ever.
pub(super) async fn follow(
    endpoint: Endpoint,
    replicas: Arc<Replicas>,
    wake: impl Fn(&[PolicyId]),
) {
    let mut pause = FIRST_PAUSE;
    let mut told = String::new();
    loop {
        let mut synced = false;
        let ended = once(&endpoint, &replicas, &wake, &mut synced).await;
        replicas.lost(&endpoint.pod);
        if synced {
            pause = FIRST_PAUSE;
        }
        if told != ended {
            tracing::info!(pod = endpoint.pod, reason = ended, "the stream of a replica ended");
            told = ended;
        }
        sleep(pause.mul_f64(0.75 + random::fraction() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One connection; gives why it ended.
async fn once(
    endpoint: &Endpoint,
    replicas: &Replicas,
    wake: &impl Fn(&[PolicyId]),
    synced: &mut bool,
) -> String {
    // Ends with this function, and the connection with it.
    let mut connections = JoinSet::new();
    let mut body = match timeout(CONNECTED_WITHIN, open(endpoint, &mut connections)).await {
        Ok(Ok(body)) => body,
        Ok(Err(reason)) => return reason,
        Err(_) => return format!("no answer within {CONNECTED_WITHIN:?}"),
    };
    replicas.began(&endpoint.pod);
    let mut lines = Lines::default();
    loop {
        let frame = match timeout(SILENT_AFTER, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return format!("broken: {error}"),
            Ok(None) => return "closed by the replica".to_owned(),
            Err(_) => return format!("silent for {SILENT_AFTER:?}"),
        };
        let Ok(bytes) = frame.into_data() else { continue };
        let lines = match lines.push(&bytes) {
            Ok(lines) => lines,
            Err(reason) => return reason,
        };
        for line in lines {
            *synced |= matches!(line, super::Line::Synced);
            wake(&replicas.take(&endpoint.pod, line));
        }
    }
}

async fn open(endpoint: &Endpoint, connections: &mut JoinSet<()>) -> Result<Incoming, String> {
    let addr = SocketAddr::new(endpoint.ip, endpoint.port);
    let socket = TcpStream::connect(addr).await.map_err(|error| format!("{addr}: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(|error| error.to_string())?;
    connections.spawn(async move {
        // How it ends shows in the body.
        let _ = connection.await;
    });
    let request = Request::get("/policies")
        .header(header::HOST, addr.to_string())
        .header(header::AUTHORIZATION, format!("Bearer {}", endpoint.token.expose_secret()))
        .body(Empty::<Bytes>::new())
        .map_err(|_| "the token is no header value".to_owned())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    match response.status() {
        StatusCode::OK => Ok(response.into_body()),
        StatusCode::UNAUTHORIZED => {
            Err("the admin token was refused: restart authsvc if the keys Secret is new".to_owned())
        }
        status => Err(format!("answered {status}")),
    }
}
