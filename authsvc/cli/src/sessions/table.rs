//! Sessions as a table. Whoever names users at a provider must not write to an admin's terminal, so
//! control characters are shown, not sent.

use std::fmt::Write as _;

use serde_json::Value;

const COLUMNS: [(&str, &str); 7] = [
    ("SESSION", "session"),
    ("POLICY", "policy"),
    ("USER", "subject"),
    ("PROVIDER", "issuer"),
    ("CREATED", "createdAt"),
    ("LAST USED", "lastUsedAt"),
    ("EXPIRES", "expiresAt"),
];

/// The table with its head; a line without sessions says so.
pub fn render(sessions: &[Value]) -> String {
    if sessions.is_empty() {
        return "No sessions.\n".to_owned();
    }
    let mut rows = vec![COLUMNS.map(|(title, _)| title.to_owned())];
    rows.extend(sessions.iter().map(|one| COLUMNS.map(|(_, name)| cell(&one[name]))));
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // A string takes everything.
            let _ = write!(line, "{cell:<width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cell(value: &Value) -> String {
    let text = value.as_str().unwrap_or("-");
    let shown = |c: char| {
        if is_invisible(c) { c.escape_unicode().to_string() } else { c.to_string() }
    };
    text.chars().map(shown).collect()
}

/// Control characters, and those that change the direction of what follows.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
