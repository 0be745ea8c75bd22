//! The two classes of the protocol, with their fields in the order of Java's client and server 5.13.2.

use diwan_hessian::{Typed, typed};

use crate::names;

pub(crate) fn request_class() -> &'static Typed {
    typed!(
        names::REQUEST_CLASS,
        &[
            "targetAppName",
            "methodName",
            "targetServiceUniqueName",
            "requestProps",
            "methodArgSigs",
        ]
    )
}

pub(crate) fn response_class() -> &'static Typed {
    typed!(
        names::RESPONSE_CLASS,
        &["isError", "errorMsg", "appResponse", "responseProps"]
    )
}
