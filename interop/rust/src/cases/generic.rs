//! Calls without types.

use diwan::hessian::Value;
use diwan::rpc::RpcError;
use diwan::rpc::client::CallOptions;

use super::failures::failed;
use super::{Outcome, Remote, Run, Wrong, equal, is_true};

const KITCHEN: &str = "com.diwan.interop.Kitchen";
const TOOL: &str = "com.diwan.interop.Tool";

async fn call(
    remote: &Remote,
    method: &str,
    signatures: &[&str],
    arguments: &[Value<'_>],
) -> Result<Value<'static>, Wrong> {
    let kitchen = remote.any(KITCHEN)?;
    Ok(kitchen
        .generic(method, signatures, arguments, &CallOptions::default())
        .await?)
}

pub(super) async fn run(run: &mut Run, remote: &Remote) {
    run.case("generic-plain", async {
        let eight = call(remote, "nextInt", &["int"], &[Value::int(7)]).await?;
        equal(&Some(8), &eight.as_i64())
    })
    .await;
    run.case("generic-object", async {
        let knife = Value::object(
            "com.diwan.interop.Knife",
            [("lengthCm", Value::double(21.5))],
        );
        let pan = call(remote, "exchange", &[TOOL], &[knife]).await?;
        equal(&Some("com.diwan.interop.Pan"), &pan.class_name())?;
        let diameter = pan.get("diameterCm").and_then(|field| field.as_i64());
        let lid = pan.get("lid").and_then(|field| field.as_bool());
        equal(&(Some(21), Some(false)), &(diameter, lid))
    })
    .await;
    run.case("generic-list", list(remote)).await;
    run.case("generic-exception", async {
        let arguments = [Value::str("no"), Value::int(5)];
        let signatures = ["java.lang.String", "int"];
        let (kitchen, options) = (remote.any(KITCHEN)?, CallOptions::default());
        let outcome = kitchen
            .generic("refuse", &signatures, &arguments, &options)
            .await;
        match failed(outcome)? {
            RpcError::Exception(thrown) => {
                let code = thrown.fields.iter().find(|(name, _)| name == "code");
                let code = code.and_then(|(_, value)| value.as_i64());
                let text = thrown.to_string();
                equal(
                    &("com.diwan.interop.KitchenException: no".to_owned(), Some(5)),
                    &(text, code),
                )
            }
            other => Err(other.into()),
        }
    })
    .await;
}

/// One object as an argument, and in a list that is the other argument.
async fn list(remote: &Remote) -> Outcome {
    let fields = [("text", Value::str("t")), ("weight", Value::int(4))];
    let tag = Value::object("com.diwan.interop.Tag", fields);
    let mut builder = diwan::hessian::Builder::new();
    let tag = builder.copy(&tag);
    let around = builder.list(None, &[tag]);
    let both = builder.list(None, &[tag, around]);
    let both = builder.finish(both);
    let arguments: Vec<Value<'_>> = both.items().filter_map(|item| both.at(item)).collect();
    let signatures = ["java.lang.Object"; 2];
    let answer = call(remote, "pair", &signatures, &arguments).await?;
    let items: Vec<_> = answer.items().collect();
    let [list, tag] = items[..] else {
        return Err(answer.describe().into());
    };
    equal(&Some("com.diwan.interop.Tag"), &tag.class_name())?;
    let inner: Vec<_> = list.items().collect();
    let is_same = matches!(inner[..], [inner] if inner.ptr_eq(tag));
    is_true("the object in the list is the argument itself", is_same)
}
