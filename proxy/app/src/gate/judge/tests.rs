use std::time::Duration;

use foretoken_token::{Form, Keyring, Rotation, Tier, compact};

use super::*;

const NOW: UnixMillis = UnixMillis(1_760_000_000_000);

fn ring() -> Keyring {
    let mut ring = Keyring::new(Rotation::default());
    ring.ensure(NOW).unwrap();
    ring
}

fn holder() -> Fingerprint {
    Fingerprint::of(b"the sidecar's certificate")
}

fn claims(id: u8) -> Claims {
    Claims {
        id: TokenId([id; 16]),
        service: SIDECAR.into(),
        store: "cart".into(),
        block: Block::ALL,
        endpoint: Some("a".into()),
        tier: Tier::Valid,
        access: Access::READ | Access::WRITE,
        epoch: Epoch(7),
        generation: 1,
        issued_at: NOW,
        not_before: NOW,
        expires_at: NOW.after(Duration::from_secs(2)),
        holder: Some(holder()),
    }
}

fn sealed(ring: &Keyring, claims: &Claims) -> Vec<u8> {
    compact::seal(claims, ring.signing(Form::Compact, NOW).unwrap()).unwrap()
}

fn word(ring: &Keyring, primary: &str) -> Word {
    Word { epoch: Epoch(7), primary: Some(primary.into()), keys: ring.public(), ..Word::none() }
}

#[test]
fn each_kind_of_bad_token_is_refused_with_its_reason() {
    let (ours, theirs) = (ring(), ring());
    let judge = Judge::new("cart".into(), "a".into());
    let word = word(&ours, "a");
    let with = |change: &dyn Fn(&mut Claims)| {
        let mut claims = claims(9);
        change(&mut claims);
        sealed(&ours, &claims)
    };
    let good = with(&|_| {});
    let mut altered = good.clone();
    altered[20] ^= 1;
    let cases: [(&str, Vec<u8>, &str); 13] = [
        ("malformed", b"hello".to_vec(), "this is no token"),
        ("malformed", b"v4.public.abcdefghijklmnopqrstuvwxyz".to_vec(), "this is no token"),
        ("forged", altered, "altered"),
        ("unknown_key", sealed(&theirs, &claims(9)), "is not known"),
        (
            "not_yet",
            with(&|c| c.not_before = NOW.after(Duration::from_millis(600))),
            "compare this machine's clock",
        ),
        ("other_service", with(&|c| c.service = "checkout".into()), "given to service checkout"),
        ("other_store", with(&|c| c.store = "orders".into()), "for store orders"),
        ("other_block", with(&|c| c.block = "user:".parse().unwrap()), "for block user:"),
        ("old_epoch", with(&|c| c.epoch = Epoch(6)), "of epoch 6"),
        ("future_epoch", with(&|c| c.epoch = Epoch(8)), "only epoch 7 is known"),
        ("other_endpoint", with(&|c| c.endpoint = Some("b".into())), "for endpoint b"),
        ("reads_only", with(&|c| c.access = Access::READ), "gives read only"),
        ("other_holder", with(&|c| c.holder = Some(Fingerprint::of(b"somebody"))), "bound to another"),
    ];
    for (reason, token, said) in cases {
        let refused = judge.admit(&token, Some(holder()), &word, NOW).unwrap_err();
        assert_eq!(refused.as_str(), reason, "{refused}");
        assert!(REASONS.contains(&reason));
        assert!(refused.to_string().contains(said), "{refused}");
    }
    let refused = |holder, now| judge.admit(&good, holder, &word, now).unwrap_err().as_str();
    assert_eq!(refused(Some(Fingerprint::of(b"somebody")), NOW), "other_holder");
    assert_eq!(refused(None, NOW), "other_holder");
    let last = NOW.after(Duration::from_secs(2) + SKEW);
    assert_eq!(refused(Some(holder()), last), "expired");
    let before = UnixMillis(last.0 - 1);
    assert_eq!(
        judge.admit(&good, Some(holder()), &word, before),
        Ok(Epoch(7)),
        "none of them cost it its turn"
    );
    assert_eq!(refused(Some(holder()), before), "replayed");
}

#[test]
fn a_token_that_only_reads_passes_where_writes_are_refused_anyway() {
    let ours = ring();
    let reads = |id| Claims { tier: Tier::Temporary, access: Access::READ, endpoint: None, ..claims(id) };
    let judge = Judge::new("cart".into(), "b".into());
    let admit = |claims: &Claims, word: &Word| judge.admit(&sealed(&ours, claims), Some(holder()), word, NOW);
    assert_eq!(admit(&reads(1), &word(&ours, "a")), Ok(Epoch(7)));
    assert_eq!(admit(&reads(2), &word(&ours, "b")).unwrap_err().as_str(), "reads_only");
    let unknown = Word { primary: None, ..word(&ours, "a") };
    assert_eq!(admit(&reads(3), &unknown).unwrap_err().as_str(), "reads_only");
    let admin = Claims { access: Access::ADMIN, endpoint: Some("b".into()), ..claims(4) };
    assert_eq!(admit(&admin, &unknown), Ok(Epoch(7)), "control goes on when there is no primary");
}

#[test]
fn the_memory_of_tokens_is_bounded_and_forgets_what_can_come_no_more() {
    let mut seen = Seen::default();
    let numbered = |number: usize| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Claims { id: TokenId(id), ..claims(0) }
    };
    for number in 0..SEEN_MAX {
        seen.add(&numbered(number), NOW).unwrap();
    }
    assert_eq!(seen.add(&numbered(0), NOW), Err(Refused::Replayed));
    assert_eq!(seen.add(&numbered(SEEN_MAX), NOW), Err(Refused::TooMany));
    let later = NOW.after(Duration::from_secs(4));
    seen.add(&numbered(SEEN_MAX), later).unwrap();
    assert_eq!((seen.ids.len(), seen.ends.len()), (1, 1));
}
