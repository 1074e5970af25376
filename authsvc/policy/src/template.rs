//! Objects of permission questions: an id made from a request's path and a user's claims.
//!
//! Why it exists: ids name what is asked about, so a text of the request may fill a place in one but
//! never make another of it. What is put in has a narrow alphabet without the separators that decision
//! points know; anything else is no object, and who asks refuses.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::claims::Claims;
use crate::path::CanonicalPath;

/// The greatest length of what is put in, in bytes.
const MAX_VALUE: usize = 128;
/// The greatest length of a template's id, in bytes.
const MAX_TEMPLATE: usize = 512;
/// The greatest length of an object, `type:id`, in bytes: OpenFGA knows no longer ones.
const MAX_OBJECT: usize = 256;
/// What may stand in a template's text, but in nothing that is put in.
const SEPARATORS: [char; 2] = ['/', '|'];

/// A type and an id with places for values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    object_type: String,
    id: Vec<Piece>,
    /// The segments of the path that captures come from; empty: there are none.
    path: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum Piece {
    Text(String),
    /// By its place among the path's segments.
    Capture(usize),
    Claim(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum Segment {
    Text(String),
    Capture(String),
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// Its type.
    pub object_type: String,
    /// Its id.
    pub id: String,
}

impl Template {
    /// Reads a template; `path` is where its captures come from.
    ///
    /// # Errors
    /// What is wrong and what to write, without the name of the field.
    pub fn parse(object_type: &str, id: &str, path: Option<&str>) -> Result<Self, String> {
        let path = path.map(segments).transpose()?.unwrap_or_default();
        Ok(Self { object_type: object_type.to_owned(), id: pieces(id, &path)?, path })
    }

    /// Whether captures can come from this path.
    ///
    /// # Errors
    /// What is wrong and what to write, without the name of the field.
    pub fn check_path(path: &str) -> Result<(), String> {
        segments(path).map(|_| ())
    }

    /// Whether requests of a rule can have an object: the template's path is at or below the rule's.
    /// `path` is canonical; `exact`: the rule matches it alone.
    #[must_use]
    pub fn fits_route(&self, path: &str, exact: bool) -> bool {
        let path = if exact { path } else { path.trim_end_matches('/') };
        let of_rule: Vec<&str> = path.split('/').skip(1).collect();
        let alike = |(own, text): (&Segment, &&str)| match own {
            Segment::Text(own) => own == text,
            // Of the one path of an exact rule a capture may well be a part.
            Segment::Capture(_) => exact,
        };
        let enough =
            if exact { self.path.len() <= of_rule.len() } else { self.path.len() >= of_rule.len() };
        enough && self.path.iter().zip(&of_rule).all(alike)
    }

    /// Whether the object depends on the request's path.
    #[must_use]
    pub fn has_captures(&self) -> bool {
        !self.path.is_empty()
    }

    /// The object of a request; `None` where the path is another, or a value is not usable. `path` is
    /// canonical, without a query.
    #[must_use]
    pub fn object(&self, path: Option<&str>, claims: &Claims) -> Option<Object> {
        let found = self.captures(path)?;
        let mut id = String::new();
        for piece in &self.id {
            match piece {
                Piece::Text(text) => id.push_str(text),
                Piece::Capture(place) => id.push_str(usable(found.get(*place)?)?),
                Piece::Claim(name) => match claims.get(name)? {
                    Value::String(text) => id.push_str(usable(text)?),
                    Value::Number(number) => id.push_str(usable(&number.to_string())?),
                    _ => return None,
                },
            }
        }
        let fits = self.object_type.len() + 1 + id.len() <= MAX_OBJECT;
        fits.then(|| Object { object_type: self.object_type.clone(), id })
    }

    /// The segments of the request's path that the template's has as well.
    fn captures<'a>(&self, path: Option<&'a str>) -> Option<Vec<&'a str>> {
        if self.path.is_empty() {
            return Some(Vec::new());
        }
        let mut asked = path?.strip_prefix('/')?.split('/');
        let mut found = Vec::with_capacity(self.path.len());
        for segment in &self.path {
            let one = asked.next()?;
            if matches!(segment, Segment::Text(text) if text != one) {
                return None;
            }
            found.push(one);
        }
        Some(found)
    }
}

