//! A cluster: which primary has a key, and what to do when it is another than we thought.
//!
//! Why not the client library's: waiting for replicas needs the very connection that wrote, and each
//! primary's changes must be heard at that primary. All our commands have keys of one slot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::{
    Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, Value,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::address::{at, host};
use super::connect::{Confirmed, Failure, Link, Place, describe};

const SLOTS: u16 = 16384;
/// A command with all its redirections.
const ANSWER_WITHIN: Duration = Duration::from_millis(1800);
/// Reading the topology.
const READ_WITHIN: Duration = Duration::from_millis(700);
/// How often it is read to see whether it is another.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Where a slot is on its way or has no primary yet.
const PAUSE: Duration = Duration::from_millis(50);

/// Host and port.
type Name = (String, u16);
/// First and last slot, and who has them.
type Range = (u16, u16, Name);

/// The nodes of a cluster, as they were last seen.
pub(super) struct Cluster {
    seeds: Vec<ConnectionInfo>,
    map: ArcSwap<Map>,
    /// One reads, the others wait for that.
    reading: Mutex<()>,
}

#[derive(Default)]
struct Map {
    links: BTreeMap<Name, Arc<Link>>,
    ranges: Vec<Range>,
}

impl Map {
    fn link(&self, slot: u16) -> Option<&Arc<Link>> {
        let range = self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.and_then(|(_, _, name)| self.links.get(name))
    }

    fn primaries(&self) -> Vec<&Name> {
        let mut names: Vec<&Name> = self.ranges.iter().map(|(_, _, name)| name).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// What to do after an answer.
enum Next<T> {
    Done(Result<T, Failure>),
    /// The slot moved there for good.
    Moved(Option<Name>),
    /// The slot is on its way there.
    Ask(Name),
    /// Soon it may be answered.
    Later,
    /// The node may be gone.
    Gone(Failure),
}

impl<T> From<Result<T, Failure>> for Next<T> {
    fn from(answer: Result<T, Failure>) -> Self {
        let Err(failure) = answer else { return Self::Done(answer) };
        let Failure::Failed(error) = &failure else { return Self::Gone(failure) };
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => Self::Moved(redirection(error)),
            ErrorKind::Server(ServerErrorKind::Ask) => match redirection(error) {
                Some(there) => Self::Ask(there),
                None => Self::Done(Err(failure)),
            },
            ErrorKind::Server(
                ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading,
            ) => Self::Later,
            ErrorKind::Io => Self::Gone(failure),
            _ => Self::Done(Err(failure)),
        }
    }
}

impl Cluster {
    pub(super) fn new(seeds: Vec<ConnectionInfo>) -> Self {
        Self { seeds, map: ArcSwap::default(), reading: Mutex::default() }
    }

    /// Runs a command where its keys are.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
    ) -> Result<T, Failure> {
        self.run_confirmed(key, command, 0).await.map(|(reply, _)| reply)
    }

    /// As [`Link::run_confirmed`], where the keys of the command are.
    pub(super) async fn run_confirmed<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
        replicas: u8,
    ) -> Result<Confirmed<T>, Failure> {
        let running = self.follow(slot(key), command, replicas);
        timeout(ANSWER_WITHIN, running).await.unwrap_or_else(|_| Err(late()))
    }

    /// Goes where the cluster says until there is an answer.
    async fn follow<T: FromRedisValue>(
        &self,
        slot: u16,
        command: &Cmd,
        replicas: u8,
    ) -> Result<Confirmed<T>, Failure> {
        loop {
            let map = self.map.load_full();
            let Some(link) = map.link(slot) else {
                self.read_again(&map, None).await?;
                if self.map.load().link(slot).is_none() {
                    return Err(Failure::Unconnected("no node has this slot".to_owned()));
                }
                continue;
            };
            let answer = match replicas {
                0 => link.run(command).await.map(|reply| (reply, 0)),
                _ => link.run_confirmed(command, replicas).await,
            };
            match Next::from(answer) {
                Next::Done(answer) => return answer,
                Next::Moved(there) => self.read_again(&map, there).await?,
                Next::Ask(there) => {
                    return Ok((self.link_to(&there)?.run_asking(command).await?, 0));
                }
                Next::Later => {
                    tokio::time::sleep(PAUSE).await;
                    self.read_again(&map, None).await?;
                }
                Next::Gone(failure) => {
                    // For the next one; what is wrong is known already.
                    let _ = self.read_again(&map, None).await;
                    return Err(failure);
                }
            }
        }
    }

    /// The primaries, read anew.
    pub(super) async fn primaries(&self) -> Result<Vec<Client>, String> {
        self.read().await.map_err(|failure| failure.describe())?;
        let map = self.map.load();
        let client = |name: &Name| self.client(name).map_err(|error| describe(&error));
        map.primaries().into_iter().map(client).collect()
    }

    /// Returns once the primaries are others than these.
    pub(super) async fn moved(&self, from: &[Client]) -> String {
        let addresses = |clients: &[Client]| -> Vec<String> {
            clients.iter().map(|client| client.get_connection_info().addr().to_string()).collect()
        };
        let before = addresses(from);
        loop {
            tokio::time::sleep(READ_EVERY).await;
            if self.primaries().await.is_ok_and(|now| addresses(&now) != before) {
                return "the cluster has other primaries".to_owned();
            }
        }
    }

    /// Reads the topology, unless another did since `seen`. `first` is asked first, and alone where
    /// it answers.
    async fn read_again(&self, seen: &Arc<Map>, first: Option<Name>) -> Result<(), Failure> {
        let _turn = self.reading.lock().await;
        if !Arc::ptr_eq(seen, &self.map.load()) {
            return Ok(());
        }
        if let Some(first) = first
            && let Ok(ranges) = ask(&first.0, &*self.link_to(&first)?).await
        {
            return self.learn(ranges);
        }
        self.read().await
    }

    /// Reads the topology from the nodes that are known, or else from those that the URL names.
    async fn read(&self) -> Result<(), Failure> {
        let known = self.map.load_full();
        if let Ok(ranges) = ask_all(&known.links).await {
            return self.learn(ranges);
        }
        let mut seeds = BTreeMap::new();
        for seed in &self.seeds {
            let name = name(seed);
            let link = self.link_to(&name)?;
            seeds.insert(name, link);
        }
        self.learn(ask_all(&seeds).await?)
    }

    fn learn(&self, ranges: Vec<Range>) -> Result<(), Failure> {
        let old = self.map.load_full();
        let mut links = BTreeMap::new();
        for (_, _, name) in &ranges {
            let link = match old.links.get(name) {
                Some(link) => Arc::clone(link),
                None => self.link_to(name)?,
            };
            links.insert(name.clone(), link);
        }
        self.map.store(Arc::new(Map { links, ranges }));
        Ok(())
    }

    /// The link to a node, a new one where there is none.
    fn link_to(&self, name: &Name) -> Result<Arc<Link>, Failure> {
        if let Some(link) = self.map.load().links.get(name) {
            return Ok(Arc::clone(link));
        }
        let client = self.client(name).map_err(Failure::Failed)?;
        Ok(Arc::new(Link::new(Place::At(client))))
    }

    fn client(&self, (host, port): &Name) -> Result<Client, RedisError> {
        let Some(login) = self.seeds.first() else {
            return Err((ErrorKind::InvalidClientConfig, "no nodes").into());
        };
        Client::open(at(login, host, *port))
    }
}

