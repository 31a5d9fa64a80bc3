//! Each row of the table of tiers, and what a refresh, a revocation and a restart do to a token.

use foretoken_app::client::StoreId;
use foretoken_app::client::model::{SwitchoverOutcome, SwitchoverRequest};
use foretoken_demo::sidecar::STORE;
use foretoken_token::{Access, Fingerprint, Refusal, paseto};
use foretoken_types::StoreState;
use serde_json::{Value, json};

use crate::support::{Answer, House, LONG_LEASE, Shown};

const ASK: &str = r#"{"serviceId":"checkout","dataBlockId":"*"}"#;

/// What anybody with the public keys thinks of a token.
fn verify(
    house: &House,
    token: &str,
    epoch: u64,
    service: &str,
    holder: Option<Fingerprint>,
    access: Access,
) -> Result<(), Refusal> {
    Shown { service, holder, access, ..Shown::new(token, epoch) }.verify(house)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_store_gives_t3_and_nothing_in_advance() {
    let house = House::open(|setup, _| setup.store = LONG_LEASE.to_owned()).await;
    let t3 = house.post("/v1/tokens", ASK);
    assert_eq!(t3.status, 201, "{t3:?}");
    assert_eq!((t3.text("tier").as_str(), t3.text("state").as_str()), ("valid", "healthy"));
    assert_eq!(t3.json["access"], json!(["read", "write", "queue"]));
    assert_eq!((&t3.json["expiresIn"], &t3.json["endpoint"]["name"]), (&json!(20.0), &json!("a")));
    assert_eq!(t3.json["endpoint"]["address"], house.servers[0].url());

    let none = house.post("/v1/tokens/predictive", ASK);
    assert_eq!((none.status, &none.json["token"], &none.json["tier"]), (200, &Value::Null, &Value::Null));
    assert!(none.json["retryAfter"].as_f64().is_some_and(|after| after > 0.0), "{none:?}");
    assert!(none.json["threshold"].as_f64().is_some_and(|level| level > 0.0 && level < 1.0), "{none:?}");

    let id = t3.text("tokenId");
    let status = house.get(&format!("/v1/tokens/{id}"));
    assert_eq!(
        (status.status, &status.json["tier"], &status.json["revoked"]),
        (200, &json!("valid"), &json!(false))
    );
    let next = house.post(&format!("/v1/tokens/{id}/refresh"), "");
    assert_eq!((next.status, next.text("tier").as_str()), (200, "valid"), "{next:?}");
    assert_ne!(next.text("tokenId"), id);
    let list = house.get("/v1/tokens?serviceId=checkout&store=demo");
    assert!(
        list.json
            .as_array()
            .is_some_and(|list| list.iter().any(|one| one["tokenId"] == next.json["tokenId"]))
    );
    assert_eq!(house.get("/v1/tokens?serviceId=nobody").json, json!([]));

    // Good for whoever verifies it with the public keys, for that and nothing else.
    let (token, epoch) = (next.text("token"), next.epoch());
    let all = Access::READ | Access::WRITE;
    assert_eq!(verify(&house, &token, epoch, "checkout", None, all), Ok(()));
    let refused = |token: &str, epoch, service: &str, access| {
        verify(&house, token, epoch, service, None, access).expect_err("refused").as_str()
    };
    assert_eq!(refused(&token, epoch, "billing", all), "other_service");
    assert_eq!(refused(&token, epoch + 1, "checkout", all), "old_epoch");
    assert_eq!(refused(&token, epoch, "checkout", Access::ADMIN), "not_allowed");
    let mut altered = token.clone();
    altered.replace_range(40..41, if &token[40..41] == "A" { "B" } else { "A" });
    assert_eq!(refused(&altered, epoch, "checkout", all), "forged");

    let revoked = house.delete(&format!("/v1/tokens/{}", next.text("tokenId")));
    assert_eq!((revoked.status, &revoked.json["revoked"]), (200, &json!(2)), "the whole lineage");
    assert_eq!(refused(&token, epoch, "checkout", all), "revoked");
    let gone = house.post(&format!("/v1/tokens/{}/refresh", next.text("tokenId")), "");
    assert_eq!((gone.status, gone.problem().as_str()), (410, "token-ended"));
    let status = house.get(&format!("/v1/tokens/{}", next.text("tokenId")));
    assert_eq!((&status.json["valid"], &status.json["reasonCode"]), (&json!(false), &json!("revoked")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_bound_to_the_holder_that_was_named() {
    let house = House::open(|setup, _| setup.store = LONG_LEASE.to_owned()).await;
    let holder = Fingerprint::of(b"a certificate");
    let ask = format!(r#"{{"serviceId":"checkout","holder":"{holder}"}}"#);
    let bound = house.post("/v1/tokens", &ask);
    let (token, epoch) = (bound.text("token"), bound.epoch());
    assert_eq!(verify(&house, &token, epoch, "checkout", Some(holder), Access::READ), Ok(()));
    for other in [None, Some(Fingerprint::of(b"another"))] {
        assert_eq!(verify(&house, &token, epoch, "checkout", other, Access::READ), Err(Refusal::OtherHolder));
    }
    let refresh = format!("/v1/tokens/{}/refresh", bound.text("tokenId"));
    assert_eq!(
        house.post(&refresh, "").problem(),
        "unknown-token",
        "who can't name the holder is somebody else"
    );
    let next = house.post(&refresh, &format!(r#"{{"holder":"{holder}"}}"#));
    assert_eq!(next.status, 200, "{next:?}");
    let compact = house.post("/v1/tokens", r#"{"serviceId":"checkout","form":"compact"}"#);
    assert_eq!((compact.status, compact.problem().as_str()), (400, "bad-request"));
    let compact = format!(r#"{{"serviceId":"checkout","form":"compact","holder":"{holder}"}}"#);
    assert_eq!(house.post("/v1/tokens", &compact).status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_moves_tokens_to_the_new_epoch_and_endpoint() {
    let mut house = House::open(|_, _| {}).await;
    let before = house.post("/v1/tokens", ASK);
    let request = SwitchoverRequest { to: None, dry_run: false };
    let report =
        house.sidecar.client().switchover(&StoreId::from(STORE), &request).await.expect("is answered");
    assert_eq!(report.outcome, SwitchoverOutcome::Done, "{report:?}");
    house.wait("the new primary to have shown itself", |status| status.validated && status.ready).await;

    let old = house.get(&format!("/v1/tokens/{}", before.text("tokenId")));
    assert_eq!(
        (&old.json["valid"], &old.json["reasonCode"]),
        (&json!(false), &json!("old_epoch")),
        "{old:?}"
    );
    assert_eq!(old.json["currentEpoch"], report.epoch.0);
    let now = house.post("/v1/tokens", ASK);
    assert_eq!((now.epoch(), &now.json["endpoint"]["name"]), (report.epoch.0, &json!("b")));
    assert_eq!(now.text("tier"), "valid");
    let refused = verify(&house, &before.text("token"), now.epoch(), "checkout", None, Access::WRITE);
    assert!(matches!(refused, Err(Refusal::OldEpoch { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_primary_there_is_t1_which_moves_on_when_there_is_one_again() {
    // Others may write: no failover comes by itself.
    let mut house = House::open(|setup, _| setup.sole_writer = false).await;
    house.servers[0].kill().expect("it runs");
    house
        .wait("the loss", |status| status.state == StoreState::Unavailable && status.tier == "temporary")
        .await;
    let t1 = house.post("/v1/tokens", ASK);
    assert_eq!((t1.status, t1.text("tier").as_str()), (201, "temporary"), "{t1:?}");
    assert_eq!((&t1.json["access"], &t1.json["endpoint"]), (&json!(["read", "queue"]), &Value::Null));
    assert_eq!(t1.json["expiresIn"], json!(30.0));
    let predicted = house.post("/v1/tokens/predictive", ASK);
    assert_eq!(
        (predicted.status, predicted.text("tier").as_str()),
        (200, "temporary"),
        "it is all that is left"
    );
    let writes = r#"{"serviceId":"checkout","access":["write"]}"#;
    assert_eq!(house.post("/v1/tokens", writes).problem(), "nothing-now");

    house.servers[0].restart().expect("it comes back");
    house.wait("a primary", |status| status.ready && status.tier == "valid").await;
    let path = format!("/v1/tokens/{}/refresh", t1.text("tokenId"));
    let mut next = house.post(&path, "");
    if next.status == 409 {
        assert_eq!(next.problem(), "epoch-moved");
        assert!(next.json["endpoint"]["name"].is_string(), "{next:?}");
        let accept = format!(r#"{{"acceptEpoch":{}}}"#, next.json["newEpoch"]);
        next = house.post(&path, &accept);
    }
    assert_eq!((next.status, next.text("tier").as_str()), (200, "valid"), "{next:?}");
    assert_eq!(next.json["access"], json!(["read", "write", "queue"]), "all that the lineage was promised");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_risk_a_t1_lies_beside_the_t3_and_is_shown() {
    const LIMIT: usize = 100;
    let mut house = House::open(|setup, _| {
        setup.store = "\n[store.risk]\npolicy = \"prepare\"\nstep = \"1s\"\n".to_owned();
    })
    .await;
    let url = house.servers[0].url();
    let client = redis::Client::open(url).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connects");
    let limit = LIMIT.to_string();
    redis::cmd("CONFIG")
        .arg(&["SET", "maxclients", &limit])
        .exec_async(&mut connection)
        .await
        .expect("is set");
    let address = format!("127.0.0.1:{}", house.servers[0].port());
    let mut leaked = Vec::new();
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(200));
    while house.sidecar.status().await.expect("answers").state != StoreState::AtRisk {
        pace.tick().await;
        if leaked.len() < LIMIT - 20 {
            leaked.push(tokio::net::TcpStream::connect(&address).await.expect("connects"));
        }
    }
    let t3 = house.post("/v1/tokens", ASK);
    let t1 = house.post("/v1/tokens/predictive", ASK);
    assert_eq!((t3.text("tier").as_str(), t1.text("tier").as_str()), ("valid", "temporary"));
    assert_eq!((&t1.json["state"], &t1.json["access"]), (&json!("at_risk"), &json!(["read", "queue"])));
    assert!(t1.json["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty()), "{t1:?}");
    assert!(t1.json["risk"].is_array(), "{t1:?}");
    let refreshed = house.post(&format!("/v1/tokens/{}/refresh", t1.text("tokenId")), "");
    assert_eq!(refreshed.text("tier"), "temporary", "no upgrade while the state is the same");
    house.wait("the T1 of the data path", |status| status.temporary_ms.is_some_and(|left| left > 0)).await;
    drop(leaked);
}

/// kill -9: keys are the same, what was revoked stays so, and a token of an epoch that is over is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_no_key_no_token_and_no_revocation() {
    let mut house = House::open(|setup, _| setup.sole_writer = false).await;
    house.servers[0].kill().expect("it runs");
    house
        .wait("the loss", |status| status.state == StoreState::Unavailable && status.tier == "temporary")
        .await;
    let (kept, revoked) = (house.post("/v1/tokens", ASK), house.post("/v1/tokens", ASK));
    assert_eq!(house.delete(&format!("/v1/tokens/{}", revoked.text("tokenId"))).status, 200);
    let keys = house.get("/v1/keys").json["keys"].clone();
    house.sidecar.restart().expect("starts again");
    house.wait("the API", |_| true).await;
    assert_eq!(house.get("/v1/keys").json["keys"], keys);
    let status = |answer: &Answer| house.get(&format!("/v1/tokens/{}", answer.text("tokenId")));
    let still = status(&revoked);
    assert_eq!((&still.json["revoked"], &still.json["valid"]), (&json!(true), &json!(false)), "{still:?}");
    let known = status(&kept);
    assert_eq!((known.status, &known.json["revoked"]), (200, &json!(false)), "{known:?}");
    assert_eq!(known.json["valid"], json!(known.json["epoch"] == known.json["currentEpoch"]), "{known:?}");
    // The signature is as good as before.
    let (token, epoch) = (kept.text("token"), kept.json["epoch"].as_u64().expect("an epoch"));
    assert_eq!(verify(&house, &token, epoch, "checkout", None, Access::READ), Ok(()));
    assert_eq!(paseto::key_id(&token).map(|id| id.to_string()).ok(), keys_of(&keys, "paseto"));
}

fn keys_of(keys: &Value, form: &str) -> Option<String> {
    let of_form = keys.as_array()?.iter().find(|key| key["form"] == form)?;
    Some(of_form["kid"].as_str()?.to_owned())
}
