//! JSON for people, Hessian values for the wire.

use std::collections::HashSet;
use std::fmt::Write;

use diwan::hessian::{Kind, Value, ValueRef, array_class, element_of};
use serde_json::{Map, Number, Value as Json};

/// A value from JSON with the Java signature it suggests. `declared` is the signature of the method, where one was
/// given: it decides between `int` and `long`, list and array.
pub(crate) fn to_value(
    json: &Json,
    declared: Option<&str>,
) -> Result<(Value<'static>, String), String> {
    let (value, guess) = match json {
        Json::Null => (Value::null(), "java.lang.Object"),
        Json::Bool(flag) => (Value::bool(*flag), "boolean"),
        Json::Number(number) => return number_value(number, declared),
        Json::String(text) => return text_value(text, declared),
        Json::Array(items) => {
            // Of `byte` it would be bytes, of `char` a string.
            let element = declared
                .and_then(element_of)
                .filter(|element| !matches!(*element, "byte" | "char"));
            let class = element.map(array_class);
            let items = items.iter().map(|item| Ok(to_value(item, element)?.0));
            let items = items.collect::<Result<Vec<_>, String>>()?;
            (Value::list(class.as_deref(), items), "java.util.List")
        }
        Json::Object(fields) => return object_value(fields),
    };
    Ok((value, declared.unwrap_or(guess).to_owned()))
}

fn number_value(
    number: &Number,
    declared: Option<&str>,
) -> Result<(Value<'static>, String), String> {
    let as_long = number.as_i64();
    let as_double = number.as_f64();
    let problem = |wanted: &str| format!("{number} is no {wanted}");
    let (value, signature) = match declared {
        Some("long" | "java.lang.Long") => {
            (Value::long(as_long.ok_or_else(|| problem("long"))?), "long")
        }
        Some("double" | "float" | "java.lang.Double" | "java.lang.Float") => (
            Value::double(as_double.ok_or_else(|| problem("double"))?),
            "double",
        ),
        Some("java.math.BigDecimal") => {
            let text = Value::str(number.to_string());
            (
                Value::object("java.math.BigDecimal", [("value", text)]),
                "java.math.BigDecimal",
            )
        }
        Some("java.util.Date") => (
            Value::date_ms(as_long.ok_or_else(|| problem("date in ms"))?),
            "java.util.Date",
        ),
        _ => match (as_long.map(i32::try_from), as_long) {
            (Some(Ok(int)), _) => (Value::int(int), "int"),
            (_, Some(long)) => (Value::long(long), "long"),
            _ => (
                Value::double(as_double.ok_or_else(|| problem("number that Java has"))?),
                "double",
            ),
        },
    };
    Ok((value, declared.unwrap_or(signature).to_owned()))
}

fn text_value(text: &str, declared: Option<&str>) -> Result<(Value<'static>, String), String> {
    let value = match declared {
        Some(class @ "java.math.BigDecimal") => {
            Value::object(class, [("value", Value::str(text.to_owned()))])
        }
        _ => Value::str(text.to_owned()),
    };
    Ok((value, declared.unwrap_or("java.lang.String").to_owned()))
}

/// `{"$class": ..}` is an object, `{"$long": 1}` and its like a number of that type, anything else a map.
fn object_value(fields: &Map<String, Json>) -> Result<(Value<'static>, String), String> {
    if let (1, Some((key, inner))) = (fields.len(), fields.iter().next())
        && let Some(name) = key.strip_prefix('$')
        && name != "class"
    {
        let signature = match name {
            "int" | "long" | "double" | "float" | "short" | "byte" => name,
            "decimal" => "java.math.BigDecimal",
            "date" => "java.util.Date",
            "bytes" => return bytes_value(inner),
            "enum" => return enum_value(inner),
            _ => {
                return Err(format!(
                    "{key:?} is unknown: $int, $long, $double, $decimal, $date, $bytes, $enum, $class"
                ));
            }
        };
        return to_value(inner, Some(signature));
    }
    match fields.get("$class") {
        Some(Json::String(class)) => {
            let values = fields.iter().filter(|(name, _)| *name != "$class");
            let values = values.map(|(name, json)| Ok((name.as_str(), to_value(json, None)?.0)));
            let values = values.collect::<Result<Vec<_>, String>>()?;
            Ok((Value::object(class, values), class.clone()))
        }
        Some(_) => Err("\"$class\" must be a string".into()),
        None => {
            let entries = fields
                .iter()
                .map(|(key, json)| Ok((Value::str(key.clone()), to_value(json, None)?.0)));
            let entries = entries.collect::<Result<Vec<_>, String>>()?;
            Ok((Value::map(None, entries), "java.util.Map".into()))
        }
    }
}

fn bytes_value(json: &Json) -> Result<(Value<'static>, String), String> {
    let hex = json
        .as_str()
        .filter(|hex| hex.is_ascii() && hex.len().is_multiple_of(2));
    let bytes = hex.and_then(|hex| {
        let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).ok();
        (0..hex.len())
            .step_by(2)
            .map(pair)
            .collect::<Option<Vec<u8>>>()
    });
    let bytes = bytes.ok_or("\"$bytes\" must be an even number of hexadecimal digits")?;
    Ok((Value::bytes(bytes), "[B".into()))
}

fn enum_value(json: &Json) -> Result<(Value<'static>, String), String> {
    let named = json.as_str().and_then(|text| text.rsplit_once('.'));
    let (class, name) = named.ok_or("\"$enum\" must be a string such as com.x.Color.RED")?;
    Ok((
        Value::object(class, [("name", Value::str(name.to_owned()))]),
        class.to_owned(),
    ))
}

