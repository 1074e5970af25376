//! `make cluster` and `make cluster-down`: leaves a cluster running, or removes it. `hold` removes it
//! when its input closes; `reap` is for the harness alone.

use std::process::ExitCode;

use vestibule_e2e::cluster::{self, Cluster};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("up") => {
            let cluster = start();
            println!("The API server is {}; `make cluster-down` removes it.", cluster.api_server());
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

fn start() -> Cluster {
    let cluster = Cluster::start();
    println!("export KUBECONFIG={}", cluster.kubeconfig());
    cluster
}
