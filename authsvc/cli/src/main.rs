//! The `vestibule` command: `demo`, `check-policies` and `sessions`. As `kubectl-vestibule` it is a
//! plugin of kubectl.
//!
//! It only reads the command line; each subcommand has its own module.

mod demo;
mod sessions;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use vestibule_authsvc::check_policies;
use vestibule_authsvc::settings::{CheckArguments, EXIT_USAGE};

/// Backend for Frontend at the ingress.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "it is made once, when the program starts")]
enum Command {
    /// Run a whole example on this computer: provider, gateway, authsvc, app and API.
    Demo(demo::DemoArguments),
    /// Check a folder of policies, and print every error with its file, line and field.
    CheckPolicies(CheckArguments),
    /// List and end the sessions of users.
    Sessions(sessions::SessionsArguments),
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Standard error is gone: nobody is left to tell.
            let _ = error.print();
            return exit_code(&error).into();
        }
    };
    let result = match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments).map_err(|error| (1, error.to_string())),
        Command::Sessions(arguments) => {
            let mut terminal = sessions::Terminal {
                out: &mut std::io::stdout().lock(),
                questions: &mut std::io::stderr().lock(),
                input: &mut std::io::stdin().lock(),
            };
            sessions::run(arguments, &mut terminal)
                .map_err(|error| (if error.is_usage() { EXIT_USAGE } else { 1 }, error.to_string()))
        }
        Command::CheckPolicies(arguments) => {
            let (mut out, mut errors) = (std::io::stdout().lock(), std::io::stderr().lock());
            return check_policies::run(&arguments, &mut out, &mut errors).into();
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            // Standard error is gone: nobody is left to tell.
            let _ = writeln!(std::io::stderr(), "vestibule: {error}");
            code.into()
        }
    }
}

/// Reads the command line. kubectl runs its plugins by their file's name, `kubectl-vestibule`, and its
/// users write `kubectl vestibule`.
fn parse(line: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let line: Vec<OsString> = line.into_iter().collect();
    let program = line.first().and_then(|path| Path::new(path).file_stem());
    let command = match program.and_then(OsStr::to_str) {
        Some("kubectl-vestibule") => Arguments::command().bin_name("kubectl vestibule"),
        _ => Arguments::command(),
    };
    Arguments::from_arg_matches(&command.try_get_matches_from(line)?)
}

/// As `vestibule-authsvc` does; asking for help is no mistake.
fn exit_code(error: &clap::Error) -> u8 {
    if error.use_stderr() { EXIT_USAGE } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn checked(folder: &Path) -> (u8, String, String) {
        let line = ["vestibule", "check-policies", folder.to_str().unwrap()];
        let Command::CheckPolicies(arguments) = parse(line.map(Into::into)).unwrap().command else {
            panic!("check-policies was asked for");
        };
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let code = check_policies::run(&arguments, &mut out, &mut errors);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
    }

    #[test]
    fn wrong_use_exits_with_64_and_help_with_0() {
        for (line, code) in [
            (vec!["vestibule"], 64),
            (vec!["vestibule", "check-policies"], 64),
            (vec!["vestibule", "demo", "--port", "x"], 64),
            (vec!["vestibule", "sessions"], 64),
            (vec!["vestibule", "sessions", "list", "--older-than", "2"], 64),
            (vec!["vestibule", "sessions", "list", "--server", "http://localhost:8082"], 64),
            (vec!["vestibule", "--help"], 0),
            (vec!["kubectl-vestibule", "sessions", "end", "--help"], 0),
            (vec!["vestibule", "--version"], 0),
        ] {
            let error = parse(line.iter().map(Into::into)).unwrap_err();
            // Without arguments clap prints its help, to standard error.
            assert_eq!(exit_code(&error), code, "{line:?}");
        }
    }

    #[test]
    fn as_a_plugin_of_kubectl_it_is_called_so() {
        for (program, called) in [
            ("/usr/local/bin/kubectl-vestibule", "Usage: kubectl vestibule sessions list"),
            ("/usr/local/bin/vestibule", "Usage: vestibule sessions list"),
        ] {
            let line = [program, "sessions", "list", "--help"];
            let help = parse(line.map(Into::into)).unwrap_err().to_string();
            assert!(help.contains(called), "{help}");
        }
    }

    #[test]
    fn check_policies_tells_what_it_found() {
        let folder = tempfile::tempdir().unwrap();
        let (code, out, errors) = checked(folder.path());
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(errors.starts_with("no policies in "), "{errors}");
        let good = "\
apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {name: corp}
spec: {issuer: https://id.example.com}
---
apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {name: shop}
spec:
  origins: [https://shop.example.com]
  providerRef: {name: corp}
  client: {id: shop, secretRef: {name: shop-oidc, key: client-secret}}
";
        fs::write(folder.path().join("shop.yml"), good).unwrap();
        let told = "1 policy, 1 provider: no errors\n".to_owned();
        assert_eq!(checked(folder.path()), (0, told, String::new()));
        let gone = folder.path().join("gone");
        assert_eq!(checked(&gone).0, 64);
    }
}
