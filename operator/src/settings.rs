//! The command line and its settings, typed and checked before anything is opened.
//!
//! Each flag is also a `VESTIBULE_OPERATOR_*` variable; there is no configuration file. An error
//! names the flag and the fix.

mod class;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use vestibule_crds::names;

use crate::reconcile::input::{ClassEntry, Installation};
use crate::verify::VerifyArguments;
use class::Class;

/// Where 64 is "wrong use of the command line" (`sysexits.h`, `EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// The operator of Vestibule: it compiles policies for authsvc and wires the gateways.
#[derive(Debug, Parser)]
#[command(name = "vestibule-operator", version, about)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the command does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch policies and what they name, until it is told to stop.
    Run(Box<RunArguments>),
    /// Ask authsvc's ports and see that they answer and refuse; what `helm test` runs.
    Verify(VerifyArguments),
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Vestibule's own namespace, where the compiled policies are
    #[arg(long, value_name = "NS", env = "VESTIBULE_OPERATOR_NAMESPACE")]
    namespace: String,
    /// The Service of authsvc's check port
    #[arg(
        long,
        value_name = "NAME",
        env = "VESTIBULE_OPERATOR_CHECK_SERVICE",
        default_value = "vestibule-check"
    )]
    check_service: String,
    /// The Service of authsvc's browser port
    #[arg(
        long,
        value_name = "NAME",
        env = "VESTIBULE_OPERATOR_BROWSER_SERVICE",
        default_value = "vestibule-browser"
    )]
    browser_service: String,
    /// The DNS domain of the cluster
    #[arg(
        long,
        value_name = "DOMAIN",
        env = "VESTIBULE_OPERATOR_CLUSTER_DOMAIN",
        default_value = "cluster.local"
    )]
    cluster_domain: String,
    /// Watch this namespace only; may be repeated. Without it: every namespace
    #[arg(long, value_name = "NS", env = "VESTIBULE_OPERATOR_SCOPE", value_delimiter = ',')]
    scope: Vec<String>,
    /// An ingress class that may be wired, as `NAME=CONTROLLER[:SERVED_BY]`, such as
    /// `traefik=traefik.io/ingress-controller` or `nginx=k8s.io/ingress-nginx:IngressNginx`
    #[arg(
        long,
        value_name = "CLASS",
        env = "VESTIBULE_OPERATOR_INGRESS_CLASS",
        value_delimiter = ',',
        value_parser = class::parse
    )]
    ingress_class: Vec<Class>,
    /// The Secret of the keyring and the admin token; it is created where there is none
    #[arg(
        long,
        value_name = "NAME",
        env = "VESTIBULE_OPERATOR_KEYS_SECRET",
        default_value = names::DEFAULT_KEYS_SECRET
    )]
    keys_secret: String,
    /// The labels of authsvc's pods
    #[arg(
        long,
        value_name = "SELECTOR",
        env = "VESTIBULE_OPERATOR_AUTHSVC_SELECTOR",
        default_value = "app.kubernetes.io/name=vestibule,app.kubernetes.io/component=authsvc"
    )]
    authsvc_selector: String,
    /// The admin port of authsvc's pods
    #[arg(
        long,
        value_name = "PORT",
        env = "VESTIBULE_OPERATOR_AUTHSVC_ADMIN_PORT",
        default_value_t = 8082
    )]
    authsvc_admin_port: u16,
    /// Accept http origins and issuers beyond loopback (for tests)
    #[arg(
        long,
        env = "VESTIBULE_OPERATOR_ALLOW_INSECURE_ISSUERS",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        value_parser = BoolishValueParser::new()
    )]
    allow_insecure_issuers: bool,
    /// Let Traefik believe `X-Forwarded-*` of the proxy before it
    #[arg(
        long,
        env = "VESTIBULE_OPERATOR_TRUST_FORWARD_HEADER",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        value_parser = BoolishValueParser::new()
    )]
    trust_forward_header: bool,
    /// The Lease that the leader holds
    #[arg(
        long,
        value_name = "NAME",
        env = "VESTIBULE_OPERATOR_LEASE",
        default_value = "vestibule-operator"
    )]
    lease: String,
    /// The name of this process in the Lease; unique among the replicas
    #[arg(long, value_name = "NAME", env = "VESTIBULE_OPERATOR_IDENTITY")]
    identity: Option<String>,
    /// After this time without a word from the leader another one follows
    #[arg(
        long,
        value_name = "DURATION",
        env = "VESTIBULE_OPERATOR_LEASE_DURATION",
        default_value = "15s",
        value_parser = vestibule_policy::duration::parse
    )]
    lease_duration: Duration,
    /// Health, readiness and metrics
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "VESTIBULE_OPERATOR_ADMIN_ADDR",
        default_value = "0.0.0.0:8083",
        value_parser = address
    )]
    admin_addr: SocketAddr,
    /// How logs are written to standard error; the variable `VESTIBULE_LOG` filters them (default: info)
    #[arg(
        long,
        value_name = "FORMAT",
        env = "VESTIBULE_OPERATOR_LOG_FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
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

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write IP:PORT such as 0.0.0.0:8083".to_owned())
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

