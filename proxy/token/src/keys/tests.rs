use proptest::prelude::*;

use super::*;
use crate::testing::{START, claims};
use crate::{Refusal, compact};

fn ring() -> Keyring {
    let mut ring = Keyring::new(Rotation::default());
    assert_eq!(ring.ensure(START), Ok(true));
    ring
}

fn at(seconds: u64) -> UnixMillis {
    START.after(Duration::from_secs(seconds))
}

fn signer(ring: &Keyring, now: UnixMillis) -> KeyId {
    ring.signing(Form::Compact, now).expect("a key signs").id()
}

fn verifies(ring: &Keyring, id: KeyId, now: UnixMillis) -> bool {
    ring.public().find(Form::Compact, id, now).is_some()
}

#[test]
fn a_new_ring_signs_in_both_forms_with_different_keys() {
    let mut ring = Keyring::new(Rotation::default());
    assert_eq!(ring.signing(Form::Compact, START).err(), Some(Error::NoKey { form: Form::Compact }));
    assert_eq!(ring.ensure(START), Ok(true));
    assert_eq!(ring.ensure(START), Ok(false), "there is nothing left to make");
    let [compact, paseto] = Form::BOTH.map(|form| ring.signing(form, START).expect("a key signs"));
    assert_ne!(compact.public().as_bytes(), paseto.public().as_bytes());
    assert_eq!(ring.public().publish().len(), 2);
}

/// Publish, wait, use, keep for verifying, drop: each border from both sides.
#[test]
fn a_rotation_publishes_waits_and_lets_the_old_key_verify_its_last_token() {
    let mut ring = ring();
    let old = signer(&ring, START);
    let begin = ring.rotate(Form::Compact, at(100)).expect("nothing is pending");
    assert_eq!(begin, at(130));
    let (before, new) = (UnixMillis(begin.0 - 1), signer(&ring, begin));
    assert_ne!(new, old);
    let public = ring.public();
    assert!(public.iter().any(|key| key.key.id() == new && key.not_before == begin), "published before use");
    assert_eq!(signer(&ring, before), old);
    assert!(!verifies(&ring, new, at(129)), "nobody can have a token of it yet");

    let last = compact::seal(&claims(), ring.signing(Form::Compact, before).expect("a key signs"));
    let last = last.expect("claims that can be");
    let open = |ring: &Keyring, now| {
        let id = compact::key_id(&last).expect("a token");
        let keys = ring.public();
        keys.find(Form::Compact, id, now)
            .ok_or(Refusal::UnknownKey(id))
            .and_then(|key| compact::open(&last, key))
    };
    // 30 s of life after the last moment of signing, and the skew.
    let end = begin.after(Duration::from_secs(30)).after(SKEW);
    assert_eq!(open(&ring, UnixMillis(end.0 - 1)), Ok(claims()));
    assert_eq!(open(&ring, end), Err(Refusal::UnknownKey(old)));

    ring.sweep(UnixMillis(end.0 - 1));
    assert!(ring.public().iter().any(|key| key.key.id() == old));
    ring.sweep(end);
    assert!(ring.public().iter().all(|key| key.key.id() != old));
    assert_eq!(signer(&ring, end), new);
    assert_eq!(ring.public().publish().len(), 2, "the other form's key was left alone");
}

#[test]
fn a_key_signs_no_more_from_the_moment_on_in_which_the_next_one_begins() {
    let mut ring = ring();
    let old = signer(&ring, START);
    let begin = ring.rotate(Form::Compact, START).expect("nothing is pending");
    assert!(ring.forget(signer(&ring, begin)), "or the newest would be taken anyway");
    assert_eq!(signer(&ring, UnixMillis(begin.0 - 1)), old);
    assert_eq!(ring.signing(Form::Compact, begin).err(), Some(Error::NoKey { form: Form::Compact }));
}

#[test]
fn a_second_rotation_waits_for_the_first() {
    let mut ring = ring();
    let begin = ring.rotate(Form::Compact, START).expect("nothing is pending");
    let before = UnixMillis(begin.0 - 1);
    let pending = Error::RotationPending { form: Form::Compact, from: begin };
    assert_eq!(ring.rotate(Form::Compact, before), Err(pending));
    assert!(ring.rotate(Form::Paseto, before).is_ok(), "the other form has turns of its own");
    assert!(ring.rotate(Form::Compact, begin).is_ok());
}

