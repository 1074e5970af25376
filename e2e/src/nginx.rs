//! nginx, as a normal process with its files in a folder of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::gateway::Wiring;
use crate::process::{Process, accepts};
use crate::tools::repository;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
}

impl Nginx {
    /// Starts it with the repository's file `configuration` in its `http` block.
    #[must_use]
    pub fn start(dir: &Path, configuration: &str, wiring: &Wiring) -> Self {
        Self::start_for(dir, configuration, wiring, &[])
    }

    /// The same, for a policy whose authorities have these bases, see [`Wiring::fill`].
    #[must_use]
    pub fn start_for(dir: &Path, configuration: &str, wiring: &Wiring, bases: &[&str]) -> Self {
        let example = std::fs::read_to_string(repository().join(configuration))
            .unwrap_or_else(|error| panic!("{configuration}: {error}"));
        let servers = wiring.fill(&example, bases);
        Self::launch(dir, MAIN, &servers, wiring.listen)
    }

    /// Starts it to be measured, with these servers, one of which is at `listen`: it writes no access
    /// log, and keeps a client's connection as long as the client does.
    #[must_use]
    pub fn start_to_measure(dir: &Path, servers: &str, listen: SocketAddr) -> Self {
        let settings = "access_log off; keepalive_requests 1000000000;";
        let main = MAIN
            .replace("access_log DIR/access.log;", settings)
            .replace("error.log info", "error.log warn");
        Self::launch(dir, &main, servers, listen)
    }

    /// Its process id; its worker is a child.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    fn launch(dir: &Path, main: &str, servers: &str, listen: SocketAddr) -> Self {
        let dir = dir.join("nginx");
        std::fs::create_dir_all(&dir).expect("a writable folder");
        std::fs::write(dir.join("server.conf"), servers).expect("a writable folder");
        let file = dir.join("nginx.conf");
        std::fs::write(&file, main.replace("DIR", &dir.display().to_string()))
            .expect("a writable folder");

        let program =
            if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut command = Command::new(program);
        command.arg("-e").arg(dir.join("error.log")).arg("-c").arg(file);
        let mut process = Process::spawn("nginx", &mut command, &dir.join("nginx.log"));
        process.wait_ready(Duration::from_secs(20), || accepts(listen).then_some(()));
        Self { process }
    }
}

// One worker: its pool of connections to the check port is then the only one.
const MAIN: &str = "
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_set_misc_module.so;
user root;
daemon off;
worker_processes 1;
pid DIR/nginx.pid;
error_log DIR/error.log info;
events { worker_connections 512; }
http {
    access_log DIR/access.log;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    include DIR/server.conf;
}
";
