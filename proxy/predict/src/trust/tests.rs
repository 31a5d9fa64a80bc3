use super::*;

const NONSENSE: Option<Doubt> = Some(Doubt::Silent(Unknown::NotFinite));

#[test]
fn three_bad_answers_in_a_row_turn_it_off_and_two_don_t() {
    let mut trust = Trust::default();
    for _ in 0..10 {
        assert!(!trust.heard(NONSENSE) && !trust.heard(NONSENSE), "two may be chance");
        assert!(!trust.heard(None), "it was never off");
    }
    assert!(!trust.heard(NONSENSE) && !trust.heard(NONSENSE));
    assert!(trust.heard(NONSENSE), "the third says so, once");
    assert_eq!(trust.off(), NONSENSE);
}

#[test]
fn it_rests_for_a_window_and_is_tried_again() {
    let mut trust = Trust::default();
    for _ in 0..BAD_MOST {
        trust.heard(NONSENSE);
    }
    let rests = (0..1000).take_while(|_| !trust.asks()).count();
    assert_eq!(rests, 60);
    assert!(!trust.heard(Some(Doubt::Absent)), "off as before, for another reason");
    assert_eq!(trust.off(), Some(Doubt::Absent));
    assert!(!trust.asks(), "and for another window");
    let again = (0..1000).take_while(|_| !trust.asks()).count();
    assert_eq!(again, 59);
    assert!(trust.heard(None), "one good answer is enough");
    assert!(trust.off().is_none() && trust.asks());
}

#[test]
fn what_says_nothing_of_the_model_is_not_held_against_it() {
    let fine = Ok(Risk::rising([0.1, 0.2, 0.3]));
    assert_eq!(Doubt::of(fine, SLOW), None);
    assert_eq!(Doubt::of(Err(Unknown::NoData), Duration::ZERO), None);
    assert_eq!(Doubt::of(Err(Unknown::NoModel), Duration::ZERO), None);
    let late = SLOW + Duration::from_millis(1);
    assert_eq!(Doubt::of(fine, late), Some(Doubt::Slow(late)));
    for unknown in [Unknown::NotFinite, Unknown::Shape, Unknown::Inference] {
        assert_eq!(Doubt::of(Err(unknown), Duration::ZERO), Some(Doubt::Silent(unknown)));
    }
    assert_eq!(Doubt::Slow(late).to_string(), "an inference took 26 ms, and may take 25");
}

#[test]
fn what_is_held_against_an_answer_has_names() {
    let doubts = [Doubt::Silent(Unknown::Shape), Doubt::Slow(SLOW), Doubt::Absent];
    assert_eq!(doubts.map(Doubt::as_str), ["shape", "slow", "absent"]);
}
