//! Hessian serialization in both dialects.
