use axum::http::HeaderValue;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn gate(open: bool) -> Gate {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.secret");
    Secret::load_or_create(&path).unwrap();
    std::fs::write(&path, SECRET).unwrap();
    Gate {
        secret: Some(Secret::load(&path).unwrap()),
        open,
        uid: 1000,
        doors: doors(Doors::default()),
        told: Told::default(),
    }
}

fn doors(doors: Doors) -> watch::Receiver<Arc<Doors>> {
    watch::channel(Arc::new(doors)).1
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
}

fn reads(gate: &Gate, caller: Caller, headers: &HeaderMap) -> u16 {
    status(gate.reader(caller, headers).map(drop))
}

fn status(answer: Result<(), Problem>) -> u16 {
    answer.map_or_else(|problem| problem.status, |()| 200)
}

#[test]
fn over_the_unix_socket_only_the_same_user_and_root_change_things() {
    let gate = gate(true);
    let none = headers(&[]);
    for (uid, expected) in [(Some(1000), 200), (Some(0), 200), (Some(1001), 401), (None, 401)] {
        assert_eq!(status(gate.change(Caller::Unix { uid }, &none)), expected, "{uid:?}");
        assert_eq!(reads(&gate, Caller::Unix { uid }, &none), expected, "{uid:?}");
    }
}

#[test]
fn over_tcp_changes_need_the_secret() {
    let right = format!("Bearer {SECRET}");
    let lower = format!("bearer {SECRET}");
    let wrong = format!("Bearer {}", SECRET.replace('f', "e"));
    let basic = format!("Basic  {SECRET}");
    for (authorization, expected) in
        [(&right, 200), (&lower, 200), (&wrong, 401), (&basic, 401), (&"Bearer".to_owned(), 401)]
    {
        let sent = headers(&[("authorization", authorization)]);
        assert_eq!(status(gate(false).change(Caller::Loopback, &sent)), expected, "{authorization}");
        assert_eq!(status(gate(true).change(Caller::Remote, &sent)), expected, "{authorization}");
        assert_eq!(reads(&gate(true), Caller::Remote, &sent), expected, "{authorization}");
    }
    assert_eq!(status(gate(false).change(Caller::Loopback, &headers(&[]))), 401);
    assert_eq!(status(gate(true).change(Caller::Loopback, &headers(&[]))), 200);
    assert_eq!(status(gate(true).change(Caller::Remote, &headers(&[]))), 401);
    let without = Gate { secret: None, ..gate(false) };
    assert_eq!(status(without.change(Caller::Loopback, &headers(&[("authorization", "Bearer ")]))), 401);
}

