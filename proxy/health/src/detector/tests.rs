//! The scenarios drive a detector as the control loop does: a probe each 250 ms that may take 500 ms, a fresh connection
//! after a failure, samples each 100 ms, and the verdict whenever `next_change` says so.

use foretoken_types::{Epoch, Persistence, Position, Role};
use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> BootInstant {
    BootInstant::from_nanos(1_000_000_000_000 + ms * 1_000_000)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn healthy() -> Observation {
    Observation {
        keys: 0,
        role: Role::Primary,
        run_id: "r".to_owned(),
        history: "h".to_owned(),
        previous_history: None,
        position: Position(1),
        writable: true,
        refuses_writes: None,
        loading: false,
        persistence: Persistence::Log,
        replicas: 1,
        marker: Some(Epoch(1)),
        owner: None,
        followers: 0,
        managed_by: None,
    }
}

fn loading() -> Observation {
    Observation { loading: true, writable: false, ..healthy() }
}

fn detector() -> Detector {
    Detector::new("a".into(), DetectParams::default())
}

/// A sample of `answered` replies, each after 1 ms, and the oldest request outstanding.
fn sample(answered: u32, oldest: Option<Duration>) -> Sample {
    let mut sample = Sample::empty("s".into(), "a".into());
    sample.answered = u64::from(answered);
    sample.latency.record(ms(1), answered);
    sample.in_flight = u64::from(oldest.is_some());
    sample.oldest_unanswered = oldest;
    sample
}

fn is_suspect(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Suspect { .. })
}

fn is_down(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Down { .. })
}

/// A store as the sidecar meets it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Store {
    Serves,
    /// `SIGSTOP`: the kernel accepts, nobody answers.
    Stopped,
    /// `kill -9`: refused, and the mirrors notice at once.
    Killed,
    /// Refused, but mirrors keep their link: something between us and it.
    CutOff,
    /// No answer to anything, not even to a connection attempt.
    Vanished,
    Loads,
    RefusesCredentials,
    /// Answers everything with `BUSY`.
    Busy,
    /// Its name does not resolve; open connections go on.
    Nameless,
}

struct World {
    detector: Detector,
    mirrors: Vec<EndpointId>,
    traffic: bool,
    /// A request that waits for something else than the server.
    blocked_since: Option<u64>,
    probe: Option<u64>,
    next_probe: u64,
    frozen_since: Option<u64>,
    suspected: Option<u64>,
    down: Option<u64>,
    up_again: Option<u64>,
}

impl World {
    fn new(mirrors: usize, traffic: bool) -> Self {
        Self {
            detector: detector(),
            mirrors: (0..mirrors).map(|k| EndpointId::new(format!("m{k}"))).collect(),
            traffic,
            blocked_since: None,
            probe: None,
            next_probe: 0,
            frozen_since: None,
            suspected: None,
            down: None,
            up_again: None,
        }
    }

    /// Runs from `from` to `to` (in ms), asking `store` what the store is like at each millisecond.
    fn run(&mut self, from: u64, to: u64, store: impl Fn(u64) -> Store) -> &mut Self {
        for t in from..to {
            let (now, like) = (at(t), store(t));
            let silent = matches!(like, Store::Stopped | Store::Vanished);
            self.frozen_since = if silent { self.frozen_since.or(Some(t)) } else { None };
            self.looks(t, now, like);
            if t % 100 == 7 {
                self.report(t, now, like);
            }
            if t % 250 == 11 {
                for mirror in &self.mirrors {
                    let link =
                        if like == Store::Killed { Link::Down } else { Link::Up { silent_for: ms(0) } };
                    self.detector.mirror_link(mirror, Some(link), now);
                }
            }
            if t % 10 == 0 || self.detector.next_change(now).is_some_and(|next| next <= at(t + 1)) {
                let verdict = self.detector.verdict(now);
                match verdict {
                    Verdict::Up if self.suspected.is_some() => self.up_again = self.up_again.or(Some(t)),
                    Verdict::Up => {}
                    Verdict::Suspect { .. } => self.suspected = self.suspected.or(Some(t)),
                    Verdict::Down { .. } => self.down = self.down.or(Some(t)),
                }
            }
        }
        self
    }

