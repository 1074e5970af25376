//! Randomness. Nothing else in this crate may draw random bytes.

/// `N` bytes that nobody can guess.
///
/// # Panics
/// Where the operating system has no entropy to give: nothing safe can be done then.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that draws entropy")]
#[expect(clippy::expect_used, reason = "without entropy there is no safe way on")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives entropy");
    bytes
}

/// A number from 0 to below 1, to spread retries.
#[must_use]
pub fn fraction() -> f64 {
    f64::from(u16::from_be_bytes(bytes())) / 65_536.0
}
