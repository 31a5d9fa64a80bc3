//! What two servers rightly answer differently, and so is never sent, or made the same before it is compared.

/// Commands that are left out, each with the reason. A name stands for its sub-commands too.
#[rustfmt::skip]
const LEFT_OUT: &[(&str, &str)] = &[
    // DUMP of a stream tells when its consumers were seen.
    ("its reply depends on the clock",
        "TIME LASTSAVE TTL PTTL EXPIRETIME PEXPIRETIME OBJECT|IDLETIME XPENDING XINFO|CONSUMERS XAUTOCLAIM DUMP SLOWLOG LATENCY"),
    ("its reply is a matter of chance",
        "RANDOMKEY SRANDMEMBER SPOP HRANDFIELD ZRANDMEMBER ACL|GENPASS LOLWUT"),
    ("its order is that of a hash table, whose seed is the server's own",
        "SCAN ZSCAN COMMAND COMMAND|LIST COMMAND|INFO COMMAND|DOCS ACL|CAT ACL|GETUSER CONFIG|HELP FUNCTION|LIST PUBSUB|CHANNELS PUBSUB|SHARDCHANNELS"),
    ("it tells of the process, or of the connection that carries the request",
        "INFO ROLE MEMORY CLIENT|ID CLIENT|INFO CLIENT|LIST CLIENT|TRACKINGINFO CLIENT|GETREDIR FUNCTION|STATS MODULE|LIST"),
    ("it reaches other clients by numbers and addresses, which differ, or stops them all",
        "CLIENT|KILL CLIENT|PAUSE CLIENT|UNPAUSE CLIENT|UNBLOCK ACL|LOG MONITOR"),
    ("it makes the server another one, ends it, or keeps it busy",
        "SHUTDOWN DEBUG REPLICAOF SLAVEOF FAILOVER MODULE SAVE BGSAVE BGREWRITEAOF MIGRATE PFSELFTEST SCRIPT|DEBUG CONFIG|SET CONFIG|REWRITE
        ACL|LOAD ACL|SAVE CLUSTER|RESET"),
    ("what follows it is no request any more", "PSYNC SYNC REPLCONF"),
    ("it comes only in the sequences of `session.rs`, because what follows it has to fit",
        "MULTI EXEC DISCARD WATCH UNWATCH QUIT RESET AUTH HELLO SELECT SUBSCRIBE UNSUBSCRIBE PSUBSCRIBE PUNSUBSCRIBE
        SSUBSCRIBE SUNSUBSCRIBE CLIENT|TRACKING CLIENT|CACHING CLIENT|REPLY ACL|SETUSER ACL|DELUSER"),
];

/// Commands whose effect or reply is everybody's: only for a client that is alone.
pub(crate) const OF_ALL: &str = "DBSIZE FLUSHALL FLUSHDB SWAPDB KEYS SCRIPT|FLUSH SCRIPT|KILL FUNCTION|FLUSH FUNCTION|DUMP \
    FUNCTION|RESTORE FUNCTION|KILL PUBSUB|NUMPAT ACL|LIST ACL|USERS CONFIG|RESETSTAT";

/// Not while the role moves: commands that tell of what a server keeps to itself and does not replicate (scripts, users, settings,
/// mirrors, encodings, consumers that `XREADGROUP` has made, zeroes that a `BITFIELD` with `OVERFLOW FAIL` leaves), and those that pin a session
/// to its connection, some of them only inside of a transaction (`session.rs` sends these outside of one).
pub(crate) const OF_A_SERVER: &str = "WAIT SCRIPT EVALSHA EVALSHA_RO ACL CONFIG CLUSTER OBJECT XINFO \
    XGROUP|CREATECONSUMER BITFIELD CLIENT|SETNAME CLIENT|NO-EVICT READONLY READWRITE ASKING RESTORE-ASKING";

/// Whether a command is in the list `names`, itself or by its container.
pub(crate) fn lists(names: &str, name: &str) -> bool {
    let container = name.split_once('|').map(|(container, _)| container);
    names.split_ascii_whitespace().any(|listed| listed == name || Some(listed) == container)
}

/// Whether a command is never sent by chance. `COMMAND` by itself is, its sub-commands are not for that.
pub(crate) fn left_out(name: &str) -> bool {
    let exactly = |names: &str| names.split_ascii_whitespace().any(|listed| listed == name);
    LEFT_OUT.iter().any(|(_, names)| exactly(names) || (!name.starts_with("COMMAND|") && lists(names, name)))
}

/// Behind this stands the number of the connection, in the reply to `HELLO`.
const ID: &[u8] = b"$2\r\nid\r\n:";
/// So it is answered by the old primary while the roles are exchanged.
const REPLICA: &[u8] = b"$4\r\nrole\r\n$7\r\nreplica\r\n";
const MASTER: &[u8] = b"$4\r\nrole\r\n$6\r\nmaster\r\n";

/// Makes the same what may differ in `replies`.
pub(crate) fn alike(replies: &[u8]) -> Vec<u8> {
    let without_ids =
        replace(replies, ID, ID, |tail| tail.iter().take_while(|byte| byte.is_ascii_digit()).count());
    replace(&without_ids, REPLICA, MASTER, |_| 0)
}

/// Writes `new` for `old`, and leaves out as many bytes behind it as `more` says.
fn replace(bytes: &[u8], old: &[u8], new: &[u8], more: impl Fn(&[u8]) -> usize) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        rest = &rest[at + old.len()..];
        rest = &rest[more(rest)..];
    }
    out.extend_from_slice(rest);
    out
}
