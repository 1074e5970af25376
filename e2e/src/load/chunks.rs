//! Where a body in chunks ends. It must not keep the body.

/// The place within a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In a chunk's size, so far this.
    Size(u64),
    /// After the size, in the rest of its line.
    Extension(u64),
    /// So many bytes of the chunk and its line end are to come.
    Data(u64),
    /// In the lines after the last chunk; whether this one is empty so far.
    Trailer(bool),
    /// All is read.
    Done,
}

impl Chunks {
    /// Before the first byte.
    pub(super) const START: Self = Self::Size(0);

    /// Goes on by what was read.
    pub(super) fn feed(mut self, mut bytes: &[u8]) -> Self {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Self::Data(left) = self {
                let skipped = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                bytes = &bytes[skipped..];
                let left = left - skipped as u64;
                self = if left == 0 { Self::START } else { Self::Data(left) };
                continue;
            }
            self = self.next(byte);
            bytes = rest;
        }
        self
    }

    fn next(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Size(0) | Self::Extension(0), b'\n') => Self::Trailer(true),
            (Self::Size(size) | Self::Extension(size), b'\n') => Self::Data(size + 2),
            (Self::Size(size), _) => match char::from(byte).to_digit(16) {
                Some(digit) => Self::Size((size << 4) | u64::from(digit)),
                None => Self::Extension(size),
            },
            (Self::Trailer(true), b'\n') => Self::Done,
            (Self::Trailer(_), b'\n') => Self::Trailer(true),
            (Self::Trailer(empty), _) => Self::Trailer(empty && byte == b'\r'),
            (place, _) => place,
        }
    }
}
