use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use diwan_net::Workers;
use tokio::sync::oneshot;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Starts a call and hands its outcome to `callback`: the callback form of every client method, for callers without a
/// runtime. The callback runs on a thread that carries connections and must not block.
///
/// # Errors
/// When those threads cannot be started.
pub fn callback<F>(call: F, callback: impl FnOnce(F::Output) + Send + 'static) -> io::Result<()>
where
    F: Future + Send + 'static,
{
    Workers::shared()?.spawn(0, move || async move { callback(call.await) });
    Ok(())
}

/// Runs a future that needs a clock or a socket for somebody who may have no runtime; `None` when there is no thread for it.
pub(crate) async fn on_worker<T, F>(make: impl FnOnce() -> F + Send + 'static) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (tell, told) = oneshot::channel();
    let work = move || async move { drop(tell.send(make().await)) };
    Workers::shared().ok()?.spawn(0, work);
    told.await.ok()
}

/// Waits for a call on a thread without a runtime: the synchronous form of every client method. Not to be used inside
/// of async code, whose thread it would block.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
