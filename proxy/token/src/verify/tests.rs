use std::time::Duration;

use foretoken_types::EndpointId;

use super::*;
use crate::testing::{START, claims};
use crate::{PublicKey, SigningKey, Tier, TokenId};

fn signing(form: Form, secret: u8) -> SigningKey {
    SigningKey::from_seed(form, &[secret; 32]).expect("a key")
}

fn keys() -> PublicKeys {
    let public = |form| PublicKey { key: signing(form, 1).public(), not_before: START, not_after: None };
    PublicKeys::new(Form::BOTH.map(public).into())
}

fn verifier() -> Verifier {
    Verifier::new(StoreId::from("orders"), Epoch(7))
}

/// A token in both forms.
struct Both(Vec<u8>, String);

impl Both {
    fn of(claims: &Claims, secret: u8) -> Self {
        let compact = compact::seal(claims, &signing(Form::Compact, secret)).expect("claims that can be");
        let paseto = paseto::seal(claims, &signing(Form::Paseto, secret)).expect("claims that can be");
        Self(compact, paseto)
    }

    fn each(&self) -> [Presented<'_>; 2] {
        [Presented::Compact(&self.0), Presented::Paseto(&self.1)]
    }
}

/// What `claims()` are for, used as they should be.
struct Case {
    claims: Claims,
    secret: u8,
    service: ServiceId,
    holder: Option<Fingerprint>,
    key: &'static [u8],
    access: Access,
    epoch: Epoch,
    revoked: Revocations,
    now: UnixMillis,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            claims: claims(),
            secret: 1,
            service: ServiceId::from("checkout"),
            holder: claims().holder,
            key: b"order:17",
            access: Access::READ | Access::WRITE,
            epoch: Epoch(7),
            revoked: Revocations::default(),
            now: START,
        }
    }
}

impl Case {
    /// The answer in both forms, from a new verifier and from one that has seen the token before it was changed.
    fn judge(&self) -> Result<Claims, Refusal> {
        let token = Both::of(&self.claims, self.secret);
        let wanted = Use {
            service: &self.service,
            holder: self.holder,
            target: Target::Key(self.key),
            access: self.access,
        };
        let mut answers = Vec::new();
        for presented in token.each() {
            let mut verifier = Verifier::new(StoreId::from("orders"), self.epoch);
            for _ in 0..2 {
                let answer = verifier.verify(presented, &wanted, &keys(), &self.revoked, self.now);
                answers.push(answer.map(|claims| (*claims).clone()));
            }
        }
        let mut first = answers.remove(0);
        if let (Err(Refusal::UnknownKey(id)), Err(Refusal::UnknownKey(_))) = (&first, &answers[1]) {
            let id = *id;
            answers.iter_mut().for_each(|answer| *answer = Err(Refusal::UnknownKey(id)));
            first = Err(Refusal::UnknownKey(id));
        }
        assert!(answers.iter().all(|answer| *answer == first), "{first:?} and {answers:?}");
        first
    }
}

#[test]
fn a_good_token_is_good() {
    assert_eq!(Case::default().judge(), Ok(claims()));
}

/// Each way to be wrong, alone, with its reason.
#[test]
fn a_token_is_refused_for_what_is_wrong_with_it() {
    let milli = |offset: i64| UnixMillis(START.0.checked_add_signed(offset).expect("after 1970"));
    let expires = claims().expires_at;
    let temporary =
        Claims { tier: Tier::Temporary, access: Access::READ | Access::QUEUE, endpoint: None, ..claims() };
    let mut revoked = Revocations::default();
    revoked.add(claims().id, expires, START);
    let mut other_revoked = Revocations::default();
    other_revoked.add(TokenId([0; 16]), expires, START);
    let missing = |tier, missing| Err(Refusal::NotAllowed { tier, missing });
    let unknown = Refusal::UnknownKey(signing(Form::Compact, 2).id());
    let rows = [
        ("a key that is not known", Case { secret: 2, ..Case::default() }, Err(unknown)),
        (
            "before its time",
            Case { claims: Claims { not_before: milli(501), ..claims() }, ..Case::default() },
            Err(Refusal::NotYet(milli(501))),
        ),
        (
            "before its time by less than the skew",
            Case { claims: Claims { not_before: milli(500), ..claims() }, ..Case::default() },
            Ok(()),
        ),
        ("in its last moment", Case { now: milli(2499), ..Case::default() }, Ok(())),
        ("expired", Case { now: milli(2500), ..Case::default() }, Err(Refusal::Expired(expires))),
        (
            "a foreign service",
            Case { service: ServiceId::from("billing"), ..Case::default() },
            Err(Refusal::OtherService(ServiceId::from("checkout"))),
        ),
        (
            "a foreign store",
            Case { claims: Claims { store: StoreId::from("users"), ..claims() }, ..Case::default() },
            Err(Refusal::OtherStore(StoreId::from("users"))),
        ),
        (
            "a foreign block",
            Case { key: b"user:1", ..Case::default() },
            Err(Refusal::OtherBlock(claims().block)),
        ),
        (
            "an old epoch",
            Case { epoch: Epoch(8), ..Case::default() },
            Err(Refusal::OldEpoch { token: Epoch(7), current: Epoch(8) }),
        ),
        (
            "an epoch to come",
            Case { epoch: Epoch(6), ..Case::default() },
            Err(Refusal::FutureEpoch { token: Epoch(7), current: Epoch(6) }),
        ),
        (
            "another holder",
            Case { holder: Some(Fingerprint::of(b"connection 2")), ..Case::default() },
            Err(Refusal::OtherHolder),
        ),
        ("a holder without proof", Case { holder: None, ..Case::default() }, Err(Refusal::OtherHolder)),
        ("revoked", Case { revoked, ..Case::default() }, Err(Refusal::Revoked)),
        ("another one revoked", Case { revoked: other_revoked, ..Case::default() }, Ok(())),
        (
            "a right that was not given",
            Case { access: Access::READ | Access::ADMIN, ..Case::default() },
            missing(Tier::Valid, Access::ADMIN),
        ),
        (
            "a write with a T1",
            Case { claims: temporary.clone(), access: Access::WRITE, ..Case::default() },
            missing(Tier::Temporary, Access::WRITE),
        ),
        (
            "a read and a waiting write with a T1",
            Case { claims: temporary, access: Access::READ | Access::QUEUE, ..Case::default() },
            Ok(()),
        ),
    ];
    for (what, case, expected) in rows {
        assert_eq!(case.judge().map(drop), expected, "{what}");
    }
}