#[test]
fn a_service_is_known_by_its_secret_its_certificate_or_its_user() {
    let dir = tempfile::tempdir().unwrap();
    let own = Secret::load_or_create(&dir.path().join("own.secret")).unwrap();
    let own_text = own.authorization().to_string();
    let print = Fingerprint::of(b"its certificate");
    let named = |name: &str| ServiceDoor { name: name.to_owned(), ..ServiceDoor::default() };
    let services = vec![
        ServiceDoor { secret: Some(own), ..named("by-secret") },
        ServiceDoor { certificate: Some(print), ..named("by-certificate") },
        ServiceDoor { uid: Some(2000), ..named("by-user") },
    ];
    let operator = Fingerprint::of(b"an operator's certificate");
    let known_here = doors(Doors { services, operators: vec![operator] });
    let gate = |open| Gate { doors: known_here.clone(), ..gate(open) };
    let (none, wrong) = (headers(&[]), headers(&[("authorization", "Bearer nonsense")]));
    let (own, admin) = (
        headers(&[("authorization", &own_text)]),
        headers(&[("authorization", &format!("Bearer {SECRET}"))]),
    );
    let known = |holder| Caller::Known { holder, loopback: false };
    let (shown, other) = (known(print), known(Fingerprint::of(b"another of the same CA")));
    let unix = |uid| Caller::Unix { uid };
    let service = |name: &str, certificate| Ok(Asker::Service { name: name.to_owned(), certificate });
    let rows = [
        (unix(Some(1000)), &none, Ok(Asker::Operator)),
        (unix(Some(0)), &none, Ok(Asker::Operator)),
        (unix(Some(1000)), &own, service("by-secret", None)),
        (unix(Some(2000)), &none, service("by-user", None)),
        (unix(Some(2001)), &none, Err(401)),
        (unix(Some(2001)), &own, service("by-secret", None)),
        (unix(None), &none, Err(401)),
        (unix(Some(1000)), &wrong, Err(401)),
        (Caller::Loopback, &none, Err(401)),
        (Caller::Loopback, &wrong, Err(401)),
        (Caller::Loopback, &own, service("by-secret", None)),
        (Caller::Loopback, &admin, Ok(Asker::Operator)),
        (Caller::Remote, &none, Err(401)),
        (shown, &none, service("by-certificate", Some(print))),
        (shown, &own, service("by-secret", Some(print))),
        (known(operator), &none, Ok(Asker::Operator)),
        (known(operator), &own, service("by-secret", Some(operator))),
        (other, &none, Err(403)),
        (other, &admin, Ok(Asker::Operator)),
    ];
    for (caller, sent, expected) in rows {
        let found = gate(false).asker(caller, sent).map_err(|problem| problem.status);
        assert_eq!(found, expected, "{caller:?} {sent:?}");
    }
    let asker = |gate: Gate, caller, sent| gate.asker(caller, sent).map_err(|problem| problem.status);
    assert_eq!(asker(gate(true), Caller::Loopback, &none), Ok(Asker::Operator));
    assert_eq!(asker(gate(true), Caller::Loopback, &wrong), Err(401));
    assert_eq!(asker(gate(true), Caller::Remote, &none), Err(401));
    let page = headers(&[("origin", "https://example.org"), ("authorization", &own_text)]);
    assert_eq!(asker(gate(true), Caller::Loopback, &page), Err(403));

    let reader = |caller, sent| gate(false).reader(caller, sent).map_err(|problem| problem.status);
    assert_eq!(reader(Caller::Loopback, &none), Ok(Asker::Reader));
    assert_eq!(reader(Caller::Loopback, &wrong), Err(401));
    assert_eq!(reader(Caller::Remote, &none), Err(401));
    assert_eq!(
        reader(Caller::Remote, &own),
        service("by-secret", None),
        "keys and events are for services too"
    );
    assert_eq!(reader(other, &none), Ok(Asker::Reader));
    assert_eq!(reader(unix(Some(2001)), &none), Err(401));
}

/// One rule for all that is changed: switchovers, keys, the end of the sidecar.
#[test]
fn a_service_changes_nothing_and_neither_does_a_certificate_that_is_nobodys() {
    let [operator, own, other] = [&b"operator"[..], b"service", b"other"].map(Fingerprint::of);
    let known = |holder| Caller::Known { holder, loopback: true };
    let service =
        ServiceDoor { name: "checkout".to_owned(), certificate: Some(own), uid: Some(2000), secret: None };
    let none = headers(&[]);
    let changes = |doors: Doors, caller| {
        let gate = Gate { doors: self::doors(doors), ..gate(false) };
        assert_eq!(reads(&gate, caller, &none), 200, "reading stays free");
        (status(gate.change(caller, &none)), status(gate.exit(caller, &none)))
    };
    let rows = [
        (Doors::default(), [200, 200, 200]),
        (Doors { services: vec![service.clone()], ..Doors::default() }, [403, 403, 403]),
        (Doors { operators: vec![operator], ..Doors::default() }, [200, 403, 403]),
        (Doors { services: vec![service.clone()], operators: vec![operator] }, [200, 403, 403]),
    ];
    for (doors, expected) in rows {
        for (holder, expected) in [operator, own, other].into_iter().zip(expected) {
            assert_eq!(changes(doors.clone(), known(holder)), (expected, expected), "{doors:?}");
        }
    }
    let doors = Doors { services: vec![service], ..Doors::default() };
    assert_eq!(changes(doors, Caller::Unix { uid: Some(2000) }), (403, 403), "nor does its user");
}

