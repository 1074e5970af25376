//! The parameters of queries and forms.
//!
//! Why it exists: of a parameter that is there twice, two readers may take different ones, so each
//! endpoint that expects one refuses it. It must not repair what does not decode.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;

/// Names and values, in their order.
pub(super) type Pairs = Vec<(String, String)>;

/// The parameter is there more than once.
pub(super) struct Repeated;

/// The pairs of a query or a form; `None` where it does not decode to UTF-8. A `+` is a space in forms
/// only.
pub(super) fn pairs(text: &str, form: bool) -> Option<Pairs> {
    let decode = |text: &str| {
        let text = if form { text.replace('+', " ") } else { text.to_owned() };
        percent_decode_str(&text).decode_utf8().ok().map(Cow::into_owned)
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

/// The value of a parameter that may be there once.
///
/// # Errors
/// Where it is there more than once.
pub(super) fn one<'a>(
    pairs: &'a [(String, String)],
    wanted: &str,
) -> Result<Option<&'a str>, Repeated> {
    let mut found = pairs.iter().filter(|(name, _)| name == wanted);
    match (found.next(), found.next()) {
        (found, None) => Ok(found.map(|(_, value)| value.as_str())),
        _ => Err(Repeated),
    }
}

/// Whether a body is a form, going by its one content type.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    let essence = kind.to_str().ok().and_then(|kind| kind.split(';').next());
    essence
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}