#[test]
fn forged_and_altered_tokens_are_refused_and_never_remembered() {
    let (good, case) = (Both::of(&claims(), 1), Case::default());
    let wanted =
        Use { service: &case.service, holder: case.holder, target: Target::Nothing, access: Access::READ };
    let mut verifier = verifier();
    let mut ask =
        |token: Presented<'_>| verifier.verify(token, &wanted, &keys(), &case.revoked, START).map(drop);
    for presented in good.each() {
        assert_eq!(ask(presented), Ok(()));
    }
    let mut altered = good.0.clone();
    altered[30] ^= 1;
    let mut forged = Both::of(&claims(), 2).0;
    forged[1..9].copy_from_slice(&signing(Form::Compact, 1).id().0);
    let mut other_text = good.1.clone().into_bytes();
    other_text[40] = if other_text[40] == b'A' { b'B' } else { b'A' };
    let other_text = String::from_utf8(other_text).expect("still ASCII");
    for _ in 0..2 {
        assert_eq!(ask(Presented::Compact(&altered)), Err(Refusal::Forged));
        assert_eq!(ask(Presented::Compact(&forged)), Err(Refusal::Forged));
        assert!(ask(Presented::Paseto(&other_text)).is_err());
        assert!(matches!(ask(Presented::Compact(good.1.as_bytes())), Err(Refusal::Malformed(_))));
        assert!(matches!(ask(Presented::Compact(b"")), Err(Refusal::Malformed(_))));
        assert!(matches!(ask(Presented::Paseto("")), Err(Refusal::Malformed(_))));
    }
}

#[test]
fn a_signature_is_verified_once_and_what_can_change_is_compared_each_time() {
    let (token, case) = (Both::of(&claims(), 1), Case::default());
    let (mut verifier, mut revoked) = (verifier(), Revocations::default());
    let wanted = Use {
        service: &case.service,
        holder: case.holder,
        target: Target::Key(case.key),
        access: case.access,
    };
    let presented = Presented::Compact(&token.0);
    for _ in 0..10 {
        assert!(verifier.verify(presented, &wanted, &keys(), &revoked, START).is_ok());
    }
    assert_eq!(verifier.signatures(), 1);

    let foreign = Use { holder: None, ..wanted };
    let answer = verifier.verify(presented, &foreign, &keys(), &revoked, START);
    assert_eq!(answer, Err(Refusal::OtherHolder));
    let outside = Use { target: Target::Key(b"user:1"), ..wanted };
    let answer = verifier.verify(presented, &outside, &keys(), &revoked, START);
    assert!(matches!(answer, Err(Refusal::OtherBlock(_))));
    let late = START.after(Duration::from_secs(3));
    let answer = verifier.verify(presented, &wanted, &keys(), &revoked, late);
    assert!(matches!(answer, Err(Refusal::Expired(_))));
    let answer = verifier.verify(presented, &wanted, &PublicKeys::default(), &revoked, START);
    assert!(matches!(answer, Err(Refusal::UnknownKey(_))), "a key that was withdrawn");
    revoked.add(claims().id, claims().expires_at, START);
    let answer = verifier.verify(presented, &wanted, &keys(), &revoked, START);
    assert_eq!(answer, Err(Refusal::Revoked), "replayed after its revocation");
    assert_eq!(verifier.signatures(), 1, "all of that from memory");
}

