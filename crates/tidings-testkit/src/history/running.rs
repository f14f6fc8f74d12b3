//! A digest over all lines so far, by which a changed, lost, doubled or misplaced one is noticed. It guards against
//! damage, not against malice.

const FACTOR: u64 = 0x517C_C1B7_2722_0A95;

/// The digest of the lines so far, each with its end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Running(u64);

impl Running {
    /// Every step can be undone, so two histories that differ in one word of eight bytes have different digests.
    const fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    }

    pub(super) fn line(&mut self, line: &[u8]) {
        let mut words = line.chunks_exact(8);
        for word in &mut words {
            self.add(word.try_into().map_or(0, u64::from_le_bytes));
        }
        let mut last = [0; 8];
        last.iter_mut().zip(words.remainder()).for_each(|(to, from)| *to = *from);
        self.add(u64::from_le_bytes(last));
        self.add(line.len() as u64);
    }

    pub(super) const fn digest(self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}
