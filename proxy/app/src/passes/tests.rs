use foretoken_token::{Presented, Refusal, Revocations, Target, Use, Verifier};
use foretoken_types::{Lease, LeaseTimes, ManualClock, MirrorRoute, StoreState};

use super::*;

const TTL: Duration = Duration::from_secs(2);
const LIFE: Duration = Duration::from_secs(3600);

struct Setting {
    passes: Arc<Passes>,
    posture: watch::Sender<Arc<Posture>>,
    clock: Arc<ManualClock>,
}

fn setting() -> Setting {
    let clock = Arc::new(ManualClock::default());
    clock.advance(Duration::from_secs(100));
    let passes = Passes::new("cart".into(), Epoch(6), TTL, LIFE, Arc::clone(&clock) as Arc<dyn Clock>);
    passes.prepare().unwrap();
    let (posture, watch) = watch::channel(Arc::new(Posture::closed("cart".into())));
    passes.follow(watch);
    Setting { passes, posture, clock }
}

impl Setting {
    /// Epoch 7, with `a` as primary and `b` as a mirror that may be read.
    fn at_work(&self) {
        let now = self.clock.now();
        let lease = Lease::grant(Epoch(7), now, &LeaseTimes::default());
        self.posture.send_modify(|posture| {
            let posture = Arc::make_mut(posture);
            (posture.epoch, posture.state) = (Epoch(7), StoreState::AtRisk);
            (posture.primary, posture.lease) = (Some("a".into()), Some(lease));
            posture.mirrors = vec![MirrorRoute { endpoint: "b".into(), staleness: Duration::ZERO }];
            posture.temporary_until = Some(now + Duration::from_secs(30));
        });
    }

    async fn open(&self, token: &[u8], holder: Fingerprint) -> Result<Arc<Claims>, Refusal> {
        let news = self.passes.news(None, Duration::ZERO).await;
        let keys = foretoken_token::PublicKeys::from_published(&news.keys).unwrap();
        let service = ServiceId::from(SIDECAR);
        let wanted = Use {
            service: &service,
            holder: Some(holder),
            target: Target::Block(&Block::ALL),
            access: Access::NONE,
        };
        let mut verifier = Verifier::new("cart".into(), news.epoch);
        verifier.verify(Presented::Compact(token), &wanted, &keys, &Revocations::default(), wall())
    }
}

#[tokio::test]
async fn a_pass_is_a_lease_that_can_be_shown_and_control_does_not_need_one() {
    let setting = setting();
    let holder = Fingerprint::of(b"our certificate");
    let pass =
        |endpoint: &str, purpose| setting.passes.to(endpoint.into(), Box::new(move || Some(holder)), purpose);
    let control = pass("a", Purpose::Control).token(None).unwrap();
    let claims = setting.open(&control, holder).await.unwrap();
    assert_eq!(
        (claims.epoch, claims.access.contains(Access::ADMIN)),
        (Epoch(6), true),
        "the epoch on record"
    );
    assert!(pass("a", Purpose::Data).token(None).is_err(), "no lease, no pass");

    setting.at_work();
    assert!(matches!(setting.open(&control, holder).await, Err(Refusal::OldEpoch { .. })));
    let claims = setting.open(&pass("a", Purpose::Data).token(None).unwrap(), holder).await.unwrap();
    assert_eq!((claims.tier, claims.access), (Tier::Valid, Access::READ | Access::WRITE));
    assert_eq!(claims.endpoint.as_ref().map(EndpointId::as_str), Some("a"));
    let claims = setting.open(&pass("b", Purpose::Data).token(None).unwrap(), holder).await.unwrap();
    assert_eq!((claims.tier, claims.access, &claims.endpoint), (Tier::Temporary, Access::READ, &None));
    let other = setting.open(&pass("a", Purpose::Data).token(None).unwrap(), Fingerprint::of(b"x")).await;
    assert_eq!(other.unwrap_err(), Refusal::OtherHolder);

    setting.clock.advance(LeaseTimes::default().ttl);
    assert!(pass("a", Purpose::Data).token(None).is_err(), "the lease has ended");
    assert!(pass("b", Purpose::Data).token(None).is_ok(), "mirrors may be read for a while");
    setting.clock.advance(Duration::from_secs(30));
    assert!(pass("b", Purpose::Data).token(None).is_err(), "and so have the reads from mirrors");
    assert!(pass("a", Purpose::Control).token(None).is_ok());
}

#[tokio::test]
async fn without_tls_a_pass_is_bound_to_the_ends_of_the_connection() {
    let setting = setting();
    let (ours, gate) = ("127.0.0.1:40000".parse().unwrap(), "127.0.0.1:7379".parse().unwrap());
    let pass = setting.passes.to("a".into(), Box::new(|| None), Purpose::Control);
    let token = pass.token(Some((ours, gate))).unwrap();
    assert!(setting.open(&token, connection(ours, gate)).await.is_ok());
    let mapped = "[::ffff:127.0.0.1]:40000".parse().unwrap();
    assert!(setting.open(&token, connection(mapped, gate)).await.is_ok(), "either family");
    let elsewhere = "127.0.0.1:40001".parse().unwrap();
    assert_eq!(setting.open(&token, connection(elsewhere, gate)).await.unwrap_err(), Refusal::OtherHolder);
    assert!(pass.token(None).is_err(), "TLS without a certificate of ours");
}

#[tokio::test(start_paused = true)]
async fn news_come_at_once_when_the_epoch_moves_and_after_the_wait_otherwise() {
    let setting = setting();
    let wait = Duration::from_millis(600);
    let began = tokio::time::Instant::now();
    assert_eq!(setting.passes.news(None, wait).await.epoch, Epoch(6));
    assert_eq!(began.elapsed(), Duration::ZERO, "whoever knows nothing is told at once");
    assert_eq!(setting.passes.news(Some(Epoch(6)), wait).await.epoch, Epoch(6));
    assert_eq!(began.elapsed(), wait);
    let news = setting.passes.news(Some(Epoch(6)), wait);
    let change = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        setting.at_work();
    };
    let (news, ()) = tokio::join!(news, change);
    assert_eq!((news.epoch, news.primary.unwrap().as_str(), news.ttl_ms), (Epoch(7), "a", 2000));
    assert_eq!(began.elapsed(), wait + Duration::from_millis(100));
}

/// By the rule of the API's ring: the next key is heard of 30 s before it signs, and the old one outlives its last pass.
#[test]
fn keys_of_passes_take_turns() {
    let setting = setting();
    let begun = wall();
    let ids = |at: UnixMillis| -> Vec<_> {
        setting.passes.public_keys(at).into_iter().map(|key| (key.form, key.kid)).collect()
    };
    let first = ids(begun);
    assert_eq!(first.len(), 1, "gates hear of the form of passes only");
    let turn = begun.after(LIFE);
    let both = ids(turn);
    assert_eq!((both.len(), both[0]), (2, first[0]));
    assert_eq!(ids(turn), both, "one turn at a time");
    let later = ids(turn.after(Duration::from_secs(120)));
    assert_eq!(later, both[1..], "the first has no token left");
}
