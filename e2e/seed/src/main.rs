//! `seed`: what a measurement needs by the thousand and no outsider can make. The operator's compiled
//! Secrets, without an operator; sealed sessions in a store, without that many logins.
//!
//! It must not measure anything, and talks to its caller by arguments and standard output alone.
#![expect(
    clippy::expect_used,
    reason = "a tool of measurements: what fails ends it, with the reason"
)]

mod policies;
mod sessions;

const USAGE: &str = "usage: seed policies SHAPE ACCESS ISSUER FIRST END
       seed sessions STORE KEYRING ISSUER COUNT";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().expect("a number");
    match arguments[..] {
        ["policies", shape, access, issuer, first, end] => {
            policies::print(shape, access, issuer, number(first)..number(end));
        }
        ["sessions", store, keyring, issuer, count] => {
            sessions::create(store, keyring, issuer, number(count));
        }
        _ => panic!("{USAGE}"),
    }
}
