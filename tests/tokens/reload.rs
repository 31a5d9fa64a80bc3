//! Services come, change and go while the sidecar runs.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Answer, House, Shown, curl, until};
use crate::who::{bearer, configured};

const CARTS: &str = r#"{"serviceId":"checkout","dataBlockId":"carts"}"#;

impl House {
    fn ask_as(&self, service: &str, body: &str) -> Answer {
        curl(&self.socket(), &["/v1/tokens", "-H", &bearer(service), "-d", body])
    }

    fn code(&self, token: &Answer) -> serde_json::Value {
        self.get(&format!("/v1/tokens/{}", token.text("tokenId"))).json["reasonCode"].clone()
    }

    /// Writes the configuration with each of these changes, and has it read.
    fn reload(&self, changes: &[(&str, &str)]) {
        let mut text = self.sidecar.config.clone();
        for (from, to) in changes {
            assert!(text.contains(from), "{from} in\n{text}");
            text = text.replacen(from, to, 1);
        }
        std::fs::write(self.sidecar.config_file(), text).expect("a directory of ours");
        self.sidecar.signal(Signal::HUP).expect("it runs");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.sidecar.log()).expect("it logs")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_taken_away_ends_its_tokens_at_once_and_for_good() {
    let mut house = House::open(configured).await;
    let (writes, reads) =
        (house.ask_as("checkout", CARTS), house.ask_as("report", r#"{"serviceId":"report"}"#));
    let less =
        house.ask_as("checkout", r#"{"serviceId":"checkout","dataBlockId":"carts","access":["read"]}"#);
    assert_eq!((writes.status, reads.status, less.status), (201, 201, 201));
    // `checkout` may only read, `report` is gone, and `billing` is new.
    std::fs::copy(house.dir.path().join("report.secret"), house.dir.path().join("billing.secret"))
        .expect("ours");
    house.reload(&[
        (r#"access = ["read", "write", "queue"]"#, r#"access = ["read"]"#),
        (r#"name = "report""#, r#"name = "billing""#),
    ]);
    until("the tokens to be taken back", async || house.code(&writes) == "revoked").await;
    assert_eq!(house.code(&reads), json!("revoked"), "a service that is gone has no tokens");
    assert_eq!(house.code(&less), json!(null), "what it still may is left alone");
    let shown = writes.text("token");
    let refused = Shown::new(&shown, writes.epoch()).verify(&house).expect_err("refused everywhere");
    assert_eq!(refused.as_str(), "revoked");
    let path = format!("/v1/tokens/{}/refresh", writes.text("tokenId"));
    let refresh = curl(&house.socket(), &[&path, "-X", "POST", "-H", &bearer("checkout")]);
    assert_eq!(refresh.problem(), "token-ended");

    let now = house.ask_as("checkout", CARTS);
    assert_eq!((now.status, &now.json["access"]), (201, &json!(["read"])), "what it may have, from now on");
    let asks = r#"{"serviceId":"checkout","dataBlockId":"carts","access":["write"]}"#;
    assert_eq!(house.ask_as("checkout", asks).problem(), "not-permitted");
    // The secret of `report` is that of `billing` now.
    assert_eq!(house.ask_as("report", r#"{"serviceId":"report"}"#).problem(), "other-service");
    assert_eq!(house.ask_as("report", r#"{"serviceId":"billing"}"#).status, 201);
    assert_eq!(house.post("/v1/tokens", r#"{"serviceId":"report"}"#).problem(), "other-service");
    let log = house.log();
    assert!(log.contains("service.billing.grant.0.store"), "the log says what was applied:\n{log}");

    house.sidecar.restart().expect("starts again");
    house.wait("the API", |_| true).await;
    for token in [&writes, &reads] {
        let status = house.get(&format!("/v1/tokens/{}", token.text("tokenId")));
        assert_eq!((status.status, &status.json["revoked"]), (200, &json!(true)), "on disk, too: {status:?}");
    }
}

/// The configuration changed while nobody ran.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_less_rights_takes_tokens_back_as_well() {
    let mut house = House::open(configured).await;
    let writes = house.ask_as("checkout", CARTS);
    assert_eq!(writes.status, 201);
    house.sidecar.kill().expect("it runs");
    let text =
        house.sidecar.config.replacen(r#"access = ["read", "write", "queue"]"#, r#"access = ["read"]"#, 1);
    std::fs::write(house.sidecar.config_file(), text).expect("a directory of ours");
    house.sidecar.restart().expect("starts again");
    house.wait("the API", |_| true).await;
    let status = house.get(&format!("/v1/tokens/{}", writes.text("tokenId")));
    assert_eq!((status.status, &status.json["revoked"]), (200, &json!(true)), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_can_not_be_used_changes_nothing() {
    let house = House::open(configured).await;
    let token = house.ask_as("checkout", CARTS);
    // A file of a secret that is not there, and a grant of a store that is not there.
    for (change, said) in [
        ((r#"checkout.secret""#, r#"nowhere.secret""#), "services and operators stay as they were"),
        ((r#"store = "demo""#, r#"store = "till""#), "the configuration is not reloaded"),
    ] {
        house.reload(&[change, (r#"access = ["read", "write", "queue"]"#, r#"access = ["read"]"#)]);
        until(said, async || house.log().contains(said)).await;
        assert_eq!(house.code(&token), json!(null));
        assert_eq!(house.ask_as("checkout", CARTS).json["access"], json!(["read", "write", "queue"]));
    }
    // A service that is known by its user opens the socket to other users, and closes it when it goes.
    let mode = || std::fs::metadata(house.socket()).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    house.reload(&[("name = \"report\"\n", "name = \"report\"\nuid = 65534\n")]);
    until("an open socket", async || mode() == 0o666).await;
    house.reload(&[]);
    until("a closed socket", async || mode() == 0o600).await;
}
