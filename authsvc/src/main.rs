//! The `vestibule-authsvc` command: reads the command line and starts what it asks for.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use vestibule_authsvc::server;
use vestibule_authsvc::settings::{Command, CommandLine, EXIT_USAGE};

/// How many ready sockets the runtime takes from the kernel at a time. Fewer than fit into a worker's own
/// queue, and than it runs before it asks again: what does not fit there goes to one that is seldom
/// served, so that some requests would wait for seconds behind others that came later.
const READY_AT_A_TIME: usize = 32;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_io_events_per_tick(READY_AT_A_TIME)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(command()),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "vestibule-authsvc: no threads: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn command() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Nobody is left to tell where standard error is gone.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match line.command {
        Command::Serve(arguments) => match server::run(arguments.into()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "vestibule-authsvc: {error}");
                error.exit_code().into()
            }
        },
        Command::CheckPolicies(arguments) => {
            let (mut out, mut errors) = (std::io::stdout().lock(), std::io::stderr().lock());
            vestibule_authsvc::check_policies::run(&arguments, &mut out, &mut errors).into()
        }
    }
}
