//! What is told of a text that is no configuration, word for word.

use super::*;
use crate::model::Config;

const BARE: &str = "[[store]]\nname = \"a\"\nprotocol = \"redis\"\nlisten = [\"127.0.0.1:7000\"]\n\
    [[store.endpoint]]\nname = \"p\"\nurl = \"redis://h:1\"\nrole = \"primary\"\n";

fn told(text: &str) -> Vec<String> {
    match Config::parse(text, "f") {
        Ok(_) => Vec::new(),
        Err(faults) => faults.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn a_fault_says_where_what_and_what_to_do() {
    assert_eq!(told(BARE), [""; 0]);
    for (from, to, expected) in [
        (
            "name = \"p\"\n",
            "",
            "f:5: store.a.endpoint[0].name: is missing; add a line such as: name = \"primary\"",
        ),
        (
            "[[store.endpoint]]",
            "[store.endpoint]",
            "f:5: store.a.endpoint: is a single table, and there may be several; \
            write it under the head [[store.endpoint]]",
        ),
        (
            "name = \"a\"",
            "name = 5",
            "f:2: store[0].name: expected a name, found an integer; write it like name = \"cache\"",
        ),
        (
            "protocol",
            "hold_max = \"1us\"\nprotocol",
            "f:3: store.a.hold_max: \"1us\" is outside of \"10ms\" to \"5min\"; the default is \"5s\"",
        ),
        (
            "protocol",
            "hold_max = \"301s\"\nprotocol",
            "f:3: store.a.hold_max: \"301s\" is outside of \"10ms\" to \"5min\"; the default is \"5s\"",
        ),
        (
            "protocol",
            "hold_bytes = \"63KiB\"\nprotocol",
            "f:3: store.a.hold_bytes: \"63KiB\" is outside of \"64KiB\" to \
            \"64GiB\"; the default is \"64MiB\"",
        ),
        (
            "protocol",
            "hold_maxx = 1\nprotocol",
            "f:3: store.a.hold_maxx: is not a key; did you mean hold_max?",
        ),
        (
            "protocol",
            "probe_interval = 1\nprotocol",
            "f:3: store.a.probe_interval: is not a key; move it under [store.detect]",
        ),
        (
            "protocol",
            "colour = 1\nprotocol",
            "f:3: store.a.colour: is not a key; remove it; config/foretoken.toml lists every key",
        ),
        (
            "protocol",
            "detect = 5\nprotocol",
            "f:3: store.a.detect: expected a table, found an integer; write it under the head \
            [store.detect]",
        ),
        (
            "protocol",
            "detect = [{}]\nprotocol",
            "f:3: store.a.detect: is there as a list of tables, and there can be only one; \
            write it under the head [store.detect]",
        ),
    ] {
        assert!(BARE.contains(from), "{from}");
        assert_eq!(told(&BARE.replacen(from, to, 1)), [expected.to_owned()]);
    }
    assert_eq!(told(""), ["f: store: is missing; write it under the head [[store]]"]);
    assert_eq!(told("a = 1\na = 2").len(), 1);
    assert!(told("\na = ")[0].starts_with("f:2: is not TOML: "), "{:?}", told("\na = "));
    assert_eq!(
        told("store = 5"),
        ["f:1: store: expected tables, found an integer; write it under the head [[store]]"]
    );
}

#[test]
fn ranges_include_their_ends() {
    for value in ["10ms", "5min"] {
        let short = "[store.switchover]\nhold_deadline = \"50ms\"";
        let value = if value == "10ms" { "51ms" } else { value };
        let text = BARE.replacen("protocol", &format!("hold_max = \"{value}\"\nprotocol"), 1);
        assert_eq!(told(&format!("{text}{short}")), [""; 0], "{value}");
    }
    for (threads, count) in [(0, 1), (1, 0), (64, 0), (65, 1)] {
        assert_eq!(told(&format!("[data]\nthreads = {threads}\n{BARE}")).len(), count, "{threads}");
    }
}

#[test]
fn there_are_at_most_64_tables_of_a_kind_and_63_blocks() {
    let blocks = |count: usize| {
        let block = |number| format!("[[store.block]]\nname = \"b{number}\"\nprefix = \"{number}:\"\n");
        told(&format!("{BARE}{}", (0..count).map(block).collect::<String>()))
    };
    assert_eq!(blocks(63), [""; 0]);
    assert_eq!(
        blocks(64),
        ["f:9: store.a.block: is there 64 times, more than 63; let blocks with the same keys be one"]
    );
    assert_eq!(
        blocks(65),
        ["f:9: store.a.block: is there 65 times, not 1 to 64; write it under the head [[store.block]]"]
    );
}

#[test]
fn tables_without_a_name_of_their_own_are_told_apart_by_their_place() {
    let twice = format!("{BARE}{}", BARE.replace("7000", "7001").replace("redis://h:1", "nowhere"));
    let told = told(&twice);
    assert!(told.iter().any(|line| line.starts_with("f:15: store[1].endpoint.p.url: ")), "{told:?}");
    let bad = BARE.replace("name = \"a\"", "name = \"A\"").replace("redis://h:1", "nowhere");
    let told = self::told(&bad);
    assert!(told.iter().any(|line| line.starts_with("f:7: store[0].endpoint.p.url: ")), "{told:?}");
}

#[test]
fn a_key_is_at_its_own_line_or_at_the_head_of_its_table() {
    let mut places = Places::default();
    places.put("store[0]", Some(3), "store.a");
    places.put("store[0].listen", Some(5), "store.a.listen");
    let place = |path: &str| {
        let Place { line, label } = places.find(path);
        (line, label)
    };
    assert_eq!(place("store[0].listen"), (Some(5), "store.a.listen".to_owned()));
    assert_eq!(place("store[0].lease.ttl"), (Some(3), "store.a.lease.ttl".to_owned()));
    assert_eq!(place("admin.socket"), (None, "admin.socket".to_owned()));
}

#[test]
fn what_is_faulty_and_what_is_within_it_is_not_compared() {
    let mut findings = Findings::default();
    findings.broken.insert("store[0].lease".to_owned());
    for (path, sound) in [
        ("store[0].lease", false),
        ("store[0].lease.ttl", false),
        ("store[0]", false),
        ("store[0].leases", true),
        ("store[1].lease", true),
        ("store[0].name", true),
    ] {
        assert_eq!(findings.sound(path), sound, "{path}");
    }
}

#[test]
fn lines_are_counted_from_one() {
    let lines = Lines::of("ab\nc\n\nd");
    let at = |offset| lines.at(offset);
    assert_eq!([0, 1, 2, 3, 4, 5, 6].map(at), [1, 1, 1, 2, 2, 3, 4]);
}

#[test]
fn an_unknown_key_is_shown_as_far_as_it_makes_sense() {
    assert_eq!(shown("a\nb"), "a\\nb");
    assert_eq!(shown(&"x".repeat(100)), "x".repeat(64));
}
