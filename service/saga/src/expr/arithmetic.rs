//! What operators make of values. Whole numbers do not wrap, and a result that JSON cannot hold is an error.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::RESULT_BYTES_MAX;
use super::eval::{EvalError, Result2, kind};
use super::node::Operator;

#[derive(Clone, Copy)]
pub(super) enum Num {
    Whole(i128),
    Real(f64),
}

impl Num {
    fn real(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Real(number) => number,
        }
    }
}

pub(super) fn number(value: &Value) -> Option<Num> {
    let Value::Number(number) = value else {
        return None;
    };
    let whole = number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from));
    match whole {
        Some(whole) => Some(Num::Whole(whole)),
        None => number.as_f64().map(Num::Real),
    }
}

pub(super) fn whole<'a>(number: i128) -> Result2<'a> {
    let number = i64::try_from(number)
        .map(Number::from)
        .or_else(|_| u64::try_from(number).map(Number::from))
        .map_err(|_| EvalError::TooLarge)?;
    Ok(Cow::Owned(number.into()))
}

pub(super) fn real<'a>(number: f64) -> Result2<'a> {
    let number = Number::from_f64(number).ok_or(EvalError::TooLarge)?;
    Ok(Cow::Owned(number.into()))
}

pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (number(left), number(right)) {
        (Some(Num::Whole(left)), Some(Num::Whole(right))) => left == right,
        (Some(left), Some(right)) => left.real() == right.real(),
        _ => left == right,
    }
}

/// Null is less than anything else.
pub(super) fn order(left: &Value, right: &Value) -> Result<Ordering, EvalError> {
    match (left, right) {
        (Value::Null, Value::Null) => Ok(Ordering::Equal),
        (Value::Null, _) => Ok(Ordering::Less),
        (_, Value::Null) => Ok(Ordering::Greater),
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        _ => match (number(left), number(right)) {
            (Some(Num::Whole(left)), Some(Num::Whole(right))) => Ok(left.cmp(&right)),
            (Some(left), Some(right)) => left
                .real()
                .partial_cmp(&right.real())
                .ok_or(EvalError::TooLarge),
            (None, _) => Err(EvalError::Type("a comparison", kind(left))),
            (_, None) => Err(EvalError::Type("a comparison", kind(right))),
        },
    }
}

pub(super) fn calculate<'a>(operator: Operator, left: &Value, right: &Value) -> Result2<'a> {
    if operator == Operator::Plus && (left.is_string() || right.is_string()) {
        let text = plain(left) + &plain(right);
        if text.len() > RESULT_BYTES_MAX {
            return Err(EvalError::TooLong);
        }
        return Ok(Cow::Owned(text.into()));
    }
    let (Some(one), Some(other)) = (number(left), number(right)) else {
        let wrong = if number(left).is_none() { left } else { right };
        return Err(EvalError::Type("arithmetic", kind(wrong)));
    };
    if let (Num::Whole(one), Num::Whole(other)) = (one, other) {
        let answer = match operator {
            Operator::Plus => one.checked_add(other),
            Operator::Minus => one.checked_sub(other),
            Operator::Times => one.checked_mul(other),
            _ if other == 0 => return Err(EvalError::DivisionByZero),
            Operator::Divided => one.checked_div(other),
            _ => one.checked_rem(other),
        };
        return whole(answer.ok_or(EvalError::TooLarge)?);
    }
    let (one, other) = (one.real(), other.real());
    real(match operator {
        Operator::Plus => one + other,
        Operator::Minus => one - other,
        Operator::Times => one * other,
        _ if other == 0.0 => return Err(EvalError::DivisionByZero),
        Operator::Divided => one / other,
        _ => one % other,
    })
}

/// A value in a text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
