//! Who comes past the sidecar.

use std::io::Write as _;
use std::net::TcpStream;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::support::{House, LONG, program, rest};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_bypasses_the_sidecar_reaches_nothing() {
    let house = House::start(1).await;
    let gate = &house.gates[0];
    for words in [
        "*1\r\n$4\r\nPING\r\n",
        "PING\r\n",
        "AUTH ft-token x\r\n",
        "*3\r\n$3\r\nSET\r\n$6\r\nbypass\r\n$1\r\n1\r\n",
        "*2\r\n$4\r\nAUTH\r\n$4\r\npass\r\n",
        "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let said = gate.says_to(words.as_bytes());
        assert!(said.starts_with("-NOAUTH foretoken gate: send AUTH ft-token"), "{words:?}: {said}");
        assert_eq!(said.matches("\r\n").count(), 1, "one reply, then nothing: {said}");
    }
    let client = redis::Client::open(format!("redis://{}", gate.address)).expect("a URL");
    let refused =
        client.get_connection().and_then(|mut c| redis::cmd("SET").arg("k").arg(1).query::<()>(&mut c));
    assert!(refused.is_err());
    let wrong =
        gate.says_to(b"*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$5\r\nhello\r\n*1\r\n$8\r\nFLUSHALL\r\n");
    assert!(wrong.starts_with("-WRONGPASS foretoken gate: this is no token"), "{wrong}");
    let long = [b"*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$4999\r\n".to_vec(), vec![b'x'; 4999]].concat();
    let said = gate.says_to(&long);
    assert!(said.contains("no token has 4096 bytes"), "{said}");

    let mut direct =
        redis::Client::open(house.servers[0].url()).expect("a URL").get_connection().expect("runs");
    let there: bool = redis::cmd("EXISTS").arg(&["bypass", "k"]).query(&mut direct).expect("answers");
    assert!(!there);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_that_it_has_met_a_gate() {
    let house = House::start(1).await;
    let text = std::fs::read_to_string(house.sidecar.config_file()).expect("it is there");
    let file = house.sidecar.config_file().with_file_name("check.toml");
    for text in [text.clone(), text.replace("gate = true\n", "")] {
        std::fs::write(&file, text).expect("a directory of ours");
        let output = std::process::Command::new(program()).args(["check", "--config"]).arg(&file).output();
        let output = output.expect("it was built");
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let line = told.lines().find(|line| line.contains("FAIL")).unwrap_or_else(|| panic!("{told}"));
        assert!(line.contains("NOAUTH foretoken gate: send AUTH ft-token"), "{told}");
        assert!(line.ends_with("give it the address of the server behind the gate"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_first_bytes_cut_anywhere_neither_hang_nor_hurt_the_gate() {
    let mut house = House::start(1).await;
    let gate = &house.gates[0];
    let frame = b"*3\r\n$4\r\nAUTH\r\n$8\r\nft-token\r\n$20\r\n12345678901234567890\r\n";
    for cut in 0..=frame.len() {
        // In two pieces, then the end: the gate answers or hangs up.
        let mut stream = TcpStream::connect(gate.address).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        stream.write_all(&frame[..cut]).expect("it reads");
        if cut % 2 == 0 {
            stream.write_all(&frame[cut..]).expect("it reads");
            let said = rest(&mut stream);
            assert!(said.starts_with("-WRONGPASS"), "cut at {cut}: {said}");
        } else {
            stream.shutdown(std::net::Shutdown::Write).expect("a socket");
            rest(&mut stream);
        }
    }
    let mut random = SmallRng::seed_from_u64(7);
    for _ in 0..200 {
        let mut bytes = frame[..random.random_range(0..frame.len())].to_vec();
        let more: usize = random.random_range(0..200);
        bytes.extend((0..more).map(|_| random.random::<u8>()));
        let mut stream = TcpStream::connect(gate.address).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("a socket");
        // It may hang up in the middle.
        stream.write_all(&bytes).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut said = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut said).ok();
        assert!(said.is_empty() || said.starts_with(b"-"), "{bytes:?}: {}", String::from_utf8_lossy(&said));
    }
    house.whole().await;
    let admitted = house.gates[0].counter("foretoken_gate_admitted_total", "").await;
    let client = redis::Client::open(house.sidecar.url()).expect("a URL");
    let mut client = client.get_connection().expect("the sidecar serves");
    redis::cmd("SET").arg("k").arg(1).query::<()>(&mut client).expect("and the gate lets it pass");
    assert!(admitted > 0);
}
