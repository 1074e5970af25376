//! Reads corpora: tab-separated columns with escapes, as the head of each file explains.

/// The rows of a corpus. A column is bytes, since not all of them are text.
pub fn rows(text: &str) -> Vec<Vec<Vec<u8>>> {
    let rows: Vec<Vec<Vec<u8>>> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split('\t').map(unescape).collect())
        .collect();
    assert!(rows.len() > 20, "the corpus is nearly empty");
    rows
}

fn unescape(column: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = column.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next() {
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("unknown escape {other:?} in {column}"),
        });
    }
    out
}
