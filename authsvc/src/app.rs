//! What every handler may use, and nothing else is global.

use std::sync::Arc;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::overload::Overload;
use crate::policies::Policies;
use crate::random::Random;
use crate::session::service::Sessions;

/// The parts that handlers share.
pub struct App {
    /// The live policies.
    pub policies: Arc<Policies>,
    /// Sessions and login transactions.
    pub sessions: Arc<Sessions>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// Counters.
    pub metrics: Metrics,
    /// What is refused where more is asked than can be answered.
    pub overload: Overload,
}
