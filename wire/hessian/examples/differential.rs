//! Compares this crate with other implementations: values in, values out, as frames of a big-endian `u32` length and
//! bytes on stdin and stdout.
//!
//! `reencode DIALECT` writes every body read again; a body that cannot be read becomes a frame of length 0xffffffff
//! without bytes. `describe DIALECT` prints one line of canonical text per body. `generate DIALECT SEED COUNT` writes
//! random values, with `--describe` behind it their texts; `--readable` keeps to what Java and JavaScript lose nothing of.

use std::env;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use diwan_hessian::testing::{generate, generate_readable};
use diwan_hessian::{Decoder, Dialect, Encode, Encoder, Error, Limits, Value};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    match arguments[..] {
        ["reencode", dialect] => each_frame(|body| reencode(parse(dialect), body, &mut out))?,
        ["describe", dialect] => each_frame(|body| match read(parse(dialect), body) {
            Ok(values) => writeln!(out, "{}", describe(&values)),
            Err(error) => writeln!(out, "error: {error}"),
        })?,
        ["generate", dialect, seed, count, ref rest @ ..] => {
            let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
            let (seed, count) = (number(seed)?, number(count)?);
            for index in 0..count {
                let seed = seed.wrapping_add(index);
                let readable = rest.contains(&"--readable");
                let value = if readable {
                    generate_readable(seed)
                } else {
                    generate(seed)
                };
                match rest.contains(&"--describe") {
                    true => writeln!(out, "{}", value.describe())?,
                    false => frame(&mut out, &write(parse(dialect), &[value]))?,
                }
            }
        }
        _ => {
            eprintln!("usage: differential reencode|describe draft|final < frames");
            eprintln!(
                "       differential generate draft|final SEED COUNT [--describe] [--readable]"
            );
            std::process::exit(2);
        }
    }
    out.flush()
}

fn parse(dialect: &str) -> Dialect {
    match dialect {
        "draft" => Dialect::Draft,
        "final" => Dialect::Final,
        other => {
            eprintln!("{other} is no dialect: draft or final");
            std::process::exit(2);
        }
    }
}

/// All values of a body.
fn read(dialect: Dialect, body: &[u8]) -> Result<Vec<Value<'static>>, Error> {
    let mut d = Decoder::with(body, Some(dialect), Limits::default());
    let mut count = 0;
    while !d.is_empty() {
        d.skip()?;
        count += 1;
    }
    let mut d = Decoder::with(body, Some(dialect), Limits::default());
    Ok(d.values(count)?
        .into_iter()
        .map(Value::into_owned)
        .collect())
}

fn write(dialect: Dialect, values: &[Value<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut e = Encoder::new(dialect, &mut bytes);
    values.iter().for_each(|value| value.encode(&mut e));
    bytes
}

fn describe(values: &[Value<'_>]) -> String {
    values
        .iter()
        .map(Value::describe)
        .collect::<Vec<_>>()
        .join(" ")
}

fn reencode(dialect: Dialect, body: &[u8], out: &mut impl Write) -> io::Result<()> {
    match read(dialect, body) {
        Ok(values) => frame(out, &write(dialect, &values)),
        Err(error) => {
            eprintln!("{error}");
            out.write_all(&u32::MAX.to_be_bytes())
        }
    }
}

fn frame(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(bytes)
}

/// Calls `take` with every frame of stdin.
fn each_frame(mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    while !input.fill_buf()?.is_empty() {
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let mut body = Vec::new();
        let length = u64::from(u32::from_be_bytes(length));
        input.by_ref().take(length).read_to_end(&mut body)?;
        if (body.len() as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        take(&body)?;
    }
    Ok(())
}
