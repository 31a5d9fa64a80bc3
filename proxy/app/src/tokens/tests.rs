//! The service over a real registry, in front of a store whose control loop is played by hand.

use foretoken_admin::model::{AuthorityRole, StoreStatus};
use foretoken_registry::Disk;
use foretoken_token::{Access, Block, Grant};
use foretoken_types::{ManualClock, Posture, StoreState};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::control::Live;

/// The wall clock of these tests, one for each thread of a test; it goes on with what the test does.
static WALL: AtomicU64 = AtomicU64::new(1_760_000_000_000);

fn wall() -> u64 {
    WALL.load(Ordering::SeqCst)
}

struct Stage {
    service: Arc<Service>,
    clock: Arc<ManualClock>,
    posture: watch::Sender<Arc<Posture>>,
    status: watch::Sender<Arc<StoreStatus>>,
    _live: watch::Sender<Live>,
    stop: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

const STORE: &str = "cart";

fn config() -> foretoken_config::Config {
    let quick = foretoken_config::Quick {
        listen: "127.0.0.1:7000".to_owned(),
        primary: "redis://127.0.0.1:6379".to_owned(),
        ..Default::default()
    };
    foretoken_config::Config::quick(&quick).unwrap()
}

/// A service whose store is healthy, in epoch 7, and whose control loop was heard just now.
async fn stage(registry: Arc<dyn Registry>) -> Stage {
    let clock = Arc::new(ManualClock::default());
    clock.advance(Duration::from_secs(1));
    let id = StoreId::from(STORE);
    let posture = Posture {
        state: StoreState::Healthy,
        epoch: Epoch(7),
        primary: Some("a".into()),
        ..Posture::closed(id.clone())
    };
    let (posture, posture_in) = watch::channel(Arc::new(posture));
    let mut shown = StoreStatus { epoch: Epoch(7), ..StoreStatus::unknown(id.clone()) };
    shown.authority.role = AuthorityRole::Owner;
    let (status, status_in) = watch::channel(Arc::new(shown));
    let store = &config().store[0];
    let judges = crate::build::judges(store).unwrap();
    let (live, live_in) = watch::channel(crate::build::live(store, judges));
    let watched = Watched {
        id,
        posture: posture_in,
        status: status_in,
        live: live_in,
        lease: Duration::from_secs(2),
        blocks: vec![("orders".to_owned(), "order:".parse().unwrap())],
        heard: AtomicU64::new(0),
    };
    let params = Params {
        stores: vec![watched],
        services: Services::default(),
        registry,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        wall,
        key_life: Duration::from_secs(3600),
    };
    let service = Service::start(params).unwrap();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(Arc::clone(&service).run(stopped));
    let stage = Stage { service, clock, posture, status, _live: live, stop, running };
    stage.heard().await;
    stage
}

impl Stage {
    /// The control loop says a word, and the service has noticed.
    async fn heard(&self) {
        let now = self.clock.now().as_nanos();
        while self.service.stores[0].heard.load(Ordering::Relaxed) < now {
            self.status.send_modify(|_| {});
            tokio::task::yield_now().await;
        }
    }

