use std::fs;

use super::*;

/// A proc file system with one process: number 42, started 100 s after the machine, which is up for 160 s; 1.5 s of CPU.
fn proc(state: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["42", "self"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
    }
    let stat = format!("42 (redis) server) {state} 1 1 1 0 -1 0 0 0 0 0 100 50 0 0 20 0 5 0 10000 1 1");
    fs::write(dir.path().join("42/stat"), stat).unwrap();
    fs::write(dir.path().join("42/schedstat"), "16293408 2500000000 43\n").unwrap();
    fs::write(dir.path().join("uptime"), "160.00 300.00\n").unwrap();
    dir
}

fn home() -> Home {
    Home {
        process: Some(42),
        program: Some("redis) server".into()),
        uptime: Some(Duration::from_secs(60)),
        cpu_time: Some(Duration::from_millis(1_490)),
        directory: None,
    }
}

#[test]
fn a_process_is_the_stores_when_all_that_it_says_agrees() {
    let dir = proc("S");
    let found = Process::find(dir.path(), &home()).expect("all agrees");
    assert_eq!(found.is_stopped(dir.path()), Some(false));
    let figures = found.figures(dir.path()).unwrap();
    assert_eq!((figures.waited, figures.quota), (Some(Duration::from_millis(2_500)), None));
}

#[test]
fn in_doubt_it_is_not() {
    let dir = proc("S");
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let others = [
        ("another number", Home { process: Some(43), ..home() }),
        ("another program", Home { program: Some("valkey-server".into()), ..home() }),
        ("younger", Home { uptime: seconds(56), ..home() }),
        ("older", Home { uptime: seconds(64), ..home() }),
        ("less CPU time", Home { cpu_time: Some(Duration::from_millis(499)), ..home() }),
        ("more CPU time", Home { cpu_time: Some(Duration::from_millis(1_551)), ..home() }),
        ("untold age", Home { uptime: None, ..home() }),
        ("untold CPU time", Home { cpu_time: None, ..home() }),
        ("untold", Home::default()),
    ];
    for (what, other) in others {
        assert_eq!(Process::find(dir.path(), &other), None, "{what}");
    }
    assert!(Process::find(dir.path(), &Home { uptime: seconds(57), ..home() }).is_some());
    assert!(Process::find(dir.path(), &Home { uptime: seconds(63), ..home() }).is_some());
}

#[test]
fn the_kernel_keeps_fifteen_characters_of_a_name() {
    let dir = proc("S");
    let stat = fs::read_to_string(dir.path().join("42/stat")).unwrap();
    fs::write(dir.path().join("42/stat"), stat.replace("redis) server", "a-server-of-a-l")).unwrap();
    let long = Home { program: Some("a-server-of-a-long-name".into()), ..home() };
    assert!(Process::find(dir.path(), &long).is_some());
}

#[test]
fn a_stopped_process_and_one_that_ended_are_seen() {
    let dir = proc("T");
    let found = Process::find(dir.path(), &home()).unwrap();
    assert_eq!(found.is_stopped(dir.path()), Some(true));
    let stat = fs::read_to_string(dir.path().join("42/stat")).unwrap();
    fs::write(dir.path().join("42/stat"), stat.replace(" 10000 ", " 15000 ")).unwrap();
    assert_eq!(found.is_stopped(dir.path()), None, "its number was given again");
    assert_eq!(found.figures(dir.path()), None);
    fs::remove_dir_all(dir.path().join("42")).unwrap();
    assert_eq!(found.is_stopped(dir.path()), None);
}

/// Writes files below `at`.
fn group(at: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(at).unwrap();
    for (name, text) in files {
        fs::write(at.join(name), text).unwrap();
    }
}

fn quota_with(dir: &Path, groups: &str, mounts: &[String]) -> Option<Quota> {
    fs::write(dir.join("42/cgroup"), groups).unwrap();
    fs::write(dir.join("self/mountinfo"), mounts.join("\n")).unwrap();
    Process::find(dir, &home()).unwrap().figures(dir).unwrap().quota
}

