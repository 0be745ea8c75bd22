//! What a branch wants to be told in the second phase, as the original's participants write it: `{"actionContext": {...}}` with the
//! arguments by name and a few of the framework's own keys.
//! Source: apache/incubator-seata:integration-tx-api/src/main/java/org/apache/seata/integration/tx/api/interceptor/
//! ActionInterceptorHandler.java.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

const ACTION_CONTEXT: &str = "actionContext";
/// When the action began, in milliseconds since 1970.
const ACTION_START_TIME: &str = "action-start-time";
/// The framework's keys: no arguments.
/// Source: apache/incubator-seata:common/src/main/java/org/apache/seata/common/Constants.java.
const FRAMEWORK_KEYS: [&str; 8] = [
    ACTION_START_TIME,
    "host-name",
    "sys::prepare",
    "sys::commit",
    "sys::rollback",
    "actionName",
    "useTCCFence",
    "txIsolation",
];

/// The text for a branch's arguments.
pub(crate) fn write(arguments: &impl Serialize, unix_ms: u64) -> Result<String, String> {
    let value = serde_json::to_value(arguments).map_err(|error| error.to_string())?;
    let mut context = match value {
        Value::Object(fields) => fields,
        Value::Null => Map::new(),
        other => return Err(format!("arguments are a struct or a map, not {other}")),
    };
    if let Some(key) = FRAMEWORK_KEYS
        .iter()
        .find(|key| context.contains_key(**key))
    {
        return Err(format!("an argument cannot be named {key:?}"));
    }
    context.insert(ACTION_START_TIME.to_owned(), unix_ms.into());
    let mut data = Map::new();
    data.insert(ACTION_CONTEXT.to_owned(), Value::Object(context));
    Ok(Value::Object(data).to_string())
}

/// The arguments in it. Without any, as in the original, the context is empty.
pub(crate) fn read<A: DeserializeOwned>(text: &str) -> Result<A, String> {
    let data: Value = match text.trim() {
        "" => Value::Null,
        text => serde_json::from_str(text).map_err(|error| error.to_string())?,
    };
    let mut context = match data {
        Value::Null => Map::new(),
        Value::Object(mut data) => match data.remove(ACTION_CONTEXT) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(context)) => context,
            Some(_) => return Err(format!("its {ACTION_CONTEXT} is no object")),
        },
        _ => return Err("it is no object".to_owned()),
    };
    for key in FRAMEWORK_KEYS {
        context.remove(key);
    }
    let of_fields = serde_json::from_value(Value::Object(context.clone()));
    of_fields.or_else(|error| match context.is_empty() {
        // Arguments that are none are null.
        true => serde_json::from_value(Value::Null).map_err(|_| error.to_string()),
        false => Err(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Payment {
        account: String,
        cents: i64,
    }

    #[test]
    fn arguments_come_back() {
        let payment = Payment {
            account: "A\"1".into(),
            cents: i64::MIN,
        };
        let text = write(&payment, 7).unwrap();
        assert_eq!(
            text,
            r#"{"actionContext":{"account":"A\"1","cents":-9223372036854775808,"action-start-time":7}}"#
        );
        assert_eq!(read::<Payment>(&text), Ok(payment));
        assert_eq!(read::<()>(&write(&(), 7).unwrap()), Ok(()));
    }

    /// As `seata-all` 2.6.0 writes them for an action with two parameters.
    #[test]
    fn what_java_wrote_is_read() {
        let text = r#"{"actionContext":{"action-start-time":1700000000000,"cents":5,"useTCCFence":true,"sys::prepare":"prepare",
            "sys::rollback":"rollback","sys::commit":"commit","host-name":"10.0.0.1","account":"A1","actionName":"debit"}}"#;
        let payment: Payment = read(text).unwrap();
        assert_eq!((&*payment.account, payment.cents), ("A1", 5));
    }

    #[test]
    fn what_is_malformed_is_told() {
        for text in [
            "{",
            "[]",
            "7",
            r#"{"actionContext":7}"#,
            r#"{"actionContext":{"account":"A1"}}"#,
            r#"{"actionContext":{"account":"A1","cents":"x"}}"#,
            "",
            "null",
        ] {
            assert!(read::<Payment>(text).is_err(), "{text}");
        }
        assert!(write(&7, 7).is_err());
        let bad = serde_json::json!({ "actionName": 1 });
        assert!(write(&bad, 7).unwrap_err().contains("actionName"));
    }
}
