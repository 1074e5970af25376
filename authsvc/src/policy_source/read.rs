//! Reads the policies folder and secrets from a disk. The only file access of the directory source.
//!
//! It must never turn a name into a path that leaves its folder (T-63), nor read without a bound.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use secrecy::SecretString;
use vestibule_crds::v1alpha1::SecretKeyRef;

use super::names;
use super::plan::Listing;

/// The greatest size of a file of policies, and of a secret (as Kubernetes bounds both).
const MAX_BYTES: u64 = 1024 * 1024;
/// Folders below the policies folder.
const MAX_DEPTH: usize = 16;

/// Reads every `*.yaml` and `*.yml` below a folder. What is hidden is skipped: a mounted `ConfigMap`
/// keeps its versions in hidden folders and links to them. Linked files are followed, linked folders
/// are not.
#[must_use]
pub fn folder(policies: &Path) -> Listing {
    let mut listing = Listing::default();
    walk(policies, "", 0, &mut listing);
    listing
}

fn walk(folder: &Path, relative: &str, depth: usize, listing: &mut Listing) {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = match entries {
        Ok(entries) => entries,
        // A folder below that is gone was deleted between listing and reading.
        Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => return,
        Err(error) => {
            listing.unreadable.insert(relative.to_owned(), error.to_string());
            return;
        }
    };
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        let relative =
            if relative.is_empty() { name.to_string() } else { format!("{relative}/{name}") };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth < MAX_DEPTH {
                walk(&path, &relative, depth + 1, listing);
            } else {
                listing.unreadable.insert(relative, "is nested too deeply".to_owned());
            }
        } else if matches!(path.extension().and_then(|ext| ext.to_str()), Some("yaml" | "yml")) {
            match text(&path) {
                Ok(text) => {
                    listing.files.insert(relative, Ok(text));
                }
                // Deleted between listing and reading.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    listing.files.insert(relative, Err(format!("cannot be read: {error}")));
                }
            }
        }
    }
}

/// Reads a whole text file of bounded size. Nothing but a regular file is opened: a pipe would block.
pub fn text(path: &Path) -> io::Result<String> {
    let wrong = |message: &str| io::Error::new(io::ErrorKind::InvalidData, message.to_owned());
    if !fs::metadata(path)?.is_file() {
        return Err(wrong("is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong("is larger than 1 MiB: split it"));
    }
    String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))
}

/// Reads `SECRETS/NAMESPACE/NAME/KEY` without one trailing newline.
///
/// # Errors
/// What is missing, and where it belongs; never what a secret holds.
pub fn secret(
    secrets: Option<&Path>,
    namespace: &str,
    reference: &SecretKeyRef,
) -> Result<SecretString, String> {
    let SecretKeyRef { name, key } = reference;
    if !names::is_subdomain(name) {
        return Err(format!("names the secret {name:?}: {}", names::SUBDOMAIN_RULE));
    }
    if !names::is_key(key) {
        return Err(format!(
            "names the key {key:?}: use letters, digits, `-`, `_` and `.`, at most 253, not \
             beginning with `..`"
        ));
    }
    if !names::is_label(namespace) {
        return Err(format!("is in namespace {namespace:?}: {}", names::LABEL_RULE));
    }
    let place = format!("{namespace}/{name}/{key}");
    let Some(secrets) = secrets else {
        return Err(format!("needs the secret {place}: give its folder with --secrets"));
    };
    let mut value = text(&secrets.join(namespace).join(name).join(key)).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            format!("there is no secret {place}: create this file in the secrets folder")
        } else {
            format!("the secret {place} cannot be read: {error}")
        }
    })?;
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    Ok(SecretString::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn reference(name: &str, key: &str) -> SecretKeyRef {
        SecretKeyRef { name: name.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn t063_secret_names_never_become_paths() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("secrets/default/shop")).unwrap();
        fs::write(folder.path().join("outside"), "canary").unwrap();
        fs::write(folder.path().join("secrets/default/outside"), "canary").unwrap();
        let secrets = folder.path().join("secrets");
        let absolute = folder.path().join("outside");
        for (namespace, name, key) in [
            ("default", "shop", "../outside"),
            ("default", "shop", "../../../outside"),
            ("default", "..", "outside"),
            ("default", "../..", "outside"),
            ("..", "..", "outside"),
            ("default", ".", "outside"),
            ("default", "shop", ".."),
            ("default", "shop", ""),
            ("default", "", "outside"),
            ("default", "shop", absolute.to_str().unwrap()),
            ("default", absolute.to_str().unwrap(), "x"),
            ("default", "shop/..", "outside"),
            ("default", "shop\0", "k"),
        ] {
            let found = secret(Some(&secrets), namespace, &reference(name, key));
            assert!(found.is_err(), "{namespace:?} {name:?} {key:?}");
            assert!(!found.unwrap_err().contains("canary"));
        }
    }

    #[test]
    fn a_secret_loses_one_trailing_newline_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().join("default/shop");
        fs::create_dir_all(&secrets).unwrap();
        for (content, expected) in
            [("s", "s"), ("s\n", "s"), ("s\r\n", "s"), ("s\n\n", "s\n"), (" s ", " s ")]
        {
            fs::write(secrets.join("k"), content).unwrap();
            let found = secret(Some(folder.path()), "default", &reference("shop", "k")).unwrap();
            assert_eq!(found.expose_secret(), expected);
        }
        let missing = secret(Some(folder.path()), "default", &reference("shop", "other"));
        assert!(missing.unwrap_err().contains("no secret default/shop/other"));
        let none = secret(None, "default", &reference("shop", "k"));
        assert!(none.unwrap_err().contains("--secrets"));
        fs::write(secrets.join("big"), vec![b'a'; 1024 * 1024 + 1]).unwrap();
        assert!(secret(Some(folder.path()), "default", &reference("shop", "big")).is_err());
        assert!(secret(Some(folder.path()), "default", &reference("shop", ".")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_mounted_config_map_is_read_once() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let version = folder.path().join("..2026_11_22");
        fs::create_dir(&version).unwrap();
        fs::write(version.join("shop.yaml"), "a: 1").unwrap();
        symlink("..2026_11_22", folder.path().join("..data")).unwrap();
        symlink("..data/shop.yaml", folder.path().join("shop.yaml")).unwrap();
        symlink("..data/gone.yaml", folder.path().join("gone.yaml")).unwrap();
        symlink(".", folder.path().join("loop")).unwrap();
        fs::write(folder.path().join("notes.txt"), "x").unwrap();
        fs::create_dir(folder.path().join("sub.yaml")).unwrap();
        fs::write(folder.path().join("sub.yaml/b.yml"), "b: 1").unwrap();
        let listing = super::folder(folder.path());
        let names: Vec<&String> = listing.files.keys().collect();
        assert_eq!(names, ["shop.yaml", "sub.yaml/b.yml"]);
        assert!(listing.unreadable.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_told_apart_from_what_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("big.yaml"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
        fs::write(folder.path().join("latin.yaml"), b"a: \xe4").unwrap();
        let listing = super::folder(folder.path());
        assert!(listing.files["big.yaml"].as_ref().unwrap_err().contains("1 MiB"));
        assert!(listing.files["latin.yaml"].as_ref().unwrap_err().contains("UTF-8"));
        let gone = super::folder(&folder.path().join("gone"));
        assert_eq!(gone.unreadable.keys().collect::<Vec<_>>(), [""]);
    }
}