#[test]
fn the_tightest_quota_on_the_way_to_the_root_counts_in_version_two() {
    let (dir, tree) = (proc("S"), tempfile::tempdir().unwrap());
    let at = tree.path().to_str().unwrap();
    group(tree.path(), &[("cpu.stat", "usage_usec 1\n")]);
    group(
        &tree.path().join("pod"),
        &[("cpu.max", "25000 100000\n"), ("cpu.stat", "usage_usec 9\nthrottled_usec 7000\n")],
    );
    group(&tree.path().join("pod/redis"), &[("cpu.max", "max 100000\n"), ("cpu.stat", "throttled_usec 0\n")]);
    let mounts = [format!("41 31 0:38 / {at} rw - cgroup2 cgroup2 rw,nsdelegate")];
    let quota = quota_with(dir.path(), "1:cpu:/elsewhere\n0::/pod/redis\n", &mounts).expect("there is one");
    assert_eq!((quota.cores, quota.throttled), (0.25, Some(Duration::from_millis(7))));
    let sibling = quota_with(dir.path(), "0::/pod/other\n", &mounts).expect("the one above counts");
    assert_eq!(sibling.group, quota.group, "the same limit is recognised");
    assert_eq!(quota_with(dir.path(), "0::/\n", &mounts), None, "no quota at the root");
    assert_eq!(quota_with(dir.path(), "0::/../outside\n", &mounts), None, "outside of what can be seen");
    // A container sees its own group at the mount point.
    let mounts = [format!("41 31 0:38 /pod {at}/pod rw - cgroup2 cgroup2 rw")];
    assert_eq!(quota_with(dir.path(), "0::/pod/redis\n", &mounts).map(|quota| quota.cores), Some(0.25));
}

#[test]
fn of_two_quotas_alike_the_one_nearest_to_the_process_is_told() {
    let (dir, tree) = (proc("S"), tempfile::tempdir().unwrap());
    let at = tree.path().to_str().unwrap();
    for (below, throttled) in [("pod", "throttled_usec 7000\n"), ("pod/redis", "throttled_usec 3000\n")] {
        group(&tree.path().join(below), &[("cpu.max", "25000 100000\n"), ("cpu.stat", throttled)]);
    }
    let mounts = [format!("41 31 0:38 / {at} rw - cgroup2 cgroup2 rw")];
    let quota = quota_with(dir.path(), "0::/pod/redis\n", &mounts).expect("there are two");
    assert_eq!(quota.throttled, Some(Duration::from_millis(3)));
}

