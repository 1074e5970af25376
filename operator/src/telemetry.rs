//! Logs to standard error.
//!
//! It must not decide what is logged; and what is logged never holds a token or secret.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::settings::{LogFormat, SettingsError};

const FILTER_VARIABLE: &str = "VESTIBULE_LOG";
/// The client logs every failed request; we log what follows from it, once.
const QUIETED: [&str; 2] = ["kube_client=off", "tower=warn"];

/// Begins to log. Once per process.
///
/// # Errors
/// Where the variable cannot be used.
pub fn init(format: LogFormat) -> Result<(), SettingsError> {
    let directives = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(&directives).map_err(|error| SettingsError {
        flag: FILTER_VARIABLE,
        message: format!("{error}: write a level such as `info`, or `vestibule=debug`"),
    })?;
    let filter = QUIETED
        .iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => log.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(log.with_filter(filter))
        .try_init()
        .map_err(|error| SettingsError { flag: FILTER_VARIABLE, message: error.to_string() })
}