    async fn ask(&self) -> Result<TokenGrant, TokenError> {
        let request = serde_json::from_str(r#"{"serviceId":"checkout","dataBlockId":"orders"}"#).unwrap();
        self.service.issue(&Asker::Operator, request).await
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.running.await.unwrap();
    }
}

fn denied(error: &TokenError) -> &'static str {
    match error {
        TokenError::Denied { reason, .. } => reason.as_str(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_control_loop_that_falls_silent_gives_no_more_rights() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(Arc::new(Disk::open(dir.path()).unwrap())).await;
    let token = stage.ask().await.unwrap();
    assert_eq!((token.tier.as_str(), token.key_prefix.as_deref()), ("valid", Some("order:")));
    stage.clock.advance(Duration::from_millis(1999));
    assert!(stage.ask().await.is_ok());
    stage.clock.advance(Duration::from_millis(1));
    assert_eq!(denied(&stage.ask().await.unwrap_err()), "not_leader");
    assert!(!stage.service.keys().stores[0].leads);
    stage.heard().await;
    assert!(stage.ask().await.is_ok());
    // Who follows somebody else's lead gives nothing either.
    stage.status.send_modify(|status| Arc::make_mut(status).authority.role = AuthorityRole::Follower);
    assert_eq!(denied(&stage.ask().await.unwrap_err()), "not_leader");
    stage.end().await;
}

#[tokio::test]
async fn a_new_primary_gives_t2_until_it_has_shown_itself_in_its_own_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(Arc::new(Disk::open(dir.path()).unwrap())).await;
    // What was shown in the epoch before proves nothing.
    stage.status.send_modify(|status| Arc::make_mut(status).validated = true);
    stage.posture.send_modify(|posture| {
        let posture = Arc::make_mut(posture);
        (posture.state, posture.epoch, posture.primary) =
            (StoreState::FailedOver, Epoch(8), Some("b".into()));
    });
    let t2 = stage.ask().await.unwrap();
    assert_eq!(
        (t2.tier.as_str(), t2.epoch, t2.access),
        ("provisional", 8, vec!["read".into(), "write".into()])
    );
    assert_eq!(t2.endpoint.map(|endpoint| endpoint.name).as_deref(), Some("b"));
    stage.status.send_modify(|status| Arc::make_mut(status).epoch = Epoch(8));
    let t3 = stage.service.refresh(&Asker::Operator, &t2.token_id, RefreshRequest::default()).await.unwrap();
    assert_eq!((t3.tier.as_str(), t3.access.len()), ("valid", 3));
    stage.end().await;
}

/// Between the two the configuration was read again.
#[tokio::test]
async fn a_request_that_was_understood_before_its_right_was_taken_away_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let stage = stage(Arc::new(Disk::open(dir.path()).unwrap())).await;
    let service = &stage.service;
    let before = stage.ask().await.unwrap();
    let request = serde_json::from_str(r#"{"serviceId":"checkout","dataBlockId":"orders"}"#).unwrap();
    let asked = service.understand(&Asker::Operator, request).unwrap();
    let block = asked.request.block.clone();
    let grant = Grant { store: STORE.into(), block, access: Access::READ };
    assert_eq!(service.permit(Services(vec![("checkout".to_owned(), vec![grant])])).await.unwrap(), 1);
    assert!(service.status(&Asker::Operator, &before.token_id).unwrap().revoked);
    let (view, now) = (service.view(0), service.now());
    let given = service.hand_out(0, Form::Paseto, now, |issuer| {
        issuer.issue(&asked.caller, &asked.request, &view, now).map(Some)
    });
    assert_eq!(denied(&given.await.err().unwrap()), "not_permitted");
    let list = service.list(&Asker::Operator, &TokenFilter::default()).unwrap();
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(stage.ask().await.unwrap().access, ["read"], "asked again it is what there is to be had");
    assert_eq!(service.permit(Services(vec![])).await.unwrap(), 0, "more is allowed, and nothing taken back");
    stage.end().await;
}

#[tokio::test]
async fn nothing_is_handed_out_that_the_disk_did_not_take() {
    /// A real registry, until its disk fails.
    struct Failing(Disk, std::sync::atomic::AtomicBool);
    impl Registry for Failing {
        fn load(
            &self,
            store: &StoreId,
        ) -> foretoken_registry::Result<
            Option<(foretoken_registry::StoreRecord, Option<foretoken_registry::Intent>)>,
        > {
            self.0.load(store)
        }
        fn compare_and_swap(
            &self,
            store: &StoreId,
            expected: Option<Epoch>,
            record: &foretoken_registry::StoreRecord,
            intent: foretoken_registry::IntentChange,
        ) -> foretoken_registry::Result<()> {
            self.0.compare_and_swap(store, expected, record, intent)
        }
        fn put_intent(
            &self,
            store: &StoreId,
            intent: &foretoken_registry::Intent,
        ) -> foretoken_registry::Result<()> {
            self.0.put_intent(store, intent)
        }
        fn clear_intent(&self, store: &StoreId) -> foretoken_registry::Result<()> {
            self.0.clear_intent(store)
        }
        fn kept(&self, prefix: &str) -> foretoken_registry::Result<Vec<(String, Vec<u8>)>> {
            self.0.kept(prefix)
        }
        fn keep(&self, changes: &[Keep]) -> foretoken_registry::Result<()> {
            if self.1.load(Ordering::SeqCst) {
                let source = Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull));
                return Err(foretoken_registry::Error::Storage { path: self.0.path().to_owned(), source });
            }
            self.0.keep(changes)
        }
        fn examine(&self) -> foretoken_registry::Result<()> {
            self.0.examine()
        }
        fn instance(&self) -> foretoken_types::InstanceId {
            self.0.instance()
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let registry = Arc::new(Failing(Disk::open(dir.path()).unwrap(), false.into()));
    let stage = stage(Arc::clone(&registry) as Arc<dyn Registry>).await;
    let good = stage.ask().await.unwrap();
    registry.1.store(true, Ordering::SeqCst);
    let keys = stage.service.keys().keys;
    for error in [
        stage.ask().await.unwrap_err(),
        stage.service.refresh(&Asker::Operator, &good.token_id, RefreshRequest::default()).await.unwrap_err(),
        stage.service.rotate().await.unwrap_err(),
    ] {
        assert!(matches!(&error, TokenError::Storage(why) if why.contains("registry.redb")), "{error}");
    }
    assert_eq!(stage.service.keys().keys, keys, "no key that a restart would not know");
    let list = stage.service.list(&Asker::Operator, &TokenFilter::default()).unwrap();
    assert_eq!(list.iter().map(|one| &one.token_id).collect::<Vec<_>>(), [&good.token_id]);
    // Taken back all the same, though a restart may forget it, and who asked is told.
    let error = stage.service.revoke(&Asker::Operator, &good.token_id).await.unwrap_err();
    assert!(matches!(error, TokenError::Storage(_)), "{error}");
    assert!(stage.service.status(&Asker::Operator, &good.token_id).unwrap().revoked);
    registry.1.store(false, Ordering::SeqCst);
    assert!(stage.ask().await.is_ok(), "it is tried anew");
    stage.end().await;
}

#[tokio::test]
async fn a_restart_knows_keys_tokens_and_revocations_and_begins_a_generation() {
    let dir = tempfile::tempdir().unwrap();
    let registry: Arc<dyn Registry> = Arc::new(Disk::open(dir.path()).unwrap());
    let first = stage(Arc::clone(&registry)).await;
    let (kept, revoked) = (first.ask().await.unwrap(), first.ask().await.unwrap());
    let unknown = "00".repeat(16);
    assert_eq!(first.service.revoke(&Asker::Operator, &revoked.token_id).await.unwrap().revoked, 1);
    assert_eq!(first.service.revoke(&Asker::Operator, &unknown).await.unwrap().revoked, 0);
    let (keys, generation) = (first.service.keys().keys, first.service.generation);
    first.end().await;

    let next = stage(registry).await;
    assert_eq!(next.service.keys().keys, keys);
    assert_eq!(next.service.generation, generation + 1);
    let told = |id: &str| next.service.status(&Asker::Operator, id).unwrap();
    assert!(told(&kept.token_id).valid, "{:?}", told(&kept.token_id));
    assert!(told(&revoked.token_id).revoked);
    let revoked_ids: Vec<_> = next.service.keys().revoked.into_iter().map(|one| one.token_id).collect();
    assert!(revoked_ids.contains(&unknown) && revoked_ids.contains(&revoked.token_id), "{revoked_ids:?}");
    // Whoever changes the keys is not one that may only read, and who may only read gets no token.
    let request = serde_json::from_str(r#"{"serviceId":"checkout"}"#).unwrap();
    let refused = next.service.issue(&Asker::Reader, request).await.unwrap_err();
    assert!(matches!(refused, TokenError::OtherService(_)), "{refused}");
    next.end().await;
}

#[test]
fn prefixes_of_the_configuration_are_those_of_tokens() {
    let prefix = "x".repeat(foretoken_config::KeyPrefix::MAX);
    assert_eq!(prefix.len(), foretoken_token::MAX_PREFIX);
    assert!(prefix.parse::<Block>().is_ok());
    assert!(format!("{prefix}x").parse::<Block>().is_err());
}
