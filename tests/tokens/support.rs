//! Servers, the sidecar as a process, and curl.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use foretoken_app::client::model::StoreStatus;
use foretoken_demo::servers::Server;
use foretoken_demo::sidecar::{STORE, Setup, Sidecar};
use foretoken_token::{
    Access, Fingerprint, Presented, PublicKeys, PublishedKey, Refusal, Revocations, ServiceId, Target,
    UnixMillis, Use, Verifier,
};
use foretoken_types::Epoch;
use serde_json::Value;
use tempfile::TempDir;

/// Far above what anything here takes: reached only when it never comes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A store of two servers, and a sidecar in front of it.
pub(crate) struct House {
    pub(crate) sidecar: Sidecar,
    pub(crate) servers: Vec<Server>,
    pub(crate) dir: TempDir,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
}

/// Rights to write that a loaded machine can't outlast between two calls: for tests that are not about their length.
pub(crate) const LONG_LEASE: &str = "\n[store.lease]\nttl = \"20s\"\n";

impl Answer {
    pub(crate) fn epoch(&self) -> u64 {
        self.json["epoch"].as_u64().expect("an epoch")
    }

    pub(crate) fn text(&self, key: &str) -> String {
        self.json[key].as_str().unwrap_or_else(|| panic!("no {key} in {self:?}")).to_owned()
    }

    /// The kind of a problem document.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.json["status"], self.status, "{self:?}");
        self.text("type").trim_start_matches("urn:foretoken:").to_owned()
    }
}

/// A token that somebody shows to somebody who verifies it with the published keys.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) token: &'a str,
    pub(crate) store: &'a str,
    pub(crate) epoch: u64,
    pub(crate) service: &'a str,
    pub(crate) holder: Option<Fingerprint>,
    pub(crate) key: &'a [u8],
    pub(crate) access: Access,
    pub(crate) at: UnixMillis,
}

impl<'a> Shown<'a> {
    /// By `checkout`, to read, here and now.
    pub(crate) fn new(token: &'a str, epoch: u64) -> Self {
        let (key, access, at) = (&b"cart:17"[..], Access::READ, now());
        Self { token, store: STORE, epoch, service: "checkout", holder: None, key, access, at }
    }

    /// What is thought of it.
    pub(crate) fn verify(self, house: &House) -> Result<(), Refusal> {
        let set = house.get("/v1/keys").json;
        let published: Vec<PublishedKey> = serde_json::from_value(set["keys"].clone()).expect("keys");
        let keys = PublicKeys::from_published(&published).expect("good keys");
        let mut revoked = Revocations::default();
        for one in set["revoked"].as_array().expect("a list") {
            let id = one["tokenId"].as_str().and_then(|id| id.parse().ok()).expect("an id");
            revoked.add(id, UnixMillis(one["until"].as_u64().expect("a time")), self.at);
        }
        let service = ServiceId::from(self.service);
        let wanted = Use {
            service: &service,
            holder: self.holder,
            target: Target::Key(self.key),
            access: self.access,
        };
        let mut verifier = Verifier::new(self.store.into(), Epoch(self.epoch));
        verifier.verify(Presented::Paseto(self.token), &wanted, &keys, &revoked, self.at).map(drop)
    }
}

/// The wall clock.
pub(crate) fn now() -> UnixMillis {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    UnixMillis(u64::try_from(since.as_millis()).expect("in this era"))
}

/// Polls until `is` says so; there is no event to wait for.
pub(crate) async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + LONG;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    while !is().await {
        look.tick().await;
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
    }
}

/// Runs curl; `arguments` begin with the path.
pub(crate) fn curl(socket: &Path, arguments: &[&str]) -> Answer {
    let (path, more) = arguments.split_first().expect("a path");
    let output = Command::new("curl")
        .args(["-sS", "-m", "30", "-w", "\n%{http_code}", "--unix-socket"])
        .arg(socket)
        .args(more)
        .arg(format!("http://localhost{path}"))
        .output()
        .expect("curl is installed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let (body, status) = text.rsplit_once('\n').expect("a status");
    let json = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    Answer { status: status.parse().expect("a number"), json }
}

impl House {
    pub(crate) async fn open(change: impl FnOnce(&mut Setup, &Path)) -> Self {
        Self::open_in(TempDir::new().expect("a directory"), change).await
    }

    pub(crate) async fn open_in(dir: TempDir, change: impl FnOnce(&mut Setup, &Path)) -> Self {
        let servers =
            ["a", "b"].map(|name| Server::start(dir.path(), name, "here").expect("redis-server starts"));
        let servers = Vec::from(servers);
        let mut setup = Setup::new(dir.path(), &servers);
        change(&mut setup, dir.path());
        let sidecar = Sidecar::start(Path::new(env!("CARGO_BIN_EXE_foretoken")), &setup).expect("starts");
        let mut house = Self { sidecar, servers, dir };
        let whole = house.sidecar.wait_whole(LONG).await;
        house.or_log(whole);
        house
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("state/admin.sock")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        curl(&self.socket(), &[path])
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        curl(&self.socket(), &[path, "-d", body])
    }

    /// The same as [`House::post`], without a process of its own: for what is over in a moment.
    pub(crate) fn ask(&self, path: &str, body: &str) -> Answer {
        let (status, body) = crate::http::ask(&self.socket(), "POST", path, &[], body);
        let json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        Answer { status, json }
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        curl(&self.socket(), &[path, "-X", "DELETE"])
    }

    pub(crate) async fn wait(&mut self, what: &str, is: impl Fn(&StoreStatus) -> bool) -> StoreStatus {
        let result = self.sidecar.wait(what, LONG, is).await;
        self.or_log(result)
    }

    /// With the sidecar's log, if it went wrong.
    fn or_log<T>(&self, result: Result<T, foretoken_demo::Error>) -> T {
        result.unwrap_or_else(|error| {
            let log = std::fs::read_to_string(self.sidecar.log()).unwrap_or_default();
            panic!("{error}\n{log}")
        })
    }
}
