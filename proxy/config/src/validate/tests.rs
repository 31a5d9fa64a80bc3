//! Each relation that can be broken, on both sides of its border: the text of a file, and all that is told about it.

use std::path::Path;

use super::*;
use crate::read::document;

/// What a row writes instead of what stands in the sound file.
type Edits<'a> = &'a [(&'a str, &'a str)];

const SIDECAR: &str = r#"
state_dir = "/s"
[admin]
listen = "127.0.0.1:7001"
#admin
[[store]]
name = "one"
protocol = "redis"
listen = ["127.0.0.1:7000"]
#store
[[store.endpoint]]
name = "p"
url = "redis://127.0.0.1:6379"
role = "primary"
#primary
[[store.endpoint]]
name = "m"
url = "redis://127.0.0.1:6380"
role = "mirror"
#mirror
#end
"#;

const GATE: &str = r#"
store = "cache"
endpoint = "a"
listen = "127.0.0.1:7379"
url = "redis://127.0.0.1:6379"
#gate
[sidecar]
api = "127.0.0.1:7001"
#sidecar
"#;

/// Key and problem of each fault.
fn told(findings: Findings) -> Vec<String> {
    findings.faults.into_iter().map(|fault| format!("{}: {}", fault.key, fault.problem)).collect()
}

fn edited(sound: &str, edits: Edits<'_>) -> String {
    edits.iter().fold(sound.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in\n{text}");
        text.replacen(from, to, 1)
    })
}

fn sidecar(edits: Edits<'_>) -> Vec<String> {
    let text = edited(SIDECAR, edits);
    let (config, mut findings) = document::<Config>(&text, "f", Path::new(""), "the reference")
        .unwrap_or_else(|faults| panic!("{faults}"));
    relations(&config, &mut findings);
    told(findings)
}

fn of_gate(edits: Edits<'_>) -> Vec<String> {
    let text = edited(GATE, edits);
    let (read, mut findings) = document::<Gate>(&text, "f", Path::new(""), "the reference")
        .unwrap_or_else(|faults| panic!("{faults}"));
    gate(&read, &mut findings);
    told(findings)
}

fn hold(read: fn(Edits<'_>) -> Vec<String>, rows: &[(Edits<'_>, &[&str])]) {
    for (edits, expected) in rows {
        assert_eq!(read(edits), *expected, "{edits:?}");
    }
}

const NOTHING: &[&str] = &[];
const ANYWHERE: (&str, &str) = ("127.0.0.1:7001", "0.0.0.0:7001");
const OPEN: &[&str] =
    &["admin.listen: 0.0.0.0:7001 is reachable from other machines and admin.bearer_file is not set"];
const TLS: &str = "[admin.tls]\ncert_file = \"c\"\nkey_file = \"k\"\n";
const ASKING: &str = "[admin.tls]\ncert_file = \"c\"\nkey_file = \"k\"\nclient_ca_file = \"a\"\n";

#[test]
fn the_admin_listener_is_on_loopback_or_knows_its_callers() {
    hold(
        sidecar,
        &[
            (&[], NOTHING),
            (&[ANYWHERE], OPEN),
            (&[ANYWHERE, ("#admin", "bearer_file = \"b\"")], NOTHING),
            (&[ANYWHERE, ("#admin", ASKING)], NOTHING),
            (&[ANYWHERE, ("#admin", TLS)], OPEN),
            (&[("#admin", TLS)], NOTHING),
            (&[("127.0.0.1:7001", "unix:/x")], &["admin.listen: is a Unix socket, not a TCP address"]),
            (
                &[("listen = \"127.0.0.1:7001\"", ""), ("#admin", TLS)],
                &["admin.tls: is set without admin.listen"],
            ),
            (&[("listen = \"127.0.0.1:7001\"", "")], NOTHING),
        ],
    );
}

