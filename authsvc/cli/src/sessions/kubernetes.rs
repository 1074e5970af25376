//! The way to authsvc in a cluster: a port-forward to one of its pods, as `kubectl port-forward` does,
//! and a token that says who asks.
//!
//! It shows the token to that pod alone. A token that is made for this (`--service-account`) is worth
//! nothing elsewhere: it has an audience of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;

use http::header::AUTHORIZATION;
use http::{Request, Response};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use secrecy::SecretString;
use tower::{BoxError, Layer as _, ServiceExt as _};
use vestibule_authsvc::admin::access::AUDIENCE;

use super::SessionsError;
use super::connection::Connection;

/// As the chart labels authsvc's pods.
const SELECTOR: &str = "app.kubernetes.io/component=authsvc";
/// The label of the Helm release.
const RELEASE: &str = "app.kubernetes.io/instance";
/// As the chart names the port.
const PORT: &str = "admin";
/// How long a token lives that is made for one command: no API server makes shorter ones.
const TOKEN_SECONDS: i64 = 600;

/// Where Vestibule is.
pub struct Place {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: String,
    pub release: Option<String>,
}

/// Who asks.
pub enum Identity {
    /// Whose token this is.
    Token(SecretString),
    /// The kubeconfig's user.
    OfKubeconfig,
    /// A service account that the kubeconfig's user may make tokens for.
    ServiceAccount { namespace: String, name: String },
}

/// Forwards a port of a ready pod.
pub async fn connect(place: Place, identity: Identity) -> Result<Connection, SessionsError> {
    let config = config(&place).await?;
    let client = Client::try_from(config.clone())
        .map_err(|error| SessionsError::Reach(format!("the kubeconfig cannot be used: {error}")))?;
    let token = match identity {
        Identity::Token(token) => token,
        Identity::OfKubeconfig => own_token(&config).await?,
        Identity::ServiceAccount { namespace, name } => {
            token_of(&client, &namespace, &name).await?
        }
    };
    let namespace = &place.namespace;
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let listed = pods.list(&ListParams::default().labels(SELECTOR)).await.map_err(|error| {
        refused(&error, &format!("the right to list pods in the namespace {namespace}"))
    })?;
    let ready = ready_pods(&listed.items, &place)?;
    let mut failed = None;
    for (pod, port) in ready {
        match pods.portforward(&pod, &[port]).await {
            Ok(mut forwarder) => {
                let stream = forwarder.take_stream(port).ok_or_else(|| {
                    SessionsError::Reach(format!("port {port} of the pod {pod} is not forwarded"))
                })?;
                return Connection::over(stream, &token).await;
            }
            Err(error) => {
                let right = format!(
                    "the rights to get and create pods/portforward in the namespace {namespace}"
                );
                failed = Some(refused(&error, &right));
            }
        }
    }
    Err(failed.unwrap_or_else(|| no_pod(&place)))
}

async fn config(place: &Place) -> Result<Config, SessionsError> {
    let unusable = |error: kube::config::KubeconfigError| {
        SessionsError::Usage(format!(
            "there is no way to a cluster: {error}; give --kubeconfig or --context, or --server \
             for a standalone authsvc"
        ))
    };
    let options =
        KubeConfigOptions { context: place.context.clone(), ..KubeConfigOptions::default() };
    let config = match &place.kubeconfig {
        Some(file) => {
            let kubeconfig = Kubeconfig::read_from(file).map_err(unusable)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await
        }
        None => Config::from_kubeconfig(&options).await,
    };
    config.map_err(unusable)
}

/// Names and admin ports of the pods that are ready.
fn ready_pods(pods: &[Pod], place: &Place) -> Result<Vec<(String, u16)>, SessionsError> {
    let of_release =
        |pod: &&Pod| place.release.is_none() || pod.labels().get(RELEASE) == place.release.as_ref();
    let ready: Vec<&Pod> = pods.iter().filter(of_release).filter(|pod| is_ready(pod)).collect();
    let releases: BTreeSet<&str> =
        ready.iter().filter_map(|pod| pod.labels().get(RELEASE)).map(String::as_str).collect();
    if releases.len() > 1 {
        let names = Vec::from_iter(releases).join(", ");
        return Err(SessionsError::Usage(format!(
            "the namespace {} has several installations: give --release, one of {names}",
            place.namespace
        )));
    }
    let found: Vec<_> =
        ready.into_iter().filter_map(|pod| Some((pod.name_any(), admin_port(pod)?))).collect();
    if found.is_empty() { Err(no_pod(place)) } else { Ok(found) }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn admin_port(pod: &Pod) -> Option<u16> {
    let containers = &pod.spec.as_ref()?.containers;
    let mut ports = containers.iter().filter_map(|one| one.ports.as_ref()).flatten();
    let port = ports.find(|port| port.name.as_deref() == Some(PORT))?;
    u16::try_from(port.container_port).ok()
}

fn no_pod(place: &Place) -> SessionsError {
    SessionsError::Reach(format!(
        "no pod of authsvc is ready in the namespace {}{}: name Vestibule's with --namespace",
        place.namespace,
        place.release.as_ref().map(|name| format!(" of the release {name}")).unwrap_or_default()
    ))
}

/// The token that the kubeconfig's user shows to the API server, where it is one.
async fn own_token(config: &Config) -> Result<SecretString, SessionsError> {
    let unusable = |error: &dyn std::fmt::Display| {
        SessionsError::Reach(format!("the kubeconfig gives no token: {error}"))
    };
    let none = || {
        SessionsError::Usage(
            "the kubeconfig's user has no bearer token (but a certificate, perhaps): give \
             --service-account NAMESPACE/NAME, or --token-file"
                .to_owned(),
        )
    };
    let layer = config.auth_layer().map_err(|error| unusable(&error))?.ok_or_else(none)?;
    // The layer only writes a header: what it writes is the token.
    let seen = tower::service_fn(|request: Request<Body>| async move {
        Ok::<_, BoxError>(Response::new(request.headers().get(AUTHORIZATION).cloned()))
    });
    let header = layer.layer(seen).oneshot(Request::new(Body::empty())).await;
    let header = header.map_err(|error| unusable(&error))?.into_body();
    let token = header.as_ref().and_then(|header| header.to_str().ok()?.strip_prefix("Bearer "));
    token.map(SecretString::from).ok_or_else(none)
}

/// A token of a service account, for authsvc alone.
async fn token_of(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<SecretString, SessionsError> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let wanted = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(vec![AUDIENCE.to_owned()]),
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let made = accounts.create_token_request(name, &PostParams::default(), &wanted).await;
    let made = made.map_err(|error| {
        refused(&error, &format!("the right to create serviceaccounts/token of {namespace}/{name}"))
    })?;
    made.status
        .and_then(|status| status.token)
        .map(SecretString::from)
        .ok_or_else(|| SessionsError::Reach("the API server made no token".to_owned()))
}

fn refused(error: &kube::Error, right: &str) -> SessionsError {
    let is_forbidden = match error {
        kube::Error::Api(status) => status.code == 403,
        kube::Error::UpgradeConnection(upgrade) => upgrade.to_string().contains("403"),
        _ => false,
    };
    if is_forbidden {
        SessionsError::Refused(format!("you lack {right}"))
    } else {
        SessionsError::Reach(format!("the cluster: {error}"))
    }
}
