//! Array indexes as BSON spells them: decimal digits in place of a name.

/// An index as a name, without an allocation.
pub(super) struct IndexName {
    digits: [u8; Self::MAX],
    start: usize,
}

impl IndexName {
    /// The digits of the largest `usize`.
    const MAX: usize = 20;

    pub(super) fn new(index: usize) -> Self {
        let mut digits = [0; Self::MAX];
        let mut rest = index;
        let mut start = Self::MAX;
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            // The remainder is below ten.
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            start = at;
            if rest == 0 {
                break;
            }
        }
        Self { digits, start }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }
}

/// Reads an index of a diff, which is digits only; leading zeros are as good as none.
pub(super) fn parse(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_usize, |index, digit| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        index.checked_mul(10)?.checked_add(digit)
    })
}

/// Whether a field's name reads as an index would be written: no sign, no leading zero.
pub(super) fn is_index(name: &[u8]) -> bool {
    match name {
        [] | [b'0', _, ..] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_written_and_read() {
        for index in [0, 1, 9, 10, 99, 100, 12_345, usize::MAX - 1, usize::MAX] {
            let name = IndexName::new(index);
            assert_eq!(name.as_bytes(), index.to_string().as_bytes());
            assert_eq!(parse(name.as_bytes()), Some(index));
            assert!(is_index(name.as_bytes()));
        }
        assert_eq!(parse(b"007"), Some(7));
        for bad in [&b""[..], b"-1", b"+1", b"1a", b" 1", b"99999999999999999999999"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        for name in [&b""[..], b"00", b"01", b"1.", b"a"] {
            assert!(!is_index(name), "{name:?}");
        }
    }
}
