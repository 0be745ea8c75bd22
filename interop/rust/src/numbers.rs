//! The arithmetic of Java's big numbers that the kitchen does, on their text.

use diwan::hessian::{BigDecimal, BigInteger};

/// The other sign; zero has none.
pub(crate) fn negate(value: &BigDecimal) -> BigDecimal {
    let text = value.as_str();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = !mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    let negated = if is_zero || text.starts_with('-') {
        digits.to_owned()
    } else {
        format!("-{digits}")
    };
    BigDecimal::new(negated).unwrap_or_default()
}

/// Java's `toPlainString`: without exponent.
pub(crate) fn plain(value: &BigDecimal) -> String {
    let text = value.as_str();
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return text.to_owned();
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa.trim_start_matches('+')),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = whole.len() as i64 + exponent.parse::<i64>().unwrap_or_default();
    if point <= 0 {
        let zeros = "0".repeat(usize::try_from(-point).unwrap_or_default());
        return format!("{sign}0.{zeros}{digits}");
    }
    let point = usize::try_from(point).unwrap_or_default();
    match digits.split_at_checked(point) {
        Some((whole, "")) => format!("{sign}{whole}"),
        Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{digits}{}", "0".repeat(point - digits.len())),
    }
}

/// By hand, digit by digit.
pub(crate) fn square(value: &BigInteger) -> BigInteger {
    let text = value.to_string();
    let digits: Vec<u32> = text
        .bytes()
        .rev()
        .filter(u8::is_ascii_digit)
        .map(|digit| u32::from(digit - b'0'))
        .collect();
    let mut product = vec![0u32; 2 * digits.len()];
    for (i, a) in digits.iter().enumerate() {
        let mut carry = 0;
        for (j, b) in digits.iter().enumerate() {
            let sum = product[i + j] + a * b + carry;
            product[i + j] = sum % 10;
            carry = sum / 10;
        }
        product[i + digits.len()] += carry;
    }
    let text: String = product
        .iter()
        .rev()
        .map(|digit| char::from(b'0' + *digit as u8))
        .collect();
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_numbers() {
        for (value, negated, plainly) in [
            ("0", "0", "0"),
            ("-0.00", "0.00", "-0.00"),
            ("1E+3", "-1E+3", "1000"),
            ("-1.25e1", "1.25e1", "-12.5"),
            ("15E-4", "-15E-4", "0.0015"),
            ("3.10", "-3.10", "3.10"),
        ] {
            let value = BigDecimal::new(value).unwrap_or_default();
            assert_eq!(negate(&value).as_str(), negated);
            assert_eq!(plain(&value), plainly);
        }
        for (value, squared) in [(0, 0), (-3, 9), (i64::MAX, i128::from(i64::MAX).pow(2))] {
            assert_eq!(
                square(&BigInteger::from(i128::from(value))),
                BigInteger::from(squared)
            );
        }
    }
}
