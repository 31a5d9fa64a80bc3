use super::*;
use crate::testing::START;

fn id(number: usize) -> TokenId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    TokenId(bytes)
}

#[test]
fn a_revocation_lasts_as_long_as_anybody_might_accept_the_token() {
    let mut revoked = Revocations::default();
    revoked.add(id(1), START, START);
    let end = START.after(SKEW);
    revoked.sweep(UnixMillis(end.0 - 1));
    assert!(revoked.contains(id(1), UnixMillis(end.0 - 1)));
    assert!(!revoked.contains(id(2), START));
    revoked.sweep(end);
    assert!(!revoked.contains(id(1), end));
}

#[test]
fn a_revocation_is_never_shortened() {
    let mut revoked = Revocations::default();
    revoked.add(id(1), UnixMillis(START.0 + 1000), START);
    revoked.add(id(1), START, START);
    assert_eq!(revoked.iter().collect::<Vec<_>>(), [(id(1), UnixMillis(START.0 + 1500))]);
}

#[test]
fn when_there_are_too_many_no_token_passes_until_those_without_room_have_ended() {
    let mut revoked = Revocations::default();
    let (soon, later) = (UnixMillis(START.0 + 1000), UnixMillis(START.0 + 30_000));
    for number in 0..MAX_REVOCATIONS {
        revoked.add(id(number), soon, START);
    }
    let other = id(MAX_REVOCATIONS + 1);
    revoked.add(id(0), soon, START);
    assert!(!revoked.contains(other, START), "full, and nothing was left out");
    revoked.add(id(MAX_REVOCATIONS), later, START);
    assert_eq!(revoked.iter().count(), MAX_REVOCATIONS);
    let end = later.after(SKEW);
    assert!(revoked.contains(other, START) && revoked.contains(other, UnixMillis(end.0 - 1)));
    assert!(!revoked.contains(other, end));

    // Room that became free is used.
    let mut revoked = Revocations::default();
    for number in 0..MAX_REVOCATIONS {
        revoked.add(id(number), soon, START);
    }
    revoked.add(id(MAX_REVOCATIONS), later, later);
    assert!(revoked.contains(id(MAX_REVOCATIONS), later) && !revoked.contains(other, later));
    assert_eq!(revoked.iter().count(), 1);
}
