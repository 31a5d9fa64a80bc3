//! What each command of Redis does to data and to its connection.
//!
//! Checked against the `COMMAND` reply of a real server (`tests.rs`). Commands later than the server of that test are
//! from the command reference of Redis 8.0.

use foretoken_types::Access::{self, Read, Write};

use super::Kind::{self, *};
use super::Relayed::*;
use super::Topic::*;
use super::keys::{self, Places};

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// This holds for the command.
    Is(Access, Kind),
    /// The sub-command decides.
    Container,
    /// `XREAD`, `XREADGROUP`: blocking with the option `BLOCK`.
    Stream(Access),
}
use Row::{Container, Is, Stream};

/// The commands, grouped by what they do. A sub-command is written behind its container and `|`.
///
/// - `MULTI`, `WATCH` and the session commands change nothing in the store, so they are reads; `EXEC` may run anything.
/// - Commands about the server itself (`CONFIG SET`, `ACL SETUSER`) are writes: they must not run on a mirror by chance,
///   nor in the middle of a switchover.
/// - Commands that can close connections or stall them by design (`CLIENT KILL`, `ACL DELUSER`, `DEBUG`, `SHUTDOWN`) and
///   those that are only of use while another command keeps the server busy (`SCRIPT KILL`) get their own connection.
/// - A relayed command is as its own effect is: the requests that follow it are looked at one by one. Replication commands
///   count as writes, since what follows them is no request.
#[rustfmt::skip]
const GROUPS: &[(Row, &str)] = &[
    // Keys and strings.
    (Is(Read, Plain), "DBSIZE DUMP EXISTS EXPIRETIME GET GETBIT GETRANGE KEYS LCS MGET PEXPIRETIME PTTL RANDOMKEY SCAN
        SORT_RO STRLEN SUBSTR TOUCH TTL TYPE BITCOUNT BITFIELD_RO BITPOS DIGEST"),
    (Is(Write, Plain), "APPEND BITFIELD BITOP COPY DECR DECRBY DEL DELEX EXPIRE EXPIREAT FLUSHALL FLUSHDB GETDEL GETEX
        GETSET INCR INCRBY INCRBYFLOAT MIGRATE MOVE MSET MSETEX MSETNX PERSIST PEXPIRE PEXPIREAT PSETEX RENAME RENAMENX
        RESTORE SET SETBIT SETEX SETNX SETRANGE SORT SWAPDB UNLINK"),
    // Hashes.
    (Is(Read, Plain), "HEXISTS HEXPIRETIME HGET HGETALL HKEYS HLEN HMGET HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSTRLEN HTTL
        HVALS"),
    (Is(Write, Plain), "HDEL HEXPIRE HEXPIREAT HGETDEL HGETEX HINCRBY HINCRBYFLOAT HMSET HPERSIST HPEXPIRE HPEXPIREAT HSET
        HSETEX HSETNX"),
    // Lists.
    (Is(Read, Plain), "LINDEX LLEN LPOS LRANGE"),
    (Is(Write, Plain), "LINSERT LMOVE LMPOP LPOP LPUSH LPUSHX LREM LSET LTRIM RPOP RPOPLPUSH RPUSH RPUSHX"),
    (Is(Write, Blocking), "BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH"),
    // Sets.
    (Is(Read, Plain), "SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SRANDMEMBER SSCAN SUNION"),
    (Is(Write, Plain), "SADD SDIFFSTORE SINTERSTORE SMOVE SPOP SREM SUNIONSTORE"),
    // Sorted sets and places.
    (Is(Read, Plain), "ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE
        ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION GEODIST GEOHASH GEOPOS GEORADIUS_RO
        GEORADIUSBYMEMBER_RO GEOSEARCH"),
    (Is(Write, Plain), "ZADD ZDIFFSTORE ZINCRBY ZINTERSTORE ZMPOP ZPOPMAX ZPOPMIN ZRANGESTORE ZREM ZREMRANGEBYLEX
        ZREMRANGEBYRANK ZREMRANGEBYSCORE ZUNIONSTORE GEOADD GEORADIUS GEORADIUSBYMEMBER GEOSEARCHSTORE"),
    (Is(Write, Blocking), "BZMPOP BZPOPMAX BZPOPMIN"),
    // HyperLogLogs. PFCOUNT writes the count that it caches, and replicates that.
    (Is(Write, Plain), "PFADD PFCOUNT PFDEBUG PFMERGE"),
    (Is(Read, Plain), "PFSELFTEST"),
    // Streams.
    (Is(Read, Plain), "XLEN XPENDING XRANGE XREVRANGE XINFO|CONSUMERS XINFO|GROUPS XINFO|HELP XINFO|STREAM XGROUP|HELP"),
    (Is(Write, Plain), "XACK XACKDEL XADD XAUTOCLAIM XCLAIM XDEL XDELEX XSETID XTRIM XGROUP|CREATE XGROUP|CREATECONSUMER
        XGROUP|DELCONSUMER XGROUP|DESTROY XGROUP|SETID"),
    (Stream(Read), "XREAD"),
    (Stream(Write), "XREADGROUP"),
    // Messages. PUBLISH is replicated like a write.
    (Is(Write, Plain), "PUBLISH SPUBLISH"),
    (Is(Read, Plain), "PUBSUB|CHANNELS PUBSUB|HELP PUBSUB|NUMPAT PUBSUB|NUMSUB PUBSUB|SHARDCHANNELS PUBSUB|SHARDNUMSUB"),
    (Is(Read, Relay(Subscribe(Channel))), "SUBSCRIBE"), (Is(Read, Relay(Unsubscribe(Channel))), "UNSUBSCRIBE"),
    (Is(Read, Relay(Subscribe(Pattern))), "PSUBSCRIBE"), (Is(Read, Relay(Unsubscribe(Pattern))), "PUNSUBSCRIBE"),
    (Is(Read, Relay(Subscribe(Shard))), "SSUBSCRIBE"), (Is(Read, Relay(Unsubscribe(Shard))), "SUNSUBSCRIBE"),
    (Is(Read, Relay(Monitor)), "MONITOR"),
    // Scripts.
    (Is(Read, Plain), "EVALSHA_RO EVAL_RO FCALL_RO FUNCTION|DUMP FUNCTION|HELP FUNCTION|LIST FUNCTION|STATS SCRIPT|EXISTS
        SCRIPT|HELP"),
    (Is(Write, Plain), "EVAL EVALSHA FCALL FUNCTION|DELETE FUNCTION|FLUSH FUNCTION|LOAD FUNCTION|RESTORE"),
    (Is(Write, Scripts), "SCRIPT|FLUSH SCRIPT|LOAD"),
    (Is(Write, Sticky), "FUNCTION|KILL SCRIPT|DEBUG SCRIPT|KILL"),
    // Transactions.
    (Is(Read, Multi), "MULTI"), (Is(Write, Exec), "EXEC"), (Is(Read, Discard), "DISCARD"),
    (Is(Read, Watch), "WATCH"), (Is(Read, Unwatch), "UNWATCH"),
    // The connection.
    (Is(Read, Plain), "ECHO PING CLIENT|GETNAME CLIENT|GETREDIR CLIENT|HELP CLIENT|TRACKINGINFO"),
    (Is(Read, Auth), "AUTH"), (Is(Read, Hello), "HELLO"), (Is(Read, Select), "SELECT"), (Is(Read, Quit), "QUIT"),
    (Is(Read, Reset), "RESET"), (Is(Read, Foreign), "HOST: POST"), (Is(Read, ClientSetName), "CLIENT|SETNAME"), (Is(Read, ClientSetInfo), "CLIENT|SETINFO"),
    (Is(Read, ClientNoEvict), "CLIENT|NO-EVICT"), (Is(Read, ClientNoTouch), "CLIENT|NO-TOUCH"),
    (Is(Read, Identity), "CLIENT|ID CLIENT|INFO CLIENT|LIST"),
    (Is(Read, Sticky), "ASKING READONLY READWRITE CLIENT|CAPA"),
    (Is(Write, Sticky), "CLIENT|KILL CLIENT|PAUSE CLIENT|UNBLOCK CLIENT|UNPAUSE"),
    (Is(Read, Relay(Tracking)), "CLIENT|TRACKING"), (Is(Read, Relay(Caching)), "CLIENT|CACHING"),
    (Is(Read, Relay(Opaque)), "CLIENT|REPLY"),
    // Replication. WAIT asks about the writes of its own connection.
    (Is(Write, Wait), "WAIT WAITAOF"),
    (Is(Write, Relay(Opaque)), "PSYNC REPLCONF SYNC"),
    (Is(Write, Sticky), "FAILOVER REPLICAOF SLAVEOF"),
    // The server.
    // COMMAND is one by itself, and each of its sub-commands only tells something.
    (Is(Read, Plain), "COMMAND INFO LASTSAVE LOLWUT ROLE TIME CONFIG|GET CONFIG|HELP LATENCY|DOCTOR LATENCY|GRAPH LATENCY|HELP
        LATENCY|HISTOGRAM LATENCY|HISTORY LATENCY|LATEST MEMORY|DOCTOR MEMORY|HELP MEMORY|MALLOC-STATS MEMORY|STATS
        MEMORY|USAGE MODULE|HELP MODULE|LIST OBJECT|ENCODING OBJECT|FREQ OBJECT|HELP OBJECT|IDLETIME OBJECT|REFCOUNT
        SLOWLOG|GET SLOWLOG|HELP SLOWLOG|LEN ACL|CAT ACL|DRYRUN ACL|GENPASS ACL|GETUSER ACL|HELP ACL|LIST ACL|USERS
        ACL|WHOAMI"),
    (Is(Write, Plain), "ACL|LOG ACL|SAVE BGREWRITEAOF BGSAVE CONFIG|RESETSTAT CONFIG|REWRITE CONFIG|SET LATENCY|RESET
        MEMORY|PURGE SAVE SLOWLOG|RESET"),
    (Is(Write, Sticky), "ACL|DELUSER ACL|LOAD ACL|SETUSER DEBUG MODULE|LOAD MODULE|LOADEX MODULE|UNLOAD SHUTDOWN"),
    // Cluster.
    (Is(Read, Plain), "CLUSTER|COUNT-FAILURE-REPORTS CLUSTER|COUNTKEYSINSLOT CLUSTER|GETKEYSINSLOT CLUSTER|HELP CLUSTER|INFO
        CLUSTER|KEYSLOT CLUSTER|LINKS CLUSTER|MYID CLUSTER|MYSHARDID CLUSTER|NODES CLUSTER|REPLICAS CLUSTER|SHARDS
        CLUSTER|SLAVES CLUSTER|SLOTS CLUSTER|SLOT-STATS"),
    (Is(Write, Sticky), "CLUSTER|ADDSLOTS CLUSTER|ADDSLOTSRANGE CLUSTER|BUMPEPOCH CLUSTER|DELSLOTS CLUSTER|DELSLOTSRANGE
        CLUSTER|FAILOVER CLUSTER|FLUSHSLOTS CLUSTER|FORGET CLUSTER|MEET CLUSTER|REPLICATE CLUSTER|RESET CLUSTER|SAVECONFIG
        CLUSTER|SET-CONFIG-EPOCH CLUSTER|SETSLOT RESTORE-ASKING"),
    (Container, "ACL CLIENT CLUSTER CONFIG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SLOWLOG XGROUP XINFO"),
];

/// Slots of the hash table: a power of two, about a third of them used.
const SLOTS: usize = 1024;

/// No name is longer; a longer one is not hashed.
const NAME_MAX: usize = 32;

/// What is known of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// What it does to data and to its connection.
    pub(super) row: Row,
    /// Where its keys are.
    pub(super) places: Places,
    /// Whether any server with the same data answers the same.
    pub(super) any_server: bool,
}

#[derive(Clone, Copy)]
struct Slot {
    name: &'static [u8],
    entry: Entry,
}

/// Open addressing, built at compile time.
static TABLE: [Slot; SLOTS] = build();

const fn build() -> [Slot; SLOTS] {
    // What is not listed with its keys may touch any.
    let nothing =
        Slot { name: b"", entry: Entry { row: Container, places: Places::Anywhere, any_server: false } };
    let mut table = [nothing; SLOTS];
    let mut group = 0;
    while group < GROUPS.len() {
        let (row, mut text) = (GROUPS[group].0, GROUPS[group].1.as_bytes());
        while let Some((name, rest)) = next_name(text) {
            let slot = place(&table, name);
            assert!(table[slot].name.is_empty(), "a command is listed twice");
            table[slot] = Slot { name, entry: Entry { row, ..nothing.entry } };
            text = rest;
        }
        group += 1;
    }
    let mut group = 0;
    while group < keys::GROUPS.len() {
        let (places, mut text) = (keys::GROUPS[group].0, keys::GROUPS[group].1.as_bytes());
        while let Some((name, rest)) = next_name(text) {
            let slot = place(&table, name);
            assert!(!table[slot].name.is_empty(), "keys of a command that is not in the table");
            assert!(matches!(table[slot].entry.places, Places::Anywhere), "keys are listed twice");
            table[slot].entry.places = places;
            // What is about no keys is about the server.
            table[slot].entry.any_server = !matches!(places, Places::Nowhere);
            text = rest;
        }
        group += 1;
    }
    let mut text = keys::OF_ONE_SERVER.as_bytes();
    while let Some((name, rest)) = next_name(text) {
        let slot = place(&table, name);
        assert!(table[slot].entry.any_server, "of one server anyway");
        table[slot].entry.any_server = false;
        text = rest;
    }
    table
}

/// The next of the names in `text`, and the text behind it.
const fn next_name(text: &'static [u8]) -> Option<(&'static [u8], &'static [u8])> {
    let text = text.trim_ascii_start();
    let mut end = 0;
    while end < text.len() && !text[end].is_ascii_whitespace() {
        end += 1;
    }
    assert!(end <= NAME_MAX, "a command's name is longer than NAME_MAX");
    if end == 0 { None } else { Some(text.split_at(end)) }
}

/// The slot of `name`, or the one where it belongs.
const fn place(table: &[Slot; SLOTS], name: &[u8]) -> usize {
    let mut hash = Hash::NEW;
    let mut at = 0;
    while at < name.len() {
        hash = hash.with(name[at]);
        at += 1;
    }
    let mut slot = hash.slot();
    while !table[slot].name.is_empty() && !table[slot].name.eq_ignore_ascii_case(name) {
        slot = (slot + 1) % SLOTS;
    }
    slot
}

/// FNV-1a over upper-cased bytes.
#[derive(Clone, Copy)]
struct Hash(u32);

impl Hash {
    const NEW: Self = Self(0x811c_9dc5);

    #[inline]
    const fn with(self, byte: u8) -> Self {
        Self((self.0 ^ byte.to_ascii_uppercase() as u32).wrapping_mul(0x0100_0193))
    }

    #[inline]
    const fn slot(self) -> usize {
        // Of a product the high bits are the better mixed ones.
        (self.0 ^ (self.0 >> 16)) as usize % SLOTS
    }
}

/// What is known of the command `name`.
#[inline]
pub(super) fn command(name: &[u8]) -> Option<Entry> {
    if name.len() > NAME_MAX {
        return None;
    }
    let mut hash = Hash::NEW;
    for &byte in name {
        // Sub-commands have no name of their own outside of this table.
        if byte == b'|' {
            return None;
        }
        hash = hash.with(byte);
    }
    find(hash, |known| known.eq_ignore_ascii_case(name))
}

/// What is known of a container's sub-command.
#[inline]
pub(super) fn subcommand(container: &[u8], name: &[u8]) -> Option<Entry> {
    let len = container.len().checked_add(name.len())?.checked_add(1)?;
    if len > NAME_MAX {
        return None;
    }
    let hash = container.iter().chain(b"|").chain(name).fold(Hash::NEW, |hash, &byte| hash.with(byte));
    find(hash, |known| {
        known.len() == len
            && known[..container.len()].eq_ignore_ascii_case(container)
            && known[container.len()] == b'|'
            && known[container.len() + 1..].eq_ignore_ascii_case(name)
    })
}

#[inline]
fn find(hash: Hash, is_it: impl Fn(&[u8]) -> bool) -> Option<Entry> {
    let mut slot = hash.slot();
    loop {
        let Slot { name, entry } = TABLE[slot];
        if name.is_empty() {
            return None;
        }
        if is_it(name) {
            return Some(entry);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Every name in the table, and its place's distance from where its hash points.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (&'static str, Entry, usize)> {
    TABLE.iter().enumerate().filter(|(_, slot)| !slot.name.is_empty()).map(|(at, slot)| {
        let home = slot.name.iter().fold(Hash::NEW, |hash, &byte| hash.with(byte)).slot();
        let name = std::str::from_utf8(slot.name).expect("names are ASCII");
        (name, slot.entry, (at + SLOTS - home) % SLOTS)
    })
}