/// Asks nodes for the topology; whoever answers first is believed.
async fn ask_all(nodes: &BTreeMap<Name, Arc<Link>>) -> Result<Vec<Range>, Failure> {
    let mut answers: FuturesUnordered<_> =
        nodes.iter().map(|((host, _), link)| ask(host, link)).collect();
    let asking = async {
        let mut problem = late();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(ranges) => return Ok(ranges),
                Err(failure) => problem = failure,
            }
        }
        Err(problem)
    };
    timeout(READ_WITHIN, asking).await.unwrap_or_else(|_| Err(late()))
}

/// Asks a node for the topology. A node that does not know its own address says none.
async fn ask(host: &str, link: &Link) -> Result<Vec<Range>, Failure> {
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let reply: Value = link.run(&command).await?;
    let ranges = read_slots(&reply, host).unwrap_or_default();
    if ranges.is_empty() {
        return Err(Failure::Unconnected("a node knows no slots of its cluster".to_owned()));
    }
    Ok(ranges)
}

fn read_slots(reply: &Value, asked: &str) -> Option<Vec<Range>> {
    let Value::Array(ranges) = reply else { return None };
    let range = |range: &Value| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice()
        else {
            return None;
        };
        let [host, Value::Int(port), ..] = primary.as_slice() else { return None };
        let host = match host {
            Value::BulkString(host) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
            _ => asked.to_owned(),
        };
        let number = |number: &i64| u16::try_from(*number).ok();
        Some((number(first)?, number(last)?, (host, number(port)?)))
    };
    ranges.iter().map(range).collect()
}

fn redirection(error: &RedisError) -> Option<Name> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    (!host.is_empty()).then(|| Some((host.to_owned(), port.parse().ok()?)))?
}

fn name(server: &ConnectionInfo) -> Name {
    let port = match server.addr() {
        redis::ConnectionAddr::Tcp(_, port) | redis::ConnectionAddr::TcpTls { port, .. } => *port,
        _ => 0,
    };
    (host(server.addr()), port)
}

fn late() -> Failure {
    Failure::Unconnected("the cluster gave no answer in time".to_owned())
}

/// The slot of a key: of what is between its braces, as CRC-16/XMODEM.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let tag = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    let mut crc = 0_u16;
    for byte in tag.bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // `CLUSTER KEYSLOT`; the CRC of 123456789 is 0x31C3.
        for (key, expected) in [("123456789", 0x31c3), ("foo", 12182), ("a{foo}b", 12182)] {
            assert_eq!(slot(key), expected, "{key}");
        }
        assert_eq!(slot("{}foo"), slot("{}foo"));
        assert_ne!(slot("{}foo"), slot("{}bar"));
    }

    #[test]
    fn the_topology_is_read_also_where_a_node_does_not_know_its_own_host() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let range =
            |first, last, node| Value::Array(vec![Value::Int(first), Value::Int(last), node]);
        let reply = Value::Array(vec![
            range(0, 8000, node(text("one"), 7000)),
            range(8001, 16383, node(Value::Nil, 7001)),
        ]);
        let expected =
            [(0, 8000, ("one".to_owned(), 7000)), (8001, 16383, ("asked".to_owned(), 7001))];
        assert_eq!(read_slots(&reply, "asked").as_deref(), Some(expected.as_slice()));
        for wrong in [Value::Nil, Value::Array(vec![Value::Int(1)])] {
            assert_eq!(read_slots(&wrong, "asked"), None);
        }
        let wrong = Value::Array(vec![range(0, 70_000, node(text("one"), 7000))]);
        assert_eq!(read_slots(&wrong, "asked"), None);
    }
}
