use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::TcpStream;

use super::*;
use crate::testing::{Authority, LIMIT, listen, meet, story};
use crate::{Connector, Stream};

/// Writes from both ends at once, and compares what arrives with what was sent.
async fn exchange(mut near: Stream, mut far: Stream, bytes: usize) {
    let data: Arc<[u8]> = (0..bytes).map(|i| (i / 7) as u8).collect();
    let pump = |stream: &mut Stream| {
        let (mut read, mut write) = split(std::mem::replace(stream, closed()));
        let sent = data.clone();
        let expected = data.clone();
        async move {
            let send = async {
                write.write_all(&sent).await.unwrap();
                write.flush().await.unwrap();
            };
            let mut got = vec![0; expected.len()];
            let ((), read) = tokio::join!(send, read.read_exact(&mut got));
            read.unwrap();
            assert!(*got == *expected, "bytes arrive as they were sent");
        }
    };
    let (a, b) = (pump(&mut near), pump(&mut far));
    tokio::join!(a, b);
}

/// A stream to put in the place of one that was taken.
fn closed() -> Stream {
    Stream::Unix(tokio::net::UnixStream::pair().unwrap().0)
}

fn assert_says(error: &Error, words: &[&str]) {
    let line = story(error);
    for word in words {
        assert!(line.contains(word), "{word:?} is missing in: {line}");
    }
}

#[tokio::test]
async fn megabytes_pass_both_ways_through_tls() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", None);
    let (near, far) = meet(Some(authority.client()), Some(&server)).await;
    let (near, far) = (near.unwrap(), far.unwrap());
    assert!(near.is_tls() && far.is_tls());
    assert_eq!(near.peer().to_string().split(':').next(), Some("127.0.0.1"));
    exchange(near, far, 8 << 20).await;
}

#[tokio::test]
async fn a_server_behind_a_unix_socket_is_checked_by_the_name_that_is_set() {
    let authority = Authority::new();
    let server = authority.server("redis.internal", None);
    let address = Address::Unix(authority.dir.path().join("s"));
    let listener = crate::Listener::bind(&address, 0o600).await.unwrap();
    let name = Some("redis.internal".to_owned());
    let tls = ClientTls::load(Some(&authority.ca), None, name).unwrap();
    let connector = Connector { address, limit: LIMIT, tls: Some(tls), greeting: None };
    let accept = async { listener.accept().await.unwrap().open(Some(&server), LIMIT).await };
    let (near, far) = tokio::join!(connector.connect(), accept);
    exchange(near.unwrap(), far.unwrap(), 1000).await;

    let without_name = Connector { tls: Some(authority.client()), ..connector };
    let error = without_name.connect().await.unwrap_err();
    assert_says(&error, &["server_name"]);
}