#[test]
fn only_addresses_of_this_machine_are_loopback() {
    for host in ["127.0.0.1", "127.9.9.9", "localhost", "::1", "::ffff:127.0.0.1"] {
        assert!(is_loopback(host), "{host}");
    }
    for host in ["0.0.0.0", "10.0.0.1", "localhost.example", "::", "::ffff:10.0.0.1", "redis"] {
        assert!(!is_loopback(host), "{host}");
    }
}

#[test]
fn the_path_of_a_socket_has_a_greatest_length() {
    let path = |length: usize| format!("/{}", "s".repeat(length - 1));
    let row = |from: &str, to: String| sidecar(&[(from, &to)]);
    // The socket stands in it: 11 bytes more.
    let dir = |length: usize| row("state_dir = \"/s\"", format!("state_dir = \"{}\"", path(length - 11)));
    assert_eq!(dir(107), NOTHING);
    assert_eq!(dir(108), ["state_dir: the path of the socket has 108 bytes, more than 107"]);
    let own = |length: usize| row("#admin", format!("socket = \"{}\"", path(length)));
    assert_eq!(own(107), NOTHING);
    assert_eq!(own(108), ["admin.socket: the path of the socket has 108 bytes, more than 107"]);
    let listen = |length: usize| row("127.0.0.1:7000", format!("unix:{}", path(length)));
    assert_eq!(listen(107), NOTHING);
    assert_eq!(listen(108), ["store.one.listen: the path of the socket has 108 bytes, more than 107"]);
}

const SECOND: &str = "[[store]]\nname = \"two\"\nprotocol = \"redis\"\nlisten = [\"127.0.0.1:7002\"]\n\
    [[store.endpoint]]\nname = \"p\"\nurl = \"redis://127.0.0.1:6400\"\nrole = \"primary\"\n";

#[test]
fn stores_listeners_and_servers_have_names_and_addresses_of_their_own() {
    hold(
        sidecar,
        &[
            (&[("#end", SECOND)], NOTHING),
            (&[("#end", SECOND), ("\"two\"", "\"one\"")], &["store[1].name: one is taken by store.one.name"]),
            (
                &[("#end", SECOND), ("127.0.0.1:7002", "127.0.0.1:7000")],
                &["store.two.listen: 127.0.0.1:7000 is taken by store.one.listen"],
            ),
            (
                &[("#end", SECOND), ("127.0.0.1:7002", "127.0.0.1:0"), ("127.0.0.1:7000", "127.0.0.1:0")],
                NOTHING,
            ),
            (
                &[("127.0.0.1:7001", "127.0.0.1:7000")],
                &["admin.listen: 127.0.0.1:7000 is taken by store.one.listen"],
            ),
            (
                &[("127.0.0.1:7000", "unix:/s/admin.sock")],
                &["admin.socket: unix:/s/admin.sock is taken by store.one.listen"],
            ),
            (
                &[("127.0.0.1:6379", "127.0.0.1:7000")],
                &["store.one.endpoint.p.url: 127.0.0.1:7000 is our own listener (store.one.listen)"],
            ),
            (
                &[("#end", SECOND), ("127.0.0.1:6400", "127.0.0.1:6380")],
                &["store.two.endpoint.p.url: 127.0.0.1:6380 is taken by store.one.endpoint.m.url"],
            ),
            (
                &[("name = \"m\"", "name = \"p\"")],
                &["store.one.endpoint[1].name: p is taken by store.one.endpoint.p.name"],
            ),
        ],
    );
}

#[test]
fn a_store_has_one_primary() {
    hold(
        sidecar,
        &[
            (
                &[("\"primary\"", "\"mirror\"")],
                &["store.one: has 2 endpoints and none of them is the primary"],
            ),
            (&[("\"mirror\"", "\"primary\"")], &["store.one.endpoint.m.role: is the primary, and so is p"]),
            // What it should be is not known: nothing follows from it.
            (&[("\"primary\"", "\"x\"")], &["store.one.endpoint.p.role: \"x\" is not a choice"]),
        ],
    );
}