    fn looks(&mut self, t: u64, now: BootInstant, like: Store) {
        if self.probe.is_none() && t >= self.next_probe {
            self.probe = Some(t);
            self.detector.probe_started(now);
        }
        let Some(started) = self.probe else { return };
        let took = t - started;
        let result = match like {
            Store::Stopped | Store::Vanished if took >= 500 => Some(Err(Failure::Timeout)),
            Store::Stopped | Store::Vanished => None,
            _ if took < 1 => None,
            Store::Serves => Some(Ok(healthy())),
            Store::Loads => Some(Ok(loading())),
            Store::Killed | Store::CutOff => Some(Err(Failure::Refused)),
            Store::RefusesCredentials => Some(Err(Failure::Credentials)),
            Store::Busy => Some(Err(Failure::NotServing)),
            Store::Nameless => Some(Err(Failure::Other)),
        };
        let Some(result) = result else { return };
        self.detector.looked(result.as_ref().map_err(|failure| *failure), ms(took), now);
        if result.is_err() {
            let reach = match like {
                Store::Killed | Store::CutOff => Err(Failure::Refused),
                Store::Vanished => Err(Failure::Timeout),
                Store::Nameless => Err(Failure::Other),
                _ => Ok(()),
            };
            self.detector.reached(reach, now);
        }
        self.probe = None;
        self.next_probe = (started + 250).max(t + 1);
    }

    fn report(&mut self, t: u64, now: BootInstant, like: Store) {
        let blocked = self.blocked_since.map(|since| ms(t - since));
        if !self.traffic && blocked.is_none() {
            return;
        }
        let oldest = self.frozen_since.filter(|_| self.traffic).map(|since| ms(t - since)).max(blocked);
        let mut sample = sample(if self.traffic { 5000 } else { 0 }, oldest);
        match like {
            Store::Serves | Store::RefusesCredentials | Store::Nameless => {}
            Store::Loads => sample.errors[0] = sample.answered,
            Store::Busy => sample.errors[1] = sample.answered,
            _ => {
                (sample.answered, sample.latency) = (0, Default::default());
                sample.resets = u64::from(matches!(like, Store::Killed | Store::CutOff));
            }
        }
        self.detector.sample(&sample, now);
    }
}

/// Healthy until `event`, then `like`.
fn becomes(event: u64, like: Store) -> impl Fn(u64) -> Store {
    move |t| if t < event { Store::Serves } else { like }
}

#[test]
fn a_killed_primary_is_down_within_300_ms() {
    for traffic in [false, true] {
        for mirrors in [0, 1, 3] {
            for event in (3000..3260).step_by(13) {
                let mut world = World::new(mirrors, traffic);
                world.run(0, event + 400, becomes(event, Store::Killed));
                // A mirror's word comes up to 250 ms later here; the control loop asks the mirrors at once after a refusal.
                let most = if mirrors == 0 { 300 } else { 520 };
                assert!(world.down.is_none_or(|down| down >= event));
                let world = world.run(event + 400, event + 600, |_| Store::Killed);
                let took = world.down.map(|down| down - event);
                assert!(took.is_some_and(|took| took <= most), "{traffic} {mirrors} {event}: {took:?}");
            }
        }
    }
}

#[test]
fn a_stopped_primary_is_down_within_1300_ms_and_not_before_suspicion_has_lasted() {
    for traffic in [false, true] {
        for event in (3000..3260).step_by(7) {
            let mut world = World::new(2, traffic);
            world.run(0, event + 2500, becomes(event, Store::Stopped));
            let (suspected, down) = (world.suspected.unwrap_or_default(), world.down.unwrap_or_default());
            assert!(suspected >= event + 100, "{traffic} {event}: suspect after {}", suspected - event);
            assert!(down >= suspected + 700, "{traffic} {event}");
            assert!(down <= event + 1310, "{traffic} {event}: down after {}", down - event);
        }
    }
}