/// JSON of a value. Objects carry `$class`; what JSON cannot say is written as in arguments; a value that contains
/// itself appears once, then as `{"$cycle": class}`.
pub(crate) fn from_value(value: &Value<'_>) -> Json {
    from_node(value.root(), &mut Vec::new())
}

fn from_node<'v>(node: ValueRef<'v>, open: &mut Vec<ValueRef<'v>>) -> Json {
    if open.iter().any(|other| other.ptr_eq(node)) {
        return single("$cycle", Json::from(node.class_name().unwrap_or_default()));
    }
    match node.kind() {
        Kind::Null => Json::Null,
        Kind::Bool(flag) => Json::from(flag),
        Kind::Int(int) => Json::from(int),
        Kind::Long(long) => Json::from(long),
        Kind::Double(double) => {
            Number::from_f64(double).map_or_else(|| Json::from(double.to_string()), Json::Number)
        }
        Kind::Date(ms) => single("$date", Json::from(ms)),
        Kind::Bytes(bytes) => {
            let mut hex = String::with_capacity(bytes.len() * 2);
            for byte in bytes {
                let _ = write!(hex, "{byte:02x}");
            }
            single("$bytes", Json::from(hex))
        }
        Kind::List => {
            open.push(node);
            let items = node.items().map(|item| from_node(item, open)).collect();
            open.pop();
            Json::Array(items)
        }
        Kind::Map => {
            open.push(node);
            let map = from_entries(node, open);
            open.pop();
            map
        }
        Kind::Object => {
            open.push(node);
            let object = from_object(node, open);
            open.pop();
            object
        }
        other => Json::from(
            node.as_str()
                .map_or_else(|| format!("{other:?}"), str::to_owned),
        ),
    }
}

fn single(name: &str, value: Json) -> Json {
    Json::Object(Map::from_iter([(name.to_owned(), value)]))
}

fn from_entries<'v>(node: ValueRef<'v>, open: &mut Vec<ValueRef<'v>>) -> Json {
    let keys: HashSet<&str> = node.entries().filter_map(|(key, _)| key.as_str()).collect();
    if keys.len() == node.len() {
        let entries = node.entries().map(|(key, value)| {
            (
                key.as_str().unwrap_or_default().to_owned(),
                from_node(value, open),
            )
        });
        return Json::Object(entries.collect());
    }
    // Keys that are no strings, or twice the same: pairs.
    let pairs = node
        .entries()
        .map(|(key, value)| Json::Array(vec![from_node(key, open), from_node(value, open)]));
    single("$map", Json::Array(pairs.collect()))
}

fn from_object<'v>(node: ValueRef<'v>, open: &mut Vec<ValueRef<'v>>) -> Json {
    let class = node.class_name().unwrap_or_default();
    let only = (node.len() == 1).then(|| node.fields().next()).flatten();
    if let Some(("value", value)) = only
        && class == "java.math.BigDecimal"
    {
        return single("$decimal", from_node(value, open));
    }
    let mut object = Map::from_iter([("$class".to_owned(), Json::from(class))]);
    object.extend(
        node.fields()
            .map(|(name, value)| (name.to_owned(), from_node(value, open))),
    );
    Json::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_back_as_they_were_written() {
        let cases = [
            (r#"null"#, "java.lang.Object"),
            (r#""Ann""#, "java.lang.String"),
            (r#"7"#, "int"),
            (r#"5000000000"#, "long"),
            (r#"1.5"#, "double"),
            (r#"[1,"a",null]"#, "java.util.List"),
            (r#"{"a":{"b":[]}}"#, "java.util.Map"),
            (
                r#"{"$class":"com.x.Order","id":1,"lines":[{"$class":"com.x.Line","sku":"a"}]}"#,
                "com.x.Order",
            ),
            (r#"{"$date":1585526400000}"#, "java.util.Date"),
            (r#"{"$bytes":"00ff"}"#, "[B"),
            (r#"{"$decimal":"12345678.90"}"#, "java.math.BigDecimal"),
        ];
        for (text, signature) in cases {
            let json: Json = serde_json::from_str(text).unwrap();
            let (value, guessed) = to_value(&json, None).unwrap();
            assert_eq!(guessed, signature, "{text}");
            assert_eq!(from_value(&value).to_string(), text);
        }
    }

    #[test]
    fn a_declared_signature_decides() {
        let json = |text: &str| serde_json::from_str::<Json>(text).unwrap();
        let (value, signature) = to_value(&json("1"), Some("long")).unwrap();
        assert_eq!((value, signature.as_str()), (Value::long(1), "long"));
        let (value, _) = to_value(&json(r#"{"$long": 1}"#), None).unwrap();
        assert_eq!(value, Value::long(1));
        let (value, _) = to_value(&json(r#"["a"]"#), Some("[Ljava.lang.String;")).unwrap();
        assert_eq!(value.class_name(), Some("[string"));
        let (value, _) = to_value(&json("[[1]]"), Some("[[J")).unwrap();
        assert_eq!(value.class_name(), Some("[[long"));
        let inner = value.items().next().unwrap();
        assert_eq!(inner.class_name(), Some("[long"));
        assert_eq!(inner.items().next().unwrap().kind(), Kind::Long(1));
    }

    #[test]
    fn what_cannot_be_a_value_says_why() {
        for (text, problem) in [
            (r#"{"$class": 5}"#, "must be a string"),
            (r#"{"$lnog": 5}"#, "is unknown"),
            (r#"{"$bytes": "0g"}"#, "hexadecimal"),
            (r#"{"$enum": "RED"}"#, "com.x.Color.RED"),
            (r#"{"$long": 1.5}"#, "no long"),
        ] {
            let json: Json = serde_json::from_str(text).unwrap();
            let error = to_value(&json, None).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
