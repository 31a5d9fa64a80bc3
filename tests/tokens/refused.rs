//! Every kind of token that is no good, at the API and with whoever verifies tokens by its keys: refused, with the reason.
//!
//! Two kinds of the gate's table (tests/gate/tokens.rs) have no row here:
//! - *replayed*: the API acts on what it knows of an id, for the service whose token it is, and never on a token that is
//!   shown; so there is an id that somebody else has read in a log instead. A PASETO may be shown as often as its holder
//!   likes; whoever wants it to be worthless to others names a holder.
//! - the sidecar's own listener takes no tokens: what a client says there as AUTH is between it and the store.

use foretoken_app::client::StoreId;
use foretoken_app::client::model::{SwitchoverOutcome, SwitchoverRequest};
use foretoken_demo::sidecar::STORE;
use foretoken_token::{Access, Fingerprint, Form, Keyring, Rotation, UnixMillis, paseto};
use serde_json::Value;

use crate::support::{Answer, House, Shown, curl, now, until};
use crate::who::{bearer, configured};

/// Short enough to be waited for, long enough for some questions on a busy machine.
const LEASE: &str = "5s";

fn issue(house: &House) -> Answer {
    let ask = r#"{"serviceId":"checkout","dataBlockId":"carts"}"#;
    let answer = curl(&house.socket(), &["/v1/tokens", "-H", &bearer("checkout"), "-d", ask]);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

fn refresh(house: &House, service: &str, id: &str, body: &str) -> (u16, String) {
    let path = format!("/v1/tokens/{id}/refresh");
    let answer = curl(&house.socket(), &[&path, "-H", &bearer(service), "-d", body]);
    (answer.status, answer.problem())
}

/// The text with its last character changed, so that it is still one of its kind.
fn altered(text: &str) -> String {
    let (rest, last) = text.split_at(text.len() - 1);
    rest.to_owned() + if last == "0" { "1" } else { "0" }
}

fn reason(house: &House, id: &str) -> Value {
    let status = house.get(&format!("/v1/tokens/{id}"));
    assert_eq!(status.json["valid"], status.json["reasonCode"].is_null(), "{status:?}");
    status.json["reasonCode"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_refreshes_no_token_that_is_no_good_and_says_why() {
    let mut house = House::open(|setup, dir| {
        configured(setup, dir);
        setup.store = setup.store.replace("20s", LEASE);
    })
    .await;
    let ended = issue(&house).text("tokenId");
    let revoked = issue(&house).text("tokenId");
    assert_eq!(house.delete(&format!("/v1/tokens/{revoked}")).status, 200);
    let holder = Fingerprint::of(b"a certificate");
    let bound = format!(r#"{{"serviceId":"checkout","dataBlockId":"carts","holder":"{holder}"}}"#);
    let bound = house.post("/v1/tokens", &bound).text("tokenId");
    let own = issue(&house);
    let (id, token) = (own.text("tokenId"), own.text("token"));
    let forged = "0123456789abcdef".repeat(2);
    let moved = format!(r#"{{"acceptEpoch":{}}}"#, own.epoch() + 1);
    let rows = [
        ("forged: an id that was never given", "checkout", forged.as_str(), "", (404, "unknown-token")),
        ("altered", "checkout", &altered(&id), "", (404, "unknown-token")),
        ("the token in place of its id", "checkout", &token, "", (400, "bad-request")),
        ("another service's, overheard", "report", &id, "", (404, "unknown-token")),
        ("for a foreign block", "checkout", &id, r#"{"dataBlockId":"users"}"#, (400, "bad-request")),
        ("for an epoch to come", "checkout", &id, &moved, (200, "")),
        ("bound to another holder", "checkout", &bound, "", (404, "unknown-token")),
        ("revoked", "checkout", &revoked, "", (410, "token-ended")),
    ];
    for (what, service, id, body, expected) in rows {
        if expected.0 == 200 {
            // Nobody gets ahead of the store: the epoch in force is what the next token says.
            let path = format!("/v1/tokens/{id}/refresh");
            let answer = curl(&house.socket(), &[&path, "-H", &bearer(service), "-d", body]);
            assert_eq!((answer.status, answer.epoch()), (200, own.epoch()), "{what}: {answer:?}");
            continue;
        }
        let (status, problem) = refresh(&house, service, id, body);
        assert_eq!((status, problem.as_str()), expected, "{what}");
    }
    let users = r#"{"serviceId":"checkout","dataBlockId":"users"}"#;
    let foreign = curl(&house.socket(), &["/v1/tokens", "-H", &bearer("checkout"), "-d", users]);
    assert_eq!((foreign.status, foreign.problem().as_str()), (403, "not-permitted"));
    assert_eq!(reason(&house, &revoked), "revoked");

    until("the end of a token", async || reason(&house, &ended) == "expired").await;
    assert_eq!(refresh(&house, "checkout", &ended, ""), (410, "token-ended".to_owned()));

    let old = issue(&house).text("tokenId");
    let request = SwitchoverRequest { to: None, dry_run: false };
    let report = house.sidecar.client().switchover(&StoreId::from(STORE), &request).await;
    assert_eq!(report.expect("is answered").outcome, SwitchoverOutcome::Done);
    house.wait("the new primary to have shown itself", |status| status.validated && status.ready).await;
    assert_eq!(refresh(&house, "checkout", &old, ""), (409, "epoch-moved".to_owned()));
    assert_eq!(reason(&house, &old), "old_epoch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_verifies_by_the_published_keys_refuses_each_kind_with_its_reason() {
    let house = House::open(configured).await;
    // A little longer ago than the skew that is allowed, and not before there was a key.
    let before = UnixMillis(now().0 - 600);
    let (own, second) = (issue(&house), issue(&house));
    let (token, epoch) = (own.text("token"), own.epoch());
    let holder = Fingerprint::of(b"a certificate");
    let bound = format!(r#"{{"serviceId":"checkout","dataBlockId":"carts","holder":"{holder}"}}"#);
    let bound = house.post("/v1/tokens", &bound).text("token");
    let revoked = issue(&house);
    assert_eq!(house.delete(&format!("/v1/tokens/{}", revoked.text("tokenId"))).status, 200);
    let revoked = revoked.text("token");

    // Of somebody who has no key of ours, and of somebody who put a signature of ours under other words.
    let good = Shown::new(&token, epoch);
    let mut theirs = Keyring::new(Rotation::default());
    theirs.ensure(good.at).expect("randomness");
    let claims = foretoken_token::Claims {
        id: foretoken_token::TokenId([7; 16]),
        service: "checkout".into(),
        store: STORE.into(),
        block: "cart:".parse().expect("a block"),
        endpoint: Some("a".into()),
        tier: foretoken_token::Tier::Valid,
        access: Access::READ,
        epoch: foretoken_types::Epoch(epoch),
        generation: 1,
        issued_at: good.at,
        not_before: good.at,
        expires_at: UnixMillis(good.at.0 + 10_000),
        holder: None,
    };
    let key = theirs.signing(Form::Paseto, good.at).expect("a key");
    let foreign_key = paseto::seal(&claims, key).expect("claims that can be");
    let altered = altered_at(&token, 40);
    let second = second.text("token");
    let mixed = format!("{}{}", &token[..200], &second[200..]);

    let rows = [
        ("good", good),
        ("malformed", Shown { token: &token[..60], ..good }),
        ("malformed", Shown { token: "v4.public.", ..good }),
        ("unknown_key", Shown { token: &foreign_key, ..good }),
        ("forged", Shown { token: &altered, ..good }),
        ("forged", Shown { token: &mixed, ..good }),
        ("expired", Shown { at: UnixMillis(good.at.0 + 21_000), ..good }),
        ("not_yet", Shown { at: before, ..good }),
        ("other_service", Shown { service: "report", ..good }),
        ("other_store", Shown { store: "orders", ..good }),
        ("other_block", Shown { key: b"user:17", ..good }),
        ("old_epoch", Shown { epoch: epoch + 1, ..good }),
        ("future_epoch", Shown { epoch: epoch - 1, ..good }),
        ("other_holder", Shown { token: &bound, ..good }),
        ("other_holder", Shown { token: &bound, holder: Some(Fingerprint::of(b"another")), ..good }),
        ("good", Shown { token: &bound, holder: Some(holder), ..good }),
        ("revoked", Shown { token: &revoked, ..good }),
        ("not_allowed", Shown { access: Access::ADMIN, ..good }),
        ("good", good),
    ];
    for (number, (expected, shown)) in rows.into_iter().enumerate() {
        let found = shown.verify(&house);
        let name = found.as_ref().map_or_else(foretoken_token::Refusal::as_str, |()| "good");
        assert_eq!(name, expected, "row {number}: {found:?}");
    }
}

fn altered_at(text: &str, place: usize) -> String {
    let mut text = text.to_owned();
    let other = if &text[place..=place] == "A" { "B" } else { "A" };
    text.replace_range(place..=place, other);
    text
}
