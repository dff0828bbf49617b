//! CRC-32C (Castagnoli): finds every flipped bit and every burst up to 32 bits in a record.

const POLYNOMIAL: u32 = 0x82f6_3b78;
const LANES: usize = 8;

/// `TABLES[lane][byte]`: what a byte does to the sum when `lane` more bytes follow it.
static TABLES: [[u32; 256]; LANES] = tables();

/// A running sum.
#[derive(Clone, Copy)]
pub(super) struct Crc(u32);

impl Crc {
    pub(super) fn new() -> Self {
        Self(!0)
    }

    #[must_use]
    pub(super) fn and(self, bytes: &[u8]) -> Self {
        let mut sum = self.0;
        let (blocks, rest) = bytes.as_chunks::<LANES>();
        for block in blocks {
            let [a, b, c, d, rest @ ..] = *block;
            let head = (sum ^ u32::from_le_bytes([a, b, c, d])).to_le_bytes();
            let bytes = head.iter().chain(&rest);
            sum = bytes
                .zip(TABLES.iter().rev())
                .fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
        }
        for byte in rest {
            let [low, ..] = sum.to_le_bytes();
            sum = (sum >> 8) ^ TABLES[0][usize::from(low ^ byte)];
        }
        Self(sum)
    }

    pub(super) fn sum(self) -> u32 {
        !self.0
    }
}

const fn tables() -> [[u32; 256]; LANES] {
    let mut tables = [[0; 256]; LANES];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "below 256, and `try_from` is not const")]
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ POLYNOMIAL
            } else {
                sum >> 1
            };
            bit += 1;
        }
        tables[0][byte] = sum;
        byte += 1;
    }
    let mut lane = 1;
    while lane < LANES {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[lane - 1][byte];
            tables[lane][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        lane += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::Crc;

    /// RFC 3720, B.4, and the usual check value.
    #[test]
    fn sums_are_those_of_the_standard() {
        let ascending: Vec<u8> = (0..32).collect();
        let vectors: [(&[u8], u32); 5] = [
            (b"", 0),
            (b"123456789", 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
        ];
        for (bytes, sum) in vectors {
            assert_eq!(Crc::new().and(bytes).sum(), sum);
            for cut in 0..bytes.len() {
                assert_eq!(Crc::new().and(&bytes[..cut]).and(&bytes[cut..]).sum(), sum);
            }
        }
    }
}
