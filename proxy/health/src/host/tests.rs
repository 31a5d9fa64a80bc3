use proptest::prelude::*;

use super::*;

const MEMINFO: &str = "MemTotal:       16313092 kB\nMemFree:          271788 kB\nMemAvailable:    9876543 kB\nHugePages_Total:       0\n";

const PAGE: &str = r#"# HELP node_load1 1m load average.
# TYPE node_load1 gauge
node_load1 0.21
node_memory_MemAvailable_bytes 1.0113585152e+10
node_memory_MemTotal_bytes 1.6704606208e+10 1700000000000
node_filesystem_avail_bytes{device="/dev/vda1",fstype="ext4",mountpoint="/"} 5.4e+09
node_filesystem_avail_bytes{device="/dev/vdb",fstype="xfs",mountpoint="/var/lib/odd} \"name\""} 1.5e+09
node_filesystem_avail_bytes{device="tmpfs",fstype="tmpfs",mountpoint="/run"} 4096
node_filesystem_avail_bytes{device="/dev/vda15",fstype="vfat",mountpoint="/boot/efi"} 1024
node_load15 0.5
"#;

#[test]
fn meminfo_is_in_kibibytes() {
    let figures = parse_meminfo(MEMINFO);
    assert_eq!(figures.memory_total_bytes, Some(16_313_092 * 1024));
    assert_eq!(figures.memory_available_bytes, Some(9_876_543 * 1024));
    assert_eq!(parse_meminfo("MemAvailable: 99999999999999999999 kB"), HostFigures::default());
    assert_eq!(parse_meminfo("MemAvailable: 18446744073709551615 kB"), HostFigures::default());
}

#[test]
fn load_and_pressure_are_the_short_averages() {
    assert_eq!(parse_loadavg("0.42 0.30 0.25 1/123 4567\n"), Some(0.42));
    for odd in ["", "nan 1 2", "-1 0 0", "x"] {
        assert_eq!(parse_loadavg(odd), None, "{odd:?}");
    }
    let text = "some avg10=1.53 avg60=0.87 avg300=0.22 total=12345\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=1\n";
    assert_eq!(parse_pressure(text), Some(1.53));
    assert_eq!(parse_pressure("full avg10=9.00"), None);
}

#[test]
fn an_exporters_page_gives_the_fullest_disk_that_holds_data() {
    let figures = parse_node_exporter(PAGE);
    assert_eq!(figures.load1, Some(0.21));
    assert_eq!(figures.memory_available_bytes, Some(10_113_585_152));
    assert_eq!(figures.memory_total_bytes, Some(16_704_606_208), "a timestamp after the value is allowed");
    assert_eq!(figures.disk_available_bytes, Some(1_500_000_000));
}

#[test]
fn a_directory_is_on_the_file_system_with_the_longest_mount_point_above_it() {
    let page = r#"node_filesystem_size_bytes{fstype="ext4",mountpoint="/"} 100
node_filesystem_free_bytes{fstype="ext4",mountpoint="/"} 60
node_filesystem_avail_bytes{fstype="ext4",mountpoint="/"} 50
node_filesystem_size_bytes{fstype="xfs",mountpoint="/var/lib/redis"} 1000
node_filesystem_avail_bytes{fstype="xfs",mountpoint="/var/lib/redis"} 300
node_filesystem_avail_bytes{fstype="xfs",mountpoint="/var/lib/red"} 1
"#;
    let disk = |directory: &str| disk_of_exporter(page, "http://a/", Path::new(directory));
    let (data, root) = (disk("/var/lib/redis/7").unwrap(), disk("/srv").unwrap());
    assert_eq!((data.used_bytes, data.size_bytes), (700, 1000), "without free, available stands for it");
    assert_eq!((root.used_bytes, root.size_bytes), (40, 90), "what is kept for root is no room");
    assert_ne!(data.device, root.device);
    assert_ne!(disk_of_exporter(page, "http://b/", Path::new("/srv")).unwrap().device, root.device);
    assert_eq!(disk("/var/lib/red/x"), None, "a size that is not told is not guessed");
}

#[test]
fn a_directory_of_this_machine_tells_its_file_system() {
    let (here, dir) = (disk(Path::new("/proc/self/cwd")).unwrap(), std::env::current_dir().unwrap());
    assert!(here.used_bytes > 0 && here.used_bytes <= here.size_bytes);
    assert_eq!(here.device, disk(&dir).unwrap().device);
    assert_eq!(disk(Path::new("/nonexistent")), None);
}

#[test]
fn a_machine_that_tells_nothing_leaves_all_unknown() {
    assert_eq!(local(Path::new("/nonexistent")), HostFigures::default());
    assert!(local(Path::new("/proc")).memory_total_bytes.is_some());
}

#[test]
fn a_machine_tells_its_figures_in_four_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("pressure")).unwrap();
    for (name, text) in [
        ("meminfo", MEMINFO),
        ("loadavg", "0.42 0.30 0.25 1/123 4567\n"),
        ("pressure/memory", "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\n"),
        ("pressure/io", "some avg10=2.50 avg60=0.00 avg300=0.00 total=1\n"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let told = HostFigures {
        load1: Some(0.42),
        memory_pressure_percent: Some(1.5),
        io_pressure_percent: Some(2.5),
        ..parse_meminfo(MEMINFO)
    };
    assert_eq!(local(dir.path()), told);
}

fn is_sane(figure: Option<f64>) -> bool {
    figure.is_none_or(|figure| figure.is_finite() && figure >= 0.0)
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic_or_give_what_is_no_figure(text in "\\PC*") {
        prop_assert_eq!(parse_meminfo(&text).load1, None);
        for read in [parse_loadavg(&text), parse_pressure(&text), parse_node_exporter(&text).load1] {
            prop_assert!(is_sane(read));
        }
    }

    #[test]
    fn a_page_that_is_cut_or_altered_gives_sane_figures(cut in 0..PAGE.len(), at in 0..PAGE.len(), byte in any::<u8>()) {
        let mut bytes = PAGE.as_bytes()[..cut].to_vec();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        prop_assert!(is_sane(parse_node_exporter(&String::from_utf8_lossy(&bytes)).load1));
    }

    #[test]
    fn lines_of_a_page_in_pieces_never_panic(
        lines in prop::collection::vec("(node_load1|node_filesystem_avail_bytes|x)?[{ ]?[a-z=\",}]{0,12}[} ]?[-0-9.eEnai]{0,6}", 0..20),
    ) {
        prop_assert!(is_sane(parse_node_exporter(&lines.join("\n")).load1));
    }
}
