//! What takes part in `make bench`: how it is started, what it is asked, and what every answer must be.
//! A contender that answers anything else fails the run: one that says 500 quickly must not win.

use std::any::Any;
use std::net::SocketAddr;

use super::lab::Lab;
use super::results::Group;
use crate::load::{Ask, Load};

/// A contender that does not run yet.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// Its name on the command line: `ours-warm-redis`.
    pub name: &'static str,
    /// Its name in tables.
    pub title: &'static str,
    /// What it does for a request, in a few words; may be empty.
    pub note: &'static str,
    /// What it is.
    pub group: Group,
    /// The contender that is the same without the login, if there is one.
    pub without: Option<&'static str>,
    /// Starts it, with its sessions logged in. What it starts on the server's core it starts within
    /// [`Lab::on_server`].
    pub start: fn(&Lab) -> Running,
}

/// A contender that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it is asked.
    pub addr: SocketAddr,
    /// What it is asked, in turn.
    pub asks: Vec<Ask>,
    /// The status of every answer.
    pub expected: u16,
    /// The processes whose processor time is its own; their children count too.
    pub pids: Vec<u32>,
    /// Those whose processor time is reported beside it, such as Redis.
    pub beside: Vec<u32>,
    /// Programs that it is made of, and their versions.
    pub versions: Vec<(&'static str, String)>,
    /// What must live as long as it does, if the [`Lab`] does not hold it.
    pub kept: Box<dyn Any>,
}

impl Running {
    /// Its load, on so many connections.
    #[must_use]
    pub fn load(&self, connections: usize) -> Load {
        Load { addr: self.addr, asks: self.asks.clone(), connections, awake: true, patience: None }
    }
}
