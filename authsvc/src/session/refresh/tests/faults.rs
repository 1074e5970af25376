//! A memory store with the faults of a real one: no answer, an answer that is lost after the deed,
//! and silence.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Mutex;

use futures_util::FutureExt as _;

use crate::session::intercepted::{Intercept, Intercepted};
use crate::session::store::{StoreError, StoreFuture};

/// What is wrong with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and an error says so.
    Refused,
    /// It is done, and an error is the answer.
    AnswerLost,
    /// Neither, ever.
    Silent,
}

pub type FaultyStore = Intercepted<Faults>;

#[derive(Default)]
pub struct Faults {
    faults: Mutex<HashMap<&'static str, Fault>>,
    asked: Mutex<HashMap<&'static str, usize>>,
}

impl Faults {
    /// From now on; `None`: it works.
    pub fn fault(&self, command: &'static str, fault: Option<Fault>) {
        let mut faults = self.faults.lock().unwrap();
        match fault {
            Some(fault) => faults.insert(command, fault),
            None => faults.remove(command),
        };
    }

    /// How often a command was asked for.
    pub fn asked(&self, command: &'static str) -> usize {
        self.asked.lock().unwrap().get(command).copied().unwrap_or_default()
    }
}

impl Intercept for Faults {
    fn answer<'a, T: Send + 'a>(
        &'a self,
        command: &'static str,
        call: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        *self.asked.lock().unwrap().entry(command).or_default() += 1;
        let lost = || async { Err(StoreError("cut off".to_owned())) }.boxed();
        let fault = self.faults.lock().unwrap().get(command).copied();
        match fault {
            None => call(),
            Some(Fault::Refused) => lost(),
            Some(Fault::Silent) => pending().boxed(),
            Some(Fault::AnswerLost) => {
                drop(call());
                lost()
            }
        }
    }
}