/// A reload replaces the doors under the requests.
#[test]
fn who_is_named_later_is_known_from_then_on() {
    let (newest, doors) = watch::channel(Arc::new(Doors::default()));
    let gate = Gate { doors, ..gate(false) };
    let (caller, none) = (Caller::Unix { uid: Some(2000) }, headers(&[]));
    assert_eq!(gate.asker(caller, &none).map_err(|problem| problem.status), Err(401));
    let door = ServiceDoor { name: "checkout".to_owned(), uid: Some(2000), ..ServiceDoor::default() };
    newest.send_replace(Arc::new(Doors { services: vec![door], operators: Vec::new() }));
    assert!(gate.asker(caller, &none).is_ok());
    newest.send_replace(Arc::default());
    assert_eq!(gate.asker(caller, &none).map_err(|problem| problem.status), Err(401));
}

#[test]
fn nobody_ends_the_sidecar_from_afar() {
    let right = headers(&[("authorization", &format!("Bearer {SECRET}"))]);
    for open in [false, true] {
        let gate = gate(open);
        assert_eq!(status(gate.change(Caller::Remote, &right)), 200);
        assert_eq!(status(gate.exit(Caller::Remote, &right)), 403);
        assert_eq!(status(gate.exit(Caller::Loopback, &right)), 200);
        assert_eq!(status(gate.exit(Caller::Loopback, &headers(&[]))), if open { 200 } else { 401 });
        assert_eq!(status(gate.exit(Caller::Unix { uid: Some(1000) }, &headers(&[]))), 200);
        assert_eq!(status(gate.exit(Caller::Unix { uid: Some(1001) }, &headers(&[]))), 401);
        let page = headers(&[("origin", "https://example.org")]);
        assert_eq!(status(gate.exit(Caller::Loopback, &page)), 403);
    }
}

#[test]
fn web_pages_change_nothing_and_read_nothing_under_a_name_of_their_own() {
    let open = gate(true);
    let page = headers(&[("host", "127.0.0.1:7001"), ("origin", "https://example.org")]);
    assert_eq!(status(open.change(Caller::Loopback, &page)), 403);
    for (host, expected) in [
        ("127.0.0.1:7001", 200),
        ("localhost:7001", 200),
        ("localhost", 200),
        ("[::1]:7001", 200),
        ("rebound.example.org:7001", 401),
        ("localhost.example.org", 401),
    ] {
        let sent = headers(&[("host", host)]);
        assert_eq!(reads(&open, Caller::Loopback, &sent), expected, "{host}");
        assert_eq!(status(open.change(Caller::Loopback, &sent)), expected, "{host}");
    }
}

#[test]
fn loopback_is_loopback_in_either_family() {
    for (address, expected) in [
        ("127.0.0.1", Caller::Loopback),
        ("127.8.0.1", Caller::Loopback),
        ("::1", Caller::Loopback),
        ("::ffff:127.0.0.1", Caller::Loopback),
        ("10.0.0.1", Caller::Remote),
        ("::ffff:10.0.0.1", Caller::Remote),
    ] {
        assert_eq!(Caller::at(address.parse().unwrap(), None), expected, "{address}");
    }
}

#[test]
fn a_certificate_is_a_credential_but_not_for_a_web_page_nor_for_ending_it_from_afar() {
    let gate = gate(false);
    let holder = Some(Fingerprint::of(b"a certificate"));
    let (near, far) = ("127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
    let none = headers(&[]);
    for address in [near, far] {
        let caller = Caller::at(address, holder);
        assert_eq!(reads(&gate, caller, &none), 200);
        assert_eq!(status(gate.change(caller, &none)), 200);
        assert_eq!(status(gate.change(caller, &headers(&[("origin", "https://example.org")]))), 403);
    }
    assert_eq!(status(gate.exit(Caller::at(near, holder), &none)), 200);
    assert_eq!(status(gate.exit(Caller::at(far, holder), &none)), 403);
}

#[tokio::test(start_paused = true)]
async fn of_many_refusals_one_a_second_is_a_line_for_the_operator() {
    let told = Told::default();
    assert!(told.is_due() && !told.is_due());
    tokio::time::advance(TELL_EVERY - Duration::from_millis(1)).await;
    assert!(!told.is_due());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(told.is_due() && !told.is_due());
}
