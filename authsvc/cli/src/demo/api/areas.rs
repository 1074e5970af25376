//! The areas of the API that have scopes of their own: production and the warehouse.
//!
//! They check the token's scopes themselves: a gateway in front is no reason to take any token.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use serde_json::{Value, json};

/// What is made here.
const ITEMS: [&str; 3] = ["Espresso beans, 1 kg", "Filter coffee, 500 g", "Cold brew, 6 bottles"];
/// The number before the first order's.
const BEFORE_FIRST: u64 = 7000;

/// The state of the areas.
#[derive(Debug, Default)]
pub struct Areas {
    released: AtomicU64,
}

impl Areas {
    /// The message and the data of an answer; `None`: not one of the areas' addresses.
    pub fn answer(&self, method: &Method, path: &str) -> Option<(String, Value)> {
        match (method, path) {
            (&Method::GET, "/api/production/orders") => {
                Some(("These orders wait.".to_owned(), self.waiting()))
            }
            (&Method::GET, "/api/production/plan") => {
                Some(("The plan of this week.".to_owned(), json!({"shifts": 2, "roasters": 3})))
            }
            (&Method::POST, "/api/production/release") => {
                let number = BEFORE_FIRST + 1 + self.released.fetch_add(1, Ordering::Relaxed);
                Some((format!("Order {number} is released."), self.waiting()))
            }
            (&Method::GET, "/api/warehouse/stock") => {
                let stock = ITEMS.map(|item| json!({"item": item, "pieces": 12 * item.len()}));
                Some(("The stock.".to_owned(), json!(stock)))
            }
            _ => None,
        }
    }

    /// There is always more to do.
    fn waiting(&self) -> Value {
        let first = BEFORE_FIRST + 1 + self.released.load(Ordering::Relaxed);
        let order = |(number, item)| json!({"number": number, "item": item});
        (first..).zip(ITEMS).map(order).collect()
    }
}

/// The scope that an address wants and the token does not have.
pub fn missing_scope(path: &str, claims: &Value) -> Option<&'static str> {
    let wanted = match path {
        "/api/production/release" => "orders:release",
        _ if path.starts_with("/api/production/") => "orders:read",
        _ if path.starts_with("/api/warehouse/") => "stock:read",
        _ => return None,
    };
    (!scopes_of(claims).contains(&wanted)).then_some(wanted)
}

/// The scopes of a token (RFC 9068, section 2.2.3).
pub fn scopes_of(claims: &Value) -> Vec<&str> {
    claims["scope"].as_str().unwrap_or_default().split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_area_wants_its_own_scope() {
        let with = |scope| json!({"scope": scope});
        for (path, scope) in [
            ("/api/production/orders", "orders:read"),
            ("/api/production/plan", "orders:read"),
            ("/api/production/release", "orders:release"),
            ("/api/warehouse/stock", "stock:read"),
        ] {
            assert_eq!(missing_scope(path, &with(format!("openid {scope}"))), None, "{path}");
            let others = "openid orders stock:read:all orders:read-all";
            assert_eq!(missing_scope(path, &with(others.to_owned())), Some(scope), "{path}");
            assert_eq!(missing_scope(path, &json!({})), Some(scope), "{path}");
        }
        assert_eq!(missing_scope("/api/hello", &json!({})), None);
    }

    #[test]
    fn a_release_takes_the_next_order() {
        let areas = Areas::default();
        let release = || areas.answer(&Method::POST, "/api/production/release").unwrap();
        assert_eq!(release().0, "Order 7001 is released.");
        assert_eq!(release().1[0]["number"], 7003);
        assert!(areas.answer(&Method::GET, "/api/production/release").is_none());
    }
}
