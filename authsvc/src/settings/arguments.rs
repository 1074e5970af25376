//! The command line: each flag is also a `VESTIBULE_*` variable.
//!
//! It must not look at files or other flags: what goes together is for `Settings`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};

use super::{LogFormat, Settings, StoreSetting, size};
use crate::overload::logins;

/// The external-auth service of Vestibule: it answers a gateway's checks and logs users in.
#[derive(Debug, Parser)]
#[command(name = "vestibule-authsvc", version, about)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the command does.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "it is made once, when the program starts")]
pub enum Command {
    /// Serve checks, logins and sessions for the policies of a folder or a cluster.
    Serve(ServeArguments),
    /// Validate a folder of policies: prints every error, exits with 1 if there is one.
    CheckPolicies(CheckArguments),
}

/// Flags of `check-policies`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The folder of policies and providers (*.yaml, *.yml)
    #[arg(value_name = "DIR")]
    pub policies: PathBuf,
    /// The folder of secrets, as NAMESPACE/NAME/KEY; without it every secret is taken to exist
    #[arg(long, value_name = "DIR")]
    pub secrets: Option<PathBuf>,
    /// Accept http origins and issuers beyond loopback (for tests)
    #[arg(long)]
    pub allow_insecure_issuers: bool,
}

/// Flags of `serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// The folder of policies and providers (*.yaml, *.yml); changes are live at once
    #[arg(long, value_name = "DIR", env = "VESTIBULE_POLICIES")]
    policies: Option<PathBuf>,
    /// Take policies from the operator in a Kubernetes cluster, instead of from a folder
    #[arg(
        long,
        env = "VESTIBULE_KUBERNETES",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        value_parser = BoolishValueParser::new()
    )]
    kubernetes: bool,
    /// With --kubernetes: the namespace of Vestibule; without it that of the service account
    #[arg(long, value_name = "NAMESPACE", env = "VESTIBULE_NAMESPACE")]
    namespace: Option<String>,
    /// The folder of secrets: a secret's key is the file DIR/NAMESPACE/NAME/KEY
    #[arg(long, value_name = "DIR", env = "VESTIBULE_SECRETS")]
    secrets: Option<PathBuf>,
    /// The file of keys that sessions are sealed with; required with redis, else random
    #[arg(long, value_name = "FILE", env = "VESTIBULE_KEYRING")]
    keyring: Option<PathBuf>,
    /// Where sessions are: `memory` (one replica, gone at its end), redis://[USER:PASSWORD@]HOST[:PORT][/DB], redis-sentinel://[USER:PASSWORD@]HOST,HOST[/DB]?master=NAME, or redis-cluster://[USER:PASSWORD@]HOST,HOST; with TLS rediss…
    #[arg(
        long,
        value_name = "STORE",
        env = "VESTIBULE_STORE",
        default_value = "memory",
        hide_env_values = true,
        value_parser = store_setting
    )]
    store: StoreSetting,
    /// How many replicas of Redis should have the end of a session before it is acknowledged (waits 200 ms at most) [default: 1 with Sentinel and Cluster, else 0]
    #[arg(long, value_name = "N", env = "VESTIBULE_STORE_WAIT_REPLICAS")]
    store_wait_replicas: Option<u8>,
    /// How much memory the sessions that were read lately may take, so that checks of them ask no store; 0: none
    #[arg(
        long,
        value_name = "BYTES",
        env = "VESTIBULE_SESSION_CACHE_BYTES",
        default_value = "64MiB",
        value_parser = size::parse
    )]
    session_cache_bytes: usize,
    /// How many logins may begin per minute for one policy, on this replica
    #[arg(
        long,
        value_name = "N",
        env = "VESTIBULE_LOGINS_PER_POLICY",
        default_value_t = logins::PER_POLICY,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    logins_per_policy: u32,
    /// How many of them may be of one client [default: 60]; with --client-address-header
    #[arg(
        long,
        value_name = "N",
        env = "VESTIBULE_LOGINS_PER_CLIENT",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    logins_per_client: Option<u32>,
    /// The header in which the gateway tells the client's address, such as X-Real-IP; one that clients can set themselves is worse than none
    #[arg(long, value_name = "NAME", env = "VESTIBULE_CLIENT_ADDRESS_HEADER")]
    client_address_header: Option<String>,
    /// Accept http origins and issuers beyond loopback (for tests); with --kubernetes the operator's flag of this name counts
    #[arg(
        long,
        env = "VESTIBULE_ALLOW_INSECURE_ISSUERS",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        value_parser = BoolishValueParser::new()
    )]
    allow_insecure_issuers: bool,
    /// Where browsers arrive, through the gateway's route of /bff; port 0 takes a free one
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "VESTIBULE_BROWSER_ADDR",
        default_value = "0.0.0.0:8080",
        value_parser = address
    )]
    browser_addr: SocketAddr,
    /// Where gateways ask; must not be reachable for browsers
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "VESTIBULE_CHECK_ADDR",
        default_value = "0.0.0.0:8081",
        value_parser = address
    )]
    check_addr: SocketAddr,
    /// Health, readiness and metrics
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "VESTIBULE_ADMIN_ADDR",
        default_value = "0.0.0.0:8082",
        value_parser = address
    )]
    admin_addr: SocketAddr,
    /// The file of the token for /policies of the admin port, and without --kubernetes for /sessions
    #[arg(long, value_name = "FILE", env = "VESTIBULE_ADMIN_TOKEN_FILE")]
    admin_token_file: Option<PathBuf>,
    /// How logs are written to standard error; the variable `VESTIBULE_LOG` filters them (default: info)
    #[arg(long, value_name = "FORMAT", env = "VESTIBULE_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// How long requests are still accepted after SIGTERM, so that gateways notice
    #[arg(
        long,
        value_name = "DURATION",
        env = "VESTIBULE_DRAIN_DELAY",
        default_value = "5s",
        value_parser = vestibule_policy::duration::parse
    )]
    drain_delay: Duration,
    /// Write the bound addresses to this file as JSON, once they are bound
    #[arg(long, value_name = "FILE", env = "VESTIBULE_ADDR_FILE")]
    addr_file: Option<PathBuf>,
}

