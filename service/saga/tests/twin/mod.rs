//! A participant that decides nothing by chance: what the Java harness has behind Seata's engine. A method echoes its input;
//! `throwException` in the input makes it throw.
#![allow(dead_code, reason = "each test uses some of it")]

use diwan_saga::engine::{Call, Exception, Kind, Outcome};
use serde_json::{Map, Value, json};

pub const DEMO_EXCEPTION: &str = "org.apache.seata.saga.engine.mock.DemoException";

/// The service, and the calls that it got.
#[derive(Default)]
pub struct Twin {
    pub calls: Vec<Value>,
    random: u32,
}

impl Twin {
    pub fn answer(&mut self, call: &Call) -> Outcome {
        let outcome = self.carry_out(call);
        if let (Outcome::Exception(exception), Some(Value::Object(last))) =
            (&outcome, self.calls.last_mut())
        {
            last.insert("threw".into(), simple(&exception.class).into());
        }
        outcome
    }

    fn carry_out(&mut self, call: &Call) -> Outcome {
        let method = &*call.service.method;
        let arity = if method == "complexParameterMethod" {
            6
        } else {
            1
        };
        let mut args: Vec<Value> = call.args.iter().map(|value| Value::clone(value)).collect();
        args.resize(arity, Value::Null);
        if method == "complexParameterMethod" {
            args[2] = person(&args[2]);
            args[3] = Value::Array(elements(&args[3]).iter().map(person).collect());
        }
        self.calls.push(json!({"method": method, "input": args}));
        match method {
            "complexParameterMethod" => Outcome::Value(args.swap_remove(2).into()),
            "interfaceParameterMethod" => Outcome::Value(args.swap_remove(0).into()),
            "randomExceptionMethod" => {
                self.random += 1;
                Outcome::Exception(if self.random % 2 == 1 {
                    demo("randomExceptionMethod execute failed")
                } else {
                    Exception {
                        kind: Kind::Connect,
                        ..Exception::business(
                            "java.lang.IllegalStateException",
                            "java.net.ConnectException: Connect Exception",
                        )
                    }
                })
            }
            _ => {
                let input = args.swap_remove(0);
                if input.get("throwException") == Some(&json!("true")) {
                    return Outcome::Exception(demo(&format!("{method} execute failed")));
                }
                Outcome::Value(input.into())
            }
        }
    }
}

pub fn demo(message: &str) -> Exception {
    Exception {
        ancestors: vec!["java.lang.RuntimeException".into()],
        ..Exception::business(DEMO_EXCEPTION, message)
    }
}

fn simple(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// As the harness prints an exception: the cause of causes.
pub fn root(exception: &Exception) -> String {
    match exception.message.split_once(": ") {
        Some((class, message)) if class.contains('.') && !class.contains(' ') => {
            format!("{}: {message}", simple(class))
        }
        _ => format!("{}: {}", simple(&exception.class), exception.message),
    }
}

/// A bean has all its fields.
fn person(value: &Value) -> Value {
    let list = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Value::Null,
        Some(list) => Value::Array(elements(list).iter().map(person).collect()),
    };
    let map = match value.get("childrenMap") {
        Some(Value::Object(map)) => Value::Object(
            map.iter()
                .filter(|(key, _)| *key != "@type")
                .map(|(key, value)| (key.clone(), person(value)))
                .collect::<Map<_, _>>(),
        ),
        _ => Value::Null,
    };
    json!({
        "name": value.get("name"), "age": value.get("age"),
        "childrenArray": list("childrenArray"), "childrenList": list("childrenList"), "childrenMap": map,
    })
}

/// Of a list, or of `[type, list]`.
fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(list) => match list.as_slice() {
            [Value::String(_), Value::Array(list)] => list,
            list => list,
        },
        _ => &[],
    }
}
