//! Writes the demo's policy and secret into a temporary folder, as an operator of a standalone
//! authsvc would, so that the demo goes the same way as every other installation.

use std::fs;
use std::io;
use std::path::PathBuf;

use tempfile::TempDir;

use super::provider::Registration;

/// The policy, with `ORIGIN`, `ISSUER` and `CLIENT_ID` to fill in.
const POLICY: &str = include_str!("assets/policy.yaml");

/// The folder; it is removed when this is dropped.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// What `--policies` takes.
    pub fn policies(&self) -> PathBuf {
        self.0.path().join("policies")
    }

    /// What `--secrets` takes.
    pub fn secrets(&self) -> PathBuf {
        self.0.path().join("secrets")
    }
}

/// Writes both.
pub fn write(origin: &str, issuer: &str, client: &Registration) -> io::Result<Folder> {
    let folder = Folder(tempfile::Builder::new().prefix("vestibule-demo-").tempdir()?);
    fs::create_dir(folder.policies())?;
    fs::write(folder.policies().join("shop.yaml"), policy(origin, issuer, &client.id))?;
    let secret = folder.secrets().join("default/shop-oidc");
    fs::create_dir_all(&secret)?;
    // Other users cannot read it: the folder above is closed to them.
    fs::write(secret.join("client-secret"), &client.secret)?;
    Ok(folder)
}

/// The values are this process's own and need no quoting: a port on loopback and a fixed name.
fn policy(origin: &str, issuer: &str, client_id: &str) -> String {
    POLICY.replace("ORIGIN", origin).replace("ISSUER", issuer).replace("CLIENT_ID", client_id)
}
