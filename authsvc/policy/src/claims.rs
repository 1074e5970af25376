//! What is known of a user, by name: the claims of a token, or of a session.
//!
//! Why it exists: sessions are kept in memory by the hundred thousand, and a map of JSON takes a tree
//! node with room for eleven members for the four of most users. It must not judge a claim, and as JSON
//! it is the object that such a map is.

use std::fmt;
use std::ops::Index;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Claims, in the order of their names, each of them once: of several with one name the last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Box<[Claim]>);

type Claim = (Box<str>, Value);

impl Claims {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn of(mut claims: Vec<Claim>) -> Self {
        // Stable, so that the last of a name is still the last.
        claims.sort_by(|(one, _), (other, _)| one.cmp(other));
        claims.dedup_by(|later, earlier| {
            let is_again = later.0 == earlier.0;
            if is_again {
                std::mem::swap(later, earlier);
            }
            is_again
        });
        for (_, value) in &mut claims {
            shrink(value);
        }
        Self(claims.into_boxed_slice())
    }

    /// The value of a claim.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.get_key_value(name).map(|(_, value)| value)
    }

    /// A claim, with its name as it is kept here.
    #[must_use]
    pub fn get_key_value(&self, name: &str) -> Option<(&str, &Value)> {
        let place = self.0.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        self.0.get(place).map(|(name, value)| (&**name, value))
    }

    /// Whether there is such a claim, whatever its value.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// Those of these names.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        let known = names.iter().filter_map(|name| self.get_key_value(name));
        known.map(|(name, value)| (name, value.clone())).collect()
    }

    /// Sets a claim. It takes as long as there are claims.
    pub fn insert(&mut self, name: impl Into<Box<str>>, value: Value) {
        let mut claims = std::mem::take(&mut self.0).into_vec();
        claims.push((name.into(), value));
        *self = Self::of(claims);
    }

    /// Adds those of `more` that are not here yet.
    pub fn complete(&mut self, more: Self) {
        let mut claims = more.0.into_vec();
        claims.append(&mut std::mem::take(&mut self.0).into_vec());
        *self = Self::of(claims);
    }
}

/// Lists are read into more room than they need.
fn shrink(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.shrink_to_fit();
            items.iter_mut().for_each(shrink);
        }
        Value::Object(members) => members.values_mut().for_each(shrink),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Index<&str> for Claims {
    type Output = Value;

    /// As in JSON: null, where there is no such claim.
    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::Null)
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(map: Map<String, Value>) -> Self {
        map.into_iter().collect()
    }
}

impl<N: Into<Box<str>>> FromIterator<(N, Value)> for Claims {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(claims: I) -> Self {
        Self::of(claims.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Claims;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of claims")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Claims, M::Error> {
        let mut claims = Vec::new();
        while let Some(claim) = members.next_entry()? {
            claims.push(claim);
        }
        Ok(Claims::of(claims))
    }
}