#[test]
fn what_vanished_or_is_cut_off_is_down_after_confirmation() {
    for like in [Store::Vanished, Store::CutOff] {
        for traffic in [false, true] {
            let mut world = World::new(2, traffic);
            world.run(0, 6000, becomes(3000, like));
            let (suspected, down) = (world.suspected.unwrap_or_default(), world.down.unwrap_or_default());
            assert!(
                suspected >= 3000 && down >= suspected + 700 && down < 4400,
                "{like:?} {suspected} {down}"
            );
        }
    }
}

#[test]
fn a_busy_store_with_hiccups_of_200_ms_is_never_suspected() {
    // With a client in `BLPOP 0` besides, whose request is the oldest all the time.
    for blocked_since in [None, Some(0)] {
        for traffic in [true, false] {
            for period in [400, 730, 1010] {
                let mut world = World::new(1, traffic);
                world.blocked_since = blocked_since;
                let store = |t| if t > 2000 && t % period < 200 { Store::Stopped } else { Store::Serves };
                world.run(0, 30_000, store);
                assert_eq!(world.suspected, None, "{blocked_since:?} {traffic} {period}");
            }
        }
    }
}

#[test]
fn a_request_that_is_stuck_beside_good_probes_is_no_evidence() {
    let mut world = World::new(1, false);
    world.blocked_since = Some(0);
    world.run(0, 20_000, |_| Store::Serves);
    assert_eq!(world.suspected, None);
}

#[test]
fn what_answers_is_never_down_though_it_refuses() {
    for like in [Store::RefusesCredentials, Store::Busy] {
        for traffic in [false, true] {
            let mut world = World::new(1, traffic);
            world.run(0, 15_000, becomes(1000, like));
            assert_eq!((world.suspected, world.down), (None, None), "{like:?} {traffic}");
        }
    }
}

#[test]
fn a_store_that_loads_is_suspect_and_then_down() {
    let mut world = World::new(1, true);
    world.run(0, 5000, becomes(3000, Store::Loads));
    assert!(world.suspected.is_some_and(|t| (3000..3700).contains(&t)), "{:?}", world.suspected);
    assert!(world.down.is_some_and(|t| t < 4500));
    let mut short = World::new(1, true);
    short.run(0, 5000, |t| if (3000..3200).contains(&t) { Store::Loads } else { Store::Serves });
    assert_eq!(short.down, None);
}

#[test]
fn a_name_that_does_not_resolve_is_not_down_by_itself() {
    let mut with_traffic = World::new(1, true);
    with_traffic.run(0, 10_000, becomes(3000, Store::Nameless));
    assert_eq!(with_traffic.suspected, None, "open connections serve on");
    let mut without = World::new(1, false);
    without.run(0, 10_000, becomes(3000, Store::Nameless));
    assert!(without.suspected.is_some() && without.down.is_none());
    for t in 10_000..10_010 {
        without.detector.mirror_link(&"m0".into(), Some(Link::Down), at(t));
    }
    assert!(is_down(without.detector.verdict(at(10_010))), "the mirror has lost it too");
}

#[test]
fn it_is_up_again_only_after_two_good_looks() {
    let mut detector = detector();
    let good = healthy();
    for t in [0, 1] {
        detector.looked(Err(Failure::Refused), ms(1), at(t));
        detector.reached(Err(Failure::Refused), at(t));
    }
    assert!(is_down(detector.verdict(at(2))));
    detector.looked(Ok(&good), ms(1), at(250));
    assert!(is_down(detector.verdict(at(250))));
    detector.looked(Err(Failure::Timeout), ms(1), at(500));
    detector.looked(Ok(&good), ms(1), at(750));
    assert!(is_down(detector.verdict(at(750))), "not in a row");
    detector.looked(Ok(&good), ms(1), at(1000));
    assert_eq!(detector.verdict(at(1000)), Verdict::Up);
}

