//! Two clients of which one waits for what the other one brings, so that what both see does not depend on who is first.

use rand::Rng as _;

use crate::grammar::{Speaker, multibulk, sha1};
use crate::session::{Requests, Temper, session};

/// What waits, what ends its wait, with `#` for a number; each pair of keys is used once. The reply is the same whether the
/// element was there before or not.
const MEETINGS: &[(&[&str], &[&str])] = &[
    (&["BLPOP @:q# 50"], &["RPUSH @:q# v#"]),
    (&["BRPOP @:none @:q# 50"], &["LPUSH @:q# v#"]),
    (&["BLMOVE @:q# @:r# LEFT RIGHT 50"], &["RPUSH @:q# v#"]),
    (&["BRPOPLPUSH @:q# @:r# 50"], &["RPUSH @:q# v#"]),
    (&["BLMPOP 50 2 @:none @:q# LEFT COUNT 2"], &["RPUSH @:q# v#"]),
    (&["BZPOPMIN @:q# 50"], &["ZADD @:q# 1.5 v#"]),
    (&["BZMPOP 50 1 @:q# MAX"], &["ZADD @:q# 2 v#"]),
    (&["XREAD BLOCK 50000 STREAMS @:q# 0"], &["XADD @:q# 1-1 f v#"]),
    (&["XREAD COUNT 1 BLOCK 50000 STREAMS @:q# @:none 0 0"], &["XADD @:q# 1-1 f v#"]),
    (
        &[
            "XGROUP CREATE @:q# g 0 MKSTREAM",
            "XREADGROUP GROUP g ann BLOCK 50000 STREAMS @:q# >",
            "XACK @:q# g 1-1",
        ],
        &["XADD @:q# 1-1 f v#"],
    ),
    // A script that the other one has loaded is there.
    (&["BLPOP @:q# 50", "EVALSHA % 1 @:q#"], &["SCRIPT LOAD return'@-#'", "RPUSH @:q# v#"]),
];

/// What each of the two sends. Between their meetings they do what others do, each with its own keys.
pub(crate) fn both(stem: &str, speakers: &mut [Speaker<'_>; 2], meetings: usize) -> [Requests; 2] {
    let mut sent = [Requests::new(), Requests::new()];
    for number in 0..meetings {
        let (waits, brings) = speakers[0].choose(MEETINGS);
        let script = String::from_utf8(sha1(format!("return'{stem}-{number}'").as_bytes())).expect("digits");
        for ((requests, speaker), lines) in sent.iter_mut().zip(speakers.iter_mut()).zip([waits, brings]) {
            for line in lines {
                let line = line.replace('@', stem).replace('#', &number.to_string()).replace('%', &script);
                let words: Vec<_> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
                requests.push(multibulk(&words));
            }
            let length = speaker.rng.random_range(0..8);
            requests.extend(session(speaker, Temper::Plain, length));
        }
    }
    sent
}
