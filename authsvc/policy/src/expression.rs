//! Expressions over a session's claims, in CEL: what `require.expression` and header values are.
//!
//! Authors of policies are not trusted with our CPU time, nor users with what their claims hold:
//! an expression is refused at compile time unless its cost has a bound, and at run time where the
//! claims at hand would pass it. Evaluation cannot panic, loop or reach anything but `claims`, and
//! no error quotes a claim.

mod check;
mod claims;
mod shared;

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::common::types::{self, CelString};
use cel::common::value::CowVal;
use cel::{Context, Env, ExecutionError, IdedExpr, Value as CelValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::claims::Claims;
use claims::Needs;

/// The longest source, in bytes.
pub const MAX_SOURCE: usize = 1024;

/// The parser recurses; its stack must not depend on whose thread compiles a policy.
const PARSER_STACK: usize = 16 << 20;

/// Levels of brackets and of operators within one another that the parser takes.
const MAX_PARSER_DEPTH: u16 = 32;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // Cannot fail: the standard library has no function of this name, and a test calls it.
    let _ = env.add_overload(
        check::PERCENT_ENCODE,
        "percent_encode_string",
        vec![types::STRING_TYPE],
        percent_encode,
    );
    Arc::new(env)
});

/// An expression over `claims`, compiled. Cheap to clone; equal ones share what was made of them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    source: String,
    program: IdedExpr,
    needs: Needs,
    max_weight: u64,
    /// Of an expression that is `claims.NAME` and nothing else, as most header values are: the name.
    /// Texts and lists of them need no evaluation then.
    claim: Option<Box<str>>,
}

/// Why an expression has no answer for a user's claims. Never quotes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum EvaluationError {
    /// The claims that the expression uses are so large that it could take too long.
    #[error("the claims are too large for this expression")]
    TooLarge,
    /// The result is not a boolean.
    #[error("the result is neither true nor false")]
    NotBoolean,
    /// The result is a map, bytes, or a list of other than plain values.
    #[error("the result is no text, number, boolean or list of them")]
    NotText,
    /// The result has a control character, or a space at an end, where HTTP would drop it.
    #[error("the result has a control character, or a space at its beginning or end")]
    Unprintable,
    /// The result has characters beyond ASCII, which header values cannot carry unambiguously;
    /// `percentEncode(…)` makes ASCII of them.
    #[error("the result has characters beyond ASCII; use percentEncode(…)")]
    NotAscii,
    /// An element of a list has a comma, and would read as two.
    #[error("an element of the result has a comma; use percentEncode(…)")]
    CommaInElement,
    /// The expression failed, such as by an absent claim or operands of different types.
    #[error("the expression failed: {0}")]
    Failed(Failure),
}

/// How an expression failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// A claim, or a key of one, is absent.
    #[error("no such claim")]
    NoSuchKey,
    /// Values of types that do not go together.
    #[error("the values are of the wrong type")]
    WrongType,
    /// Overflow, or division by zero.
    #[error("the arithmetic has no result")]
    Arithmetic,
    /// Anything else.
    #[error("it has no result")]
    Other,
}

impl Expression {
    /// Compiles an expression whose one variable is `claims`. The error names what is refused and
    /// what to write instead.
    pub fn parse(source: &str) -> Result<Self, String> {
        if source.trim().is_empty() {
            return Err("is empty; write a CEL expression such as `claims.sub`".to_owned());
        }
        if source.len() > MAX_SOURCE {
            return Err(format!("is longer than {MAX_SOURCE} bytes; write a shorter expression"));
        }
        shared::of(source, || Compiled::of(source)).map(Self)
    }

    /// The expression as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether the expression is true. An absent claim is an error, as is any other result.
    ///
    /// # Errors
    /// See [`EvaluationError`]; each means "not true".
    pub fn evaluate_bool(&self, claims: &Claims) -> Result<bool, EvaluationError> {
        match self.evaluate(claims)? {
            CelValue::Bool(result) => Ok(result),
            _ => Err(EvaluationError::NotBoolean),
        }
    }

    /// The expression's text as a header value: visible ASCII and inner spaces. Numbers and
    /// booleans are printed, lists joined with commas; an absent claim and null are the empty text.
    ///
    /// # Errors
    /// See [`EvaluationError`]; the request must be refused, since a changed value could be
    /// somebody else's.
    pub fn evaluate_string<'c>(&self, claims: &'c Claims) -> Result<Cow<'c, str>, EvaluationError> {
        if let Some(claim) = &self.0.claim {
            let Some(value) = claims.get(claim) else { return Ok(Cow::Borrowed("")) };
            match value {
                _ if !claims::weighs_at_most(claim, value, self.0.max_weight) => {}
                Value::String(text) => return checked_text(text).map(Cow::Borrowed),
                Value::Array(elements) if elements.iter().all(Value::is_string) => {
                    let texts = elements.iter().filter_map(Value::as_str);
                    return joined(texts.map(|text| checked_text(text).map(Cow::Borrowed)))
                        .map(Cow::Owned);
                }
                _ => {}
            }
        }
        let value = match self.evaluate(claims) {
            Err(EvaluationError::Failed(Failure::NoSuchKey)) => return Ok(Cow::Borrowed("")),
            other => other?,
        };
        match value {
            CelValue::List(elements) => {
                joined(elements.iter().map(|element| plain_text(element).map(Cow::Owned)))
            }
            value => plain_text(&value),
        }
        .map(Cow::Owned)
    }

    fn evaluate(&self, claims: &Claims) -> Result<CelValue, EvaluationError> {
        if !self.0.needs.weigh_at_most(claims, self.0.max_weight) {
            return Err(EvaluationError::TooLarge);
        }
        // What check.rs admits does not panic as far as we know; a request must not be what finds
        // out otherwise.
        catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
            context.add_variable_as_val(check::CLAIMS, self.0.needs.convert(claims));
            CelValue::resolve(&self.0.program, &context)
        }))
        .map_err(|_| EvaluationError::Failed(Failure::Other))?
        .map_err(|error| EvaluationError::Failed(failure(&error)))
    }
}

