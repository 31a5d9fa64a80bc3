use super::*;

const READONLY: &str = "-READONLY You can't write against a read only replica.\r\n";
const OURS: &str = "-LOADING Foretoken found the server not serving: not executed, try again\r\n";

#[test]
fn what_was_turned_away_among_what_was_executed_is_told_in_our_words() {
    let others = "$-1\r\n>2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n";
    let script =
        "-READONLY of a script's own\r\n*1\r\n-READONLY You can't write against a read only replica.\r\n";
    let replies = format!("+OK\r\n{READONLY}{others}{READONLY}{script}:1\r\n");
    let told = in_our_words(&Bytes::from(replies));
    assert_eq!(told, format!("+OK\r\n{OURS}{others}{OURS}{script}:1\r\n"));
}
