//! One way to one authsvc: a URL, or a stream that a port-forward gives. Bounded in time and size; it
//! follows no redirect, since the token goes nowhere else.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;

use super::SessionsError;

/// authsvc answers within 30 s, whatever happens.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);
/// The greatest answer: a page of sessions has a hundred KiB.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// An answer, whole.
pub struct Answer {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

/// A way to authsvc, and the token to show there.
pub struct Connection {
    way: Way,
    authorization: HeaderValue,
}

enum Way {
    Url(Url, reqwest::Client),
    Stream(SendRequest<Full<Bytes>>),
}

impl Connection {
    /// To a URL.
    pub fn to_url(url: Url, token: &SecretString) -> Result<Self, SessionsError> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // The token is for authsvc, and nothing in between.
            .no_proxy()
            .timeout(ANSWER_WITHIN)
            .build()
            .map_err(|error| SessionsError::Reach(format!("TLS cannot be set up: {error}")))?;
        Ok(Self { way: Way::Url(url, client), authorization: bearer(token)? })
    }

    /// Over a stream that is open already.
    pub async fn over<S>(stream: S, token: &SecretString) -> Result<Self, SessionsError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let authorization = bearer(token)?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
        // Ends with the stream; what went wrong is told by the request that it went wrong for.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { way: Way::Stream(sender), authorization })
    }

    /// Asks once.
    pub async fn ask(
        &mut self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Answer, SessionsError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| SessionsError::Usage(error.to_string()))?;
        match &mut self.way {
            Way::Url(url, client) => over_url(url, client, request).await,
            Way::Stream(sender) => {
                let asked = tokio::time::timeout(ANSWER_WITHIN, over_stream(sender, request));
                asked.await.map_err(|_| {
                    SessionsError::Reach("authsvc did not answer in time".to_owned())
                })?
            }
        }
    }
}

fn bearer(token: &SecretString) -> Result<HeaderValue, SessionsError> {
    let text = format!("Bearer {}", token.expose_secret());
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        SessionsError::Usage("the token has characters that no token has".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

async fn over_url(
    url: &Url,
    client: &reqwest::Client,
    request: Request<String>,
) -> Result<Answer, SessionsError> {
    let unreachable = |error: reqwest::Error| {
        // Without the URL, which the user knows, and with the innermost reason.
        let error = error.without_url();
        let mut reason: &dyn std::error::Error = &error;
        while let Some(inner) = reason.source() {
            reason = inner;
        }
        SessionsError::Reach(format!("--server cannot be reached: {reason}"))
    };
    let (parts, body) = request.into_parts();
    let mut target = url.clone();
    let folder = target.path().trim_end_matches('/').to_owned();
    target.set_path(&format!("{folder}{}", parts.uri.path()));
    target.set_query(parts.uri.query());
    let mut request = reqwest::Request::new(parts.method, target);
    *request.headers_mut() = parts.headers;
    *request.body_mut() = Some(body.into());
    let mut answer = client.execute(request).await.map_err(unreachable)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BODY {
            return Err(SessionsError::Reach("the answer is too long".to_owned()));
        }
    }
    Ok(Answer { status: answer.status(), body })
}

async fn over_stream(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<String>,
) -> Result<Answer, SessionsError> {
    let mut request = request.map(|body| Full::new(Bytes::from(body)));
    request.headers_mut().insert(HOST, HeaderValue::from_static("vestibule-authsvc"));
    sender.ready().await.map_err(|error| lost(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| lost(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
    let body =
        body.map_err(|error| SessionsError::Reach(format!("the answer broke off: {error}")))?;
    Ok(Answer { status, body: body.to_bytes().to_vec() })
}

fn lost(error: &hyper::Error) -> SessionsError {
    SessionsError::Reach(format!("the connection to authsvc was lost: {error}"))
}