#[test]
fn a_quota_is_read_where_the_group_is_and_nowhere_else() {
    let (dir, tree) = (proc("S"), tempfile::tempdir().unwrap());
    let at = tree.path().to_str().unwrap();
    let quota = |cores: &str| -> [(&'static str, String); 1] { [("cpu.max", format!("{cores} 100000\n"))] };
    let make = |name: &str, cores: &str| {
        let [(file, text)] = quota(cores);
        group(&tree.path().join(name), &[(file, &text)]);
    };
    for (outer, inner) in [("20000", "10000"), ("10000", "20000")] {
        make("pod", outer);
        make("pod/redis", inner);
        for mounts in [
            [format!("41 31 0:38 / {at} rw - cgroup2 cgroup2 rw")],
            [format!("41 31 0:38 /pod {at}/pod rw - cgroup2 cgroup2 rw")],
        ] {
            let found = quota_with(dir.path(), "0::/pod/redis\n", &mounts).map(|quota| quota.cores);
            assert_eq!(found, Some(0.1), "the tighter of {outer} and {inner}, {mounts:?}");
        }
    }
    let mounts = [format!("41 31 0:38 / {at} rw - cgroup2 cgroup2 rw")];
    make("other", "10000");
    let one = quota_with(dir.path(), "0::/other\n", &mounts).expect("there is one");
    let two = quota_with(dir.path(), "0::/pod\n", &mounts).expect("there is one");
    assert_ne!(one.group, two.group, "another group, another limit");
    for none in ["0 100000", "10000 0", "max 100000"] {
        group(&tree.path().join("other"), &[("cpu.max", none)]);
        assert_eq!(quota_with(dir.path(), "0::/other\n", &mounts), None, "{none}");
    }
    make("outside", "10000");
    let inside = [format!("41 31 0:38 / {at}/pod rw - cgroup2 cgroup2 rw")];
    assert_eq!(quota_with(dir.path(), "0::/../outside\n", &inside), None);
}

#[test]
fn a_process_stays_the_one_that_was_recognised_and_has_a_directory_that_can_be_reached() {
    let dir = proc("S");
    let found = Process::find(dir.path(), &home()).unwrap();
    assert!(found.is_still(&home()));
    assert!(!found.is_still(&Home { process: Some(43), ..home() }) && !found.is_still(&Home::default()));

    // Where it stands can't be seen: then its word counts, if it counts processes as we do.
    let told = Some(Path::new("/data"));
    assert_eq!(found.directory(dir.path(), told), None, "nothing is known of how it counts");
    for (status, told, directory) in [
        ("Name:\tx\nNSpid:\t42\n", told, told),
        ("NSpid:\t42\n", Some(Path::new("data")), None),
        ("NSpid:\t42\n", None, None),
        ("NSpid:\t42\t1\n", told, None),
    ] {
        fs::write(dir.path().join("42/status"), status).unwrap();
        assert_eq!(found.directory(dir.path(), told).as_deref(), directory, "{status:?} {told:?}");
    }
    fs::create_dir(dir.path().join("42/cwd")).unwrap();
    assert_eq!(found.directory(dir.path(), told), Some(dir.path().join("42/cwd")));
}

#[test]
fn version_one_says_minus_one_where_there_is_no_quota() {
    let (dir, tree) = (proc("S"), tempfile::tempdir().unwrap());
    let at = tree.path().to_str().unwrap();
    let period = ("cpu.cfs_period_us", "100000\n");
    group(&tree.path().join("a"), &[("cpu.cfs_quota_us", "-1\n"), period]);
    group(
        &tree.path().join("b"),
        &[
            ("cpu.cfs_quota_us", "150000\n"),
            period,
            ("cpu.stat", "nr_periods 3\nnr_throttled 2\nthrottled_time 5000000\n"),
        ],
    );
    let mounts = [format!("32 31 0:29 / {at} rw - cgroup cgroup rw,cpu,cpuacct")];
    assert_eq!(quota_with(dir.path(), "1:cpu,cpuacct:/a\n0::/\n", &mounts), None);
    let quota = quota_with(dir.path(), "1:cpu,cpuacct:/b\n0::/\n", &mounts).expect("there is one");
    assert_eq!((quota.cores, quota.throttled), (1.5, Some(Duration::from_millis(5))));
    let alone = [format!("32 31 0:29 / {at} rw - cgroup cgroup cpu")];
    assert_eq!(quota_with(dir.path(), "1:cpu:/b\n", &alone).map(|quota| quota.cores), Some(1.5));
    let other = [format!("32 31 0:29 / {at} rw - cgroup cgroup rw,cpuset")];
    assert_eq!(quota_with(dir.path(), "1:cpuset:/b\n", &other), None, "another controller");
}

#[test]
fn files_that_are_no_such_files_tell_nothing() {
    let dir = proc("S");
    for text in [
        "",
        ")",
        "42 (a",
        "42 (a) ",
        "42 (a) S 1 2 3",
        "(redis) server) S x x x x x x x x x x x x x x x x x x x x",
    ] {
        fs::write(dir.path().join("42/stat"), text).unwrap();
        assert_eq!(Process::find(dir.path(), &home()), None, "{text:?}");
    }
    assert_eq!(waited("1"), None);
    assert!(Hierarchy::parse("31 23").is_none());
    assert!(Hierarchy::parse("31 23 0:1 / /a - cgroup").is_none());
}

#[test]
fn this_very_process_is_found_in_the_real_one_and_stands_in_its_directory() {
    let real = Path::new("/proc");
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let stat = Stat::parse(&stat).unwrap();
    let up = fs::read_to_string("/proc/uptime").unwrap();
    let up = Duration::from_secs_f64(up.split(' ').next().unwrap().parse().unwrap());
    let me = Home {
        process: Some(std::process::id()),
        program: Some(stat.name.to_owned()),
        uptime: Some(up - ticks(stat.started)),
        cpu_time: Some(stat.cpu_time),
        directory: None,
    };
    let found = Process::find(real, &me).expect("it is here");
    assert_eq!(found.is_stopped(real), Some(false));
    assert!(found.figures(real).is_some());
    let directory = found.directory(real, None).expect("its own can be seen");
    assert_eq!(fs::canonicalize(directory).unwrap(), std::env::current_dir().unwrap());
}
