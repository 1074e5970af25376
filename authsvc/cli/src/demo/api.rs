//! The demo's API: it verifies the access token as any API would, its scopes too where an area has some,
//! and answers with what reached it, so that the app can show it. It never returns a usable token.

mod areas;

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::provider::Provider;

/// The longest body of an order, in bytes.
const MAX_BODY: usize = 4096;
/// Most orders that are kept; the oldest go first.
const MAX_ORDERS: usize = 20;

struct Api {
    provider: Arc<Provider>,
    orders: Mutex<Vec<Order>>,
    areas: areas::Areas,
}

#[derive(Clone)]
struct Order {
    number: u64,
    sub: String,
    item: String,
}

/// The API below `/api`.
pub fn router(provider: Arc<Provider>) -> Router {
    let (orders, areas) = (Mutex::default(), areas::Areas::default());
    Router::new().fallback(handle).with_state(Arc::new(Api { provider, orders, areas }))
}

async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let claims = bearer(&parts.headers).and_then(|token| api.provider.verify_access_token(token));
    let received = received(&parts.method, parts.uri.path(), &parts.headers, claims.as_ref());
    let Some(claims) = claims else {
        let body = json!({"message": "The API wants a valid access token.", "received": received});
        let challenge = [(WWW_AUTHENTICATE, "Bearer"), (CACHE_CONTROL, "no-store")];
        return (StatusCode::UNAUTHORIZED, challenge, Json(body)).into_response();
    };
    if let Some(scope) = areas::missing_scope(parts.uri.path(), &claims) {
        let message = format!("The API wants a token with the scope {scope}.");
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        let body = json!({"message": message, "received": received});
        let challenge = [(WWW_AUTHENTICATE, &*challenge), (CACHE_CONTROL, "no-store")];
        return (StatusCode::FORBIDDEN, challenge, Json(body)).into_response();
    }
    let sub = claims["sub"].as_str().unwrap_or_default();
    if let Some((message, data)) = api.areas.answer(&parts.method, parts.uri.path()) {
        return answer(StatusCode::OK, &message, &data, &received);
    }
    let (status, message, data) = match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/api/hello") => {
            (StatusCode::OK, format!("Hello {}.", header(&parts.headers, "x-user")), Value::Null)
        }
        (&Method::GET, "/api/orders") => {
            (StatusCode::OK, "Your orders.".to_owned(), api.orders_of(sub))
        }
        (&Method::POST, "/api/orders") => match api.order(sub, body).await {
            Some(number) => {
                (StatusCode::CREATED, format!("Order {number} is placed."), api.orders_of(sub))
            }
            None => {
                (StatusCode::BAD_REQUEST, "An order is JSON with an item.".to_owned(), Value::Null)
            }
        },
        (&Method::GET, "/api/admin") => {
            let count = api.orders.lock().unwrap_or_else(PoisonError::into_inner).len();
            (StatusCode::OK, "Welcome, staff.".to_owned(), json!({"orders": count}))
        }
        (&Method::GET, "/api/payments") => (
            StatusCode::OK,
            "Payment released after a second step.".to_owned(),
            json!({"amount": "49.00 EUR", "acr": claims["acr"]}),
        ),
        _ => (StatusCode::NOT_FOUND, "No such thing.".to_owned(), Value::Null),
    };
    answer(status, &message, &data, &received)
}

fn answer(status: StatusCode, message: &str, data: &Value, received: &Value) -> Response {
    let body = json!({"message": message, "data": data, "received": received});
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

impl Api {
    fn orders_of(&self, sub: &str) -> Value {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let own = orders.iter().filter(|order| order.sub == sub);
        own.map(|order| json!({"number": order.number, "item": order.item})).collect()
    }

    /// Takes an order; its number, or `None` where the body is no order.
    async fn order(&self, sub: &str, body: Body) -> Option<u64> {
        let body = to_bytes(body, MAX_BODY).await.ok()?;
        let body: Value = serde_json::from_slice(&body).ok()?;
        let item = body["item"].as_str()?.to_owned();
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let number = orders.last().map_or(1001, |order| order.number + 1);
        if orders.len() >= MAX_ORDERS {
            orders.remove(0);
        }
        orders.push(Order { number, sub: sub.to_owned(), item });
        Some(number)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What reached the API: the token as its claims, the rest as it is.
fn received(method: &Method, path: &str, headers: &HeaderMap, claims: Option<&Value>) -> Value {
    let headers: Vec<Value> = headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = if name == AUTHORIZATION { masked(&value) } else { value.into_owned() };
            json!([name.as_str(), value])
        })
        .collect();
    json!({
        "method": method.as_str(),
        "path": path,
        "headers": headers,
        "accessToken": claims,
        "scopes": claims.map(areas::scopes_of).unwrap_or_default(),
    })
}

/// A JWT's header and claims are shown decoded beside it; without its signature it opens nothing.
fn masked(authorization: &str) -> String {
    match authorization.split_once(' ') {
        Some((scheme, token)) if token.split('.').count() == 3 => {
            let start: String = token.chars().take(8).collect();
            format!("{scheme} {start}….<claims below>.<signature hidden>")
        }
        Some((scheme, _)) => format!("{scheme} <hidden>"),
        None if authorization.is_empty() => String::new(),
        None => "<hidden>".to_owned(),
    }
}
