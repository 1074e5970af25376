//! The `vestibule-authsvc` command: reads the command line and starts what it asks for.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use vestibule_authsvc::server;
use vestibule_authsvc::settings::{Command, CommandLine, EXIT_USAGE};

#[tokio::main]
async fn main() -> ExitCode {
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
