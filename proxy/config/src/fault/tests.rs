use super::*;

fn fault(line: Option<usize>, key: &str) -> Fault {
    Fault { line, key: key.to_owned(), problem: "is wrong".to_owned(), remedy: "mend it".to_owned() }
}

#[test]
fn faults_are_told_once_each_in_the_order_of_lines() {
    assert_eq!(Faults::of("f", Vec::new()), None);
    let faults = vec![fault(Some(7), "b"), fault(None, ""), fault(Some(2), "a"), fault(Some(2), "a")];
    let faults = Faults::of("f", faults).expect("there are some");
    assert_eq!(
        faults.to_string(),
        "f: is wrong; mend it\nf:2: a: is wrong; mend it\nf:7: b: is wrong; mend it"
    );
    assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [None, Some(2), Some(7)]);
    let without = faults.without_lines();
    assert!(without.iter().all(|fault| fault.line.is_none()));
}

#[test]
fn more_than_anybody_reads_is_counted() {
    let many = |count: usize| {
        let faults = (1..=count).map(|line| fault(Some(line), "a")).collect();
        Faults::of("f", faults).expect("there are some")
    };
    assert_eq!(many(100).to_string().lines().count(), 100);
    assert_eq!(many(102).iter().count(), 100);
    assert_eq!(many(102).to_string().lines().last(), Some("f: 2 more faults"));
}
