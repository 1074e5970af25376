//! Which sessions are meant. Nothing that is not understood is passed over: a filter that was
//! mistyped would mean more sessions, not fewer.

use std::fmt;
use std::str::FromStr;

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use vestibule_policy::model::PolicyId;

use crate::clock::Timestamp;
use crate::problem::Problem;
use crate::session::{Purpose, Session, StoreKey};

/// How many sessions are listed unless told otherwise.
const USUAL_LIMIT: usize = 100;
/// How many at most.
const MAX_LIMIT: usize = 500;

/// What is asked for, as it was written: the query of a listing, the JSON of an end.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Asked {
    policy: Option<String>,
    user: Option<String>,
    provider: Option<String>,
    older_than: Option<u64>,
    session: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

impl Asked {
    /// For ending: with a filter, and without what is for listing.
    pub(super) fn narrowed(self) -> Result<Self, Wrong> {
        let texts = [&self.policy, &self.user, &self.provider, &self.session];
        if self.limit.is_some() {
            Err(Wrong("limit: is for listing alone".to_owned()))
        } else if self.older_than.is_none() && texts.iter().all(|text| text.is_none()) {
            let text = "name what to end: session, policy, user, provider or olderThan (seconds)";
            Err(Wrong(text.to_owned()))
        } else {
            Ok(self)
        }
    }
}

/// What is wrong with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong(pub(super) String);

impl Wrong {
    pub(super) fn into_response(self) -> Response {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid-request",
            "The request is not understood",
            self.0,
        )
        .into_response()
    }
}

/// Which sessions are meant, and where to begin.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) policy: Option<PolicyId>,
    pub(super) user: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) session: Option<StoreKey>,
    older_than: Option<u64>,
    pub(super) limit: usize,
    pub(super) after: Option<Cursor>,
}

impl Filter {
    /// Whether a session is meant, as far as the session says it.
    pub(super) fn admits(&self, session: &Session, now: Timestamp) -> bool {
        self.user.as_ref().is_none_or(|user| *user == session.subject)
            && self.provider.as_ref().is_none_or(|issuer| *issuer == session.issuer)
            && self.older_than.is_none_or(|seconds| now.since(session.created_at) >= seconds)
    }
}

impl TryFrom<Asked> for Filter {
    type Error = Wrong;

    fn try_from(asked: Asked) -> Result<Self, Wrong> {
        let wrong = |text: &str| Wrong(text.to_owned());
        for (name, value) in [("user", &asked.user), ("provider", &asked.provider)] {
            if value.as_ref().is_some_and(String::is_empty) {
                return Err(Wrong(format!("{name}: is empty; leave it out, or name one")));
            }
        }
        let policy = asked
            .policy
            .map(|text| policy_id(&text).ok_or_else(|| wrong("policy: write NAMESPACE/NAME")));
        let session = asked.session.map(|name| {
            StoreKey::from_name(Purpose::Session, &name)
                .ok_or_else(|| wrong("session: write its name as it is listed, 43 characters"))
        });
        let after = asked.after.map(|text| {
            text.parse().map_err(|()| wrong("after: write `next` of the answer before"))
        });
        let limit = asked.limit.unwrap_or(USUAL_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Wrong(format!("limit: write a number from 1 to {MAX_LIMIT}")));
        }
        Ok(Self {
            policy: policy.transpose()?,
            user: asked.user,
            provider: asked.provider,
            session: session.transpose()?,
            older_than: asked.older_than,
            limit,
            after: after.transpose()?,
        })
    }
}

fn policy_id(text: &str) -> Option<PolicyId> {
    let (namespace, name) = text.split_once('/')?;
    let is_name = |part: &str| {
        !part.is_empty()
            && part.len() <= 253
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    (is_name(namespace) && is_name(name))
        .then(|| PolicyId { namespace: namespace.to_owned(), name: name.to_owned() })
}

/// Where the next request goes on. It grants nothing: what may be seen is asked each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) policy: PolicyId,
    pub(super) offset: usize,
    /// Whether sessions were ended since the beginning of this policy, so that others have moved.
    pub(super) moved: bool,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.moved { "~" } else { "" };
        write!(f, "{}:{}{mark}", self.policy, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (policy, offset) = text.split_once(':').ok_or(())?;
        let unmarked = offset.strip_suffix('~');
        let offset = unmarked.unwrap_or(offset).parse().map_err(|_| ())?;
        Ok(Self { policy: policy_id(policy).ok_or(())?, offset, moved: unmarked.is_some() })
    }
}