#[test]
fn a_new_epoch_empties_the_cache_and_an_older_one_is_not_believed() {
    let (token, case) = (Both::of(&claims(), 1), Case::default());
    let mut verifier = verifier();
    let wanted =
        Use { service: &case.service, holder: case.holder, target: Target::Nothing, access: Access::WRITE };
    let ask = |verifier: &mut Verifier| {
        verifier.verify(Presented::Compact(&token.0), &wanted, &keys(), &case.revoked, START).map(drop)
    };
    assert_eq!(ask(&mut verifier), Ok(()));
    verifier.moved_to(Epoch(7));
    assert_eq!(verifier.cache.len(), 1);
    verifier.moved_to(Epoch(8));
    assert_eq!((verifier.cache.len(), verifier.order.len()), (0, 0));
    let old = Err(Refusal::OldEpoch { token: Epoch(7), current: Epoch(8) });
    assert_eq!(ask(&mut verifier), old);
    verifier.moved_to(Epoch(7));
    assert_eq!(ask(&mut verifier), old);
}

#[test]
fn the_cache_is_bounded_and_forgets_the_oldest_first() {
    let case = Case::default();
    let mut verifier = verifier();
    let wanted =
        Use { service: &case.service, holder: case.holder, target: Target::Nothing, access: Access::READ };
    let key = signing(Form::Compact, 1);
    let token = |number: u64| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        compact::seal(&Claims { id: TokenId(id), ..claims() }, &key).expect("claims that can be")
    };
    let ask = |verifier: &mut Verifier, number| {
        let token = token(number);
        let answer = verifier.verify(Presented::Compact(&token), &wanted, &keys(), &case.revoked, START);
        assert!(answer.is_ok(), "{number}: {answer:?}");
        verifier.signatures()
    };
    let most = CACHE_CAPACITY as u64;
    for number in 0..=most {
        ask(&mut verifier, number);
    }
    assert_eq!((verifier.cache.len(), verifier.order.len()), (CACHE_CAPACITY, CACHE_CAPACITY));
    assert_eq!(ask(&mut verifier, most), most + 1, "the newest is known");
    assert_eq!(ask(&mut verifier, 1), most + 1, "the second oldest too");
    assert_eq!(ask(&mut verifier, 0), most + 2, "the oldest is not");
}

#[test]
fn a_block_is_covered_by_a_wider_one_only() {
    let case = Case::default();
    let token = Both::of(&claims(), 1);
    let ask = |block: &str| {
        let block = block.parse().expect("a block");
        let wanted = Use {
            service: &case.service,
            holder: case.holder,
            target: Target::Block(&block),
            access: Access::READ,
        };
        verifier().verify(Presented::Compact(&token.0), &wanted, &keys(), &case.revoked, START).is_ok()
    };
    assert!(ask("order:") && ask("order:17:"));
    assert!(!ask("*") && !ask("order") && !ask("user:"));
}

/// A bearer token, which only the outside form can be.
#[test]
fn a_token_without_a_holder_is_good_for_whoever_has_it() {
    let case = Case::default();
    let bearer = Claims { holder: None, endpoint: Some(EndpointId::from("redis-b")), ..claims() };
    let token = paseto::seal(&bearer, &signing(Form::Paseto, 1)).expect("claims that can be");
    for holder in [None, case.holder] {
        let wanted = Use { service: &case.service, holder, target: Target::Nothing, access: Access::READ };
        let answer = verifier().verify(Presented::Paseto(&token), &wanted, &keys(), &case.revoked, START);
        assert_eq!(answer.map(|claims| (*claims).clone()), Ok(bearer.clone()));
    }
}

/// Whoever reads a refusal has to learn from it what to do.
#[test]
fn every_refusal_has_a_name_of_its_own_and_says_what_to_do() {
    let (token, current, tier) = (Epoch(7), Epoch(8), Tier::Temporary);
    let all = [
        Refusal::Malformed("shorter than its header"),
        Refusal::UnknownKey(KeyId([1; 8])),
        Refusal::Forged,
        Refusal::NotYet(START),
        Refusal::Expired(START),
        Refusal::OtherService(ServiceId::from("checkout")),
        Refusal::OtherStore(StoreId::from("orders")),
        Refusal::OtherBlock(Block::ALL),
        Refusal::OldEpoch { token, current },
        Refusal::FutureEpoch { token: current, current: token },
        Refusal::OtherHolder,
        Refusal::Revoked,
        Refusal::NotAllowed { tier, missing: Access::WRITE },
        Refusal::NotAllowed { tier: Tier::Valid, missing: Access::WRITE },
    ];
    let names: std::collections::BTreeSet<_> = all.iter().map(Refusal::as_str).collect();
    assert_eq!(names.len(), all.len() - 1, "a name for each kind");
    for refusal in all {
        let words = refusal.to_string();
        let tells = ["send", "ask", "read the keys", "compare", "refresh", "try again"];
        assert!(tells.iter().any(|todo| words.contains(todo)), "{words}");
    }
}
