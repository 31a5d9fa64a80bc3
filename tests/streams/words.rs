//! What may stand at the place of an argument, by its name in `COMMAND DOCS`.
//!
//! Most of it is valid, so that most commands succeed; some of it is not. `@` becomes the client's own stem.

/// Commands (`*`: any), names of arguments, and what is chosen from. The first row that fits counts.
#[rustfmt::skip]
const CHOICES: &[(&str, &str, &str)] = &[
    // Never 0, with which a command would wait for ever.
    ("WAIT", "timeout", "5 10 x"),
    ("WAIT", "numreplicas", "0 0 1 -1"),
    ("XREAD XREADGROUP", "milliseconds", "5 10 -1"),
    ("*", "timeout", "0.01 0.02 0.005 0.01 -1 soon"),
    // So far away that nothing expires while it is looked at, or long ago.
    ("*", "seconds", "100000 200000 -1 0 x"),
    ("*", "milliseconds", "100000000 300000000 -1 0 x"),
    ("*", "ttl", "0 100000000"),
    ("*", "unix-time-seconds", "4102444800 4102444801 4102444799 1 x"),
    ("*", "unix-time-milliseconds", "4102444800000 4102444801000 1 x"),
    ("BITFIELD BITFIELD_RO", "offset", "0 1 7 #1 #3 100 x"),
    ("*", "encoding", "u8 i5 u16 i64 u63 u64"),
    ("*", "operation", "AND OR XOR NOT OR"),
    ("SETBIT", "value", "0 1 1 1 2"),
    ("*", "bit", "0 1 1 2"),
    // Sets hold numbers only: what else they hold is in the order of a hash table.
    ("SADD SREM SISMEMBER SMISMEMBER SMOVE", "member", "0 1 2 3 5 8 13 21 34 55"),
    ("*", "member member1 member2", "m1 m2 m3 m4 m5"),
    ("*", "field", "f1 f2 f3 12"),
    ("*", "element pivot", "a b 3 7 xyz"),
    ("*", "score", "0 1 1 2.5 -3 1e3 inf -inf x"),
    ("*", "weight", "1 2 -1 0.5"),
    ("INCRBYFLOAT HINCRBYFLOAT", "increment", "1.5 -2 3e2 0 x"),
    ("ZRANGEBYLEX ZREVRANGEBYLEX ZREMRANGEBYLEX ZLEXCOUNT", "min", "- [m (m2 x"),
    ("ZRANGEBYLEX ZREVRANGEBYLEX ZREMRANGEBYLEX ZLEXCOUNT", "max", "+ [n (m4 x"),
    ("ZRANGESTORE", "min max", "0 1 -1 -inf +inf [m - +"),
    ("*", "min", "-inf 0 (1 -5 x"),
    ("*", "max", "+inf 10 (3 2 x"),
    ("ZRANGE", "start", "0 0 1 -inf [m -"),
    ("ZRANGE", "stop", "-1 -1 3 +inf [n +"),
    ("XRANGE XREVRANGE", "start", "- 0 1 (2 5-1 x"),
    ("XRANGE XREVRANGE", "end", "+ 9 (9 13-5 x"),
    ("XADD", "id", "1-* 2-* 5-* 13-* 13-* 13-* 13-* 7-7"),
    ("XREAD", "id", "0 0 1-1 5 $"),
    ("XREADGROUP", "id", "> > 0 1-1"),
    ("XGROUP|CREATE XGROUP|SETID", "id", "0 $ 5-1"),
    ("*", "id last-id max_deleted_entry_id", "0-1 1-0 5-0 13-0 13-1 13-2 x"),
    ("*", "threshold", "0 2 5 2-0"),
    ("*", "group groupname", "g1 g1 g2"),
    ("*", "consumer consumername", "ann bob"),
    ("*", "min-idle-time", "0 0 100000000"),
    ("*", "latitude", "0 10.5 -45 38.1 91"),
    ("*", "longitude", "13.36 0 -100 15.1 200"),
    ("*", "radius width height", "1 100 50000 -1"),
    ("*", "channel shardchannel", "@:news @:talk"),
    ("KEYS", "pattern", "@:s1 @:l2"),
    ("SORT SORT_RO", "pattern", "# @:s* nosort @:h*->f1"),
    ("PSUBSCRIBE PUNSUBSCRIBE", "pattern", "@:n* @:*"),
    ("*", "pattern", "* f* [0-9] m?"),
    ("*", "db destination-db index1 index2", "0 1 2 15 16 x"),
    ("*", "cursor", "0 0 0 1 x"),
    ("FCALL FCALL_RO", "function", "@get @get @put nothing"),
    ("*", "library-name library-name-pattern", "@lib nothing"),
    ("*", "connection-name clientname", "@ other"),
    // Several, or a pattern, would come in the order of a hash table.
    ("CONFIG|GET", "parameter", "maxmemory"),
    ("*", "username", "@user default nobody"),
    ("*", "password", "@word wrong"),
    ("*", "command", "get set blpop"),
    ("*", "subcommand", "GETREG ENCODING DECODE TODENSE"),
    ("*", "count limit num-matches rank", "1 2 2 3 10 0 -1 -2 x"),
];

/// What is never sent: commands and names of optional or alternative arguments.
#[rustfmt::skip]
const NEVER: &[(&str, &str)] = &[
    // An identifier made of the clock.
    ("XADD", "auto_id"),
    // Tells when consumers were seen.
    ("XINFO|STREAM", "full"),
    // Whether the same distance from now is greater than the last time depends on the millisecond.
    ("EXPIRE PEXPIRE", "gt"),
    // Words whose weights are missing come in the order of a hash table (`sortCompare` in `sort.c`); numbers do not.
    ("SORT SORT_RO", "sorting"),
    // Measured by a clock that ticks every few seconds.
    ("RESTORE RESTORE-ASKING", "seconds"),
];

/// Scripts: what they return, write and fail with. Each begins with the stem: others' scripts are other scripts.
pub(crate) const SCRIPTS: &[&str] = &[
    "return {1, 'two', {3, 4}, false, redis.status_reply('FINE')}",
    "return redis.call('GET', KEYS[1])",
    "return redis.call('RPUSH', KEYS[1], unpack(ARGV))",
    "redis.call('INCR', KEYS[1]) return redis.error_reply('MINE it went wrong')",
    "return redis.pcall('INCR', KEYS[1])",
    "return redis.call('NOSUCH')",
    "redis.setresp(3) return redis.call('HGETALL', KEYS[1])",
    "return #ARGV",
];

/// The code of a library with two functions.
pub(crate) const LIBRARY: &str = "#!lua name=@lib\n\
    redis.register_function{function_name='@get', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}\n\
    redis.register_function('@put', function(keys, args) return redis.call('SET', keys[1], args[1] or 'none') end)";

fn has(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|listed| listed == word)
}

/// What is chosen from at the place of `argument`.
pub(crate) fn choices(command: &str, argument: &str) -> Option<&'static str> {
    let fits = |(commands, arguments, _): &&(&str, &str, &str)| {
        (*commands == "*" || has(commands, command)) && has(arguments, argument)
    };
    CHOICES.iter().find(fits).map(|(_, _, words)| *words)
}

pub(crate) fn never(command: &str, argument: &str) -> bool {
    NEVER.iter().any(|(commands, name)| has(commands, command) && *name == argument)
}