impl Compiled {
    fn of(source: &str) -> Result<Self, String> {
        let program = parse_apart(source)?;
        let checked = check::check(&program)?;
        Ok(Self {
            source: source.to_owned(),
            claim: check::only_claim(&program).map(Into::into),
            program,
            needs: checked.needs,
            max_weight: checked.max_weight,
        })
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Expression").field(&self.0.source).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Expression {}

impl TryFrom<String> for Expression {
    type Error = String;

    fn try_from(source: String) -> Result<Self, String> {
        Self::parse(&source)
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.0.source.clone()
    }
}

/// Parses on a thread of its own: with a stack that fits the recursion, and so that a defect of
/// the parser costs one policy.
fn parse_apart(source: &str) -> Result<IdedExpr, String> {
    let owned = source.to_owned();
    let parsed = std::thread::Builder::new()
        .name("expression-parser".to_owned())
        .stack_size(PARSER_STACK)
        .spawn(move || {
            let expression = cel::parser::Parser::new()
                .max_recursion_depth(MAX_PARSER_DEPTH)
                .error_recovery_limit(1)
                .parse(&owned)
                .map_err(|errors| {
                    let first = errors.errors.first().map(|e| (e.pos.0, e.pos.1, e.msg.clone()));
                    first.map_or_else(
                        || "is no CEL expression".to_owned(),
                        |(line, column, what)| {
                            format!("is no CEL expression: line {line}, column {column}: {what}")
                        },
                    )
                })?;
            // Here too, since the walk recurses as deep as the expression is.
            check::depth(&expression)?;
            Ok(expression)
        })
        .map_err(|_| "cannot be parsed now: no thread could be started".to_owned())?
        .join();
    parsed.unwrap_or_else(|_| Err("is no CEL expression".to_owned()))
}

fn failure(error: &ExecutionError) -> Failure {
    match error {
        ExecutionError::NoSuchKey(_) => Failure::NoSuchKey,
        ExecutionError::DivisionByZero(_)
        | ExecutionError::RemainderByZero(_)
        | ExecutionError::Overflow(..) => Failure::Arithmetic,
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::UnsupportedTargetType { .. }
        | ExecutionError::UnsupportedKeyType(_)
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::UnsupportedIndex(..)
        | ExecutionError::ValuesNotComparable(..) => Failure::WrongType,
        _ => Failure::Other,
    }
}

/// The elements with commas between them.
fn joined<'t>(
    elements: impl Iterator<Item = Result<Cow<'t, str>, EvaluationError>>,
) -> Result<String, EvaluationError> {
    let mut joined = String::new();
    for (index, text) in elements.enumerate() {
        let text = text?;
        if text.contains(',') {
            return Err(EvaluationError::CommaInElement);
        }
        if index > 0 {
            joined.push(',');
        }
        joined.push_str(&text);
    }
    Ok(joined)
}

fn plain_text(value: &CelValue) -> Result<String, EvaluationError> {
    let text = match value {
        CelValue::Null => String::new(),
        CelValue::String(text) => text.to_string(),
        CelValue::Bool(boolean) => boolean.to_string(),
        CelValue::Int(number) => number.to_string(),
        CelValue::UInt(number) => number.to_string(),
        CelValue::Float(number) => number.to_string(),
        _ => return Err(EvaluationError::NotText),
    };
    checked_text(&text)?;
    Ok(text)
}

fn checked_text(text: &str) -> Result<&str, EvaluationError> {
    // All of it, without stopping: that is several bytes at a time.
    let odd = text.bytes().fold(false, |odd, byte| odd | !matches!(byte, b' '..=b'~'));
    if (odd && text.chars().any(char::is_control)) || text.starts_with(' ') || text.ends_with(' ') {
        return Err(EvaluationError::Unprintable);
    }
    if odd {
        return Err(EvaluationError::NotAscii);
    }
    Ok(text)
}

/// `percentEncode(text)`: as JavaScript's `encodeURIComponent`, everything but unreserved
/// characters (RFC 3986, section 2.3), so that two texts never become the same.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a CEL function")]
fn percent_encode<'b, 'v>(
    arguments: Vec<CowVal<'b, 'v>>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Some(text) = arguments.first().and_then(|a| a.downcast_ref::<CelString<'v>>()) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let mut encoded = String::with_capacity(text.inner().len());
    for byte in text.inner().bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                encoded.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    Ok(CowVal::owned(CelString::from(encoded)))
}
