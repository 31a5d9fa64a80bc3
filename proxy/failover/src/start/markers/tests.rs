use foretoken_types::Role;

use super::*;
use crate::testing::observation;

#[test]
fn roles_that_look_swapped_are_asked_about_and_a_declared_primary_with_the_only_keys_is_not() {
    let [a, b]: [EndpointId; 2] = ["a".into(), "b".into()];
    let with = |keys| Observation { keys, ..observation(Role::Primary) };
    for (in_a, in_b, words) in [
        (0, 7, "b has keys and a, the declared primary, has none: are the roles swapped?"),
        // That b has none is not known for certain yet.
        (3, 0, "only a has keys: correct"),
        (3, 7, "correct `role` or --primary if it names the wrong one"),
    ] {
        let (found_a, found_b) = (with(in_a), with(in_b));
        let seen = [(&a, &found_a), (&b, &found_b)];
        let why = primary_by_markers(Some(&a), &seen, true, |_| false).unwrap_err();
        assert!(
            why.starts_with(&format!("a and b are primaries and nothing tells whose data counts: {words}")),
            "{why}"
        );
    }
}