#[test]
fn one_good_look_starts_the_confirmation_anew() {
    let mut world = World::new(1, false);
    world.run(0, 10_000, |t| match t {
        0..3000 => Store::Serves,
        // Answers for a moment in each second, as a machine in a swap storm does.
        t if t % 1000 < 20 => Store::Serves,
        _ => Store::Stopped,
    });
    assert!(world.suspected.is_some());
    assert_eq!(world.down, None);
}

#[test]
fn time_for_which_this_process_was_stopped_confirms_nothing() {
    let mut detector = detector();
    let good = healthy();
    detector.looked(Ok(&good), ms(1), at(0));
    detector.probe_started(at(250));
    let hour = 3_600_000;
    assert!(is_suspect(detector.verdict(at(hour))), "one long gap is not seven short ones");
    let mut asked = at(hour);
    for _ in 0..3 {
        asked = detector.next_change(asked).unwrap();
    }
    assert!(is_suspect(detector.verdict(at(2 * hour))));
    detector.looked(Ok(&good), ms(1), at(2 * hour + 1));
    detector.looked(Ok(&good), ms(1), at(2 * hour + 251));
    assert_eq!(detector.verdict(at(2 * hour + 251)), Verdict::Up);
}

#[test]
fn whoever_asks_when_told_to_hears_of_suspicion_and_of_its_confirmation() {
    let mut detector = detector();
    let good = healthy();
    detector.looked(Ok(&good), ms(1), at(0));
    assert_eq!(detector.next_change(at(0)), None);
    detector.probe_started(at(250));
    let mut now = detector.next_change(at(250)).unwrap();
    assert_eq!(now, at(600));
    assert!(is_suspect(detector.verdict(now)));
    while is_suspect(detector.verdict(now)) {
        let next = detector.next_change(now).unwrap();
        assert!(next > now, "it is still to come");
        now = next;
    }
    assert!(is_down(detector.verdict(now)));
    assert_eq!(now, at(1300));
    assert_eq!(detector.next_change(now), None);
}

#[test]
fn refused_and_link_down_needs_every_mirror_that_was_heard_lately() {
    let (down, up) = (Some(Link::Down), Some(Link::Up { silent_for: ms(0) }));
    // Words of the mirrors, whether one refused look is enough, and then whether a refused connection besides is.
    let table: [(&[Option<Link>], bool, bool); 6] = [
        (&[down, down], true, true),
        (&[down, up], false, false),
        (&[down, Some(Link::Synchronizing)], false, false),
        (&[down, None], true, true),
        (&[None, None], false, true),
        (&[], false, true),
    ];
    for (words, first, second) in table {
        let mut detector = detector();
        for (k, word) in words.iter().enumerate() {
            detector.mirror_link(&EndpointId::new(format!("m{k}")), *word, at(0));
        }
        detector.looked(Err(Failure::Refused), ms(1), at(10));
        assert_eq!(is_down(detector.verdict(at(10))), first, "{words:?}");
        detector.reached(Err(Failure::Refused), at(11));
        assert_eq!(is_down(detector.verdict(at(11))), second, "{words:?}");
    }
    let mut stale = detector();
    stale.mirror_link(&"m".into(), Some(Link::Up { silent_for: ms(0) }), at(0));
    stale.looked(Err(Failure::Refused), ms(1), at(1001));
    stale.reached(Err(Failure::Refused), at(1001));
    assert!(is_down(stale.verdict(at(1001))), "a word that is too old is none");
}

#[test]
fn connections_that_break_for_clients_alone_are_not_suspect() {
    let mut world = World::new(1, false);
    world.run(0, 2000, |_| Store::Serves);
    for k in 0..20 {
        let mut lost = sample(0, None);
        (lost.resets, lost.connect_failures) = (50, 50);
        world.detector.sample(&lost, at(2000 + k * 100));
        assert_eq!(world.detector.verdict(at(2000 + k * 100)), Verdict::Up, "one signal is not two");
    }
}

