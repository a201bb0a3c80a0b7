//! Byte strings from disk: little-endian fields, and zeros. Reading never panics.

/// Reads the field at an offset; `None` if it is not all there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The 16 bits at an offset.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// The 32 bits at an offset.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// The 64 bits at an offset.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// A length of 32 bits; `None` also where `usize` is narrower than the value.
pub(crate) fn len_at(bytes: &[u8], at: usize) -> Option<usize> {
    u32_at(bytes, at).and_then(|n| usize::try_from(n).ok())
}

/// How many bytes are looked at together for being zero.
pub(crate) const PAGE_LEN: usize = 4096;

/// Whether there are only zeros. Compares the bytes with themselves one further on, which
/// is as fast as comparing gets: a log can have gigabytes of them.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        Some((&first, rest)) => first == 0 && bytes.get(..rest.len()) == Some(rest),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_told_from_the_rest() {
        assert!(is_zero(&[]) && is_zero(&[0]) && is_zero(&[0; 5000]));
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let mut bytes = vec![0; random.usize(0..3 * PAGE_LEN)];
            for _ in 0..random.usize(0..3) {
                if !bytes.is_empty() {
                    let at = random.usize(0..bytes.len());
                    bytes[at] = random.u8(1..);
                }
            }
            let expected = bytes.iter().all(|&byte| byte == 0);
            assert_eq!(is_zero(&bytes), expected);
        }
    }
}
