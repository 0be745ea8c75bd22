use super::*;

use proptest::prelude::*;

fn shown(text: &str) -> String {
    match text.parse::<Address>() {
        Ok(address) => address.to_string(),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn what_is_left_out_is_filled_in_and_passwords_are_not_shown() {
    let cases = [
        ("etcd://a", "etcd://a:2379/diwan"),
        ("etcd://a/", "etcd://a:2379/diwan"),
        ("etcd://a:1,b-c.d:65535/x/y/", "etcd://a:1,b-c.d:65535/x/y"),
        ("etcd://[::1]:80,[::2]/p", "etcd://[::1]:80,[::2]:2379/p"),
        ("etcd://me:p%40ss@a/p", "etcd://me:***@a:2379/p"),
        ("etcds://a/p?ca=/x&cert=/y&key=/z", "etcds://a:2379/p"),
        (
            "postgres://a",
            "postgres://a:5432/?schema=diwan&sslmode=prefer",
        ),
        (
            "postgresql://me:secret@a:1,b:2/db?schema=x_1&sslmode=disable&connect_timeout=3",
            "postgres://me@a:1,b:2/db?schema=x_1&sslmode=disable",
        ),
        (
            "postgres://me@a/db?password=secret&sslmode=verify-full&sslrootcert=/ca",
            "postgres://me@a:5432/db?schema=diwan&sslmode=verify-full",
        ),
        (
            "postgres://%2Frun%2Fpg/db",
            "postgres:///run/pg:5432/db?schema=diwan&sslmode=prefer",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text), expected, "{text}");
        let debug = format!("{:?}", text.parse::<Address>());
        assert!(
            !debug.contains("secret") && !debug.contains("p@ss"),
            "{debug}"
        );
    }
}

#[test]
fn a_wrong_address_says_what_is_wrong() {
    let cases = [
        ("", "begins with"),
        ("me:secret@etcd", "begins with"),
        ("mysql://a", "\"mysql\""),
        ("etcd://", "no host"),
        ("etcd:///prefix", "no host"),
        ("etcd://a,,b", "no host"),
        ("etcd://a:x", "\"a:x\""),
        ("etcd://a:+1", "\"a:+1\""),
        ("etcd://a:65536", "\"a:65536\""),
        ("etcd://::1", "\"::1\""),
        ("etcd://[::1", "\"[::1\""),
        ("etcd://[a]:1", "\"[a]:1\""),
        ("etcd://a b", "\"a b\""),
        ("etcd://secret@a", "USER:PASSWORD"),
        ("etcd://:secret@a", "USER:PASSWORD"),
        ("etcd://a:%ff@b", "percent-encoded"),
        ("etcd://a/x//y", "prefix \"x//y\""),
        ("etcd://a?ca=/x", "write etcds://"),
        ("etcds://a", "needs ca=FILE"),
        ("etcds://a?ca=/x&cert=/y", "cert and key go together"),
        ("etcd://a?x=y", "unknown parameter \"x\""),
        ("postgres://", "no host"),
        ("postgres:///db", "no host"),
        ("postgres://a?sslmode=maybe", "one of disable"),
        ("postgres://a?sslmode=verify-ca", "needs sslrootcert=FILE"),
        (
            "postgres://a?sslmode=disable&sslrootcert=/x",
            "sslmode is disable",
        ),
        ("postgres://a?sslkey=/x", "sslcert and sslkey go together"),
        ("postgres://a?schema=A", "lower-case"),
        ("postgres://a?schema=pg_x", "pg_"),
        ("postgres://a?nonsense=1", "nonsense"),
        ("postgres://a:x", "port"),
    ];
    for (text, expected) in cases {
        let shown = shown(text);
        assert!(
            shown.starts_with("error: ") && shown.contains(expected),
            "{text}: {shown}"
        );
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[test]
fn what_is_verified_follows_libpq() {
    let cases = [
        ("", SslMode::Prefer, SslCheck::Nothing),
        (
            "sslmode=prefer&sslrootcert=/ca",
            SslMode::Prefer,
            SslCheck::Authority,
        ),
        ("sslmode=require", SslMode::Require, SslCheck::Nothing),
        (
            "sslmode=require&sslrootcert=/ca",
            SslMode::Require,
            SslCheck::Authority,
        ),
        (
            "sslmode=verify-ca&sslrootcert=/ca",
            SslMode::Require,
            SslCheck::Authority,
        ),
        (
            "sslmode=verify-full&sslrootcert=/ca",
            SslMode::Require,
            SslCheck::Host,
        ),
    ];
    for (query, mode, check) in cases {
        let Ok(Address::Postgres(address)) = format!("postgres://a?{query}").parse() else {
            panic!("{query}");
        };
        assert_eq!(
            (address.config.get_ssl_mode(), address.check),
            (mode, check),
            "{query}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in ".*") {
        let _ = text.parse::<Address>();
        for scheme in ["etcd", "etcds", "postgres"] {
            let _ = format!("{scheme}://{text}").parse::<Address>();
        }
    }

    #[test]
    fn what_is_shown_is_an_address_again(
        hosts in prop::collection::vec(("[a-z][a-z0-9.-]{0,8}", any::<u16>()), 1..4),
        prefix in "[a-z]{1,5}(/[a-z0-9]{1,5}){0,2}",
    ) {
        let hosts: Vec<String> = hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let text = format!("etcd://{}/{prefix}", hosts.join(","));
        prop_assert_eq!(shown(&text), text);
    }
}
