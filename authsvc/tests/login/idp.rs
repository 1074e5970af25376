//! A provider on loopback that answers what a test tells it to, and remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::BoxFuture;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::jose::{self, Signer, jwt};

/// The access token that every code gives unless told otherwise.
pub const ACCESS_TOKEN: &str = "access-token-of-alice";

/// One request that the provider got.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub authorization: Option<String>,
    pub form: HashMap<String, Vec<String>>,
}

impl Seen {
    pub fn one(&self, name: &str) -> Option<&str> {
        match self.form.get(name).map(Vec::as_slice) {
            Some([value]) => Some(value),
            Some(_) => panic!("{name} was sent more than once"),
            None => None,
        }
    }
}

/// What a path answers.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub kind: &'static str,
    pub body: String,
}

impl Reply {
    pub fn json(value: &Value) -> Self {
        Self { status: StatusCode::OK, kind: "application/json", body: value.to_string() }
    }

    pub fn status(status: u16, body: &Value) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap(), ..Self::json(body) }
    }
}

/// What the token endpoint answers to a refresh token.
type OnRefresh = Arc<dyn Fn(Seen) -> BoxFuture<'static, Reply> + Send + Sync>;

#[derive(Default)]
struct Inner {
    on_refresh: Mutex<Option<OnRefresh>>,
    replies: Mutex<HashMap<String, Reply>>,
    codes: Mutex<HashMap<String, Reply>>,
    seen: Mutex<Vec<Seen>>,
}

/// The provider.
#[derive(Clone)]
pub struct FakeIdp {
    pub issuer: String,
    inner: Arc<Inner>,
}

impl FakeIdp {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let idp = Self { issuer, inner: Arc::default() };
        idp.reply("/jwks", Reply::json(&jose::jwks()));
        idp.reply(
            "/par",
            Reply::status(201, &json!({"request_uri": "urn:par:1", "expires_in": 60})),
        );
        idp.set_metadata(|_| {});
        let router = Router::new().fallback(answer).with_state(Arc::clone(&idp.inner));
        tokio::spawn(async move { axum::serve(listener, router).await });
        idp
    }

    /// Sets what a path answers.
    pub fn reply(&self, path: &str, reply: Reply) {
        self.inner.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// Sets the discovery document: the usual one, altered.
    pub fn set_metadata(&self, alter: impl FnOnce(&mut Value)) {
        let issuer = &self.issuer;
        let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA", "HS256"],
        });
        alter(&mut metadata);
        self.reply("/.well-known/openid-configuration", Reply::json(&metadata));
    }

    /// Sets what the token endpoint answers for a code.
    pub fn code(&self, code: &str, reply: Reply) {
        self.inner.codes.lock().unwrap().insert(code.to_owned(), reply);
    }

    /// Lets a code give this ID token.
    pub fn grant(&self, code: &str, id_token: &str) {
        let response = json!({
            "access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300,
            "id_token": id_token,
        });
        self.code(code, Reply::json(&response));
    }

    /// The claims of a good ID token.
    pub fn claims(&self, nonce: &str, now: u64) -> Value {
        json!({
            "iss": self.issuer, "sub": "alice", "aud": "shop", "nonce": nonce,
            "iat": now, "exp": now + 300, "email": "alice@example.com", "sid": "sid-1",
        })
    }

    /// A good ID token, its claims altered.
    pub fn id_token(&self, nonce: &str, now: u64, alter: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims(nonce, now);
        alter(&mut claims);
        jwt(&json!({"alg": "RS256", "kid": "rsa1", "typ": "JWT"}), &claims, &Signer::Rsa)
    }

    /// Sets what the token endpoint answers to refresh tokens, and when.
    pub fn on_refresh(&self, answer: OnRefresh) {
        *self.inner.on_refresh.lock().unwrap() = Some(answer);
    }

    /// What was asked of a path.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        let seen = self.inner.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let authorization =
        request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let mut form: HashMap<String, Vec<String>> = HashMap::new();
    for (name, value) in url::form_urlencoded::parse(&body) {
        form.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    let code = form.get("code").and_then(|codes| codes.first()).cloned();
    let refreshes = form.get("grant_type").is_some_and(|kind| *kind == ["refresh_token"]);
    let seen = Seen { path: path.clone(), authorization, form };
    inner.seen.lock().unwrap().push(seen.clone());
    let on_refresh = inner.on_refresh.lock().unwrap().clone();
    if let Some(on_refresh) = on_refresh.filter(|_| refreshes && path == "/token") {
        let reply = on_refresh(seen).await;
        return (reply.status, [(CONTENT_TYPE, reply.kind)], reply.body).into_response();
    }
    let known = match code {
        Some(code) if path == "/token" => inner.codes.lock().unwrap().get(&code).cloned(),
        _ => inner.replies.lock().unwrap().get(&path).cloned(),
    };
    let reply = known.unwrap_or_else(|| Reply::status(400, &json!({"error": "invalid_grant"})));
    if reply.status.is_redirection() {
        return (reply.status, [(LOCATION, reply.body)]).into_response();
    }
    (reply.status, [(CONTENT_TYPE, reply.kind)], reply.body).into_response()
}
