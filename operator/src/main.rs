//! The `vestibule-operator` command: reads the command line and starts what it asks for.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use vestibule_operator::run::run;
use vestibule_operator::settings::{Command, CommandLine, EXIT_USAGE, Settings};
use vestibule_operator::verify::verify;

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
    let arguments = match line.command {
        Command::Run(arguments) => arguments,
        Command::Verify(arguments) => {
            return match verify(&arguments).await {
                Ok(text) => {
                    let _ = writeln!(std::io::stdout(), "{text}");
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    let _ = writeln!(std::io::stderr(), "vestibule-operator: {error}");
                    ExitCode::FAILURE
                }
            };
        }
    };
    let settings = match Settings::try_from(*arguments) {
        Ok(settings) => settings,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "vestibule-operator: {error}");
            return EXIT_USAGE.into();
        }
    };
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "vestibule-operator: {error}");
            error.exit_code().into()
        }
    }
}