#[test]
fn our_own_lack_of_descriptors_is_held_against_nobody_and_excuses_nobody() {
    let mut detector = detector();
    for k in 0..20 {
        let t = k * 250;
        detector.probe_started(at(t));
        detector.looked(Err(Failure::OpenFiles), ms(1), at(t + 1));
        detector.reached(Err(Failure::OpenFiles), at(t + 2));
        assert_eq!(detector.verdict(at(t + 249)), Verdict::Up, "after {t} ms");
    }
    detector.looked(Err(Failure::Refused), ms(1), at(5000));
    detector.looked(Err(Failure::OpenFiles), ms(1), at(5100));
    detector.reached(Err(Failure::OpenFiles), at(5101));
    detector.reached(Err(Failure::Refused), at(5200));
    assert!(is_down(detector.verdict(at(5200))), "a refusal before it stands");
}

#[test]
fn what_an_abandoned_probe_would_have_said_is_not_held_against_the_store() {
    let mut detector = detector();
    detector.probe_started(at(0));
    detector.probe_abandoned(at(100));
    assert_eq!(detector.verdict(at(5000)), Verdict::Up);
    detector.probe_started(at(5000));
    detector.looked(Err(Failure::Timeout), ms(500), at(5500));
    detector.probe_started(at(5500));
    detector.probe_abandoned(at(5600));
    assert!(is_suspect(detector.verdict(at(5600))), "a failure before it stands");
}

#[test]
fn samples_of_other_endpoints_say_nothing() {
    let mut detector = detector();
    let mut other = sample(0, Some(ms(60_000)));
    other.endpoint = "b".into();
    detector.sample(&other, at(0));
    assert_eq!(detector.verdict(at(0)), Verdict::Up);
    detector.sample(&sample(0, Some(ms(501))), at(0));
    assert!(is_suspect(detector.verdict(at(0))));
}

#[test]
fn the_threshold_grows_with_the_usual_latency_and_has_a_bound() {
    for (usual, quiet, suspect) in [(1, 500, 501), (200, 1000, 1001), (5000, 5000, 5001)] {
        for (oldest, expected) in [(quiet, false), (suspect, true)] {
            let mut detector = detector();
            let mut slow = sample(0, None);
            slow.answered = 1000;
            slow.latency.record(ms(usual), 1000);
            detector.sample(&slow, at(0));
            detector.sample(&sample(0, Some(ms(oldest))), at(100));
            assert_eq!(is_suspect(detector.verdict(at(100))), expected, "{usual} {oldest}");
        }
    }
}

#[test]
fn other_thresholds_count_from_the_next_word_on() {
    let mut detector = detector();
    detector.configure(DetectParams { oldest_unanswered: ms(100), ..DetectParams::default() });
    detector.sample(&sample(0, Some(ms(100))), at(0));
    assert_eq!(detector.verdict(at(0)), Verdict::Up);
    detector.sample(&sample(0, Some(ms(101))), at(0));
    assert!(is_suspect(detector.verdict(at(0))));
}

#[test]
fn what_traffic_met_is_in_the_window() {
    let mut detector = detector();
    detector.sample(&sample(10, None), at(0));
    assert_eq!(detector.window().figures(at(0)).answered, 10);
}

#[test]
fn a_look_that_failed_was_unanswered_since_it_began() {
    let mut detector = detector();
    detector.looked(Err(Failure::Timeout), ms(500), at(500));
    let suspect = Verdict::Suspect { since: at(500), evidence: Evidence::ProbeUnanswered(ms(500)) };
    assert_eq!(detector.verdict(at(500)), suspect);
}

