//! `vestibule demo`: a provider, a gateway, authsvc, an app and its API in one process, so that one
//! command shows a login from end to end. Everything is in memory or in a temporary folder.
//!
//! It must stay a demo: authsvc is the very library that servers run, all else is a stand-in.

mod api;
pub mod authsvc;
mod gateway;
mod policy;
mod provider;
mod spa;

use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use authsvc::{SystemClock, SystemRandom};
use provider::{Provider, Registration};

/// The flags of `vestibule demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// The port of the app, on localhost; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Do not open a browser.
    #[arg(long)]
    no_open: bool,
}

/// The demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Another program has the port.
    #[error(
        "port {0} is in use by another program; choose another one with --port, such as --port {1}"
    )]
    PortInUse(u16, u16),
    /// The computer refused something.
    #[error("{0}: {1}")]
    Io(&'static str, #[source] std::io::Error),
    /// The provider's key.
    #[error(transparent)]
    Key(#[from] provider::KeyError),
    /// authsvc did not start.
    #[error("authsvc does not start: {0}")]
    Authsvc(String),
}

/// Runs the demo until Ctrl-C.
pub fn run(arguments: &DemoArguments) -> Result<(), DemoError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| DemoError::Io("the runtime does not start", error))?
        .block_on(serve(arguments))
}

async fn serve(arguments: &DemoArguments) -> Result<(), DemoError> {
    // The public port first: it is the one that may be taken.
    let gateway = bind_localhost(arguments.port).await?;
    let port = local_addr(&gateway[0])?.port();
    let origin = format!("http://localhost:{port}");

    let provider_listener = bind_loopback().await?;
    let issuer = format!("http://{}", local_addr(&provider_listener)?);
    let client = Registration {
        id: "demo-shop".to_owned(),
        secret: provider::random_id(&SystemRandom),
        redirect_uri: format!("{origin}/bff/callback"),
        post_logout_redirect_uri: format!("{origin}/"),
        scopes: &provider::SHOP_SCOPES,
    };
    let folder = policy::write(&origin, &issuer, &client)
        .map_err(|error| DemoError::Io("the demo's policy cannot be written", error))?;
    let provider = Arc::new(Provider::new(
        issuer.clone(),
        client,
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
    )?);

    let mut servers = JoinSet::new();
    spawn(&mut servers, provider_listener, Arc::clone(&provider).router());
    let authsvc = authsvc::start(&folder).await?;
    let spa_listener = bind_loopback().await?;
    let api_listener = bind_loopback().await?;
    let upstreams = gateway::Upstreams {
        check: authsvc.check_addr,
        browser: authsvc.browser_addr,
        api: local_addr(&api_listener)?,
        spa: local_addr(&spa_listener)?,
    };
    spawn(&mut servers, spa_listener, spa::router());
    spawn(&mut servers, api_listener, api::router(provider));
    let router = gateway::router(upstreams);
    for listener in gateway {
        spawn(&mut servers, listener, router.clone());
    }

    announce(&origin, &issuer)
        .map_err(|error| DemoError::Io("standard output cannot be written", error))?;
    if !arguments.no_open && std::io::stdout().is_terminal() {
        open_browser(&origin);
    }
    stopped().await;
    authsvc.shutdown().await;
    servers.abort_all();
    Ok(())
}

/// `localhost` is `127.0.0.1` for some browsers and `::1` for others; a computer may lack the
/// latter.
async fn bind_localhost(port: u16) -> Result<Vec<TcpListener>, DemoError> {
    let in_use = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            DemoError::PortInUse(port, port.checked_add(1).unwrap_or(8081))
        }
        _ => DemoError::Io("the port of the app cannot be opened", error),
    };
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(in_use)?;
    let port = local_addr(&v4)?.port();
    let mut listeners = vec![v4];
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(v6) => listeners.push(v6),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => return Err(in_use(error)),
        Err(_) => {}
    }
    Ok(listeners)
}

async fn bind_loopback() -> Result<TcpListener, DemoError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(|error| DemoError::Io("no free loopback port", error))
}

fn local_addr(listener: &TcpListener) -> Result<SocketAddr, DemoError> {
    listener.local_addr().map_err(|error| DemoError::Io("a port's number is not known", error))
}

fn spawn(servers: &mut JoinSet<std::io::Result<()>>, listener: TcpListener, router: Router) {
    let service: IntoMakeServiceWithConnectInfo<Router, SocketAddr> =
        router.into_make_service_with_connect_info();
    servers.spawn(async move {
        let listener = listener.tap_io(|stream| {
            // Without it small answers wait for an acknowledgement; with an error they just do.
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, service).await
    });
}

fn announce(origin: &str, issuer: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n  Vestibule demo\n")?;
    writeln!(out, "  App       {origin}")?;
    writeln!(out, "  Provider  {issuer}\n")?;
    for user in &provider::USERS {
        writeln!(
            out,
            "  Log in as {:<7} password {:<7} groups: {}",
            user.username,
            user.password,
            user.groups.join(", ")
        )?;
    }
    writeln!(
        out,
        "
  Try       call the API before and after the login, and see what reached it
            place an order: a POST that another site could not forge
            open the admin area as demo, then as guest
            pay: the provider asks for a second step (code 123456)
            go to Production: a narrow token for each area, only when it is needed
            log out, and call the API again

  Ctrl-C stops the demo.\n"
    )?;
    out.flush()
}

/// Best effort: the URL is on the terminal.
fn open_browser(url: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = Command::new(opener)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    drop(quiet);
}

/// Waits for Ctrl-C, or for the signal that supervisors send.
async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
