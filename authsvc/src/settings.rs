//! What `serve` runs on, checked before anything is bound. How it is written is in `arguments`.
//!
//! There is no configuration file. An error names the flag and the fix, and never shows a store's URL: it
//! may hold a password.

mod arguments;
mod size;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::overload::logins::{self, LoginLimits};
use crate::session::cache::DEFAULT_BYTES;
pub use arguments::{CheckArguments, Command, CommandLine, ServeArguments};

/// Where 64 is "wrong use of the command line" (`sysexits.h`, `EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

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