const CERTIFICATE: &str = "[store.endpoint.tls]\ncert_file = \"c\"\n";
const KEY: &str = "[store.endpoint.tls]\nkey_file = \"k\"\n";
const BOTH: &str = "[store.endpoint.tls]\ncert_file = \"c\"\nkey_file = \"k\"\n";
const SECURE: (&str, &str) = ("redis://127.0.0.1:6380", "rediss://127.0.0.1:6380");

#[test]
fn tls_to_a_server_has_its_url_and_both_halves_of_a_certificate() {
    hold(
        sidecar,
        &[
            (
                &[("#mirror", BOTH)],
                &["store.one.endpoint.m.tls: is set, and redis://127.0.0.1:6380 is not a TLS URL"],
            ),
            (&[SECURE, ("#mirror", BOTH)], NOTHING),
            (&[SECURE], NOTHING),
            (
                &[SECURE, ("#mirror", CERTIFICATE)],
                &["store.one.endpoint.m.tls.cert_file: is set without key_file"],
            ),
            (&[SECURE, ("#mirror", KEY)], &["store.one.endpoint.m.tls.key_file: is set without cert_file"]),
        ],
    );
}

const UNADVERTISED: &str =
    "store.one.endpoint.m.gate: is set without advertise, and the other servers can't copy through a gate";
const ADVERTISED: &str = "gate = true\nadvertise = \"127.0.0.1:6381\"\n";
const ALONE: &[(&str, &str)] = &[
    ("[[store.endpoint]]\nname = \"p\"\nurl = \"redis://127.0.0.1:6379\"\nrole = \"primary\"\n", ""),
    ("\"mirror\"", "\"primary\""),
];

#[test]
fn an_endpoint_behind_a_gate_is_reached_safely_and_copied_around_it() {
    let elsewhere = ("redis://127.0.0.1:6380", "redis://10.0.0.1:6380");
    // Where the servers reach each other is another matter.
    let first = ("#primary", "advertise = \"10.0.0.9:6379\"");
    hold(
        sidecar,
        &[
            (&[("#mirror", ADVERTISED)], NOTHING),
            (&[("#mirror", "gate = true")], &[UNADVERTISED]),
            (&[("#mirror", "gate = true"), ("#store", "manage = \"follow\"")], NOTHING),
            (&[ALONE[0], ALONE[1], ("#mirror", "gate = true")], NOTHING),
            (
                &[("redis://127.0.0.1:6380", "redis+unix:///x"), ("#mirror", ADVERTISED)],
                &["store.one.endpoint.m.url: is a Unix socket, and a gate listens on TCP only"],
            ),
            (
                &[first, elsewhere, ("#mirror", ADVERTISED)],
                &["store.one.endpoint.m.url: is a gate on another machine, without TLS"],
            ),
            (
                &[SECURE, ("#mirror", ADVERTISED)],
                &[
                    "store.one.endpoint.m.gate: is set, and there is no certificate that its tokens could be bound to",
                ],
            ),
            (&[SECURE, ("#mirror", &format!("{ADVERTISED}{BOTH}"))], NOTHING),
        ],
    );
}

