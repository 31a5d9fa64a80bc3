//! `docs/commands.md` against the table.

use std::fmt::Write as _;

use super::*;
use Access::{Read, Write as Writes};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/commands.md");
const BEGIN: &str = "<!-- Written from the table of commands by a test: FORETOKEN_BLESS=1 cargo test -p foretoken-protocol-redis -->\n";
const END: &str = "<!-- End of what is written from the table -->\n";

/// A row of the page: what it is called, what belongs there.
type Kindred = (&'static str, fn(Row) -> bool);

const ROWS: &[Kindred] = &[
    ("reads", |row| row == Row::Is(Read, Kind::Plain)),
    ("writes", |row| row == Row::Is(Writes, Kind::Plain)),
    ("blocking", |row| matches!(row, Row::Is(_, Kind::Blocking) | Row::Stream(_))),
    ("waiting for replicas", |row| matches!(row, Row::Is(_, Kind::Wait))),
    ("transactions", |row| {
        matches!(row, Row::Is(_, Kind::Multi | Kind::Exec | Kind::Discard | Kind::Watch | Kind::Unwatch))
    }),
    ("who and where", |row| matches!(row, Row::Is(_, kind) if kind.is_setup() || kind == Kind::Reset)),
    ("scripts that are loaded", |row| matches!(row, Row::Is(_, Kind::Scripts))),
    ("subscriptions", |row| {
        matches!(row, Row::Is(_, Kind::Relay(Relayed::Subscribe(_) | Relayed::Unsubscribe(_))))
    }),
    ("monitoring and tracking", |row| {
        matches!(row, Row::Is(_, Kind::Relay(Relayed::Monitor | Relayed::Tracking | Relayed::Caching)))
    }),
    ("no replies one by one", |row| matches!(row, Row::Is(_, Kind::Relay(Relayed::Opaque)))),
    ("tied to one server", |row| matches!(row, Row::Is(_, Kind::Identity | Kind::Sticky))),
    ("the end", |row| matches!(row, Row::Is(_, Kind::Quit | Kind::Foreign))),
];

fn written() -> String {
    let mut text = String::from(BEGIN);
    let mut left: BTreeSet<_> =
        table::all().filter(|(_, entry, _)| entry.row != Row::Container).map(|(name, ..)| name).collect();
    for (title, belongs) in ROWS {
        let names: BTreeSet<_> =
            table::all().filter(|(_, entry, _)| belongs(entry.row)).map(|(name, ..)| name).collect();
        left.retain(|name| !names.contains(name));
        let names: Vec<_> = names.iter().map(|name| name.replace('|', " ")).collect();
        write!(text, "\n**{title}**: {}.\n", names.join(", ")).expect("a String takes everything");
    }
    assert_eq!(left, BTreeSet::new(), "each command has its place");
    text + "\n" + END
}

#[test]
fn the_page_names_every_command_and_says_what_its_kind_feels() {
    let page = std::fs::read_to_string(PAGE).expect("docs/commands.md");
    let (head, rest) = page.split_once(BEGIN).expect("where the lists begin");
    let (_, tail) = rest.split_once(END).expect("where they end");
    for (title, _) in ROWS {
        assert!(head.contains(&format!("| {title} |")), "what {title} feel");
    }
    let fresh = format!("{head}{}{tail}", written());
    if std::env::var_os("FORETOKEN_BLESS").is_some() {
        std::fs::write(PAGE, fresh).expect("docs/commands.md is ours");
    } else {
        assert!(
            page == fresh,
            "docs/commands.md is stale: FORETOKEN_BLESS=1 cargo test -p foretoken-protocol-redis"
        );
    }
}
