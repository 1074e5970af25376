//! Where each field of a YAML file is, so that an error can name the line.
//!
//! It only counts lines: what the values mean is the deserialiser's work.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// The lines of one document's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    start: usize,
    by_path: HashMap<String, usize>,
}

impl Lines {
    /// A document of which only the first line is known.
    #[must_use]
    pub fn starting_at(start: usize) -> Self {
        Self { start, by_path: HashMap::new() }
    }

    /// The line that the document starts at.
    #[must_use]
    pub fn start(&self) -> usize {
        self.start.max(1)
    }

    /// The line of a field, else of the nearest one around it. Text after a space is a remark.
    #[must_use]
    pub fn of(&self, field: &str) -> usize {
        let mut path = field.split(' ').next().unwrap_or_default();
        loop {
            if let Some(line) = self.by_path.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.start(),
            }
        }
    }
}

/// One container that is open.
enum Open {
    Mapping { path: String, key: Option<String> },
    Sequence { path: String, next: usize },
}

/// The lines of every document that is not empty, in order. Stops quietly where the YAML is broken:
/// the deserialiser reports that.
#[must_use]
pub fn documents(text: &str) -> Vec<Lines> {
    let mut found = Vec::new();
    let mut current = Lines::default();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) => current = Lines::default(),
            Event::DocumentEnd if current.start > 0 => found.push(std::mem::take(&mut current)),
            Event::Scalar(value, style, ..) => {
                if open.is_empty() && is_null(&value, style) {
                    continue;
                }
                let _ = place(&mut open, &mut current, line, Some(&value));
            }
            Event::Alias(_) => {
                let _ = place(&mut open, &mut current, line, None);
            }
            Event::SequenceStart(..) => {
                let path = place(&mut open, &mut current, line, None);
                open.push(Open::Sequence { path, next: 0 });
            }
            Event::MappingStart(..) => {
                let path = place(&mut open, &mut current, line, None);
                open.push(Open::Mapping { path, key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                open.pop();
            }
            _ => {}
        }
    }
    if current.start > 0 {
        found.push(current);
    }
    found
}

/// Notes where a node is, and returns its path. `scalar` is its text, where it is a scalar.
fn place(open: &mut [Open], lines: &mut Lines, line: usize, scalar: Option<&str>) -> String {
    let Some(around) = open.last_mut() else {
        lines.start = line;
        return String::new();
    };
    match around {
        Open::Sequence { path, next } => {
            let path = format!("{path}[{next}]");
            *next += 1;
            lines.by_path.insert(path.clone(), line);
            path
        }
        Open::Mapping { path, key } => {
            if let Some(key) = key.take() {
                return join(path, &key);
            }
            // A key that is no scalar is refused later; any name keeps keys and values apart.
            let name = scalar.unwrap_or("?");
            lines.by_path.insert(join(path, name), line);
            *key = Some(name.to_owned());
            String::from("?")
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn is_null(value: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(value, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
---
kind: A
spec:
  routes:
    - path: /a
      upstream: {headers: [{name: X, value: y}]}
    -
      path: /b
---
---
kind: B
";

    #[test]
    fn every_field_has_its_line() {
        let lines = documents(TEXT);
        assert_eq!(lines.len(), 2);
        let first = &lines[0];
        assert_eq!(first.start(), 3);
        assert_eq!(first.of("kind"), 3);
        assert_eq!(first.of("spec.routes"), 5);
        assert_eq!(first.of("spec.routes[0].path"), 6);
        assert_eq!(first.of("spec.routes[0].upstream.headers[0].value"), 7);
        assert_eq!(first.of("spec.routes[1].path"), 9);
        assert_eq!(lines[1].of("kind"), 12);
    }

    #[test]
    fn an_absent_field_has_the_line_around_it() {
        let lines = documents(TEXT);
        assert_eq!(lines[0].of("spec.routes[0].methods[3]"), 6);
        assert_eq!(lines[0].of("spec.origins"), 4);
        assert_eq!(lines[0].of("spec.routes[1].path (remark [x])"), 9);
        assert_eq!(lines[0].of("metadata.name"), 3);
    }

    #[test]
    fn broken_yaml_gives_what_came_before() {
        assert_eq!(documents("a: 1\nb: [").first().map(|lines| lines.of("a")), Some(1));
        assert!(documents("").is_empty());
        assert!(documents("---\n# nothing\n---\n~\n").is_empty());
    }
}
