//! Sizes in bytes, as settings give them.

/// Reads `0`, `1048576`, `64MiB`, `512KiB` or `1GiB`.
pub(super) fn parse(text: &str) -> Result<usize, String> {
    let wrong = || "write bytes such as 67108864 or 64MiB (KiB, MiB, GiB); 0 keeps none".to_owned();
    let digits = text.trim_end_matches(|end: char| !end.is_ascii_digit());
    if digits.starts_with('+') {
        return Err(wrong());
    }
    let unit: usize = match &text[digits.len()..] {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    let count: usize = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(unit).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_unit_and_nothing_else_is() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("67108864", 64 << 20),
            ("64MiB", 64 << 20),
            ("3KiB", 3 << 10),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for wrong in
            ["", "MiB", "-1", "+1", "1.5MiB", "64MB", "64 MiB", "64mib", "1é", "99999999999GiB"]
        {
            let read = parse(wrong);
            assert!(read.is_err(), "{wrong} is {read:?}");
        }
    }
}