#[test]
fn a_sample_without_a_good_reply_fails_by_whatever_went_wrong() {
    let unavailable =
        ErrorClass::ALL.iter().position(|class| *class == ErrorClass::Unavailable).expect("a class");
    type Change<'a> = &'a dyn Fn(&mut Sample);
    let rows: [(Change<'_>, bool); 7] = [
        (&|sample| sample.connect_failures = 1, true),
        (&|sample| sample.resets = 1, true),
        (&|sample| (sample.answered, sample.errors[unavailable]) = (1, 1), true),
        (&|sample| (sample.answered, sample.errors[unavailable]) = (2, 1), false),
        (&|sample| (sample.answered, sample.errors[unavailable + 1]) = (1, 1), false),
        (&|sample| (sample.answered, sample.resets) = (1, 1), false),
        (&|_| {}, false),
    ];
    for (place, (change, fails)) in rows.into_iter().enumerate() {
        let mut detector = detector();
        for k in 0..2 {
            let mut sample = sample(0, None);
            change(&mut sample);
            detector.sample(&sample, at(k));
        }
        // Two results of one signal, and one of another.
        detector.reached(Err(Failure::Timeout), at(2));
        assert_eq!(is_suspect(detector.verdict(at(2))), fails, "row {place}");
    }
}

#[test]
fn only_so_many_mirrors_and_looks_are_remembered() {
    let mut detector = detector();
    for mirror in 0..=MIRRORS_MOST {
        detector.mirror_link(&EndpointId::new(format!("m{mirror}")), Some(Link::Down), at(0));
    }
    assert_eq!(detector.mirrors.len(), MIRRORS_MOST);
    let good = healthy();
    for (looks, remembered) in
        [(LATENCIES - 1, LATENCIES - 1), (1, LATENCIES), (1, LATENCIES), (5, LATENCIES)]
    {
        for _ in 0..looks {
            detector.looked(Ok(&good), ms(1), at(1));
        }
        assert_eq!(detector.latencies.len(), remembered);
    }
}

#[test]
fn the_usual_latency_of_few_looks_leaves_the_slowest_tenth_out() {
    let mut detector = detector();
    let good = healthy();
    for tenths in 1..=10 {
        detector.looked(Ok(&good), ms(100 * tenths), at(tenths));
    }
    detector.probe_started(at(100));
    // Five times 900 ms.
    assert_eq!(detector.next_change(at(100)), Some(at(4600)));
}

#[test]
fn what_is_due_now_is_not_still_to_come() {
    let mut detector = detector();
    detector.probe_started(at(0));
    for k in 1..=5 {
        detector.sample(&sample(10, None), at(k * 100));
    }
    assert_eq!(detector.verdict(at(500)), Verdict::Up, "a write probe waits beside reads that are answered");
    assert_eq!(detector.next_change(at(499)), Some(at(500)));
    assert_eq!(detector.next_change(at(500)), None);
}

#[test]
fn silence_that_is_not_long_yet_is_evidence_when_replies_came_regularly() {
    // Replies take 200 ms as a rule, so that a request may wait for a second.
    let regular = || {
        let mut detector = detector();
        for k in 0..20 {
            let mut slow = sample(0, None);
            slow.answered = 1000;
            slow.latency.record(ms(200), 1000);
            detector.sample(&slow, at(k * 100));
        }
        detector
    };
    for (oldest, silent_for, suspect) in [(500, 600, false), (501, 600, true), (501, 100, false)] {
        let mut detector = regular();
        detector.sample(&sample(0, Some(ms(oldest))), at(1900 + silent_for));
        let verdict = detector.verdict(at(1900 + silent_for));
        let silence = matches!(verdict, Verdict::Suspect { evidence: Evidence::Silence { .. }, .. });
        assert_eq!(silence, suspect, "{oldest} {silent_for}: {verdict:?}");
    }
}

#[test]
fn a_probe_that_waits_beside_traffic_is_evidence_only_once_that_stops() {
    // When replies last came that were sent after the probe, and what is thought when.
    for (replies, asked, suspect) in [
        (199, 349, false),
        (199, 350, true),
        (200, 350, false),
        (200, 500, false),
        (200, 700, false),
        (200, 701, true),
    ] {
        let mut detector = detector();
        detector.probe_started(at(0));
        detector.sample(&sample(10, None), at(replies));
        assert_eq!(is_suspect(detector.verdict(at(asked))), suspect, "{replies} {asked}");
    }
}

#[test]
fn a_probe_waits_as_long_as_a_request_may_when_there_was_traffic_behind_it() {
    let params = DetectParams { oldest_unanswered: ms(2000), ..DetectParams::default() };
    for (replies, asked, suspect) in [(199, 1000, true), (200, 1000, false), (200, 2000, true)] {
        let mut detector = Detector::new("a".into(), params);
        detector.probe_started(at(0));
        detector.sample(&sample(10, None), at(replies));
        assert_eq!(is_suspect(detector.verdict(at(asked))), suspect, "{replies} {asked}");
    }
}

#[test]
fn what_is_conclusive_is_down_at_once() {
    let mut detector = detector();
    for t in [0, 1] {
        detector.reached(Err(Failure::Refused), at(t));
    }
    assert!(is_down(detector.verdict), "without being asked again");
}

#[derive(Clone, Debug)]
enum Input {
    Started,
    Abandoned,
    Looked(Option<Failure>, bool),
    Reached(Option<Failure>),
    Sample { answered: u8, unavailable: u8, resets: u8, oldest: Option<u16> },
    Mirror(u8, u8),
    Asked,
}

fn failure() -> impl Strategy<Value = Option<Failure>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Failure::Refused)),
        2 => Just(Some(Failure::Timeout)),
        1 => Just(Some(Failure::NotServing)),
        1 => Just(Some(Failure::Credentials)),
        1 => Just(Some(Failure::Other)),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let sample = (any::<u8>(), any::<u8>(), 0..3u8, proptest::option::of(any::<u16>()));
    prop_oneof![
        Just(Input::Started),
        Just(Input::Abandoned),
        (failure(), any::<bool>()).prop_map(|(failure, loads)| Input::Looked(failure, loads)),
        failure().prop_map(Input::Reached),
        sample.prop_map(|(answered, unavailable, resets, oldest)| Input::Sample {
            answered,
            unavailable,
            resets,
            oldest
        }),
        (0..4u8, 0..4u8).prop_map(|(mirror, link)| Input::Mirror(mirror, link)),
        Just(Input::Asked),
    ]
}

