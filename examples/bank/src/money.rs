use std::fmt;

use thiserror::Error;

/// An amount in hundredths of the currency's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cents(pub i64);

/// An amount or account name that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// Not digits with at most two decimals.
    #[error("amount is no number")]
    NotANumber,
    /// More than two decimals.
    #[error("amount has more than two decimals")]
    Decimals,
    /// Zero or less.
    #[error("amount is not positive")]
    NotPositive,
    /// More than the bank moves at once.
    #[error("amount is too large")]
    TooLarge,
    /// Not `A` and four digits.
    #[error("account name is malformed")]
    Account,
}

/// The largest transfer.
const CENTS_MAX: i64 = 100_000_000_000;

impl Cents {
    /// Reads a positive amount such as `12`, `12.3` or `12.34`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_positive(text: &str) -> Result<Self, MoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (units, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(units) || !is_number(decimals) {
            return Err(MoneyError::NotANumber);
        }
        if decimals.len() > 2 {
            return Err(MoneyError::Decimals);
        }
        let units: i64 = units.parse().map_err(|_| MoneyError::TooLarge)?;
        let hundredths: i64 = format!("{decimals:0<2}")
            .parse()
            .map_err(|_| MoneyError::NotANumber)?;
        let cents = units
            .checked_mul(100)
            .and_then(|cents| cents.checked_add(hundredths));
        match cents {
            None => Err(MoneyError::TooLarge),
            Some(0) => Err(MoneyError::NotPositive),
            Some(_) if negative => Err(MoneyError::NotPositive),
            Some(cents) if cents > CENTS_MAX => Err(MoneyError::TooLarge),
            Some(cents) => Ok(Self(cents)),
        }
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(
            f,
            "{sign}{}.{:02}",
            self.0.unsigned_abs() / 100,
            self.0.unsigned_abs() % 100
        )
    }
}

/// The number in an account's name.
///
/// # Errors
/// When the name is not `A` and four digits.
pub fn account_number(name: &str) -> Result<u32, MoneyError> {
    match name.strip_prefix('A') {
        Some(digits) if digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| MoneyError::Account)
        }
        _ => Err(MoneyError::Account),
    }
}

/// The name of an account.
pub fn account_name(number: u32) -> String {
    format!("A{number:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_refused() {
        let cases = [
            ("12.34", Ok(1234)),
            ("12.3", Ok(1230)),
            ("12", Ok(1200)),
            ("0.01", Ok(1)),
            ("0", Err(MoneyError::NotPositive)),
            ("-5.00", Err(MoneyError::NotPositive)),
            ("1.005", Err(MoneyError::Decimals)),
            ("", Err(MoneyError::NotANumber)),
            (".5", Err(MoneyError::NotANumber)),
            ("1,000", Err(MoneyError::NotANumber)),
            ("1e3", Err(MoneyError::NotANumber)),
            ("99999999999999999999", Err(MoneyError::TooLarge)),
            ("92233720368547758.08", Err(MoneyError::TooLarge)),
        ];
        for (text, expected) in cases {
            assert_eq!(
                Cents::parse_positive(text).map(|cents| cents.0),
                expected,
                "{text}"
            );
        }
        assert_eq!(Cents(-5).to_string(), "-0.05");
    }

    #[test]
    fn account_names_are_an_a_and_four_digits() {
        assert_eq!(account_number(&account_name(42)), Ok(42));
        for bad in ["", "A1", "A00001", "B0001", "A00x1", "a0001"] {
            assert_eq!(account_number(bad), Err(MoneyError::Account), "{bad}");
        }
    }
}
