//! The proof that the checker can fail: with a safety rule switched off, which only this build can do, it reports the break.
//! The same scenes with every rule in force are flawless.

use std::time::Duration;

use foretoken_demo::history::{Action, Ending, Fault, Operation, Tag};
use foretoken_demo::workload::PADDING;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::{Clients, Seen, Store};

/// Scenes that are played until the break shows. Each meets it by chance, with good odds.
const SCENES: usize = 10;
/// A value so long that a mirror takes a while to read it.
const LONG_VALUE: usize = 32 * 1024 * 1024;
/// How long mirrors stand still: short of what makes them suspect.
const STANDSTILL: Duration = Duration::from_millis(60);
/// When the second half of the long value is sent: while mirrors stand still, and the switchover waits for them.
const SECOND_HALF: Duration = Duration::from_millis(20);

async fn without(rule: &str) -> Store {
    Store::start_with(3, |setup| {
        setup.environment = vec![("FORETOKEN_UNSAFE_RULES_OFF".to_owned(), rule.to_owned())];
        // A mirror may be far behind when the switchover begins.
        setup.store = "switchover = { lag_bytes_max = \"1GiB\", lag_max = \"60s\" }\n".to_owned();
    })
    .await
}

/// An append that is sent in two halves.
struct Halves {
    stream: TcpStream,
    operation: Operation,
    rest: Vec<u8>,
}

impl Halves {
    async fn first(store: &Store, clients: &Clients) -> Self {
        let address = store.sidecar.url().replace("redis://", "");
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let tag = Tag { client: 99, number: 1 };
        let value = format!("{tag}{}", PADDING.to_string().repeat(LONG_VALUE));
        let request = format!("*3\r\n$5\r\nRPUSH\r\n$11\r\ntest:list:0\r\n${}\r\n{value}\r\n", value.len());
        let (first, rest) = request.as_bytes().split_at(request.len() / 2);
        stream.write_all(first).await.expect("is taken");
        let operation = Operation {
            client: tag.client,
            action: Action::Append { list: 0, tag },
            invoked: clients.now(),
            ended: Duration::MAX,
            ending: Ending::InDoubt("no answer".to_owned()),
            bytes: u32::try_from(request.len()).expect("some megabytes"),
        };
        Self { stream, operation, rest: rest.to_vec() }
    }

    async fn second(mut self, clients: &Clients) -> Operation {
        self.stream.write_all(&self.rest).await.expect("is taken");
        let mut answer = String::new();
        BufReader::new(self.stream).read_line(&mut answer).await.expect("is answered");
        self.operation.ended = clients.now();
        self.operation.ending = match answer.trim_end().split_at(1) {
            (":", length) => Ending::Done(length.parse().expect("a length")),
            (_, words) if words.starts_with("FTINDOUBT") => Ending::InDoubt(answer),
            _ => Ending::NotExecuted(answer),
        };
        self.operation
    }
}

/// Switches while a long value is on its way to the primary and mirrors stand still for a moment.
async fn switch_under_a_long_value(mut store: Store) -> Seen {
    let clients = store.clients();
    clients.work(1000).await;
    let primary = store.primary().await.name.clone();
    let halves = Halves::first(&store, &clients).await;
    let mirrors = store.servers.iter().filter(|server| server.name != primary);
    mirrors.clone().for_each(|mirror| mirror.freeze().expect("freezes"));
    let thaw = async {
        tokio::time::sleep(STANDSTILL).await;
        mirrors.for_each(|mirror| mirror.thaw().expect("thaws"));
    };
    let second = async {
        tokio::time::sleep(SECOND_HALF).await;
        halves.second(&clients).await
    };
    // How it ends is the store's affair; what the history says of it is ours.
    let (_, (), operation) = tokio::join!(store.switch(), thaw, second);
    store.wait("service", |status| status.ready).await;
    clients.work(100).await;
    let url = store.sidecar.url();
    clients.end_with_also(&url, vec![operation]).await
}

/// Plays until acknowledged writes are found to be lost.
async fn loses(rule: &str, scene: impl AsyncFn(Store) -> Seen) {
    for _ in 0..SCENES {
        if !scene(without(rule).await).await.findings.lost.is_empty() {
            return;
        }
    }
    panic!("without the rule {rule} nothing was lost in {SCENES} scenes: the checker is blind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_rule_the_scene_is_flawless() {
    switch_under_a_long_value(without("").await).await.assert_flawless();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_does_not_wait_for_what_is_under_way_is_noticed() {
    loses("drain", switch_under_a_long_value).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_before_equality_is_noticed() {
    loses("equality", switch_under_a_long_value).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_replies_that_are_passed_on_are_noticed() {
    loses("drop-late", async |mut store: Store| {
        let clients = store.clients();
        let reserve = clients.reserve(4).await;
        clients.work(1000).await;
        let server = store.primary().await;
        server.freeze().expect("freezes");
        let (old, from) = (server.name.clone(), clients.now());
        reserve.release();
        store.moved_from(&old).await;
        let until = clients.now();
        store.servers.iter().find(|server| server.name == old).expect("ours").thaw().expect("thaws");
        store.whole().await;
        clients.work(100).await;
        let url = store.sidecar.url();
        clients.end_with(&url, Some(Fault { from, until }), Some(reserve)).await
    })
    .await;
}
