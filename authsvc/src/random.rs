//! Randomness, injected. Nothing else in this crate may draw random bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A source of unpredictable bytes.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Panics
    /// Where the operating system has no entropy to give: nothing safe can be done then.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "the one place that draws entropy")]
    #[expect(clippy::expect_used, reason = "without entropy there is no safe way on")]
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the operating system gives entropy");
    }
}

/// Repeatable bytes for tests: a counter, hashed.
#[derive(Debug, Default)]
pub struct SeededRandom(std::sync::atomic::AtomicU64);

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let count = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let digest = aws_lc_rs::digest::digest(
                &aws_lc_rs::digest::SHA256,
                &[b"seeded".as_slice(), &count.to_be_bytes()].concat(),
            );
            chunk.copy_from_slice(&digest.as_ref()[..chunk.len()]);
        }
    }
}

/// `N` random bytes as base64url without padding: URL-, cookie- and header-safe.
pub fn token<const N: usize>(random: &dyn Random) -> String {
    let mut bytes = [0_u8; N];
    random.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