impl From<ServeArguments> for Settings {
    fn from(arguments: ServeArguments) -> Self {
        Self {
            policies: arguments.policies,
            kubernetes: arguments.kubernetes,
            namespace: arguments.namespace,
            secrets: arguments.secrets,
            keyring: arguments.keyring,
            store: arguments.store,
            store_wait_replicas: arguments.store_wait_replicas,
            session_cache_bytes: arguments.session_cache_bytes,
            logins_per_policy: arguments.logins_per_policy,
            logins_per_client: arguments.logins_per_client,
            client_address_header: arguments.client_address_header,
            allow_insecure_issuers: arguments.allow_insecure_issuers,
            browser_addr: arguments.browser_addr,
            check_addr: arguments.check_addr,
            admin_addr: arguments.admin_addr,
            admin_token_file: arguments.admin_token_file,
            log_format: arguments.log_format,
            drain_delay: arguments.drain_delay,
            addr_file: arguments.addr_file,
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write IP:PORT such as 0.0.0.0:8080".to_owned())
}

const REDIS_SCHEMES: [&str; 6] =
    ["redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"];

fn store_setting(text: &str) -> Result<StoreSetting, String> {
    match text {
        "memory" => Ok(StoreSetting::Memory),
        _ if text.split_once("://").is_some_and(|(scheme, _)| REDIS_SCHEMES.contains(&scheme)) => {
            Ok(StoreSetting::Redis(text.to_owned()))
        }
        _ => Err("write `memory`, redis://HOST:PORT/DB, \
                  redis-sentinel://HOST:PORT,HOST:PORT/DB?master=NAME or \
                  redis-cluster://HOST:PORT,HOST:PORT (with TLS rediss… in place of redis…)"
            .to_owned()),
    }
}
