//! Durations as Gateway API writes them (GEP-2257), so that a policy reads like its neighbours.
//!
//! No fractions, signs, days or spaces: what GEP-2257 refuses is refused here too.

use std::time::Duration;

const MAX_GROUPS: usize = 4;
const MAX_DIGITS: usize = 5;

/// Reads a GEP-2257 duration: one to four groups of one to five digits and a unit `h`, `m`, `s` or
/// `ms`, added up. The error says what to write instead.
pub fn parse(text: &str) -> Result<Duration, String> {
    let refused = |why: &str| {
        Err(format!(
            "{why}; write a duration such as `30m`, `1h30m` or `500ms` (units h, m, s, ms)"
        ))
    };
    if text.is_empty() {
        return refused("is empty");
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut groups = 0;
    while !rest.is_empty() {
        groups += 1;
        if groups > MAX_GROUPS {
            return refused("has more than four groups");
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return refused("has a unit without a number, or a character that is neither");
        }
        if digits > MAX_DIGITS {
            return refused("has a number of more than five digits");
        }
        let Ok(number) = rest[..digits].parse::<u64>() else {
            return refused("has a number that cannot be read");
        };
        let after = &rest[digits..];
        // `ms` before `m` and `s`: the longest unit wins.
        let (unit, length) = if after.starts_with("ms") {
            (Duration::from_millis(1), 2)
        } else if after.starts_with('h') {
            (Duration::from_hours(1), 1)
        } else if after.starts_with('m') {
            (Duration::from_mins(1), 1)
        } else if after.starts_with('s') {
            (Duration::from_secs(1), 1)
        } else {
            return refused("has a number without one of the units");
        };
        // At most 4 × 99,999 h: far from overflow.
        total += unit * u32::try_from(number).unwrap_or(u32::MAX);
        rest = &after[length..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gep_2257_durations_are_read() {
        for (text, milliseconds) in [
            ("30m", 1_800_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("0s", 0),
            ("1h1m1s1ms", 3_661_001),
            ("1m30s500ms", 90_500),
            ("99999h", 359_996_400_000),
            ("30s1h", 3_630_000),
            ("1m1m", 120_000),
            ("00001s", 1_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_fix() {
        for text in [
            "",
            "0",
            "30",
            "m",
            "1.5h",
            "-1h",
            "+1h",
            "1d",
            "1us",
            "1h 30m",
            " 1h",
            "1h ",
            "1H",
            "100000s",
            "1h1m1s1ms1h",
            "1mm",
            "1 h",
            "१s",
            "1hm",
            "ms",
            "P1D",
            "∞",
        ] {
            let message = parse(text).expect_err(text);
            assert!(message.contains("`1h30m`"), "{text}: {message}");
        }
    }
}
