//! What authsvc is asked on its admin port, and its answers. It must not know how authsvc is reached.

use http::Method;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::SessionsError;
use super::connection::{Answer, Connection};

/// How many sessions are asked for at a time.
const PAGE: usize = 200;

/// Which sessions.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub policy: Option<String>,
    pub user: Option<String>,
    pub provider: Option<String>,
    /// In seconds.
    pub older_than: Option<u64>,
    pub session: Option<String>,
}

impl Filter {
    /// Whether it means every session there is.
    pub fn is_empty(&self) -> bool {
        self.pairs().is_empty()
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("policy", &self.policy),
            ("user", &self.user),
            ("provider", &self.provider),
            ("session", &self.session),
        ];
        let texts = texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let older_than = self.older_than.map(|seconds| ("olderThan", seconds.to_string()));
        texts.chain(older_than).collect()
    }

    fn body(&self) -> Value {
        let mut body = serde_json::Map::new();
        for (name, text) in self.pairs() {
            body.insert(name.to_owned(), text.into());
        }
        if let Some(seconds) = self.older_than {
            body.insert("olderThan".to_owned(), seconds.into());
        }
        body.into()
    }
}

/// Sessions as authsvc shows them.
#[derive(Debug)]
pub struct Listed {
    pub sessions: Vec<Value>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// Asks authsvc.
pub struct Client {
    connection: Connection,
}

impl Client {
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// The sessions that the filter means, `limit` at most.
    pub async fn list(&mut self, filter: &Filter, limit: usize) -> Result<Listed, SessionsError> {
        let mut sessions = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(filter.pairs());
            // One more than wanted: whether there are more is seen by that one.
            let wanted = limit.saturating_sub(sessions.len()).saturating_add(1).min(PAGE);
            query.append_pair("limit", &wanted.to_string());
            if let Some(after) = &after {
                query.append_pair("after", after);
            }
            let target = format!("/sessions?{}", query.finish());
            let answer = self.ask(Method::GET, &target, None).await?;
            let page = answer["sessions"].as_array().ok_or_else(not_authsvc)?;
            sessions.extend(page.iter().cloned());
            after = answer["next"].as_str().map(str::to_owned);
            if sessions.len() > limit || after.is_none() {
                let more = sessions.len() > limit;
                sessions.truncate(limit);
                return Ok(Listed { sessions, more });
            }
        }
    }

    /// Ends the sessions that the filter means; how many.
    pub async fn end(&mut self, filter: &Filter) -> Result<usize, SessionsError> {
        let mut ended = 0;
        let mut body = filter.body();
        loop {
            let answer = self.ask(Method::POST, "/sessions/end", Some(&body)).await;
            let answer = answer.map_err(|error| told_so_far(error, ended))?;
            let count = answer["ended"].as_u64().ok_or_else(not_authsvc)?;
            ended += usize::try_from(count).unwrap_or(usize::MAX);
            match answer["next"].as_str() {
                Some(next) => body["after"] = json!(next),
                None => return Ok(ended),
            }
        }
    }

    async fn ask(
        &mut self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Value, SessionsError> {
        let Answer { status, body } = self.connection.ask(method, target, body).await?;
        let json: Option<Value> = serde_json::from_slice(&body).ok();
        if status.is_success() {
            return json.ok_or_else(not_authsvc);
        }
        // A problem as RFC 9457 has it says what to do.
        let told = json.as_ref().and_then(|problem| problem["detail"].as_str());
        let told = told.unwrap_or("this is not the admin port of vestibule-authsvc");
        Err(SessionsError::Refused(format!("{} {told}", status.as_u16())))
    }
}

fn not_authsvc() -> SessionsError {
    SessionsError::Refused("the answer is not that of vestibule-authsvc".to_owned())
}

fn told_so_far(error: SessionsError, ended: usize) -> SessionsError {
    match error {
        SessionsError::Refused(why) if ended > 0 => {
            SessionsError::Refused(format!("after {ended} sessions had ended: {why}"))
        }
        SessionsError::Reach(why) if ended > 0 => {
            SessionsError::Reach(format!("after {ended} sessions had ended: {why}"))
        }
        other => other,
    }
}