#[test]
fn servers_that_copy_each_other_have_addresses_that_mean_the_same_to_all() {
    let socket = ("redis://127.0.0.1:6379", "redis+unix:///x");
    let other = ("redis://127.0.0.1:6380", "redis://10.0.0.2:6380");
    let advertise = ("#primary", "advertise = \"10.0.0.1:6379\"");
    let confused = "store.one.endpoint.p.url: 127.0.0.1 means another machine to m";
    hold(
        sidecar,
        &[
            (
                &[socket],
                &["store.one.endpoint.p.url: is a Unix socket, which the other servers can't copy from"],
            ),
            (&[socket, ("#primary", "advertise = \"127.0.0.1:6379\"")], NOTHING),
            (&[socket, ("#store", "manage = \"follow\"")], NOTHING),
            (&[ALONE[0], ALONE[1], ("redis://127.0.0.1:6380", "redis+unix:///x")], NOTHING),
            (&[other], &[&format!("{confused} (redis://10.0.0.2:6380)")]),
            (&[other, advertise], NOTHING),
            (&[other, ("#store", "manage = \"follow\"")], NOTHING),
            (
                &[("#mirror", "advertise = \"10.0.0.2:6380\"")],
                &[&format!("{confused} (redis://127.0.0.1:6380)")],
            ),
            (
                &[("#primary", "advertise = \"unix:/x\"")],
                &["store.one.endpoint.p.advertise: is a Unix socket"],
            ),
        ],
    );
}

#[test]
fn who_says_nothing_is_somebody_only_where_no_stranger_comes() {
    let login = ("#end", "[store.login]\npassword_file = \"p\"");
    let stored = ("#store", "auth = \"stored\"");
    let open = ("\"127.0.0.1:7000\"", "\"unix:/x\", \"0.0.0.0:7000\"");
    let known = "[store.login]\npassword_file = \"p\"\n[store.tls]\ncert_file = \"c\"\nkey_file = \"k\"\nclient_ca_file = \"a\"";
    hold(
        sidecar,
        &[
            (&[stored, login], NOTHING),
            (&[stored], &["store.one.auth: is \"stored\", and there is nothing stored"]),
            (&[login], &["store.one.login: is set, and auth is \"passthrough\": nobody would be that user"]),
            (
                &[stored, login, open],
                &["store.one.auth: is \"stored\", and 0.0.0.0:7000 lets anybody in who can reach it"],
            ),
            (&[stored, open, ("#end", known)], NOTHING),
        ],
    );
}

#[test]
fn what_is_nearest_is_near_to_something() {
    let here = ("state_dir", "region = \"eu\"\nstate_dir");
    let nearest = ("#store", "reads = \"nearest\"");
    let block = ("#end", "[[store.block]]\nname = \"b\"\nprefix = \"b:\"\nreads = \"nearest\"");
    hold(
        sidecar,
        &[
            (&[here, nearest, block], NOTHING),
            (&[nearest], &["store.one.reads: is \"nearest\", and this sidecar stands nowhere"]),
            (&[block], &["store.one.block.b.reads: is \"nearest\", and this sidecar stands nowhere"]),
        ],
    );
}

#[test]
fn times_fit_into_each_other() {
    let lease = |text: &'static str| [("#end", text)];
    type Case<'a> = (&'a [(&'a str, &'a str); 1], &'a [&'a str]);
    let cases: [Case<'_>; 13] = [
        (
            &lease(
                "[store.switchover]\nhold_deadline = \"100ms\"\n[store.lease]\nttl = \"400ms\"\nrenew = \"10ms\"",
            ),
            &["store.one.lease.ttl: must be above lease.guard + lease.send_margin (400ms <= 400ms)"],
        ),
        (
            &lease(
                "[store.switchover]\nhold_deadline = \"100ms\"\n[store.lease]\nttl = \"420ms\"\nrenew = \"19ms\"",
            ),
            NOTHING,
        ),
        (
            &lease("[store.lease]\nrenew = \"1600ms\""),
            &[
                "store.one.lease.renew: must be below lease.ttl - lease.guard - lease.send_margin (1600ms >= 1600ms)",
            ],
        ),
        (
            &lease("[store.lease]\nrenew = \"1599ms\""),
            &["store.one.lease.renew: must be at most half of lease.ttl (1599ms > 1s)"],
        ),
        (
            &lease("[store.lease]\nrenew = \"1001ms\""),
            &["store.one.lease.renew: must be at most half of lease.ttl (1001ms > 1s)"],
        ),
        (&lease("[store.lease]\nrenew = \"1s\""), NOTHING),
        (
            &lease("[store.switchover]\nhold_deadline = \"1850ms\""),
            &["store.one.switchover.hold_deadline: must be below lease.ttl - lease.guard (1850ms >= 1850ms)"],
        ),
        (&lease("[store.switchover]\nhold_deadline = \"1849ms\""), NOTHING),
        (
            &lease("[store.switchover]\npause = \"1500ms\""),
            &["store.one.switchover.pause: must be above switchover.hold_deadline (1500ms <= 1500ms)"],
        ),
        (&lease("[store.switchover]\npause = \"1501ms\""), NOTHING),
        (
            &[("#store", "hold_max = \"1500ms\"")],
            &["store.one.hold_max: must be above switchover.hold_deadline (1500ms <= 1500ms)"],
        ),
        (&[("#store", "hold_max = \"1501ms\"")], NOTHING),
        // What the life should be is not known: nothing follows from it.
        (
            &lease("[store.lease]\nttl = \"x\"\nrenew = \"1999ms\""),
            &["store.one.lease.ttl: \"x\" is not a duration"],
        ),
    ];
    for (edits, expected) in cases {
        assert_eq!(sidecar(edits), expected, "{edits:?}");
    }
}

