//! `check-policies`: everything that is wrong in a policies folder, before it is rolled out.
//!
//! The same reading and compiling as `serve`, with nothing good before and nothing installed.

use std::io::{self, Write};
use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use crate::policy_source::plan::{Options, Plan, State, plan};
use crate::policy_source::{names, read};
use crate::settings::{CheckArguments, EXIT_USAGE};

/// The subcommand: exit code 1 where there are errors or no policies, 64 where a folder does not
/// exist. Errors go to `errors`, what was found good to `out`.
pub fn run(arguments: &CheckArguments, out: &mut dyn Write, errors: &mut dyn Write) -> u8 {
    let CheckArguments { policies, secrets, allow_insecure_issuers } = arguments;
    for folder in [Some(policies), secrets.as_ref()].into_iter().flatten() {
        if !folder.is_dir() {
            // Nobody is left to tell where standard error is gone: the exit code still tells.
            let _ = writeln!(errors, "{} is no folder: name another", folder.display());
            return EXIT_USAGE;
        }
    }
    let planned = planned(policies, secrets.as_deref(), *allow_insecure_issuers);
    let (count, providers) = planned.count();
    let told = if !planned.problems.is_empty() {
        print(&planned, errors).map(|()| 1)
    } else if count == 0 {
        let fix = "write a BffPolicy into a file *.yaml or *.yml, or name another folder";
        writeln!(errors, "no policies in {}: {fix}", policies.display()).map(|()| 1)
    } else {
        let noun = |count: usize, one, many| if count == 1 { one } else { many };
        writeln!(
            out,
            "{count} {}, {providers} {}: no errors",
            noun(count, "policy", "policies"),
            noun(providers, "provider", "providers"),
        )
        .map(|()| 0)
    };
    told.unwrap_or(1)
}

/// Prints every error as `file:LINE: namespace/name field: message`, and says how many there are.
/// Without a secrets folder, every secret that is named is taken to exist.
///
/// # Errors
/// Where `out` cannot be written to.
pub fn check_policies(
    policies: &Path,
    secrets: Option<&Path>,
    allow_insecure: bool,
    out: &mut dyn Write,
) -> io::Result<usize> {
    let planned = planned(policies, secrets, allow_insecure);
    print(&planned, out)?;
    Ok(planned.problems.len())
}

fn print(planned: &Plan, out: &mut dyn Write) -> io::Result<()> {
    planned.problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))
}

fn planned(policies: &Path, secrets: Option<&Path>, allow_insecure: bool) -> Plan {
    let listing = read::folder(policies);
    let assumed = assumed_secret();
    let lookup = |namespace: &str, reference: &vestibule_crds::v1alpha1::SecretKeyRef| match (
        secrets, &assumed,
    ) {
        (None, Some(secret))
            if names::is_subdomain(&reference.name) && names::is_key(&reference.key) =>
        {
            Ok(secret.clone())
        }
        _ => read::secret(secrets, namespace, reference),
    };
    let options = Options { secrets: &lookup, secrets_assumed: secrets.is_none(), allow_insecure };
    plan(&State::default(), &listing, &options)
}

/// Text that can stand for any secret, also for the private key of `privateKeyJwt`.
fn assumed_secret() -> Option<SecretString> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
    let der = key.to_pkcs8v1().ok()?;
    let body = STANDARD.encode(der.as_ref());
    Some(SecretString::from(format!(
        "-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    )))
}