/// What may stand in an id: no separator of OpenFGA (`:`, `#`, `@` of a user set with a space, `*`)
/// and nothing that an encoding could read in two ways.
fn usable(value: &str) -> Option<&str> {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'@' | b'+')
    };
    let dots = value.bytes().all(|byte| byte == b'.');
    (value.len() <= MAX_VALUE && !dots && value.bytes().all(plain)).then_some(value)
}

fn segments(path: &str) -> Result<Vec<Segment>, String> {
    let rest = path.strip_prefix('/').ok_or("write a path that begins with '/'")?;
    let mut segments = Vec::new();
    for segment in rest.split('/') {
        segments.push(match placeholder(segment) {
            Some(name) if is_name(name) => {
                if segments.contains(&Segment::Capture(name.to_owned())) {
                    return Err(format!("{{{name}}} is there twice: give each its own name"));
                }
                Segment::Capture(name.to_owned())
            }
            Some(_) => return Err("a capture is {name}, of letters, digits and '_'".to_owned()),
            None if segment.contains(['{', '}']) => {
                return Err("a capture is a whole segment, such as /documents/{id}".to_owned());
            }
            None => Segment::Text(canonical(segment)?),
        });
    }
    Ok(segments)
}

/// A segment as those of requests are compared.
fn canonical(segment: &str) -> Result<String, String> {
    if segment.is_empty() {
        return Err("remove the empty segment".to_owned());
    }
    let path = format!("/{segment}");
    let path = CanonicalPath::parse(&path)
        .map_err(|why| format!("{why}; write a canonical path, such as /documents/{{id}}"))?;
    Ok(path.as_str().trim_start_matches('/').to_owned())
}

fn pieces(id: &str, path: &[Segment]) -> Result<Vec<Piece>, String> {
    if id.len() > MAX_TEMPLATE {
        return Err(format!("must have at most {MAX_TEMPLATE} characters"));
    }
    let mut pieces = Vec::new();
    let mut rest = id;
    while let Some(start) = rest.find('{') {
        let (text, from) = rest.split_at(start);
        let end = from.find('}').ok_or("a '{' has no '}'")?;
        let name = from.get(1..end).unwrap_or_default();
        push_text(&mut pieces, text)?;
        if !pieces.is_empty() && !is_apart(&pieces) {
            return Err(format!(
                "put '/' or '|' before {{{name}}}: else two requests could name one object"
            ));
        }
        pieces.push(match name.strip_prefix("claims.") {
            Some(claim) if is_name(claim) => Piece::Claim(claim.to_owned()),
            Some(_) => return Err(format!("{{{name}}} is no claim: write {{claims.name}}")),
            None => {
                let is_it =
                    |segment: &Segment| matches!(segment, Segment::Capture(one) if one == name);
                let place = path.iter().position(is_it);
                Piece::Capture(place.ok_or_else(|| {
                    format!(
                        "{{{name}}} is no capture of path: add it there, or write {{claims.{name}}}"
                    )
                })?)
            }
        });
        rest = from.get(end + 1..).unwrap_or_default();
    }
    push_text(&mut pieces, rest)?;
    if pieces.is_empty() {
        return Err("must not be empty".to_owned());
    }
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'@' | b'+' | b'|' | b'/')
    };
    if !text.bytes().all(plain) {
        return Err(format!("{text:?} may have letters, digits and -_.~@+|/ only"));
    }
    pieces.push(Piece::Text(text.to_owned()));
    Ok(())
}

/// Whether a value may follow: either none came before, or a text that no value has is between.
fn is_apart(pieces: &[Piece]) -> bool {
    match pieces {
        [Piece::Text(_)] => true,
        [.., Piece::Text(text)] => text.contains(SEPARATORS),
        _ => false,
    }
}

fn placeholder(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