fn apply(detector: &mut Detector, input: &Input, now: BootInstant) {
    match input {
        Input::Started => detector.probe_started(now),
        Input::Abandoned => detector.probe_abandoned(now),
        Input::Looked(Some(failure), _) => detector.looked(Err(*failure), ms(3), now),
        Input::Looked(None, true) => detector.looked(Ok(&loading()), ms(3), now),
        Input::Looked(None, false) => detector.looked(Ok(&healthy()), ms(3), now),
        Input::Reached(failure) => detector.reached(failure.map_or(Ok(()), Err), now),
        Input::Sample { answered, unavailable, resets, oldest } => {
            let mut sample = sample(u32::from(*answered), oldest.map(|age| ms(u64::from(age))));
            sample.errors[0] = u64::from(*unavailable);
            sample.resets = u64::from(*resets);
            detector.sample(&sample, now);
        }
        Input::Mirror(mirror, link) => {
            let link = match link {
                0 => None,
                1 => Some(Link::Down),
                2 => Some(Link::Synchronizing),
                _ => Some(Link::Up { silent_for: ms(0) }),
            };
            detector.mirror_link(&EndpointId::new(format!("m{mirror}")), link, now);
        }
        Input::Asked => {}
    }
}

proptest! {
    #[test]
    fn verdicts_follow_each_other_as_promised(steps in prop::collection::vec((0..400u64, input()), 1..300)) {
        let mut detector = detector();
        let (mut t, mut before) = (0, Verdict::Up);
        let mut suspect_from = None;
        // Good looks since the last thing that was none.
        let mut good = 0;
        let mut refused = 0;
        for (step, input) in steps {
            t += step;
            let now = at(t);
            // As the control loop does.
            let mut from = at(t - step);
            while let Some(next) = detector.next_change(from).filter(|next| *next < now) {
                prop_assert!(next > from, "the loop would turn on the spot");
                let verdict = detector.verdict(next);
                check(before, verdict, &mut suspect_from, next, refused)?;
                (before, from) = (verdict, next);
            }
            apply(&mut detector, &input, now);
            match &input {
                Input::Looked(None, false) => (good, refused) = (good + 1, 0),
                Input::Looked(Some(Failure::Refused), _) => (good, refused) = (0, refused + 1),
                Input::Reached(Some(Failure::Refused)) => refused += 1,
                Input::Reached(_) => refused = 0,
                Input::Looked(..) => (good, refused) = (0, 0),
                _ => {}
            }
            let verdict = detector.verdict(now);
            prop_assert_eq!(verdict, detector.verdict(now), "asking changes nothing");
            check(before, verdict, &mut suspect_from, now, refused)?;
            if is_down(before) && verdict == Verdict::Up {
                prop_assert!(good >= 2, "up again after {} good looks", good);
            }
            if let Some(next) = detector.next_change(now) {
                prop_assert!(next > now);
            }
            before = verdict;
        }
        prop_assert!(detector.latencies.len() <= LATENCIES && detector.mirrors.len() <= MIRRORS_MOST);
    }
}

