//! Tables in Markdown, and how figures are written in them: for the page of `make bench`, and for what
//! the other measuring programs print. It must not measure or judge.

use std::time::Duration;

use super::spread::Spread;

/// A table; the first column is text, the others are aligned as figures. A bar in a cell is escaped.
#[must_use]
pub fn markdown<Cell: AsRef<str>>(head: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut text = line(head);
    text.push_str("|---|");
    text.push_str(&"---:|".repeat(head.len().saturating_sub(1)));
    text.push('\n');
    for row in rows {
        text.push_str(&line(row));
    }
    text
}

fn line<Cell: AsRef<str>>(cells: &[Cell]) -> String {
    let cells: Vec<String> =
        cells.iter().map(|cell| cell.as_ref().replace('|', "\\|").replace('\n', " ")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// `1.38× (1.31–1.44)`: a ratio with its spread.
#[must_use]
pub fn ratio(spread: &Spread) -> String {
    with_spread(spread, |value| format!("{value:.2}"), "×")
}

/// `9.4 µs (9.1–9.9)`: microseconds with their spread.
#[must_use]
pub fn micros(spread: &Spread) -> String {
    with_spread(spread, figure, " µs")
}

/// `61,300 (58,000–64,000)`: a count with its spread.
#[must_use]
pub fn count(spread: &Spread) -> String {
    with_spread(spread, thousands, "")
}

fn with_spread(spread: &Spread, text: impl Fn(f64) -> String, unit: &str) -> String {
    if !spread.is_finite() {
        return "not measured".to_owned();
    }
    // A dash between figures reads as a minus where one is negative.
    let to = if spread.p10 < 0.0 { " to " } else { "–" };
    format!("{}{unit} ({}{to}{})", text(spread.median), text(spread.p10), text(spread.p90))
}

/// Three digits or more: `0.54`, `9.4`, `137`, `-12`.
#[must_use]
pub fn figure(value: f64) -> String {
    let text = match value.abs() {
        size if size < 0.995 => format!("{value:.2}"),
        size if size < 99.5 => format!("{value:.1}"),
        _ => thousands(value),
    };
    // What rounds to nothing has no sign.
    if text.bytes().any(|byte| matches!(byte, b'1'..=b'9')) { text } else { "0".to_owned() }
}

/// A whole number, with a comma after each three digits.
#[must_use]
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let grouped: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|chunk| std::str::from_utf8(chunk).ok())
        .collect();
    let sign = if value <= -0.5 { "-" } else { "" };
    format!("{sign}{}", grouped.join(","))
}

/// A duration in microseconds, as all figures of a run are kept.
#[must_use]
pub fn in_micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(median: f64, p10: f64, p90: f64) -> Spread {
        Spread { median, p10, p90 }
    }

    #[test]
    fn a_table_has_a_line_per_row_and_a_bar_in_a_cell_does_not_split_it() {
        let table = markdown(&["contender", "CPU"], &[vec!["a|b\nc", "1"], vec!["d", "2"]]);
        assert_eq!(table, "| contender | CPU |\n|---|---:|\n| a\\|b c | 1 |\n| d | 2 |\n");
    }

    #[test]
    fn figures_carry_their_spread() {
        assert_eq!(ratio(&spread(1.384, 1.3, 1.449)), "1.38× (1.30–1.45)");
        assert_eq!(micros(&spread(9.44, 9.1, 12.0)), "9.4 µs (9.1–12.0)");
        assert_eq!(micros(&spread(-3.2, -12.0, 4.0)), "-3.2 µs (-12.0 to 4.0)");
        assert_eq!(count(&spread(61_312.0, 999.4, 1_234_567.0)), "61,312 (999–1,234,567)");
    }

    #[test]
    fn what_is_no_number_is_said_to_be_not_measured() {
        assert_eq!(ratio(&spread(f64::NAN, 1.0, 1.0)), "not measured");
        assert_eq!(count(&spread(1.0, 1.0, f64::INFINITY)), "not measured");
    }

    #[test]
    fn a_figure_has_as_many_decimals_as_it_needs() {
        let written: Vec<String> =
            [0.0, -0.001, 0.544, 9.96, 137.4, -1_234.5].into_iter().map(figure).collect();
        assert_eq!(written, ["0", "0", "0.54", "10.0", "137", "-1,234"]);
    }
}
