//! The lines of a replica's stream, one JSON object each.

use serde::Deserialize;
use vestibule_policy::model::PolicyId;

use crate::reconcile::conditions::{ProviderState, Running};

/// No line of ours is longer; a longer one is somebody else's.
const MAX_LINE: usize = 64 * 1024;

/// One line.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Line {
    /// What runs of one policy.
    Policy(PolicyLine),
    /// The policy runs no more.
    Removed { namespace: String, name: String },
    /// The listing is complete.
    Synced,
    /// The replica lives.
    Heartbeat,
    /// Of a newer version.
    #[serde(other)]
    Unknown,
}

/// What runs of one policy. Its state (live or refused) is part of the hash.
#[derive(Debug, Deserialize)]
pub(super) struct PolicyLine {
    namespace: String,
    name: String,
    uid: String,
    generation: i64,
    hash: String,
    problem: Option<String>,
    provider: Option<ProviderLine>,
}

#[derive(Debug, Deserialize)]
struct ProviderLine {
    state: String,
    #[serde(default)]
    message: String,
}

impl PolicyLine {
    pub(super) fn split(self) -> (PolicyId, Running) {
        let provider = self.provider.map(|provider| match provider.state.as_str() {
            "Ready" => ProviderState::Ready,
            "Failed" => ProviderState::Failed(provider.message),
            _ => ProviderState::Pending,
        });
        let running = Running {
            uid: self.uid,
            generation: self.generation,
            hash: self.hash,
            problem: self.problem,
            provider,
        };
        (PolicyId { namespace: self.namespace, name: self.name }, running)
    }
}

/// Cuts what arrives into lines.
#[derive(Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The lines that this completes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Line>, String> {
        self.rest.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|byte| *byte == b'\n') {
            let line = self.rest[begin..begin + length].trim_ascii();
            begin += length + 1;
            if line.len() > MAX_LINE {
                return Err(format!("a line is longer than {MAX_LINE} bytes"));
            }
            if !line.is_empty() {
                let line = serde_json::from_slice(line);
                lines.push(line.map_err(|_| "a line is no JSON of ours".to_owned())?);
            }
        }
        self.rest.drain(..begin);
        if self.rest.len() > MAX_LINE {
            return Err(format!("a line is longer than {MAX_LINE} bytes"));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let text = concat!(
            "{\"type\":\"policy\",\"namespace\":\"a\",\"name\":\"b\",\"uid\":\"u\",\"generation\":3,",
            "\"hash\":\"h\",\"state\":\"Live\",\"problem\":null,",
            "\"provider\":{\"state\":\"Failed\",\"message\":\"gone\"}}\n",
            "{\"type\":\"removed\",\"namespace\":\"a\",\"name\":\"c\"}\n\r\n",
            "{\"type\":\"heartbeat\"}\n{\"type\":\"new\",\"x\":1}\n{\"type\":\"synced\"}\n"
        );
        let mut lines = Lines::default();
        let parsed: Vec<Line> =
            text.as_bytes().chunks(7).flat_map(|chunk| lines.push(chunk).unwrap()).collect();
        let [
            Line::Policy(policy),
            Line::Removed { .. },
            Line::Heartbeat,
            Line::Unknown,
            Line::Synced,
        ] = <[Line; 5]>::try_from(parsed).unwrap()
        else {
            panic!("other lines")
        };
        let (id, running) = policy.split();
        assert_eq!(id.to_string(), "a/b");
        assert_eq!((running.generation, running.hash.as_str()), (3, "h"));
        assert_eq!(running.provider, Some(ProviderState::Failed("gone".to_owned())));
    }

    #[test]
    fn what_is_no_line_of_ours_ends_the_stream() {
        assert!(Lines::default().push(b"<html>\n").is_err());
        assert!(Lines::default().push(b"{\"type\":\"policy\"}\n").is_err());
        assert!(Lines::default().push(&vec![b'x'; MAX_LINE + 1]).is_err());
    }
}
