//! Traefik, with its file provider.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::gateway::Wiring;
use crate::http::Request;
use crate::process::Process;
use crate::tools::{cached, repository, version};

/// What makes the example's router ask Vestibule.
const CHECKED: &str = "middlewares: [vestibule]";

/// A running Traefik.
#[derive(Debug)]
pub struct Traefik {
    process: Process,
}

impl Traefik {
    /// Starts it with the repository's example, and `aliasHeadersStrategy` set to `aliases`.
    #[must_use]
    pub fn start(dir: &Path, wiring: &Wiring, bases: &[&str], aliases: &str) -> Self {
        Self::launch(dir, wiring, bases, aliases, CHECKED)
    }

    /// Starts it with the example but for the middleware, so that it asks nobody: what a request costs
    /// without us.
    #[must_use]
    pub fn start_unprotected(dir: &Path, wiring: &Wiring) -> Self {
        Self::launch(dir, wiring, &[], "reject", "")
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// `checked` stands where the example's router names the middleware.
    fn launch(dir: &Path, wiring: &Wiring, bases: &[&str], aliases: &str, checked: &str) -> Self {
        let dir = dir.join("traefik");
        std::fs::create_dir_all(&dir).expect("a writable folder");
        let example = |name: &str| {
            let path = repository().join("docs/gateways/traefik").join(name);
            let text = std::fs::read_to_string(&path).expect("the example is there");
            wiring.fill(&text, bases)
        };
        let strategy = "aliasHeadersStrategy: reject";
        let main = example("traefik.yaml");
        assert!(main.contains(strategy), "the example refuses aliases");
        let main = main
            .replace("/etc/traefik", &dir.display().to_string())
            .replace(strategy, &format!("aliasHeadersStrategy: {aliases}"));
        std::fs::write(dir.join("traefik.yaml"), main).expect("a writable folder");
        let dynamic = example("dynamic.yaml");
        assert!(dynamic.contains(CHECKED), "the example's app is protected");
        let dynamic = dynamic.replace(CHECKED, checked);
        std::fs::write(dir.join("dynamic.yaml"), dynamic).expect("writable");

        let program = cached(&format!("traefik-{}/traefik", version("TRAEFIK_VERSION")));
        let mut command = Command::new(program);
        command.arg(format!("--configFile={}", dir.join("traefik.yaml").display()));
        let mut process = Process::spawn("traefik", &mut command, &dir.join("traefik.log"));
        // It listens before it has read its routers; until then every path is 404.
        let host = wiring.origin.split("://").nth(1).expect("an origin has a host");
        process.wait_ready(Duration::from_secs(30), || {
            let answer = Request::get("/bff/session", host).try_send(wiring.listen)?;
            (answer.status != 404).then_some(())
        });
        Self { process }
    }
}