/// What `run` runs on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How Vestibule is installed.
    pub installation: Installation,
    /// The namespaces that are watched; empty: all.
    pub scope: BTreeSet<String>,
    /// The Secret of the keyring and the admin token.
    pub keys_secret: String,
    /// The labels of authsvc's pods.
    pub authsvc_selector: String,
    /// Their admin port.
    pub authsvc_admin_port: u16,
    /// The Lease.
    pub lease: String,
    /// The name of this process in it.
    pub identity: String,
    /// How long the Lease lasts.
    pub lease_duration: Duration,
    /// Health, readiness, metrics.
    pub admin_addr: SocketAddr,
    /// How logs are written.
    pub log_format: LogFormat,
}

impl TryFrom<RunArguments> for Settings {
    type Error = SettingsError;

    fn try_from(arguments: RunArguments) -> Result<Self, SettingsError> {
        let wrong = |flag, message: &str| Err(SettingsError { flag, message: message.to_owned() });
        let given = arguments.identity.or_else(|| std::env::var("HOSTNAME").ok());
        let Some(identity) = given.filter(|identity| !identity.is_empty()) else {
            return wrong("--identity", "the variable HOSTNAME is not set: give a unique name");
        };
        for (flag, text) in [
            ("--namespace", &arguments.namespace),
            ("--check-service", &arguments.check_service),
            ("--browser-service", &arguments.browser_service),
            ("--cluster-domain", &arguments.cluster_domain),
            ("--keys-secret", &arguments.keys_secret),
            ("--lease", &arguments.lease),
            ("--authsvc-selector", &arguments.authsvc_selector),
        ] {
            if text.is_empty() {
                return wrong(flag, "is empty: give a name");
            }
        }
        if !(Duration::from_secs(3)..=Duration::from_mins(5)).contains(&arguments.lease_duration) {
            return wrong("--lease-duration", "write a duration between 3s and 300s");
        }
        let mut classes: BTreeMap<String, ClassEntry> = BTreeMap::new();
        for Class { name, entry } in arguments.ingress_class {
            if classes.insert(name.clone(), entry).is_some() {
                let message = format!("names the class `{name}` twice: remove one");
                return Err(SettingsError { flag: "--ingress-class", message });
            }
        }
        Ok(Self {
            installation: Installation {
                namespace: arguments.namespace,
                check_service: arguments.check_service,
                browser_service: arguments.browser_service,
                cluster_domain: arguments.cluster_domain,
                classes,
                allow_insecure: arguments.allow_insecure_issuers,
                trust_forward_header: arguments.trust_forward_header,
            },
            scope: arguments.scope.into_iter().filter(|name| !name.is_empty()).collect(),
            keys_secret: arguments.keys_secret,
            authsvc_selector: arguments.authsvc_selector,
            authsvc_admin_port: arguments.authsvc_admin_port,
            lease: arguments.lease,
            identity,
            lease_duration: arguments.lease_duration,
            admin_addr: arguments.admin_addr,
            log_format: arguments.log_format,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::input::ServedBy;

    fn parse(arguments: &[&str]) -> Result<Settings, String> {
        let fixed = ["vestibule-operator", "run", "--namespace", "v", "--identity", "me"];
        let line = fixed.into_iter().chain(arguments.iter().copied());
        let line = CommandLine::try_parse_from(line).map_err(|error| error.to_string())?;
        let Command::Run(arguments) = line.command else { panic!("run was asked for") };
        Settings::try_from(*arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings.installation.check_service, "vestibule-check");
        assert_eq!(settings.installation.browser_service, "vestibule-browser");
        assert_eq!(settings.installation.cluster_domain, "cluster.local");
        assert_eq!(settings.keys_secret, "vestibule-keys");
        assert_eq!(settings.admin_addr.to_string(), "0.0.0.0:8083");
        assert_eq!(settings.lease_duration, Duration::from_secs(15));
        assert!(settings.scope.is_empty() && !settings.installation.allow_insecure);
    }

    #[test]
    fn lists_are_repeated_or_separated_by_commas() {
        let classes = "nginx=k8s.io/ingress-nginx:Traefik,traefik=traefik.io/ingress-controller";
        let settings =
            parse(&["--ingress-class", classes, "--scope", "a,b", "--scope", "c"]).unwrap();
        assert_eq!(settings.scope.iter().map(String::as_str).collect::<String>(), "abc");
        let classes = &settings.installation.classes;
        assert_eq!(classes["nginx"].served_by, Some(ServedBy::Traefik));
        assert_eq!(classes["traefik"].controller, "traefik.io/ingress-controller");
    }

    #[test]
    fn a_setting_that_cannot_work_names_the_flag_and_the_fix() {
        for (arguments, flag, fix) in [
            (vec!["--ingress-class", "nginx"], "--ingress-class", "NAME=CONTROLLER"),
            (vec!["--ingress-class", "n=k8s.io/ingress-nginx"], "--ingress-class", "IngressNginx"),
            (vec!["--ingress-class", "n=example.com/x"], "--ingress-class", "k8s.io/ingress-nginx"),
            (
                vec!["--ingress-class", "t=traefik.io/ingress-controller:Traefik"],
                "--ingress-class",
                "leave",
            ),
            (
                vec![
                    "--ingress-class",
                    "t=traefik.io/ingress-controller,t=traefik.io/ingress-controller",
                ],
                "--ingress-class",
                "remove one",
            ),
            (vec!["--lease-duration", "1s"], "--lease-duration", "between"),
            (vec!["--admin-addr", "x"], "--admin-addr", "0.0.0.0:8083"),
            (vec!["--lease", ""], "--lease", "give"),
        ] {
            let error = parse(&arguments).unwrap_err();
            assert!(error.contains(flag) && error.contains(fix), "{error}");
        }
    }
}
