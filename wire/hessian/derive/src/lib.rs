//! `#[derive(Hessian)]`.
