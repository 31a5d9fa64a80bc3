//! Where the keys of each command are, and reading them off a request.
//!
//! Checked against `COMMAND GETKEYS` of a real server (`tests/keys.rs`). Commands later than the server of that test are from
//! the command reference of Redis 8.0.

use crate::wire::{Args, args};

use super::table;

/// Where the keys of a command are among its arguments, of which its name is number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// It has none.
    Nowhere,
    /// They can't be told from the request.
    Anywhere,
    /// From `first` to `last`, each `step`-th. A negative `last` counts from the end: -1 is the last argument.
    Range { first: u8, last: i8, step: u8 },
    /// Argument `at` says how many there are; they follow it, each `step`-th. When it says none, they can't be told: a
    /// script without declared keys may use any.
    Counted { at: u8, step: u8 },
    /// The first argument is one, and the others are counted by the second one.
    Stored,
    /// The first half of what follows `STREAMS`.
    Streams,
    /// The first argument, and the one behind `STORE`. `BY` and `GET` with a star lead to any.
    Sort,
    /// The first argument, and the ones behind `STORE` and `STOREDIST`.
    Radius,
    /// The third argument, and all that follow `KEYS`.
    Migrate,
}
use Places::{Counted, Migrate, Nowhere, Radius, Range, Sort, Stored, Streams};

const FIRST: Places = Range { first: 1, last: 1, step: 1 };
const FIRST_TWO: Places = Range { first: 1, last: 2, step: 1 };
const SECOND: Places = Range { first: 2, last: 2, step: 1 };
const EACH: Places = Range { first: 1, last: -1, step: 1 };

