use super::*;

const S: Duration = Duration::from_secs(1);

fn store(keys: &str, blocks: &[(&str, &str)]) -> Store {
    let blocks = blocks
        .iter()
        .map(|(name, keys)| format!("[[store.block]]\nname = \"{name}\"\nprefix = \"{name}:\"\n{keys}\n"));
    let text = format!(
        "region = \"eu\"\n[[store]]\nname = \"a\"\nprotocol = \"redis\"\nlisten = [\"127.0.0.1:7000\"]\n{keys}\n\
         [[store.endpoint]]\nname = \"p\"\nurl = \"redis://h:1\"\nrole = \"primary\"\n{}",
        blocks.collect::<String>()
    );
    Config::parse(&text, "f").unwrap_or_else(|faults| panic!("{faults}")).store.swap_remove(0)
}

#[test]
fn a_block_says_what_it_says_and_has_the_rest_from_its_store() {
    let stale = |lag| Policy { stale_reads: Some(lag), ..Policy::PRIMARY };
    let narrow = "reads = \"mirror-when-held\"\nread_lag_max = \"1s\"";
    let bare = store("", &[("x", ""), ("y", narrow), ("z", "writes_when_held = \"refuse\"")]);
    let wait = Policy::PRIMARY;
    let refuse = Policy { queue_writes: false, ..wait };
    assert_eq!(
        policies(&bare, &bare.block),
        Policies { rest: wait, named: vec![wait, stale(S), refuse] },
        "the defaults let everything wait"
    );
    assert_eq!(read_lags(&bare), [S, S * 5]);

    let open = store(
        "reads = \"mirror-when-held\"\nread_lag_max = \"9s\"\nwrites_when_held = \"refuse\"",
        &[("x", ""), ("y", "reads = \"primary\""), ("z", "writes_when_held = \"queue\"")],
    );
    let (rest, waits) = (Policy { queue_writes: false, ..stale(S * 9) }, refuse);
    assert_eq!(policies(&open, &open.block), Policies { rest, named: vec![rest, waits, stale(S * 9)] });
    assert_eq!(read_lags(&open), [S * 9]);
}

#[test]
fn a_reload_keeps_the_blocks_that_the_data_path_knows_in_their_order() {
    let started = store("", &[("x", "reads = \"mirror-when-held\""), ("y", "")]);
    let new = store("", &[("new", ""), ("y", "writes_when_held = \"refuse\"")]);
    let named = policies(&new, &started.block).named;
    assert_eq!(
        named,
        [
            Policy { stale_reads: Some(S * 5), ..Policy::PRIMARY },
            Policy { queue_writes: false, ..Policy::PRIMARY }
        ]
    );
}

#[test]
fn reads_go_where_store_and_block_say() {
    let spread = store(
        "reads = \"mirror\"\nread_your_writes = true",
        &[
            ("near", "reads = \"nearest\""),
            ("any", "read_your_writes = false"),
            ("home", "reads = \"primary\""),
        ],
    );
    let rest =
        Policy { read_from: ReadFrom::Mirror, own_writes: true, stale_reads: Some(S * 5), ..Policy::PRIMARY };
    let named = vec![
        Policy { read_from: ReadFrom::Nearest, ..rest },
        Policy { own_writes: false, ..rest },
        Policy { own_writes: true, ..Policy::PRIMARY },
    ];
    assert_eq!(policies(&spread, &spread.block), Policies { rest, named });
}
