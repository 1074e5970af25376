//! The scripts that run in Redis: what must be compared and changed in one step.
//!
//! They are sent as they are: they are short, and need no second round trip after a restart. A
//! record is its version, its fence (8 big-endian bytes each), then what was sealed. Each may be run
//! twice, since a lost answer makes us send it again.

use redis::Cmd;

use super::super::StoreKey;
use super::super::store::Change;

/// Where changes are told.
pub(super) const CHANNEL: &str = "vestibule:changes";

/// Replaces a record of one version.
pub(super) const REPLACE: &str = "\
local head = redis.call('GETRANGE', KEYS[1], 0, 15)
if string.sub(head, 1, 8) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. string.sub(head, 9, 16) .. ARGV[3], 'PX', ARGV[4])
return 1";

/// Deletes a record and tells. For a minute it is known who did, so that the same asker learns it
/// once more when the answer was lost.
pub(super) const DELETE: &str = "\
redis.call('PUBLISH', ARGV[1], ARGV[2])
if redis.call('DEL', KEYS[1]) == 0 then
  if redis.call('GET', KEYS[3]) == ARGV[3] then return 1 end
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[3], ARGV[3], 'PX', 60000)
return 1";

/// Gives the lease of a record, and counts it in the record's fence; once for each owner, who may
/// have to ask again.
pub(super) const ACQUIRE: &str = "\
local record = redis.call('GET', KEYS[1])
if not record then return {2} end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[2])} end
local fence = string.sub(record, 9, 16)
if not holder then
  fence = struct.pack('>I8', struct.unpack('>I8', fence) + 1)
  redis.call('SETRANGE', KEYS[1], 8, fence)
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {1, fence, record}";

/// Prolongs a lease.
pub(super) const RENEW: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// Replaces a record under a lease: a later lease has another fence, or after a failover perhaps the
/// same one and another holder.
pub(super) const COMPLETE: &str = "\
local head = redis.call('GETRANGE', KEYS[1], 0, 15)
if string.sub(head, 9, 16) ~= ARGV[2] then return 0 end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= '' and holder ~= ARGV[1] then return 0 end
local version = struct.pack('>I8', struct.unpack('>I8', string.sub(head, 1, 8)) + 1)
redis.call('SET', KEYS[1], version .. ARGV[2] .. ARGV[3], 'PX', ARGV[4])
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1";

/// Deletes a record under a lease; the rest as in `DELETE`.
pub(super) const DELETE_UNDER_LEASE: &str = "\
if redis.call('GETRANGE', KEYS[1], 8, 15) ~= ARGV[3] then
  if redis.call('GET', KEYS[3]) == ARGV[4] then return 1 end
  return 0
end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= '' and holder ~= ARGV[4] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[3], ARGV[4], 'PX', 60000)
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1";

/// Gives a lease back, after which nobody gets it for a while.
pub(super) const RELEASE: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], '', 'PX', ARGV[2])
return 1";

/// Adds a record to an index, which lasts as long as the longest of its records.
pub(super) const INDEX: &str = "\
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('EXPIREAT', KEYS[1], last[2])
return 1";

/// A script over these keys, of one cluster slot.
pub(super) fn script(text: &str, keys: &[String]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(keys.len());
    for key in keys {
        command.arg(key);
    }
    command
}

/// A script over record and lease.
pub(super) fn lease_script(text: &str, key: &StoreKey) -> Cmd {
    script(text, &[key.text(), key.lease_text()])
}

/// A script that ends a record, and whose first arguments say where that is told.
pub(super) fn ending_script(text: &str, key: &StoreKey) -> Cmd {
    let ended = format!("vestibule:ended:{{{}}}", key.name());
    let mut command = script(text, &[key.text(), key.lease_text(), ended]);
    command.arg(CHANNEL).arg(message(key, Change::Ended));
    command
}

/// What is told of a change.
pub(super) fn message(key: &StoreKey, change: Change) -> String {
    let kind = match change {
        Change::Ended => 'e',
        Change::Replaced => 'r',
    };
    format!("{kind}{}", key.name())
}
