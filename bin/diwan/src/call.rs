//! `diwan call`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use diwan::hessian::{Throwable, Value, array_of};
use diwan::rpc::client::{CallOptions, block_on};
use diwan::rpc::{Consumer, ConsumerOptions, RpcError};

use crate::json::{from_value, to_value};

pub(crate) const HELP: &str = r#"Examples:
  diwan call bolt://127.0.0.1:12200 com.x.Hello:1.0 say '["Ann"]'
  diwan call bolt://127.0.0.1:12200 com.x.Hello:1.0 'add(int,long)' '[1, 2]'
  diwan call bolt://127.0.0.1:12200 com.x.Shop:1.0 order '[{"$class": "com.x.Order", "id": 7}]'
  diwan call bolt://127.0.0.1:12200 com.x.Hello:1.0 say '["Ann"]' --repeat 10000

Arguments are a JSON array. A signature may be given as method(type,...): a Java server compares it literally.
Otherwise it is guessed from the JSON and printed: numbers are int, else long, else double; arrays are
java.util.List, objects java.util.Map. To be exact: {"$long": 1}, {"$double": 1}, {"$decimal": "1.50"},
{"$date": MILLISECONDS}, {"$bytes": "00ff"}, {"$enum": "com.x.Color.RED"}, {"$class": "com.x.Order", ...}.

Exit codes: 0 answered, 1 not called or failed, 2 the method threw an exception."#;

#[derive(Args)]
pub(crate) struct CallArguments {
    /// Server, or several separated by commas: bolt://HOST:PORT
    url: String,
    /// Unique name: INTERFACE:VERSION or INTERFACE:VERSION:ID
    service: String,
    /// Method name, or method(type,...) with Java types
    method: String,
    /// JSON array of the arguments
    #[arg(default_value = "[]")]
    arguments: String,
    /// Wait for the answer for so long, in milliseconds
    #[arg(long, default_value_t = 3000)]
    timeout_ms: u64,
    /// Call so many times, print the last answer and how long the calls took
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Baggage for the server, KEY=VALUE; may be repeated
    #[arg(long)]
    baggage: Vec<String>,
}

const STACK_FRAMES_SHOWN: usize = 10;

/// Why there is no answer.
enum Trouble {
    Usage(String),
    Call(Box<RpcError<Throwable>>),
}

pub(crate) fn run(arguments: &CallArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match call(arguments) {
        Ok(answer) => {
            println!("{}", serde_json::to_string_pretty(&from_value(&answer))?);
            Ok(ExitCode::SUCCESS)
        }
        Err(Trouble::Usage(problem)) => Err(problem.into()),
        Err(Trouble::Call(error)) => match *error {
            RpcError::Exception(thrown) => {
                print_exception(&thrown);
                Ok(ExitCode::from(2))
            }
            error => Err(error.to_string().into()),
        },
    }
}

fn print_exception(thrown: &Throwable) {
    eprintln!("exception: {thrown}");
    for (name, value) in &thrown.fields {
        eprintln!("  {name}: {}", from_value(value));
    }
    for frame in thrown.stack.iter().take(STACK_FRAMES_SHOWN) {
        let (class, method, line) = (
            &frame.declaring_class,
            &frame.method_name,
            frame.line_number,
        );
        let file = frame.file_name.as_deref().unwrap_or("?");
        eprintln!("  at {class}.{method}({file}:{line})");
    }
}

fn call(arguments: &CallArguments) -> Result<Value<'static>, Trouble> {
    let usage = |problem: String| Trouble::Usage(problem);
    let mut name = arguments.service.splitn(3, ':');
    let interface = name.next().unwrap_or_default();
    let options = ConsumerOptions {
        version: name.next().unwrap_or_default().to_owned(),
        unique_id: name.next().unwrap_or_default().to_owned(),
        timeout: Duration::from_millis(arguments.timeout_ms),
        ..ConsumerOptions::default()
    };
    let (method, declared) = parse_method(&arguments.method).map_err(usage)?;
    let json: Vec<serde_json::Value> =
        serde_json::from_str(&arguments.arguments).map_err(|error| {
            usage(format!(
                "arguments must be a JSON array such as '[\"Ann\", 7]': {error}"
            ))
        })?;
    if let Some(declared) = &declared
        && declared.len() != json.len()
    {
        return Err(usage(format!(
            "the signature has {} types, {} arguments are given",
            declared.len(),
            json.len()
        )));
    }
    let mut values = Vec::new();
    let mut signatures = Vec::new();
    for (index, json) in json.iter().enumerate() {
        let wanted = declared.as_ref().map(|declared| declared[index].as_str());
        let (value, signature) = to_value(json, wanted)
            .map_err(|problem| usage(format!("argument {}: {problem}", index + 1)))?;
        values.push(value);
        signatures.push(signature);
    }
    if declared.is_none() && !signatures.is_empty() {
        eprintln!("calling {method}({})", signatures.join(","));
    }
    let baggage = arguments.baggage.iter().map(|pair| {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| usage(format!("{pair:?} is not KEY=VALUE")))?;
        Ok((key.to_owned(), value.to_owned()))
    });
    let call_options = CallOptions {
        baggage: baggage.collect::<Result<_, _>>()?,
        ..CallOptions::default()
    };

    let consumer = Consumer::direct(interface, &arguments.url, options)
        .map_err(|error| usage(error.to_string()))?;
    let signatures: Vec<&str> = signatures.iter().map(String::as_str).collect();
    let mut times = Vec::new();
    let mut answer = Value::null();
    for _ in 0..arguments.repeat.max(1) {
        let began = Instant::now();
        answer = block_on(consumer.generic(method, &signatures, &values, &call_options))
            .map_err(|error| Trouble::Call(Box::new(error)))?;
        times.push(began.elapsed());
    }
    if arguments.repeat > 1 {
        print_times(times);
    }
    Ok(answer)
}

/// `say` or `say(java.lang.String,int)`.
fn parse_method(text: &str) -> Result<(&str, Option<Vec<String>>), String> {
    let Some((name, rest)) = text.split_once('(') else {
        return Ok((text, None));
    };
    let types = rest
        .strip_suffix(')')
        .ok_or_else(|| format!("{text:?} has no closing parenthesis"))?;
    let types = types
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(java_name)
        .collect();
    Ok((name, Some(types)))
}

/// A Java type as a person writes it, as SOFARPC sends it: `String[]` is `[Ljava.lang.String;`.
fn java_name(name: &str) -> String {
    if let Some(element) = name.strip_suffix("[]") {
        return array_of(&java_name(element));
    }
    match name {
        "String" => "java.lang.String".into(),
        "List" => "java.util.List".into(),
        "Map" => "java.util.Map".into(),
        other => other.into(),
    }
}

fn print_times(mut times: Vec<Duration>) {
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let at = |percent: usize| {
        times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e6
    };
    eprintln!(
        "{} calls one after the other, {:.0}/s; p50 {:.0} us, p99 {:.0} us, first or slowest {:.0} us",
        times.len(),
        times.len() as f64 / total.as_secs_f64(),
        at(50),
        at(99),
        at(100)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_with_and_without_signature() {
        assert_eq!(parse_method("say"), Ok(("say", None)));
        let types = |text| parse_method(text).map(|(_, types)| types.unwrap_or_default().join(" "));
        assert_eq!(types("f()"), Ok(String::new()));
        assert_eq!(
            types("f(String, int[],com.x.Y[][])"),
            Ok("java.lang.String [I [[Lcom.x.Y;".into())
        );
        assert!(parse_method("f(int").is_err());
    }
}
