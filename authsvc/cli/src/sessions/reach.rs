//! How authsvc is reached, and with which token: by `--server` where it runs standalone, else through
//! the cluster of the kubeconfig.

use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::SecretString;
use url::Url;

use super::SessionsError;
use super::connection::Connection;
use super::kubernetes;

/// The flags that say how authsvc is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "How authsvc is reached")]
pub struct ReachArguments {
    /// The admin port of a standalone authsvc; without it the cluster of the kubeconfig
    #[arg(long, value_name = "URL", requires = "token_file")]
    server: Option<Url>,
    /// The file of the token to show: with --server the admin token, else one of a user of the cluster
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// In the cluster: the namespace of Vestibule
    #[arg(long, short, value_name = "NAMESPACE", default_value = "vestibule-system")]
    namespace: String,
    /// In the cluster: the Helm release, where the namespace has several
    #[arg(long, value_name = "NAME", conflicts_with = "server")]
    release: Option<String>,
    /// In the cluster: act as this service account, where the kubeconfig has no token but a certificate
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with_all = ["server", "token_file"])]
    service_account: Option<String>,
    /// The kubeconfig; without it that of KUBECONFIG, or ~/.kube/config
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; without it the current one
    #[arg(long, value_name = "NAME", conflicts_with = "server")]
    context: Option<String>,
}

impl ReachArguments {
    /// Opens the way.
    pub async fn connect(self) -> Result<Connection, SessionsError> {
        let token = self.token_file.as_deref().map(read_token).transpose()?;
        match (self.server, token) {
            (Some(server), Some(token)) => to_server(server, &token),
            (Some(_), None) => {
                Err(SessionsError::Usage("--server: give --token-file too".to_owned()))
            }
            (None, token) => {
                let place = kubernetes::Place {
                    kubeconfig: self.kubeconfig,
                    context: self.context,
                    namespace: self.namespace,
                    release: self.release,
                };
                let identity = match (token, self.service_account) {
                    (Some(token), _) => kubernetes::Identity::Token(token),
                    (None, Some(account)) => service_account(&account)?,
                    (None, None) => kubernetes::Identity::OfKubeconfig,
                };
                kubernetes::connect(place, identity).await
            }
        }
    }
}

fn to_server(server: Url, token: &SecretString) -> Result<Connection, SessionsError> {
    if !matches!(server.scheme(), "http" | "https") || server.host().is_none() {
        return Err(SessionsError::Usage("--server: write http(s)://HOST:PORT".to_owned()));
    }
    if !server.username().is_empty() || server.password().is_some() {
        return Err(SessionsError::Usage(
            "--server: leave the user out; the token of --token-file is shown".to_owned(),
        ));
    }
    Connection::to_url(server, token)
}

fn read_token(path: &Path) -> Result<SecretString, SessionsError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| SessionsError::Usage(format!("--token-file: {shown}: {error}")))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SessionsError::Usage(format!("--token-file: {shown} holds no token")));
    }
    Ok(SecretString::from(token))
}

fn service_account(text: &str) -> Result<kubernetes::Identity, SessionsError> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok(kubernetes::Identity::ServiceAccount {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
        }
        _ => Err(SessionsError::Usage("--service-account: write NAMESPACE/NAME".to_owned())),
    }
}
