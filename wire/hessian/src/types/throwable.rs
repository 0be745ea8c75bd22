//! `java.lang.Throwable` of any class.

use std::borrow::Cow;
use std::fmt;

use crate::class::{Typed, typed};
use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, Encoder};
use crate::error::Result;
use crate::java_type::JavaType;
use crate::value::Value;

/// An exception of any class: what Java's own fields say, and the rest as values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Throwable {
    /// Java class.
    pub class: String,
    /// `detailMessage`.
    pub message: Option<String>,
    /// `cause`. Java's field points to the exception itself when there is none.
    pub cause: Option<Box<Throwable>>,
    /// `stackTrace`, innermost call first.
    pub stack: Vec<StackFrame>,
    /// `suppressedExceptions`.
    pub suppressed: Vec<Throwable>,
    /// Fields of the class itself.
    pub fields: Vec<(String, Value<'static>)>,
}

/// `java.lang.StackTraceElement`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackFrame {
    /// Class the method belongs to.
    pub declaring_class: String,
    /// Method.
    pub method_name: String,
    /// Source file, if known.
    pub file_name: Option<String>,
    /// Line, negative if unknown.
    pub line_number: i32,
}

impl fmt::Display for Throwable {
    /// `class: message`, as Java's `toString`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.class)?;
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Throwable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl Throwable {
    /// An exception of `class` with a message, nothing else.
    pub fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        Throwable {
            class: class.into(),
            message: Some(message.into()),
            ..Throwable::default()
        }
    }
}

/// Fields in the order of Java's writer: what is primitive or of `java.lang` first, the subclass before `Throwable`
/// (`sofastack/sofa-hessian@3.x:JavaSerializer.introspect`).
impl Encode for Throwable {
    fn encode(&self, e: &mut Encoder<'_>) {
        let (simple, compound): (Vec<_>, Vec<_>) =
            self.fields.iter().partition(|(_, value)| value.is_simple());
        let names: Vec<&str> = (simple.iter().map(|(name, _)| name.as_str()))
            .chain(["detailMessage", "cause"])
            .chain(compound.iter().map(|(name, _)| name.as_str()))
            .chain(["stackTrace", "suppressedExceptions"])
            .collect();
        let number = e.next_reference();
        e.object_dyn(&self.class, &names);
        simple.iter().for_each(|(_, value)| value.encode(e));
        write_head(e, number, self.message.as_deref(), self.cause.as_deref());
        compound.iter().for_each(|(_, value)| value.encode(e));
        write_tail(e, &self.stack, &self.suppressed);
    }
}

/// Writes `detailMessage` and `cause` of the throwable that is container `number`.
#[doc(hidden)]
pub fn write_head(
    e: &mut Encoder<'_>,
    number: u32,
    message: Option<&str>,
    cause: Option<&Throwable>,
) {
    match message {
        Some(message) => e.str(message),
        None => e.null(),
    }
    match cause {
        Some(cause) => cause.encode(e),
        // `Throwable.cause` is `this` until one is set; null would forbid to set one.
        None => e.reference(number),
    }
}

/// Writes `stackTrace` and `suppressedExceptions`.
#[doc(hidden)]
pub fn write_tail(e: &mut Encoder<'_>, stack: &[StackFrame], suppressed: &[Throwable]) {
    e.list_begin(Some("[java.lang.StackTraceElement"), stack.len());
    stack.iter().for_each(|frame| frame.encode(e));
    e.list_end();
    suppressed.encode(e);
}

/// Reads `cause` of the throwable that is container `number`: a reference to itself is none.
#[doc(hidden)]
pub fn read_cause(d: &mut Decoder<'_>, number: u32) -> Result<Option<Box<Throwable>>> {
    let start = d.position();
    if let Some(cause) = d.take_reference()? {
        if cause == number {
            return Ok(None);
        }
        d.rewind(start);
    }
    Decode::decode(d)
}

impl<'de> Decode<'de> for Throwable {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        let offset = d.position();
        let Some(head) = d.object_begin()? else {
            return Err(crate::Error::Null {
                offset,
                expected: "java.lang.Throwable",
            });
        };
        let mut throwable = Throwable {
            class: d.class_name(head).into_owned(),
            ..Throwable::default()
        };
        for index in 0..d.field_count(head) {
            match d.field_bytes(head, index) {
                b"detailMessage" => throwable.message = Decode::decode(d)?,
                b"cause" => throwable.cause = read_cause(d, head.number())?,
                b"stackTrace" => throwable.stack = Decode::decode(d)?,
                b"suppressedExceptions" => throwable.suppressed = Decode::decode(d)?,
                _ => {
                    let name = d.field_name(head, index).into_owned();
                    throwable.fields.push((name, d.value()?.into_owned()));
                }
            }
        }
        d.object_end(head)?;
        Ok(throwable)
    }
}

impl JavaType for Throwable {
    fn java_type() -> Cow<'static, str> {
        Cow::Borrowed("java.lang.Throwable")
    }
}

impl StackFrame {
    /// The four fields of Java 8. Later Javas have three more, which their reader takes as null when missing
    /// (`sofa-hessian@3.x:throwable/StackTraceElementDeserializer.java`).
    fn typed() -> &'static Typed {
        typed!(
            "java.lang.StackTraceElement",
            &["declaringClass", "methodName", "fileName", "lineNumber"]
        )
    }
}

impl Encode for StackFrame {
    fn encode(&self, e: &mut Encoder<'_>) {
        e.object_of(Self::typed());
        e.str(&self.declaring_class);
        e.str(&self.method_name);
        self.file_name.encode(e);
        e.int(self.line_number);
    }
}

impl<'de> Decode<'de> for StackFrame {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        let mut frame = StackFrame::default();
        let Some((head, _)) = d.object_of(Self::typed())? else {
            return Ok(frame);
        };
        for index in 0..d.field_count(head) {
            match d.field_bytes(head, index) {
                b"declaringClass" => frame.declaring_class = Decode::decode(d)?,
                b"methodName" => frame.method_name = Decode::decode(d)?,
                b"fileName" => frame.file_name = Decode::decode(d)?,
                b"lineNumber" => frame.line_number = d.int()?,
                _ => d.skip()?,
            }
        }
        d.object_end(head)?;
        Ok(frame)
    }

    fn absent() -> Option<Self> {
        Some(StackFrame::default())
    }
}

impl JavaType for StackFrame {
    fn java_type() -> Cow<'static, str> {
        Cow::Borrowed("java.lang.StackTraceElement")
    }
}