/// The one rule for the API's ring and for that of the passes: both sides of the moment at which the next key is published.
#[test]
fn a_key_that_has_signed_for_its_life_is_followed_by_the_next() {
    const LIFE: Duration = Duration::from_secs(3600);
    let mut ring = Keyring::new(Rotation::default());
    assert!(ring.is_due(START, LIFE), "there is none");
    assert_eq!(ring.take_turns(START, LIFE), Ok(true));
    let first = signer(&ring, START);
    let before = UnixMillis(at(3570).0 - 1);
    assert!(!ring.is_due(before, LIFE));
    assert_eq!(ring.take_turns(before, LIFE), Ok(false));
    assert!(ring.is_due(at(3570), LIFE));
    assert_eq!(ring.take_turns(at(3570), LIFE), Ok(true));
    assert_eq!((ring.public().publish().len(), ring.is_due(at(3571), LIFE)), (4, false), "both forms, once");
    assert_eq!(signer(&ring, UnixMillis(at(3600).0 - 1)), first, "published, and not used yet");
    let second = signer(&ring, at(3600));
    assert_ne!(second, first);
    assert_eq!(ring.take_turns(at(3600 + 3569), LIFE), Ok(false));
    assert_eq!(ring.take_turns(at(3600 + 3570), LIFE), Ok(true), "and so on");
    assert_eq!(signer(&ring, at(3600 + 3570)), second);
    // A clock that was set back leaves none that signs.
    let long_ago = UnixMillis(START.0 - 1);
    assert!(ring.is_due(long_ago, LIFE));
    assert_eq!(ring.take_turns(long_ago, LIFE), Ok(true));
    assert!(ring.signing(Form::Paseto, long_ago).is_ok());
}

#[test]
fn the_ring_is_bounded_and_full_rings_go_on_signing() {
    let mut ring = Keyring::new(Rotation { wait: Duration::ZERO, overlap: Duration::from_secs(3600) });
    ring.ensure(START).expect("room");
    for turn in 1..MAX_KEYS as u64 {
        ring.rotate(Form::Compact, at(turn)).expect("room");
    }
    let (now, full) = (at(100), Error::KeysFull { form: Form::Compact, most: MAX_KEYS });
    let (last, keys) = (signer(&ring, now), ring.public());
    assert_eq!(ring.rotate(Form::Compact, now), Err(full));
    assert_eq!((signer(&ring, now), ring.public()), (last, keys), "a failed rotation changes nothing");
    assert!(ring.rotate(Form::Compact, at(3602)).is_ok(), "the first keys have ended by then");
}

#[test]
fn a_clock_that_was_set_back_gets_a_key_and_both_end_in_the_next_rotation() {
    let mut ring = ring();
    let (before, first) = (UnixMillis(START.0 - 60_000), signer(&ring, START));
    assert!(ring.signing(Form::Compact, before).is_err());
    assert_eq!(ring.ensure(before), Ok(true));
    let second = signer(&ring, before);
    assert_ne!(first, second);
    let begin = ring.rotate(Form::Compact, at(1)).expect("nothing is pending");
    let end = begin.after(Rotation::default().overlap).after(SKEW);
    for old in [first, second] {
        assert!(verifies(&ring, old, begin));
        assert!(!verifies(&ring, old, end));
    }
}

#[test]
fn a_key_of_a_clock_that_ran_a_year_ahead_does_not_hold_up_rotations() {
    let mut ring = Keyring::new(Rotation::default());
    let ahead = at(365 * 86_400);
    ring.ensure(ahead).expect("room");
    let far = signer(&ring, ahead);
    ring.ensure(START).expect("room");
    let begin = ring.rotate(Form::Compact, at(1)).expect("nothing is pending");
    let next = signer(&ring, begin);
    ring.sweep(begin.after(Duration::from_secs(60)));
    assert!(ring.public().iter().all(|key| key.key.id() != far));
    assert_eq!(signer(&ring, ahead), next);
}

#[test]
fn a_key_that_was_forgotten_verifies_nothing() {
    let mut ring = ring();
    let leaked = signer(&ring, START);
    assert!(ring.forget(leaked));
    assert!(!ring.forget(leaked));
    assert!(!verifies(&ring, leaked, START));
    assert_eq!(ring.ensure(START), Ok(true));
    assert_ne!(signer(&ring, START), leaked);
}

#[test]
fn a_secret_that_signs_no_more_is_not_written_down() {
    let mut ring = ring();
    let seed = *ring.signing(Form::Compact, START).expect("a key signs").seed();
    let holds_seed =
        |ring: &Keyring| ring.to_bytes().expect("it can be written").windows(32).any(|window| window == seed);
    let begin = ring.rotate(Form::Compact, START).expect("nothing is pending");
    ring.sweep(UnixMillis(begin.0 - 1));
    assert!(holds_seed(&ring));
    ring.sweep(begin);
    assert!(!holds_seed(&ring));
}