fn check(
    before: Verdict,
    verdict: Verdict,
    suspect_from: &mut Option<BootInstant>,
    now: BootInstant,
    refused: u32,
) -> Result<(), TestCaseError> {
    match verdict {
        Verdict::Up => *suspect_from = None,
        Verdict::Suspect { since, .. } => {
            prop_assert!(!is_down(before), "down became suspect");
            prop_assert!(since <= now);
            suspect_from.get_or_insert(now);
        }
        Verdict::Down { evidence, since } if !is_down(before) => {
            prop_assert!(since <= now);
            if evidence.is_conclusive() {
                prop_assert!(refused >= 1, "{:?}", evidence);
            } else {
                let lasted = suspect_from.map(|from| now.since(from));
                prop_assert!(
                    lasted.is_some_and(|lasted| lasted >= ms(700)),
                    "{:?} after {:?}",
                    evidence,
                    lasted
                );
            }
        }
        Verdict::Down { .. } => {}
    }
    Ok(())
}

#[test]
fn what_was_held_against_one_that_was_vouched_for_is_past_and_a_look_from_before_tells_nothing() {
    let mut detector = detector();
    detector.looked(Ok(&healthy()), ms(1), at(0));
    detector.probe_started(at(250));
    detector.reached(Err(Failure::Timeout), at(800));
    for late in [800, 1000, 1200, 1400, 1600, 1800] {
        detector.verdict(at(late));
    }
    assert!(is_down(detector.verdict(at(2000))));
    detector.vouched_for(at(2010));
    assert_eq!(detector.verdict(at(2010)), Verdict::Up);
    // The look that began at 250 ends only now.
    detector.looked(Err(Failure::Timeout), ms(1800), at(2050));
    assert_eq!(detector.verdict(at(2050)), Verdict::Up);
    // One that begins afterwards counts as ever.
    detector.probe_started(at(2300));
    for late in [2500, 2700, 2900, 3100, 3300, 3500, 3700] {
        detector.verdict(at(late));
    }
    assert!(is_down(detector.verdict(at(3800))), "{:?}", detector.verdict(at(3800)));
}

#[test]
fn of_one_that_was_vouched_for_only_a_look_that_began_before_tells_nothing() {
    let vouched = at(1000);
    let moment = Duration::from_nanos(1);
    for (began, counts) in [(vouched - moment, false), (vouched, true), (vouched + moment, true)] {
        let mut detector = detector();
        detector.vouched_for(vouched);
        let ended = vouched + ms(10);
        detector.looked(Err(Failure::Timeout), ended.since(began), ended);
        // Two failures of another signal: with the look they are three.
        for _ in 0..2 {
            detector.reached(Err(Failure::Timeout), ended);
        }
        assert_eq!(is_suspect(detector.verdict(ended)), counts, "began {began:?}");
    }
}
