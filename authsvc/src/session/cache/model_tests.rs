//! The cache against a model: a store, a connection that tells of changes until it is cut, readers
//! whose answers are late, and time. Whatever comes from memory must have been in the store at some
//! moment of the last half second.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{fresh_key, kept, sealer_id};
use super::*;

const KEYS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// A record is replaced, and the store tells of it.
    Change(usize),
    /// The store is asked; the answer is on its way.
    Ask(usize),
    /// The oldest answer arrives, or the newest.
    Arrive { newest: bool },
    /// A session is looked up in memory.
    Get(usize),
    /// A moment is sent along the connection, to come back behind all that was told before it.
    Ping,
    /// Something arrives on the connection.
    Hear,
    /// The connection breaks, unnoticed.
    Cut,
    /// That is noticed.
    Notice,
    /// There is a new connection.
    Subscribe,
    /// Time goes by.
    Pass(u64),
}

/// What is on its way along the connection.
enum Message {
    Change(usize),
    Pong(Instant),
}

struct Answer {
    key: usize,
    ticket: Option<Ticket>,
    content: u64,
}

struct World {
    cache: SessionCache,
    sealer: SealerId,
    keys: [StoreKey; KEYS],
    now: Instant,
    /// What was in the store, and from when on.
    history: [Vec<(Instant, u64)>; KEYS],
    answers: VecDeque<Answer>,
    connection: VecDeque<Message>,
    connected: bool,
    /// A cut that was not noticed yet.
    unnoticed: bool,
    /// Whether tickets are taken when the store is asked, or, wrongly, when the answer is here.
    tickets_in_time: bool,
}

impl World {
    fn new(tickets_in_time: bool) -> Self {
        let cache = SessionCache::new(DEFAULT_BYTES);
        cache.interrupted();
        let now = Instant::now();
        Self {
            cache,
            sealer: sealer_id(),
            keys: std::array::from_fn(|_| fresh_key()),
            now,
            history: std::array::from_fn(|_| vec![(now, 0)]),
            answers: VecDeque::new(),
            connection: VecDeque::new(),
            connected: false,
            unnoticed: false,
            tickets_in_time,
        }
    }

    fn content(&self, key: usize) -> u64 {
        self.history[key].last().map_or(0, |(_, content)| *content)
    }

    /// Whether this was in the store at some moment of the last half second.
    fn was_lately(&self, key: usize, content: u64) -> bool {
        let history = &self.history[key];
        let at = history.iter().position(|(_, one)| *one == content).expect("it was written");
        let replaced = history.get(at + 1).map(|(when, _)| *when);
        replaced.is_none_or(|replaced| self.now.duration_since(replaced) <= FRESH_FOR)
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Change(key) => {
                let next = self.content(key) + 1;
                self.history[key].push((self.now, next));
                self.tell(Message::Change(key));
            }
            Step::Ask(key) => {
                let ticket = self.cache.ticket(&self.keys[key]);
                self.answers.push_back(Answer { key, ticket, content: self.content(key) });
            }
            Step::Arrive { newest } => {
                let arrived =
                    if newest { self.answers.pop_back() } else { self.answers.pop_front() };
                if let Some(Answer { key, ticket, content }) = arrived {
                    let late = || self.cache.ticket(&self.keys[key]);
                    let ticket = if self.tickets_in_time { ticket } else { late() };
                    let kept = kept(&content.to_string(), content, &self.sealer);
                    self.cache.keep(ticket, &self.keys[key], kept);
                }
            }
            Step::Get(key) => {
                let found = self.cache.get_at(&self.keys[key], &self.sealer, self.now);
                if let Some((kept, _)) = found {
                    let content = kept.session.subject.parse().expect("a number");
                    prop_assert!(self.was_lately(key, content), "{content} of {key} is stale");
                }
            }
            Step::Ping => self.tell(Message::Pong(self.now)),
            Step::Hear => match self.connection.pop_front() {
                Some(Message::Change(key)) => {
                    self.cache.changed(&self.keys[key], Change::Replaced);
                }
                Some(Message::Pong(as_of)) => self.cache.up_to_date(as_of),
                None => {}
            },
            Step::Cut => {
                self.unnoticed |= self.connected;
                self.connected = false;
            }
            Step::Notice => self.notice(),
            Step::Subscribe => {
                self.notice();
                self.connected = true;
            }
            Step::Pass(millis) => self.now += Duration::from_millis(millis),
        }
        Ok(())
    }

    fn tell(&mut self, message: Message) {
        if self.connected {
            self.connection.push_back(message);
        }
    }

    fn notice(&mut self) {
        if self.unnoticed {
            self.unnoticed = false;
            self.connection.clear();
            self.cache.interrupted();
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    prop_oneof![
        2 => key.clone().prop_map(Step::Change),
        4 => key.clone().prop_map(Step::Ask),
        4 => any::<bool>().prop_map(|newest| Step::Arrive { newest }),
        6 => key.prop_map(Step::Get),
        4 => Just(Step::Ping),
        6 => Just(Step::Hear),
        1 => Just(Step::Cut),
        1 => Just(Step::Notice),
        2 => Just(Step::Subscribe),
        2 => (1..400_u64).prop_map(Step::Pass),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..120)
}

fn run(steps: &[Step], tickets_in_time: bool) -> Result<(), TestCaseError> {
    let mut world = World::new(tickets_in_time);
    steps.iter().try_for_each(|step| world.step(step))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_comes_from_memory_that_was_not_in_the_store_within_the_last_half_second(
        steps in steps(),
    ) {
        run(&steps, true)?;
    }
}

#[test]
fn the_model_finds_what_the_ticket_is_for() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let found = runner.run(&steps(), |steps| run(&steps, false));
    assert!(found.is_err(), "an answer that news overtook was kept, and nobody noticed");
}

#[test]
fn the_model_does_come_to_hits() {
    let mut world = World::new(true);
    let steps =
        [Step::Subscribe, Step::Ping, Step::Hear, Step::Ask(0), Step::Arrive { newest: true }];
    for step in steps {
        world.step(&step).expect("holds");
    }
    assert!(world.cache.get_at(&world.keys[0], &world.sealer, world.now).is_some());
}