#[test]
fn blocks_have_names_and_prefixes_of_their_own() {
    let block =
        |name: &str, prefix: &str| format!("[[store.block]]\nname = \"{name}\"\nprefix = \"{prefix}\"\n");
    let two = |name: &str, prefix: &str| sidecar(&[("#end", &(block("x", "k:") + &block(name, prefix)))]);
    assert_eq!(two("y", "l:"), NOTHING);
    assert_eq!(two("x", "l:"), ["store.one.block[1].name: x is taken by store.one.block.x.name"]);
    assert_eq!(two("y", "k:"), ["store.one.block.y.prefix: k: is taken by store.one.block.x.prefix"]);
    assert_eq!(two("*", "l:"), ["store.one.block[1].name: is *, which is all of the store"]);
}

#[test]
fn a_block_has_no_staler_reads_than_its_store() {
    let block = |lag: &str| {
        let block = format!("[[store.block]]\nname = \"x\"\nprefix = \"k:\"\nread_lag_max = \"{lag}\"\n");
        sidecar(&[("#end", &block)])
    };
    assert_eq!(block("5s"), NOTHING);
    assert_eq!(
        block("5001ms"),
        ["store.one.block.x.read_lag_max: must be at most the store's read_lag_max (5001ms > 5s)"]
    );
}

fn services(top: Edits<'_>, one: &str, other: &str) -> Vec<String> {
    let service = |name: &str, keys: &str| {
        format!("[[service]]\nname = \"{name}\"\n{keys}\n[[service.grant]]\nstore = \"one\"\n")
    };
    let text = service("x", one) + &service("y", other);
    sidecar(&[top, &[("#end", &text)]].concat())
}

