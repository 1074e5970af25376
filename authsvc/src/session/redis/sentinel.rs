//! Finds the primary that sentinels name.
//!
//! A sentinel may be gone, hang, or not know yet of a failover; a server that is named may not be
//! promoted yet. So all are asked, the one that most name is tried first, and it is asked itself.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, ConnectionInfo, RedisError, Value};

use super::address::at;
use super::connect::{Link, Place, connect, describe};

/// How long sentinels are waited for, unless most have answered.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);
/// How long a server that they name may take to say that it is the primary: a dead one must not hold
/// up that its successor is found.
const PRIMARY_WITHIN: Duration = Duration::from_millis(500);
/// How often they are asked whether the primary is another.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Host and port.
type Named = (String, u16);

/// The sentinels that watch one primary.
pub(super) struct Sentinels {
    links: Vec<Link>,
    question: Cmd,
    server: ConnectionInfo,
}

impl Sentinels {
    pub(super) fn new(
        sentinels: Vec<ConnectionInfo>,
        master: &str,
        server: ConnectionInfo,
    ) -> Result<Self, RedisError> {
        let link = |sentinel| Client::open(sentinel).map(|client| Link::new(Place::At(client)));
        let mut question = redis::cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(master);
        let links = sentinels.into_iter().map(link).collect::<Result<_, _>>()?;
        Ok(Self { links, question, server })
    }

    /// The primary, and a connection to it.
    pub(super) async fn find(&self) -> Result<(Client, MultiplexedConnection), String> {
        let mut problem = None;
        for (host, port) in self.named().await? {
            match tokio::time::timeout(PRIMARY_WITHIN, self.primary(&host, port)).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => problem = Some(error),
                Err(_) => problem = Some("the master does not answer".to_owned()),
            }
        }
        Err(problem.unwrap_or_else(|| "the sentinels know no such master".to_owned()))
    }

    /// Returns once the sentinels name another primary than this.
    pub(super) async fn moved(&self, from: &Client) -> String {
        let from = from.get_connection_info().addr();
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            let named = self.named().await.unwrap_or_default();
            if let Some((host, port)) = named.first()
                && at(&self.server, host, *port).addr() != from
            {
                return "the sentinels name another master".to_owned();
            }
        }
    }

    async fn primary(
        &self,
        host: &str,
        port: u16,
    ) -> Result<(Client, MultiplexedConnection), String> {
        let client =
            Client::open(at(&self.server, host, port)).map_err(|error| describe(&error))?;
        let mut connection = connect(&client).await?;
        let role: Vec<Value> = redis::cmd("ROLE")
            .query_async(&mut connection)
            .await
            .map_err(|error| describe(&error))?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok((client, connection)),
            _ => Err("the server that the sentinels name is no master".to_owned()),
        }
    }

    /// What the sentinels name, what most of them name first.
    async fn named(&self) -> Result<Vec<Named>, String> {
        let mut answers: FuturesUnordered<_> =
            self.links.iter().map(|link| link.run::<Option<Named>>(&self.question)).collect();
        let mut votes: Vec<(Named, usize)> = Vec::new();
        let (mut answered, mut problem) = (false, None);
        let asking = async {
            while let Some(answer) = answers.next().await {
                match answer {
                    Ok(named) => {
                        answered = true;
                        if let Some(named) = named
                            && vote(&mut votes, named) * 2 > self.links.len()
                        {
                            return;
                        }
                    }
                    Err(failure) => problem = Some(failure.describe()),
                }
            }
        };
        // Those who did not answer by then do not count.
        let _ = tokio::time::timeout(ANSWER_WITHIN, asking).await;
        if !answered {
            let problem = problem.unwrap_or_else(|| "none within 300 ms".to_owned());
            return Err(format!("no sentinel answered: {problem}"));
        }
        votes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(votes.into_iter().map(|(named, _)| named).collect())
    }
}

/// How many named it by now.
fn vote(votes: &mut Vec<(Named, usize)>, named: Named) -> usize {
    if let Some((_, count)) = votes.iter_mut().find(|(other, _)| *other == named) {
        *count += 1;
        return *count;
    }
    votes.push((named, 1));
    1
}
