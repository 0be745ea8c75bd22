//! The transaction in the headers of HTTP, whatever library has them.
//!
//! The original's clients and servers use the same header.
//! Source: apache/incubator-seata:integration/http/src/main/java/org/apache/seata/integration/http/
//! {TransactionPropagationInterceptor,AbstractHttpExecutor}.java.

use crate::current_xid;

/// Name of the header. Java spells it `TX_XID`; names of headers are the same in either case.
pub const XID_HEADER: &str = "tx_xid";

/// The header that a request of the running work is to have, if the work is part of a transaction.
pub fn header() -> Option<(&'static str, String)> {
    Some((XID_HEADER, current_xid()?))
}

/// The transaction that a request came in, by its headers: names in either case, values as bytes. For
/// [`in_transaction`](crate::in_transaction).
pub fn xid_of<'h>(headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Option<String> {
    let mut headers = headers.into_iter();
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case(XID_HEADER))?;
    let xid = std::str::from_utf8(value).ok()?.trim();
    (!xid.is_empty()).then(|| xid.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_transaction;

    #[tokio::test]
    async fn what_one_side_puts_in_the_other_takes_out() {
        assert_eq!(header(), None);
        let (name, value) = in_transaction("10.0.0.1:8091:7", async { header() })
            .await
            .unwrap();
        let headers = [("host", &b"x"[..]), (name, value.as_bytes())];
        assert_eq!(xid_of(headers).as_deref(), Some("10.0.0.1:8091:7"));
        for (name, value, xid) in [
            ("TX_XID", &b" 1 "[..], Some("1")),
            ("TX_XID", b"", None),
            ("TX_XID", b"\xff", None),
            ("TX-XID", b"1", None),
        ] {
            assert_eq!(xid_of([(name, value)]).as_deref(), xid, "{name}: {value:?}");
        }
    }
}
