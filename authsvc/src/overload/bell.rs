//! Something that goes through the same queue as requests do: a byte that this process sends to itself.
//!
//! Why not a timer or a task: the runtime takes a part of what is ready from the kernel at a time, so most
//! of a long queue is in the kernel. There a socket that becomes ready is the last one, and is told of after
//! all that were ready before. It must not block, and must not grow.

use std::io;

use tokio::net::UnixStream;

/// Both ends of a socket of our own.
#[derive(Debug)]
pub(super) struct Bell {
    button: UnixStream,
    sound: UnixStream,
}

impl Bell {
    /// Not rung yet.
    ///
    /// # Errors
    /// Where no more files may be opened.
    pub(super) fn new() -> io::Result<Self> {
        let (button, sound) = UnixStream::pair()?;
        Ok(Self { button, sound })
    }

    /// Rings, and waits until it is heard: as long as the queue is.
    ///
    /// # Errors
    /// Where a socket fails, which they have no reason to.
    pub(super) async fn ring(&self) -> io::Result<()> {
        self.drain()?;
        loop {
            self.button.writable().await?;
            match self.button.try_write(&[0]) {
                Ok(_) => break,
                // That it is writable was known from before.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.sound.readable().await
    }

    /// Takes what was heard, until the socket is known to be quiet.
    fn drain(&self) -> io::Result<()> {
        loop {
            match self.sound.try_read(&mut [0; 16]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_heard_once_each_time_and_after_what_was_ready_before() {
        let (bell, other) = (Bell::new().unwrap(), Bell::new().unwrap());
        for _ in 0..3 {
            bell.ring().await.unwrap();
            other.drain().unwrap();
            other.button.try_write(&[0]).unwrap();
            bell.ring().await.unwrap();
            assert_eq!(other.sound.try_read(&mut [0; 2]).unwrap(), 1, "was ready before");
        }
    }
}
