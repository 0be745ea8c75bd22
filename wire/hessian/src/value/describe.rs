//! The canonical text of a value: one line, the same whatever language prints it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Kind, Value, ValueRef};

/// What is still to be printed.
enum Step<'v> {
    Value(ValueRef<'v>),
    Field(&'v str),
    Text(&'static str),
}

impl Value<'_> {
    /// Kind and content as one line of ASCII.
    ///
    /// `N` null, `T` and `F`, `i1` int, `l1` long, `d3ff0000000000000` double by its bits (any NaN as
    /// `d7ff8000000000000`, -0.0 as 0.0), `t0` date in ms, `"text"` string, `b00ff` bytes, `L"class"[..]` list,
    /// `M"class"{key=value}` map, `O"class"{"field"=value}` object, `@0` a container printed before, counted from 0 in
    /// printed order. The class is left out where there is none. In text, printable ASCII but `"` and `\` stands for
    /// itself and every other UTF-16 unit is `\u` and four lower-case hex digits.
    pub fn describe(&self) -> String {
        let mut out = String::new();
        let mut numbers: BTreeMap<u32, usize> = BTreeMap::new();
        let mut steps = vec![Step::Value(self.root())];
        while let Some(step) = steps.pop() {
            match step {
                Step::Text(text) => out.push_str(text),
                Step::Field(name) => quote(&mut out, name.encode_utf16()),
                Step::Value(at) => describe_one(&mut out, at, &mut numbers, &mut steps),
            }
        }
        out
    }
}

fn describe_one<'v>(
    out: &mut String,
    at: ValueRef<'v>,
    numbers: &mut BTreeMap<u32, usize>,
    steps: &mut Vec<Step<'v>>,
) {
    // Writing to a String cannot fail.
    let _ = match at.kind() {
        Kind::Null => write!(out, "N"),
        Kind::Bool(value) => write!(out, "{}", if value { 'T' } else { 'F' }),
        Kind::Int(value) => write!(out, "i{value}"),
        Kind::Long(value) => write!(out, "l{value}"),
        Kind::Double(value) if value.is_nan() => write!(out, "d7ff8000000000000"),
        // The sum is 0.0 for -0.0 too, and the value itself for any other.
        Kind::Double(value) => write!(out, "d{:016x}", (value + 0.0).to_bits()),
        Kind::Date(value) => write!(out, "t{value}"),
        Kind::Str(text) => return quote(out, text.encode_utf16()),
        Kind::Utf16(units) => return quote(out, units.iter().copied()),
        Kind::Bytes(bytes) => {
            out.push('b');
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
        Kind::List | Kind::Map | Kind::Object => return container(out, at, numbers, steps),
    };
}

fn container<'v>(
    out: &mut String,
    at: ValueRef<'v>,
    numbers: &mut BTreeMap<u32, usize>,
    steps: &mut Vec<Step<'v>>,
) {
    let next = numbers.len();
    let number = *numbers.entry(at.index()).or_insert(next);
    if number != next {
        let _ = write!(out, "@{number}");
        return;
    }
    let (letter, open, close) = match at.kind() {
        Kind::List => ('L', '[', "]"),
        Kind::Map => ('M', '{', "}"),
        _ => ('O', '{', "}"),
    };
    out.push(letter);
    if let Some(class) = at.class_name() {
        quote(out, class.encode_utf16());
    }
    out.push(open);
    // Last step first: they are taken from the end.
    let mark = steps.len();
    let comma = |first: bool| Step::Text(if first { "" } else { "," });
    for (index, item) in at.items().enumerate() {
        steps.extend([comma(index == 0), Step::Value(item)]);
    }
    for (index, (key, value)) in at.entries().enumerate() {
        steps.extend([
            comma(index == 0),
            Step::Value(key),
            Step::Text("="),
            Step::Value(value),
        ]);
    }
    for (index, (name, value)) in at.fields().enumerate() {
        steps.extend([
            comma(index == 0),
            Step::Field(name),
            Step::Text("="),
            Step::Value(value),
        ]);
    }
    steps.push(Step::Text(close));
    steps[mark..].reverse();
}

fn quote(out: &mut String, units: impl Iterator<Item = u16>) {
    out.push('"');
    for unit in units {
        match u8::try_from(unit) {
            Ok(byte @ 0x20..=0x7e) if byte != b'"' && byte != b'\\' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out.push('"');
}
