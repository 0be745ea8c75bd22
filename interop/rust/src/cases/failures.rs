//! What fails, and how.

use std::time::{Duration, Instant};

use diwan::hessian::Value;
use diwan::rpc::client::CallOptions;
use diwan::rpc::{ConsumerOptions, ErrorKind, RpcError};
use tokio::time::sleep;

use super::{Outcome, Remote, Run, Wrong, equal, is_true, options};
use crate::{KitchenClient, KitchenException};

fn some(text: &str) -> Option<String> {
    Some(text.into())
}

/// The error of a call that must fail.
pub(super) fn failed<T: std::fmt::Debug, E>(
    outcome: Result<T, RpcError<E>>,
) -> Result<RpcError<E>, Wrong> {
    match outcome {
        Ok(answer) => Err(format!("an answer: {answer:?}").into()),
        Err(error) => Ok(error),
    }
}

fn refused<T: std::fmt::Debug, E: std::fmt::Display>(
    outcome: Result<T, RpcError<E>>,
    kind: ErrorKind,
    part: &str,
) -> Outcome {
    let error = failed(outcome)?;
    let text = error.to_string();
    equal(&Some(kind), &error.kind()).map_err(|_| format!("not {kind:?}: {text}"))?;
    is_true(&format!("{part:?} in {text:?}"), text.contains(part))
}

fn declared(error: RpcError<KitchenException>) -> Result<KitchenException, Wrong> {
    match error {
        RpcError::Exception(exception) => Ok(exception),
        other => Err(format!("no KitchenException: {other}").into()),
    }
}

async fn any(remote: &Remote, interface: &str, method: &str, signature: &str) -> Outcome {
    let (service, options) = (remote.any(interface)?, CallOptions::default());
    let arguments = [Value::str("1")];
    let outcome = service
        .generic(method, &[signature], &arguments, &options)
        .await;
    let wanted = if method == "anything" {
        "com.diwan.interop.Nowhere:1.0"
    } else {
        method
    };
    refused(outcome, ErrorKind::NotFound, wanted)
}

pub(super) async fn run(run: &mut Run, remote: &Remote) {
    let kitchen = &remote.kitchen;
    run.case("exception", async {
        let error = failed(kitchen.refuse(some("closed \u{4e2d}"), 451).await)?;
        let expected = KitchenException {
            message: some("closed \u{4e2d}"),
            cause: None,
            code: 451,
        };
        equal(&expected, &declared(error)?)
    })
    .await;
    run.case("exception-cause", async {
        let thrown = declared(failed(kitchen.refuse_because(some("late"), 7).await)?)?;
        equal(&(some("late"), 7), &(thrown.message, thrown.code))?;
        // SOFARPC's server cuts the cause off; a server may send it.
        let cause = thrown.cause.map(|cause| cause.to_string());
        let right = "java.lang.IllegalArgumentException: late:8";
        let holds = cause.as_deref().is_none_or(|cause| cause == right);
        is_true(&format!("the cause is null or right: {cause:?}"), holds)
    })
    .await;
    run.case("exception-undeclared", async {
        match failed(kitchen.burn(some("toast")).await)? {
            RpcError::Exception(thrown) => equal(
                &"java.lang.IllegalStateException: toast".to_owned(),
                &thrown.to_string(),
            ),
            other => Err(other.into()),
        }
    })
    .await;
    const KITCHEN: &str = "com.diwan.interop.Kitchen";
    let string = "java.lang.String";
    let nowhere = any(remote, "com.diwan.interop.Nowhere", "anything", string);
    run.case("unknown-service", nowhere).await;
    let fry = any(remote, KITCHEN, "fry", string);
    run.case("unknown-method", fry).await;
    let next = any(remote, KITCHEN, "nextInt", string);
    run.case("unknown-signature", next).await;
    // What a server says that has no numbers for it: sofa-rpc-node's answers to all of these.
    run.special("error-texts", async {
        let error = failed(kitchen.refuse(some("closed \u{4e2d}"), 451).await)?;
        let text = error.to_string();
        is_true(&text, text.contains("closed \u{4e2d}"))?;
        let text = failed(kitchen.burn(some("toast")).await)?.to_string();
        is_true(&text, text.contains("toast"))?;
        let options = CallOptions::default();
        for (interface, method) in [("com.diwan.interop.Nowhere", "anything"), (KITCHEN, "fry")] {
            let service = remote.any(interface)?;
            let text = failed(service.generic(method, &[], &[], &options).await)?.to_string();
            let part = format!("{interface}:1.0");
            is_true(&text, text.contains(&part))?;
        }
        Ok(())
    })
    .await;
    run.case("timeout", timeout(remote)).await;
    run.special("busy", busy(remote)).await;
    run.special("stopping", async {
        let answer = kitchen.slow(some("finished"), 2000).await?;
        equal(&some("finished"), &answer)
    })
    .await;
}

async fn timeout(remote: &Remote) -> Outcome {
    let hasty = remote.kitchen.with(CallOptions {
        timeout: Some(Duration::from_millis(500)),
        ..CallOptions::default()
    });
    let began = Instant::now();
    let outcome = hasty.slow(some("late"), 1200).await;
    refused(outcome, ErrorKind::Timeout, "500ms")?;
    let took = began.elapsed().as_millis();
    is_true(
        &format!("timed out after {took} ms"),
        (450..1100).contains(&took),
    )?;
    // The late answer arrives in the middle of this; nobody may take it for his own.
    equal(&some("on time"), &hasty.echo(some("on time")).await?)?;
    sleep(Duration::from_secs(1)).await;
    equal(&some("after it"), &hasty.echo(some("after it")).await?)
}

/// For a server with one thread and no queue.
async fn busy(remote: &Remote) -> Outcome {
    let kitchen: KitchenClient = remote.kitchen_with(ConsumerOptions { ..options() })?;
    let first = kitchen.slow(some("first"), 800);
    let second = async {
        sleep(Duration::from_millis(300)).await;
        remote.kitchen.echo(some("second")).await
    };
    let (first, second) = tokio::join!(first, second);
    refused(second, ErrorKind::Busy, "")?;
    equal(&some("first"), &first?)
}
