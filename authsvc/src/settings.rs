//! The command line and its settings, typed and checked before anything is bound.
//!
//! Each flag is also a `VESTIBULE_*` variable; there is no configuration file. An error names the
//! flag and the fix, and never shows a store's URL: it may hold a password.

mod size;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::overload::logins::{self, LoginLimits};
use crate::session::cache::DEFAULT_BYTES;

/// Where 64 is "wrong use of the command line" (`sysexits.h`, `EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

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

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Where sessions are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreSetting {
    /// In this process.
    Memory,
    /// In Redis or Valkey at this URL, which may hold a password.
    Redis(String),
}

impl fmt::Debug for StoreSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "Memory",
            Self::Redis(_) => "Redis([hidden])",
        })
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

/// Where policies come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSetting {
    /// This folder.
    Directory(PathBuf),
    /// The operator, through the cluster.
    Kubernetes,
}

/// What `serve` runs on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of policies.
    pub policies: Option<PathBuf>,
    /// Whether policies come from the cluster, and not from a folder.
    pub kubernetes: bool,
    /// The namespace of Vestibule in the cluster; `None`: that of the service account.
    pub namespace: Option<String>,
    /// The folder of secrets.
    pub secrets: Option<PathBuf>,
    /// The keyring file; without one, random keys.
    pub keyring: Option<PathBuf>,
    /// Where sessions are kept.
    pub store: StoreSetting,
    /// How many replicas of Redis should have the end of a session before it is acknowledged;
    /// `None`: as it fits the store.
    pub store_wait_replicas: Option<u8>,
    /// How much memory the sessions that were read lately may take.
    pub session_cache_bytes: usize,
    /// How many logins may begin per minute for one policy.
    pub logins_per_policy: u32,
    /// How many of them may be of one client; `None`: as is usual.
    pub logins_per_client: Option<u32>,
    /// The header in which the gateway tells the client's address; `None`: it does not.
    pub client_address_header: Option<String>,
    /// Whether `http` is accepted beyond loopback.
    pub allow_insecure_issuers: bool,
    /// Where browsers arrive.
    pub browser_addr: SocketAddr,
    /// Where gateways ask.
    pub check_addr: SocketAddr,
    /// Health, readiness, metrics.
    pub admin_addr: SocketAddr,
    /// The file of the token for `/policies` on the admin port, which does not exist without it, and
    /// for `/sessions` where there is no cluster to ask.
    pub admin_token_file: Option<PathBuf>,
    /// How logs are written.
    pub log_format: LogFormat,
    /// How long requests are accepted after the signal to stop.
    pub drain_delay: Duration,
    /// Where the bound addresses are written.
    pub addr_file: Option<PathBuf>,
}

impl Default for Settings {
    /// As `embedded` in the folder `policies`.
    fn default() -> Self {
        Self::embedded(PathBuf::from("policies"))
    }
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

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: {message}")]
pub struct SettingsError {
    /// The flag.
    pub flag: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl Settings {
    /// For running inside another program: sessions in memory, free ports on loopback, no delay
    /// when it stops.
    #[must_use]
    pub fn embedded(policies: PathBuf) -> Self {
        let free: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        Self {
            policies: Some(policies),
            kubernetes: false,
            namespace: None,
            secrets: None,
            keyring: None,
            store: StoreSetting::Memory,
            store_wait_replicas: None,
            session_cache_bytes: DEFAULT_BYTES,
            logins_per_policy: logins::PER_POLICY,
            logins_per_client: None,
            client_address_header: None,
            allow_insecure_issuers: false,
            browser_addr: free,
            check_addr: free,
            admin_addr: free,
            admin_token_file: None,
            log_format: LogFormat::Text,
            drain_delay: Duration::ZERO,
            addr_file: None,
        }
    }

    /// Where policies come from: one place.
    ///
    /// # Errors
    /// Where none or both are given, or what goes with the other.
    pub fn source(&self) -> Result<SourceSetting, SettingsError> {
        let wrong = |flag, message: &str| Err(SettingsError { flag, message: message.to_owned() });
        match (&self.policies, self.kubernetes) {
            (Some(_), true) => wrong(
                "--kubernetes",
                "goes without --policies: remove one of the two, policies come from one place",
            ),
            (None, false) => wrong(
                "--policies",
                "is required: give the folder of policies, or --kubernetes to take them from the \
                 operator",
            ),
            (Some(_), false) if self.namespace.is_some() => {
                wrong("--namespace", "goes with --kubernetes: remove it")
            }
            (Some(folder), false) => Ok(SourceSetting::Directory(folder.clone())),
            (None, true) if self.secrets.is_some() => wrong(
                "--secrets",
                "goes with --policies: remove it, the operator hands credentials over",
            ),
            (None, true) => Ok(SourceSetting::Kubernetes),
        }
    }

    /// How many logins may begin.
    ///
    /// # Errors
    /// Where the header is none, or a limit needs it and it is not given.
    pub fn login_limits(&self) -> Result<LoginLimits, SettingsError> {
        let wrong = |flag, message: &str| SettingsError { flag, message: message.to_owned() };
        let header = match &self.client_address_header {
            Some(name) => Some(name.parse().map_err(|_| {
                let message = "is no name of a header: write one such as X-Real-IP";
                wrong("--client-address-header", message)
            })?),
            None => None,
        };
        if header.is_none() && self.logins_per_client.is_some() {
            return Err(wrong(
                "--logins-per-client",
                "goes with --client-address-header: give it, or remove the limit, clients are not \
                 told apart",
            ));
        }
        let per_client = self.logins_per_client.unwrap_or(logins::PER_CLIENT);
        Ok(LoginLimits::new(self.logins_per_policy, per_client, header))
    }

    /// Checks what can be checked before anything is opened or bound.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let wrong = |flag, message| Err(SettingsError { flag, message });
        self.source()?;
        self.login_limits()?;
        for (flag, folder) in [("--policies", &self.policies), ("--secrets", &self.secrets)] {
            if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
                let path = folder.display();
                return wrong(flag, format!("{path} is no folder: create it or name another"));
            }
        }
        if let StoreSetting::Redis(_) = self.store
            && self.keyring.is_none()
        {
            return wrong(
                "--keyring",
                "is required with --store redis://…: give a file of keys, or every replica and \
                 restart would end all sessions"
                    .to_owned(),
            );
        }
        if self.store == StoreSetting::Memory && self.store_wait_replicas.is_some() {
            return wrong(
                "--store-wait-replicas",
                "goes with --store redis…: remove it, or give a store that has replicas".to_owned(),
            );
        }
        let files = [("--keyring", &self.keyring), ("--admin-token-file", &self.admin_token_file)];
        for (flag, file) in files {
            if let Some(file) = file.as_ref().filter(|file| !file.is_file()) {
                let path = file.display();
                return wrong(flag, format!("{path} is no file: create it or name another"));
            }
        }
        let ports = [
            ("--browser-addr", self.browser_addr),
            ("--check-addr", self.check_addr),
            ("--admin-addr", self.admin_addr),
        ];
        for (index, (flag, addr)) in ports.iter().enumerate() {
            for (other, taken) in &ports[..index] {
                if addr == taken && addr.port() != 0 {
                    return wrong(flag, format!("{addr} is {other} already: give another port"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
