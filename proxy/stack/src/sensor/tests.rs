use std::cell::RefCell;
use std::rc::Rc;

use tower::{Layer, ServiceExt, service_fn};

use super::*;

type Log = Rc<RefCell<Vec<(u32, Result<u32, u32>)>>>;

#[derive(Clone)]
struct Journal(Log);

impl Observe<u32> for Journal {
    type Started = (Log, u32);

    fn started(&self, request: &u32) -> Self::Started {
        (Rc::clone(&self.0), *request)
    }
}

impl Ended<Result<u32, u32>> for (Log, u32) {
    fn ended(self, output: &Result<u32, u32>) {
        self.0.borrow_mut().push((self.1, *output));
    }
}

#[tokio::test]
async fn each_request_is_told_once_with_its_end() {
    let log = Log::default();
    let service = SensorLayer::new(Journal(Rc::clone(&log)))
        .layer(service_fn(|n: u32| async move { if n < 10 { Ok(n + 1) } else { Err(n) } }));
    assert_eq!(service.clone().oneshot(1).await, Ok(2));
    assert_eq!(service.clone().oneshot(10).await, Err(10));
    drop(service.oneshot(3));
    assert_eq!(*log.borrow(), [(1, Ok(2)), (10, Err(10))]);
}