#[test]
fn services_are_recognised_by_something_of_their_own() {
    let hash = |digit: &str| format!("certificate_sha256 = \"{}\"", digit.repeat(64));
    let asking: Edits<'_> = &[("#admin", ASKING)];
    assert_eq!(services(&[], "uid = 7", "uid = 8"), NOTHING);
    assert_eq!(services(&[], "uid = 7", "uid = 7"), ["service.y.uid: 7 is taken by service.x.uid"]);
    assert_eq!(services(&[], "secret_file = \"f\"", "secret_file = \"g\""), NOTHING);
    assert_eq!(
        services(&[], "secret_file = \"f\"", "secret_file = \"f\""),
        ["service.y.secret_file: f is taken by service.x.secret_file"]
    );
    assert_eq!(services(asking, &hash("a"), &hash("b")), NOTHING);
    let taken = "a".repeat(64);
    assert_eq!(
        services(asking, &hash("a"), &hash("a")),
        [format!("service.y.certificate_sha256: {taken} is taken by service.x.certificate_sha256")]
    );
    for top in [&[][..], &[("#admin", TLS)]] {
        assert_eq!(
            services(top, "uid = 7", &hash("b")),
            ["service.y.certificate_sha256: can't be seen: admin.tls asks callers for no certificate"]
        );
    }
    assert_eq!(services(&[], "uid = 7", ""), ["service.y: can't be recognised by anything"]);
    assert_eq!(
        sidecar(&[("#end", "[[service]]\nname = \"x\"\nuid = 1\n[[service.grant]]\nstore = \"b\"\n")]),
        ["service.x.grant[0].store: there is no store b"]
    );
    let block = "[[service]]\nname = \"x\"\nuid = 1\n[[service.grant]]\nstore = \"one\"\nblock = \"users\"\n";
    assert_eq!(sidecar(&[("#end", block)]), ["service.x.grant[0].block: store one has no block users"]);
    let known = format!("[[store.block]]\nname = \"users\"\nprefix = \"u:\"\n{block}");
    assert_eq!(sidecar(&[("#end", &known)]), NOTHING);
}

#[test]
fn a_gate_is_open_to_nobody_but_its_sidecar() {
    let tls = "[tls]\ncert_file = \"c\"\nkey_file = \"k\"\nclient_ca_file = \"a\"\n";
    let pair = "cert_file = \"c\"\nkey_file = \"k\"\n";
    let sidecar_tls = format!("[sidecar.tls]\n{pair}");
    let server_tls = format!("[server_tls]\n{pair}");
    let everywhere = ("127.0.0.1:7379", "0.0.0.0:7379");
    let far = ("127.0.0.1:7001", "10.0.0.1:7001");
    let socket = ("127.0.0.1:7001", "unix:/x");
    let secure = ("redis://", "rediss://");
    hold(
        of_gate,
        &[
            (&[], NOTHING),
            (&[everywhere], &["listen: 0.0.0.0:7379 is reachable from other machines and there is no TLS"]),
            (&[everywhere, ("#gate", tls)], NOTHING),
            (&[("127.0.0.1:7379", "unix:/x")], &["listen: is a Unix socket"]),
            (&[socket], NOTHING),
            (&[socket, ("#sidecar", &sidecar_tls)], &["sidecar.tls: is set, and the API is a Unix socket"]),
            (
                &[far],
                &[
                    "sidecar.api: 10.0.0.1:7001 is another machine and there is no TLS: whoever answers there could \
                   open the gate",
                ],
            ),
            (&[far, ("#sidecar", &sidecar_tls)], NOTHING),
            (&[("#sidecar", &sidecar_tls)], NOTHING),
            (
                &[("#sidecar", "[sidecar.tls]\ncert_file = \"c\"\n")],
                &["sidecar.tls.cert_file: is set without key_file"],
            ),
            (&[("#gate", &server_tls)], &["server_tls: is set, and redis://127.0.0.1:6379 is not a TLS URL"]),
            (&[secure, ("#gate", &server_tls)], NOTHING),
            (
                &[secure, ("#gate", "[server_tls]\nkey_file = \"k\"\n")],
                &["server_tls.key_file: is set without cert_file"],
            ),
            (&[("#gate", "admin = \"127.0.0.1:7381\"")], NOTHING),
            (&[("#gate", "admin = \"0.0.0.0:7381\"")], &["admin: 0.0.0.0:7381 is not loopback"]),
            (&[("#gate", "admin = \"unix:/x\"")], &["admin: unix:/x is not loopback"]),
            (&[("127.0.0.1:6379", "127.0.0.1:7379")], &["url: 127.0.0.1:7379 is our own listener"]),
            (&[("#gate", "[limits]\nguard = \"999ms\"\n")], NOTHING),
            (
                &[("#gate", "[limits]\nguard = \"1s\"\n")],
                &["limits.guard: must be below half of limits.ttl (1s >= 1s)"],
            ),
        ],
    );
}
