use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use tokio::sync::Notify;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

#[derive(Clone)]
struct Door(Rc<Notify>);

impl Gate<u32> for Door {
    type Error = &'static str;
    type Wait = Pin<Box<dyn Future<Output = Result<(), &'static str>>>>;

    fn wait(&self, request: &u32) -> Option<Self::Wait> {
        let door = Rc::clone(&self.0);
        match request {
            0 => None,
            13 => Some(Box::pin(async { Err("unlucky") })),
            _ => Some(Box::pin(async move {
                door.notified().await;
                Ok(())
            })),
        }
    }
}

fn doubled(door: &Rc<Notify>) -> impl Service<u32, Response = u32, Error = &'static str> + Clone {
    HoldLayer::new(Door(Rc::clone(door)))
        .layer(service_fn(|n: u32| async move { Ok::<_, &'static str>(2 * n + 1) }))
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_as_long_as_the_gate_says_and_not_longer() {
    let door = Rc::new(Notify::new());
    assert_eq!(doubled(&door).oneshot(0).await, Ok(1));
    let mut held = Box::pin(doubled(&door).oneshot(2));
    assert!(tokio::time::timeout(std::time::Duration::from_secs(3600), &mut held).await.is_err());
    door.notify_one();
    assert_eq!(held.await, Ok(5));
}

#[tokio::test]
async fn a_refusal_of_the_gate_ends_the_request() {
    assert_eq!(doubled(&Rc::default()).oneshot(13).await, Err("unlucky"));
}
