//! Requests that the Java client of SOFARPC 5.14.3 (hessian 3.5.5) sent, captured as whole Bolt frames in `golden/`.

mod bolt;
mod order;

use bolt::{SofaRequest, bolt_content};
use diwan_hessian::{Decode, Decoder, Dialect, Encode, Encoder, Value};
use order::Order;

const ORDER: &[u8] = include_bytes!("golden/bolt-order.bin");
const ECHO_100: &[u8] = include_bytes!("golden/bolt-echo100.bin");
const ECHO_1K: &[u8] = include_bytes!("golden/bolt-echo1k.bin");

/// Request and argument share class definitions, type names and reference numbers.
#[test]
fn typed_order_reads_and_writes_the_bytes_of_java() {
    let content = bolt_content(ORDER);
    let mut d = Decoder::new(content);
    let request = SofaRequest::decode(&mut d).unwrap();
    let order = Order::decode(&mut d).unwrap();
    assert!(d.is_empty());
    assert_eq!(d.dialect(), Some(Dialect::Draft));
    assert_eq!(request.method_name, "order");
    assert_eq!(request.method_arg_sigs.0, ["com.diwan.bench.Order"]);
    assert_eq!(order, Order::sample());

    let mut bytes = Vec::new();
    let mut e = Encoder::new(Dialect::Draft, &mut bytes);
    request.encode(&mut e);
    order.encode(&mut e);
    assert_eq!(bytes, content);
}

#[test]
fn values_read_and_write_the_bytes_of_java() {
    for frame in [ORDER, ECHO_100, ECHO_1K] {
        let content = bolt_content(frame);
        let mut d = Decoder::new(content);
        let values = d.values(2).unwrap();
        assert!(d.is_empty());
        let mut bytes = Vec::new();
        let mut e = Encoder::new(Dialect::Draft, &mut bytes);
        values.iter().for_each(|value| value.encode(&mut e));
        assert_eq!(bytes, content);

        // One value at a time is the same, classes known from before included.
        let mut d = Decoder::new(content);
        let (request, argument) = (
            Value::decode(&mut d).unwrap(),
            Value::decode(&mut d).unwrap(),
        );
        assert_eq!([request, argument], [values[0].clone(), values[1].clone()]);
    }
}

#[test]
fn skipping_ends_where_reading_does() {
    for frame in [ORDER, ECHO_100, ECHO_1K] {
        let mut d = Decoder::new(bolt_content(frame));
        d.skip().unwrap();
        d.skip().unwrap();
        assert!(d.is_empty());
    }
}

/// What was skipped still defines classes and types for what follows.
#[test]
fn argument_reads_typed_after_a_skipped_request() {
    let mut d = Decoder::new(bolt_content(ORDER));
    d.skip().unwrap();
    assert_eq!(Order::decode(&mut d).unwrap(), Order::sample());
}
