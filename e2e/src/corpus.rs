//! The attack corpora that the crates' own tests read, for the same rows through real gateways. It
//! reads the files alone: it must not know what the rows are for.

use crate::tools::repository;

/// One row: what is expected, and the input's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `refuse`, or what the input becomes.
    pub expected: String,
    /// The input.
    pub input: Vec<u8>,
}

impl Row {
    /// Whether the input is to be refused.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.expected == "refuse"
    }
}

/// The rows of a repository's file of `EXPECTED<TAB>INPUT` lines.
///
/// # Panics
/// Where the file has hardly any, as nothing would then be tested.
#[must_use]
pub fn rows(file: &str) -> Vec<Row> {
    let path = repository().join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t'))
        .map(|(expected, input)| Row { expected: expected.to_owned(), input: unescape(input) })
        .collect();
    assert!(rows.len() > 10, "{file} has no corpus");
    rows
}

/// `\t \n \r \\ \xNN`; nothing else is escaped there.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, length) = match (first, tail) {
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low];
                let hex = std::str::from_utf8(&digits).expect("two hexadecimal digits");
                (u8::from_str_radix(hex, 16).expect("two hexadecimal digits"), 4)
            }
            (byte, _) => (*byte, 1),
        };
        out.push(byte);
        rest = &rest[length..];
    }
    out
}