#[test]
fn a_ring_survives_its_file() {
    let mut ring = ring();
    ring.rotate(Form::Compact, at(1)).expect("nothing is pending");
    ring.sweep(at(40));
    ring.rotate(Form::Compact, at(40)).expect("nothing is pending");
    let bytes = ring.to_bytes().expect("it can be written");
    let again = Keyring::from_bytes(&bytes, Rotation::default()).expect("our own");
    assert_eq!(again.public(), ring.public());
    for now in [at(40), at(69), at(70), at(1000)] {
        for form in Form::BOTH {
            let [was, is] = [&ring, &again].map(|ring| ring.signing(form, now).map(SigningKey::id));
            assert_eq!(was, is);
        }
    }
    let full = (0..MAX_KEYS).flat_map(|_| Form::BOTH).map(|form| {
        let key = SigningKey::generate(form).expect("random bytes");
        let (public, most) = (key.public(), Some(UnixMillis(u64::MAX)));
        Slot {
            secret: Some(key),
            public,
            not_before: UnixMillis(u64::MAX),
            signs_until: most,
            not_after: most,
        }
    });
    let full = Keyring { rotation: Rotation::default(), slots: full.collect() };
    let bytes = full.to_bytes().expect("it can be written");
    assert!(bytes.len() <= FILE_CAPACITY, "the buffer moved, and left secrets behind: {} bytes", bytes.len());
}

#[test]
fn a_damaged_file_is_refused_wherever_it_is_damaged() {
    let bytes = ring().to_bytes().expect("it can be written");
    let read = |bytes: &[u8]| Keyring::from_bytes(bytes, Rotation::default());
    assert!(read(&bytes).is_ok());
    for place in 0..bytes.len() {
        assert!(matches!(read(&bytes[..place]), Err(Error::Damaged(_))), "cut at {place}");
        let mut altered = bytes.to_vec();
        altered[place] ^= 1;
        assert!(read(&altered).is_err(), "altered at {place}");
    }
    let mut newer = bytes.to_vec();
    newer[MAGIC.len()] = FORMAT + 1;
    assert_eq!(read(&newer).err(), Some(Error::Newer { found: FORMAT + 1, known: FORMAT }));
}

proptest! {
    /// Also behind a check sum that fits.
    #[test]
    fn reading_a_file_never_panics(mut body in prop::collection::vec(any::<u8>(), 0..200)) {
        body.splice(..0, MAGIC.iter().copied().chain([FORMAT]));
        let sum = Sha256::digest(&body);
        body.extend_from_slice(&sum);
        drop(Keyring::from_bytes(&body, Rotation::default()));
    }

    /// Whenever the wheel is turned: a key signs, and what it signs can be verified for its whole life.
    #[test]
    fn rotations_leave_no_gap(steps in prop::collection::vec(0..40_000_u64, 1..30)) {
        let (mut ring, mut now) = (ring(), START);
        let mut signed = Vec::new();
        for step in steps {
            now = now.after(Duration::from_millis(step));
            let turned = ring.rotate(Form::Compact, now);
            let expected = matches!(turned, Ok(_) | Err(Error::RotationPending { .. } | Error::KeysFull { .. }));
            prop_assert!(expected, "{:?}", turned);
            signed.push((signer(&ring, now), now.after(Duration::from_secs(30))));
            for (id, end) in &signed {
                prop_assert!(now >= *end || verifies(&ring, *id, now), "{} of a living token", id);
            }
        }
    }
}

#[test]
fn a_file_holds_as_many_keys_as_a_ring_and_no_more() {
    let mut ring = Keyring::new(Rotation { wait: Duration::ZERO, overlap: Duration::from_secs(3600) });
    ring.ensure(START).expect("room");
    for turn in 1..MAX_KEYS as u64 {
        for form in Form::BOTH {
            ring.rotate(form, at(turn)).expect("room");
        }
    }
    let read = |ring: &Keyring| {
        let bytes = ring.to_bytes().expect("keys that can be encoded");
        Keyring::from_bytes(&bytes, Rotation::default()).map(|read| read.public())
    };
    assert_eq!(read(&ring), Ok(ring.public()));
    let more = SigningKey::generate(Form::Paseto).expect("random bytes").public();
    let slot = Slot { secret: None, public: more, not_before: START, signs_until: None, not_after: None };
    ring.slots.push(slot);
    assert_eq!(read(&ring), Err(Error::Damaged("it has too many keys")));
}
