//! `make cluster` and `make cluster-down`: leaves a cluster running, or removes it. `hold` removes it
//! when its input closes; `reap` is for the harness alone.

use std::process::ExitCode;

use vestibule_e2e::app::App;
use vestibule_e2e::cluster::{self, Cluster};
use vestibule_e2e::installation::{self, Guise};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("up") => {
            let cluster = start();
            installation::install(&cluster);
            show(&cluster, App::start(&cluster, "demo", Guise::Traefik));
            cluster.keep();
        }
        Some("hold") => {
            let _cluster = start();
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        }
        Some("down") => {
            let removed = Cluster::remove_kept();
            println!("{}", if removed { "The cluster is removed." } else { "There is none." });
        }
        Some("reap") => cluster::reap(),
        _ => {
            eprintln!("usage: cluster up | down | hold");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Says what there is to see, and leaves the app's provider running.
fn show(cluster: &Cluster, app: App) {
    let gateway = cluster.gateway(app.guise, 8443);
    println!("{}", cluster.kubectl(&["-n", &app.namespace, "get", "bffpolicies,ingresses"]));
    println!(
        "The app is {} (log in as alice, with any password). On this machine:\n  chromium \
         --host-resolver-rules='MAP {} {gateway}' --ignore-certificate-errors {}\n  curl -k \
         --connect-to ::{gateway} {}\n`make cluster-down` removes everything.",
        app.origin(),
        app.host,
        app.url("/page/"),
        app.url("/bff/session"),
    );
    cluster.adopt("oidc-provider", app.provider.into_process());
}

fn start() -> Cluster {
    let cluster = Cluster::start();
    println!("export KUBECONFIG={}", cluster.kubeconfig());
    cluster
}
