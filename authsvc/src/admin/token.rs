//! The token of the admin port: a file, read for each request that needs it, so that a new one
//! counts at once.
//!
//! It is compared in constant time and never shown.

use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::zeroize::Zeroizing;

/// Fewer characters could be guessed.
const MIN_LENGTH: usize = 32;
/// More is no token but another file.
const MAX_LENGTH: usize = 4096;
/// More is no bearer token of anybody.
pub(super) const MAX_BEARER: usize = 16 * 1024;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no token.
    #[error(
        "{path}: holds no token: write {MIN_LENGTH} or more visible characters, such as those of \
         `openssl rand -hex 32`"
    )]
    Content {
        /// The file.
        path: PathBuf,
    },
}

/// Where the token is.
#[derive(Clone, Debug)]
pub struct AdminToken {
    file: PathBuf,
}

impl AdminToken {
    /// The token in a file.
    ///
    /// # Errors
    /// Where the file cannot be read or holds none.
    pub fn open(file: PathBuf) -> Result<Self, AdminTokenError> {
        read(&file)?;
        Ok(Self { file })
    }

    /// Whether a request carries the token, once and as `Bearer` (RFC 6750, section 2.1).
    ///
    /// # Errors
    /// Where the file cannot be read any more: nobody can be let in then.
    pub(super) fn admits(&self, headers: &HeaderMap) -> Result<bool, AdminTokenError> {
        let token = read(&self.file)?;
        // The comparison tells the length alone.
        Ok(bearer(headers).is_some_and(|given| {
            verify_slices_are_equal(given.as_bytes(), token.as_bytes()).is_ok()
        }))
    }
}

/// The bearer token of a request that has one `Authorization` (RFC 6750, section 2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let fits = !token.is_empty()
        && token.len() <= MAX_BEARER
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    (fits && scheme.eq_ignore_ascii_case("bearer")).then_some(token)
}

fn read(path: &Path) -> Result<Zeroizing<String>, AdminTokenError> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| AdminTokenError::Read { path: path.to_owned(), source })?;
    let token = text.trim();
    let fits = (MIN_LENGTH..=MAX_LENGTH).contains(&token.len());
    if !fits || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AdminTokenError::Content { path: path.to_owned() });
    }
    Ok(Zeroizing::new(token.to_owned()))
}
