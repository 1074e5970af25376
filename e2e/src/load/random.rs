//! Numbers that look random and are the same in every run, so that runs differ in what is measured alone.
//! They must not be used for secrets.

/// xorshift64*.
#[derive(Clone, Debug)]
pub struct Repeatable(u64);

impl Default for Repeatable {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Repeatable {
    /// The next number.
    pub fn number(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        u32::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).unwrap_or_default()
    }

    /// A gap with mean 1 between events that do not know of each other.
    pub fn gap(&mut self) -> f64 {
        // Above 0, so that its logarithm is finite.
        let uniform = (f64::from(self.number()) + 1.0) / 4_294_967_296.0;
        -uniform.ln()
    }

    /// Puts things into another order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            let other = self.number() as usize % (last + 1);
            things.swap(last, other);
        }
    }
}