#[tokio::test]
async fn a_client_with_a_certificate_of_the_client_ca_is_let_in() {
    let (authority, people) = (Authority::new(), Authority::new());
    let server = authority.server("127.0.0.1", Some(&people.ca));
    let files = people.issue("app");
    let client = ClientTls::load(Some(&authority.ca), Some(files.identity()), None).unwrap();
    let (near, far) = meet(Some(client), Some(&server)).await;
    exchange(near.unwrap(), far.unwrap(), 1000).await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let (authority, people) = (Authority::new(), Authority::new());
    let server = authority.server("127.0.0.1", Some(&people.ca));
    let (near, far) = meet(Some(authority.client()), Some(&server)).await;
    assert_says(&far.unwrap_err(), &["127.0.0.1:", "no certificate", "required"]);
    // TLS 1.3: the client is through before the server has looked, and reads the refusal.
    let error = near.unwrap().read_u8().await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn a_client_with_a_certificate_of_another_ca_is_refused() {
    let (authority, people) = (Authority::new(), Authority::new());
    let server = authority.server("127.0.0.1", Some(&people.ca));
    // The second is one that was made anew under the name that the server knows.
    for strangers in [Authority::named("another CA"), Authority::new()] {
        let files = strangers.issue("app");
        let client = ClientTls::load(Some(&authority.ca), Some(files.identity()), None).unwrap();
        let (_near, far) = meet(Some(client), Some(&server)).await;
        assert_says(&far.unwrap_err(), &["not signed by a CA that is trusted here"]);
    }
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let authority = Authority::new();
    for strangers in [Authority::named("another CA"), Authority::new()] {
        let server = strangers.server("127.0.0.1", None);
        let (near, far) = meet(Some(authority.client()), Some(&server)).await;
        let error = near.unwrap_err();
        assert_says(&error, &["127.0.0.1:", "not signed by a CA that is trusted here", "CA file"]);
        assert!(!error.is_refused() && !error.is_timeout(), "somebody is there, and answers");
        assert_says(&far.unwrap_err(), &["does not trust the CA of our certificate"]);
    }
}

#[tokio::test]
async fn a_server_under_another_name_is_refused() {
    let authority = Authority::new();
    let server = authority.server("redis.internal", None);
    let (near, _far) = meet(Some(authority.client()), Some(&server)).await;
    assert_says(&near.unwrap_err(), &["for another name", "server_name"]);
}

#[tokio::test]
async fn a_server_whose_certificate_has_expired_is_refused() {
    let authority = Authority::new();
    let files = authority.issue_with("127.0.0.1", |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let server = ServerTls::load(&files.cert, &files.key, None).unwrap();
    let (near, _far) = meet(Some(authority.client()), Some(&server)).await;
    assert_says(&near.unwrap_err(), &["has expired"]);
}

#[tokio::test]
async fn a_reloaded_certificate_is_for_new_connections_and_open_ones_go_on() {
    let (first, second) = (Authority::new(), Authority::new());
    let mut server = first.server("127.0.0.1", None);
    let (near, far) = meet(Some(first.client()), Some(&server)).await;
    let (near, far) = (near.unwrap(), far.unwrap());
    server = second.server("127.0.0.1", None);
    let (other_near, other_far) = meet(Some(second.client()), Some(&server)).await;
    exchange(other_near.unwrap(), other_far.unwrap(), 1000).await;
    exchange(near, far, 1000).await;
}

#[tokio::test]
async fn a_plain_text_client_on_a_tls_listener_is_closed() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", None);
    for words in ["PING\r\n", "*1\r\n$4\r\nPING\r\n"] {
        let (near, far) = meet(None, None).await;
        let (Ok(Stream::Tcp(mut near)), Ok(Stream::Tcp(far))) = (near, far) else { panic!("plain") };
        near.write_all(words.as_bytes()).await.unwrap();
        let accepted = crate::Accepted::Tcp(far.into_std().unwrap());
        let error = accepted.open(Some(&server), LIMIT).await.unwrap_err();
        assert!(matches!(error, Error::Plaintext { .. }), "{error:?}");
        assert_says(&error, &["plain text on a TLS listener", "127.0.0.1:"]);
        // The alert, then the end.
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_answers_in_plain_text_is_named_as_such() {
    let authority = Authority::new();
    let (listener, address) = listen().await;
    let connector = Connector { address, limit: LIMIT, tls: Some(authority.client()), greeting: None };
    let answer = async {
        let mut stream = listener.accept().await.unwrap().open(None, LIMIT).await.unwrap();
        stream.write_all(b"-ERR Protocol error\r\n").await.unwrap();
        stream.flush().await.unwrap();
        stream
    };
    let (near, _far) = tokio::join!(connector.connect(), answer);
    assert_says(&near.unwrap_err(), &["does not speak TLS"]);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_closed_at_the_handshake_limit() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", None);
    let (listener, address) = listen().await;
    let mut silent = TcpStream::connect(address.to_string()).await.unwrap();
    let limit = Duration::from_millis(50);
    let error = listener.accept().await.unwrap().open(Some(&server), limit).await.unwrap_err();
    assert!(matches!(error, Error::HandshakeTimeout { .. }) && error.is_timeout(), "{error:?}");
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "the connection is closed");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_at_the_limit() {
    let authority = Authority::new();
    let (listener, address) = listen().await;
    let limit = Duration::from_millis(50);
    let connector = Connector { address, limit, tls: Some(authority.client()), greeting: None };
    let (near, _far) = tokio::join!(connector.connect(), listener.accept());
    let error = near.unwrap_err();
    assert!(matches!(error, Error::HandshakeTimeout { .. }), "{error:?}");
    assert_says(&error, &["50ms", "may not speak TLS"]);
}

#[tokio::test]
async fn an_end_without_goodbye_is_an_error_on_tls() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", None);
    let (near, far) = meet(Some(authority.client()), Some(&server)).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    // Reads what the handshake left behind too: closing over unread bytes would be a reset.
    far.write_all(b"x").await.unwrap();
    far.flush().await.unwrap();
    near.read_u8().await.unwrap();
    drop(near);
    let error = far.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn every_unusable_file_is_named_with_its_remedy() {
    let authority = Authority::new();
    let (one, two) = (authority.issue("one"), authority.issue("two"));
    let write = |name: &str, text: &str| {
        let file = authority.dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let missing = authority.dir.path().join("missing.pem");
    let empty = write("empty.pem", "");
    let cut = write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let junk = write("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked = write("locked.pem", locked);
    let odd = write("odd.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");

    let server = |cert: &Path, key: &Path, ca: Option<&Path>| ServerTls::load(cert, key, ca).unwrap_err();
    for (error, words) in [
        (server(&missing, &one.key, None), ["missing.pem", "check the path"]),
        (server(&one.cert, &missing, None), ["missing.pem", "check the path"]),
        (server(&empty, &one.key, None), ["empty.pem", "BEGIN CERTIFICATE"]),
        (server(&cut, &one.key, None), ["cut.pem", "not valid PEM"]),
        (server(&junk, &one.key, None), ["junk.pem", "openssl x509"]),
        (server(&one.cert, &empty, None), ["empty.pem", "BEGIN PRIVATE KEY"]),
        (server(&one.cert, &locked, None), ["locked.pem", "openssl pkey -in"]),
        (server(&one.cert, &odd, None), ["odd.pem", "use RSA"]),
        (server(&one.cert, &two.key, None), ["one.cert.pem", "two.key.pem"]),
        (server(&one.cert, &one.key, Some(&junk)), ["junk.pem", "can't be used"]),
        (server(&one.cert, &one.key, Some(&one.key)), ["one.key.pem", "no certificate"]),
        (ClientTls::load(Some(&missing), None, None).unwrap_err(), ["missing.pem", "check the path"]),
        (
            ClientTls::load(Some(&authority.ca), None, Some("not a name".into())).unwrap_err(),
            ["not a name", "server_name"],
        ),
    ] {
        assert_says(&error, &words);
    }
}

#[test]
fn nothing_of_a_key_is_printed() {
    let authority = Authority::new();
    let files = authority.issue("app");
    let server = ServerTls::load(&files.cert, &files.key, None).unwrap();
    assert_eq!(format!("{server:?}"), "ServerTls { .. }");
}

#[tokio::test]
async fn an_invited_client_is_known_by_its_certificate_and_served_without_one() {
    let authority = Authority::new();
    let server = authority.issue("127.0.0.1");
    let server = ServerTls::load_for(server.identity(), Clients::Invited(&authority.ca)).unwrap();
    let app = authority.issue("app");
    let shows = ClientTls::load(Some(&authority.ca), Some(app.identity()), None).unwrap();
    let (near, far) = meet(Some(shows), Some(&server)).await;
    assert_eq!(far.unwrap().peer_certificate(), Some(&app.identity().certificate().unwrap()[..]));
    let near = near.unwrap();
    assert!(near.peer_certificate().is_some() && near.addresses().is_some());

    let (near, far) = meet(Some(authority.client()), Some(&server)).await;
    near.unwrap();
    assert_eq!(far.unwrap().peer_certificate(), None);

    let stranger = Authority::named("another CA");
    let forged = stranger.issue("app");
    let shows = ClientTls::load(Some(&authority.ca), Some(forged.identity()), None).unwrap();
    let (_near, far) = meet(Some(shows), Some(&server)).await;
    assert_says(&far.unwrap_err(), &["not signed by a CA that is trusted here"]);
}

#[tokio::test]
async fn a_connection_is_made_by_what_the_files_say_then() {
    let (first, second, people, others) =
        (Authority::new(), Authority::new(), Authority::new(), Authority::new());
    let own = people.issue("app");
    let client = ClientTls::load(Some(&first.ca), Some(own.identity()), None).unwrap();
    let trusting = first.server("127.0.0.1", Some(&people.ca));
    let (near, far) = meet(Some(client.clone()), Some(&trusting)).await;
    let (near, far) = (near.unwrap(), far.unwrap());

    // Garbage changes nothing; then both the CA and our certificate are other ones.
    std::fs::write(&first.ca, "no certificate at all").unwrap();
    let (again, peer) = meet(Some(client.clone()), Some(&trusting)).await;
    exchange(again.unwrap(), peer.unwrap(), 1000).await;
    let renewed = others.issue("app");
    for (from, to) in [(&second.ca, &first.ca), (&renewed.cert, &own.cert), (&renewed.key, &own.key)] {
        std::fs::copy(from, to).unwrap();
    }
    let other = second.server("127.0.0.1", Some(&others.ca));
    let (other_near, other_far) = meet(Some(client.clone()), Some(&other)).await;
    exchange(other_near.unwrap(), other_far.unwrap(), 1000).await;
    let (stale, _) = meet(Some(client), Some(&trusting)).await;
    assert_says(&stale.unwrap_err(), &["not signed by a CA that is trusted here"]);
    exchange(near, far, 1000).await;
}