/// The commands, grouped by where their keys are; every name is one of the table's. What is not listed is
/// [`Places::Anywhere`]: commands about all keys (`FLUSHALL`, `KEYS`, `SCAN`, `DBSIZE`), those that see what others do
/// (`MONITOR`, `PSYNC`), those that govern the server in ways of their own (`DEBUG`, `CLUSTER`, `MODULE`), and `EXEC`.
#[rustfmt::skip]
pub(super) const GROUPS: &[(Places, &str)] = &[
    (FIRST, "APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS DECR DECRBY DELEX DIGEST DUMP EXPIRE EXPIREAT EXPIRETIME GET GETBIT
        GETDEL GETEX GETRANGE GETSET INCR INCRBY INCRBYFLOAT MOVE PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PSETEX PTTL RESTORE
        RESTORE-ASKING SET SETBIT SETEX SETNX SETRANGE STRLEN SUBSTR TTL TYPE
        HDEL HEXISTS HEXPIRE HEXPIREAT HEXPIRETIME HGET HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET
        HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSET HSETEX HSETNX HSTRLEN HTTL HVALS
        LINDEX LINSERT LLEN LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM RPOP RPUSH RPUSHX
        SADD SCARD SISMEMBER SMEMBERS SMISMEMBER SPOP SRANDMEMBER SREM SSCAN
        ZADD ZCARD ZCOUNT ZINCRBY ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREM
        ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE
        GEOADD GEODIST GEOHASH GEOPOS GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH PFADD
        XACK XACKDEL XADD XAUTOCLAIM XCLAIM XDEL XDELEX XLEN XPENDING XRANGE XREVRANGE XSETID XTRIM"),
    (FIRST_TWO, "BLMOVE BRPOPLPUSH COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE"),
    (SECOND, "MEMORY|USAGE OBJECT|ENCODING OBJECT|FREQ OBJECT|IDLETIME OBJECT|REFCOUNT PFDEBUG XGROUP|CREATE
        XGROUP|CREATECONSUMER XGROUP|DELCONSUMER XGROUP|DESTROY XGROUP|SETID XINFO|CONSUMERS XINFO|GROUPS XINFO|STREAM"),
    (EACH, "DEL EXISTS MGET PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SUNION SUNIONSTORE TOUCH UNLINK WATCH"),
    (Range { first: 1, last: -1, step: 2 }, "MSET MSETNX"),
    (Range { first: 1, last: -2, step: 1 }, "BLPOP BRPOP BZPOPMAX BZPOPMIN"),
    (Range { first: 2, last: -1, step: 1 }, "BITOP"),
    (Counted { at: 1, step: 1 }, "LMPOP SINTERCARD ZDIFF ZINTER ZINTERCARD ZMPOP ZUNION"),
    (Counted { at: 1, step: 2 }, "MSETEX"),
    (Counted { at: 2, step: 1 }, "BLMPOP BZMPOP EVAL EVALSHA EVALSHA_RO EVAL_RO FCALL FCALL_RO"),
    (Stored, "ZDIFFSTORE ZINTERSTORE ZUNIONSTORE"),
    (Streams, "XREAD XREADGROUP"),
    (Sort, "SORT SORT_RO"),
    (Radius, "GEORADIUS GEORADIUSBYMEMBER"),
    (Migrate, "MIGRATE"),
    // Channels are no keys.
    (Nowhere, "PUBLISH SPUBLISH PSUBSCRIBE PUNSUBSCRIBE SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE UNSUBSCRIBE PUBSUB|CHANNELS PUBSUB|HELP
        PUBSUB|NUMPAT PUBSUB|NUMSUB PUBSUB|SHARDCHANNELS PUBSUB|SHARDNUMSUB"),
    // Each of a transaction's commands has its own.
    (Nowhere, "MULTI DISCARD UNWATCH"),
    (Nowhere, "ECHO PING AUTH HELLO SELECT QUIT RESET HOST: POST ASKING READONLY READWRITE WAIT WAITAOF CLIENT|CACHING CLIENT|CAPA
        CLIENT|GETNAME CLIENT|GETREDIR CLIENT|HELP CLIENT|ID CLIENT|INFO CLIENT|KILL CLIENT|LIST CLIENT|NO-EVICT
        CLIENT|NO-TOUCH CLIENT|PAUSE CLIENT|REPLY CLIENT|SETINFO CLIENT|SETNAME CLIENT|TRACKING CLIENT|TRACKINGINFO
        CLIENT|UNBLOCK CLIENT|UNPAUSE"),
    (Nowhere, "FUNCTION|DELETE FUNCTION|DUMP FUNCTION|FLUSH FUNCTION|HELP FUNCTION|KILL FUNCTION|LIST FUNCTION|LOAD
        FUNCTION|RESTORE FUNCTION|STATS SCRIPT|DEBUG SCRIPT|EXISTS SCRIPT|FLUSH SCRIPT|HELP SCRIPT|KILL SCRIPT|LOAD"),
    (Nowhere, "COMMAND INFO LASTSAVE LOLWUT ROLE TIME BGREWRITEAOF BGSAVE SAVE CONFIG|GET CONFIG|HELP CONFIG|RESETSTAT
        CONFIG|REWRITE CONFIG|SET LATENCY|DOCTOR LATENCY|GRAPH LATENCY|HELP LATENCY|HISTOGRAM LATENCY|HISTORY LATENCY|LATEST
        LATENCY|RESET MEMORY|DOCTOR MEMORY|HELP MEMORY|MALLOC-STATS MEMORY|PURGE MEMORY|STATS MODULE|HELP MODULE|LIST
        OBJECT|HELP SLOWLOG|GET SLOWLOG|HELP SLOWLOG|LEN SLOWLOG|RESET ACL|CAT ACL|DELUSER ACL|DRYRUN ACL|GENPASS ACL|GETUSER
        ACL|HELP ACL|LIST ACL|LOAD ACL|LOG ACL|SAVE ACL|SETUSER ACL|USERS ACL|WHOAMI PFSELFTEST XGROUP|HELP XINFO|HELP"),
];

/// Commands about keys to which another server with the same data would answer otherwise: cursors, how and since when a key lies in
/// memory, scripts by their hash.
pub(super) const OF_ONE_SERVER: &str =
    "EVALSHA_RO HSCAN SSCAN ZSCAN TOUCH MEMORY|USAGE OBJECT|ENCODING OBJECT|FREQ
    OBJECT|IDLETIME OBJECT|REFCOUNT";

/// Whether the keys of a request are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reach {
    /// Those that were told are all.
    Told,
    /// It may touch any.
    Any,
}

/// Tells `each` key of a multibulk request, or of the beginning of one.
///
/// Where the server would see no request, or one that it refuses, this may tell more than it does, or [`Reach::Any`]; it never
/// tells less than the server touches.
pub fn keys<'a>(frame: &'a [u8], each: impl FnMut(&'a [u8])) -> Reach {
    let mut request = Request { args: args(frame), each };
    match request.places().and_then(|places| request.tell(places)) {
        Some(()) => Reach::Told,
        None => Reach::Any,
    }
}

struct Request<'a, F> {
    args: Args<'a>,
    each: F,
}

// Everywhere here, `None` says that the keys can't be told.
impl<'a, F: FnMut(&'a [u8])> Request<'a, F> {
    fn places(&self) -> Option<Places> {
        let mut args = self.args.clone();
        let name = args.next()?;
        let command = table::command(name)?;
        match command.row {
            table::Row::Container => Some(table::subcommand(name, args.next()?)?.places),
            _ => Some(command.places),
        }
    }

    fn tell(&mut self, places: Places) -> Option<()> {
        match places {
            Nowhere => Some(()),
            Places::Anywhere => None,
            Range { first, last, step } => {
                let last = match usize::try_from(last) {
                    Ok(last) => last,
                    Err(_) => self.args.total().checked_add_signed(last.into())?,
                };
                self.range(first.into(), last, step.into())
            }
            Counted { at, step } => self.counted(at.into(), step.into()),
            Stored => {
                self.range(1, 1, 1)?;
                self.counted(2, 1)
            }
            Streams => self.streams(),
            Sort => self.sort(),
            Radius => self.radius(),
            Migrate => self.migrate(),
        }
    }

    fn range(&mut self, first: usize, last: usize, step: usize) -> Option<()> {
        let count = last.checked_sub(first)?.checked_div(step)? + 1;
        if last >= self.args.total() {
            return None;
        }
        let keys = self.args.clone().skip(first).step_by(step).take(count);
        // Of a beginning not all of them may be there.
        let told = keys.fold(0, |told, key| {
            (self.each)(key);
            told + 1
        });
        (told == count).then_some(())
    }

    fn counted(&mut self, at: usize, step: usize) -> Option<()> {
        let count = std::str::from_utf8(self.args.clone().nth(at)?).ok()?.parse::<usize>().ok()?;
        let behind_first = count.checked_sub(1)?.checked_mul(step)?;
        let first = at + 1;
        self.range(first, first.checked_add(behind_first)?, step)
    }

    /// `xreadGetKeys` in `db.c`.
    fn streams(&mut self) -> Option<()> {
        let mut options = self.args.clone().skip(1);
        let mut at = 1;
        loop {
            let option = options.next()?;
            let values = match option {
                _ if option.eq_ignore_ascii_case(b"STREAMS") => break,
                _ if option.eq_ignore_ascii_case(b"NOACK") => 0,
                _ if option.eq_ignore_ascii_case(b"GROUP") => 2,
                _ if [&b"BLOCK"[..], b"COUNT", b"CLAIM"]
                    .iter()
                    .any(|one| option.eq_ignore_ascii_case(one)) =>
                {
                    1
                }
                _ => return None,
            };
            for _ in 0..values {
                options.next()?;
            }
            at += 1 + values;
        }
        // As many identifiers follow as keys.
        let half = self.args.total().checked_sub(at + 1).filter(|left| left % 2 == 0)? / 2;
        self.range(at + 1, at + half, 1)
    }

    /// `sortGetKeys` in `db.c`, and `lookupKeyByPattern` in `sort.c`.
    fn sort(&mut self) -> Option<()> {
        self.range(1, 1, 1)?;
        let mut options = self.options(2)?;
        while let Some(option) = options.next() {
            if option.eq_ignore_ascii_case(b"STORE") {
                // Looked at and not taken: a second STORE there names another one to `sortGetKeys`.
                (self.each)(options.clone().next()?);
            } else if option.eq_ignore_ascii_case(b"LIMIT") {
                options.nth(1)?;
            } else if option.eq_ignore_ascii_case(b"BY") || option.eq_ignore_ascii_case(b"GET") {
                // What stands for the star are the elements: any key.
                options.next().filter(|pattern| !pattern.contains(&b'*'))?;
            }
        }
        Some(())
    }

    /// The key specifications of `COMMAND INFO GEORADIUS`, which look for each word by itself.
    fn radius(&mut self) -> Option<()> {
        self.range(1, 1, 1)?;
        let mut stores = false;
        for word in self.options(5)? {
            if stores {
                (self.each)(word);
            }
            stores = word.eq_ignore_ascii_case(b"STORE") || word.eq_ignore_ascii_case(b"STOREDIST");
        }
        (!stores).then_some(())
    }

    /// `migrateGetKeys` in `db.c`.
    fn migrate(&mut self) -> Option<()> {
        // Before KEYS it is empty, and no key; telling it all the same costs nothing.
        self.range(3, 3, 1)?;
        let mut options = self.options(6)?;
        while let Some(option) = options.next() {
            if option.eq_ignore_ascii_case(b"KEYS") {
                options.by_ref().for_each(&mut self.each);
            } else if option.eq_ignore_ascii_case(b"AUTH") {
                options.next()?;
            } else if option.eq_ignore_ascii_case(b"AUTH2") {
                options.nth(1)?;
            }
        }
        Some(())
    }

    /// The arguments from `at` on, if all of the request is there.
    fn options(&self, at: usize) -> Option<std::iter::Skip<Args<'a>>> {
        let whole = self.args.clone().count() == self.args.total();
        whole.then(|| self.args.clone().skip(at))
    }
}
