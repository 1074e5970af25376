//! The operator on a bare API: it crashes, its calls fail, its watches break and tell old news, and
//! objects are unreadable. It must end with the same objects every time, and open nothing on its way.
//! The tests wait for each other: each disturbs the operator.
#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

mod admission;
mod authorities;
mod bench;
mod crashes;
mod deleted_news;
mod edits_under_load;
mod failures;
mod header_list;
mod header_list_admission;
mod history;
mod old_news;
mod quiet;
mod referents;
mod rules;
mod slow_replica;
mod unknown_labels;
mod unreadable;
