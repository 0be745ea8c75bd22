//! Bare Bolt: each version of the protocol on a connection of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diwan::hessian::{Encode, Encoder};
use diwan::net::bolt::{CallError, Client, ClientOptions, Handler};
use diwan_bolt::{FrameWriter, Head, Kind, Version};
use tokio::time::sleep;

use super::{Outcome, Run, Wrong, equal, is_true};
use crate::greeting::{GREETING_CLASS, Greeter, Greeting, GreetingCalls, head};

const TIMEOUT: Duration = Duration::from_secs(3);

struct Caller {
    client: Client,
    head: Head,
}

impl Caller {
    async fn greet(&self, text: &str, count: i32) -> Result<Greeting, Wrong> {
        let greeting = Greeting::new(text, count);
        let peer = self.client.peer();
        Ok(peer
            .greet(self.head, GREETING_CLASS, &greeting, TIMEOUT)
            .await?)
    }

    fn oneway(&self, text: &str) -> Outcome {
        let sent = self.client.peer().oneway(|out, id| {
            let kind = Kind::Oneway { timeout_ms: -1 };
            let head = Head {
                id,
                kind,
                ..self.head
            };
            let mut writer = FrameWriter::begin(out, head, GREETING_CLASS);
            let mut encoder = Encoder::new(diwan::hessian::Dialect::Draft, writer.content());
            Greeting::new(text, 0).encode(&mut encoder);
            writer
                .finish()
                .map_err(|error| CallError::Unsendable(error.to_string()))
        });
        Ok(sent.map_err(|error| error.to_string())?)
    }
}

/// Runs every case against the server of `Greeting` at `addr`.
pub async fn greetings(run: &mut Run, addr: SocketAddr) {
    let v1 = head(TIMEOUT);
    for (name, version, switch) in [
        ("v1", Version::V1, 0),
        ("v2", Version::V2, 0),
        ("v2-crc", Version::V2Crc, 1),
        ("v2-no-crc", Version::V2Crc, 0),
    ] {
        let handler = || -> std::rc::Rc<dyn Handler> { Greeter::client() };
        let options = ClientOptions {
            handler: Some(Arc::new(handler)),
            ..ClientOptions::default()
        };
        let head = Head {
            version,
            switch,
            ..v1
        };
        match Client::connect(addr, options) {
            Ok(client) => cases(run, &format!("bolt-{name}"), &Caller { client, head }).await,
            Err(error) => println!("WRONG bolt-{name}: {error}"),
        }
    }
}

async fn cases(run: &mut Run, prefix: &str, caller: &Caller) {
    run.case(&format!("{prefix}-sync"), async {
        equal(
            &Greeting::new("gnirts", 8),
            &caller.greet("string", 7).await?,
        )
    })
    .await;
    run.case(&format!("{prefix}-oneway"), async {
        let before = caller.greet("count", 0).await?.count;
        for _ in 0..3 {
            caller.oneway("oneway")?;
        }
        let began = Instant::now();
        loop {
            let now = caller.greet("count", 0).await?.count;
            if now == before + 3 || began.elapsed() > TIMEOUT {
                return equal(&(before + 3), &now);
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    run.case(&format!("{prefix}-timeout"), async {
        let (peer, greeting) = (caller.client.peer(), Greeting::new("sleep", 600));
        let short = Duration::from_millis(300);
        let outcome = peer
            .greet(caller.head, GREETING_CLASS, &greeting, short)
            .await;
        let text = outcome.err().unwrap_or_else(|| "an answer".into());
        is_true(&text, text.contains("no answer within"))?;
        sleep(Duration::from_millis(500)).await;
        equal(&Greeting::new("x", 1), &caller.greet("x", 0).await?)
    })
    .await;
    run.case(&format!("{prefix}-exception"), async {
        let text = refusal(caller, GREETING_CLASS, "throw").await;
        is_true(&text, text.contains("thrown 5"))
    })
    .await;
    run.case(&format!("{prefix}-no-processor"), async {
        let text = refusal(caller, b"com.diwan.interop.Tag", "nobody").await;
        is_true(&text, text.contains("com.diwan.interop.Tag"))
    })
    .await;
    run.case(&format!("{prefix}-server-calls"), async {
        let got = caller.greet("call me", 21).await?;
        equal(&Greeting::new("client got: from the server", 42), &got)
    })
    .await;
}

async fn refusal(caller: &Caller, class: &[u8], text: &str) -> String {
    let greeting = Greeting::new(text, 5);
    let peer = caller.client.peer();
    let outcome = peer.greet(caller.head, class, &greeting, TIMEOUT).await;
    outcome.err().unwrap_or_else(|| "an answer".into())
}
