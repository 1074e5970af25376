//! The request target, accepted only in its canonical spelling.
//!
//! Gateways and apps disagree about `%2f`, `..`, `;`, `//` and the like; whoever normalises in
//! another way than the next one opens a hole. So nothing is normalised here: what is not canonical
//! is refused, and what is accepted has one meaning. This module must never repair a path.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use vestibule_crds::v1alpha1::{AdmittedEncoding, Paths};

use crate::error::{FieldError, FieldErrors};

/// The longest path, in bytes as sent.
pub const MAX_PATH: usize = 8192;
/// The longest query, in bytes as sent.
pub const MAX_QUERY: usize = 65_536;

/// Why a request target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PathError {
    /// Empty, `*`, absolute-form or anything else that does not begin with a slash.
    #[error("the request target does not begin with a slash")]
    NotOriginForm,
    /// Longer than [`MAX_PATH`] or [`MAX_QUERY`].
    #[error("the request target is too long")]
    TooLong,
    /// A `#`.
    #[error("the request target has a fragment")]
    Fragment,
    /// A byte that must be percent-encoded: a control character, a space, or one beyond ASCII.
    #[error("the request target has a character that must be percent-encoded")]
    RawByte,
    /// A backslash.
    #[error("the path has a backslash")]
    Backslash,
    /// A `;` that no exception admits, or one next to an empty or dot segment.
    #[error("the path has a semicolon")]
    Semicolon,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..` as a segment.
    #[error("the path has a dot segment")]
    DotSegment,
    /// A `%` without two hexadecimal digits.
    #[error("the path has an invalid percent-encoding")]
    BadEncoding,
    /// An encoding of a character that needs none or must not be hidden by one.
    #[error("the path has a percent-encoding that is not canonical")]
    NonCanonicalEncoding,
    /// Encodings that are not UTF-8 (overlong forms are not).
    #[error("the path is not UTF-8 when decoded")]
    NotUtf8,
    /// An admitted encoding, but the spelled and the decoded path fall under different rules.
    #[error("the path and its decoded form fall under different rules")]
    Ambiguous,
}

/// A path in the one form that rules are compared with: canonical encodings decoded, admitted ones
/// (`%2F`, `%25`) kept. Made for comparing only, never to be sent anywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CanonicalPath<'a>(Cow<'a, str>);

impl<'a> CanonicalPath<'a> {
    /// Reads a path alone, as rules are written: no query, no exceptions.
    ///
    /// # Errors
    /// What [`parse_target`] refuses; a `?` is [`PathError::NonCanonicalEncoding`], since a path
    /// has it neither raw nor encoded.
    pub fn parse(path: &'a str) -> Result<Self, PathError> {
        if path.contains('?') {
            return Err(PathError::NonCanonicalEncoding);
        }
        parse_target(path, &Exceptions::default()).map(|target| target.path)
    }

    /// The path, beginning with `/`. Equal to the path as sent where that has no percent-encoding.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CanonicalPath<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A request target in origin-form (RFC 9112, section 3.2.1), taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target<'a> {
    /// The path, for comparing.
    pub path: CanonicalPath<'a>,
    /// Where the path uses an admitted encoding: how it reads to an app that decodes `%2F` and
    /// `%25` and cuts `;parameters` off.
    pub decoded: Option<CanonicalPath<'a>>,
    /// The query as sent, without its `?`. Rules never see it.
    pub query: Option<&'a str>,
    /// The whole target as sent.
    pub raw: &'a str,
}

/// The encodings that canonical paths do not have but apps need, by prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exceptions {
    admitted: Vec<Admitted>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Admitted {
    /// Without its trailing slash; empty for `/`.
    prefix: String,
    encodings: Encodings,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encodings {
    slash: bool,
    semicolon: bool,
    percent: bool,
}

impl Exceptions {
    /// Compiles `spec.paths`.
    ///
    /// # Errors
    /// One per prefix that is not canonical, and per exception without encodings.
    pub fn new(paths: &Paths) -> Result<Self, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        let mut admitted = Vec::with_capacity(paths.admit.len());
        for (index, exception) in paths.admit.iter().enumerate() {
            let field = format!("spec.paths.admit[{index}]");
            match CanonicalPath::parse(&exception.prefix) {
                Ok(CanonicalPath(prefix)) => {
                    let prefix = prefix.strip_suffix('/').unwrap_or(&prefix).to_owned();
                    let admits = |encoding| exception.encodings.contains(&encoding);
                    let encodings = Encodings {
                        slash: admits(AdmittedEncoding::EncodedSlash),
                        semicolon: admits(AdmittedEncoding::Semicolon),
                        percent: admits(AdmittedEncoding::EncodedPercent),
                    };
                    admitted.push(Admitted { prefix, encodings });
                }
                Err(why) => errors.push(
                    format!("{field}.prefix"),
                    format!("{why}; write a canonical path prefix such as `/objects`"),
                ),
            }
            if exception.encodings.is_empty() {
                errors.push(
                    format!("{field}.encodings"),
                    "is empty; list EncodedSlash, Semicolon or EncodedPercent, or remove the entry",
                );
            }
        }
        errors.into_result(Self { admitted })
    }

    /// What is admitted for a path, given in the form of [`CanonicalPath`]. In that form an encoded
    /// slash is `%2F` and prefixes contain neither that nor `;`, so no encoding can make a path
    /// seem to lie under a prefix.
    fn for_path(&self, path: &str) -> Encodings {
        let mut all = Encodings::default();
        for Admitted { prefix, encodings } in &self.admitted {
            let rest = path.strip_prefix(prefix.as_str());
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                all.slash |= encodings.slash;
                all.semicolon |= encodings.semicolon;
                all.percent |= encodings.percent;
            }
        }
        all
    }
}

/// Takes a raw request target, `path[?query]`, apart at its first `?`, and refuses it unless its
/// path is canonical.
///
/// # Errors
/// See [`PathError`].
pub fn parse_target<'a>(target: &'a str, exceptions: &Exceptions) -> Result<Target<'a>, PathError> {
    let (path, query) = match target.bytes().position(|byte| byte == b'?') {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    if path.len() > MAX_PATH || query.is_some_and(|query| query.len() > MAX_QUERY) {
        return Err(PathError::TooLong);
    }
    if !path.starts_with('/') {
        return Err(PathError::NotOriginForm);
    }
    let in_path = Marks::of(path);
    let in_target = in_path | query.map_or(0, Marks::of);
    if in_target & Marks::FRAGMENT != 0 {
        return Err(PathError::Fragment);
    }
    // Printable ASCII, of both parts: a space or a line break would end them in a request line.
    if in_target & Marks::RAW != 0 {
        return Err(PathError::RawByte);
    }
    let spelled = spelled_form(path, in_path)?;
    check_segments(&spelled.text)?;
    let admitted = exceptions.for_path(&spelled.text);
    if (spelled.slash && !admitted.slash) || (spelled.percent && !admitted.percent) {
        return Err(PathError::NonCanonicalEncoding);
    }
    if spelled.semicolon && !admitted.semicolon {
        return Err(PathError::Semicolon);
    }
    let decoded = if spelled.slash || spelled.percent || spelled.semicolon {
        Some(CanonicalPath(decoded_form(&spelled.text)?.into()))
    } else {
        None
    };
    Ok(Target { path: CanonicalPath(spelled.text), decoded, query, raw: target })
}

/// What kinds of bytes a text has, found in one pass: every check has a target.
struct Marks;

impl Marks {
    const FRAGMENT: u8 = 1;
    const RAW: u8 = 2;
    const SEMICOLON: u8 = 4;
    const PERCENT: u8 = 8;
    const BACKSLASH: u8 = 16;

    const OF_BYTES: [u8; 256] = {
        let mut marks = [Self::RAW; 256];
        let mut byte = b'!';
        while byte <= b'~' {
            marks[byte as usize] = match byte {
                b'#' => Self::FRAGMENT,
                b';' => Self::SEMICOLON,
                b'%' => Self::PERCENT,
                b'\\' => Self::BACKSLASH,
                _ => 0,
            };
            byte += 1;
        }
        marks
    };

    fn of(text: &str) -> u8 {
        text.bytes().fold(0, |marks, byte| marks | Self::OF_BYTES[usize::from(byte)])
    }
}

struct Spelled<'a> {
    text: Cow<'a, str>,
    slash: bool,
    percent: bool,
    semicolon: bool,
}

/// Decodes what may be decoded in every canonical path and keeps `%2F` and `%25`, so that each
/// path has one form. No delimiter can appear by decoding, and no `%` but those two.
fn spelled_form(path: &str, marks: u8) -> Result<Spelled<'_>, PathError> {
    let semicolon = marks & Marks::SEMICOLON != 0;
    if marks & Marks::PERCENT == 0 {
        if marks & Marks::BACKSLASH != 0 {
            return Err(PathError::Backslash);
        }
        return Ok(Spelled { text: path.into(), slash: false, percent: false, semicolon });
    }
    let mut text = Vec::with_capacity(path.len());
    let (mut slash, mut percent) = (false, false);
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = bytes.next().and_then(hex_value).ok_or(PathError::BadEncoding)?;
                let low = bytes.next().and_then(hex_value).ok_or(PathError::BadEncoding)?;
                match high << 4 | low {
                    b'/' => {
                        slash = true;
                        text.extend_from_slice(b"%2F");
                    }
                    b'%' => {
                        percent = true;
                        text.extend_from_slice(b"%25");
                    }
                    decoded if must_not_be_encoded(decoded) => {
                        return Err(PathError::NonCanonicalEncoding);
                    }
                    decoded => text.push(decoded),
                }
            }
            b'\\' => return Err(PathError::Backslash),
            _ => text.push(byte),
        }
    }
    let text = String::from_utf8(text).map_err(|_| PathError::NotUtf8)?;
    // Beyond ASCII there are control characters too (U+0080 to U+009F).
    if text.chars().any(char::is_control) {
        return Err(PathError::NonCanonicalEncoding);
    }
    Ok(Spelled { text: text.into(), slash, percent, semicolon })
}

/// How an app reads a path that uses admitted encodings: `%2F` is a slash, `%25` a percent sign,
/// and parameters are gone. Apps that do only some of that read something in between, and fall
/// under the same rule wherever this form and the spelled one do.
fn decoded_form(spelled: &str) -> Result<String, PathError> {
    let mut decoded = String::with_capacity(spelled.len());
    for (index, segment) in spelled.split('/').enumerate() {
        if index > 0 {
            decoded.push('/');
        }
        let (name, parameters) = match segment.split_once(';') {
            Some((name, parameters)) => (name, Some(parameters)),
            None => (segment, None),
        };
        if let Some(parameters) = parameters {
            let dots = |piece: &str| piece == "." || piece == "..";
            // `/..;x/`, `/;x/` and `/a;../` are climbed through by some servers (T-80), and an
            // encoding within parameters means one thing before they are cut off and another after.
            if name.is_empty() || name.ends_with("%2F") || parameters.contains('%') {
                return Err(PathError::Semicolon);
            }
            if dots(name) || parameters.split(';').any(dots) {
                return Err(PathError::DotSegment);
            }
        }
        let mut rest = name;
        while let Some((before, encoding)) = rest.split_once('%') {
            decoded.push_str(before);
            let (character, after) = encoding.split_at(2);
            if character == "2F" {
                decoded.push('/');
            } else {
                // `%25` before two digits is an encoding hidden by another (`%252f`).
                let mut next = after.bytes();
                if next.next().and_then(hex_value).is_some()
                    && next.next().and_then(hex_value).is_some()
                {
                    return Err(PathError::NonCanonicalEncoding);
                }
                decoded.push('%');
            }
            rest = after;
        }
        decoded.push_str(rest);
    }
    check_segments(&decoded)?;
    Ok(decoded)
}

/// A trailing slash leaves one empty segment at the end, which is fine.
fn check_segments(path: &str) -> Result<(), PathError> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" if segments.peek().is_some() => return Err(PathError::EmptySegment),
            "." | ".." => return Err(PathError::DotSegment),
            _ => {}
        }
    }
    Ok(())
}

/// Unreserved characters need no encoding (RFC 3986, section 2.3); a delimiter, a control
/// character or a backslash must not be hidden by one.
fn must_not_be_encoded(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte.is_ascii_control()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'\\' | b'#' | b'?' | b';')
}

fn hex_value(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
