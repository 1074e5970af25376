//! The local cache of sessions against a real Redis: two replicas, and none that goes on serving what
//! the other ended or replaced. Needs `redis-server` in `PATH`; without it the tests say so and pass,
//! unless `VESTIBULE_REQUIRE_REAL` is set. `VESTIBULE_CACHE_ROUNDS` sets how many rounds a race has.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "redis_cache/races.rs"]
mod races;
#[path = "redis_cache/replicas.rs"]
mod replicas;
#[path = "redis_cache/server.rs"]
mod server;
