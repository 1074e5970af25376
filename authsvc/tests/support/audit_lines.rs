//! The audit lines that a test causes, in order.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// Keeps them from now on, of this thread, on which a test's whole runtime is.
pub struct AuditLines {
    lines: Kept,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: tracing::Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "vestibule::audit" {
            let mut line = BTreeMap::new();
            event.record(&mut Fields(&mut line));
            self.0.lock().unwrap().push(line);
        }
    }
}

impl AuditLines {
    pub fn keep() -> Self {
        let lines = Kept::default();
        let subscriber = tracing_subscriber::registry().with(lines.clone());
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// These fields of each line since the last call.
    pub fn take<const N: usize>(&self, fields: [&str; N]) -> Vec<[String; N]> {
        let lines = std::mem::take(&mut *self.lines.0.lock().unwrap());
        let of = |line: &BTreeMap<String, String>| {
            fields.map(|field| line.get(field).cloned().unwrap_or_default())
        };
        lines.iter().map(of).collect()
    }
}
