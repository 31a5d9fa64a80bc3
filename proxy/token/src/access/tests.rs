use super::*;

#[test]
fn sets_behave_like_sets_and_print_their_words_in_order() {
    let both = Access::QUEUE | Access::READ;
    assert_eq!((both.to_string(), format!("{both:?}")), ("read+queue".to_owned(), "read+queue".to_owned()));
    assert_eq!(both | Access::READ, both);
    assert_eq!(Access::NONE.to_string(), "nothing");
    assert!(both.contains(Access::READ) && both.contains(both) && both.contains(Access::NONE));
    assert!(!both.contains(Access::READ | Access::WRITE));
    assert_eq!(both & Access::READ, Access::READ);
    assert_eq!(both.without(Access::READ), Access::QUEUE);
    assert!(both.intersection(Access::WRITE).is_empty());
}

#[test]
fn every_word_leads_back_to_its_right_and_no_other_word_does() {
    for bits in 0..=15_u8 {
        let access = Access::try_from(bits).expect("four rights");
        let again = access
            .words()
            .fold(Access::NONE, |set, word| set | Access::from_word(word).expect("a word of our own"));
        assert_eq!(again, access);
        assert_eq!(u8::from(access), bits);
    }
    for word in ["", "Read", "reads", "all"] {
        assert_eq!(Access::from_word(word), None);
    }
}

#[test]
fn bits_of_no_right_are_refused() {
    assert_eq!((16..=255).filter_map(|bits| Access::try_from(bits).ok()).count(), 0);
}

#[test]
fn a_request_of_the_data_path_needs_the_right_of_its_name() {
    assert_eq!(Access::for_request(foretoken_types::Access::Read), Access::READ);
    assert_eq!(Access::for_request(foretoken_types::Access::Write), Access::WRITE);
}
