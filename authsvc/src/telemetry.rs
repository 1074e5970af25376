//! Logs to standard error and, where the standard OpenTelemetry variables ask for it, traces.
//!
//! It must not decide what is logged; and what is logged never holds a token, code, cookie or secret.

mod repeats;

use std::io::IsTerminal as _;
use std::pin::pin;
use std::task::Poll;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tokio::runtime::Handle;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::settings::{LogFormat, SettingsError};
use repeats::Repeats;

/// Spans and events of our own crates begin with this.
const OURS: &str = "vestibule";
/// What the watch tells of each event, below which nothing is logged: a log file beside a watched
/// folder would feed itself.
const QUIETED: [&str; 2] = ["notify=warn", "mio=warn"];
const FILTER_VARIABLE: &str = "VESTIBULE_LOG";
/// Traces are sent only where one of these is set (OpenTelemetry Protocol Exporter, "Configuration
/// Options").
const ENDPOINT_VARIABLES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// What must be told before the process ends.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    repeats: Repeats,
}

/// Whether the environment asks for traces.
#[must_use]
pub fn traces_wanted() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ENDPOINT_VARIABLES.into_iter().any(set)
        && !std::env::var("OTEL_SDK_DISABLED").is_ok_and(|text| text.eq_ignore_ascii_case("true"))
}

/// Begins to log, and to trace where that is asked for. Within a tokio runtime, once per process.
///
/// # Errors
/// Where a variable cannot be used.
pub fn init(format: LogFormat) -> Result<Telemetry, SettingsError> {
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
    let traces = traces_wanted().then(provider).transpose()?;
    let spans = traces.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("vestibule-authsvc"))
            .with_filter(filter_fn(|meta| {
                *meta.level() <= tracing::Level::INFO && meta.target().starts_with(OURS)
            }))
    });
    let repeats = Repeats::default();
    let log = log.with_filter(filter.and(repeats.clone()));
    let subscriber = tracing_subscriber::registry().with(log).with(spans);
    subscriber
        .try_init()
        .map_err(|error| SettingsError { flag: FILTER_VARIABLE, message: error.to_string() })?;
    tokio::spawn(keep_telling(repeats.clone()));
    Ok(Telemetry { traces, repeats })
}

async fn keep_telling(repeats: Repeats) {
    loop {
        tokio::time::sleep(repeats::TELL_EVERY).await;
        repeats.tell();
    }
}

impl Telemetry {
    /// Sends what was not sent yet.
    pub async fn shutdown(self) {
        self.repeats.tell();
        let Some(traces) = self.traces else { return };
        // It blocks until the exporter's thread is done, which needs this runtime.
        let ended = tokio::task::spawn_blocking(move || traces.shutdown()).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn provider() -> Result<SdkTracerProvider, SettingsError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build();
    exporter
        .map(provider_for)
        .map_err(|error| SettingsError { flag: ENDPOINT_VARIABLES[1], message: error.to_string() })
}

fn provider_for(exporter: opentelemetry_otlp::SpanExporter) -> SdkTracerProvider {
    let resource = Resource::builder();
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are read by the builder.
    let resource = if std::env::var_os("OTEL_SERVICE_NAME").is_some() {
        resource.build()
    } else {
        resource.with_service_name("vestibule-authsvc").build()
    };
    SdkTracerProvider::builder()
        .with_batch_exporter(InRuntime { exporter, runtime: Handle::current() })
        .with_resource(resource)
        .build()
}

/// Lets an exporter whose client needs tokio work on the batch processor's own thread.
#[derive(Debug)]
struct InRuntime<E> {
    exporter: E,
    runtime: Handle,
}

impl<E: SpanExporter> SpanExporter for InRuntime<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut sent = pin!(self.exporter.export(batch));
        std::future::poll_fn(|context| -> Poll<OTelSdkResult> {
            let _entered = self.runtime.enter();
            sent.as_mut().poll(context)
        })
        .await
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{Span as _, Tracer as _};
    use opentelemetry_otlp::WithExportConfig as _;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    #[tokio::test(flavor = "multi_thread")]
    async fn traces_reach_a_collector_before_the_process_ends() {
        let collector = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/v1/traces"))
            .respond_with(ResponseTemplate::new(200))
            .expect(1)
            .mount(&collector)
            .await;
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", collector.uri()))
            .build()
            .unwrap();
        let traces = provider_for(exporter);
        traces.tracer("test").start("request").end();
        Telemetry { traces: Some(traces), repeats: Repeats::default() }.shutdown().await;
        let sent = collector.received_requests().await.unwrap();
        assert!(sent[0].body.windows(7).any(|bytes| bytes == b"request"));
    }
}
